"""From features to a design matrix, one story at a time.

Everything here works on single stories: delays that cross from one story into
the next would let a story's end predict the next one's start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from braindash.errors import BraindashError

log = logging.getLogger(__name__)


def constant_columns(X: np.ndarray) -> np.ndarray:
    """Return which columns do not vary beyond float32 rounding: (p,) bool.

    Parameters
    ----------
    X : (n_trs, p)
    """
    return X.std(axis=0, dtype=np.float64) <= 1e-6 * np.abs(X.mean(axis=0, dtype=np.float64))


def zscore(X: np.ndarray) -> np.ndarray:
    """Give every column of one story mean 0 and standard deviation 1 (ddof 0).

    A column that does not vary carries nothing and becomes 0; how many there
    are is logged, and :func:`constant_columns` tells which.

    Parameters
    ----------
    X : (n_trs, p)

    Returns
    -------
    (n_trs, p) float32

    Raises
    ------
    BraindashError
        If a value is not finite.
    """
    bad = ~np.isfinite(X).all(axis=0)
    if bad.any():
        raise BraindashError(
            f"{bad.sum()} of {X.shape[1]} feature columns hold values that are not finite (first: column "
            f"{int(np.flatnonzero(bad)[0])}).",
            "Check the audio and the model; features are never filled in.",
        )
    constant = constant_columns(X)
    if constant.any():
        log.warning("%d of %d feature columns do not vary in this story; they become 0", constant.sum(), X.shape[1])
    mean = X.mean(axis=0, dtype=np.float64)
    std = X.std(axis=0, dtype=np.float64)
    std[constant] = np.inf
    return ((X - mean) / std).astype(np.float32)


def delay(X: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Put copies of one story's features side by side, each some TRs late (a FIR model).

    Row t of the copy for delay d is row t - d; rows before the story's start
    (after its end for a negative d) are 0.

    Parameters
    ----------
    X : (n_trs, p)
    delays : sequence of int
        In TRs.

    Returns
    -------
    (n_trs, len(delays) * p) float32
        Columns in order of delay, then feature.
    """
    n, p = X.shape
    out = np.zeros((n, len(delays) * p), dtype=np.float32)
    for j, d in enumerate(delays):
        columns = slice(j * p, (j + 1) * p)
        if 0 <= d < n:
            out[d:, columns] = X[: n - d]
        elif -n < d < 0:
            out[:d, columns] = X[-d:]
    return out


def trim(X: np.ndarray, n_start: int, n_end: int) -> np.ndarray:
    """Drop rows from one story's start and end; a view.

    Raises
    ------
    BraindashError
        If nothing would be left.
    """
    if n_start < 0 or n_end < 0:
        raise ValueError(f"rows to drop cannot be negative; got {n_start} and {n_end}")
    if n_start + n_end >= len(X):
        raise BraindashError(
            f"Dropping {n_start} rows at the start and {n_end} at the end leaves none of {len(X)}.",
            "Drop fewer rows, or leave the story out.",
        )
    return X[n_start : len(X) - n_end]


def stack_stories(stories: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stack finished stories; delays must already be in them.

    Parameters
    ----------
    stories : list of (n_trs, p)

    Returns
    -------
    X : (sum of n_trs, p) float32
    edges : (n_stories + 1,) int
        Story i is ``X[edges[i]:edges[i + 1]]``.
    """
    widths = {s.shape[1] for s in stories}
    if len(widths) != 1:
        raise ValueError(f"stories must have one number of columns; got {sorted(widths)}")
    edges = np.cumsum([0, *(len(s) for s in stories)])
    return np.concatenate(stories).astype(np.float32, copy=False), edges
