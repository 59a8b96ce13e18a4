"""Earshot's app: the list of pages and the frame they share. Start it with `streamlit run app.py`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages import shared

page = st.navigation(
    [
        st.Page("pages/listen.py", title="Listen", icon=":material/hearing:", default=True),
        st.Page("pages/train.py", title="Train", icon=":material/tune:"),
        st.Page("pages/leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    ]
)
# A picture of our own: the browser would fetch a ":material/…:" icon from a server elsewhere.
st.set_page_config(
    page_title=f"{page.title} · Earshot", page_icon=Path(__file__).parent / "pages" / "icon.svg", layout="wide"
)
shared.frame()
page.run()
shared.warm()
