"""A page's title, which a browser that has just come draws before all else."""

from __future__ import annotations

from time import sleep

import streamlit as st

FIRST = 0.06  # s; see `title`
_GREETED = "_greeted"  # of a session: its browser has drawn a page


def title(text: str) -> None:
    """Draw the title of a page.

    A browser that has just come is still reading code. It draws in one piece whatever has arrived by the time that
    it is ready, and what has arrived by then is the whole page: the reader sees nothing for half a second more. So
    the rest follows a moment later, once a session. The page is whole no later for it.
    """
    st.title(text)
    if _GREETED not in st.session_state:
        st.session_state[_GREETED] = True
        sleep(FIRST)
