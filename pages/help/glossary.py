"""The terms of the pages in plain words, with their sources: searched, or opened by a link (?term=…)."""

import streamlit as st

from braindash.ui import glossary_view, heading

heading.title("Glossary")
st.markdown("What the pages' words mean, in the sense in which braindash computes them.")
glossary_view.asked()
glossary_view.entries()
