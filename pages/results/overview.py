"""What did brain-tuning change? The answer of one run, on one page."""

import streamlit as st

from braindash.ui import chosen, controls_view, findings_view, heading, notices, readers, tables
from braindash.ui.barrier import guarded
from braindash.ui.glossary_help import explain
from braindash.ui.layout import CORTEX, ENCODING, RUNS, STUDY
from braindash.ui.methods import show_methods
from braindash.ui.results import answer, curves_section, headline, provenance_line

heading.title("What did brain-tuning change?")
row = chosen.evaluated_run()
results = chosen.results_of(row)

answer(row, results)
notices.caveats(results.caveats)
headline(results)
controls_view.section(results)
st.fragment(guarded(curves_section))(results)  # its controls change nothing else
findings_view.sections(readers.store().get(row.id), results)

st.subheader("Noise ceilings, and what was left out", help=explain("noise_ceiling", "excluded"))
for sentence in (tables.ceiling_sentence(results), *tables.excluded_sentences(results)):
    if sentence:
        st.text(sentence)

provenance_line(row, results)
with st.container(horizontal=True):
    st.page_link(ENCODING.path, label="Every layer and region", icon=ENCODING.icon, query_params={"run": row.id})
    st.page_link(CORTEX.path, label="Every target on the cortex", icon=CORTEX.icon, query_params={"run": row.id})
    st.page_link(STUDY.path, label="The study and its timing", icon=STUDY.icon, query_params={"study": row.study})
    st.page_link(RUNS.path, label="How this run was tuned", icon=RUNS.icon, query_params={"run": row.id})
show_methods(readers.store().get(row.id))
