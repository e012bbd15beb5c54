"""Representational similarity: dissimilarities between conditions, and how alike two sets of them are.

Functions on arrays; a run's analysis is `braindash.runs.rsa`.
"""

from braindash.rsa.ceiling import noise_ceiling
from braindash.rsa.cka import cka_matrix
from braindash.rsa.inference import block_permutations, condition_bootstrap, mantel
from braindash.rsa.mds import classical_mds
from braindash.rsa.patterns import METRICS, Patterns, crossnobis, prepare
from braindash.rsa.similarity import METHODS, correlations, partial_correlation, similarities

__all__ = [
    "METHODS",
    "METRICS",
    "Patterns",
    "block_permutations",
    "cka_matrix",
    "classical_mds",
    "condition_bootstrap",
    "correlations",
    "crossnobis",
    "mantel",
    "noise_ceiling",
    "partial_correlation",
    "prepare",
    "similarities",
]
