"""Whether two geometries are more alike than chance, how sure that is, and how alike they could be.

Conditions that follow one another in time (TRs, words) are not independent: permutations and
bootstrap samples move or draw blocks of neighbours, never over the border of two stories.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from braindash.errors import BraindashError
from braindash.rsa.patterns import Patterns
from braindash.rsa.similarity import centred_ranks, check_method, pairs_kept

FEWEST_BLOCKS = 8  # 8! orders: enough for a p value of .001
MOST_CONDITIONS = 4_000  # whole RDMs are held: 64 MB each
MATRIX_METHODS = ("spearman", "correlation", "cosine")


def block_permutations(
    n: int, n_permutations: int, *, block: int = 1, groups: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Return orders of conditions in which blocks of neighbours have changed places: (n_permutations, n) int.

    Parameters
    ----------
    n : int
        Conditions.
    block : int
        Neighbours that stay together: more than conditions remember one another for, as is
        ``exclude`` of the comparison, or slow signals look alike. What is left over at a group's end stays where it is.
    groups : (n,) array, optional
        Blocks do not cross from one group (story) to the next.

    Raises
    ------
    BraindashError
        For fewer than 8 whole blocks.
    """
    starts = block_starts(n, block, groups)
    if len(starts) < FEWEST_BLOCKS:
        raise BraindashError(
            f"{n} conditions make {len(starts)} whole blocks of {block}; a permutation test needs {FEWEST_BLOCKS}.",
            "Use shorter blocks, or more conditions.",
        )
    rng = np.random.default_rng(seed)
    inside = np.arange(block)
    orders = np.tile(np.arange(n), (n_permutations, 1))
    places = (starts[:, None] + inside).ravel()
    for order in orders:
        order[places] = (starts[rng.permutation(len(starts))][:, None] + inside).ravel()
    return orders


def block_starts(n: int, block: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Return where whole blocks begin, counted anew in every group: (n_blocks,) int."""
    edges = [0, n] if groups is None else [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), n]
    return np.array([s for a, b in pairwise(edges) for s in range(a, b - block + 1, block)], dtype=np.int64)


def mantel(
    first: Sequence[Patterns],
    second: Sequence[Patterns],
    orders: np.ndarray,
    method: str = "spearman",
    *,
    exclude: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Test similarities against those with the conditions of one side reordered.

    Parameters
    ----------
    first, second : sequences of Patterns over the same conditions
    orders : (n_permutations, n) from `block_permutations`
    method : "spearman", "correlation" or "cosine"
    exclude, groups : as in `braindash.rsa.similarity.similarities`
        Pairs left out count as neither alike nor unlike, wherever a reordering puts them.

    Returns
    -------
    similarity, p : (len(first), len(second)) float64
        p is one-sided, (1 + number of orders at least as similar) / (1 + number of orders).

    Raises
    ------
    BraindashError
        For more than 4,000 conditions, or a method without a matrix form.

    References
    ----------
    Mantel (1967), Cancer Research 27:209-220; Phipson & Smyth (2010), Statistical Applications in
    Genetics and Molecular Biology 9(1).
    """
    A, _ = _matrices(first, method, exclude, groups)
    B, _ = _matrices(second, method, exclude, groups)
    swapped = len(A) > len(B)
    moved, fixed = (B, A) if swapped else (A, B)
    n = moved.shape[1]
    upper = np.triu_indices(n, 1)
    still = np.stack([f[upper] for f in fixed]).astype(np.float32)
    size = np.outer(np.linalg.norm(np.stack([m[upper] for m in moved]), axis=1), np.linalg.norm(still, axis=1))

    def against(order: np.ndarray) -> np.ndarray:
        reordered = np.stack([m[np.ix_(order, order)][upper] for m in moved])
        return np.asarray(reordered @ still.T, dtype=np.float64) / size

    observed = against(np.arange(n))
    above = np.zeros_like(observed)
    for order in orders:
        above += against(order) >= observed - 1e-9
    p = (1 + above) / (1 + len(orders))
    return (observed.T, p.T) if swapped else (observed, p)


def condition_bootstrap(
    first: Sequence[Patterns],
    second: Sequence[Patterns],
    method: str = "spearman",
    *,
    n_boot: int = 500,
    block: int = 1,
    groups: np.ndarray | None = None,
    exclude: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Return similarities over conditions drawn anew, with replacement, in blocks of neighbours.

    A pair of a condition with its own copy has no dissimilarity and is left out (as in rsatoolbox).
    For "spearman" the ranks are those of all conditions.

    Returns
    -------
    (n_boot, len(first), len(second)) float64

    References
    ----------
    Schütt, Kipnis, Diedrichsen & Kriegeskorte (2023), eLife 12:e82566.
    """
    A, keep = _matrices(first, method, exclude, groups)
    B, _ = _matrices(second, method, exclude, groups)
    W = draw_counts(A.shape[1], n_boot, block, groups, seed)
    total = _form(W, keep)
    sums_a, sums_b = (np.stack([_form(W, m) for m in side]) for side in (A, B))
    squares_a, squares_b = (np.stack([_form(W, m * m) for m in side]) for side in (A, B))
    if method == "cosine":
        sums_a, sums_b = np.zeros_like(sums_a), np.zeros_like(sums_b)
    var_a, var_b = squares_a - sums_a**2 / total, squares_b - sums_b**2 / total
    out = np.empty((n_boot, len(A), len(B)))
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            covariance = _form(W, a * b) - sums_a[i] * sums_b[j] / total
            out[:, i, j] = covariance / np.sqrt(var_a[i] * var_b[j])
    return out


def draw_counts(n: int, n_boot: int, block: int, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """Return how often every condition is drawn: (n_boot, n) float32. Blocks may be shorter at a group's end."""
    starts = block_starts(n, block, groups)
    edges = [*starts.tolist(), n]
    if len(starts) < FEWEST_BLOCKS:
        raise BraindashError(
            f"{n} conditions make {len(starts)} whole blocks of {block}; an interval needs {FEWEST_BLOCKS}.",
            "Use shorter blocks, or more conditions.",
        )
    member = np.clip(np.searchsorted(edges, np.arange(n), side="right") - 1, 0, len(starts) - 1)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n_boot, len(starts)), dtype=np.float32)
    for row in drawn:
        row += np.bincount(rng.integers(len(starts), size=len(starts)), minlength=len(starts))
    return drawn[:, member]


