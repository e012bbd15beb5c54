"""Scores of several runs side by side: each run, each subject, and how far seeds and subjects spread.

A run has one number a region and layer for every subject, and one over all of them. Runs of one setting differ in
the seed alone. The spread over seeds is that of the runs' numbers over all subjects; the spread over subjects is
that of each subject's mean over seeds. Neither is the 95 % interval of a single run, which is over its test stories
and targets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from braindash.errors import BraindashError
from braindash.runs.groups import Spread

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
Over = Literal["seeds", "subjects"]
QUANTITIES = ("pretrained", "tuned", "delta")
KEYS = ["subject", "roi", "layer"]
_LEVEL = {"r_norm": ("r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("r", "r_ci_low", "r_ci_high")}
_CHANGE = {"r_norm": ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("delta_r", "ci_low", "ci_high")}


def tuned_model(models: Sequence[str]) -> str | None:
    """Return which model of a run's results it is about: the brain-tuned one; of a control's run, the control."""
    return "brain_tuned" if "brain_tuned" in models else next((m for m in models if m != "pretrained"), None)


def score_rows(encoding: pd.DataFrame, differences: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return one row a (subject, region, layer) of one run: before, after, and the difference with its interval.

    Parameters
    ----------
    encoding, differences : DataFrame
        The rows of a run's records, with their columns of intervals.
    measure : "r_norm" | "r"
        r / noise ceiling, or r.

    Returns
    -------
    DataFrame with ``subject, roi, layer, share`` (layer / last layer, 0 to 1), ``pretrained``, ``tuned``,
    ``tuned_low``, ``tuned_high``, ``delta``, ``low``, ``high`` and ``n`` (targets that count in the measure). "all"
    among the subjects is the mean over them; a run of one subject has that subject alone.

    Raises
    ------
    BraindashError
        If there is no tuned model beside the pretrained one.
    """
    tuned = tuned_model(list(dict.fromkeys(encoding["model"])))
    if tuned is None:
        raise BraindashError("The results hold the pretrained model alone.", "Evaluate the run again.")
    level, low, high = _LEVEL[measure]
    before = encoding.loc[encoding["model"] == "pretrained", [*KEYS, level]].rename(columns={level: "pretrained"})
    after = encoding.loc[encoding["model"] == tuned, [*KEYS, level, low, high, "n_targets", "n_excluded"]]
    after = after.rename(columns={level: "tuned", low: "tuned_low", high: "tuned_high"})
    change, low, high = _CHANGE[measure]
    by = differences.loc[differences["model"] == tuned, [*KEYS, change, low, high]]
    by = by.rename(columns={change: "delta", low: "low", high: "high"})
    rows = after.merge(before, on=KEYS, how="left").merge(by, on=KEYS, how="left")
    excluded = rows["n_excluded"].fillna(0) if measure == "r_norm" else 0
    rows["n"] = (rows["n_targets"] - excluded).astype(int)
    rows["share"] = rows["layer"] / max(int(rows["layer"].max()), 1)
    columns = [*KEYS, "share", "pretrained", "tuned", "tuned_low", "tuned_high", "delta", "low", "high", "n"]
    return rows[columns].reset_index(drop=True)


@dataclass(frozen=True)
class Dot:
    """One number of a setting: of one run over its subjects, or of one subject over the runs."""

    name: str  # the run's id, or the subject
    value: float
    low: float  # the 95 % interval over test stories and targets, where it is of one run; else NaN
    high: float
    n: int  # targets


@dataclass(frozen=True)
class SettingScore:
    """What one setting scores in one region: its dots, their mean and standard deviation."""

    runs: tuple[str, ...]
    roi: str
    quantity: str  # one of QUANTITIES
    dots: tuple[Dot, ...]
    spread: Spread


