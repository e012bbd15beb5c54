"""Is the geometry of each layer that of each brain region, and did tuning change it?"""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import heading, links, names, notices, readers, rsa_data, rsa_layers, rsa_pairs, rsa_view
from braindash.ui.barrier import guarded

heading.title("RSA")
st.markdown("Do a layer and a brain region find the same moments of a story alike, and did tuning change that?")
every = readers.run_rows()
compared = rsa_data.compared(every)
rows = {row.id: row for row in every if row.has_results or row.id in compared}
if not rows:
    notices.nothing_evaluated(every)
    st.stop()

newest = next((run_id for run_id in rows if run_id in compared), None)
run_id = links.select("run", "Run", list(rows), default=newest, names=lambda r: names.run(rows[r]), always=True)
try:
    run = readers.store().get(run_id)
    rsa = rsa_data.read(run)
except BraindashError as error:
    notices.mistake(error)
    st.stop()
if rsa is None:
    rsa_view.empty(run_id)
    st.stop()

choice = rsa_view.choose(rsa)
rsa_view.answer(rsa, choice)
notices.caveats(rsa.texts("caveats"))

# what is chosen there changes nothing else: the rest is not sent again
st.fragment(guarded(rsa_pairs.cells))(run, rsa, choice)
st.fragment(guarded(rsa_layers.section))(rsa, choice)
