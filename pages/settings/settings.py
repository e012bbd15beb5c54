"""The settings of this home: who may do what, where runs go, colours, groups of regions of one's own."""

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import heading, notices, permissions, settings_view
from braindash.ui.text import escape

heading.title("Settings")
try:
    settings = permissions.settings()
except BraindashError as error:
    notices.mistake(error)
    st.stop()
who = permissions.person()
if not who.may("settings"):
    st.info(escape(permissions.reason("settings", who)), icon=":material/lock:")
settings_view.outcome()
access, compute, colours, regions = st.tabs(["Who may do what", "Where runs go", "Colours", "Regions"])
with access:
    settings_view.access(settings, who)
with compute:
    settings_view.compute(settings, who)
with colours:
    settings_view.colours(settings, who)
with regions:
    settings_view.regions(settings, who)
settings_view.where()
