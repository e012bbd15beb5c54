"""Rows of results, selected and named for figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from braindash.ui import names
from braindash.ui.text import count

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.readers import Results

# measure: columns of the value and its interval, in encoding rows and in rows of differences
LEVEL = {"r_norm": ("r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("r", "r_ci_low", "r_ci_high")}
CHANGE = {"r_norm": ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("delta_r", "ci_low", "ci_high")}


def measures(results: Results) -> list[str]:
    """Return the measures that the run has: normalised first, where there are noise ceilings."""
    return ["r_norm", "r"] if results.encoding["r_norm"].notna().any() else ["r"]


def curves(results: Results, subject: str, measure: str, models: Sequence[str], regions: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `braindash.figures.layer_curves` for one subject."""
    return _long(results.encoding, LEVEL[measure], measure, subject, models, regions)


def changes(
    results: Results, subject: str, measure: str, models: Sequence[str], regions: Sequence[str]
) -> pd.DataFrame:
    """Return the rows of `braindash.figures.difference_curves` for one subject."""
    return _long(results.differences, CHANGE[measure], measure, subject, models, regions)


def _long(
    rows: pd.DataFrame,
    columns: tuple[str, str, str],
    measure: str,
    subject: str,
    models: Sequence[str],
    regions: Sequence[str],
) -> pd.DataFrame:
    keep = (rows["subject"] == subject) & rows["model"].isin(list(models)) & rows["roi"].isin(list(regions))
    out = rows.loc[keep, ["model", "layer", "roi"]].copy()
    for name, column in zip(("value", "low", "high"), columns, strict=True):
        out[name] = rows.loc[keep, column].astype(float)
    out["n"] = rows.loc[keep, "n_targets"].astype(float)
    if measure == "r_norm":
        out["n"] -= rows.loc[keep, "n_excluded"].fillna(0).astype(float)
    order = {roi: i for i, roi in enumerate(regions)}
    return out.sort_values(["roi", "layer"], key=lambda c: c.map(order) if c.name == "roi" else c)


@dataclass(frozen=True)
class Change:
    """One model's difference from the pretrained one, in one region at one layer."""

    model: str
    roi: str
    layer: int
    value: float
    low: float
    high: float
    q: float
    n: int

    @property
    def verdict(self) -> str:
        """What the interval says, in a sentence."""
        if self.low != self.low or self.high != self.high:
            return "Without an interval, a change cannot be told from chance."
        return (
            "The interval excludes 0."
            if self.low > 0 or self.high < 0
            else "The interval includes 0 – no change shown."
        )


def change(results: Results, model: str, roi: str, layer: int, subject: str, measure: str) -> Change | None:
    """Return one difference, or None where the run does not have it."""
    rows = results.differences
    found = rows[
        (rows["model"] == model) & (rows["roi"] == roi) & (rows["layer"] == layer) & (rows["subject"] == subject)
    ]
    if found.empty:
        return None
    row = found.iloc[0]
    value, low, high = (float(row[c]) for c in CHANGE[measure])
    excluded = row["n_excluded"] if measure == "r_norm" and row["n_excluded"] == row["n_excluded"] else 0
    return Change(model, roi, layer, value, low, high, float(row["q"]), int(row["n_targets"] - excluded))


def best_layer(results: Results, model: str, roi: str, subject: str, measure: str) -> int | None:
    """Return the layer at which a model predicts a region best."""
    rows = results.encoding
    found = rows[(rows["model"] == model) & (rows["roi"] == roi) & (rows["subject"] == subject)].dropna(
        subset=[measure]
    )
    return None if found.empty else int(found["layer"].to_numpy()[found[measure].to_numpy(float).argmax()])


def main_regions(results: Results) -> list[str]:
    """Return the regions of the first page that the study has; its own ones where it has none of these."""
    named = [roi for roi in names.MAIN_REGIONS if roi in results.regions]
    return named or list(results.regions)[:7]


