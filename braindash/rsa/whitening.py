"""Products of RDMs that allow for the covariance of dissimilarities.

Two dissimilarities with a common condition share that condition's noise. With independent noise of
one size, their covariance over pairs is V = 2I + B'B up to a factor, where B (conditions × pairs)
says which two conditions a pair has. So by Woodbury's identity

    x'V⁻¹y = ½ (x'y − r'c),    r = Bx,    (2I + BB') c = By,

and what has to be solved is as small as the conditions are many: V itself is never made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_STEPS = 500
TOLERANCE = 1e-11


def near_pairs(n: int, exclude: int, groups: np.ndarray | None) -> Any:
    """Return the pairs that are left out: (n, n) symmetric sparse matrix of ones, or None where there is none."""
    from scipy.sparse import diags_array

    offsets = range(1, min(exclude, n - 1) + 1)
    if not offsets:
        return None
    same = [np.ones(n - d) if groups is None else (groups[d:] == groups[:-d]).astype(float) for d in offsets]
    return diags_array([*same, *same], offsets=[*offsets, *(-d for d in offsets)], shape=(n, n)).tocsr()


def compared_with(n: int, near: Any) -> np.ndarray:
    """Return how many others every condition is compared with: (n,) float64."""
    return np.full(n, n - 1.0) if near is None else n - 1.0 - near @ np.ones(n)


def row_shares(sums: np.ndarray, weights: np.ndarray, near: Any) -> np.ndarray:
    """Return c of the module's formula, for conditions that are there more than once or not at all.

    Parameters
    ----------
    sums : (k, n) array
        Sums of the rows of an RDM over the pairs that are compared, each with its weight (Bx).
    weights : (n,) or (k, n) array
        How often each condition is there; a condition is not compared with its own copy.
    near : from `near_pairs`

    Returns
    -------
    (k, n) float64
        By conjugate gradients: two steps where every pair is compared, about ten otherwise.

    References
    ----------
    Diedrichsen et al. (2021), Neurons, Behavior, Data Analysis, and Theory 5(3), for V.
    """
    root = np.broadcast_to(np.sqrt(weights), sums.shape).astype(np.float64)
    copies = root**2

    def close(x: np.ndarray) -> Any:
        return 0.0 if near is None else (near @ x.T).T

    compared = copies.sum(axis=1, keepdims=True) - copies - close(copies)

    def apply(z: np.ndarray) -> np.ndarray:
        other = (root * z).sum(axis=1, keepdims=True) - root * z - close(root * z)
        return np.asarray((2 + compared) * z + root * other)

    residual = root * sums
    z = np.zeros_like(residual)
    step, power = residual.copy(), np.vecdot(residual, residual)
    enough = TOLERANCE**2 * np.maximum(power, 1e-300)
    for _ in range(MOST_STEPS):
        if (power <= enough).all():
            break
        moved = apply(step)
        along = np.vecdot(step, moved)
        length = np.divide(power, along, out=np.zeros_like(power), where=along > 0)
        z += length[:, None] * step
        residual -= length[:, None] * moved
        before, power = power, np.vecdot(residual, residual)
        again = np.divide(power, before, out=np.zeros_like(power), where=before > 0)
        step = residual + again[:, None] * step
    return np.divide(z, root, out=np.zeros_like(z), where=root > 0)