def noise_ceiling(rdms: np.ndarray, method: str = "spearman") -> tuple[float, float]:
    """Return how alike to the subjects' RDMs any model could be: (lower, upper).

    Upper: the mean similarity of each subject's RDM with the mean of all; lower: with the mean of
    the others. RDMs are normalised (ranks, z-scores, or length, by the method) before they are averaged.

    Parameters
    ----------
    rdms : (n_subjects, n_pairs) array
    method : "spearman", "correlation" or "cosine"

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
    if method not in MATRIX_METHODS:
        raise BraindashError(f"There is no noise ceiling for {method!r}.", f"Use {', '.join(MATRIX_METHODS)}.")
    X = np.stack([_normal(x, method) for x in np.asarray(rdms, dtype=np.float64)])
    total = X.sum(axis=0)

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        if method == "spearman":
            a, b = _normal(a, method), _normal(b, method)
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    upper = float(np.mean([alike(x, total) for x in X]))
    lower = float(np.mean([alike(x, total - x) for x in X]))
    return lower, upper


def _normal(x: np.ndarray, method: str) -> np.ndarray:
    if method == "spearman":
        from scipy.stats import rankdata

        return np.asarray(rankdata(x) - (len(x) + 1) / 2)  # multiples of a half: sums of ranks tie exactly
    if method == "correlation":
        x = x - x.mean()
        return np.asarray(x / x.std())
    return np.asarray(x / np.sqrt((x**2).mean()))


def _matrices(
    patterns: Sequence[Patterns], method: str, exclude: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return RDMs as (n_rdms, n, n) float32, centred over the compared pairs and 0 elsewhere, and which these are."""
    check_method(method, patterns)
    if method not in MATRIX_METHODS:
        raise BraindashError(f"{method} has no permutation test here.", f"Use {', '.join(MATRIX_METHODS)}.")
    n = len(patterns[0])
    if n > MOST_CONDITIONS:
        raise BraindashError(
            f"Tests and intervals hold whole RDMs; {n:,} conditions are more than the {MOST_CONDITIONS:,} that fit.",
            "Average conditions (by word, by segment), or use fewer stories.",
        )
    upper = pairs_kept(n, 0, n, exclude, groups)
    out = np.zeros((len(patterns), n, n), dtype=np.float32)
    for k, one in enumerate(patterns):
        vector = one.rows(0, n)[upper]
        if method == "spearman":
            vector = centred_ranks(vector)
        elif method == "correlation":
            vector = vector - vector.mean(dtype=np.float64).astype(np.float32)
        out[k][upper] = vector
        out[k] += out[k].T
    return out, (upper | upper.T).astype(np.float32)


def _form(W: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return Σ_ij w_i w_j M_ij of every row w: (n_boot,) float64."""
    return np.asarray(np.vecdot(W @ M, W), dtype=np.float64)
