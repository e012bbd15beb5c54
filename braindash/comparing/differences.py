"""What did tuning change? Paired differences of region scores, in long-format rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from statsmodels.stats.multitest import multipletests

from braindash.comparing.bootstrap import Estimate, Moments, bootstrap_region_means
from braindash.comparing.region_samples import RegionSamples

REFERENCE, TUNED = "pretrained", "brain_tuned"
ALL = "all"  # the mean over subjects

Row = dict[str, Any]


def region_rows(
    encoding: Sequence[xr.Dataset],
    masks: Sequence[Mapping[str, np.ndarray]],
    *,
    threshold: float,
    n_boot: int,
    seed: int,
    pool: Collection[str] | None = None,
    keep: RegionSamples | None = None,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Score every region, layer, model and subject, and compare each model with the pretrained one.

    Parameters
    ----------
    encoding : one xr.Dataset a subject, as from `braindash.encoding.encode.encode_subject`
        dims ``(model, layer, target)`` with ``r``; ``(model, layer, unit, target)`` with
        ``yp, pp`` and ``(unit, target)`` with ``yy`` (see `Moments`); ``noise_ceiling (target)``;
        coord ``unit_story (unit)``; ``attrs["subject"]``.
    masks : one mapping a subject, of region name to (n_targets,) bool
    threshold : float
        Targets with a noise ceiling below this are left out of normalised scores, and counted.
    n_boot, seed : int
    pool : collection of str, optional
        Subjects that make up the mean over subjects; all by default.
    keep : RegionSamples, optional
        Is given the resamples of the regions that it asks for.

    Returns
    -------
    encoding_rows, difference_rows, control_rows : list of dict
        As in docs/records.md; the last compare the brain-tuned
        model with every control. Rows of subject "all" are means over subjects, and are
        there when more than one subject was scored on the same test stories.
    """
    enc: list[Row] = []
    diff: list[Row] = []
    versus: list[Row] = []
    regions = list(dict.fromkeys(r for m in masks for r in m))
    pooled = [e for e in encoding if pool is None or e.attrs["subject"] in pool]
    same_units = len({tuple(e["unit_story"].values.tolist()) for e in pooled}) == 1
    for layer in sorted({int(k) for e in encoding for k in e["layer"].values}):
        scored = [_Scored(e.sel(layer=layer), m, threshold, n_boot, seed) for e, m in zip(encoding, masks, strict=True)]
        for s in scored:
            if keep is not None:
                keep.add(s.subject, layer, s.n_units, s.raw, s.norm)
        groups: list[tuple[str, list[_Scored]]] = [(s.subject, [s]) for s in scored]
        if len(pooled) > 1 and same_units:
            groups.append((ALL, [s for s in scored if pool is None or s.subject in pool]))
        for who, group in groups:
            for region in regions:
                members = [s for s in group if region in s.counts]
                if members:
                    e, d, v = _rows(who, region, layer, members)
                    enc += e
                    diff += d
                    versus += v
    _add_q(diff)
    _add_q(versus)
    return enc, diff, versus


class _Scored:
    """Bootstrap samples of one subject at one layer."""

    def __init__(
        self, at: xr.Dataset, masks: Mapping[str, np.ndarray], threshold: float, n_boot: int, seed: int
    ) -> None:
        self.subject = str(at.attrs["subject"])
        finite = {m: np.isfinite(at["r"].sel(model=m).values) for m in at["model"].values.tolist()}
        self.models = [m for m, ok in finite.items() if ok.any()]
        moments = {m: _moments(at, m) for m in self.models}
        ok = np.any([finite[m] for m in self.models], axis=0)
        roof = at["noise_ceiling"].values.astype(np.float64)
        reachable = ok & np.isfinite(roof) & (roof > 0) & (roof >= threshold)
        inside = {r: mask & ok for r, mask in masks.items() if (mask & ok).any()}
        inside_norm = {r: mask & reachable for r, mask in inside.items() if (mask & reachable).any()}
        stories = at["unit_story"].values
        self.n_units = len(stories)
        self.raw = bootstrap_region_means(moments, inside, None, n_boot, seed)
        self.norm = bootstrap_region_means(moments, inside_norm, roof, n_boot, seed)
        self.by_story = _by_story(moments, inside_norm, roof, stories)
        self.counts = {
            r: (
                int(mask.sum()),
                int((mask & ~reachable).sum()),
                float(np.mean(roof[mask & reachable])) if (mask & reachable).any() else float("nan"),
            )
            for r, mask in inside.items()
        }

    def has_norm(self, region: str) -> bool:
        return region in self.norm[self.models[0]]


