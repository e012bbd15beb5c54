"""One run as it goes: progress, curves, log. Redrawn every two seconds until the run has ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import names, notices, readers
from braindash.ui.barrier import guarded
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, duration, escape, moment

if TYPE_CHECKING:
    from pathlib import Path

    import plotly.graph_objects as go

    from braindash.figures.style import ThemeName
    from braindash.runs.record import RunRow
    from braindash.runs.run import Run

REFRESH = "2s"
LOG_LINES = 200


@dataclass
class _Metrics:
    """Rows read so far and where the next ones begin; shared by all sessions that watch the run."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    offset: int = 0
    file: tuple[int, int] = (0, 0)  # which one, and its size
    n_damaged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@st.cache_resource(max_entries=32, show_spinner=False)
def _metrics(path: str) -> _Metrics:
    return _Metrics()


def metrics(run: Run) -> list[dict[str, Any]]:
    """Return every row of the run's metrics, reading only what is new since the last call."""
    held = _metrics(str(run.path))
    with held.lock:  # another session may watch the same run
        file = _which(run.metrics_path)
        if file[0] != held.file[0] or file[1] < held.file[1]:  # rewritten by a resume
            held.rows, held.offset, held.n_damaged = [], 0, 0
        new, n_damaged, held.offset = run.sound_metrics_since(held.offset)
        held.rows = [*held.rows, *new]
        held.n_damaged += n_damaged
        held.file = file
        return held.rows


def _which(path: Path) -> tuple[int, int]:
    """Return what tells a file from one that was put in its place, and its size; (0, 0) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_ino, stat.st_size


def watch(row: RunRow) -> None:
    """Draw the run, and go on drawing it while it is live."""
    every = REFRESH if row.state in names.LIVE_STATES else None
    st.fragment(guarded(_draw), run_every=every)(row.id, row.state, row.has_results)


def _draw(run_id: str, state: str, had_results: bool) -> None:
    store = readers.store()
    try:
        run = store.get(run_id)
    except BraindashError as error:
        if run_id not in store.ids():
            st.rerun()  # deleted meanwhile, from here or elsewhere
        notices.mistake(error)
        return
    row = store.row(run_id)
    if (row.state, row.has_results) != (state, had_results):
        st.rerun()  # the page's buttons and the pace of this fragment depend on the state
    _progress(row)
    _remarks(run, row)
    _curves(run)
    _log(run, row)


def _progress(row: RunRow) -> None:
    if row.state not in names.LIVE_STATES:
        return
    parts = [names.state(row.state)]
    if row.stage:
        parts.append(names.STAGES.get(row.stage, row.stage))
    if row.n_steps:
        parts.append(f"step {row.step or 0:,} of {row.n_steps:,}")
    if row.n_epochs and row.stage == "tuning":
        parts.append(f"epoch {row.epoch or 0} of {row.n_epochs}")
    if row.eta_s is not None:
        parts.append(f"about {duration(row.eta_s)} left in this stage")
    st.progress(min(max(row.fraction or 0.0, 0.0), 1.0), text=escape(", ".join(parts)))


def _remarks(run: Run, row: RunRow) -> None:
    error = run.status.error
    if row.state == "failed" and error is not None:
        st.error(f"{escape(error.what)} {escape(error.remedy)}", icon=":material/error:")
    elif row.message:
        st.text(row.message)


def _curves(run: Run) -> None:
    try:
        rows = metrics(run)
    except BraindashError as error:
        notices.mistake(error)
        return
    if n := _metrics(str(run.path)).n_damaged:
        st.warning(f"{count(n, 'line')} of metrics.jsonl cannot be read and {'is' if n == 1 else 'are'} left out.")
    if not any(r.get("kind") in ("step", "epoch") for r in rows):
        st.caption("Curves appear with the first step.")
        return
    try:
        chart(_loss_curves(str(run.path), readers.mark(run.metrics_path), theme()), key="loss_curves")
        st.caption(
            "Above\\: the loss of every step (thin) and its running mean. Below\\: after each epoch, the correlation "
            "of predicted and measured responses on the validation stories, not corrected for noise; the star is the "
            "epoch that is kept. A ridge fitted anew to the tuned features chooses it (recipe head: the head); "
            "a dotted curve is what the head in training predicts itself.",
            help=explain("loss", "epoch", "validation_r"),
        )
    except BraindashError as error:
        notices.mistake(error)


@st.cache_resource(max_entries=32, show_spinner=False)
def _loss_curves(path: str, as_of: tuple[int, int], theme_name: ThemeName, /) -> go.Figure:
    from pathlib import Path

    from braindash.figures import loss_curves
    from braindash.runs.run import Run

    return loss_curves(metrics(Run(Path(path))), theme=theme_name)


def _log(run: Run, row: RunRow) -> None:
    try:
        tail = run.log_tail(LOG_LINES)
    except BraindashError as error:
        notices.mistake(error)
        return
    with st.expander("Log", icon=":material/article:", expanded=row.state in ("failed", "interrupted")):
        st.code(tail or "The log is empty.", language=None, height=260, wrap_lines=True)
        ended = f", ended {moment(row.ended)}" if row.ended else ""
        st.caption(f"The last {LOG_LINES} lines. Made {escape(moment(row.created))}{escape(ended)}.")
