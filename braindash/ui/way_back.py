"""Back to the link that one came by: a sign-in returns everybody to the first page, under its bare address.

The browser's tab keeps the link (`sessionStorage`), so nothing of it goes through the provider. Who comes back is asked
for it before any page runs: a page writes its own choices into the address, and the two would cross.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

ANSWERED = "_way_back_answered"
_KEEP = """
export default function () {
  sessionStorage.setItem("braindash-way-back", location.pathname + location.search);
}
"""
# the origin goes before: no link, //elsewhere among them, leads to another server
_FOLLOW = """
export default function ({ setTriggerValue }) {
  const link = sessionStorage.getItem("braindash-way-back");
  sessionStorage.removeItem("braindash-way-back");
  if (link?.startsWith("/") && link !== location.pathname + location.search) location.replace(location.origin + link);
  else setTriggerValue("nowhere", true);
}
"""


@st.cache_resource(show_spinner=False)
def _component(name: str, js: str) -> Any:
    return st.components.v2.component(name, js=js)


def keep() -> None:
    """Remember in the browser's tab which address was asked for; for the page that asks people to sign in."""
    _component("braindash_way_back_keep", _KEEP)(key="way_back_keep")


def pending() -> Callable[[], None] | None:
    """Return what is shown to somebody signed in until it is known where they came from, and None from then on.

    Only the bare first address is asked about, once a session: that is where a sign-in leads.
    """
    first = str(st.get_option("server.baseUrlPath") or "").strip("/")
    elsewhere = st.query_params or urlsplit(st.context.url or "").path.strip("/") != first
    if st.session_state.get(ANSWERED) or elsewhere:
        return None
    return _opening


def _opening() -> None:
    _component("braindash_way_back_follow", _FOLLOW)(key="way_back_follow", on_nowhere_change=_answered)
    st.button("Open the first page", key="way_back_first", on_click=_answered, type="tertiary")


def _answered() -> None:
    st.session_state[ANSWERED] = True
