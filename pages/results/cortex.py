"""Every target of a run on the flattened cortex, before and after tuning."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import encoding_view, flatmaps, links, names, notices, readers

st.title("Cortex")
rows = readers.run_rows()
evaluated = {row.id: row for row in rows if row.has_results}
if not evaluated:
    notices.nothing_evaluated(sum(row.state in names.LIVE_STATES for row in rows))
    st.stop()

run_id = links.select("run", "Run", list(evaluated), names=lambda r: names.run(evaluated[r]), always=True)
try:
    results = readers.results(readers.store().get(run_id))
except BraindashError as error:
    notices.mistake(error)
    st.stop()

notices.caveats(results.caveats)
choice = encoding_view.choose(results, subjects=False)
try:
    flatmaps.section(evaluated[run_id], results, choice.model, choice.measure)
except BraindashError as error:
    notices.mistake(error)
