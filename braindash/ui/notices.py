"""Messages that look the same on every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import names
from braindash.ui.layout import RUNS, TUNE
from braindash.ui.text import count, escape, shorten

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

_TOLD = "told"  # what was done and has not been said yet


def mistake(error: BraindashError) -> None:
    """Show what was wrong and what to do, as text."""
    st.error(f"{escape(error.what)} {escape(error.remedy)}", icon=":material/error:")


def tell(outcome: str) -> None:
    """Say for a moment that something was done, once a page or fragment has been drawn to its end.

    What a run of a page says before it asks for another one may never arrive: Streamlit drops what has not been sent.
    """
    st.session_state.setdefault(_TOLD, []).append(outcome)


def say_told() -> None:
    """Say what waits to be said. For the end of what is drawn, see `braindash.ui.barrier.guarded`."""
    for outcome in st.session_state.pop(_TOLD, ()):
        st.toast(outcome)


def caveats(sentences: Iterable[str]) -> None:
    """Show what every figure of a study must carry. Not foldable, not dismissable."""
    lines = [escape(s) for s in dict.fromkeys(sentences)]
    if lines:
        st.warning("  \n".join(lines), icon=":material/science:")


def nothing_evaluated(rows: Sequence[RunRow]) -> None:
    """Say how to get the first results, where a home has none: the next step from what there is.

    Parameters
    ----------
    rows : sequence of RunRow
        The home's runs, of which none has results.
    """
    st.subheader("No results yet")
    live = [row for row in rows if row.state in names.LIVE_STATES]
    if live:
        st.markdown(
            f"{count(len(live), 'run')} {'is' if len(live) == 1 else 'are'} at work. The answer appears here when the "
            "evaluation has ended."
        )
        st.page_link(RUNS.path, label="See how far it is", icon=RUNS.icon, query_params={"run": live[0].id})
        return
    if rows:
        _without_results(rows)
        return
    from braindash.ui import readers

    entries = readers.study_entries()
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
        if entries:
            titles = ", ".join(shorten(e.title or e.id, 60) for e in entries[:3])
            st.markdown(f"{escape(titles)}{' and more' if len(entries) > 3 else ''}\\: ready to tune a model on.")
        else:
            st.markdown("Add a study, then tune a model on it from the form.")
            st.code("braindash study add table PATH/TO/FOLDER", language=None)
        address = {"study": entries[0].id} if entries else {}
        st.page_link(TUNE.path, label="Open the form", icon=TUNE.icon, query_params=address)


def _without_results(rows: Sequence[RunRow]) -> None:
    """Say what became of runs that ended without results, and what to do with the newest."""
    newest = rows[0]
    told = next((row for row in rows if row.state == "done"), None)
    if told is not None:
        st.markdown("A run is tuned and not evaluated. This evaluates it, in minutes for a small model:")
        st.code(f"braindash evaluate {told.id}", language=None)
        newest = told
    else:
        states = Counter(names.state(row.state).lower() for row in rows)
        said = ", ".join(f"{n} {state}" for state, n in states.items())
        st.markdown(
            f"{count(len(rows), 'run')}, none evaluated ({said}). The page **Runs** says why the newest ended, and "
            "resumes what can be resumed."
        )
    st.page_link(RUNS.path, label="Open the run", icon=RUNS.icon, query_params={"run": newest.id})


def nothing_tuned() -> None:
    """Say what to do where the home has no run at all."""
    st.markdown("No model has been tuned in this home yet. Launch one from the form, or see it work first:")
    st.code("braindash demo", language=None)
    st.page_link(TUNE.path, label="Open the form", icon=TUNE.icon)
