"""Where along the depth of a model something is found: peaks, centres, slopes, and the order of levels.

All intervals are from resamples that every layer and model share, so that differences
between models are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from braindash.comparing.bootstrap import Estimate
from braindash.comparing.profiles import FEWEST_DRAWS, NORMAL, Profile

Row = dict[str, Any]

FLAT_P = 0.05
FEWEST_IN_ORDER, FEWEST_LEVELS = 4, 3
NAN = float("nan")


def centre_of_mass(scores: np.ndarray, layers: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Return the mean layer, weighted by how far each layer's score lies above the lowest.

    Scores below ``floor`` count as ``floor``; the weight of a layer is its score less the
    smallest of all layers, so that what every layer has alike does not pull the centre to the middle.

    Parameters
    ----------
    scores : (n_layers, n)
    layers : (n_layers,)
    floor : float

    Returns
    -------
    (n,) array
        NaN where all layers score the same.
    """
    raised = np.maximum(scores, floor)
    weights = raised - raised.min(0)
    total = weights.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((np.asarray(layers, float) @ weights) / np.where(total > 0, total, NAN))


def flatness(profile: Profile) -> float:
    """Return the p value of all layers scoring the same: bootstrap of the sum of squares about the mean layer.

    Scores below chance count as chance. NaN without resamples.
    """
    if not profile.has_error or len(profile.layers) < 2:
        return NAN
    raised = np.maximum(profile.value, profile.floor)
    seen = float(np.sum((raised - raised.mean()) ** 2))
    errors = profile.deviations()
    errors = errors[:, np.isfinite(errors).all(0)]
    null = np.sum((errors - errors.mean(0)) ** 2, axis=0)
    return float((1 + np.sum(null >= seen)) / (1 + len(null)))


def depth_row(profile: Profile) -> Row:
    """Return where a profile peaks and where its centre of mass lies, in layers, with 95 % intervals.

    Returns
    -------
    dict
        ``peak_layer, peak_low, peak_high, centre, centre_low, centre_high``, ``flat`` and
        ``note``. A profile that is flat within its error has neither peak nor centre (NaN): any
        layer would do.
    """
    row: Row = dict.fromkeys(("peak_layer", "peak_low", "peak_high", "centre", "centre_low", "centre_high"), NAN)
    profile = profile.finite()
    if len(profile.layers) < 2:
        return row | {"flat": False, "note": "fewer than two layers were scored"}
    p = flatness(profile)
    if p > FLAT_P:
        return row | {"flat": True, "note": "flat: its layers do not differ beyond the error"}
    centre = profile.estimate(lambda s: centre_of_mass(s, profile.layers, profile.floor))
    if not np.isfinite(centre.value):
        return row | {"flat": True, "note": "flat: no layer is above chance"}
    low, high = _peak_interval(profile)
    return row | {
        "peak_layer": float(profile.layers[int(np.argmax(profile.value))]),
        "peak_low": low,
        "peak_high": high,
        "centre": centre.value,
        "centre_low": max(centre.low, float(profile.layers.min())),
        "centre_high": min(centre.high, float(profile.layers.max())),
        "flat": False,
        "note": "" if np.isfinite(p) else "no interval: fewer than three stories or groups were scored",
    }


def _peak_interval(profile: Profile) -> tuple[float, float]:
    if not profile.has_error:
        return NAN, NAN
    peaks = profile.layers[np.argmax(profile.value[:, None] + profile.deviations(), axis=0)]
    low, high = np.percentile(peaks, [2.5, 97.5], method="inverted_cdf")
    at = float(profile.layers[int(np.argmax(profile.value))])
    return min(float(low), at), max(float(high), at)


def slope(profile: Profile) -> Estimate:
    """Return the least-squares slope of a score over relative depth, first layer 0 and last layer 1."""
    profile = profile.finite()
    if len(profile.layers) < 3:
        return Estimate(NAN, NAN, NAN, NAN)
    depth = (profile.layers - profile.layers.min()) / np.ptp(profile.layers)
    weights = (depth - depth.mean()) / np.sum((depth - depth.mean()) ** 2)
    return profile.estimate(lambda scores: np.asarray(weights @ scores))


def mean_change(profile: Profile) -> Estimate:
    """Return the mean over layers of a difference (see `Profile.minus`)."""
    return profile.estimate(lambda scores: np.asarray(scores.mean(0)))


