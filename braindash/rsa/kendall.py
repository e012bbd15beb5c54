"""Kendall's τ-a: the share of pairs in the same order, less the share in the other order."""

from __future__ import annotations

import numpy as np


def tau_a(first: np.ndarray, second: np.ndarray) -> float:
    """Return τ-a of two vectors; a tie in either counts as neither order.

    Parameters
    ----------
    first, second : (n,) arrays
        Sorted and merged, so in n log n time.

    References
    ----------
    Nili et al. (2014), PLoS Computational Biology 10:e1003553, on why RDMs with ties need it.
    """
    from scipy.stats import kendalltau

    # scipy's τ-b divides by the geometric mean of the shares of pairs that are not tied
    untied = _untied(first) * _untied(second)
    return float(kendalltau(first, second).statistic * np.sqrt(untied)) if untied > 0 else 0.0


def _untied(x: np.ndarray) -> float:
    n = len(x)
    _, counts = np.unique(x, return_counts=True)
    return 1.0 - float((counts * (counts - 1.0)).sum()) / (n * (n - 1.0))
