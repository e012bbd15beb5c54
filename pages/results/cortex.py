"""Every target of a run on the flattened cortex, before and after tuning."""

import streamlit as st

from braindash.ui import chosen, encoding_view, flatmaps, notices
from braindash.ui.barrier import guarded

st.title("Cortex")
row = chosen.evaluated_run()
results = chosen.results_of(row)

notices.caveats(results.caveats)
choice = encoding_view.choose(results, subjects=False)
# the maps' own controls change nothing else: the page's head is not sent again
st.fragment(guarded(flatmaps.section))(row, results, choice.model, choice.measure)
