"""Back to the link that one came by: a sign-in returns everybody to the first page, under its bare address.

The browser's tab keeps the link (`sessionStorage`), so nothing of it goes through the provider.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

_KEEP = """
export default function () {
  sessionStorage.setItem("braindash-way-back", location.pathname + location.search);
}
"""
# the origin goes before: no link, //elsewhere among them, leads to another server
_FOLLOW = """
export default function () {
  const link = sessionStorage.getItem("braindash-way-back");
  sessionStorage.removeItem("braindash-way-back");
  if (link?.startsWith("/") && link !== location.pathname + location.search) location.replace(location.origin + link);
}
"""


@st.cache_resource(show_spinner=False)
def _component(name: str, js: str) -> Any:
    return st.components.v2.component(name, js=js)


def keep() -> None:
    """Remember in the browser's tab which address was asked for; for the page that asks people to sign in."""
    _component("braindash_way_back_keep", _KEEP)(key="way_back_keep")


def follow() -> None:
    """Lead on to the address that was asked for before the sign-in, once; else do nothing."""
    _component("braindash_way_back_follow", _FOLLOW)(key="way_back_follow")
