"""Whether two geometries are more alike than chance, how sure that is, and how alike they could be.

Conditions that follow one another in time (TRs, words) are not independent: permutations and
bootstrap samples move or draw blocks of neighbours, never over the border of two stories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from braindash.errors import BraindashError
from braindash.rsa.kendall import tau_a
from braindash.rsa.patterns import Patterns
from braindash.rsa.similarity import CENTRED, WHITENED, centred_ranks, check_method, pairs_kept
from braindash.rsa.whitening import near_pairs, row_shares

FEWEST_BLOCKS = 8  # 8! orders: enough for a p value of .001
MOST_CONDITIONS = 4_000  # whole RDMs are held: 64 MB each
MOST_KENDALL_TESTS = 150  # conditions: every order and sample is sorted anew


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
    method : one of `braindash.rsa.METHODS`
    exclude, groups : as in `braindash.rsa.similarity.similarities`
        Pairs left out count as neither alike nor unlike, wherever a reordering puts them.

    Returns
    -------
    similarity, p : (len(first), len(second)) float64
        p is one-sided, (1 + number of orders at least as similar) / (1 + number of orders).

    Raises
    ------
    BraindashError
        For more than 4,000 conditions, or 150 with "kendall".

    References
    ----------
    Mantel (1967), Cancer Research 27:209-220; Phipson & Smyth (2010), Statistical Applications in
    Genetics and Molecular Biology 9(1).
    """
    A, keep = _matrices(first, method, exclude, groups)
    B, _ = _matrices(second, method, exclude, groups)
    swapped = len(A) > len(B)
    moved, fixed = (B, A) if swapped else (A, B)
    n = moved.shape[1]
    if method == "kendall":
        upper = np.triu(keep, 1) > 0
        still = [f[upper] for f in fixed]

        def against(order: np.ndarray) -> np.ndarray:
            return np.array([[tau_a(m[np.ix_(order, order)][upper], f) for f in still] for m in moved])

    else:
        weighed, size = _weighed(moved, fixed, method, keep, near_pairs(n, exclude, groups))
        flat = weighed.reshape(len(fixed), -1).T

        def against(order: np.ndarray) -> np.ndarray:
            reordered = np.stack([np.take(m[order], order, axis=1).ravel() for m in moved])
            return np.asarray(reordered @ flat, dtype=np.float64) / size

    observed = against(np.arange(n))
    above = np.zeros_like(observed)
    for order in orders:
        above += against(order) >= observed - 1e-6  # products are float32
    p = (1 + above) / (1 + len(orders))
    return (observed.T, p.T) if swapped else (observed, p)


