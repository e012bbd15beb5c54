"""A run's slides: which, in what order, in whose words; shown full screen, or taken along as a file."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import links, names, notices, present_view, readers
from braindash.ui.methods import show_methods

st.title("Present")
rows = readers.run_rows()
evaluated = {row.id: row for row in rows if row.has_results}
if not evaluated:
    notices.nothing_evaluated(sum(row.state in names.LIVE_STATES for row in rows))
    st.stop()

run_id = links.select("run", "Run", list(evaluated), names=lambda r: names.run(evaluated[r]), always=True)
try:
    shown = present_view.open_deck(readers.store().get(run_id))
except BraindashError as error:
    notices.mistake(error)
    st.stop()

present_view.actions(shown)
chosen, preview = st.columns([2, 3], gap="large")
with chosen:
    present_view.slides(shown)
with preview:
    present_view.editor(shown)
show_methods(shown.run)
