"""Slides of a run, or of bookmarks: which, in what order, in whose words; shown full screen, or as a file."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import bookmarks_view, chosen, heading, links, notices, present_view, readers
from braindash.ui.methods import show_methods

heading.title("Present")
what = links.select(
    "what",
    "Slides",
    ["run", "bookmarks"],
    names=lambda w: {"run": "A run's slides", "bookmarks": "Bookmarks"}[w],
    kind="segments",
)
if what == "bookmarks":
    bookmarks_view.section()
    st.stop()
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
