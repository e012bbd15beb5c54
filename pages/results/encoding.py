"""How well each layer predicts each region, before and after tuning, as table, curves and maps."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import encoding_view, flatmaps, links, names, notices, partition_view, readers

st.title("Encoding")
rows = readers.run_rows()
evaluated = {row.id: row for row in rows if row.has_results}
if not evaluated:
    notices.nothing_evaluated(sum(row.state in names.LIVE_STATES for row in rows))
    st.stop()

run_id = links.select("run", "Run", list(evaluated), names=lambda r: names.run(evaluated[r]), always=True)
row = evaluated[run_id]
try:
    results = readers.results(readers.store().get(run_id))
except BraindashError as error:
    notices.mistake(error)
    st.stop()

notices.caveats(results.caveats)
choice = encoding_view.choose(results)
encoding_view.table(results, choice)
encoding_view.curves(results, choice)
try:
    flatmaps.section(row, results, choice.model, choice.measure)
except BraindashError as error:
    notices.mistake(error)
partition_view.section(readers.store().get(run_id), results, choice.subject)
