"""Datasets: what data there is, what is missing and how to get it, and one data set looked at from all sides."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import streamlit as st

from core import catalogue, datasets, shelf
from core.catalogue import Card
from core.datasets import Dataset
from pages import dataset_check, shared
from pages import dataset_views as views

FIRST = "cues-small"
STATES = {
    "here": "here",
    "made here": "made when needed",
    "missing": "missing",
    "wrong": "there, not usable",
    "known": "not installed",
    "needs a name": "takes a name",
}
VIEWS = {
    "labels": views.labels,
    "split": views.split,
    "raters": views.raters,
    "listen": views.listen,
    "check": dataset_check.check,
}


def _stamp(name: str) -> tuple[str, ...]:
    """What decides which data sets are here, and what `name` says: the folder of data, what was added, its labels."""
    added = (f"{each}={place}" for each, place in shelf.added().items())
    return (os.environ.get("EARSHOT_DATA", ""), datasets.stamp(name), *added)


@st.cache_resource(show_spinner="Reading the data set …", ttl=300, max_entries=64)
def _card(name: str, stamp: tuple[str, ...], cache: str) -> Card:
    return catalogue.card(name)


@st.cache_resource(show_spinner="Reading the data set …", ttl=600, max_entries=4)
def _dataset(name: str, task: str, stamp: tuple[str, ...], cache: str) -> Dataset:
    return datasets.load(name, task)


def _cache() -> str:
    return os.environ.get("EARSHOT_CACHE", "")


# ---- adding and removing ----


def _add() -> None:
    with st.popover("Add a folder", icon=":material/create_new_folder:"):
        st.caption(
            "A folder of audio with a CSV (path, label or valence and arousal; group where you know it) becomes a data "
            "set. Or name deam, irmas, mnist, cifar10 and say where it lies. Nothing is copied."
        )
        with st.form("add", border=False):
            name = st.text_input("Name", placeholder="my-recordings", key="add.name")
            place = st.text_input("Folder", placeholder="/home/me/recordings", key="add.place")
            if not st.form_submit_button("Add", type="primary"):
                return
        with st.spinner("Looking at the folder …"):
            problems = catalogue.problems_with(name.strip(), place.strip())
            if not problems:
                catalogue.add(name.strip(), place.strip())
        for sentence in problems:
            st.error(shared.plain(sentence), icon=":material/error:")
    if not problems:
        st.session_state["undo"] = ("add", name.strip(), "")
        st.session_state["data.chosen"] = name.strip()
        st.rerun()


def _undo() -> None:
    """What was done last, and the way back."""
    done = st.session_state.get("undo")
    if not done:
        return
    what, name, place = done
    with st.container(horizontal=True, vertical_alignment="center"):
        sentence = (
            f"{name} was added." if what == "add" else f"{name} was removed from the list; {place} stays as it is."
        )
        st.success(shared.plain(sentence), icon=":material/check:")
        if st.button("Undo", icon=":material/undo:"):
            del st.session_state["undo"]
            try:
                if what == "add":
                    catalogue.remove(name)
                else:
                    shelf.remember(name, Path(place))
            except ValueError as error:  # another tab was quicker
                shared.failed(error)
                return
            st.rerun()


def _remove(name: str) -> None:
    if st.button("Remove from the list", icon=":material/playlist_remove:", help="No file is deleted."):
        try:
            place = catalogue.remove(name)
        except ValueError as error:
            shared.failed(error)
            return
        st.session_state["undo"] = ("remove", name, str(place))
        st.rerun()


# ---- the list ----


def _table(cards: list[Card]) -> pd.DataFrame:
    rows = []
    for card in cards:
        for task in card.tasks or [catalogue.Task("", None, None, [], "")]:
            rows.append(
                {
                    "data set": card.name,
                    "state": STATES[card.state],
                    "task": task.task,
                    "items": task.items,
                    "groups": task.groups,
                    "splits": ", ".join(task.splits),
                    "size": card.size,
                    "licence": card.licence,
                }
            )
    return pd.DataFrame(rows).astype({"items": "Int64", "groups": "Int64"})


def _choose(names: list[str]) -> str:
    """The data set the address names, also one that is not in the list (`folder:PATH`)."""
    asked = st.session_state.pop("data.chosen", None) or st.query_params.get("data") or ""
    options = names + ([asked] if asked and asked not in names else [])
    now = st.session_state.get("data.name")
    if now not in options or (asked and asked != now):
        st.session_state["data.name"] = asked or FIRST
    chosen = st.selectbox(
        "Data set",
        options,
        key="data.name",
        on_change=lambda: st.query_params.update(data=st.session_state["data.name"]),
    )
    st.query_params["data"] = str(chosen)
    return str(chosen)


# ---- one data set ----


def _get_it(card: Card) -> None:
    """How to come by what is not here."""
    if card.sentence:
        (st.info if card.state in ("known", "missing") else st.caption)(shared.plain(card.sentence))
    if card.parts:
        table = pd.DataFrame(card.parts).rename(columns={"files": "files here", "wanted": "files expected"})
        st.dataframe(table[["what", "files here", "files expected", "pattern"]], hide_index=True, width="stretch")
    if card.layout:
        st.caption("The folder as it is expected:")
        st.code(card.layout.rstrip(), language=None)
    facts = [card.size, card.licence, f"from {card.homepage}" if card.homepage else ""]
    st.caption(shared.plain("; ".join(fact for fact in facts if fact)))


def _one(name: str, card: Card) -> None:
    st.subheader(shared.plain(name), anchor=False)
    if card.about:
        st.caption(shared.plain(card.about.replace("`", "")))
    if card.added:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(shared.plain(f"Added: {card.added}"))
            _remove(next((key for key, place in shelf.added().items() if str(place) == card.added), name))
    if card.state not in ("here", "made here"):
        if card.state == "wrong":
            st.error(shared.plain(card.sentence), icon=":material/error:")
        else:
            _get_it(card)
        if card.state in ("wrong", "missing") and card.tasks:
            dataset_check.check_unusable(name, card.tasks[0].task)
        return
    tasks = [task.task for task in card.tasks]
    left, right = st.columns([1, 3])
    asked = st.query_params.get("task")
    with left:
        task = st.selectbox("Task", tasks, index=tasks.index(asked) if asked in tasks else 0, key=f"task.{name}")
    st.query_params["task"] = task
    with right:
        if st.session_state.get("view") not in VIEWS:
            st.session_state["view"] = st.query_params.get("view") if st.query_params.get("view") in VIEWS else "labels"
        view = st.segmented_control("Look at", list(VIEWS), key="view", format_func=str.capitalize) or "labels"
    st.query_params["view"] = view
    try:
        dataset = _dataset(name, task, _stamp(name), _cache())
        VIEWS[view](name, dataset)
    except ValueError as error:
        shared.failed(error)
        return
    homepage = f" Home: {card.homepage}." if card.homepage else ""
    st.caption(shared.plain(f"Licence: {dataset.licence}. {dataset.citation}{homepage} Version {dataset.version}."))


def _page() -> None:
    names = catalogue.names()
    is_first_visit = "data" not in st.query_params and "data.name" not in st.session_state
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    with right:
        _add()
    with left:
        name = _choose(names)
    _undo()
    if not shelf.added():
        st.info(
            "Your own folders will be listed here. None has been added yet: press Add a folder, or run "
            "`python lab.py data add NAME PATH`."
        )
    everything = st.expander(f"All {len(names)} data sets that the lab knows", expanded=is_first_visit)
    _one(name, _card(name, _stamp(name), _cache()))
    with everything:  # last, because it reads every one of them
        cards = [_card(each, _stamp(each), _cache()) for each in names]
        st.dataframe(_table(cards), hide_index=True, width="stretch", placeholder="—")


st.title("Datasets", anchor=False)
st.caption("What there is to learn from, what is missing and how to get it, and what is wrong with it.")
_page()
