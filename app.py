"""The router: page settings and navigation, nothing else. `braindash app` or `streamlit run app.py` starts it."""

import streamlit as st

from braindash.ui.layout import ICON, LOGO, SECTIONS

st.set_page_config(page_title="braindash", page_icon=ICON, layout="wide")
st.logo(LOGO, size="large")

st.navigation(
    {
        section: [st.Page(p.path, title=p.title, icon=p.icon, url_path=p.url, default=p.default) for p in pages]
        for section, pages in SECTIONS.items()
    }
).run()
