"""A run's slides: which, in what order, in whose words; shown full screen, or taken along as a file."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import chosen, notices, present_view, readers
from braindash.ui.methods import show_methods

st.title("Present")
row = chosen.evaluated_run()
try:
    shown = present_view.open_deck(readers.store().get(row.id))
except BraindashError as error:
    notices.mistake(error)
    st.stop()

present_view.actions(shown)
order, preview = st.columns([2, 3], gap="large")
with order:
    present_view.slides(shown)
with preview:
    present_view.editor(shown)
show_methods(shown.run)
