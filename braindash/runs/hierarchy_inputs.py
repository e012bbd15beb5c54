"""From a run's files to profiles over layers: regions from the evaluation, probes from their resamples."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.comparing.differences import ALL
from braindash.comparing.profiles import Profile
from braindash.config import TuneConfig

if TYPE_CHECKING:
    from braindash.runs.record import Run

Profiles = dict[tuple[str, str, str], Profile]


def region_profiles(run: Run, records: Mapping[str, Any], caveats: list[str]) -> tuple[Profiles, str]:
    """Return the profile of every subject, model and region, and the measure ("r_norm" or "r").

    From the resamples that the evaluation kept; where it was written without, from correlations
    within single test stories, which is said in ``caveats``.

    Raises
    ------
    BraindashError
        Where the results are there but cannot be read.
    """
    from braindash.comparing.region_samples import profiles_of, samples_from_stories
    from braindash.runs.evaluate import choose_regions
    from braindash.runs.results import open_results

    if not records or not run.results_path.exists():
        return {}, "r"
    shared = any(r["subject"] == ALL for r in records.get("encoding", ()))
    pool = [str(s) for s in records.get("tuned_on") or records.get("subjects", ())] if shared else []
    tree = open_results(run.path)
    if "regions" in tree.children:
        data = tree["regions"].to_dataset().load()
    else:
        import pandas as pd

        encoding = tree["encoding"].to_dataset()
        if "r_story" not in encoding:
            return {}, "r"
        masks = {}
        for subject in dict.fromkeys(encoding["subject"].values.tolist()):
            mine = encoding["subject"].values == subject
            targets = pd.DataFrame({k: encoding[k].values[mine] for k in ("roi", "hemi")})
            masks[str(subject)] = choose_regions(targets)
        settings = run.config.encoding
        data = samples_from_stories(encoding, masks, settings.ceiling_threshold, settings.seed)
        caveats.append(
            "This run was evaluated before resamples of regions were kept: depths are from correlations within single "
            "test stories. Evaluate it again for those over all of them."
        )
    return profiles_of(data, pool), str(data.attrs["measure"])


def probe_profiles(folder: Path, probing: Mapping[str, Any]) -> dict[tuple[str, str], Profile]:
    """Return the profile of every model and task; without resamples where ``probing.nc`` is missing.

    Raises
    ------
    BraindashError
        Where the arrays are there but cannot be read.
    """
    from braindash.runs.probing import read_probing_arrays

    if not probing:
        return {}
    arrays = read_probing_arrays(folder)
    layers = np.array([int(k) for k in probing["layers"]])
    facts = {t["name"]: t for t in probing["tasks"]}
    scores: dict[tuple[str, str], np.ndarray] = {}
    for row in probing["rows"]:
        at = scores.setdefault((row["model"], row["task"]), np.full(len(layers), np.nan))
        at[layers == int(row["layer"])] = row["score"]
    out = {}
    for (model, task), value in scores.items():
        draws = np.empty((len(layers), 0))
        if arrays is not None and "samples" in arrays and model in arrays["model"].values:
            mine = arrays["samples"].sel(model=model, task=task, layer=layers).transpose("layer", "sample")
            draws = mine.values.astype(np.float64)
            draws = draws[:, np.isfinite(draws).all(0)]
        chance = facts.get(task, {}).get("chance")
        floor = float(chance) if isinstance(chance, int | float) and math.isfinite(chance) else 0.0
        out[model, task] = Profile(layers, value, draws, int(facts.get(task, {}).get("n_units") or 0), 1, floor)
    return out


def hears_sound(config: TuneConfig) -> bool | None:
    """Say whether early auditory cortex was among the targets tuned on; None where names do not tell."""
    from braindash.encoding.regions import region_groups

    groups = region_groups()
    if config.mask:
        return None
    if not config.rois:
        return True
    known = {parcel for parcels in groups.values() for parcel in parcels}
    told: list[bool | None] = []
    for roi in config.rois:
        base = roi.removesuffix("_left").removesuffix("_right").removesuffix("_ROI")
        base = base[2:] if base[:2] in ("L_", "R_") else base
        if base in groups:
            told.append(not groups[base] or bool(set(groups[base]) & set(groups["early_auditory"])))
        else:
            told.append(base in groups["early_auditory"] if base in known else None)
    return True if True in told else None if None in told else False


def selected_regions(config: TuneConfig, regions: Collection[str]) -> tuple[str, str]:
    """Return a region that was tuned on and one that was not; "" where all was, or names do not tell."""
    from braindash.encoding.regions import region_groups

    sides = ("left", "right") if config.hemi == "left" else ("right", "left")
    if config.hemi != "both" and set(sides) <= set(regions):
        return sides
    groups = region_groups()
    inside = next((roi for roi in config.rois if roi in regions), "")
    mine = {p for roi in config.rois for p in groups.get(roi, (roi,))}
    if not inside or config.mask or {"cortex", "left", "right"} & set(config.rois):
        return "", ""
    outside = next(
        (r for r in ("late_language", "early_auditory") if r in regions and not mine & set(groups[r])), ""
    )  # fmt: skip
    return (inside, outside) if outside else ("", "")
