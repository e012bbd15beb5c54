"""What the page writes into its address, which a reader's next click must not undo.

A browser sends its address along with every click. A click that comes before the browser has heard of what the
last one wrote there (a slow connection, quick hands) brings the address as it was before, and a page that reads its
choices from the address would take back what was just chosen. So what was written of late is kept, and written again
where the address that comes is the one from before.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH = 5.0  # s; an address that comes later than this after a change is meant as it is
_WRITTEN = "_address_written"  # of a session


class _Written(NamedTuple):
    at: float
    page: str
    was: dict[str, str]  # the whole address before
    said: dict[str, str | None]


def page() -> str:
    """Return which page is drawn, also before the router has got as far."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.page_script_hash


def write(**said: str | None) -> None:
    """Write parameters into the address; None takes one out.

    Not for parameters of widgets that Streamlit binds: the browser writes those itself, at once.
    """
    heal()
    was = dict(st.query_params)
    if _apply(said):
        st.session_state[_WRITTEN] = [*_fresh(), _Written(monotonic(), page(), was, dict(said))]


def heal() -> None:
    """Write again what the address that came does not know of yet.

    A step back in the browser's history, and a link to this page with an address of its own, are meant as they are.
    """
    written = _fresh()
    context = get_script_run_ctx(suppress_warning=True)
    if not written or (context is not None and context.is_history_navigation):
        st.session_state.pop(_WRITTEN, None)
        return
    came = dict(st.query_params)
    now: dict[str, str | None] = dict(came)
    for _, _, was, said in written:
        if _is_from_before(now, was):
            now |= {param: value for param, value in said.items() if now.get(param) == was.get(param)}
    _apply(now)


def _is_from_before(now: Mapping[str, str | None], was: Mapping[str, str]) -> bool:
    """Whether two addresses differ in nothing that this side writes: a bound widget's parameter is a key of the state.

    The session's state holds the target and the area that were clicked under such names as well; what is written of
    those is looked at one by one.
    """
    return all(now.get(param) == was.get(param) or param in st.session_state for param in now.keys() | was.keys())


def _fresh() -> list[_Written]:
    """Return what this page wrote of late; what another one wrote is no concern of this one's address."""
    soonest, here = monotonic() - FRESH, page()
    return [w for w in st.session_state.get(_WRITTEN, ()) if w.at > soonest and w.page == here]


def _apply(said: Mapping[str, str | None]) -> bool:
    changed = False
    for param, value in said.items():
        if value is None and param in st.query_params:
            del st.query_params[param]
            changed = True
        elif value is not None and st.query_params.get(param) != value:
            st.query_params[param] = value
            changed = True
    return changed
