"""Region means with standard errors over test stories and targets, paired across models.

A region's score is the mean over its targets of the correlation over all test
stories. Two things were sampled to get it: the stories that were played and
the targets that were measured. Both are resampled together, with the same
weights for every model, so that a difference of two models is paired in both.

The correlation of a resample is exact, not an average of per-story values: it
is rebuilt from the sums of products that every scoring unit leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

FEWEST_UNITS = 3
CHUNK = 4096  # targets worked on at once: bounds memory at n_boot × CHUNK


class Scored(Protocol):
    """What is left of a fit, one row a scoring unit: its score can be rebuilt for any resample of the units."""

    @property
    def n_units(self) -> int: ...

    def resampled(self, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the score with ``weights`` (n_samples, n_units) of some targets: (n_samples, n_targets)."""
        ...


@dataclass(frozen=True)
class Moments:
    """Sums of centred products of response y and prediction p, one row a scoring unit.

    A unit is a test story, or a stretch of one where there are few stories;
    centring is by story, so that sums over units give the correlation over stories.

    Attributes
    ----------
    yp, yy, pp : (n_units, n_targets) arrays
    """

    yp: np.ndarray
    yy: np.ndarray
    pp: np.ndarray

    @property
    def n_units(self) -> int:
        return len(self.yp)

    def resampled(self, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (weights @ self.yp[:, targets]) / np.sqrt(
                (weights @ self.yy[:, targets]) * (weights @ self.pp[:, targets])
            )
        # a constant prediction predicts nothing: its correlation counts as 0
        return np.where(np.isfinite(r), r, 0.0)

    def correlation(self) -> np.ndarray:
        """Return r over all units: (n_targets,). NaN where y or p is constant."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.yp.sum(0) / np.sqrt(self.yy.sum(0) * self.pp.sum(0))

    def unit_correlation(self) -> np.ndarray:
        """Return r of every unit: (n_units, n_targets)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.yp / np.sqrt(self.yy * self.pp)


@dataclass(frozen=True)
class VarianceShare:
    """A share of the variance of the responses, such as R² or a difference of two R².

    Attributes
    ----------
    explained, total : (n_units, n_targets) arrays
        Sums of squares; R² has Σy² − Σ(y − p)² over Σy².
    """

    explained: np.ndarray
    total: np.ndarray

    @property
    def n_units(self) -> int:
        return len(self.total)

    def resampled(self, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.asarray((weights @ self.explained[:, targets]) / (weights @ self.total[:, targets]))


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, value: float, samples: np.ndarray, n_units: int) -> Estimate:
        """Return value ± t · SE from the resamples of `bootstrap_region_means`, or a difference of two of them.

        Resampling stories and targets together counts what is particular to one story
        *and* one target (its noise) three times: once with the stories, once with the
        targets, once with both (Owen 2007). Resamples of stories alone and of targets
        alone tell it apart, and it is counted once. The stories' part is too small by
        (n-1)/n with n stories, and its few degrees of freedom are Student's t's, by
        Satterthwaite's rule. Fewer than three units say nothing about their spread:
        no interval.

        Parameters
        ----------
        value : float
        samples : (3 * n_boot,) array
            Resamples of both, of units alone, of targets alone.
        n_units : int
        """
        if n_units < FEWEST_UNITS or not np.isfinite(value):
            return cls(value, float("nan"), float("nan"), float("nan"))
        both, stories, targets = (float(np.var(part, ddof=1)) for part in np.split(samples, 3))
        particular = max(0.0, (both - stories - targets))
        stories *= n_units / (n_units - 1)
        variance = max(stories + targets - particular, stories, targets)
        if variance == 0:
            return cls(value, value, value, 1.0 if value == 0 else 0.0)
        freedom = (n_units - 1) * (variance / stories) ** 2 if stories > 0 else np.inf
        se = float(np.sqrt(variance))
        reach = float(stats.t.ppf(0.975, freedom)) * se
        p = 2 * float(stats.t.sf(abs(value) / se, freedom))
        return cls(value, value - reach, value + reach, p)


def bootstrap_region_means(
    models: Mapping[str, Scored],
    masks: Mapping[str, np.ndarray],
    scale: np.ndarray | None,
    n_boot: int,
    seed: int,
) -> dict[str, dict[str, np.ndarray]]:
    """Bootstrap the mean score of every region for every model, with common weights.

    Parameters
    ----------
    models : mapping of name to Moments or VarianceShare, all of the same units and targets
    masks : mapping of region to (n_targets,) bool
        Targets that count in the region.
    scale : (n_targets,) or None
        What r is divided by (the noise ceiling), or None for r itself.
    n_boot : int
    seed : int

    Returns
    -------
    dict of model to dict of region to (1 + 3 * n_boot,) array
        Entry 0 is the estimate itself (all weights one); then the resamples of units and
        targets together, of units alone, and of targets alone. Differences of two models
        are differences of these.
    """
    any_model = next(iter(models.values()))
    n_units = any_model.n_units
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones(n_units), rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_boot)])
    n_samples = 1 + 3 * n_boot
    sums = {m: {r: np.zeros(n_samples) for r in masks} for m in models}
    totals = {r: np.zeros(n_samples) for r in masks}
    used = np.flatnonzero(np.any([*masks.values()], axis=0)) if masks else np.array([], int)
    for start in range(0, len(used), CHUNK):
        cols = used[start : start + CHUNK]
        # exponential weights resample targets without drawing any of them zero times
        drawn = rng.standard_exponential((n_boot, len(cols)))
        members = {r: np.flatnonzero(mask[cols]) for r, mask in masks.items() if mask[cols].any()}
        for region, inside in members.items():
            weight = drawn[:, inside].sum(1)
            totals[region] += np.concatenate([[len(inside)], weight, np.full(n_boot, float(len(inside))), weight])
        for name, m in models.items():
            r = m.resampled(weights, cols)
            if scale is not None:
                r = r / scale[cols]
            for region, inside in members.items():
                here, weight = r[:, inside], drawn[:, inside]
                sums[name][region] += np.concatenate(
                    [here[:1].sum(1), (here[1:] * weight).sum(1), here[1:].sum(1), weight @ here[0]]
                )
    with np.errstate(invalid="ignore", divide="ignore"):
        return {m: {r: sums[m][r] / totals[r] for r in masks} for m in models}
