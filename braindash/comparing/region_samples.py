"""Region scores of every layer with their resamples, kept from an evaluation for what is made of whole profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from braindash.comparing.bootstrap import Scored, bootstrap_region_means
from braindash.comparing.profiles import Profile, mean_profile
from braindash.encoding.regions import parcel_names, region_groups

ALL = "all"  # the mean over subjects
KEPT = 250  # resamples of each kind that are kept: enough for a standard error, a quarter of the space
FEW_REGIONS = 20
WHOLE = ("cortex", "left", "right")
# where sound comes first, next, and late: the order that regions are compared with
LEVELS: tuple[str, ...] = ("primary_auditory", "early_auditory", "late_language")


def parcel_level(region: str) -> int | None:
    """Return a parcel's place in `LEVELS`; None for other parcels and for groups. A1 is primary, not early."""
    groups = region_groups()
    if region in groups:
        return None
    name = parcel_names(pd.Series([region])).iloc[0]
    return next((i for i, group in enumerate(LEVELS) if name in groups[group]), None)


def regions_kept(regions: Iterable[str], named: Iterable[str] = ()) -> list[str]:
    """Return the regions whose resamples are kept: named groups, and the parcels that `LEVELS` are made of.

    ``named`` are groups of a lab's own. A study without any group of ours keeps its own regions, if they are few.
    """
    every, groups = list(regions), {*region_groups(), *named}
    chosen = [r for r in every if r in groups or parcel_level(r) is not None]
    if set(chosen) - set(named) <= set(WHOLE) and len(every) <= FEW_REGIONS:
        return every
    return chosen


