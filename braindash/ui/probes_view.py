"""Sections of the Probes page: what changed, curves of every task, differences, and what the probes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, controls_view, kept, legend, links, names, probes_tables
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, duration, escape, shorten, true_minus

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from braindash.runs.record import RunRow
    from braindash.ui.probes_readers import ProbeTask, Probing

UNTRAINED = "random_weights"
COLUMNS = 3  # panels in a row
CLICKED = "_probe_clicked"  # that the reader has just clicked a point or a cell
TASKS_KEY = "_probe_tasks"  # the tasks on the page, by place: what a click on the table of differences means


@dataclass(frozen=True)
class Choice:
    """What the whole page shows."""

    model: str | None  # compared with the pretrained one
    task: str
    layer: int


def not_probed(run_id: str) -> None:
    """Say what probing is and how this run gets it."""
    st.subheader("This run has not been probed")
    st.markdown(
        "A probe is a simple classifier or regression that tries to read one thing, such as the phone or the part of "
        "speech, from the hidden states of one layer. How well it does shows where in the model that "
        "information is easy to find, before and after tuning. Groups of recordings never straddle training and test, "
        "and shuffled labels and an untrained model say what is owed to chance. It takes minutes:"
    )
    st.code(f"braindash probe {run_id}", language=None)


def head(row: RunRow, probing: Probing) -> None:
    """Show what was probed, and the answer in a sentence or two."""
    document = probing.document
    model = "brain_tuned" if "brain_tuned" in probing.compared else next(iter(probing.compared), None)
    told = document.get("corpus")
    corpus: dict[str, Any] = told if isinstance(told, dict) else {}
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            title = corpus.get("title") or document.get("study") or row.study
            st.badge(f"Probed on\\: {escape(shorten(title, 60))}", color="gray")
            st.badge(f"Model\\: {escape(shorten(row.model, 60))}", color="gray")
            if document.get("simulated"):
                st.badge("Simulated subjects", color="orange", icon=":material/science:")
        found, *same = probes_tables.answer(probing, model)
        st.markdown(f"##### {escape(true_minus(found))}")
        others = [probes_tables.others_sentence(probing, model)] if model else []
        st.caption(escape(" ".join([*same, *others])))
        st.caption(escape(_corpus_line(corpus)))


def _corpus_line(corpus: dict[str, Any]) -> str:
    minutes, n, scored = (corpus.get(k) for k in ("minutes", "n_recordings", "n_scored"))
    parts = []
    if isinstance(minutes, (int, float)):
        parts.append(f"{minutes:.1f} min of sound")
    if isinstance(n, int):
        parts.append(count(n, "recording"))
    if isinstance(scored, int):
        parts.append(f"{scored} of them scored")
    rest = " The others only teach the probes." if isinstance(n, int) and isinstance(scored, int) and scored < n else ""
    return f"{', '.join(parts)}.{rest}" if parts else ""


def choose(probing: Probing) -> Choice:
    """Draw the choices that hold for the whole page."""
    compared = probing.compared
    model: str | None = None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if compared:
            model = links.select(
                "model",
                "Compared with pretrained",
                compared,
                default="brain_tuned",
                names=names.model,
                kind="segments" if len(compared) <= 3 else "select",
                help=" ".join(f"{names.model(m)}: {names.explained(m)}" for m in compared if names.explained(m)),
            )
        task, layer = probes_tables.strongest(probing, model)
        chosen = links.select(
            "task",
            "Task in detail",
            [t.name for t in probing.tasks],
            default=task,
            names=lambda name: shorten(probing.task(name).title, 60),
            help="A click on a point or a cell chooses it as well.",
        )
        at = links.select(
            "layer",
            "Layer in detail",
            [str(k) for k in probing.layers],
            default=str(layer),
            names=lambda k: names.layer(int(k), probing.layers[-1]),
        )
    if st.session_state.pop(CLICKED, False):
        title = escape(shorten(probing.task(chosen).title, 40))
        st.toast(f"{title}, layer {at}\\: details further down", icon=":material/arrow_downward:")
    return Choice(model, chosen, int(at))


# --- curves --------------------------------------------------------------------------------------


def curves(probing: Probing, choice: Choice) -> None:
    """Draw a panel a task: score over layers, of the pretrained, the tuned and the chosen other models."""
    st.subheader("What each layer tells", help=explain("probe", "score", "chance", "shuffled_labels"))
    controls = [m for m in probing.models if names.is_control(m) and m != UNTRAINED]
    drawn = controls_view.choose(controls, "controls", "Controls drawn")
    models = [m for m in probing.models if m not in controls or m in drawn or m == choice.model]
    baseline = any(
        np.isfinite(t.baseline) and np.isfinite(t.chance) and abs(t.baseline - t.chance) > 1e-9 for t in probing.tasks
    )
    _legend(models, baseline)
    st.session_state[TASKS_KEY] = [t.name for t in probing.tasks]
    for begin in range(0, len(probing.tasks), COLUMNS):
        row = probing.tasks[begin : begin + COLUMNS]
        for place, (column, task) in enumerate(zip(st.columns(COLUMNS), row, strict=False), start=begin):
            with column:
                _panel(probing, task, models, choice, place)
    st.caption(
        "Every panel has its own vertical scale. Bands\\: 95 % intervals over held-out stories, speakers, stretches of "
        "sound or word types, as *What the probes are* says. Dotted\\: the same probe taught with shuffled labels. "
        "An interval is that of a score; whether two models differ shows in the table of differences. "
        "Click a point for its details further down."
    )


def _legend(models: Sequence[str], baseline: bool) -> None:
    from braindash.figures.probes import BASELINE, CHANCE, SHUFFLED
    from braindash.figures.style import theme_of

    page = theme()
    others = [(SHUFFLED, "dot"), (CHANCE, "solid"), *([(BASELINE, "dash")] if baseline else [])]
    entries = [legend.of_model(m, page, with_band=not names.is_control(m)) for m in models]
    legend.draw([*entries, *(legend.Entry(t, theme_of(page).muted, dash=d) for t, d in others)])


def _panel(probing: Probing, task: ProbeTask, models: Sequence[str], choice: Choice, place: int) -> None:
    from braindash.figures import ProbeLine, probe_curves

    lines = [
        ProbeLine(m, c.score, c.low, c.high, c.shuffled)
        for m in models
        if (c := probing.curves.get((m, task.name))) is not None
    ]
    try:
        figure = kept.figure(
            probe_curves,
            lines,
            probing.layers,
            title=task.title,
            note=panel_note(task),
            y_label=_y_label(task),
            chance=task.chance,
            baseline=task.baseline,
            picked=choice.layer if task.name == choice.task else None,
            theme=theme(),
        )
    except BraindashError as error:
        st.text(error.what)
        return
    _answering(
        figure,
        f"probe_curve_{place}",
        _chosen_point,
        (f"probe_curve_{place}", place),
        title=f"Probe of {task.title}, layer by layer",
        n=f"n = {count(task.n, 'example')}" if task.n else "",
        statistics="95 % intervals over held-out units; dotted: the same probe taught with shuffled labels.",
    )


def panel_note(task: ProbeTask) -> str:
    """Return the line under a panel's title: its level and its examples."""
    return " · ".join([*([task.level] if task.level else []), *([f"n = {task.n:,}"] if task.n else [])])


