"""A score over the layers of a model, with the resamples that carry its error to anything made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from braindash.comparing.bootstrap import FEWEST_UNITS, Estimate

FEWEST_DRAWS = 20
NORMAL = 1.96


@dataclass(frozen=True)
class Profile:
    """One score at every layer, and the same from resamples that all layers and models share.

    Attributes
    ----------
    layers : (n_layers,) int
    value : (n_layers,) float
    draws : (n_layers, n_draws) float
        Resamples. With ``parts`` 3 as from `bootstrap_region_means`: of units and targets
        together, of units alone, of targets alone; with 1, of units.
    n_units : int
        Scored stories, stretches or groups that were drawn anew. Fewer than 3 say nothing of their spread.
    parts : 1 or 3
    floor : float
        Chance: a layer that scores below it knows nothing, not less than nothing.
    """

    layers: np.ndarray
    value: np.ndarray
    draws: np.ndarray
    n_units: int
    parts: int = 1
    floor: float = 0.0

    @property
    def has_error(self) -> bool:
        """Whether there are resamples of enough units."""
        n = self.draws.shape[1] // self.parts
        return self.n_units >= FEWEST_UNITS and n >= FEWEST_DRAWS and bool(np.isfinite(self.draws).any())

    def finite(self) -> Profile:
        """Return it without the layers that have no score."""
        known = np.isfinite(self.value)
        return replace(self, layers=self.layers[known], value=self.value[known], draws=self.draws[known])

    def at(self, layers: Sequence[int]) -> Profile:
        """Return it at some layers alone."""
        inside = np.isin(self.layers, layers)
        return replace(self, layers=self.layers[inside], value=self.value[inside], draws=self.draws[inside])

    def minus(self, other: Profile) -> Profile:
        """Return the paired difference: both must be of the same layers and resamples."""
        return replace(self, value=self.value - other.value, draws=self.draws - other.draws)

    def estimate(self, of: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """Return a statistic of the profile with its 95 % interval and two-sided p.

        Parameters
        ----------
        of : callable
            From (n_layers, n) scores to (n,) values.
        """
        value = float(of(self.value[:, None])[0])
        if not self.has_error or not np.isfinite(value):
            return Estimate(value, float("nan"), float("nan"), float("nan"))
        found = of(self.draws)
        if self.parts == 3:
            return Estimate.of(value, found, self.n_units)
        known = found[np.isfinite(found)]
        if len(known) < FEWEST_DRAWS:
            return Estimate(value, float("nan"), float("nan"), float("nan"))
        se = float(np.std(known, ddof=1)) * (self.n_units / (self.n_units - 1)) ** 0.5
        if se == 0:
            return Estimate(value, value, value, 1.0 if value == 0 else 0.0)
        reach = float(stats.t.ppf(0.975, self.n_units - 1)) * se
        return Estimate(value, value - reach, value + reach, 2 * float(stats.t.sf(abs(value) / se, self.n_units - 1)))

    def deviations(self) -> np.ndarray:
        """Return errors of the profile as they might have been: (n_layers, n), for quantiles of any statistic.

        The units' part is widened for their small number (n-1 of n, and Student's t in
        place of the normal), so that plain 95 % quantiles serve. With targets drawn as well, their part
        is added; what is particular to one unit and one target is then counted twice,
        which errs towards wider intervals.
        """
        wide = (self.n_units / (self.n_units - 1)) ** 0.5 * float(stats.t.ppf(0.975, self.n_units - 1)) / NORMAL
        if self.parts == 1:
            return (self.draws - self.value[:, None]) * wide
        _, units, targets = np.split(self.draws - self.value[:, None], 3, axis=1)
        return np.asarray(units * wide + targets)


def mean_profile(profiles: Sequence[Profile]) -> Profile:
    """Return the mean over subjects of profiles with the same layers and units."""
    return replace(
        profiles[0],
        value=np.mean([p.value for p in profiles], axis=0),
        draws=np.mean([p.draws for p in profiles], axis=0),
    )
