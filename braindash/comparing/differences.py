"""What did tuning change? Paired differences of region scores, in long-format rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from statsmodels.stats.multitest import multipletests

from braindash.comparing.bootstrap import Estimate, Moments, bootstrap_region_means

REFERENCE = "pretrained"
ALL = "all"  # the mean over subjects

Row = dict[str, Any]


def region_rows(
    encoding: xr.Dataset, masks: Mapping[str, np.ndarray], *, threshold: float, n_boot: int, seed: int
) -> tuple[list[Row], list[Row]]:
    """Score every region, layer, model and subject, and compare each model with the pretrained one.

    Parameters
    ----------
    encoding : xr.Dataset
        dims ``(model, layer, target)`` with ``r``; ``(model, layer, unit, target)`` with
        ``yp, pp`` and ``(unit, target)`` with ``yy`` (see `Moments`); ``noise_ceiling (target)``;
        coords ``subject (target)``, ``story (unit)``.
    masks : mapping of region name to (n_targets,) bool
    threshold : float
        Targets with a noise ceiling below this are left out of normalised scores, and counted.
    n_boot, seed : int

    Returns
    -------
    encoding_rows, difference_rows : list of dict
        As in docs/records.md.
    """
    subjects = list(dict.fromkeys(encoding["subject"].values.tolist()))
    names = encoding["model"].values.tolist()
    ceiling = encoding["noise_ceiling"].values
    stories = encoding["story"].values
    enc: list[Row] = []
    diff: list[Row] = []
    for layer in encoding["layer"].values.tolist():
        at = encoding.sel(layer=layer)
        have = [m for m in names if np.isfinite(at["r"].sel(model=m).values).any()]
        # subject -> measure -> model -> region -> samples
        raw: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        norm: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        story_norm: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        counts: dict[str, dict[str, tuple[int, int, float]]] = {}
        for subject in subjects:
            mine = encoding["subject"].values == subject
            moments = {m: _moments(at.sel(model=m), mine) for m in have}
            ok = np.all([np.isfinite(at["r"].sel(model=m).values[mine]) for m in have], axis=0)
            roof = ceiling[mine]
            reachable = ok & np.isfinite(roof) & (roof >= threshold)
            inside = {r: mask[mine] & ok for r, mask in masks.items() if (mask[mine] & ok).any()}
            inside_norm = {r: mask & reachable for r, mask in inside.items() if (mask & reachable).any()}
            raw[subject] = bootstrap_region_means(moments, inside, None, n_boot, seed)
            norm[subject] = bootstrap_region_means(moments, inside_norm, roof, n_boot, seed)
            story_norm[subject] = _by_story(moments, inside_norm, roof, stories)
            counts[subject] = {
                r: (
                    int(mask.sum()),
                    int((masks[r][mine] & ~reachable).sum()),
                    float(np.mean(roof[mask & reachable])) if (mask & reachable).any() else float("nan"),
                )
                for r, mask in inside.items()
            }
        n_units = len(stories)
        for who in [*subjects, ALL] if len(subjects) > 1 else subjects:
            group = subjects if who == ALL else [who]
            for region in masks:
                members = [s for s in group if region in counts[s]]
                if not members:
                    continue
                with_norm = [s for s in members if region in norm[s][have[0]]]
                base: Row = {
                    "subject": who,
                    "roi": region,
                    "layer": int(layer),
                    "n_targets": sum(counts[s][region][0] for s in members),
                    "n_excluded": sum(counts[s][region][1] for s in members),
                }
                for m in have:
                    r = _mean(raw, members, m, region)
                    rn = _mean(norm, with_norm, m, region)
                    er, en = _estimate(r, n_units), _estimate(rn, n_units)
                    enc.append(
                        {"model": m}
                        | base
                        | {
                            "r": er.value,
                            "r_ci_low": er.low,
                            "r_ci_high": er.high,
                            "noise_ceiling": _nanmean([counts[s][region][2] for s in members]),
                            "r_norm": en.value,
                            "r_norm_ci_low": en.low,
                            "r_norm_ci_high": en.high,
                        }
                    )
                    if m == REFERENCE or REFERENCE not in have:
                        continue
                    dr = _estimate(_minus(r, _mean(raw, members, REFERENCE, region)), n_units)
                    dn = _estimate(_minus(rn, _mean(norm, with_norm, REFERENCE, region)), n_units)
                    diff.append(
                        {"model": m}
                        | base
                        | {
                            "delta_r": dr.value,
                            "ci_low": dr.low,
                            "ci_high": dr.high,
                            "p": dr.p,
                            "delta_r_norm": dn.value,
                            "r_norm_ci_low": dn.low,
                            "r_norm_ci_high": dn.high,
                            "by_story": _story_differences(story_norm, with_norm, m, region),
                        }
                    )
    _add_q(diff)
    return enc, diff


def peak_layers(rows: list[Row], measure: str = "r_norm") -> list[Row]:
    """Return the layer at which each region's score is highest, per model and subject."""
    if not rows:
        return []
    table = pd.DataFrame(rows)
    out = []
    for (model, subject, roi), part in table.groupby(["model", "subject", "roi"], sort=False):
        scores = part.dropna(subset=[measure])
        if len(scores):
            best = scores.loc[scores[measure].idxmax()]
            out.append(
                {"model": model, "subject": subject, "roi": roi, "layer": int(best["layer"]), measure: best[measure]}
            )
    return out


def _moments(at: xr.Dataset, mine: np.ndarray) -> Moments:
    return Moments(*(at[v].transpose("unit", "target").values[:, mine].astype(np.float64) for v in ("yp", "yy", "pp")))


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


def _story_differences(
    by_story: dict[str, dict[str, dict[str, dict[str, float]]]], members: list[str], model: str, region: str
) -> dict[str, float]:
    if not members:
        return {}
    stories = by_story[members[0]][model][region]
    return {
        s: float(np.mean([by_story[m][model][region][s] - by_story[m][REFERENCE][region][s] for m in members]))
        for s in stories
    }


def _mean(
    samples: dict[str, dict[str, dict[str, np.ndarray]]], members: list[str], model: str, region: str
) -> np.ndarray | None:
    if not members:
        return None
    return np.mean([samples[s][model][region] for s in members], axis=0)


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
    """Add Benjamini–Hochberg q over every region and layer of one model and subject."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["subject"]), []).append(row)
    for group in groups.values():
        known = [r for r in group if np.isfinite(r["p"])]
        qs = multipletests([r["p"] for r in known], method="fdr_bh")[1] if known else []
        for row in group:
            row["q"] = float("nan")
        for row, q in zip(known, qs, strict=True):
            row["q"] = float(q)
