"""Every target of a run on the flattened cortex, before and after tuning."""

import streamlit as st

from braindash.ui import chosen, flatmaps, heading, notices
from braindash.ui.barrier import guarded

heading.title("Cortex")
row = chosen.evaluated_run()
results = chosen.results_of(row)

notices.caveats(results.caveats)
# what is chosen from here on does not change the page's head: it is not sent again
st.fragment(guarded(flatmaps.section))(row, results)
