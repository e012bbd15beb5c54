"""The Glossary page: the term that the address asks for, the search, and every entry."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from braindash.glossary import SECTIONS, TERMS, search, source
from braindash.ui.layout import GLOSSARY
from braindash.ui.text import count, escape, shorten

WIDTH = 860  # px: lines that can be read


def asked() -> None:
    """Show the term that the address names as ``?term=…``."""
    key = st.query_params.get("term")
    if not key:
        return
    if key not in TERMS:
        st.warning("The link names a term that is not here. Search for it below.", icon=":material/link_off:")
        st.text(f"Term: {shorten(key, 120)}")
        return
    with st.container(border=True, width=WIDTH):
        st.subheader(escape(TERMS[key].title), anchor=False)
        _body(key, TERMS)


def entries() -> None:
    """Draw the search box and the entries that it leaves, by section."""
    words = st.text_input(
        "Search", key="find", bind="query-params", placeholder="ceiling, FDR, spatial loss …", max_chars=80, width=WIDTH
    )
    found = search(words)
    if words:
        st.caption(f"{count(len(found), 'term')} of {len(TERMS)}.")
    if not found:
        st.info("No term holds all of these words. Try one word, or a part of it.", icon=":material/search_off:")
    for section in SECTIONS:
        keys = [key for key in found if TERMS[key].section == section]
        if not keys:
            continue
        st.header(section, anchor=False)
        for key in keys:
            with st.container(width=WIDTH, gap="xsmall"):
                st.subheader(escape(TERMS[key].title), anchor=key)
                _body(key, found)


def _body(key: str, on_page: Collection[str]) -> None:
    one = TERMS[key]
    said = [escape(one.text)]
    if one.formula:
        said.append(f"`{one.formula}`")
    links = [f"[{escape(work.cite)}]({work.link})" for work in map(source, one.sources)]
    near = [f"[{escape(TERMS[k].title)}]({_address(k, on_page)})" for k in one.see]
    tail = [f"Sources\\: {'; '.join(links)}." if links else "", f"See also\\: {', '.join(near)}." if near else ""]
    said.append(" ".join(t for t in tail if t))
    st.markdown("\n\n".join(s for s in said if s))


def _address(key: str, on_page: Collection[str]) -> str:
    return f"#{key}" if key in on_page else f"{GLOSSARY.url}?term={key}"
