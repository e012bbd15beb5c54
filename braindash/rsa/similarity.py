"""How alike the RDMs of many patterns are, without keeping the RDMs.

Pairs of conditions are visited by blocks of rows above the diagonal. Products of all RDMs with
all others are summed block by block, so memory does not grow with the number of pairs, except
for rank correlations, whose ranks need every dissimilarity of an RDM at once: these are kept on
disk where memory is too small.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.rsa.patterns import Patterns

METHODS = ("spearman", "correlation", "cosine", "kendall", "whitened")
MOST_FOR_KENDALL = 1_500  # conditions; n log n over a million pairs, for every pair of RDMs
MOST_FOR_WHITENED = 600  # conditions, by rsatoolbox's own algorithm


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
    method : "spearman", "correlation", "cosine", "kendall" (τ-a) or "whitened"
        Over the pairs of conditions. "whitened" is rsatoolbox's correlation that takes account of
        the covariance of dissimilarities ("corr_cov").
    exclude : int
        Pairs of conditions at most this many places apart are left out: TRs next to each other
        are alike because responses are slow, whatever was heard.
    groups : (n_conditions,) array, optional
        With ``exclude``: places are counted within a group (a story) only.
    memory_gb : float

    Returns
    -------
    (len(first), len(second)) float64

    Raises
    ------
    BraindashError
        For an unknown method, different numbers of conditions, RDMs that do not vary, or more
        conditions than the method can take.

    References
    ----------
    Nili et al. (2014), PLoS Computational Biology 10:e1003553; Diedrichsen et al. (2021),
    Neurons, Behavior, Data Analysis, and Theory 5(3).
    """
    check_method(method, [*first, *second])
    if method in ("kendall", "whitened"):
        return _by_vectors(first, second, method, exclude, groups)
    whole = correlations([*first, *second], method, exclude=exclude, groups=groups, memory_gb=memory_gb)
    return whole[: len(first), len(first) :]


def check_method(method: str, patterns: Sequence[Patterns]) -> None:
    """Raise a BraindashError where the method is unknown or these RDMs cannot be compared by it."""
    if method not in METHODS:
        raise BraindashError(f"There is no comparison {method!r}.", closest(method, METHODS))
    sizes = {len(p) for p in patterns}
    if len(sizes) != 1:
        raise BraindashError(f"RDMs of {sorted(sizes)} conditions cannot be compared.", "Use the same conditions.")
    most = {"kendall": MOST_FOR_KENDALL, "whitened": MOST_FOR_WHITENED}.get(method)
    n = sizes.pop()
    if most is not None and n > most:
        raise BraindashError(
            f"{method} over {n:,} conditions would take hours; the limit is {most:,}.",
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
    """Return the similarity of every RDM with every other: (n, n) float64; "spearman", "correlation" or "cosine"."""
    if method == "spearman":
        return _rank_correlations(patterns, exclude, groups, memory_gb)
    n = len(patterns)
    shift = np.zeros(n)
    products, sums, count = np.zeros((n, n)), np.zeros(n), 0
    for i, block in enumerate(pair_blocks(patterns, exclude, groups, memory_gb)):
        D = block
        if method == "correlation":
            if i == 0:
                shift = D.mean(axis=1, dtype=np.float64)  # near the mean: sums of squares then lose no digits
            D = D - shift[:, None].astype(np.float32)
        products += (D @ D.T).astype(np.float64)
        sums += D.sum(axis=1, dtype=np.float64)
        count += D.shape[1]
    if count < 2:
        raise BraindashError(f"{count} pairs of conditions are left to compare.", "Exclude fewer neighbours.")
    if method == "correlation":
        products -= np.outer(sums, sums) / count
    return _normalised(products)


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
    patterns: Sequence[Patterns], exclude: int, groups: np.ndarray | None, memory_gb: float
) -> Iterator[np.ndarray]:
    """Yield the dissimilarities of all RDMs, pairs in a fixed order: (n_rdms, n_pairs of the block) float32."""
    n = len(patterns[0])
    height = int(np.clip(memory_gb * 1e9 / (12 * len(patterns) * n), 1, n))
    for start in range(0, n, height):
        stop = min(n, start + height)
        keep = pairs_kept(n, start, stop, exclude, groups)
        yield np.stack([p.rows(start, stop, start)[keep] for p in patterns])


