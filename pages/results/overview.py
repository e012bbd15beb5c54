"""What did brain-tuning change? The answer of one run, on one page."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import controls_view, findings_view, links, names, notices, readers, tables
from braindash.ui.layout import ENCODING, RUNS, STUDY
from braindash.ui.methods import show_methods
from braindash.ui.results import answer, curves_section, headline, provenance_line

rows = readers.run_rows()
evaluated = {row.id: row for row in rows if row.has_results}

if not evaluated:
    st.title("What did brain-tuning change?")
    notices.nothing_evaluated(sum(row.state in names.LIVE_STATES for row in rows))
    st.stop()

run_id = links.select("run", "Run", list(evaluated), names=lambda r: names.run(evaluated[r]), always=True)
row = evaluated[run_id]
try:
    results = readers.results(readers.store().get(run_id))
except BraindashError as error:
    notices.mistake(error)
    st.stop()

answer(row, results)
notices.caveats(results.caveats)
headline(results)
controls_view.section(results)
curves_section(results)
findings_view.sections(readers.store().get(run_id), results)

st.subheader("Noise ceilings, and what was left out")
for sentence in (tables.ceiling_sentence(results), *tables.excluded_sentences(results)):
    if sentence:
        st.text(sentence)

provenance_line(row, results)
with st.container(horizontal=True):
    st.page_link(
        ENCODING.path, label="Every layer, region and the cortex", icon=ENCODING.icon, query_params={"run": run_id}
    )
    st.page_link(STUDY.path, label="The study and its timing", icon=STUDY.icon, query_params={"study": row.study})
    st.page_link(RUNS.path, label="How this run was tuned", icon=RUNS.icon, query_params={"run": run_id})
show_methods(readers.store().get(run_id))
