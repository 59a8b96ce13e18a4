"""Guide: every metric, chart, knob and data set in its own sentence, and how to read them together."""

from __future__ import annotations

import streamlit as st

import trainers
from core import guide
from pages import shared


@st.cache_resource(show_spinner="Reading the trainers …")
def _knobs() -> list[guide.Entry]:
    return [guide.of_knobs(name, trainers.load(name)) for name in trainers.names()]


@st.cache_resource(show_spinner=False)
def _rest() -> dict[str, list[guide.Entry]]:
    return {
        "How to read": guide.reading(),
        "Metrics": guide.of_metrics(),
        "Charts": guide.of_charts(),
        "Data": guide.of_data(),
    }


def _entries(section: str) -> list[guide.Entry]:
    return _knobs() if section == "Knobs" else _rest()[section]


def _show(entries: list[guide.Entry]) -> None:
    told = ""
    for entry in entries:
        if entry.section != told:
            told = entry.section
            st.header(told, anchor=False)
        st.subheader(entry.name, anchor=entry.anchor)
        st.markdown(entry.text)


st.title("Guide", anchor=False)
st.caption("What every number and every picture means, from the place where each is defined.")
left, right = st.columns([2, 3], vertical_alignment="top")
words = left.text_input("Search", key="q", bind="query-params", placeholder="ccc, dropout, leak …")
chosen = right.segmented_control(
    "Section", guide.SECTIONS, default=guide.SECTIONS[0], key="section", bind="query-params", disabled=bool(words)
)
if not shared.has_runs():
    st.info(
        "There is no run yet whose numbers this could explain; train one, and its metrics will be found here.",
        icon=":material/school:",
    )
    st.page_link("pages/train.py", label="Train a first run", icon=":material/tune:")
if words.strip():
    count = 0
    for section in (*_rest(), "Knobs"):  # the trainers last: they may have to be read first
        found = guide.search(_entries(section), words)
        count += len(found)
        _show(found)
    st.caption(f"{count} found." if count else "Nothing has these words; try fewer, or a part of one.")
else:
    _show(_entries(chosen or guide.SECTIONS[0]))
