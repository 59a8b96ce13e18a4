"""Earshot's app: the list of pages and the frame they share. Start it with `streamlit run app.py`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages import ahead


def show() -> None:
    """One visit of a page, from its top to its end."""
    from pages import shared

    # A picture of our own, and before the pages name theirs: the browser would fetch a ":material/…:" icon elsewhere.
    st.set_page_config(page_icon=Path(__file__).parent / "pages" / "icon.svg", layout="wide")
    page = st.navigation(
        [
            st.Page("pages/listen.py", title="Listen", icon=":material/hearing:", default=True),
            st.Page("pages/rate.py", title="Rate", icon=":material/adjust:"),
            st.Page("pages/train.py", title="Train", icon=":material/tune:"),
            st.Page("pages/run.py", title="Run", icon=":material/monitoring:"),
            st.Page("pages/sweeps.py", title="Sweeps", icon=":material/grid_view:"),
            st.Page("pages/studies.py", title="Studies", icon=":material/science:"),
            st.Page("pages/leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
            st.Page("pages/datasets.py", title="Datasets", icon=":material/dataset:"),
            st.Page("pages/sql.py", title="SQL", icon=":material/database:"),
            st.Page("pages/guide.py", title="Guide", icon=":material/school:"),
        ]
    )
    st.set_page_config(page_title=f"{page.title} · Earshot")
    shared.frame(page.title)
    page.run()
    shared.warm()


if __name__ == "__main__":
    show()
else:  # the server imports this file once, when it starts, and runs it as the script of every visit
    app = st.App(Path(__file__), lifespan=ahead.begin)
