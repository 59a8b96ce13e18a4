"""The pages of the app: one page, one file. `app.py` names them; the other modules here serve several of them."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

# Until `st.navigation` has run once, Streamlit takes every file in a folder of this name for a page of its own. A link
# straight to a page, right after the start, would then show it without the frame and list these helpers beside it.
# The server says so as it starts (pages/ahead.py); where a session was quicker, or a test has no server, it runs again.
if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
