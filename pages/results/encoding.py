"""How well each layer predicts each region, before and after tuning, as table and curves."""

import streamlit as st

from braindash.ui import chosen, encoding_view, heading, layout, notices, partition_view, readers
from braindash.ui.barrier import guarded

heading.title("Encoding")
row = chosen.evaluated_run()
results = chosen.results_of(row)

notices.caveats(results.caveats)
choice = encoding_view.choose(results)
# parts whose own controls change nothing else are drawn anew alone
st.fragment(guarded(encoding_view.table))(results, choice)
st.fragment(guarded(encoding_view.curves))(results, choice)
st.page_link(
    layout.CORTEX.path,
    label="The same on the cortex: maps of every target",
    icon=layout.CORTEX.icon,
    query_params={"run": row.id, "model": choice.model, "measure": choice.measure},
)
partition_view.section(readers.store().get(row.id), results, choice.subject)
