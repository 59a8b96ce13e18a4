"""What the first page needs, begun as the server starts: the browser takes a second until it asks for a page."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

NAME = "ahead"
CONTEXT = "streamlit.runtime.scriptrunner_utils.script_run_context"
"""The logger that warns of every cached value made outside a visit, as those made ahead are meant to be."""

SWITCH_S = 0.0005
"""How long a thread may keep Python to itself meanwhile: at the usual 5 ms each of sixty files waits for imports."""


@contextlib.asynccontextmanager
async def begin(app: st.App) -> AsyncIterator[None]:
    """For the life of the server: as it starts, a thread begins to work beside its answers to the browser."""
    PagesManager.uses_pages_directory = False  # before any session asks; see pages/__init__.py
    logging.getLogger(CONTEXT).addFilter(lambda record: record.threadName != NAME)
    threading.Thread(target=_work, name=NAME, daemon=True).start()
    yield


def _work() -> None:
    """Import what Listen imports, fill the index, prepare the clip that a first visit shows."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with contextlib.suppress(Exception):  # a visit does all of it again, and says what is wrong
            from pages import clips, deck, microphone, retrain, shared  # noqa: F401

            shared.begin()
            clips.begin()
    finally:
        sys.setswitchinterval(usual_s)
