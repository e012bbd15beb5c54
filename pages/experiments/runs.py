"""Every run: what it does now, how it learns, what can be done with it; a group of runs as one."""

import streamlit as st

from braindash.figures.run_curves import MOST_RUNS
from braindash.runs.groups import by_group
from braindash.runs.searching import all_tags
from braindash.ui import group_view, heading, links, live, marks_view, names, notices, readers, run_actions, runs_table
from braindash.ui.layout import COMPARE, RUNS
from braindash.ui.text import count, escape, shorten

NO_GROUP = NO_RUN = ""

heading.title("Runs")
rows = {row.id: row for row in readers.run_rows()}
if not rows:
    notices.nothing_tuned()
    st.stop()

groups = by_group(rows.values())
active = sum(row.state in names.LIVE_STATES for row in rows.values())
unreadable = sum(row.state == "unreadable" for row in rows.values())
notes = [count(len(rows), "run"), f"{active} at work"]
if groups:
    notes.insert(1, f"{sum(map(len, groups.values()))} of them in {count(len(groups), 'group')}")
if unreadable:
    notes.append(f"{count(unreadable, 'folder')} cannot be read (flagged; nothing was changed in them)")
st.caption(" · ".join(notes))
which = links.select(
    "state", "Show", list(runs_table.FILTERS), names=lambda f: runs_table.FILTERS[f][0], kind="segments"
)
runs_table.draw(which)

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
        st.stop()
else:
    run_id = links.select("run", "Run in detail", list(rows), names=lambda r: names.run(rows[r]), always=True)
row = rows[run_id]
st.subheader(escape(shorten(row.name, 120) or names.run(row)))
with st.container(horizontal=True):
    colour = {"done": "green", "failed": "red", "interrupted": "orange", "unreadable": "red"}.get(row.state, "blue")
    st.badge(names.state(row.state), color=colour, help=names.STATE_HELP.get(row.state))
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
    st.stop()

live.watch(row)
run_actions.settings(run_id)
