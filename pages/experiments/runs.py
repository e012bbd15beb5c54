"""Every run: what it does now, how it learns, what can be done with it; a group of runs as one."""

import streamlit as st

from braindash.runs.groups import by_group
from braindash.ui import heading, links, names, notices, readers, run_details, runs_table
from braindash.ui.text import count

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

run_details.section(list(rows.values()))
