"""The tables of ``hierarchy.json``, from profiles over layers and from the rows of a run's documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindash.comparing.bootstrap import Estimate
from braindash.comparing.differences import REFERENCE
from braindash.comparing.hierarchy import Order, depth_row, mean_change, order_change, order_of, slope
from braindash.comparing.profiles import Profile
from braindash.comparing.region_samples import parcel_level
from braindash.encoding.regions import region_title
from braindash.probing.base import LEVELS

Row = dict[str, Any]
Regions = Mapping[tuple[str, str, str], Profile]  # by subject, model, region
Probes = Mapping[tuple[str, str], Profile]  # by model, task

SAME = 1e-9  # scores nearer than this are those of one and the same layer
Q = 0.05


def region_rows(profiles: Regions, titles: Mapping[str, str] | None = None) -> list[Row]:
    """Return peak and centre of every region, model and subject; parcels serve the order alone.

    ``titles`` are what the evaluation called regions.
    """
    return [
        {"model": model, "subject": subject, "roi": roi, "title": (titles or {}).get(roi) or region_title(roi)}
        | depth_row(profile)
        for (subject, model, roi), profile in profiles.items()
        if parcel_level(roi) is None
    ]


def probe_rows(profiles: Probes, probing: Mapping[str, Any]) -> list[Row]:
    """Return peak and centre of every task and model."""
    facts = {t["name"]: t for t in probing.get("tasks", ())}
    return [
        {"model": model, "task": task, "title": facts[task]["title"], "level": facts[task]["level"]} | depth_row(p)
        for (model, task), p in profiles.items()
    ]


def changed_layers(regions: Regions, probes: Probes, tuned: str) -> list[int]:
    """Return the layers whose scores tuning could change: those below it are the pretrained model's own."""
    pairs = [(p, regions.get((s, REFERENCE, roi))) for (s, m, roi), p in regions.items() if m == tuned]
    pairs += [(p, probes.get((REFERENCE, task))) for (m, task), p in probes.items() if m == tuned]
    found: set[int] = set()
    for after, before in pairs:
        if before is not None:
            found |= {int(k) for k in after.layers[np.abs(after.value - before.value) > SAME]}
    return sorted(found)


def probe_order(profiles: Probes, probing: Mapping[str, Any], tuned: str) -> tuple[list[Row], Row]:
    """Return, for every model, how the depth of tasks follows their level, and how tuning changed that.

    The change is over tasks that have a peak in both models.
    """
    levels = {
        t["name"]: LEVELS.index(t["level"]) for t in probing.get("tasks", ()) if t["level"] in LEVELS
    }  # fmt: skip
    of_model: dict[str, dict[str, Profile]] = {}
    for (model, task), profile in profiles.items():
        if task in levels:
            of_model.setdefault(model, {})[task] = profile
    rows, change = _orders(of_model, levels, tuned)
    for row in rows:
        row["n_tasks"], row["levels"] = row.pop("n"), [LEVELS[i] for i in row["levels"]]
    return rows, change


def region_order(profiles: Regions, subject: str, tuned: str) -> tuple[list[Row], Row]:
    """Return the same for parcels: primary auditory, early auditory, late language."""
    of_model: dict[str, dict[str, Profile]] = {}
    levels: dict[str, int] = {}
    for (who, model, roi), profile in profiles.items():
        level = parcel_level(roi)
        if who == subject and level is not None:
            of_model.setdefault(model, {})[roi] = profile
            levels[roi] = level
    rows, change = _orders(of_model, levels, tuned)
    names = ("primary_auditory", "early_auditory", "late_language")
    for row in rows:
        row |= {"subject": subject, "n_regions": row.pop("n"), "levels": [names[i] for i in row["levels"]]}
    return rows, change


def _orders(
    of_model: Mapping[str, Mapping[str, Profile]], levels: Mapping[str, int], tuned: str
) -> tuple[list[Row], Row]:
    if not of_model:
        return [], {}
    peaked = {
        model: {name: p.finite() for name, p in mine.items() if not math.isnan(depth_row(p)["centre"])}
        for model, mine in of_model.items()
    }

    def order(model: str, names: Sequence[str]) -> Order:
        return order_of([peaked[model][n] for n in names], [levels[n] for n in names])

    rows = []
    for model, mine in peaked.items():
        found = order(model, list(mine))
        rows.append({"model": model} | found.row() | {"n": found.n, "levels": list(found.levels)})
    if tuned not in peaked or REFERENCE not in peaked:
        return rows, {}
    both = [n for n in peaked[REFERENCE] if n in peaked[tuned]]
    return rows, {"model": tuned, "n": len(both)} | order_change(order(REFERENCE, both), order(tuned, both))


def slope_rows(profiles: Regions, tuned: str) -> tuple[list[Row], list[Row]]:
    """Return the slope of every named region over depth, and the changes: of each model, and tuned less controls."""
    rows, changes = [], []
    models = list(dict.fromkeys(m for _, m, _ in profiles))
    pairs = [(m, REFERENCE) for m in models if m != REFERENCE]
    pairs += [(tuned, m) for m in models if m not in (tuned, REFERENCE) and tuned in models]
    for (subject, model, roi), profile in profiles.items():
        if parcel_level(roi) is not None:
            continue
        base = {"model": model, "subject": subject, "roi": roi}
        rows.append(base | _numbers(slope(profile), "slope"))
        for first, second in pairs:
            other = profiles.get((subject, second, roi))
            if first == model and other is not None:
                changes.append(base | {"against": second} | _numbers(slope(profile.minus(other)), "delta"))
    return rows, changes