def _y_label(task: ProbeTask) -> str:
    if task.kind == "multilabel":
        return f"Mean F1 of {count(len(task.classes), 'label')}" if task.classes else task.metric
    named = task.kind == "classification" and task.classes
    return f"{task.metric}, {count(len(task.classes), 'class', 'classes')}" if named else task.metric


def _answering(figure: go.Figure, key: str, then: Any, with_: tuple[Any, ...], **said: Any) -> None:
    """Draw a figure whose points can be clicked."""
    chart(figure, key, clicked=lambda: then(*with_), **said)


def _points(key: str) -> list[dict[str, Any]]:
    state = st.session_state.get(key) or {}
    return list((state.get("selection") or {}).get("points") or ())


def _chosen_point(key: str, place: int) -> None:
    """Put the task, layer and model of a clicked point into the address."""
    tasks = st.session_state.get(TASKS_KEY) or []
    for point in _points(key)[-1:]:
        if place >= len(tasks):
            return
        address.write(task=tasks[place], layer=str(int(point["x"])))
        st.session_state[CLICKED] = True
        model = (point.get("customdata") or [None])[0]
        if model not in (None, "pretrained"):
            address.write(model=str(model))


# --- differences ---------------------------------------------------------------------------------


def changes(probing: Probing, choice: Choice) -> None:
    """Draw the difference from the pretrained model for every task and layer."""
    from braindash.cortex.colour import symmetric_limit
    from braindash.figures import probe_changes

    st.subheader("What changed, task by layer", help=explain("delta", "selectivity", "q"))
    if choice.model is None:
        st.info("There is no other model to compare with.", icon=":material/info:")
        return
    measure = links.select(
        "measure",
        "Difference in",
        list(probes_tables.MEASURES),
        names=lambda m: probes_tables.MEASURES[m],
        kind="segments",
        help=explain("score", "selectivity"),
    )
    found = probes_tables.differences(probing, choice.model, measure)
    if not np.isfinite(found.delta).any():
        st.info("This run has no differences for this choice.", icon=":material/info:")
        return
    # one scale for the tuned models; what training gave is far more than what tuning changes
    on_scale = [m for m in probing.compared if m != UNTRAINED] if choice.model != UNTRAINED else [UNTRAINED]
    every = [probes_tables.differences(probing, m, measure).delta for m in on_scale]
    at = next(i for i, t in enumerate(probing.tasks) if t.name == choice.task)
    figure = kept.figure(
        probe_changes,
        found.delta,
        probing.layers,
        [t.title for t in probing.tasks],
        label=f"{probes_tables.MEASURES[measure]}: {names.model(choice.model).lower()} − pretrained",
        groups=[t.level for t in probing.tasks],
        low=found.low,
        high=found.high,
        q=found.q,
        level=probes_tables.LEVEL,
        limit=symmetric_limit(*every, percentile=100),
        picked=(at, probing.layers.index(choice.layer)),
        theme=theme(),
    )
    st.session_state["_probe_layers"] = list(probing.layers)
    title = f"What each layer tells: {names.model(choice.model)} − pretrained"
    _answering(figure, "probe_changes", _chosen_cell, ("probe_changes",), title=title)
    tested = (
        f"Star\\: q < {probes_tables.LEVEL:g}, corrected over tasks and layers (Benjamini–Hochberg)."
        if measure == "score"
        else "Differences in selectivity are not tested; those in score are."
    )
    st.caption(f"{tested} R² and F1 share one colour scale. 0\\: the same states in both models. Click a cell for it.")


