"""A plane in which RDMs that are alike lie close together."""

from __future__ import annotations

import numpy as np

from braindash.errors import BraindashError


def classical_mds(similarity: np.ndarray) -> tuple[np.ndarray, float]:
    """Place RDMs in a plane by their similarities.

    Distances are √(2(1 − s)): for correlations, the distance between the RDMs as vectors of length 1.

    Parameters
    ----------
    similarity : (n, n) array
        Symmetric, 1 on the diagonal.

    Returns
    -------
    xy : (n, 2) float64
        The two directions in which most of the distances' variance lies, centred. No random start: the
        sign of each axis is such that its largest coordinate is positive.
    stress : float
        Kruskal's stress-1: the root of the summed squared errors of the plane's distances over the
        summed squared distances. 0 is perfect; above about .2 the plane misleads.

    Raises
    ------
    BraindashError
        For fewer than 3 RDMs, or similarities that are not finite.

    References
    ----------
    Torgerson (1952), Psychometrika 17:401-419; Kruskal (1964), Psychometrika 29:1-27.
    """
    s = np.asarray(similarity, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or len(s) < 3 or not np.isfinite(s).all():
        raise BraindashError(
            f"A plane needs the similarities of 3 RDMs or more, all finite; the array is {s.shape}.", "Add RDMs."
        )
    squared = np.clip(2 * (1 - (s + s.T) / 2), 0, None)
    np.fill_diagonal(squared, 0)
    centring = np.eye(len(s)) - 1 / len(s)
    values, axes = np.linalg.eigh(-centring @ squared @ centring / 2)
    xy = axes[:, [-1, -2]] * np.sqrt(np.clip(values[[-1, -2]], 0, None))
    largest = xy[np.abs(xy).argmax(axis=0), [0, 1]]
    xy = xy * np.where(largest < 0, -1.0, 1.0)
    pairs = np.triu_indices(len(s), 1)
    wanted = np.sqrt(squared)[pairs]
    shown = np.linalg.norm(xy[pairs[0]] - xy[pairs[1]], axis=1)
    power = float((wanted**2).sum())
    return xy, float(np.sqrt(((shown - wanted) ** 2).sum() / power)) if power > 0 else 0.0
