"""Sweeps: many runs that answer one question. Describe one, watch its cells fill, read what it found."""

from __future__ import annotations

import textwrap

import streamlit as st

from core import sweeps, wording
from pages import shared, sweep_new, sweep_read, sweep_watch

LISTED = 30
NAME_LENGTH = 54
"""Characters of a sweep's name that its link has room for; all of it is said on hover."""
VIEWS = ("Progress", *sweep_read.VIEWS)


def _list() -> None:
    known = sweeps.listing()
    if not known:
        st.info(
            "Sweeps will be listed here. One sweep trains every combination of the knobs you choose, each with the "
            "same seeds, and then says which differences are real. Describe your first one on the left; it is filled "
            "with one that takes a minute.",
            icon=":material/grid_view:",
        )
        return
    st.subheader("Your sweeps", anchor=False)
    for one in known[:LISTED]:
        name = f"{one.title or one.name}{sweep_watch.variant(one.is_quick, one.stage)}"
        knobs = f": {' × '.join(map(wording.words, one.factors))}" if one.factors else ""
        what = f"{one.trainer} on {shared.data_name(one.data)}{knobs}"
        about = f"{what} · {sweep_watch.counted(one)} · {shared.ago(one.created_at)}"
        label = shared.plain(textwrap.shorten(name, NAME_LENGTH, placeholder=" …"))
        place = {"sweep": one.id} | ({"view": "Results"} if one.state == "done" else {})
        st.page_link("pages/sweeps.py", label=label, query_params=place, help=shared.plain(f"{name} ({one.id})"))
        st.caption(f"{sweep_watch.badge_text(one.state)} {shared.plain(about)}")
    if len(known) > LISTED:
        st.caption(f"And {len(known) - LISTED} older ones; `python lab.py sweeps` lists all.")


def _one(asked: str) -> None:
    try:
        record = sweeps.read(asked)
    except ValueError as error:
        shared.failed(error)
        _overview()
        return
    if asked != record.id:
        st.query_params["sweep"] = record.id
    found = sweeps.summary(record.id)
    sweep_watch.head(record, found)
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="view", bind="query-params", label_visibility="collapsed"
    )
    if view == VIEWS[0]:
        sweep_watch.progress(record, found)
    else:
        sweep_read.view(str(view), record)
    st.page_link("pages/sweeps.py", label="Another sweep", icon=":material/list:", query_params={})


def _overview() -> None:
    left, right = st.columns([3, 3], gap="large")
    with left:
        sweep_new.form()
    with right:
        _list()


st.title("Sweeps", anchor=False)
st.caption("Train every combination with the same seeds, and find out which differences are more than luck.")
wanted = st.query_params.get("sweep")
if wanted:
    _one(wanted)
else:
    _overview()
