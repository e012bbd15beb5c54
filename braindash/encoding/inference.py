"""Which targets are predicted beyond chance, which better by one model than by another, and how surely.

Responses and predictions are both autocorrelated, so single TRs cannot be exchanged:
blocks of TRs are. Every permutation is a product of matrices. With the held-out story in
blocks, K[a, b] = Σ y_a · p_b over the TRs of a block, a permutation of the blocks has the
correlation Σ_a K[a, π(a)] / sqrt(Σy² Σp²): one row of a sparse matrix of ones, times K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from braindash.errors import BraindashError

if TYPE_CHECKING:
    from scipy import sparse  # what only reads results does without scipy's second of imports

FEWEST_BLOCKS = 5
CHUNK = 512  # targets worked on at once: K of a chunk stays in the processor's cache
SAMPLE = 512  # targets whose autocorrelations are averaged

Story = Sequence[np.ndarray]


@dataclass(frozen=True)
class Permuted:
    """Result of a permutation test, one entry a target.

    Attributes
    ----------
    value : (n_targets,) the statistic: r, or a difference of two r
    p : (n_targets,) (1 + permutations at least as large) / (1 + permutations); NaN where value is
    n_blocks, block : blocks exchanged, and TRs in each
    n_left_out : TRs at the ends of stories that fill no block and take no part
    factor : what the null was widened by for memory beyond a block (:func:`memory_factor`)
    """

    value: np.ndarray
    p: np.ndarray
    n_blocks: int
    block: int
    n_left_out: int
    factor: float


def permutation_test(
    observed: Story,
    predicted: Story,
    *,
    block: int = 10,
    n_permutations: int = 1000,
    seed: int = 0,
    alternative: Literal["greater", "two-sided"] = "greater",
    correct: bool = True,
) -> Permuted:
    """Test the correlation of held-out responses with their predictions against none.

    Parameters
    ----------
    observed, predicted : one (n_trs, n_targets) array a test story
        Centred here by story.
    block : int
        TRs in a block. What responses and predictions remember for longer widens the
        null by :func:`memory_factor`.
    n_permutations : int
        Orders of the predictions' blocks, drawn once and used for every target.
    correct : bool
        Widen the null for memory beyond a block.

    Raises
    ------
    BraindashError
        Fewer than 5 blocks.
    """
    y, left = _in_blocks(observed, block)
    p, _ = _in_blocks(predicted, block)
    n_blocks = len(y)
    pick = _orders(n_blocks, n_permutations, seed)
    factor = memory_factor(observed, predicted, block) if correct else 1.0
    value, pvalue = np.empty(y.shape[2]), np.empty(y.shape[2])
    for a in range(0, y.shape[2], CHUNK):
        some = slice(a, a + CHUNK)
        value[some], null = _null(y[:, :, some], p[:, :, some], pick)
        pvalue[some] = _p(value[some], null, alternative, factor)
    return Permuted(value, pvalue, n_blocks, block, left, factor)


def paired_test(
    observed: Story,
    predicted: Story,
    reference: Story,
    *,
    block: int = 10,
    n_permutations: int = 1000,
    seed: int = 0,
    alternative: Literal["greater", "two-sided"] = "two-sided",
    correct: bool = True,
) -> Permuted:
    """Test whether ``predicted`` correlates better with the responses than ``reference`` does.

    Under the null hypothesis the two predictions, scaled alike, can be swapped in any
    block of TRs. Arguments as in :func:`permutation_test`.
    """
    factor = paired_factor(observed, predicted, reference, block) if correct else 1.0
    mine, other = (block_shares(observed, p, block) for p in (predicted, reference))
    value, pvalue = swap_blocks(mine, other, n_permutations, seed, alternative, factor)
    left = sum(len(y) % block for y in observed)
    return Permuted(value, pvalue, len(mine.r), block, left, factor)


def paired_factor(observed: Story, predicted: Story, reference: Story, block: int) -> float:
    """Return :func:`memory_factor` for the difference of two predictions, scaled alike."""
    mine, other = ([scaled(x) for x in prediction] for prediction in (predicted, reference))
    return memory_factor(observed, [a - b for a, b in zip(mine, other, strict=True)], block)


@dataclass(frozen=True)
class Shares:
    """What each block adds to a correlation: (n_blocks, n_targets) each.

    Attributes
    ----------
    r : shares of r; they add up to it
    power : shares of the prediction's sum of squares; they add up to 1
    """

    r: np.ndarray
    power: np.ndarray


def block_shares(observed: Story, predicted: Story, block: int) -> Shares:
    """Return what each block adds to the correlation of responses and predictions."""
    y, _ = _in_blocks(observed, block)
    p, _ = _in_blocks(predicted, block)
    norm = _norm(p)
    products = np.einsum("blv,blv->bv", y, p, dtype=np.float64)
    return Shares(products / (norm * _norm(y)), np.einsum("blv,blv->bv", p, p, dtype=np.float64) / norm**2)


def swap_blocks(
    one: Shares,
    two: Shares,
    n_permutations: int,
    seed: int,
    alternative: Literal["greater", "two-sided"] = "two-sided",
    factor: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return r of one prediction less r of another, and its p value when blocks are swapped at random.

    A prediction made of blocks of both has its own sum of squares: leaving it out would make
    the test far too careful where both predict well, because what raises Σ y·p by chance
    raises Σ p² too.
    """
    rng = np.random.default_rng(seed)
    swapped = rng.integers(0, 2, (n_permutations, len(one.r))).astype(np.float32)
    r_one, r_two = one.r.sum(0, dtype=np.float64), two.r.sum(0, dtype=np.float64)
    value, p = r_one - r_two, np.empty(one.r.shape[1])
    for a in range(0, one.r.shape[1], CHUNK):
        some = slice(a, a + CHUNK)
        moved = swapped @ (two.r[:, some] - one.r[:, some]).astype(np.float32)
        power = swapped @ (two.power[:, some] - one.power[:, some]).astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            null = (r_one[some].astype(np.float32) + moved) / np.sqrt(1 + power)
            null -= (r_two[some].astype(np.float32) - moved) / np.sqrt(1 - power)
        p[some] = _p(value[some], null, alternative, factor)
    return value, p


