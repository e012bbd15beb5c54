"""How alike to the subjects' RDMs a model's could be at all."""

from __future__ import annotations

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.rsa.kendall import tau_a
from braindash.rsa.similarity import CENTRED, METHODS, WHITENED, pairs_kept
from braindash.rsa.whitening import near_pairs, row_shares


def noise_ceiling(
    rdms: np.ndarray, method: str = "spearman", *, exclude: int = 0, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """Return how alike to the subjects' RDMs any model could be: (lower, upper).

    Upper: the mean similarity of each subject's RDM with the mean of all; lower: with the mean of
    the others. RDMs are normalised (ranks, z-scores, or length, by the method) before they are
    averaged. For "kendall" this is the usual approximation by averaged ranks.

    Parameters
    ----------
    rdms : (n_subjects, n_pairs) array
        Pairs i < j of conditions, rows of the RDM one after another, less those that are left out.
    method : one of `braindash.rsa.METHODS`
    exclude, groups : as in `braindash.rsa.similarity.similarities`
        What was left out; only the whitened methods need to know.

    Raises
    ------
    BraindashError
        For fewer than 2 subjects.

    References
    ----------
    Nili et al. (2014), PLoS Computational Biology 10:e1003553.
    """
    if len(rdms) < 2:
        raise BraindashError(
            f"A noise ceiling needs the RDMs of 2 subjects or more; there is {len(rdms)}.", "Add subjects."
        )
    if method not in METHODS:
        raise BraindashError(f"There is no noise ceiling for {method!r}.", closest(method, METHODS))
    X = np.stack([_normal(x, method) for x in np.asarray(rdms, dtype=np.float64)])
    total = X.sum(axis=0)
    white = _Whitener(X.shape[1], exclude, groups) if method in WHITENED else None

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        if method == "kendall":
            return tau_a(a, b)
        if method == "spearman":
            a, b = _normal(a, method), _normal(b, method)
        elif method in CENTRED:
            a, b = a - a.mean(), b - b.mean()
        product = white.product if white else np.dot
        return float(product(a, b) / np.sqrt(product(a, a) * product(b, b)))

    upper = float(np.mean([alike(x, total) for x in X]))
    lower = float(np.mean([alike(x, total - x) for x in X]))
    return lower, upper


class _Whitener:
    """Products x'V⁻¹y of vectors of pairs, up to a factor (`braindash.rsa.whitening`)."""

    def __init__(self, n_pairs: int, exclude: int, groups: np.ndarray | None) -> None:
        n = len(groups) if groups is not None else _conditions(n_pairs, exclude)
        self.first, self.second = np.nonzero(pairs_kept(n, 0, n, exclude, groups))
        self.n, self.near = n, near_pairs(n, exclude, groups)
        if len(self.first) != n_pairs:
            raise BraindashError(
                f"{n} conditions have {len(self.first)} pairs that are compared; the RDMs have {n_pairs}.",
                "Give the settings that the RDMs were made with.",
            )

    def product(self, a: np.ndarray, b: np.ndarray) -> float:
        r, q = (np.bincount(self.first, x, self.n) + np.bincount(self.second, x, self.n) for x in (a, b))
        return float(a @ b - r @ row_shares(q[None], np.ones(self.n), self.near)[0])


def _conditions(n_pairs: int, exclude: int) -> int:
    # pairs further apart than e: (n − e)(n − e − 1) / 2
    return exclude + round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)


def _normal(x: np.ndarray, method: str) -> np.ndarray:
    if method in ("spearman", "kendall"):
        from scipy.stats import rankdata

        return np.asarray(rankdata(x) - (len(x) + 1) / 2)  # multiples of a half: sums of ranks tie exactly
    if method in CENTRED:
        x = x - x.mean()
        return np.asarray(x / x.std())
    return np.asarray(x / np.sqrt((x**2).mean()))
