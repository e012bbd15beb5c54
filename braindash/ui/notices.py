"""Messages that look the same on every page."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui.layout import TUNE
from braindash.ui.text import escape


def mistake(error: BraindashError) -> None:
    """Show what was wrong and what to do, as text."""
    st.error(f"{escape(error.what)} {escape(error.remedy)}", icon=":material/error:")


def caveats(sentences: Iterable[str]) -> None:
    """Show what every figure of a study must carry. Not foldable, not dismissable."""
    lines = [escape(s) for s in dict.fromkeys(sentences)]
    if lines:
        st.warning("  \n".join(lines), icon=":material/science:")


def nothing_evaluated(running: int) -> None:
    """Say how to get the first results, where a home has none."""
    st.subheader("No results yet")
    if running:
        st.markdown(
            f"{running} {'run is' if running == 1 else 'runs are'} at work. The answer appears here when the "
            "evaluation has ended; the page **Runs** shows how far it is."
        )
        return
    st.markdown(
        "This page shows what brain-tuning changed, as soon as one run has been evaluated. Two ways to get there:"
    )
    left, right = st.columns(2, border=True)
    with left:
        st.markdown("**See it work in a few minutes**")
        st.markdown("Builds the embedded study (simulated subjects), tunes a small real model on it, and evaluates it.")
        st.code("braindash demo", language=None)
    with right:
        st.markdown("**Use your own recordings**")
        st.markdown("Add a study, then tune a model on it from the form.")
        st.code("braindash study add table PATH/TO/FOLDER", language=None)
        st.page_link(TUNE.path, label="Open the form", icon=TUNE.icon)