class RegionSamples:
    """Gathers the resamples of region means while `region_rows` goes through layers and subjects.

    Attributes
    ----------
    regions : list of str
    """

    def __init__(self, regions: Iterable[str], named: Iterable[str] = ()) -> None:
        self.regions = regions_kept(regions, tuple(named))
        self._found: dict[str, dict[tuple[str, str, int, str], np.ndarray]] = {"r": {}, "r_norm": {}}
        self._units: dict[str, int] = {}

    def add(
        self, subject: str, layer: int, n_units: int, raw: Mapping[str, Any], norm: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Keep what `bootstrap_region_means` returned for one subject and layer, without and with ceilings."""
        self._units[subject] = n_units
        for measure, means in (("r", raw), ("r_norm", norm)):
            for model, of_region in means.items():
                for region in self.regions:
                    if region in of_region:
                        self._found[measure][subject, model, layer, region] = _thin(of_region[region])

    def dataset(self) -> xr.Dataset:
        """Return ``score (subject, model, layer, roi, sample)``; the first sample is the score itself.

        r / ceiling where there are ceilings, else r (``attrs["measure"]``); NaN where a subject lacks a region.
        """
        measure = "r_norm" if self._found["r_norm"] else "r"
        found = self._found[measure]
        subjects, models = list(dict.fromkeys(k[0] for k in found)), list(dict.fromkeys(k[1] for k in found))
        layers, regions = list(dict.fromkeys(k[2] for k in found)), list(dict.fromkeys(k[3] for k in found))
        n = max((len(v) for v in found.values()), default=1)
        score = np.full((len(subjects), len(models), len(layers), len(regions), n), np.nan, np.float32)
        for (subject, model, layer, region), values in found.items():
            at = subjects.index(subject), models.index(model), layers.index(layer), regions.index(region)
            score[at] = values
        return xr.Dataset(
            {
                "score": (("subject", "model", "layer", "roi", "sample"), score),
                "n_units": ("subject", np.array([self._units[s] for s in subjects], np.int64)),
            },
            coords={"subject": subjects, "model": models, "layer": layers, "roi": regions},
            attrs={"measure": measure},
        )


def _thin(samples: np.ndarray) -> np.ndarray:
    """Return the estimate and the first resamples of each of the three kinds."""
    return np.concatenate([samples[:1], *(part[:KEPT] for part in np.split(samples[1:], 3))]).astype(np.float32)


def profiles_of(data: xr.Dataset, pool: Sequence[str] = ()) -> dict[tuple[str, str, str], Profile]:
    """Return the profile of every subject, model and region that `RegionSamples.dataset` holds.

    Subject "all" is the mean over those in ``pool``, who must have been scored on the same stories.
    """
    layers = data["layer"].values.astype(int)
    units = {str(s): int(n) for s, n in zip(data["subject"].values, data["n_units"].values, strict=True)}
    score = data["score"].transpose("subject", "model", "roi", "layer", "sample").values.astype(np.float64)
    names = [[str(x) for x in data[dim].values] for dim in ("subject", "model", "roi")]
    out: dict[tuple[str, str, str], Profile] = {}
    for i, subject in enumerate(names[0]):
        for j, model in enumerate(names[1]):
            for k, region in enumerate(names[2]):
                known = score[i, j, k]
                if np.isfinite(known[:, 0]).any():
                    out[subject, model, region] = Profile(
                        layers, known[:, 0], known[:, 1:], units[subject], parts=3
                    )  # fmt: skip
    for model in names[1]:
        for region in names[2]:
            having = [out[s, model, region] for s in pool if (s, model, region) in out]
            if having:
                out[ALL, model, region] = mean_profile(having)
    return out


class _StoryScores:
    """Correlations within whole test stories, as `Scored`: the mean over the stories that are drawn."""

    def __init__(self, r: np.ndarray) -> None:
        self.r = r  # (n_stories, n_targets)

    @property
    def n_units(self) -> int:
        return len(self.r)

    def resampled(self, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.asarray((weights @ self.r[:, targets]) / weights.sum(1, keepdims=True))


def samples_from_stories(
    encoding: xr.Dataset, masks: Mapping[str, Mapping[str, np.ndarray]], threshold: float, seed: int
) -> xr.Dataset:
    """Return what `RegionSamples.dataset` does, from the correlations within single stories.

    For results that were written without resamples. The score is the mean over test stories of the
    correlation within each, which differs a little from the correlation over all of them.

    Parameters
    ----------
    encoding : xr.Dataset
        Group ``encoding`` of a run's results: ``r_story (model, layer, story, target)``, ``noise_ceiling (target)``.
    masks : subject -> region -> (n_targets of the subject,) bool
    threshold : float
        Targets whose noise ceiling is below it are left out.
    seed : int
    """
    regions: Sequence[str] = list(dict.fromkeys(r for m in masks.values() for r in m))
    kept = RegionSamples(regions)
    for subject, of_subject in masks.items():
        mine = encoding.sel(target=encoding["subject"].values == subject)
        roof = mine["noise_ceiling"].values.astype(np.float64)
        models = [str(m) for m in mine["model"].values]
        for layer in mine["layer"].values.astype(int).tolist():
            r = mine["r_story"].sel(layer=layer).transpose("model", "story", "target").values.astype(np.float64)
            heard = np.isfinite(r).any((0, 2))
            r = r[:, heard]
            scored: dict[str, Scored] = {
                m: _StoryScores(r[i]) for i, m in enumerate(models) if np.isfinite(r[i]).any()
            }  # fmt: skip
            ok = np.isfinite(r[[i for i, m in enumerate(models) if m in scored]]).all((0, 1))
            reachable = ok & np.isfinite(roof) & (roof > 0) & (roof >= threshold)
            inside = {n: m & ok for n, m in of_subject.items() if n in kept.regions and (m & ok).any()}
            inside_norm = {n: m & reachable for n, m in inside.items() if (m & reachable).any()}
            raw = bootstrap_region_means(scored, inside, None, KEPT, seed)
            norm = bootstrap_region_means(scored, inside_norm, roof, KEPT, seed)
            kept.add(subject, layer, int(heard.sum()), raw, norm)
    return kept.dataset()
