"""The table of runs. A group is one row; a folder that cannot be read is a row that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import address, groups, marks_view, names, readers
from braindash.ui.barrier import guarded
from braindash.ui.glossary_help import explain
from braindash.ui.groups import GroupLine
from braindash.ui.marks_view import NONE, STAR
from braindash.ui.text import count, duration, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.marks import Marks
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


def entries(rows: Sequence[RunRow], states: Sequence[str] = ()) -> list[RunRow | GroupLine]:
    """Return what has a line: single runs, and groups at the place of their newest run.

    With ``states``, only those of which a run is in one of them; *done* is a group when all of it is.
    """
    from braindash.runs.groups import by_group

    members = by_group(rows)
    found: list[RunRow | GroupLine] = []
    for row in rows:
        if not row.group:
            found.append(row)
        elif row.group in members:
            found.append(groups.line(row.group, members.pop(row.group)))

    def kept(entry: RunRow | GroupLine) -> bool:
        mine = {r.state for r in entry.rows} if isinstance(entry, GroupLine) else {entry.state}
        return mine <= set(states) if "done" in states else bool(mine & set(states))

    return [e for e in found if not states or kept(e)]


def frame(shown: Sequence[RunRow | GroupLine], marks: Mapping[str, Marks] | None = None) -> pd.DataFrame:
    """Return the table that is shown, one line a run or group, newest first; stars and tags where there are any."""
    import pandas as pd

    lines = [_group_line(e) if isinstance(e, GroupLine) else _run_line(e) for e in shown]
    if marks:
        mine = [marks.get(e.id, NONE) if not isinstance(e, GroupLine) else NONE for e in shown]
        lines = [
            {STAR: STAR if m.starred else "", **line, "Tags": list(m.tags)} for m, line in zip(mine, lines, strict=True)
        ]
    table = pd.DataFrame(lines)
    if not table.empty:
        table["Made"] = pd.to_datetime(table["Made"], unit="s", utc=True).dt.tz_convert(local_zone())
    return table


def _run_line(r: RunRow) -> dict[str, Any]:
    return {
        "State": f"{MARKS.get(r.state, '')} {names.state(r.state)}",
        "Name": shorten(r.name, 80) or (r.id if r.state == "unreadable" else "–"),
        "Tuned": _percent(r),
        "Time left": duration(r.eta_s) if r.state in names.LIVE_STATES and r.eta_s is not None else "",
        "Validation r": "" if r.validation_r is None else f"{r.validation_r:.4f}",
        "Made": r.created,
        "Study": r.study or "–",
        "Model": shorten(r.model, 40) or "–",
        "Recipe": names.choice("recipe", r.recipe) if r.recipe else "–",
        "Control": "–" if r.control in ("", "none") else names.choice("control", r.control),
        "Note": shorten(r.problem or r.message, 160),
    }


def _group_line(g: GroupLine) -> dict[str, Any]:
    done = [_percent(r) or 0.0 for r in g.rows]
    return {
        "State": f"{MARKS.get(g.state, '')} {_done_of(g)}",
        "Name": f"▤ {shorten(g.id, 80)}",
        "Tuned": sum(done) / len(done),
        "Time left": "",
        "Validation r": groups.mean_and_spread(g.best),
        "Made": g.rows[-1].created,
        "Study": _only({r.study for r in g.rows if r.study}, "studies"),
        "Model": shorten(_only({r.model for r in g.rows if r.model}, "models"), 40),
        "Recipe": _only({names.choice("recipe", r.recipe) for r in g.rows if r.recipe}, "recipes"),
        "Control": "with controls" if any(r.control not in ("", "none") for r in g.rows) else "–",
        "Note": shorten(f"{count(len(g.rows), 'run')}: {groups.states(g.rows)}{groups.best_words(g.best)}", 160),
    }


def _done_of(g: GroupLine) -> str:
    n = sum(r.state == "done" for r in g.rows)
    return names.state("done") if n == len(g.rows) else f"{n} of {len(g.rows)} done"


def _only(values: set[str], plural: str) -> str:
    return values.pop() if len(values) == 1 else f"{len(values)} {plural}" if values else "–"


def local_zone() -> Any:
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
    shown = (st.query_params.get("run"), st.query_params.get("group"))
    st.fragment(guarded(_draw), run_every=REFRESH if live else None)(which, shown)


def _draw(which: str, before: tuple[str | None, str | None]) -> None:
    shown = entries(readers.run_rows(), FILTERS[which][1])
    if not shown:
        st.text("No run is in this state.")
        return
    st.session_state[f"{TABLE}_ids"] = [("group" if isinstance(e, GroupLine) else "run", e.id) for e in shown]
    n_groups = sum(isinstance(e, GroupLine) for e in shown)
    what = f"{count(len(shown) - n_groups, 'single run')} and {count(n_groups, 'group')}" if n_groups else (
        count(len(shown), "run")
    )  # fmt: skip
    st.dataframe(
        frame(shown, marks_view.marks_of(readers.run_rows())),
        key=TABLE,
        hide_index=True,
        height=min(36 * (len(shown) + 1) + 3, 400),
        on_select=_choose,
        selection_mode="single-row",
        placeholder="",
        alt=f"Table of {what}, the newest first.",
        column_config={
            "Tuned": st.column_config.ProgressColumn("Tuned", format="%d %%", min_value=0.0, max_value=100.0),
            "Made": st.column_config.DatetimeColumn("Made", format="D MMM YYYY, HH:mm"),
            "Name": st.column_config.TextColumn(
                "Name", width="medium", help="▤ is a group of runs; choose it to open."
            ),
            "Validation r": st.column_config.TextColumn(
                "Validation r",
                help="Of a group: its best setting, mean ± standard deviation over seeds.\n\n"
                f"{explain('validation_r')}",
            ),
            "Note": st.column_config.TextColumn("Note", width="large"),
            STAR: st.column_config.TextColumn(STAR, width=40),
            "Tags": st.column_config.ListColumn("Tags"),
        },
    )
    if (st.query_params.get("run"), st.query_params.get("group")) != before:
        st.rerun()  # the details below belong to another run


def _choose() -> None:
    """Put the chosen line's run or group into the address; the page shows that one."""
    chosen = st.session_state[TABLE]["selection"]["rows"]
    ids = st.session_state.get(f"{TABLE}_ids", [])
    if chosen and chosen[0] < len(ids):
        kind, which = ids[chosen[0]]
        address.write(**({"run": None, "group": None} | {kind: which}))
