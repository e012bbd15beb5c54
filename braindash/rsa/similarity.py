"""How alike the RDMs of many patterns are, without keeping the RDMs.

Pairs of conditions are visited tile by tile above the diagonal. Products of all RDMs with all
others are summed over tiles, so memory does not grow with the number of pairs, except for rank
correlations, whose ranks need every dissimilarity of an RDM at once: these are kept on disk
where memory is too small.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.rsa.kendall import tau_a
from braindash.rsa.patterns import Patterns
from braindash.rsa.whitening import compared_with, near_pairs, row_shares

METHODS = ("spearman", "correlation", "cosine", "kendall", "whitened", "whitened_cosine")
CENTRED = ("correlation", "whitened")  # over pairs, before products are taken
WHITENED = ("whitened", "whitened_cosine")
MOST_FOR_KENDALL = 1_500  # conditions: a million pairs to sort for every two RDMs
TILE = (384, 1_024)  # rows and columns made at a time: one RDM's tile stays in the processor's cache


def similarities(
    first: Sequence[Patterns],
    second: Sequence[Patterns],
    method: str = "spearman",
    *,
    exclude: int = 0,
    groups: np.ndarray | None = None,
    memory_gb: float = 2.0,
) -> np.ndarray:
    """Return how alike each RDM of ``first`` is to each of ``second``.

    Parameters
    ----------
    first, second : sequences of Patterns over the same conditions, in the same order
        Layers, say, and regions.
    method : str
        Over the pairs of conditions: "spearman", "correlation" or "cosine"; "kendall" (τ-a: a tie
        counts as neither order); "whitened" and "whitened_cosine", which allow for the covariance
        that dissimilarities with a common condition have (rsatoolbox's "corr_cov" and "cosine_cov",
        with independent noise of the same size in all conditions).
    exclude : int
        Pairs of conditions at most this many places apart are left out: TRs next to each other
        are alike because responses are slow, whatever was heard.
    groups : (n_conditions,) array, optional
        With ``exclude``: places are counted within a group (a story) only.
    memory_gb : float
        What tiles and ranks may take; ranks that do not fit are kept in a temporary file.

    Returns
    -------
    (len(first), len(second)) float64

    Raises
    ------
    BraindashError
        For an unknown method, different numbers of conditions, RDMs that do not vary, and more
        than 1,500 conditions with "kendall".

    References
    ----------
    Nili et al. (2014), PLoS Computational Biology 10:e1003553; Diedrichsen et al. (2021),
    Neurons, Behavior, Data Analysis, and Theory 5(3).
    """
    check_method(method, [*first, *second])
    if method == "kendall":
        A, B = vectors(first, exclude, groups), vectors(second, exclude, groups)
        return np.array([[tau_a(a, b) for b in B] for a in A])
    whole = correlations([*first, *second], method, exclude=exclude, groups=groups, memory_gb=memory_gb)
    return whole[: len(first), len(first) :]


def check_method(method: str, patterns: Sequence[Patterns]) -> None:
    """Raise a BraindashError where the method is unknown or these RDMs cannot be compared by it."""
    if method not in METHODS:
        raise BraindashError(f"There is no comparison {method!r}.", closest(method, METHODS))
    sizes = {len(p) for p in patterns}
    if len(sizes) != 1:
        raise BraindashError(f"RDMs of {sorted(sizes)} conditions cannot be compared.", "Use the same conditions.")
    n = sizes.pop()
    if method == "kendall" and n > MOST_FOR_KENDALL:
        raise BraindashError(
            f"kendall over {n:,} conditions would take hours; the limit is {MOST_FOR_KENDALL:,}.",
            "Use spearman or correlation, or average conditions (words, segments).",
        )


def correlations(
    patterns: Sequence[Patterns],
    method: str = "spearman",
    *,
    exclude: int = 0,
    groups: np.ndarray | None = None,
    memory_gb: float = 2.0,
) -> np.ndarray:
    """Return the similarity of every RDM with every other by one of `METHODS`: (n, n) float64."""
    check_method(method, patterns)
    if method == "kendall":
        V = vectors(patterns, exclude, groups)
        half = np.array([[tau_a(a, b) if j > i else 0.0 for j, b in enumerate(V)] for i, a in enumerate(V)])
        return half + half.T + np.eye(len(V))
    if method == "spearman":
        return _rank_correlations(patterns, exclude, groups, memory_gb)
    n, n_conditions = len(patterns), len(patterns[0])
    # sums of squares lose no digits about a value near the mean; what it does to the mean is put right below
    some = np.arange(0, n_conditions, max(1, n_conditions // 256))
    shift = np.array([0.0 if method == "cosine" else p.take(some).mean() for p in patterns])
    total, count = np.zeros((n + 1, n + 1)), 0
    for D in pair_blocks(patterns, exclude, groups, memory_gb, shift):
        total += D @ D.T
        count += D.shape[1]
    if count < 2:
        raise BraindashError(f"{count} pairs of conditions are left to compare.", "Exclude fewer neighbours.")
    total[n, :n] *= -1  # tiles hold shift − d
    total[:n, n] *= -1
    offset = -total[n, :n] / count if method in CENTRED else shift  # what is added to d − shift
    if method in WHITENED:
        near = near_pairs(n_conditions, exclude, groups)
        sums = [_row_sums(p, m, exclude, groups) for p, m in zip(patterns, shift, strict=True)]
        rows = np.stack([*sums, compared_with(n_conditions, near)])
        total -= rows @ row_shares(rows, np.ones(n_conditions), near).T
    move = np.concatenate([np.eye(n), offset[:, None]], axis=1)
    return _normalised(move @ total @ move.T)


def partial_correlation(correlation: np.ndarray, i: int, j: int, given: Sequence[int]) -> float:
    """Return the correlation of RDMs i and j with the RDMs ``given`` held constant.

    Parameters
    ----------
    correlation : (n, n) array, from `correlations`
    i, j : int
    given : sequence of int, may be empty

    Raises
    ------
    BraindashError
        Where i or j is a combination of the others, so that nothing is left of it.
    """
    index = [i, j, *given]
    inverse = _inverse(correlation[np.ix_(index, index)])
    return float(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvalsh(matrix)
    if values[0] < 1e-9 * values[-1]:
        raise BraindashError(
            "An RDM is a combination of the others: no partial correlation is left.", "Leave one of them out."
        )
    return np.linalg.inv(matrix)


def pair_blocks(
    patterns: Sequence[Patterns],
    exclude: int,
    groups: np.ndarray | None,
    memory_gb: float,
    shift: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yield ``shift`` less the dissimilarity, of all RDMs, and a row of ones: (n_rdms + 1, n_pairs of a tile) float32.

    Pairs have an order of their own; a tile is overwritten by the next.
    """
    n, k = len(patterns[0]), len(patterns)
    shift = np.zeros(k) if shift is None else shift
    room = max(1, int(memory_gb * 0.5e9 / (4 * k)))
    height = int(np.clip(room // max(TILE[0] + exclude, 1), 1, min(TILE[0], n)))
    width = int(np.clip(room // height, 1, TILE[1]))
    buffer = np.empty((k + 1, height * max(width, min(n, height + max(exclude, 0)))), dtype=np.float32)
    buffer[k] = 1
    for start in range(0, n, height):
        stop = min(n, start + height)
        far = min(n, stop + max(exclude, 0))  # from here on every pair is compared
        keep = np.flatnonzero(pairs_kept(n, start, stop, exclude, groups, far))
        if len(keep):
            for out, p, m in zip(buffer, patterns, shift, strict=False):
                np.take(p.negated(start, stop, start, far, m).ravel(), keep, out=out[: len(keep)])
            yield buffer[:, : len(keep)]
        for left in range(far, n, width):
            right = min(n, left + width)
            count = (stop - start) * (right - left)
            for out, p, m in zip(buffer, patterns, shift, strict=False):
                p.negated(start, stop, left, right, m, out=out[:count].reshape(stop - start, right - left))
            yield buffer[:, :count]


def pairs_kept(
    n: int, start: int, stop: int, exclude: int, groups: np.ndarray | None, last: int | None = None
) -> np.ndarray:
    """Return which pairs (i, j > i), i in [start, stop), j in [start, last or n), are compared: boolean."""
    last = n if last is None else last
    i, j = np.arange(start, stop)[:, None], np.arange(start, last)[None]
    if exclude <= 0:
        return np.asarray(j > i)
    near = j - i <= exclude
    if groups is not None:
        near &= groups[start:stop, None] == groups[None, start:last]
    return np.asarray((j > i) & ~near)


def count_pairs(n: int, exclude: int = 0, groups: np.ndarray | None = None) -> int:
    """Return the number of pairs of ``n`` conditions that are compared."""
    same = (np.asarray(groups[d:] == groups[:-d]).sum() if groups is not None else n - d for d in range(1, exclude + 1))
    return n * (n - 1) // 2 - int(sum(same)) if exclude < n else int(pairs_kept(n, 0, n, exclude, groups).sum())


def vectors(patterns: Sequence[Patterns], exclude: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Return every RDM as a vector of its compared pairs i < j, rows one after another: (n_rdms, n_pairs) float32."""
    n = len(patterns[0])
    out = np.empty((len(patterns), count_pairs(n, exclude, groups)), dtype=np.float32)
    height, at = max(1, 2_000_000 // n), 0
    for start in range(0, n, height):
        stop = min(n, start + height)
        keep = pairs_kept(n, start, stop, exclude, groups)
        count = int(keep.sum())
        for row, one in zip(out, patterns, strict=True):
            row[at : at + count] = one.tile(start, stop, start, n)[keep]
        at += count
    return out


def _row_sums(one: Patterns, mean: float, exclude: int, groups: np.ndarray | None) -> np.ndarray:
    """Return the sums of every row of an RDM less ``mean``, over the pairs that are compared: (n,) float64."""
    u, v, s = one.left.astype(np.float64), one.right.astype(np.float64), one.self_products
    n = len(s)
    sums = n * s + s.sum() - u @ v.sum(axis=0) - mean * (n - 1)
    for d in range(1, min(exclude, n - 1) + 1):
        near = s[:-d] + s[d:] - np.vecdot(u[:-d], v[d:]) - mean
        if groups is not None:
            near = np.where(groups[d:] == groups[:-d], near, 0.0)
        sums[:-d] -= near
        sums[d:] -= near
    return np.asarray(sums)


def _rank_correlations(
    patterns: Sequence[Patterns], exclude: int, groups: np.ndarray | None, memory_gb: float
) -> np.ndarray:
    n_pairs = count_pairs(len(patterns[0]), exclude, groups)
    if n_pairs < 2:
        raise BraindashError(f"{n_pairs} pairs of conditions are left to compare.", "Exclude fewer neighbours.")
    with tempfile.TemporaryDirectory(prefix="braindash-ranks-") as folder:
        shape = (len(patterns), n_pairs)
        if 4.0 * shape[0] * shape[1] <= memory_gb * 0.5e9:
            ranks = np.empty(shape, dtype=np.float32)
        else:
            ranks = np.lib.format.open_memmap(Path(folder) / "ranks.npy", mode="w+", dtype=np.float32, shape=shape)
        for k, one in enumerate(patterns):
            ranks[k] = centred_ranks(vectors([one], exclude, groups)[0])
        products = np.zeros((len(patterns), len(patterns)))
        step = int(np.clip(memory_gb * 0.25e9 / (4 * len(patterns)), 1, n_pairs))
        for a in range(0, n_pairs, step):
            part = np.asarray(ranks[:, a : a + step])
            products += (part @ part.T).astype(np.float64)
        del ranks
    return _normalised(products)


def centred_ranks(vector: np.ndarray) -> np.ndarray:
    """Return the ranks (means for ties) of a vector, scaled to ±0.5 about 0: float32.

    As `scipy.stats.rankdata`, with less beside the vector: an RDM of 10,000 conditions has 50 million entries.
    """
    n = len(vector)
    order = np.argsort(vector)
    ordered = vector[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    del ordered
    ties = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=ties[:-1])
    ties[-1] = n - first[-1]
    first *= 2  # twice the middle of each tie, less twice the middle of all, is 2 first + ties − n
    first += ties
    first -= n
    middle = np.empty(len(first), dtype=np.float32)
    np.true_divide(first, 2 * n, out=middle, casting="same_kind")
    out = np.empty(n, dtype=np.float32)
    out[order] = np.repeat(middle, ties)
    return out


def _normalised(products: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.maximum(np.diag(products), 0.0))
    flat = np.flatnonzero(~(size > 1e-9 * max(float(size.max()), 1e-300)))
    if len(flat):
        raise BraindashError(
            f"{len(flat)} of {len(size)} RDMs do not vary over pairs of conditions (first: RDM {flat[0]}).",
            "Leave them out.",
        )
    return np.clip(products / np.outer(size, size), -1.0, 1.0)