@dataclass(frozen=True)
class Order:
    """How well the depth of things follows their level, with resamples for paired changes.

    Attributes
    ----------
    rho, step : float
        Spearman's correlation of level and centre of mass; layers from one level to the next (least squares).
    rho_draws, step_draws : (n,) arrays
        The same with the errors of `Profile.deviations`.
    n : int
        Things in the order.
    levels : tuple of int
        Those that are present.
    note : str
        Why there is no order; "" where there is.
    """

    rho: float
    step: float
    rho_draws: np.ndarray
    step_draws: np.ndarray
    n: int
    levels: tuple[int, ...]
    note: str = ""

    def row(self) -> Row:
        """Return ``rho, ci_low, ci_high, step, step_low, step_high`` and the note."""
        row: Row = {"rho": self.rho, "ci_low": NAN, "ci_high": NAN}
        row |= {"step": self.step, "step_low": NAN, "step_high": NAN, "note": self.note}
        known = np.isfinite(self.rho_draws)
        if known.sum() >= FEWEST_DRAWS:
            # quantiles, as rho ends at 1; widened to hold the estimate, which ties can leave outside
            low, high = np.percentile(self.rho_draws[known], [2.5, 97.5])
            reach = NORMAL * float(np.std(self.step_draws[known], ddof=1))
            row |= {"ci_low": min(float(low), self.rho), "ci_high": max(float(high), self.rho)}
            row |= {"step_low": self.step - reach, "step_high": self.step + reach}
        return row


def order_of(profiles: Sequence[Profile], levels: Sequence[int]) -> Order:
    """Return how well the centres of mass of several profiles follow their levels.

    Parameters
    ----------
    profiles : sequence of Profile
        Of one model; none of them flat.
    levels : sequence of int
        From sound (0) upwards, one a profile.

    Returns
    -------
    Order
        Of NaN, with a note, where there are fewer than 4 profiles or 3 levels.
    """
    found = tuple(sorted(set(levels)))
    none = np.array([])
    if len(profiles) < FEWEST_IN_ORDER or len(found) < FEWEST_LEVELS:
        why = f"{len(profiles)} of {len(found)} levels have a peak; an order needs {FEWEST_IN_ORDER} of {FEWEST_LEVELS}"
        return Order(NAN, NAN, none, none, len(profiles), found, why)
    at = np.asarray(levels, float)
    centres = np.array([centre_of_mass(p.value[:, None], p.layers, p.floor)[0] for p in profiles])[:, None]
    rho, step = float(_spearman(at, centres)[0]), float(_step(at, centres)[0])
    if not all(p.has_error for p in profiles):
        return Order(rho, step, none, none, len(profiles), found, "no interval: too few stories or groups were scored")
    drawn = [p.deviations() for p in profiles]
    n = min(d.shape[1] for d in drawn)
    moved = np.stack(
        [
            centre_of_mass(p.value[:, None] + d[:, :n], p.layers, p.floor)
            for p, d in zip(profiles, drawn, strict=True)
        ]
    )  # fmt: skip
    return Order(rho, step, _spearman(at, moved), _step(at, moved), len(profiles), found)


def order_change(before: Order, after: Order) -> Row:
    """Return how tuning changed the order, paired: ``delta`` of rho, ``step_delta``, intervals and two-sided p.

    Rho cannot exceed 1: where the order was perfect before, only the step tells whether levels moved apart.
    """
    row: Row = {}
    for prefix, name in (("", "rho"), ("step_", "step")):
        delta = getattr(after, name) - getattr(before, name)
        first, second = getattr(before, f"{name}_draws"), getattr(after, f"{name}_draws")
        n = min(len(first), len(second))
        drawn = second[:n] - first[:n]
        drawn = drawn[np.isfinite(drawn)]
        row |= {f"{prefix}delta": delta} | {f"{prefix}{k}": NAN for k in ("ci_low", "ci_high", "p")}
        if len(drawn) >= FEWEST_DRAWS and np.isfinite(delta):
            se = float(np.std(drawn, ddof=1))
            p = 2 * float(stats.norm.sf(abs(delta) / se)) if se > 0 else (1.0 if delta == 0 else 0.0)
            row |= {f"{prefix}ci_low": delta - NORMAL * se, f"{prefix}ci_high": delta + NORMAL * se, f"{prefix}p": p}
    return row


def _spearman(levels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Spearman's rho of levels (m,) with centres (m, n): (n,); ties share their rank, all tied is 0."""
    a = stats.rankdata(levels)
    b = stats.rankdata(centres, axis=0)
    a, b = a - a.mean(), b - b.mean(0)
    size = np.sqrt(np.sum(a**2) * np.sum(b**2, axis=0))
    rho = (a @ b) / np.where(size > 0, size, 1.0)
    return np.asarray(np.where(np.isfinite(centres).all(0), rho, NAN))


def _step(levels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    x = levels - levels.mean()
    return np.asarray((x @ centres) / np.sum(x**2))
