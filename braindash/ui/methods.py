"""The methods section of a run, to copy into a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import notices

if TYPE_CHECKING:
    from braindash.runs.record import Run


def show_methods(run: Run) -> None:
    """Show the methods text and the BibTeX entries of the works it cites, folded in."""
    from braindash.reports.methods import bibtex, methods_text

    with st.expander("Methods", icon=":material/article:"):
        try:
            text, works = methods_text(run), bibtex(run)
        except BraindashError as error:
            notices.mistake(error)
            return
        st.caption("Written from this run's own files, to copy into a paper.")
        st.code(text, language=None, wrap_lines=True)
        st.download_button("BibTeX", works, f"{run.id}.bib", "application/x-bibtex", icon=":material/download:")