def setting_scores(
    rows: Mapping[str, pd.DataFrame],
    settings: Sequence[Sequence[str]],
    regions: Sequence[str],
    layers: Mapping[str, int],
    over: Over,
) -> list[SettingScore]:
    """Return the scores of every setting in every region, for each of QUANTITIES.

    Parameters
    ----------
    rows : mapping
        By run id, what `score_rows` returns; runs without results are not in it.
    settings : sequence of sequences of str
        Run ids of one setting each (`same_but_for_seed`).
    regions : sequence of str
        A region that a run does not have gives no dot.
    layers : mapping
        By run id, the layer that is looked at.
    over : "seeds" | "subjects"
        What the dots are.
    """
    out = []
    here = {run_id: _by_region(table, layers[run_id], regions) for run_id, table in rows.items()}
    for runs in settings:
        mine = tuple(run_id for run_id in runs if run_id in here)
        for roi in regions:
            subjects = {run_id: here[run_id].get(roi, {}) for run_id in mine}
            for quantity in QUANTITIES:
                dots = _of_runs(subjects, quantity) if over == "seeds" else _of_subjects(subjects, quantity)
                out.append(SettingScore(mine, roi, quantity, tuple(dots), Spread.of(d.value for d in dots)))
    return out


_Subjects = Mapping[str, Any]  # by subject, one row of `score_rows`


def _by_region(table: pd.DataFrame, layer: int, regions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of one layer by region and subject; pandas is asked once, not for every dot."""
    rows = table[(table["layer"] == layer) & table["roi"].isin(list(regions))]
    found: dict[str, dict[str, Any]] = {}
    for row in rows.itertuples(index=False):
        found.setdefault(str(row.roi), {})[str(row.subject)] = row
    return found


def _of_runs(runs: Mapping[str, _Subjects], quantity: str) -> list[Dot]:
    dots = []
    for run_id, subjects in runs.items():
        whole = [subjects[ALL]] if ALL in subjects else list(subjects.values())
        whole = [row for row in whole if math.isfinite(getattr(row, quantity))]
        if whole:
            low, high = _interval(whole, quantity)
            value = fmean(getattr(row, quantity) for row in whole)
            dots.append(Dot(run_id, value, low, high, sum(int(row.n) for row in whole)))
    return dots


def _of_subjects(runs: Mapping[str, _Subjects], quantity: str) -> list[Dot]:
    each: dict[str, list[Any]] = {}
    for subjects in runs.values():
        for subject, row in subjects.items():
            if subject != ALL and math.isfinite(getattr(row, quantity)):
                each.setdefault(subject, []).append(row)
    dots = []
    for subject, rows in each.items():
        low, high = _interval(rows, quantity)
        dots.append(Dot(subject, fmean(getattr(r, quantity) for r in rows), low, high, max(int(r.n) for r in rows)))
    return dots


def _interval(rows: Sequence[Any], quantity: str) -> tuple[float, float]:
    """Return the 95 % interval of a number that comes from a single row; there is none of a mean of rows."""
    names = {"delta": ("low", "high"), "tuned": ("tuned_low", "tuned_high")}.get(quantity)
    if names is None or len(rows) > 1:
        return math.nan, math.nan
    return float(getattr(rows[0], names[0])), float(getattr(rows[0], names[1]))


def spread_table(scores: Sequence[SettingScore]) -> pd.DataFrame:
    """Return one row a (setting, region): means and standard deviations of before, after and difference, and n."""
    import pandas as pd

    together: dict[tuple[tuple[str, ...], str], dict[str, SettingScore]] = {}
    for score in scores:
        together.setdefault((score.runs, score.roi), {})[score.quantity] = score
    lines = []
    for (runs, roi), found in together.items():
        if not any(score.dots for score in found.values()):
            continue
        line: dict[str, Any] = {"runs": runs, "roi": roi, "n": max(len(s.dots) for s in found.values())}
        for quantity in QUANTITIES:
            line[quantity] = found[quantity].spread.mean
            line[f"{quantity}_sd"] = found[quantity].spread.sd
        line["n_targets"] = max((dot.n for score in found.values() for dot in score.dots), default=0)
        lines.append(line)
    return pd.DataFrame(lines)