def _p(value: np.ndarray, null: np.ndarray, alternative: str, factor: float) -> np.ndarray:
    threshold = value / factor  # the same as widening the null
    if alternative == "two-sided":
        threshold, null = np.abs(threshold), np.abs(null)
    # Rounding must not decide between a permutation and the data it equals.
    reached = (null >= (threshold - 1e-6 * np.abs(threshold)).astype(null.dtype)).sum(0)
    return np.where(np.isfinite(value), (1 + reached) / (1 + len(null)), np.nan)


def scaled(x: np.ndarray) -> np.ndarray:
    """Return every column centred, with unit variance: (n_trs, n_targets), NaN where constant."""
    sd = np.std(x, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, (x - np.mean(x, axis=0)) / sd, np.nan)


def _in_blocks(stories: Story, block: int) -> tuple[np.ndarray, int]:
    """Cut stories into blocks, centred by story: (n_blocks, block, n_targets) float32, and the TRs left over."""
    parts, left = [], 0
    for x in stories:
        n = len(x) // block
        spare = len(x) - n * block
        left += spare
        if n:
            kept = np.asarray(x[spare // 2 : spare // 2 + n * block], dtype=np.float32)
            kept = kept - kept.mean(0, dtype=np.float64).astype(np.float32)
            parts.append(kept.reshape(n, block, -1))
    total = sum(len(p) for p in parts)
    if total < FEWEST_BLOCKS:
        raise BraindashError(
            f"The test stories have {total} blocks of {block} TRs; a permutation test needs {FEWEST_BLOCKS}.",
            "Use longer or more test stories, or a shorter block.",
        )
    return np.concatenate(parts), left


def _norm(x: np.ndarray) -> np.ndarray:
    """Return sqrt(Σ x²) over blocks and TRs: (n_targets,), NaN for a constant."""
    norm = np.sqrt(np.einsum("blv,blv->v", x, x, dtype=np.float64))
    return np.where(norm > 0, norm, np.nan)


def _orders(n_blocks: int, n_permutations: int, seed: int) -> sparse.csr_matrix:
    """Return random orders of the blocks as picks from K: (n_permutations, n_blocks²), n_blocks ones a row."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(n_blocks), (n_permutations, 1)), axis=1)
    cells = orders + np.arange(n_blocks) * n_blocks
    rows = np.repeat(np.arange(n_permutations), n_blocks)
    ones = np.ones(cells.size, dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, cells.ravel())), shape=(n_permutations, n_blocks**2))


def _null(y: np.ndarray, p: np.ndarray, pick: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return r of the data (v,) and of every permutation (n_permutations, v)."""
    n_blocks, _, v = y.shape
    scale = 1 / (_norm(y) * _norm(p))
    K = np.matmul(y.transpose(2, 0, 1), p.transpose(2, 1, 0)).reshape(v, n_blocks**2)
    K *= scale[:, None].astype(np.float32)
    value = K.reshape(v, n_blocks, n_blocks).trace(axis1=1, axis2=2, dtype=np.float64)
    return value, pick @ np.ascontiguousarray(K.T)


def memory_factor(observed: Story, predicted: Story, block: int, n_lags: int = 60) -> float:
    """Return by how much the standard deviation of r exceeds what exchanging blocks shows, at least 1.

    Between unrelated series with autocorrelations ρ_y and ρ_p, the variance of r over n TRs
    is (1 + 2 Σ_k (1 − k/n) ρ_y(k) ρ_p(k)) / n (Bartlett 1935). Exchanging blocks of length
    L keeps only products within a block, hence the share (1 − k/L) of lag k: a slow signal
    has a null that is too narrow. The factor is the root of the ratio of the two, from the
    mean of ρ_y ρ_p over (evenly spaced, up to ~512 of) the targets given. For a paired test, give the difference of the
    scaled predictions as ``predicted``.
    """
    lengths = [len(x) for x in observed]
    n_lags = min(n_lags, max(lengths) - 1)
    some = slice(None, None, max(1, observed[0].shape[1] // SAMPLE))
    rho_y, rho_p = (_autocorrelation([x[:, some] for x in side], n_lags) for side in (observed, predicted))
    if not np.isfinite(rho_y * rho_p).any():
        return 1.0
    shape = np.nanmean(rho_y * rho_p, axis=1)
    k = np.arange(1, n_lags + 1)
    pairs = np.mean([np.clip(1 - k / n, 0, None) for n in lengths], axis=0)
    whole = 1 + 2 * (shape * pairs).sum()
    seen = 1 + 2 * (shape * np.clip(1 - k / block, 0, None)).sum()
    return float(np.sqrt(max(whole / seen, 1.0))) if seen > 0 else 1.0


def _autocorrelation(stories: Story, n_lags: int) -> np.ndarray:
    """Return the autocorrelation at lags 1 … n_lags: (n_lags, n_targets)."""
    total: np.ndarray | None = None
    for x in stories:
        x = np.asarray(x, dtype=np.float64) - np.mean(x, axis=0)
        size = 2 ** int(np.ceil(np.log2(len(x) + n_lags)))
        power = np.abs(np.fft.rfft(x, size, axis=0)) ** 2
        lagged = np.fft.irfft(power, axis=0)[: n_lags + 1]
        total = lagged if total is None else total + lagged
    assert total is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total[0] > 0, total[1:] / total[0], np.nan)


def fdr(p: np.ndarray, method: Literal["bh", "by"] = "bh") -> np.ndarray:
    """Return q values: the false discovery rate at which each target would be declared.

    Parameters
    ----------
    p : array of p values; NaN are left out and stay NaN
    method : "bh" (Benjamini & Hochberg 1995) or "by" (Benjamini & Yekutieli 2001, any dependence)
    """
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = multipletests(p[tested], method=f"fdr_{method}")[1]
    return q


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, one entry a target."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def correlation_interval(
    observed: Story, predicted: Story, *, block: int = 10, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return r of every target with an interval from a block bootstrap.

    Blocks of TRs are drawn with replacement, the same ones for all targets; the
    standard error of Fisher's z over the draws, corrected for the number of blocks
    b by sqrt(b / (b − 1)) and for memory beyond a block by :func:`memory_factor`, is
    multiplied by Student's t with b − 1 degrees of freedom.
    """
    from scipy import stats

    y, _ = _in_blocks(observed, block)
    p, _ = _in_blocks(predicted, block)
    b = len(y)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(b, np.full(b, 1 / b), size=n_boot).astype(np.float64)
    sums = [np.einsum("blv,blv->bv", u, w, dtype=np.float64) for u, w in ((y, p), (y, y), (p, p))]
    value = _r(*(s.sum(0) for s in sums))
    se = np.empty_like(value)
    for a in range(0, len(value), CHUNK):
        some = slice(a, a + CHUNK)
        r = _r(*(weights @ s[:, some] for s in sums))
        se[some] = np.std(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), axis=0, ddof=1)
    se *= memory_factor(observed, predicted, block)
    reach = stats.t.ppf(0.5 + level / 2, b - 1) * se * np.sqrt(b / (b - 1))
    z = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    return Interval(value, np.tanh(z - reach), np.tanh(z + reach))


def _r(yp: np.ndarray, yy: np.ndarray, pp: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((yy > 0) & (pp > 0), yp / np.sqrt(yy * pp), np.nan)


def across_subjects(
    values: np.ndarray,
    *,
    alternative: Literal["greater", "two-sided"] = "two-sided",
    n_permutations: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
) -> tuple[np.ndarray, np.ndarray]:
    """Test the mean over subjects against zero by flipping the signs of whole subjects.

    Parameters
    ----------
    values : (n_subjects,) or (n_subjects, n_targets)
        Differences, or scores whose null value is 0.

    Returns
    -------
    mean, p : (n_targets,) or scalars as arrays
        All 2ⁿ sign patterns up to 13 subjects, else ``n_permutations`` random ones.

    Raises
    ------
    BraindashError
        Too few subjects for any p below ``alpha``.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    smallest = (2 if alternative == "two-sided" else 1) / 2**n
    if smallest > alpha:
        raise BraindashError(
            f"With {n} subjects the smallest p that sign flips can give is {smallest:.3g}, above {alpha:g}.",
            "Report each subject by itself, with intervals over stories and targets, or add subjects.",
        )
    flat = values.reshape(n, -1)
    if n <= 13:
        patterns = 1 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        mean, null = flat.mean(0), patterns @ flat / n
        if alternative == "two-sided":
            reached = np.abs(null) >= np.abs(mean) - 1e-12
        else:
            reached = null >= mean - 1e-12
        p = reached.mean(0)
    else:
        signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), (n_permutations, n))
        mean = flat.mean(0)
        p = _p(mean, signs @ flat / n, alternative, 1.0)
    return mean.reshape(values.shape[1:]), p.reshape(values.shape[1:])
