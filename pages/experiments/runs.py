"""Every run: what it does now, how it learns, what can be done with it."""

import streamlit as st

from braindash.ui import links, live, names, readers, run_actions, runs_table
from braindash.ui.layout import TUNE
from braindash.ui.text import count, escape, shorten

st.title("Runs")
rows = {row.id: row for row in readers.run_rows()}
if not rows:
    st.markdown("No model has been tuned in this home yet. Launch one from the form, or see it work first:")
    st.code("braindash demo", language="bash")
    st.page_link(TUNE.path, label="Open the form", icon=TUNE.icon)
    st.stop()

active = sum(row.state in names.LIVE_STATES for row in rows.values())
unreadable = sum(row.state == "unreadable" for row in rows.values())
notes = [count(len(rows), "run"), f"{active} at work"]
if unreadable:
    notes.append(f"{count(unreadable, 'folder')} cannot be read (flagged; nothing was changed in them)")
st.caption(" · ".join(notes))
which = links.select(
    "state", "Show", list(runs_table.FILTERS), names=lambda f: runs_table.FILTERS[f][0], kind="segments"
)
runs_table.draw(which)

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
run_actions.buttons(row)
if row.state == "unreadable":
    st.error(escape(row.problem), icon=":material/folder_off:")
    st.stop()

live.watch(row)
run_actions.settings(run_id)