def by_layer_and_region(results: Results, model: str, subject: str, measure: str, change: bool) -> pd.DataFrame:
    """Return a table, layers down and regions across, of one model's values or changes."""
    rows = results.differences if change else results.encoding
    column = (CHANGE if change else LEVEL)[measure][0]
    keep = rows[(rows["model"] == model) & (rows["subject"] == subject)]
    table = keep.pivot_table(index="layer", columns="roi", values=column, aggfunc="first", dropna=False)
    table = table.reindex(index=list(results.layers), columns=[r for r in results.regions if r in table.columns])
    return table.astype(float)


def excluded_sentences(results: Results) -> list[str]:
    """Say in words which targets were left out, and why."""
    said: list[str] = []
    for subject, reasons in (results.records.get("excluded") or {}).items():
        if not isinstance(reasons, dict):
            continue
        total = reasons.get("targets")
        of = f", {count(total, 'target')}" if isinstance(total, int) else ""
        parts = [f"{reason}: {n:,}" for reason, n in reasons.items() if reason != "targets" and n]
        said.append(f"{subject}{of} – {'; '.join(parts) or 'none left out'}.")
    if "r_norm" in measures(results):
        said += _without_ceiling(results)
    return said or ["No target was left out."]


def _without_ceiling(results: Results) -> list[str]:
    rows = results.encoding
    here = rows[(rows["model"] == results.models[0]) & (rows["layer"] == results.layers[0])]
    here = here[(here["subject"] == results.subjects[0]) & (here["n_excluded"].fillna(0) > 0)]
    parts = [
        f"{int(excluded):,} of {count(int(n), 'target')} in {names.region(str(roi))}"
        for roi, n, excluded in zip(here["roi"], here["n_targets"], here["n_excluded"], strict=True)
    ]
    if not parts:
        return []
    return [
        "Left out of r / noise ceiling, because their ceiling is too low to divide by (they stay in r): "
        + "; ".join(parts[:8])
        + ("; and others." if len(parts) > 8 else ".")
    ]


def shared_range(results: Results, subject: str, measure: str, models: Sequence[str]) -> tuple[float, float]:
    """Return one range for the tables of several models; from zero where nothing is negative."""
    rows = results.encoding
    values = rows.loc[(rows["subject"] == subject) & rows["model"].isin(list(models)), LEVEL[measure][0]].astype(float)
    return min(float(values.min()), 0.0), float(values.max())


def numbers(results: Results, subject: str, measure: str, models: Sequence[str]) -> pd.DataFrame:
    """Return every number behind the table of layers and regions, with readable columns."""
    import pandas as pd

    rows = results.encoding
    rows = rows[(rows["subject"] == subject) & rows["model"].isin(list(models))]
    value, low, high = LEVEL[measure]
    unit = names.MEASURES[measure]
    keys = ["model", "roi", "layer"]
    change, change_low, change_high = CHANGE[measure]
    diff = results.differences[results.differences["subject"] == subject]
    diff = diff[[*keys, change, change_low, change_high, "q"]].rename(
        columns={change: "Change", change_low: "Change, CI low", change_high: "Change, CI high"}
    )
    out = rows.rename(columns={value: unit, low: "CI low", high: "CI high"}).merge(diff, on=keys, how="left")
    out = out.rename(columns={"n_targets": "Targets", "n_excluded": "Without ceiling", "noise_ceiling": "Ceiling"})
    out["Region"] = out["roi"].map(names.region)
    out["Model"] = out["model"].map(names.model)
    out["Layer"] = out["layer"].astype(int)
    columns = ["Region", "Layer", "Model", unit, "CI low", "CI high", "Change", "Change, CI low", "Change, CI high"]
    columns += ["q", "Targets", "Without ceiling", "Ceiling"]
    out = pd.DataFrame(out[columns])
    numeric = out.select_dtypes("float").columns
    return out.assign(**{c: out[c].round(3) for c in numeric})
