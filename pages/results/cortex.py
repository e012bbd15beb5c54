"""Every target of a run on the flattened cortex, before and after tuning."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import chosen, encoding_view, flatmaps, notices

st.title("Cortex")
row = chosen.evaluated_run()
results = chosen.results_of(row)

notices.caveats(results.caveats)
choice = encoding_view.choose(results, subjects=False)
try:
    flatmaps.section(row, results, choice.model, choice.measure)
except BraindashError as error:
    notices.mistake(error)
