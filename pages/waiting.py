"""How far a piece of background work is, with an end to it, without holding up the page."""

from __future__ import annotations

import streamlit as st

from core import background
from core.background import Job
from pages import shared

SOON_S = 1.0
LOOK_EVERY_S = 0.5


def ended(job: Job, title: str, *, key: str) -> bool:
    """Whether the work ended; until then it shows a bar, the time left and a button to end it, and looks again.

    Work of less than a second is waited for, so that it leaves no trace on the page.
    """
    if job.is_active and job.fraction == 0.0:
        with st.spinner(f"{shared.plain(title)} …"):
            job.wait(SOON_S)
    if not job.is_active:
        return True
    st.fragment(_watch, run_every=LOOK_EVERY_S)(job, title, key)
    return False


def tell_end(job: Job, cancelled: str) -> None:
    """How a piece of work ended that came to no result: what went wrong, or `cancelled` where the reader ended it."""
    try:
        job.result()
    except background.Cancelled:
        st.info(cancelled, icon=":material/cancel:")
    except (ValueError, OSError) as error:
        shared.failed(error)


def _watch(job: Job, title: str, key: str) -> None:
    if not job.is_active:
        st.rerun()
    left = f", {shared.duration(job.left_s)} left" if job.left_s is not None else ""
    note = f": {job.note}" if job.note else ""
    bar, button = st.columns([6, 1], vertical_alignment="center")
    bar.progress(job.fraction, text=shared.plain(f"{title}{note} ({job.fraction:.0%}{left})"))
    button.button("Cancel", key=f"cancel.{key}", icon=":material/close:", on_click=job.cancel, width="stretch")
