"""Train: choose data and a trainer, set its knobs, start, and watch it learn."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import streamlit as st

import trainers
from core import config, datasets, paths, resting, rundir, supervisor
from core.datasets import rated, splits
from pages import actions, address, forms, machine, monitor, runnames, shared

FOLDER, RATED = "folder", "rated"
SHOWN_RUNS = 12
READ_RUNS = 200
"""Runs looked through for those shown: a sweep of more stands alone."""


def _choose_data() -> str:
    names = ["cues-small", *(name for name in datasets.names() if name != "cues-small")]
    if "data" not in st.session_state:
        address.tell_missing("data", "the data set", names)
    name = st.selectbox("Data set", names, key="data", bind="query-params", help="Where the examples come from.")
    if name == FOLDER:
        place = st.text_input(
            "Folder",
            key="folder",
            bind="query-params",
            placeholder="a folder of audio with a CSV of labels",
            help="Absolute, or inside the folder that EARSHOT_DATA names. The CSV has path, label (or valence and "
            "arousal), and may have group and source.",
        )
        return f"folder:{place}" if place else FOLDER
    if name == RATED and (raters := rated.choices()):
        rater = st.selectbox(
            "Rater",
            list(raters),
            key="rater",
            bind="query-params",
            format_func=raters.__getitem__,
            help="Whose ratings.",
        )
        return f"{RATED}:{rater}"
    return str(name)


@st.cache_resource(show_spinner=False, ttl=60)
def _about(data: str, task: str) -> str:
    """What a data set is, for the caption; ValueError where it is not here."""
    found = datasets.load(data, task)
    return f"{found.about} {datasets.first_use(data)} Licence: {found.licence}."


def _split_of_link(data: str, default_split: str) -> str:
    """The address's split, for the data set it was written for; another data set starts from its own default."""
    meant_for = st.session_state.setdefault("split.meant_for", data)
    return st.query_params.get("split", default_split) if meant_for == data else default_split


def _form() -> None:
    data = _choose_data()
    if data == FOLDER:
        st.info("Name a folder above, and its trainers will appear here.")
        return
    tasks = datasets.module(data).TASKS
    # The inputs of a rendered set are known; others are read when it starts.
    usable = trainers.fitting(tasks, datasets.inputs_made_here(data, tasks[0]) if len(tasks) == 1 else None)
    if "trainer" not in st.session_state:
        address.tell_missing("trainer", "the trainer", usable)
    name = st.selectbox("Trainer", usable, key="trainer", bind="query-params", help="What learns.")
    module = trainers.load(name)
    task = next(task for task in module.TASKS if task in tasks)
    st.caption((module.__doc__ or "").split("\n\n")[0].replace("\n", " "))
    try:
        st.caption(shared.plain(_about(data, task)))
    except ValueError as error:
        shared.failed(error)
        return
    first, second = st.columns([3, 1])
    default_split = datasets.default_split(data, task)
    split = first.text_input(
        "Split",
        value=_split_of_link(data, default_split),
        key=f"split.{data}.{task}",
        help="official, grouped:S, cv10:S.F, leave-source:NAME; random:S leaks where items share a group.",
    )
    seed = second.number_input("Seed", 0, 2**32 - 1, key="seed", bind="query-params", help="Moves the training only.")
    st.caption(splits.meaning(split or default_split))
    try:
        settings = forms.knob_form(name, module.Config, module.PRESETS)
    except ValueError as error:
        shared.failed(error)
        return
    if any(knob.hot for knob in config.knobs(module.Config).values()):
        st.caption("● can move while the run trains.")
    chosen_split = None if split == default_split else split
    if chosen_split:
        st.query_params["split"] = chosen_split
    elif "split" in st.query_params:
        del st.query_params["split"]
    st.code(
        config.command(name, settings, data=data, split=chosen_split, seed=int(seed)), language="bash", wrap_lines=True
    )
    if st.button("Start", type="primary", icon=":material/play_arrow:", width="stretch"):
        _start(name, settings, data, split, int(seed))


def _start(name: str, settings: object, data: str, split: str, seed: int) -> None:
    try:
        with st.spinner("Checking the data …"):
            values = config.different_from_default(settings)
            spec = supervisor.new_spec(trainers.load(name), values, data=data, split=split, seed=seed)
            folder = supervisor.submit(spec)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    st.query_params["run"] = folder.name
    st.rerun()


def _recent() -> None:
    """The user's own runs; ticks by itself, since states and ages change while one looks."""
    mine = shared.known().shown_first(limit=READ_RUNS)
    if mine.empty:
        st.info(
            "Your runs will be drawn here while they train: loss, score, learning rate and gradient norm. "
            "The form on the left is filled with a setting that works; press Start. The first run on cues-small takes "
            "a few minutes, since its songs are rendered first; later ones take less.",
            icon=":material/monitoring:",
        )
        return
    st.subheader("Your runs", anchor=False)
    of_none = mine["sweep"].fillna("").eq("")
    told = mine[of_none | ~mine["sweep"].duplicated()]  # of a sweep its first run stands for all
    rows = [_now(row) for row in told.head(SHOWN_RUNS).to_dict("records")]
    alone = [row for row in rows if row["sweep"] is None]
    labels = dict(zip((row["run"] for row in alone), runnames.in_a_list(alone), strict=True))
    for row in rows:
        if row["sweep"] is not None:
            _sweep_link(row["sweep"], shared.ago(row["created_at"]))
        elif st.button(labels[row["run"]], key=f"show.{row['run']}", type="tertiary"):
            st.query_params["run"] = row["run"]
            st.rerun()


def _now(row: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """A row of the index with the state as it is now, of which the index may be some seconds behind; `sweep` is None
    where it belongs to none."""
    sweep = row["sweep"] if isinstance(row["sweep"], str) and row["sweep"] else None
    state = row["state"]
    if sweep is None and state in (*rundir.ACTIVE, *rundir.WAITING):
        status = resting.read_status(str(paths.runs() / str(row["run"])))
        state = status.state if status else "deleted"
    return row | {"sweep": sweep, "state": state}


def _sweep_link(sweep: str, ago: str) -> None:
    """A sweep in place of its runs, which differ in what a short line cannot show."""
    label = f"Sweep {shared.plain(sweep.split('-', 2)[-1])} :gray[{shared.plain(ago)}]"
    st.page_link("pages/sweeps.py", label=label, icon=":material/grid_view:", query_params={"sweep": sweep})


st.title("Train", anchor=False)
st.caption("Choose data and a trainer, move its knobs, start. The run goes on when you close this tab.")
left, right = st.columns([2, 3], gap="large")
with left:
    _form()
with right:
    actions.undo()
    asked = st.query_params.get_all("run")
    known = [run for run in asked if rundir.exists(run)]
    for run in asked:
        if run not in known:
            st.warning(f"There is no run {shared.plain(run)} in this cache.")
    if len(known) > 1:
        monitor.together(known)
    elif known:
        monitor.monitor(known[0])
    has_queue = bool(supervisor.waiting())
    if has_queue:  # what somebody has just started is looked for first
        machine.panel()
    shared.store()  # what somebody has just started is in it
    st.fragment(_recent, run_every=shared.side_s())()
    actions.trash_bin()
    if not has_queue:
        machine.panel()
