"""One probe in detail: its scores, its folds, and what its classifier confuses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import kept, names, notices, probes_readers, probes_tables, probes_view
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import escape, interval, number, shorten

if TYPE_CHECKING:
    from braindash.runs.run import Run
    from braindash.ui.probes_readers import ProbeTask, Probing
    from braindash.ui.probes_view import Choice

MOST_CLASSES = 40  # drawn in a table of confusions


def chosen(run: Run, probing: Probing) -> None:
    """Draw the choices, what they mean for every task, and the details of the chosen task and layer."""
    choice = probes_view.choose(probing)
    probes_view.curves(probing, choice)
    probes_view.changes(probing, choice)
    section(run, probing, choice)


def section(run: Run, probing: Probing, choice: Choice) -> None:
    """Draw the details of the chosen task and layer, for the pretrained model and the one compared with it."""
    task = probing.task(choice.task)
    st.subheader(f"{escape(shorten(task.title, 80))}, layer {choice.layer}")
    if task.explanation:
        st.text(task.explanation)
    _cards(probing, task, choice)
    _folds(probing, choice)
    if task.kind == "classification":
        _confusions(run, task, choice)


def _cards(probing: Probing, task: ProbeTask, choice: Choice) -> None:
    at = probing.layers.index(choice.layer)
    columns = iter(st.columns(4 if choice.model else 2, border=True))
    for model in ("pretrained", *([choice.model] if choice.model else [])):
        with next(columns):
            curve = probing.curves.get((model, task.name))
            st.metric(
                f"{names.model(model)}, {task.metric}",
                number(curve.score[at] if curve else None, 3),
                help=explain("r2" if task.kind == "regression" else "macro_f1", "shuffled_labels"),
            )
            if curve is not None:
                st.caption(interval(curve.low[at], curve.high[at], 3))
                st.caption(f"shuffled labels {number(curve.shuffled[at], 3)}")
    if choice.model:
        with next(columns):
            change = probing.changes.get((choice.model, task.name))
            st.metric(
                "Difference",
                number(change.delta[at] if change else None, 3, signed=True),
                help=explain("delta", "interval"),
            )
            if change is not None:
                st.caption(interval(change.low[at], change.high[at], 3))
                same = change.delta[at] == 0 and not (change.high[at] > change.low[at])
                st.caption("the same states in both" if same else _verdict(float(change.q[at])))
    with next(columns):
        untrained = probing.curves.get(("random_weights", task.name))
        if untrained is not None:
            st.metric("Untrained model", number(untrained.score[at], 3), help=explain("random_weights", "chance"))
        else:
            st.metric("Chance", number(task.chance, 3), help=explain("chance", "baseline"))
        st.caption(f"chance {number(task.chance, 3)}")
        if np.isfinite(task.baseline) and task.kind != "regression":
            st.caption(f"majority baseline {number(task.baseline, 3)}")


def _verdict(q: float) -> str:
    if q != q:
        return "not tested"
    said = "differs" if q < probes_tables.LEVEL else "no difference shown"
    return f"q {'< 0.001' if q < 0.001 else f'= {q:.2g}'}\\: {said}"


def _folds(probing: Probing, choice: Choice) -> None:
    table = probes_tables.folds(probing, choice.model, choice.task, choice.layer)
    if table.empty:
        st.text("The folds of this probe were not stored.")
        return
    st.markdown("**Folds**")
    drawn = ["pretrained", *([choice.model] if choice.model else [])]
    wide = {names.model(m): st.column_config.NumberColumn(format="%.3f") for m in drawn}
    wide[probes_tables.ITEMS] = st.column_config.NumberColumn(help="Word types or texts that no training example has.")
    wide["Difference"] = st.column_config.NumberColumn(format="%+.3f")
    st.dataframe(
        table,
        hide_index=True,
        column_config=wide,
        height=min(36 * (len(table) + 1) + 3, 580),
        alt="Table of folds with what was held out and both models' scores.",
    )


def _confusions(run: Run, task: ProbeTask, choice: Choice) -> None:
    """Draw the confusions of both models and their difference, and say what changed most."""
    from braindash.figures import confusion_map

    try:
        before = probes_readers.confusion(run, task.name, "pretrained", choice.layer)
        after = probes_readers.confusion(run, task.name, choice.model, choice.layer) if choice.model else None
    except BraindashError as error:
        notices.mistake(error)
        return
    if before is None:
        st.text("The confusions of this probe were not stored.")
        return
    st.markdown("**Which class is read as which**")
    k = len(before)
    classes = task.classes if len(task.classes) == k else tuple(f"class {i + 1}" for i in range(k))
    drawn = probes_tables.most_frequent(before, MOST_CLASSES)
    shown, labels = np.ix_(drawn, drawn), [classes[i] for i in drawn]
    draw = functools.partial(kept.figure, confusion_map, names=labels, drawn=drawn, theme=theme())
    left, right = st.columns(2)
    with left:
        title = names.model("pretrained")
        figure = draw(probes_tables.shares(before)[shown], title=title, counts=[before])
        chart(figure, key="confusion_pretrained", title=f"{task.title}, layer {choice.layer}: {title}")
    if after is None or after.shape != before.shape or choice.model is None:
        return
    other = names.model(choice.model)
    with right:
        figure = draw(probes_tables.shares(after)[shown], title=other, counts=[after])
        chart(figure, key="confusion_compared", title=f"{task.title}, layer {choice.layer}: {other}")
    difference = (probes_tables.shares(after) - probes_tables.shares(before))[shown]
    finite = np.abs(difference[np.isfinite(difference)])
    left, right = st.columns(2)
    with left:
        figure = draw(
            difference,
            title=f"{other} − pretrained",
            counts=[before, after],
            models=[names.model("pretrained"), other],
            limit=max(float(finite.max()), 1.0) if finite.size else 1.0,
        )
        change = f"{task.title}, layer {choice.layer}: {other} − pretrained"
        chart(figure, key="confusion_difference", title=change)
    with right:
        st.markdown("**Largest changes**")
        said = probes_tables.largest_changes(before, after, classes)
        for line in said or ["Both models read every class alike."]:
            st.text(line)
        more = k - len(drawn)
        if more > 0:
            st.caption(f"Drawn\\: the {len(drawn)} of {k} classes with the most examples.")
        st.caption("In percent of the examples of a true class; counts are in the hover text.")
