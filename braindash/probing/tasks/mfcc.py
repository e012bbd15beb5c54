"""The spectral envelope: mel-frequency cepstral coefficients."""

from __future__ import annotations

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.sound import acoustic_examples, mfcc

N_COEFFICIENTS = 40


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return 40 cepstral coefficients of spans of 40 ms."""
    return acoustic_examples(corpus, limits, mfcc, tuple(f"MFCC {i}" for i in range(N_COEFFICIENTS)))


TASK = Task(
    "mfcc",
    "MFCC",
    "Forty mel-frequency cepstral coefficients from the layer's state over the same 40 ms; silence is left out.",
    "regression",
    "acoustic",
    make,
)
