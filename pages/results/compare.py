"""Any runs side by side: which they are, what they were asked to do differently, and what came of it."""

import streamlit as st

from braindash.ui import (
    compare_learning,
    compare_runs,
    compare_scores,
    compare_table,
    heading,
    marks_view,
    notices,
    readers,
)
from braindash.ui.text import escape, shorten

heading.title("Compare")
rows = {row.id: row for row in readers.run_rows()}
if not rows:
    notices.nothing_tuned()
    st.stop()

marks = marks_view.marks_of(rows.values())
chosen, unknown = compare_table.chosen_ids(rows)
if unknown:
    st.warning("The link names runs that are not here. They are left aside.", icon=":material/link_off:")
    st.text(", ".join(shorten(name, 80) for name in unknown[:8]))
compare_table.draw(list(rows.values()), marks, chosen)
if not chosen:
    compare_runs.offer(list(rows.values()))
    st.stop()

runs, problems = compare_runs.read([rows[run_id] for run_id in chosen])
for problem in problems:
    st.error(escape(problem), icon=":material/folder_off:")
if not runs:
    st.stop()
compare_runs.strip(runs, rows)
compare_runs.who(runs)
with st.expander("Star, tags and note", icon=":material/star:", key="compare_marks"):
    compare_runs.marks_of_one(runs, marks)
notices.caveats(compare_runs.caveats(runs))
compare_runs.settings_section(runs, len(rows))
scored = compare_scores.choose(runs)
if scored is not None:
    compare_scores.scores_section(scored)
    compare_scores.layers_section(scored)
compare_learning.section(runs)
