"""The table of runs. A folder that cannot be read is a row that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import names, readers
from braindash.ui.text import duration, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.record import RunRow

TABLE = "runs_table"
REFRESH = "5s"
MARKS = {
    "queued": "◌",
    "running": "▶",
    "stopping": "▶",
    "stopped": "■",
    "failed": "✕",
    "interrupted": "✕",
    "done": "✓",
    "unreadable": "⚠",
}
FILTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "all": ("All", ()),
    "live": ("At work", names.LIVE_STATES),
    "done": ("Done", ("done",)),
    "attention": ("Need attention", ("failed", "interrupted", "stopped", "unreadable")),
}


def frame(rows: Sequence[RunRow]) -> pd.DataFrame:
    """Return the table that is shown, one line a run, newest first."""
    import pandas as pd

    lines: list[dict[str, Any]] = [
        {
            "State": f"{MARKS.get(r.state, '')} {names.state(r.state)}",
            "Name": shorten(r.name, 80) or (r.id if r.state == "unreadable" else "–"),
            "Tuned": _percent(r),
            "Time left": duration(r.eta_s) if r.state in names.LIVE_STATES and r.eta_s is not None else "",
            "Made": r.created,
            "Study": r.study or "–",
            "Model": shorten(r.model, 40) or "–",
            "Recipe": names.choice("recipe", r.recipe) if r.recipe else "–",
            "Control": "–" if r.control in ("", "none") else names.choice("control", r.control),
            "Note": shorten(r.problem or r.message, 160),
        }
        for r in rows
    ]
    table = pd.DataFrame(lines)
    if not table.empty:
        table["Made"] = pd.to_datetime(table["Made"], unit="s", utc=True).dt.tz_convert(_local_zone())
    return table


def _local_zone() -> Any:
    import datetime

    return datetime.datetime.now().astimezone().tzinfo


def _percent(row: RunRow) -> float | None:
    """Return how much of the tuning is done; None where it has not begun."""
    if row.state == "done" or row.stage == "evaluating":
        return 100.0
    return min(100.0 * (row.step or 0) / row.n_steps, 100.0) if row.n_steps else None


def draw(which: str) -> None:
    """Draw the table; while a run is at work, draw it anew every few seconds."""
    live = any(r.state in names.LIVE_STATES for r in readers.run_rows())
    st.fragment(_draw, run_every=REFRESH if live else None)(which, st.query_params.get("run"))


def _draw(which: str, shown_run: str | None) -> None:
    states = FILTERS[which][1]
    rows = [r for r in readers.run_rows() if not states or r.state in states]
    if not rows:
        st.text("No run is in this state.")
        return
    ids = [r.id for r in rows]
    st.session_state[f"{TABLE}_ids"] = ids
    st.dataframe(
        frame(rows),
        key=TABLE,
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 3, 400),
        on_select=_choose,
        selection_mode="single-row",
        placeholder="",
        alt=f"Table of {len(rows)} runs, the newest first.",
        column_config={
            "Tuned": st.column_config.ProgressColumn("Tuned", format="%d %%", min_value=0.0, max_value=100.0),
            "Made": st.column_config.DatetimeColumn("Made", format="D MMM YYYY, HH:mm"),
            "Name": st.column_config.TextColumn("Name", width="medium"),
            "Note": st.column_config.TextColumn("Note", width="large"),
        },
    )
    if st.query_params.get("run") != shown_run:
        st.rerun()  # the details below belong to another run


def _choose() -> None:
    """Put the chosen line's run into the address; the page shows that one."""
    chosen = st.session_state[TABLE]["selection"]["rows"]
    ids = st.session_state.get(f"{TABLE}_ids", [])
    if chosen and chosen[0] < len(ids):
        st.query_params["run"] = ids[chosen[0]]
