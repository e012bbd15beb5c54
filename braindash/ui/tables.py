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
_FEW_REGIONS = 20  # of a study's own; more are shown when asked for
CHANGE = {"r_norm": ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("delta_r", "ci_low", "ci_high")}


def curves(results: Results, subject: str, measure: str, models: Sequence[str], regions: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `braindash.figures.layer_curves` for one subject."""
    return _long(results.encoding, LEVEL[measure], measure, subject, models, regions)


def changes(
    results: Results, subject: str, measure: str, models: Sequence[str], regions: Sequence[str]
) -> pd.DataFrame:
    """Return the rows of `braindash.figures.difference_curves` for one subject."""
    return _long(results.differences, CHANGE[measure], measure, subject, models, regions)


def titled(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return the rows with regions' readable names in place of identifiers, as figures show them."""
    return rows.assign(roi=rows["roi"].map(results.title))


def counts(rows: pd.DataFrame) -> str:
    """Return the targets of every region of a figure's rows: "Late language 1,204, cortex 9,999"."""
    most = rows.dropna(subset=["n"]).groupby("roi", sort=False)["n"].max().astype(int)
    return ", ".join(f"{roi} {n:,}" for roi, n in most.items())


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
    return _change(rows[rows["model"] == model], model, roi, layer, subject, measure)


def against(results: Results, control: str, roi: str, layer: int, subject: str, measure: str) -> Change | None:
    """Return brain-tuned minus a control, or None where the run does not have it."""
    rows = results.against
    return _change(rows[rows["against"] == control], "brain_tuned", roi, layer, subject, measure)


def _change(rows: pd.DataFrame, model: str, roi: str, layer: int, subject: str, measure: str) -> Change | None:
    found = rows[(rows["roi"] == roi) & (rows["layer"] == layer) & (rows["subject"] == subject)]
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


def by_layer_and_region(
    results: Results, model: str, subject: str, measure: str, change: bool, regions: Sequence[str]
) -> pd.DataFrame:
    """Return a table, layers down and regions across, of one model's values or changes."""
    rows = results.differences if change else results.encoding
    column = (CHANGE if change else LEVEL)[measure][0]
    keep = rows[(rows["model"] == model) & (rows["subject"] == subject)]
    table = keep.pivot_table(index="layer", columns="roi", values=column, aggfunc="first", dropna=False)
    table = table.reindex(index=list(results.layers), columns=[r for r in regions if r in table.columns])
    return table.astype(float)


def map_regions(results: Results) -> tuple[list[str], list[str]]:
    """Return the regions with a value: groups, named or one's own (or all, where there are none), then parcels."""
    from braindash.encoding.regions import TITLES
    from braindash.runs.own_regions import recorded_groups

    groups = {*TITLES, *recorded_groups(results.records)}
    named = [roi for roi in results.measured if roi in groups]
    parcels = [roi for roi in results.measured if roi not in groups]
    few = len(parcels) <= _FEW_REGIONS
    return (list(results.measured), []) if few else (named, parcels)


def excluded_sentences(results: Results) -> list[str]:
    """Say in words which targets were left out of what, and why."""
    said: list[str] = []
    normalised = "r_norm" in results.measures
    for subject, reasons in (results.records.get("excluded") or {}).items():
        if not isinstance(reasons, dict):
            continue
        total = reasons.get("targets")
        counted = {str(why): n for why, n in reasons.items() if why != "targets" and isinstance(n, int) and n}
        out = [f"{n:,} {'is' if n == 1 else 'are'} {why}" for why, n in counted.items() if "ceiling" not in why]
        weak = [f"{n:,} {'has' if n == 1 else 'have'} {_with_article(why)}" for why, n in counted.items()
                if "ceiling" in why]  # fmt: skip
        parts = [f"{subject}: {count(total, 'target')}." if isinstance(total, int) else f"{subject}:"]
        parts.append(f"{'; '.join(out)}: left out of everything." if out else "None had to be left out of r.")
        if weak and normalised:
            parts.append(f"{' and '.join(weak)}: they count in r, but not in r / noise ceiling.")
        said.append(" ".join(parts))
    if normalised:
        said.append(_without_ceiling(results))
    return said or ["No target was left out."]


def _with_article(why: str) -> str:
    return "no noise ceiling" if why == "no ceiling" else f"a {'noise ' if 'noise' not in why else ''}{why}"


def _without_ceiling(results: Results) -> str:
    rows = _first_rows(results)
    rows = rows[rows["roi"].isin(main_regions(results))]
    parts = [
        f"{int(excluded):,} of {count(int(n), 'target')} in {results.title(str(roi))}"
        for roi, n, excluded in zip(rows["roi"], rows["n_targets"], rows["n_excluded"].fillna(0), strict=True)
        if excluded > 0
    ]
    if not parts:
        return "Every target of the main regions has a noise ceiling that can be divided by."
    return f"Of the main regions, these lack a noise ceiling that can be divided by: {'; '.join(parts)}."


def ceiling_sentence(results: Results) -> str:
    """Say how large the noise ceilings of the main regions are; empty where there are none."""
    rows = _first_rows(results)
    rows = rows[rows["roi"].isin(main_regions(results)) & rows["noise_ceiling"].notna()]
    if rows.empty:
        return ""
    parts = [
        f"{results.title(str(roi))} {value:.2f}" for roi, value in zip(rows["roi"], rows["noise_ceiling"], strict=True)
    ]
    return f"The noise ceiling is the largest r that the noise allows. Mean over targets: {', '.join(parts)}."


def _first_rows(results: Results) -> pd.DataFrame:
    """Return one row a region: ceilings and exclusions are the same for all models and layers."""
    rows = results.encoding
    here = (rows["model"] == results.models[0]) & (rows["layer"] == results.layers[0])
    return rows[here & (rows["subject"] == results.subjects[0])]


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
    out["Region"] = out["roi"].map(results.title)
    out["Model"] = out["model"].map(names.model)
    out["Layer"] = out["layer"].astype(int)
    columns = ["Region", "Layer", "Model", unit, "CI low", "CI high", "Change", "Change, CI low", "Change, CI high"]
    columns += ["q", "Targets", "Without ceiling", "Ceiling"]
    out = pd.DataFrame(out[columns])
    numeric = out.select_dtypes("float").columns
    return out.assign(**{c: out[c].round(3) for c in numeric})
