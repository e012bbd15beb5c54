"""The methods section of a run, to copy into a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import notices, readers

if TYPE_CHECKING:
    from braindash.runs.record import Run

_FROM = ("config.yaml", "provenance.json", "records.json", "probing.json", "rsa.json", "model/braindash_model.json")


def show_methods(run: Run) -> None:
    """Show the methods text and the BibTeX entries of the works it cites, folded in."""
    with st.expander("Methods", icon=":material/article:"):
        try:
            text, works = _written(str(run.path), tuple(readers.mark(run.path / name) for name in _FROM))
        except BraindashError as error:
            notices.mistake(error)
            return
        st.caption("Written from this run's own files, to copy into a paper.")
        st.code(text, language=None, wrap_lines=True)
        st.download_button("BibTeX", works, f"{run.id}.bib", "application/x-bibtex", icon=":material/download:")


@st.cache_data(max_entries=32, show_spinner=False)
def _written(path: str, as_of: tuple[tuple[int, int], ...], /) -> tuple[str, str]:
    from braindash.reports.methods import methods_and_bibtex

    return methods_and_bibtex(readers.store().get(Path(path).name))
