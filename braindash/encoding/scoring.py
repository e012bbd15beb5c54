"""Correlation and variance explained, per target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def correlation(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every column of ``Y`` with the same column of ``P``.

    Parameters
    ----------
    Y, P : (n_trs, n_targets) arrays
        Responses and predictions, or any two sets of series.

    Returns
    -------
    (n_targets,) float64
        NaN where either column is constant.
    """
    if np.shape(Y) != np.shape(P):
        raise ValueError(f"Y and P differ in shape: {np.shape(Y)} and {np.shape(P)}")
    y = np.asarray(Y, dtype=np.float64)
    p = np.asarray(P, dtype=np.float64)
    return _ratio(*_centred_sums(y, p))


def r2(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return 1 − Σ(y − p)² / Σ(y − ȳ)² of every column: (n_targets,) float64, NaN for a constant ``y``."""
    y = np.asarray(Y, dtype=np.float64)
    total = ((y - y.mean(0)) ** 2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 1 - ((y - P) ** 2).sum(0) / total, np.nan)


def _centred_sums(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    constant_y, constant_p = np.ptp(y, axis=0) == 0, np.ptp(p, axis=0) == 0
    y = y - y.mean(0)
    p = p - p.mean(0)
    yy, pp = np.einsum("tv,tv->v", y, y), np.einsum("tv,tv->v", p, p)
    # The mean of equal numbers is not always that number, to the last bit.
    return np.einsum("tv,tv->v", y, p), np.where(constant_y, 0, yy), np.where(constant_p, 0, pp)


def _ratio(yp: np.ndarray, yy: np.ndarray, pp: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((yy > 0) & (pp > 0), yp / np.sqrt(yy * pp), np.nan)


@dataclass
class Moments:
    """What correlations need of predictions, per test story and target, so that these need not be kept.

    Attributes
    ----------
    n : (n_stories,) rows of each story
    y_mean, p_mean, yy, pp, yp : (n_stories, n_targets) float64
        Means, and sums of squares and products about the story's own means.
    """

    n: np.ndarray
    y_mean: np.ndarray
    p_mean: np.ndarray
    yy: np.ndarray
    pp: np.ndarray
    yp: np.ndarray

    @classmethod
    def empty(cls, lengths: list[int], n_targets: int) -> Moments:
        shape = (len(lengths), n_targets)
        return cls(np.asarray(lengths, dtype=np.float64), *(np.zeros(shape) for _ in range(5)))

    def r_story(self) -> np.ndarray:
        """Return r within each story: (n_stories, n_targets), NaN where undefined."""
        return _ratio(self.yp, self.yy, self.pp)

    def _pooled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.n[:, None]
        y = self.y_mean - (n * self.y_mean).sum(0) / n.sum()
        p = self.p_mean - (n * self.p_mean).sum(0) / n.sum()
        return (self.yp + n * y * p).sum(0), (self.yy + n * y * y).sum(0), (self.pp + n * p * p).sum(0)

    def r(self) -> np.ndarray:
        """Return r over the stories joined end to end: (n_targets,)."""
        return _ratio(*self._pooled())

    def r2(self) -> np.ndarray:
        """Return the variance explained over the stories joined end to end: (n_targets,)."""
        total = self._pooled()[1]
        error = (self.yy - 2 * self.yp + self.pp + self.n[:, None] * (self.y_mean - self.p_mean) ** 2).sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, 1 - error / total, np.nan)
