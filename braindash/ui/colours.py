"""The colour maps that the settings name, in force for every map and figure of this server."""

from __future__ import annotations

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import notices, permissions


def apply_settings() -> None:
    """Use the colour maps of the settings; what was drawn in others is forgotten. Says where settings are broken."""
    from braindash.cortex.colour import use_maps

    try:
        chosen = permissions.settings().colours
    except BraindashError as error:
        notices.mistake(error)
        return
    if use_maps(chosen.sequential, chosen.diverging):
        st.cache_data.clear()
        st.cache_resource.clear()