def _weighed(
    moved: np.ndarray, fixed: np.ndarray, method: str, keep: np.ndarray, near: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the moved RDMs are multiplied with, and what the products are divided by."""

    def dual(side: np.ndarray) -> np.ndarray:
        if method not in WHITENED:
            return side
        rows = side.sum(axis=2, dtype=np.float64)
        c = row_shares(rows, np.ones(rows.shape[1]), near).astype(np.float32)
        return np.asarray(side - (c[:, :, None] + c[:, None]) * keep)

    def norm(side: np.ndarray, weighed: np.ndarray) -> np.ndarray:
        return np.sqrt([np.vdot(x, w) for x, w in zip(side.astype(np.float64), weighed, strict=True)])

    weighed = dual(fixed)
    return weighed, np.outer(norm(moved, dual(moved)), norm(fixed, weighed))


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

    Raises
    ------
    BraindashError
        For fewer than 8 blocks, more than 4,000 conditions, or 150 with "kendall".

    References
    ----------
    Schütt, Kipnis, Diedrichsen & Kriegeskorte (2023), eLife 12:e82566.
    """
    A, keep = _matrices(first, method, exclude, groups)
    B, _ = _matrices(second, method, exclude, groups)
    W = draw_counts(A.shape[1], n_boot, block, groups, seed)
    if method == "kendall":
        return _tau_of_draws(A, B, W, keep)
    near = near_pairs(A.shape[1], exclude, groups)
    total = _form(W, keep)
    compared = (W @ keep).astype(np.float64)
    sides = [[_Drawn.of(W, m, total, compared, method, near) for m in side] for side in (A, B)]
    out = np.empty((n_boot, len(A), len(B)))
    for i, (a, x) in enumerate(zip(A, sides[0], strict=True)):
        for j, (b, y) in enumerate(zip(B, sides[1], strict=True)):
            product = _form(W, a * b) - total * x.mean * y.mean - x.with_shares(y)
            out[:, i, j] = product / np.sqrt(x.power * y.power)
    return out


@dataclass(frozen=True)
class _Drawn:
    """One RDM over every draw of conditions: its mean, weighted row sums, their shares, and its own product."""

    mean: np.ndarray
    rows: np.ndarray | None
    shares: np.ndarray | None
    power: np.ndarray

    @classmethod
    def of(
        cls, W: np.ndarray, M: np.ndarray, total: np.ndarray, compared: np.ndarray, method: str, near: Any
    ) -> _Drawn:
        sums = np.asarray(W @ M, dtype=np.float64)
        means = method == "spearman" or method in CENTRED
        mean = np.vecdot(sums, W) / total if means else np.zeros(len(W))
        power = _form(W, M * M) - total * mean**2
        if method not in WHITENED:
            return cls(mean, None, None, power)
        rows = sums - mean[:, None] * compared
        shares = row_shares(rows, W, near)
        return cls(mean, W * rows, shares, power - 2 * np.vecdot(W * rows, shares))

    def with_shares(self, other: _Drawn) -> np.ndarray | float:
        if self.rows is None or other.shares is None:
            return 0.0
        return 2 * np.vecdot(self.rows, other.shares)  # every pair is in the form twice


def _tau_of_draws(A: np.ndarray, B: np.ndarray, W: np.ndarray, keep: np.ndarray) -> np.ndarray:
    out = np.empty((len(W), len(A), len(B)))
    for k, row in enumerate(W):
        drawn = np.repeat(np.arange(len(row)), row.astype(int))
        at = np.ix_(drawn, drawn)
        upper = np.triu(keep[at], 1) > 0
        a, b = ([m[at][upper] for m in side] for side in (A, B))
        out[k] = [[tau_a(x, y) for y in b] for x in a]
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


def _matrices(
    patterns: Sequence[Patterns], method: str, exclude: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return RDMs as (n_rdms, n, n) float32, centred over the compared pairs and 0 elsewhere, and which these are."""
    check_method(method, patterns)
    n = len(patterns[0])
    check_size(n, method)
    upper = pairs_kept(n, 0, n, exclude, groups)
    out = np.zeros((len(patterns), n, n), dtype=np.float32)
    for k, one in enumerate(patterns):
        vector = one.tile(0, n, 0, n)[upper]
        if method in ("spearman", "kendall"):
            vector = centred_ranks(vector)
        elif method in CENTRED:
            vector = vector - vector.mean(dtype=np.float64).astype(np.float32)
        out[k][upper] = vector
        out[k] += out[k].T
    return out, (upper | upper.T).astype(np.float32)


def check_size(n: int, method: str) -> None:
    """Raise a BraindashError where ``n`` conditions are too many for tests and intervals by this comparison."""
    if n > MOST_CONDITIONS:
        raise BraindashError(
            f"Tests and intervals hold whole RDMs; {n:,} conditions are more than the {MOST_CONDITIONS:,} that fit.",
            "Average conditions (by word, by segment), or use fewer stories.",
        )
    if method == "kendall" and n > MOST_KENDALL_TESTS:
        raise BraindashError(
            f"Tests by kendall sort every pair anew for every order of conditions; {n:,} conditions are more than "
            f"the {MOST_KENDALL_TESTS} for which that takes minutes.",
            "Compare by spearman, which seldom differs, or use longer segments.",
        )


def _form(W: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return Σ_ij w_i w_j M_ij of every row w: (n_boot,) float64."""
    return np.asarray(np.vecdot(W @ M, W), dtype=np.float64)
