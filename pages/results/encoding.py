"""How well each layer predicts each region, before and after tuning, as table and curves."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import encoding_view, layout, links, names, notices, partition_view, readers

st.title("Encoding")
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
choice = encoding_view.choose(results)
encoding_view.table(results, choice)
encoding_view.curves(results, choice)
st.page_link(
    layout.CORTEX.path,
    label="The same on the cortex: maps of every target",
    icon=layout.CORTEX.icon,
    query_params={"run": run_id, "model": choice.model, "measure": choice.measure},
)
partition_view.section(readers.store().get(run_id), results, choice.subject)
