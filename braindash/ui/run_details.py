"""What is below the table of runs: a group or a run in detail, as the address names it or the reader chooses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import group_view, links, live, marks_view, names, readers, run_actions
from braindash.ui.barrier import guarded
from braindash.ui.layout import COMPARE, RUNS
from braindash.ui.text import count, escape, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braindash.runs.marks import Marks
    from braindash.runs.record import RunRow

NO_GROUP = NO_RUN = ""


def section(rows: Sequence[RunRow]) -> None:
    """Draw the choice of a group and of a run and what was chosen; another choice draws nothing above it anew."""
    st.fragment(guarded(_draw))(_shown_above(rows))


def _shown_above(rows: Sequence[RunRow]) -> tuple[dict[str, str], dict[str, Marks]]:
    """Return what the rest of the page tells of runs that may be changed here: states and marks."""
    return {row.id: row.state for row in rows}, marks_view.marks_of(rows)


def _draw(above: tuple[dict[str, str], dict[str, Marks]]) -> None:
    with readers.one_look():
        rows = readers.run_rows()
        if _shown_above(rows) != above:
            st.rerun()
        _chosen({row.id: row for row in rows})


def _chosen(rows: dict[str, RunRow]) -> None:
    from braindash.figures.run_curves import MOST_RUNS
    from braindash.runs.groups import by_group
    from braindash.runs.searching import all_tags

    groups = by_group(rows.values())
    group = NO_GROUP
    if st.query_params.get("run") and "group" not in st.query_params:
        st.session_state.pop("_group", None)  # a single run was asked for, here or by a link
    if groups:
        newest_first = sorted(groups, key=lambda g: groups[g][-1].id, reverse=True)
        group = links.select(
            "group",
            "Group in detail",
            [NO_GROUP, *newest_first],
            names=lambda g: f"{shorten(g, 80)} ({count(len(groups[g]), 'run')})" if g else "None: one run in detail",
        )
    if group:
        group_view.draw(group)
        members = [row.id for row in groups[group]]
        st.page_link(
            COMPARE.path,
            label=f"Compare its {'first ' if len(members) > MOST_RUNS else ''}{min(len(members), MOST_RUNS)} runs",
            icon=COMPARE.icon,
            query_params={"runs": ",".join(members[:MOST_RUNS])},
        )
        st.subheader("One run of the group")
        run_id = links.select(
            "run", "Run in detail", [NO_RUN, *members], names=lambda r: names.run(rows[r]) if r else "Choose a run"
        )
        if not run_id:
            return
    else:
        run_id = links.select("run", "Run in detail", list(rows), names=lambda r: names.run(rows[r]), always=True)
    row = rows[run_id]
    st.subheader(escape(shorten(row.name, 120) or names.run(row)))
    with st.container(horizontal=True):
        colour = {"done": "green", "failed": "red", "interrupted": "orange", "unreadable": "red"}.get(row.state, "blue")
        st.badge(names.state(row.state), color=colour, help=names.STATE_HELP.get(row.state))  # type: ignore[arg-type]
        if row.state != "unreadable":
            st.badge(f"Study\\: {escape(row.study)}", color="gray")
            st.badge(f"Model\\: {escape(shorten(row.model, 60))}", color="gray")
            st.badge(escape(names.choice("recipe", row.recipe)), color="gray")
            if row.control != "none":
                st.badge(f"Control\\: {escape(names.choice('control', row.control))}", color="orange")
    if row.group and not group:
        st.page_link(
            RUNS.path, label=f"Group {escape(shorten(row.group, 80))}", icon=":material/stacks:",
            query_params={"group": row.group},
        )  # fmt: skip
    run_actions.buttons(row)
    with st.expander("Star, tags and note", icon=":material/star:", key="run_marks"):
        marks_view.editor(run_id, all_tags(marks_view.marks_of(rows.values())))
    if row.state == "unreadable":
        st.error(escape(row.problem), icon=":material/folder_off:")
        return

    live.watch(row)
    run_actions.settings(run_id)
