"""What the layers know, from sound to meaning, before and after tuning: linear probes."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import heading, links, names, notices, probe_details, probes_readers, probes_view, readers
from braindash.ui.barrier import guarded

heading.title("Probes")
rows = readers.run_rows()
probed = probes_readers.probed(rows)
offered = {row.id: row for row in rows if row.id in probed or row.has_results or row.state == "done"}
if not offered:
    notices.nothing_evaluated(rows)
    st.stop()

first = next((run_id for run_id in offered if run_id in probed), None)
run_id = links.select("run", "Run", list(offered), default=first, names=lambda r: names.run(offered[r]), always=True)
run = readers.store().get(run_id)
try:
    probing = probes_readers.probing(run)
except BraindashError as error:
    notices.mistake(error)
    st.stop()
if probing is None:
    probes_view.not_probed(run_id)
    st.stop()

probes_view.head(offered[run_id], probing)
notices.caveats(probing.caveats)
# what is chosen from here on changes nothing above and nothing below
st.fragment(guarded(probe_details.chosen))(run, probing)
probes_view.explained(probing)
probes_view.download(probing)
