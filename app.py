"""The router: page settings, who may come in, navigation. `braindash app` or `streamlit run app.py` starts it."""

import streamlit as st

from braindash.ui import bookmark_button, charts, colours, gate, readers, tour
from braindash.ui.barrier import guarded
from braindash.ui.layout import ICON, LOGO, OVERVIEW, SECTIONS, to_overview

st.set_page_config(page_title="braindash", page_icon=ICON, layout="wide")
st.logo(LOGO, size="large")
if (closed := gate.closed()) is not None:  # nobody who may not come in gets as far as a page
    gate.stand_in(closed)
    st.stop()
gate.greet()
guarded(colours.apply_settings)()

pages = {
    section: [st.Page(p.path, title=p.title, icon=p.icon, url_path=p.url, default=p.default) for p in entries]
    for section, entries in SECTIONS.items()
}
# Streamlit serves the first page at / alone, under no name; a link to /overview works as well
pages["Results"].append(st.Page(to_overview, title=OVERVIEW.title, url_path="overview", visibility="hidden"))
page = st.navigation(pages, expanded=True)
with readers.one_look():
    guarded(tour.draw)(page.url_path)
    charts.begin()
    try:
        guarded(page.run)()
    finally:  # a page may stop before its end
        guarded(bookmark_button.draw)(page.url_path)