def _chosen_cell(key: str) -> None:
    """Put the task and layer of a clicked cell into the address."""
    tasks, layers = st.session_state.get(TASKS_KEY) or [], st.session_state.get("_probe_layers") or []
    for point in _points(key)[-1:]:
        i, j = int(point["y"]), int(point["x"])
        if 0 <= i < len(tasks) and 0 <= j < len(layers):
            address.write(task=tasks[i], layer=str(layers[j]))
            st.session_state[CLICKED] = True


# --- what the probes are -------------------------------------------------------------------------


def explained(probing: Probing) -> None:
    """Say of every task what is read from what, from how much, and what was left out; and what was not done."""
    with st.expander("What the probes are", icon=":material/help:"):
        st.markdown(
            "Hidden states are averaged over the span of each example (a stretch of sound, a phone, a word) and "
            "standardised; a linear classifier or ridge regression reads the label from them. Its penalty is chosen "
            "inside the training part. The folds are the same for every layer and model, so differences are paired. "
            "**Shuffled labels**\\: what the same probe reaches when labels are dealt out at random; score minus that "
            "is its selectivity. **Untrained**\\: the same architecture with random weights."
        )
        columns = {"Score": "score", "Chance": "chance", "Baseline": "baseline", "Intervals over": "interval"}
        st.dataframe(
            _facts(probing),
            hide_index=True,
            column_config={name: st.column_config.Column(help=explain(term)) for name, term in columns.items()},
            alt="Table of every task with its counts.",
        )
        for task in probing.tasks:
            left = task.facts.get("left_out")
            out = "; ".join(f"{_whole(n)} {why}" for why, n in left.items()) if isinstance(left, dict) else ""
            st.text(f"{task.title}: {task.explanation}{f' Left out: {out}.' if out else ''}")
        for missing in probing.document.get("not_done") or ():
            st.text(f"Not done: {missing.get('title') or missing.get('task')}, because {missing.get('why')}")
        settings = probing.document.get("settings")
        if settings:
            st.json(settings, expanded=1)
        seconds = probing.document.get("seconds")
        if isinstance(seconds, (int, float)):
            st.caption(f"Took {duration(seconds)}.")


def _whole(n: Any) -> str:
    return f"{n:,}" if isinstance(n, int) else str(n)


def _facts(probing: Probing) -> Any:
    import pandas as pd

    rows = []
    for task in probing.tasks:
        facts = task.facts
        units, word = facts.get("n_units"), facts.get("unit_word")
        rows.append(
            {
                "Task": task.title,
                "Level": task.level,
                "Score": task.metric,
                "Chance": round(task.chance, 3),
                "Baseline": round(task.baseline, 3),
                "Classes": len(task.classes) if task.classes else None,
                "Examples": facts.get("n"),
                "Scored": task.n,
                "Groups": facts.get("n_groups", task.n_groups),
                "Intervals over": f"{_whole(units)} × {word}" if units and word else "",
                "Folds": facts.get("n_folds"),
                "Train": facts.get("n_train"),
                "Test": facts.get("n_test"),
            }
        )
    return pd.DataFrame(rows)


def download(probing: Probing) -> None:
    """Offer every row as a file."""
    st.download_button(
        "All numbers (CSV)",
        lambda: probes_tables.csv(probing),
        f"{probing.run_id}_probes.csv",
        "text/csv",
        icon=":material/download:",
    )