def _rows(who: str, region: str, layer: int, members: list[_Scored]) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the rows of one region at one layer, over one subject or several."""
    with_norm = [s for s in members if s.has_norm(region)]
    models = [m for m in members[0].models if all(m in s.models for s in members)]
    n_units = members[0].n_units
    base: Row = {
        "subject": who,
        "roi": region,
        "layer": layer,
        "n_targets": sum(s.counts[region][0] for s in members),
        "n_excluded": sum(s.counts[region][1] for s in members),
    }
    raw = {m: np.mean([s.raw[m][region] for s in members], axis=0) for m in models}
    norm = {m: np.mean([s.norm[m][region] for s in with_norm], axis=0) if with_norm else None for m in models}
    enc: list[Row] = []
    diff: list[Row] = []
    versus: list[Row] = []
    for m in models:
        er, en = _estimate(raw[m], n_units), _estimate(norm[m], n_units)
        enc.append(
            {"model": m}
            | base
            | {
                "r": er.value,
                "r_ci_low": er.low,
                "r_ci_high": er.high,
                "noise_ceiling": _nanmean([s.counts[region][2] for s in members]),
                "r_norm": en.value,
                "r_norm_ci_low": en.low,
                "r_norm_ci_high": en.high,
            }
        )

    def minus(m: str, reference: str) -> Row:
        dr = _estimate(raw[m] - raw[reference], n_units)
        dn = _estimate(_minus(norm[m], norm[reference]), n_units)
        return {
            "delta_r": dr.value,
            "ci_low": dr.low,
            "ci_high": dr.high,
            "p": dr.p,
            "delta_r_norm": dn.value,
            "r_norm_ci_low": dn.low,
            "r_norm_ci_high": dn.high,
            "by_story": _story_differences(with_norm, m, reference, region),
        }

    if REFERENCE in models:
        diff = [{"model": m} | base | minus(m, REFERENCE) for m in models if m != REFERENCE]
    if TUNED in models:
        versus = [
            {"model": TUNED, "against": m} | base | minus(TUNED, m) for m in models if m not in (TUNED, REFERENCE)
        ]
    return enc, diff, versus


def peak_layers(rows: list[Row], measure: str = "r_norm") -> list[Row]:
    """Return the layer at which each region's score is highest, per model and subject."""
    if not rows:
        return []
    table = pd.DataFrame(rows)
    out = []
    for (model, subject, roi), part in table.groupby(["model", "subject", "roi"], sort=False):
        scores = part.dropna(subset=[measure])
        if len(scores):
            best = scores.iloc[int(scores[measure].to_numpy().argmax())]
            out.append(
                {"model": model, "subject": subject, "roi": roi, "layer": int(best["layer"]), measure: best[measure]}
            )
    return out


def _moments(at: xr.Dataset, model: str) -> Moments:
    of_model = at.sel(model=model)
    return Moments(*(of_model[v].transpose("unit", "target").values.astype(np.float64) for v in ("yp", "yy", "pp")))


def _by_story(
    moments: Mapping[str, Moments], masks: Mapping[str, np.ndarray], roof: np.ndarray, stories: np.ndarray
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean r / ceiling of every region within every story: model -> region -> story -> value."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, m in moments.items():
        out[name] = {region: {} for region in masks}
        for story in dict.fromkeys(stories.tolist()):
            rows = stories == story
            r = Moments(m.yp[rows], m.yy[rows], m.pp[rows]).correlation()
            for region, mask in masks.items():
                out[name][region][story] = float(np.nanmean(r[mask] / roof[mask]))
    return out


def _story_differences(members: list[_Scored], model: str, reference: str, region: str) -> dict[str, float]:
    if not members:
        return {}
    stories = members[0].by_story[model][region]
    return {
        story: float(
            np.mean([s.by_story[model][region][story] - s.by_story[reference][region][story] for s in members])
        )
        for story in stories
        if all(story in s.by_story[model][region] for s in members)
    }


def _minus(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return None if a is None or b is None else a - b


def _estimate(samples: np.ndarray | None, n_units: int) -> Estimate:
    if samples is None:
        nan = float("nan")
        return Estimate(nan, nan, nan, nan)
    return Estimate.of(float(samples[0]), samples[1:], n_units)


def _nanmean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _add_q(rows: list[Row]) -> None:
    """Add Benjamini–Hochberg q over every region and layer of one pair of models and one subject."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row.get("against", REFERENCE), row["subject"]), []).append(row)
    for group in groups.values():
        known = [r for r in group if np.isfinite(r["p"])]
        qs = multipletests([r["p"] for r in known], method="fdr_bh")[1] if known else []
        for row in group:
            row["q"] = float("nan")
        for row, q in zip(known, qs, strict=True):
            row["q"] = float(q)
