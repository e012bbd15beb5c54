"""What the results rest on: stories, split, subjects, ceilings, what is left out, and the timing."""

import streamlit as st

from braindash.ui import heading, links, notices, readers, study_view, tune_view
from braindash.ui.text import escape, shorten

heading.title("Study")
entries = readers.study_entries()
if not entries:
    tune_view.no_study()
    st.stop()

titles = {e.id: shorten(e.title or e.id, 60) for e in entries}
chosen = links.select("study", "Study", list(titles), names=titles.__getitem__, always=True)
facts = readers.study_facts(chosen)
if facts.problem:
    st.error(escape(facts.problem), icon=":material/error:")
    st.stop()

notices.caveats(facts.caveats)
study_view.facts_section(facts)
study_view.guard(chosen)
