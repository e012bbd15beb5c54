"""Scores of probes from sums that add over examples, so that resampling is a product of matrices."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

import numpy as np
from scipy import stats

from braindash.probing.base import Kind

FEWEST_UNITS = 3


def add_up(
    kind: Kind,
    y: np.ndarray,
    answer: np.ndarray,
    mean: np.ndarray | None = None,
    by: np.ndarray | None = None,
    n_rows: int = 0,
) -> np.ndarray:
    """Return what scores are made from, over all examples or a row for every unit.

    Parameters
    ----------
    kind : "regression", "classification" or "multilabel"
    y, answer : (n, ...) arrays
        Values, or 1 where a class or label is the case and 0 elsewhere.
    mean : array that broadcasts to y
        Of the training part; regression only.
    by : (n,) int, optional
        Unit of every example, below ``n_rows``.

    Returns
    -------
    (..., 2, d) or (n_rows, ..., 2, d) float64
        Of regression Σ(y − ŷ)² and Σ(y − mean)²; else how often true and answered, true, answered: (..., 3, d).
    """
    if kind == "regression":
        assert mean is not None
        parts = [np.square(y - answer), np.square(y - mean)]
    else:
        parts = [y * answer, y, answer]
    if by is None:
        everything = np.ones(len(y), dtype=y.dtype)
        return np.stack([np.tensordot(everything, part, axes=1) for part in parts], axis=-2).astype(np.float64)
    member = np.zeros((n_rows, len(y)), dtype=np.float64)
    member[by, np.arange(len(y))] = 1
    return np.stack([np.tensordot(member, part, axes=1) for part in parts], axis=-2)


def score(kind: Kind, sums: np.ndarray) -> np.ndarray:
    """Return the score of sums made by `add_up`: (..., parts, d) -> (...).

    R² is 1 − Σ(y − ŷ)² / Σ(y − mean)², averaged over columns, every column with the same weight; ``mean``
    is that of the training part, so that a probe which learnt only the mean has 0. F1 is 2·tp / (true +
    answered), averaged over the classes or labels that are true at least once. NaN where there is none.
    """
    if kind == "regression":
        error, total = sums[..., 0, :], sums[..., 1, :]
        counts = total > 0
        value = 1 - error / np.where(counts, total, 1)
    else:
        hits, true, answered = sums[..., 0, :], sums[..., 1, :], sums[..., 2, :]
        counts = true > 0
        value = 2 * hits / np.where(counts, true + answered, 1)
    n = counts.sum(-1)
    return np.where(n > 0, (value * counts).sum(-1) / np.maximum(n, 1), np.nan)


def chance(kind: Kind, sums: np.ndarray, n: int) -> float:
    """Return what guessing by frequency is expected to score, from the sums over all scored examples.

    Who guesses a class as often as it occurs (a share π) has precision and recall π, so F1 is π: on average
    1/K over K classes, and the mean prevalence over labels. R² of the mean is 0.

    Parameters
    ----------
    sums : (parts, d)
    n : int
        Scored examples.
    """
    if kind == "regression":
        return 0.0
    shares = sums[1][sums[1] > 0] / n
    return float(np.mean(shares))


def draw_units(n_units: int, n_boot: int, seed: int) -> np.ndarray:
    """Return how often each unit is in each resample: (n_boot, n_units) float64."""
    drawn = np.random.default_rng([seed, 2]).multinomial(n_units, np.full(n_units, 1 / n_units), size=n_boot)
    return drawn.astype(np.float64)


def resampled(kind: Kind, weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return the score of every resample: weights (n_boot, n_units), sums (n_units, parts, d) -> (n_boot,)."""
    return score(kind, np.tensordot(weights, sums, axes=1))


def interval(value: float, samples: np.ndarray, n_units: int) -> tuple[float, float, float]:
    """Return low, high and two-sided p of a score, or of a paired difference of two scores.

    value ± t·SE at 95 %, Student's t with n − 1 degrees of freedom. The spread of the resamples of n
    units is too small by (n − 1)/n, which is made up for. Fewer than three units say nothing about
    their spread: NaN.

    Parameters
    ----------
    value : float
    samples : (n_boot,) resamples of it
    n_units : int
    """
    samples = samples[np.isfinite(samples)]
    if n_units < FEWEST_UNITS or len(samples) < 2 or not np.isfinite(value):
        return float("nan"), float("nan"), float("nan")
    se = float(np.std(samples, ddof=1)) * np.sqrt(n_units / (n_units - 1))
    if se == 0:
        return value, value, 1.0 if value == 0 else 0.0
    reach = float(stats.t.ppf(0.975, n_units - 1)) * se
    return value - reach, value + reach, 2 * float(stats.t.sf(abs(value) / se, n_units - 1))


def add_q(differences: MutableSequence[dict[str, Any]]) -> None:
    """Give every difference its q: Benjamini & Hochberg over all layers and tasks of a model; NaN where p is.

    Parameters
    ----------
    differences : rows with "model" and "p"
        Of all tasks of an analysis; "q" is set in place.
    """
    from statsmodels.stats.multitest import multipletests

    for model in {row["model"] for row in differences}:
        rows = [row for row in differences if row["model"] == model]
        known = [row for row in rows if np.isfinite(row["p"])]
        for row in rows:
            row["q"] = float("nan")
        if known:
            for row, q in zip(known, multipletests([row["p"] for row in known], method="fdr_bh")[1], strict=True):
                row["q"] = float(q)
