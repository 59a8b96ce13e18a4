"""On which data a study is asked for: its own, or any other that its trainer can learn from, in the address."""

from __future__ import annotations

import streamlit as st

import trainers
from core import datasets
from core.studies import Study

FOLDER, RATED = "folder", "rated"


def chosen(study: Study) -> str | None:
    """The data set that was chosen; empty for what the study says, None while a folder has no name yet."""
    own = study.file.data
    known = [own, *(name for name in _fitting(study.file.trainer) if name != own), FOLDER]
    asked = st.query_params.get("data", "")
    if asked.startswith(f"{FOLDER}:"):  # of a link to a folder that has no name here
        known.append(asked)
    quick = study.file.quick.get("data", own)
    says = f"The study itself is on {own}" + (f", its quick variant on {quick}. " if quick != own else ". ")
    left, right = st.columns([2, 3])
    name = left.selectbox(
        "Data set",
        known,
        key="data",
        bind="query-params",
        help=f"{says}The claims can be judged on any data that the trainer learns from, {FOLDER} being one of your "
        "own. Published numbers stay beside runs on the published data.",
    )
    if name == FOLDER:
        place = right.text_input(
            "Folder",
            key="folder",
            bind="query-params",
            placeholder="a folder of audio with a CSV of labels",
            help="Absolute, or inside the folder that EARSHOT_DATA names. The CSV has path and label, and may have "
            "group.",
        )
        if not place.strip():
            st.info(
                "Name a folder of audio with a CSV of labels: absolute, or inside the folder that EARSHOT_DATA names. "
                "Its runs and what they say of the claims will stand here.",
                icon=":material/folder_open:",
            )
            return None
        return f"{FOLDER}:{place}"
    return "" if name == own else str(name)


@st.cache_data(show_spinner=False, ttl=60)
def _fitting(trainer: str) -> list[str]:
    """The data sets here, by name, that have labels for something the trainer learns."""
    tasks = set(trainers.load(trainer).TASKS)
    names = [name for name in datasets.names() if name not in (FOLDER, RATED)]
    return [name for name in names if tasks & set(datasets.module(name).TASKS)]
