"""Scores and curves of the runs chosen on the page Compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.figures.run_curves import RunCurve, run_curves
from braindash.figures.run_scores import ScoreColumn, ScoreDot, score_dots
from braindash.runs.seed_scores import ALL, Over, SettingScore, score_rows, setting_scores, spread_table
from braindash.ui import kept, links, names, notices, readers
from braindash.ui.charts import chart, theme
from braindash.ui.chosen import measure_of
from braindash.ui.compare_files import csv_bytes
from braindash.ui.compare_runs import Chosen
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.readers import Results

MOST_REGIONS = 6
LAST = "last"


@dataclass(frozen=True)
class Scored:
    """The evaluated runs among those chosen, and the measure that all of them have."""

    runs: tuple[Chosen, ...]
    rows: dict[str, pd.DataFrame]  # of score_rows, by run id
    measure: str
    regions: tuple[str, ...]  # that at least one has, the main ones first

    def results(self, run: Chosen) -> Results:
        if run.results is None:
            raise BraindashError(f"Run {run.id} has not been evaluated.", f"braindash evaluate {run.id}")
        return run.results

    def title(self, roi: str) -> str:
        return next((self.results(c).title(roi) for c in self.runs if roi in self.results(c).regions), roi)

    @property
    def unit(self) -> str:
        return names.MEASURES[self.measure]


@st.cache_resource(max_entries=64, show_spinner=False)
def _rows(path: str, as_of: tuple[int, int], measure: str, /) -> pd.DataFrame:
    from pathlib import Path

    from braindash.runs.run import Run

    results = readers.results(Run(Path(path)))
    return score_rows(results.encoding, results.differences, measure)


def choose(runs: Sequence[Chosen]) -> Scored | None:
    """Draw the choice of the measure, and say what cannot be compared; None where nothing is evaluated."""
    from braindash.runs.results import RECORDS

    st.subheader("Scores by region, over seeds and subjects", help=explain("region_groups", "seed", "delta"))
    for run in runs:
        if run.problem:
            st.warning(escape(f"{run.letter}: {run.problem}"), icon=":material/warning:")
    evaluated = [c for c in runs if c.results is not None]
    if not evaluated:
        st.info(
            "None of these runs has been evaluated\\. Scores appear here after `braindash evaluate RUN`.",
            icon=":material/query_stats:",
        )
        return None
    without = [c.letter for c in runs if c.results is None and not c.problem]
    if without:
        st.caption(f"Not evaluated, so without scores\\: {', '.join(without)}\\.")
    common = [m for m in ("r_norm", "r") if all(m in c.results.measures for c in evaluated if c.results)]
    measure = measure_of(common, explain("r", "noise_ceiling", "r_norm"))
    rows = {}
    usable = []
    for run in evaluated:
        path = readers.home().runs / run.id
        try:
            rows[run.id] = _rows(str(path), readers.mark(path / RECORDS), measure)
            usable.append(run)
        except BraindashError as error:
            st.warning(escape(f"{run.letter}: {error.what}"), icon=":material/warning:")
    if not usable:
        return None
    every = dict.fromkeys(roi for c in usable if c.results for roi in c.results.regions)
    main = [roi for roi in names.MAIN_REGIONS if roi in every]
    _say_what_differs(usable)
    return Scored(tuple(usable), rows, measure, (*main, *(roi for roi in every if roi not in main)))


def unlike(runs: Sequence[Chosen]) -> bool:
    """Whether runs are of different studies or have different numbers of layers."""
    return len({c.row.study for c in runs}) > 1 or len({c.results.layers for c in runs if c.results}) > 1


def _say_what_differs(runs: Sequence[Chosen]) -> None:
    studies = {c.row.study for c in runs}
    layers = {len(c.results.layers) for c in runs if c.results}
    if len(studies) > 1:
        st.warning(
            "These runs are of different studies\\: other stories, subjects and targets. They cannot be compared "
            "target by target, and a difference between them may be one between the studies.",
            icon=":material/balance:",
        )
    elif len({c.results.subjects for c in runs if c.results}) > 1:
        st.warning(
            "These runs were evaluated on different subjects\\. Their numbers over all subjects are of other people.",
            icon=":material/balance:",
        )
    if len(layers) > 1:
        st.warning(
            "These models have different numbers of layers\\. Layers are placed by depth, as a share of the model "
            "(0 is the front end, 1 the last layer); a layer of one is not that layer of another.",
            icon=":material/balance:",
        )


# --- scores over seeds and subjects ----------------------------------------------------------------


def scores_section(scored: Scored) -> None:
    """Draw every seed's or subject's score by region, with mean and spread."""
    from braindash.runs.config_differences import same_but_for_seed

    settings = same_but_for_seed({c.id: c.config for c in scored.runs})
    letters = {c.id: c.letter for c in scored.runs}
    label = {tuple(ids): " ".join(letters[i] for i in ids) for ids in settings}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = links.select(
            "show",
            "Show",
            ["change", "levels"],
            names=lambda v: {"change": "Change from pretrained", "levels": "Pretrained and tuned"}[v],
            kind="segments",
        )
        over: Over = links.select(  # type: ignore[assignment]
            "over",
            "A dot is",
            ["seeds", "subjects"],
            names=lambda v: {"seeds": "a run (one seed), over its subjects", "subjects": "a subject, over seeds"}[v],
            kind="segments",
            help="The spread over seeds says how far tuning varies; the spread over subjects, how far people do.",
        )
        common = set.intersection(*({int(k) for k in scored.results(c).layers} for c in scored.runs))
        layer = links.select(
            "layer",
            "Layer",
            [LAST, *map(str, sorted(common))],
            names=lambda v: "The last of each model" if v == LAST else names.layer(int(v)),
        )
    regions = links.several(
        "regions",
        "Regions",
        scored.regions,
        default=[roi for roi in names.MAIN_REGIONS if roi in scored.regions] or scored.regions[:3],
        names=scored.title,
        most=MOST_REGIONS,
        placeholder=f"Up to {MOST_REGIONS} regions",
    )
    if not regions:
        st.caption("Choose a region.")
        return
    layers = {c.id: scored.results(c).last_layer if layer == LAST else int(layer) for c in scored.runs}
    found = setting_scores(scored.rows, settings, regions, layers, over)
    sides = {"change": {"delta": 0}, "levels": {"pretrained": -1, "tuned": 1}}[shown]
    columns = [_column(s, sides[s.quantity], scored, label, over) for s in found if s.quantity in sides]
    unit = f"Δ {scored.unit}" if shown == "change" else scored.unit
    try:
        figure = kept.figure(
            score_dots,
            columns,
            y_label=f"{unit} (tuned − pretrained)" if shown == "change" else unit,
            what="the change by brain-tuning" if shown == "change" else "scores before and after tuning",
            theme=theme(),
        )
        chart(
            figure,
            "compare_scores",
            title="Scores over seeds and subjects",
            n=_n(found),
            statistics=_statistics(over, scored.runs),
            runs=[c.id for c in scored.runs],
        )
    except BraindashError as error:
        notices.mistake(error)
        return
    st.caption(escape(_caption(found, over, shown)))
    _spread(found, label, scored, layers, over)


def _column(
    score: SettingScore, side: int, scored: Scored, label: dict[tuple[str, ...], str], over: Over
) -> ScoreColumn:
    places = {c.id: c.place for c in scored.runs}
    called = {c.id: f"{c.letter}  {c.name}" for c in scored.runs}
    dots = [
        ScoreDot(
            places[d.name if over == "seeds" else score.runs[0]], called.get(d.name, d.name), d.value, d.low, d.high
        )
        for d in score.dots
    ]
    n = max((d.n for d in score.dots), default=0)
    return ScoreColumn(scored.title(score.roi), label[score.runs], side, dots, score.spread.mean, score.spread.sd, n)


def _n(found: Sequence[SettingScore]) -> str:
    return f"n = {max(len(s.runs) for s in found)} runs a setting at most"


def _statistics(over: Over, runs: Sequence[Chosen]) -> str:
    who = "; ".join(f"{c.letter}: {c.name}" for c in runs)
    return f"{who}. Lines: mean over {over}; bars: one standard deviation (n − 1). A dot alone: its 95 % interval."


def _caption(found: Sequence[SettingScore], over: Over, shown: str) -> str:
    n = {len(s.dots) for s in found if s.dots}
    said = ["Of the test stories."]
    if shown == "levels":
        said.append("Hollow: pretrained; filled: tuned; a thin line joins what belongs together.")
    if max(n) > 1:
        what = (
            "runs of one setting that differ in the seed alone" if over == "seeds" else "subjects, each over the seeds"
        )
        said.append(f"Line and bar: mean ± one standard deviation over {what}.")
    if over == "seeds" and 1 in n:
        said.append(
            "One seed alone has no spread over seeds: its bar is the 95 % interval of that one run over test stories "
            "and targets, which says nothing of another seed."
        )
    if over == "subjects" and 1 in n:
        said.append("One subject alone has no spread over subjects.")
    return " ".join(said)


def _spread(
    found: Sequence[SettingScore], label: dict[tuple[str, ...], str], scored: Scored, layers: dict[str, int], over: Over
) -> None:
    """Draw the numbers behind the figure as a table that can be saved."""
    table = spread_table(found)
    if table.empty:
        return
    n = "Seeds (n)" if over == "seeds" else "Subjects (n)"
    unit = scored.unit
    names_of = {c.id: c.name for c in scored.runs}
    out = {
        "Setting": [label[runs] for runs in table["runs"]],
        "Runs": ["; ".join(shorten(names_of[r], 60) for r in runs) for runs in table["runs"]],
        "Region": [scored.title(roi) for roi in table["roi"]],
        "Layer": [", ".join(map(str, sorted({layers[r] for r in runs}))) for runs in table["runs"]],
        n: table["n"].astype(int),
        "Targets (n)": table["n_targets"].astype(int),
    }
    for quantity, word in (("pretrained", "Pretrained"), ("tuned", "Tuned"), ("delta", "Δ")):
        out[f"{word} ({unit})"] = table[quantity].round(4)
        out[f"± {word} (SD over {over})"] = table[f"{quantity}_sd"].round(4)
    import pandas as pd

    shown = pd.DataFrame(out)
    with st.expander("The numbers", icon=":material/table:"):
        st.dataframe(
            shown,
            hide_index=True,
            key="compare_spread",
            placeholder="–",
            alt="Means and standard deviations by region.",
        )
        st.download_button(
            "Scores (CSV)",
            partial(csv_bytes, shown),
            file_name="scores.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="compare_spread_csv",
        )


# --- curves over layers ----------------------------------------------------------------------------


def layers_section(scored: Scored) -> None:
    """Draw the change and the level over layers in one region, a line a run."""
    st.subheader("Over layers", help=explain("layer", "state_0"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        roi = links.select(
            "roi",
            "Region",
            scored.regions,
            default="late_language" if "late_language" in scored.regions else None,
            names=scored.title,
        )
        subjects = list(dict.fromkeys(s for c in scored.runs for s in scored.results(c).subjects))
        subjects.sort(key=lambda s: s != ALL)
        subject = links.select("subject", "Subject", subjects, names=names.subject)
        depth = links.select(
            "depth",
            "Depth",
            ["share", "layer"] if unlike(scored.runs) else ["layer", "share"],
            names=lambda v: {"layer": "Layer", "share": "Share of the model"}[v],
            kind="segments",
            help="A share puts models of different depth side by side: 0 is the front end, 1 the last layer.",
        )
    changes, levels, before = layer_lines(scored, roi, subject, depth)
    missing = [c.letter for c in scored.runs if c.place not in {line.place for line in levels}]
    x_label = "Layer (0 = front end)" if depth == "layer" else "Depth (0 = front end, 1 = last layer)"
    where = scored.title(roi)
    runs = [c.id for c in scored.runs]
    left, right = st.columns(2)
    n = sorted({int(v) for line in levels if line.n is not None for v in line.n})
    said = f"n = {n[0]:,} targets" if len(n) == 1 else f"n = {n[0]:,} to {n[-1]:,} targets" if n else ""
    for place, lines, unit, title in (
        (left, changes, f"Δ {scored.unit} (tuned − pretrained)", "Change"),
        (right, [*levels, *before], scored.unit, "Pretrained and tuned"),
    ):
        with place:
            st.markdown(f"**{title}, {escape(where)}**")
            try:
                figure = kept.figure(
                    run_curves,
                    lines, x_label=x_label, y_label=unit, what=f"{where} over layers", zero=title == "Change",
                    whole=depth == "layer", theme=theme(),
                )  # fmt: skip
                chart(
                    figure, f"compare_layers_{title[:1].lower()}", title=f"{title}: {where}", n=said, runs=runs,
                    statistics="Bands: 95 % intervals over test stories and targets of each run.",
                )  # fmt: skip
            except BraindashError as error:
                st.caption(escape(f"{error.what} {error.remedy}"))
    notes = [f"{said}\\." if said else ""]
    notes.append("Bands\\: 95 % intervals of each run over its test stories and targets; with more than three runs, "
                 "on pointing at a line. Dotted\\: pretrained.")  # fmt: skip
    if missing:
        notes.append(f"Without this region or subject\\: {', '.join(missing)}.")
    st.caption(" ".join(notes))
    _layer_file(scored)


def layer_lines(
    scored: Scored, roi: str, subject: str, depth: str
) -> tuple[list[RunCurve], list[RunCurve], list[RunCurve]]:
    """Return the lines of changes, of levels after tuning, and of levels before: one where runs agree in it."""
    changes, levels = [], []
    before: dict[tuple[float, ...], tuple[list[str], RunCurve]] = {}
    for run in scored.runs:
        rows = scored.rows[run.id]
        heard = set(scored.results(run).subjects)
        # the mean over one subject is that subject
        who = subject if subject in heard else next(iter(heard)) if subject == ALL and len(heard) == 1 else None
        rows = rows[(rows["subject"] == who) & (rows["roi"] == roi)].sort_values("layer")
        if rows.empty:
            continue
        x = rows["layer" if depth == "layer" else "share"].to_numpy(float)
        at = [f"layer {k}" for k in rows["layer"]]
        n = rows["n"].to_numpy(float)
        value, low, high = (rows[c].to_numpy(float) for c in ("delta", "low", "high"))
        changes.append(RunCurve(run.place, run.short, x, value, low, high, n, at=at))
        value, low, high = (rows[c].to_numpy(float) for c in ("tuned", "tuned_low", "tuned_high"))
        levels.append(RunCurve(run.place, run.short, x, value, low, high, n, at=at))
        first = rows["pretrained"].to_numpy(float)
        key = (*x.round(6).tolist(), *first.round(6).tolist())
        letters, _ = before.setdefault(key, ([], RunCurve(None, "", x, first, n=n, at=at)))
        letters.append(run.letter)
    named = [
        RunCurve(None, "Pretrained" if len(before) == 1 else f"Pretrained of {' '.join(letters)}",
                 line.x, line.y, n=line.n, at=line.at)
        for letters, line in before.values()
    ]  # fmt: skip
    return changes, levels, named


def _layer_file(scored: Scored) -> None:
    def file() -> bytes:
        import pandas as pd

        whole = []
        for run in scored.runs:
            table = scored.rows[run.id].copy()
            table.insert(0, "run", run.id)
            table.insert(1, "name", run.row.name)
            table.insert(2, "seed", run.row.seed)
            table["roi"] = table["roi"].map(scored.title)
            whole.append(table)
        unit = scored.unit
        return csv_bytes(
            pd.concat(whole).rename(
                columns={
                    "roi": "region", "share": "depth (share of the model)", "n": "targets (n)",
                    "pretrained": f"pretrained ({unit})", "tuned": f"tuned ({unit})",
                    "tuned_low": "tuned, 95 % low", "tuned_high": "tuned, 95 % high",
                    "delta": f"change ({unit})", "low": "change, 95 % low", "high": "change, 95 % high",
                }
            )
        )  # fmt: skip

    st.download_button(
        "Every layer and region (CSV)",
        file,
        file_name="layers.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="compare_layers_csv",
        help=f"{count(len(scored.runs), 'run')}, all subjects, regions and layers.",
    )
