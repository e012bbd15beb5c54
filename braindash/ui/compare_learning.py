"""How the chosen runs learned: training loss and validation score, drawn anew while one of them is at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from braindash.errors import BraindashError
from braindash.figures.run_curves import RunCurve, run_curves, thinned
from braindash.figures.training import running_mean
from braindash.ui import kept, links, live, names, readers
from braindash.ui.barrier import guarded
from braindash.ui.charts import chart, theme
from braindash.ui.compare_runs import Chosen
from braindash.ui.glossary_help import explain
from braindash.ui.text import escape

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

REFRESH = "5s"
MEAN_OF = 10  # a loss is the running mean over one in so many of its steps: lines of single steps hide each other


def section(runs: Sequence[Chosen]) -> None:
    """Draw the curves, and go on drawing them while a run waits or works."""
    st.subheader("Learning curves", help=explain("validation_r", "epoch"))
    at_work = [c.row.state in names.LIVE_STATES for c in runs]
    st.fragment(guarded(_draw), run_every=REFRESH if any(at_work) else None)(list(runs))


def _draw(runs: Sequence[Chosen]) -> None:
    now = {c.id: readers.store().row(c.id) for c in runs}
    if any((now[c.id].state, now[c.id].has_results) != (c.row.state, c.row.has_results) for c in runs):
        st.rerun()  # the rest of the page, and the pace of this fragment, depend on it
    along = links.select(
        "along",
        "Along",
        ["step", "epoch"],
        names=lambda v: {"step": "Steps", "epoch": "Epochs"}[v],
        kind="segments",
        help="Runs whose steps or stories differ are told apart better along epochs.",
    )
    losses, scores = [], []
    for c in runs:
        rows = live.metrics(readers.store().get(c.id))
        losses.append(loss_line(c, rows, now[c.id], along))
        scores.append(score_line(c, rows))
    ids = [c.id for c in runs]
    kinds = {c.row.loss for c in runs}
    label = f"Training loss ({names.choice('loss', kinds.pop()).lower()})" if len(kinds) == 1 else "Training loss"
    left, right = st.columns(2)
    for place, lines, key, title, x_label, y_label in (
        (left, losses, "compare_loss", "Training loss", "Step" if along == "step" else "Epoch", label),
        (right, scores, "compare_validation", "Validation score", "Epoch (0 = before tuning)", "Validation r"),
    ):
        with place:
            st.markdown(f"**{title}**")
            try:
                whole = key == "compare_validation"
                figure = kept.figure(
                    run_curves,
                    lines,
                    x_label=x_label,
                    y_label=y_label,
                    what=title.lower(),
                    whole=whole,
                    theme=theme(),
                )
                chart(figure, key, title=title, runs=ids, n=f"n = {len(ids)} runs")
            except BraindashError:
                st.caption("None of these runs has got so far yet.")
    st.caption(" ".join(_notes(runs, now)))


def _notes(runs: Sequence[Chosen], now: Mapping[str, RunRow]) -> list[str]:
    notes = [
        "Loss\\: running mean over a tenth of the steps so far. Validation r\\: correlation on the validation "
        "stories, not corrected for noise."
    ]
    if len({c.row.loss for c in runs}) > 1:
        notes.append("The losses differ in kind\\: their heights cannot be compared, only their course.")
    if any(c.row.control != "none" for c in runs):
        notes.append("A control's validation r is on its own responses, not to be compared with the others.")
    if len({c.row.study for c in runs}) > 1:
        notes.append("Validation stories are those of each run's own study.")
    working = [c.letter for c in runs if now[c.id].state in names.LIVE_STATES]
    if working:
        notes.append(escape(f"At work: {', '.join(working)}; drawn anew every five seconds."))
    return notes


def loss_line(run: Chosen, metrics: Sequence[Mapping[str, Any]], row: RunRow, along: str) -> RunCurve:
    """Return the training loss of every step; along epochs, steps are shares of their epoch."""
    # a resumed run repeats what came after its last checkpoint: the later row holds
    steps = {int(r["step"]): float(r["loss"]) for r in metrics if r.get("kind") == "step" and _number(r.get("loss"))}
    at = sorted(steps)
    y = running_mean(np.array([steps[s] for s in at], float), max(3, len(at) // MEAN_OF))
    x, y = thinned(np.array(at, float), y)
    if along == "epoch":
        x = x * (row.n_epochs / row.n_steps if row.n_epochs and row.n_steps else np.nan)
        y = y[np.isfinite(x)]
        x = x[np.isfinite(x)]
    word = "step" if along == "step" else "epoch"
    return RunCurve(run.place, run.short, x, y, marks=False, at=[f"{word} {v:.4g}" for v in x])


def score_line(run: Chosen, metrics: Sequence[Mapping[str, Any]]) -> RunCurve:
    """Return the validation r after every epoch; epoch 0 is before tuning."""
    epochs = {
        int(r["epoch"]): float(r["validation_r"])
        for r in metrics
        if r.get("kind") == "epoch" and _number(r.get("validation_r"))
    }
    at = sorted(epochs)
    y = np.array([epochs[e] for e in at], float)
    return RunCurve(run.place, run.short, np.array(at, float), y, at=[f"epoch {e}" for e in at])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and np.isfinite(value)
