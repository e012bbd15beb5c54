"""Patterns of conditions, prepared so that any block of their dissimilarities is one matrix product.

Every dissimilarity here has the form d_ij = s_i + s_j − u_i·v_j with s_i = u_i·v_i / 2, so an RDM
never has to be stored: the rows that are needed are made from ``u`` and ``v`` when they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindash.errors import BraindashError, closest

METRICS = ("correlation", "cosine", "euclidean")
UNIT_LENGTH = ("correlation", "cosine")  # u_i = v_i has length 1: s_i = ½ for every condition
FEWEST_CONDITIONS = 4


@dataclass(frozen=True)
class Patterns:
    """Prepared patterns: see `prepare`.

    Attributes
    ----------
    left, right : (n_conditions, k) float32
        u and v.
    self_products : (n_conditions,) float64
        s.
    metric : str
    """

    left: np.ndarray
    right: np.ndarray
    self_products: np.ndarray
    metric: str

    def __len__(self) -> int:
        return len(self.left)

    def tile(
        self, start: int, stop: int, first: int, last: int, shift: float = 0.0, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return rows [start, stop) and columns [first, last) of the RDM less ``shift``, float32; into ``out``."""
        made = self.negated(start, stop, first, last, shift, out)
        return np.negative(made, out=made)

    def negated(
        self, start: int, stop: int, first: int, last: int, shift: float = 0.0, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return `tile` with the other sign, which is one operation less."""
        made: np.ndarray = np.matmul(self.left[start:stop], self.right[first:last].T, out=out)
        if self.metric in UNIT_LENGTH:
            made -= np.float32(1 - shift)
        else:
            made -= (self.self_products[start:stop, None] - shift).astype(np.float32)
            made -= self.self_products[None, first:last].astype(np.float32)
        return made

    def mean(self) -> float:
        """Return the mean dissimilarity over all pairs."""
        n = len(self)
        ones = np.ones(n, dtype=np.float32)
        ends = (ones @ self.left).astype(np.float64) @ (ones @ self.right).astype(np.float64)
        return float((2 * n * self.self_products.sum() - ends) / (n * (n - 1)))

    def take(self, index: np.ndarray) -> Patterns:
        """Return the patterns of some conditions."""
        return Patterns(self.left[index], self.right[index], self.self_products[index], self.metric)

    def rdm(self) -> np.ndarray:
        """Return the whole RDM, (n, n) float32: symmetric, zero on the diagonal."""
        d = self.tile(0, len(self), 0, len(self))
        d = (d + d.T) / 2
        np.fill_diagonal(d, 0)
        return d


def prepare(values: np.ndarray, metric: str = "correlation") -> Patterns:
    """Prepare patterns for dissimilarities.

    Parameters
    ----------
    values : (n_conditions, n_channels) array
    metric : "correlation", "cosine" or "euclidean"
        1 − r, 1 − cosine, or the squared distance divided by the number of channels, as in rsatoolbox.

    Raises
    ------
    BraindashError
        For fewer than 4 conditions, values that are not finite, and patterns without a direction.

    References
    ----------
    Kriegeskorte, Mur & Bandettini (2008), Frontiers in Systems Neuroscience 2:4.
    """
    if metric not in METRICS:
        raise BraindashError(f"There is no dissimilarity {metric!r}.", closest(metric, (*METRICS, "crossnobis")))
    X = _checked(values)
    if metric == "euclidean":
        X = X * np.sqrt(2 / X.shape[1]).astype(X.dtype)
        return _symmetric(X, np.vecdot(X, X) / 2, metric)
    if metric == "correlation":
        if X.shape[1] < 3:
            raise BraindashError(
                f"A correlation distance needs 3 channels or more; there are {X.shape[1]}.", "Use euclidean."
            )
        X = X - X.mean(axis=1, keepdims=True)
    else:
        X = X.copy()
    size = np.sqrt(np.vecdot(X, X))
    # float32 leaves something of a constant pattern's mean behind
    least = 1e-12 if X.dtype == np.float64 else 1e-6
    flat = np.flatnonzero(size <= least * max(float(size.max()), 1e-300))
    if len(flat):
        what = "do not vary over channels" if metric == "correlation" else "are zero"
        raise BraindashError(
            f"{len(flat)} of {len(X)} patterns {what} (first: condition {flat[0]}).",
            "Leave them out, or use euclidean.",
        )
    X *= (1 / size)[:, None]
    return _symmetric(X, np.full(len(X), 0.5), metric)


def crossnobis(repeats: np.ndarray, precision: np.ndarray | None = None) -> Patterns:
    """Prepare patterns for the cross-validated Mahalanobis distance between conditions.

    Noise that differs from repeat to repeat adds nothing on average, so two conditions with the
    same response have a distance of 0 and estimates may be negative.

    Parameters
    ----------
    repeats : (n_repeats, n_conditions, n_channels) array
    precision : (n_channels, n_channels) array, optional
        Inverse covariance of the noise; the identity by default.

    Returns
    -------
    Patterns
        d_ij is the mean over ordered pairs of repeats a ≠ b of
        (x_i^a − x_j^a)' P (x_i^b − x_j^b) / n_channels.

    Raises
    ------
    BraindashError
        For fewer than two repeats.

    References
    ----------
    Walther et al. (2016), NeuroImage 137:188-200.
    """
    R = np.asarray(repeats, dtype=np.float64)
    if R.ndim != 3 or len(R) < 2:
        raise BraindashError(
            f"Crossnobis needs 2 repeats of every condition or more; the array is {R.shape}.",
            "Use correlation, cosine or euclidean.",
        )
    for one in R:
        _checked(one)
    n_repeats, _, n_channels = R.shape
    P = np.eye(n_channels) if precision is None else np.asarray(precision, dtype=np.float64)
    scale = 2.0 / (n_repeats * (n_repeats - 1) * n_channels)
    # sum over a ≠ b of x^a P x^b' = (Σx) P (Σx)' − Σ x^a P x^a'
    left = np.concatenate([R.sum(axis=0), *R], axis=1)
    right = np.concatenate([R.sum(axis=0) @ P, *(-(x @ P) for x in R)], axis=1) * scale
    return Patterns(left.astype(np.float32), right.astype(np.float32), np.vecdot(left, right) / 2, "crossnobis")


def _symmetric(X: np.ndarray, self_products: np.ndarray, metric: str) -> Patterns:
    X32 = np.ascontiguousarray(X, dtype=np.float32)
    return Patterns(X32, X32, self_products.astype(np.float64), metric)


def _checked(values: np.ndarray) -> np.ndarray:
    """Return the patterns as float32 where they come so, else float64."""
    X = np.asarray(values)
    X = X if X.dtype == np.float32 else X.astype(np.float64)
    if X.ndim != 2 or len(X) < FEWEST_CONDITIONS:
        raise BraindashError(
            f"An RDM needs {FEWEST_CONDITIONS} conditions or more; the patterns are {X.shape}.", "Give more conditions."
        )
    bad = np.flatnonzero(~np.isfinite(X.sum(axis=1)))
    if len(bad):
        raise BraindashError(
            f"{len(bad)} of {len(X)} patterns are not finite (first: condition {bad[0]}).", "Leave them out."
        )
    return X