def mean_changes(
    regions: Regions,
    probes: Probes,
    probing: Mapping[str, Any],
    subject: str,
    tuned: str,
    layers: Sequence[int],
) -> list[Row]:
    """Return tuned less every other model, mean over ``layers``: of regions, of tasks, and of all tasks together."""
    rows = []
    pretrained_first = [("region", roi, m, p) for (who, m, roi), p in regions.items() if who == subject]
    pretrained_first += [("probe", task, m, p) for (m, task), p in probes.items()]
    tables = {("region", roi): p for (who, m, roi), p in regions.items() if who == subject and m == tuned}
    tables |= {("probe", task): p for (m, task), p in probes.items() if m == tuned}
    for what, name, model, other in pretrained_first:
        mine = tables.get((what, name))
        if mine is not None and model != tuned and parcel_level(name) is None:
            found = mean_change(mine.minus(other).at(layers).finite()) if layers else Estimate(0.0, 0.0, 0.0, 1.0)
            rows.append({"what": what, "name": name, "model": tuned, "against": model} | _numbers(found, "delta"))
    inside = {t["name"] for t in probing.get("tasks", ()) if t["level"] in LEVELS}
    pairs = [
        (p, probes[REFERENCE, task])
        for (m, task), p in probes.items()
        if m == tuned and task in inside and (REFERENCE, task) in probes
    ]
    if pairs and layers:
        differences = [a.minus(b).at(layers).finite() for a, b in pairs]
        n = min(d.draws.shape[1] for d in differences)
        whole = Profile(
            np.arange(len(differences)),
            np.array([d.value.mean() for d in differences]),
            np.array([d.draws[:, :n].mean(0) for d in differences]),
            min(d.n_units for d in differences),
        )
        base = {"what": "probes", "name": "all", "model": tuned, "against": REFERENCE}
        rows.append(base | _numbers(mean_change(whole), "delta"))
    return rows


def selection(profiles: Regions, subject: str, tuned: str, inside: str, outside: str) -> Row:
    """Return the gain at the last layer inside what was tuned on less that outside, and the same less each control."""

    def gain(model: str, against: str) -> Estimate:
        parts = [profiles[subject, model, roi].minus(profiles[subject, against, roi]) for roi in (inside, outside)]
        whole = parts[0].minus(parts[1])
        return whole.estimate(lambda scores: np.asarray(scores[-1]))

    models = {m for who, m, roi in profiles if who == subject and roi == inside}
    if not {REFERENCE, tuned} <= models or (subject, tuned, outside) not in profiles:
        return {}
    controls = [m for m in models if m not in (REFERENCE, tuned) and (subject, m, outside) in profiles]
    return (
        {"inside": inside, "outside": outside, "model": tuned}
        | _numbers(gain(tuned, REFERENCE), "delta")
        | {"gaps": {m: _numbers(gain(tuned, m), "delta") for m in controls}}
    )


def fallen(
    records: Mapping[str, Any], probing: Mapping[str, Any], subject: str, tuned: str
) -> tuple[list[Row], dict[str, int]]:
    """Return what fell (q < .05), the largest fall first, and how many differences were tested.

    Layers that tuning cannot have changed are not counted. Regions are those of the judged subject, named
    groups and parcels alike, with the change of r / ceiling where there is one.
    """
    titles = {t["name"]: t["title"] for t in probing.get("tasks", ())}
    tables = {
        "probe": [
            (r, r["task"], titles.get(r["task"], r["task"]), ("delta", "ci_low", "ci_high"))
            for r in probing.get("differences", ())
            if r["model"] == tuned
        ],
        "region": [
            (r, r["roi"], region_title(r["roi"]), _keys(r))
            for r in records.get("differences", ())
            if r["model"] == tuned and r["subject"] == subject
        ],
    }
    rows, tested = [], {}
    for what, table in tables.items():
        known = [(r, *rest) for r, *rest in table if math.isfinite(r["q"]) and not _unmoved(r, rest[-1])]
        tested[what] = len(known)
        rows += [
            {"what": what, "name": name, "title": title, "layer": r["layer"], "q": r["q"]}
            | {"delta": r[keys[0]], "ci_low": r[keys[1]], "ci_high": r[keys[2]]}
            for r, name, title, keys in known
            if r["q"] < Q and r[keys[0]] < 0
        ]
    return sorted(rows, key=lambda r: float(r["delta"])), tested


def _keys(row: Mapping[str, Any]) -> tuple[str, str, str]:
    norm = row.get("delta_r_norm", math.nan)
    has_norm = isinstance(norm, int | float) and math.isfinite(norm)
    return ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high") if has_norm else ("delta_r", "ci_low", "ci_high")


def _unmoved(row: Mapping[str, Any], keys: tuple[str, str, str]) -> bool:
    return all(abs(row[k]) <= SAME for k in keys)


def _numbers(estimate: Estimate, name: str) -> Row:
    return {name: estimate.value, "ci_low": estimate.low, "ci_high": estimate.high, "p": estimate.p}
