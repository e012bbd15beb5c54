"""The first visit: a short tour over five pages, offered once where the embedded study is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.files import atomic_write
from braindash.ui import address, readers
from braindash.ui.layout import CORTEX, OVERVIEW, PRESENT, PROBES, STUDY, TUNE, PageEntry

if TYPE_CHECKING:
    from pathlib import Path

PARAM = "tour"  # in the address: the stop, from 1
TAKEN = "tour-taken"  # a file of the home: nobody is offered the tour again
ENDED = "_tour_ended"  # in the session, where the home may only be read
DEMO = "demo"


@dataclass(frozen=True)
class Stop:
    """One page of the tour: what is seen there."""

    page: PageEntry
    title: str
    text: str


STOPS: tuple[Stop, ...] = (
    Stop(
        OVERVIEW,
        "The answer first",
        "The sentences at the top say what brain-tuning changed, with the interval and the number of targets. Then "
        "look at **Against the controls**: a gain counts where the same tuning without the brain does not have it. "
        "The question marks explain every term.",
    ),
    Stop(
        CORTEX,
        "Where on the cortex",
        "Both models on one scale, and what changed. Move the cursor over a map: it names the region and says the "
        "numbers. Click a target to see its curve over layers; **Select an area** compares what lies in it.",
    ),
    Stop(
        PROBES,
        "What the layers know",
        "Every panel is one thing that a simple probe reads from each layer, from sound to meaning, before and after "
        "tuning. Dotted lines are probes taught with shuffled labels: what one gets for nothing.",
    ),
    Stop(
        STUDY,
        "Can it be trusted?",
        "Which stories were tuned on, chosen on and tested on. **Check the study** looks for what spoils results "
        "unseen: shifted timing, missing rows, targets that never vary.",
    ),
    Stop(
        PRESENT,
        "Take it along",
        "Every figure is a slide already, with its n and its statistics. Reorder and reword them, show them full "
        "screen, or take them as HTML, PowerPoint or PDF. Then tune a model on recordings of your own.",
    ),
)


def draw(url: str) -> None:
    """Draw the stop that the address names for this page, or offer the tour on a first visit; and its link.

    Parameters
    ----------
    url : str
        The page's own part of the address; "" is the first page.
    """
    run_id = _run()
    if run_id is None:
        return
    if st.sidebar.button("Take the tour", icon=":material/tour:", type="tertiary", key="take_tour"):
        st.switch_page(OVERVIEW.path, query_params={"run": run_id, PARAM: "1"})
    at = stop_of(st.query_params.get(PARAM), url or OVERVIEW.url)
    if at is None and not url and PARAM not in st.query_params and offered():  # ?tour=off: a link without it
        at = 0
    if at is not None:
        _stop(at, run_id)


def stop_of(named: str | None, url: str) -> int | None:
    """Return the stop, from 0, that an address names for a page; None where it names none of this page."""
    known = {str(i + 1): i for i, one in enumerate(STOPS) if one.page.url == url}
    return known.get(named or "")


def offered() -> bool:
    """Whether a visitor is offered the tour: the embedded study is there, and nobody has ended the tour."""
    if st.session_state.get(ENDED) or _taken().exists():
        return False
    return any(entry.kind == DEMO for entry in readers.study_entries())


def _run() -> str | None:
    """Return the run that the tour shows: the one in the address, else the newest that is evaluated."""
    evaluated = [row.id for row in readers.run_rows() if row.has_results]
    wanted = st.query_params.get("run")
    return wanted if wanted in evaluated else next(iter(evaluated), None)


def _stop(at: int, run_id: str) -> None:
    one = STOPS[at]
    with st.container(border=True, gap="small"):
        st.markdown(f":material/tour: **{one.title}** · stop {at + 1} of {len(STOPS)} of a short tour")
        st.markdown(one.text)
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            if at + 1 < len(STOPS):
                _link(at + 1, "Next", run_id)
            else:
                st.page_link(TUNE.path, label="Open the form", icon=TUNE.icon)
            if at:
                _link(at - 1, "Back", run_id)
            st.button("End the tour", type="tertiary", icon=":material/close:", key="end_tour", on_click=_end)


def _link(to: int, word: str, run_id: str) -> None:
    page = STOPS[to].page
    address = {"study": _study(run_id)} if page is STUDY else {"run": run_id}
    st.page_link(
        page.path, label=f"{word}\\: {page.title}", icon=page.icon, query_params={**address, PARAM: str(to + 1)}
    )


def _study(run_id: str) -> str:
    return next(row.study for row in readers.run_rows() if row.id == run_id)


def _end() -> None:
    st.session_state[ENDED] = True
    address.write(**{PARAM: None})
    try:
        atomic_write(_taken(), "")
    except (BraindashError, OSError):
        return  # a home that may only be read: it holds for this visit


def _taken() -> Path:
    return readers.home().path / TAKEN