def pairs_kept(n: int, start: int, stop: int, exclude: int, groups: np.ndarray | None) -> np.ndarray:
    """Return which pairs (i, j > i), i in [start, stop), j from ``start`` on, are compared: boolean."""
    i, j = np.arange(start, stop)[:, None], np.arange(start, n)[None]
    if exclude <= 0:
        return np.asarray(j > i)
    near = j - i <= exclude
    if groups is not None:
        near &= groups[start:stop, None] == groups[None, start:]
    return np.asarray((j > i) & ~near)


def count_pairs(n: int, exclude: int = 0, groups: np.ndarray | None = None) -> int:
    """Return the number of pairs of ``n`` conditions that are compared."""
    return sum(int(pairs_kept(n, i, min(n, i + 512), exclude, groups).sum()) for i in range(0, n, 512))


def vectors(patterns: Sequence[Patterns], exclude: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Return every RDM as a vector of its compared pairs: (n_rdms, n_pairs) float32."""
    return np.concatenate(list(pair_blocks(patterns, exclude, groups, 0.5)), axis=1)


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
            vector = np.concatenate([b[0] for b in pair_blocks([one], exclude, groups, memory_gb / 4)])
            ranks[k] = centred_ranks(vector)
        products = np.zeros((len(patterns), len(patterns)))
        step = int(np.clip(memory_gb * 0.25e9 / (4 * len(patterns)), 1, n_pairs))
        for a in range(0, n_pairs, step):
            part = np.asarray(ranks[:, a : a + step])
            products += (part @ part.T).astype(np.float64)
        del ranks
    return _normalised(products)


def centred_ranks(vector: np.ndarray) -> np.ndarray:
    """Return the ranks (means for ties) of a vector, scaled to ±0.5 about 0: float32."""
    from scipy.stats import rankdata

    n = len(vector)
    out: np.ndarray = ((rankdata(vector) - (n + 1) / 2) / n).astype(np.float32)
    return out


def _normalised(products: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diag(products))
    flat = np.flatnonzero(~(size > 1e-9 * max(float(size.max()), 1e-300)))
    if len(flat):
        raise BraindashError(
            f"{len(flat)} of {len(size)} RDMs do not vary over pairs of conditions (first: RDM {flat[0]}).",
            "Leave them out.",
        )
    return np.clip(products / np.outer(size, size), -1.0, 1.0)


def _by_vectors(
    first: Sequence[Patterns], second: Sequence[Patterns], method: str, exclude: int, groups: np.ndarray | None
) -> np.ndarray:
    if method == "whitened":
        return _whitened(first, second, exclude)
    from scipy.stats import kendalltau

    A, B = vectors(first, exclude, groups), vectors(second, exclude, groups)
    n = A.shape[1]

    def untied(x: np.ndarray) -> float:
        """Return the share of pairs that are not tied: τ-b times the geometric mean of these is τ-a."""
        _, counts = np.unique(x, return_counts=True)
        return 1.0 - float((counts * (counts - 1.0)).sum()) / (n * (n - 1.0))

    free_a, free_b = [untied(a) for a in A], [untied(b) for b in B]
    return np.array(
        [[kendalltau(a, b).statistic * np.sqrt(fa * fb) for b, fb in zip(B, free_b, strict=True)]
         for a, fa in zip(A, free_a, strict=True)]
    )  # fmt: skip


def _whitened(first: Sequence[Patterns], second: Sequence[Patterns], exclude: int) -> np.ndarray:
    if exclude:
        raise BraindashError(
            f"The whitened comparison needs every pair of conditions, and exclude is {exclude}.",
            "Set exclude to 0, or use spearman or correlation.",
        )
    from rsatoolbox.rdm import RDMs, compare

    A, B = (RDMs(vectors(side).astype(np.float64)) for side in (first, second))
    return np.asarray(compare(A, B, method="corr_cov"))
