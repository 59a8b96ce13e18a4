"""What can be done with a run: buttons and small forms beside it, the trash, and the way back from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

import trainers
from core import branching, config, control, listening, pins, rundir, supervisor, trash
from core.config import Knob
from pages import shared

SAID = "actions.said"
DELETED = "actions.deleted"


def actions(folder: Path, spec: rundir.Spec, status: rundir.Status, current: dict[str, Any]) -> None:
    """All that can be done with this run as it stands; `current` are its knobs with every change made so far."""
    try:
        trainers.load(spec.trainer)
    except ValueError as error:  # of another version: what needs its knobs is left out, the rest can be done
        shared.failed(error)
    if rundir.stop_asked_at(folder) is not None and not status.is_finished:
        st.caption("Stopping: it ends at its next step, or by force within ten seconds.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if status.is_finished:
            _of_finished(folder, spec, status)
        elif status.state == "queued":
            _of_waiting(folder)
        else:
            _of_training(folder, spec, status, current)
        branch(folder, spec, current)
        _clone(folder, spec)
        if (status.is_finished or status.state == "queued") and not rundir.is_starter(folder):
            _delete(folder)
        if status.is_finished:
            # Also by the run: `data` is bound to a widget of Train, and leaves the address with that page.
            board = {"task": spec.task, "data": spec.data, "split": spec.split, "of": folder.name}
            st.page_link("pages/leaderboard.py", label="See it on the leaderboard", query_params=board)
    if problem := st.session_state.get(SAID):
        shared.failed(ValueError(problem))


def _of_training(folder: Path, spec: rundir.Spec, status: rundir.Status, current: dict[str, Any]) -> None:
    if st.button("Stop", icon=":material/stop:", help="Its last checkpoint stays; it can be resumed."):
        _do(lambda: control.stop(folder))
    is_pausing = rundir.is_asked(folder, "pause")
    if status.state == "paused" or is_pausing:
        if st.button("Resume", icon=":material/play_arrow:", type="primary"):
            _do(lambda: control.resume(folder))
    elif st.button(
        "Pause",
        icon=":material/pause:",
        help="It waits at its next step and keeps what it has in memory, on a GPU its place: to let other runs pass "
        "there, stop it and resume it later.",
    ):
        _do(lambda: control.pause(folder))
    about, current = _knobs(spec, current)
    hot = {name: knob for name, knob in about.items() if knob.hot and knob.applies(current)}
    if hot:
        with st.popover("Change", icon=":material/tune:"):
            st.caption("From its next step on. The change is kept in the log and drawn on the curves.")
            values = _knob_form(f"change.{spec.id}.{config.fingerprint(current)}", hot, current, "Change the run")
            moved = {name: value for name, value in (values or {}).items() if value != current.get(name)}
            if values is not None:
                _do(lambda: control.change(folder, moved or values))


def _knobs(spec: rundir.Spec, current: dict[str, Any]) -> tuple[dict[str, Knob], dict[str, Any]]:
    """The knobs of the run's trainer, none where there is no such trainer, and those `current` values they may have."""
    try:
        known = trainers.load(spec.trainer).Config
    except ValueError:
        return {}, current
    return config.knobs(known), config.possible(known, current)


def _of_waiting(folder: Path) -> None:
    place, count = supervisor.position(folder) + 1, len(supervisor.waiting())
    if st.button("Stop", icon=":material/stop:", help="Takes it out of the queue; it can be resumed."):
        _do(lambda: control.stop(folder))
    if place > 1 and st.button("Earlier", icon=":material/arrow_upward:", help="One place up in the queue."):
        _do(lambda: control.reorder(folder, place - 1))
    if place < count and st.button("Later", icon=":material/arrow_downward:", help="One place down in the queue."):
        _do(lambda: control.reorder(folder, place + 1))


def _of_finished(folder: Path, spec: rundir.Spec, status: rundir.Status) -> None:
    is_own = not rundir.is_starter(folder)
    if is_own and status.state in ("stopped", "failed", "lost", "paused"):
        help = "Goes on from its last checkpoint."
        if st.button("Resume", icon=":material/play_arrow:", help=help) and _do(lambda: control.resume(folder)):
            st.rerun()
    if is_own and status.state in control.ENDED_EARLY:
        help = "A new run with the same settings, from the beginning."
        if st.button("Run again", icon=":material/replay:", help=help):
            _open(lambda: control.rerun(folder))
    if not why_not_heard(folder, folder.name) and st.button("Use on Listen", icon=":material/hearing:", type="primary"):
        pins.pin(spec.task, spec.id)
        st.switch_page("pages/listen.py", query_params={spec.task: spec.id})


def why_not_heard(folder: Path, name: str) -> str:
    """Why the run in `folder` cannot be listened to, or the moment of it that `name` says ("RUN@7"); "" where it can.

    Its weights are read for that, once for each time its checkpoints have changed.
    """
    return _why_not_heard(name, checkpoints_changed_at(folder))


@st.cache_data(max_entries=200, show_spinner=False)
def _why_not_heard(name: str, changed_at: int) -> str:
    try:
        listening.load(name)
        return ""
    except ValueError as error:
        return str(error)


def checkpoints_changed_at(folder: Path) -> int:
    """When a checkpoint of the run in `folder` last came, went or was replaced (ns)."""
    try:
        return (folder / "checkpoints").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@st.cache_data(max_entries=100, show_spinner=False)
def _points(place: str, changed_at: int) -> dict[str, str]:
    """Where a run can be branched from: what a person reads → what core/branching takes. Read again when it changed."""
    moments = branching.points(Path(place))
    found = {f"epoch {moment.epoch:g}": str(round(moment.epoch)) for moment in reversed(moments)}
    for name in ("best", "last"):
        moment = next((moment for moment in moments if name in moment.names), None)
        if moment is not None:
            found = {f"{name} (epoch {moment.epoch:g})": name} | found
    return found


def branch(folder: Path, spec: rundir.Spec, current: dict[str, Any], begin: str = "") -> None:
    """A form that starts a branch of this run; from the moment `begin` ("epoch 3") where it is given."""
    about, current = _knobs(spec, current)
    able = {name: knob for name, knob in about.items() if (knob.hot or knob.branch) and knob.applies(current)}
    points = _points(str(folder), checkpoints_changed_at(folder)) if able else {}
    if not points or (begin and begin not in points):
        return
    with st.popover(f"Branch from {begin}" if begin else "Branch", icon=":material/alt_route:"):
        st.caption(
            "A new run that begins from a checkpoint of this one, on the same data and split. Epochs that kept their "
            "full state can be chosen; knobs that are fixed in a checkpoint are left out."
        )
        key = f"branch.{spec.id}.{config.fingerprint(current)}" + (f".{begin}" if begin else "")
        start = begin or st.selectbox("Begin from", list(points), key=f"{key}.from")
        values = _knob_form(key, able, _with_more_epochs(folder, able, current), "Start the branch")
        if values is not None:
            _open(lambda: branching.branch(folder, values, epoch=points[start]))


def _with_more_epochs(folder: Path, able: dict[str, Knob], current: dict[str, Any]) -> dict[str, Any]:
    """What the form of a branch starts from: where the run has come to its end, as many epochs again."""
    if "epochs" not in able or "epochs" not in current or rundir.read_status(folder).epoch < current["epochs"]:
        return current
    twice = 2 * current["epochs"]
    return current | {"epochs": min(twice, _whole(able["epochs"].high) or twice)}


def _clone(folder: Path, spec: rundir.Spec) -> None:
    with st.popover("Clone", icon=":material/content_copy:"), st.form(f"clone.{spec.id}", border=False):
        st.caption("A new run with the same settings from the beginning; changes made by hand are not made again.")
        seed = st.number_input("Seed", 0, 2**32 - 1, spec.seed, disabled=spec.parent is not None)
        if st.form_submit_button("Start the clone", icon=":material/play_arrow:"):
            _open(lambda: control.clone(folder, seed=int(seed)))


def _delete(folder: Path) -> None:
    if st.button("Delete", icon=":material/delete:", help="Into the trash, from where it can be brought back."):
        if not _do(lambda: trash.delete(folder), is_told=False):  # the line with Undo says it
            return
        st.session_state[DELETED] = folder.name
        if st.query_params.get("run") == folder.name:
            del st.query_params["run"]
        st.rerun()


def _knob_form(key: str, about: dict[str, Knob], current: dict[str, Any], label: str) -> dict[str, Any] | None:
    """A form of these knobs that starts from `current`; their values once it is sent, else None."""
    with st.form(key, border=False):
        columns, values = st.columns(2), {}
        for number, (name, knob) in enumerate(about.items()):
            with columns[number % 2]:
                values[name] = _field(knob, f"{key}.{name}", current.get(name, knob.default))
        return values if st.form_submit_button(label, type="primary", width="stretch") else None


def _field(knob: Knob, key: str, value: Any) -> Any:
    """One knob as a field to type in. It starts from `value` by itself: what a session state says while a popover is
    closed never reaches the browser."""
    label = knob.label if not knob.unit or knob.unit in knob.name else f"{knob.label} ({knob.unit})"
    about = f"{knob.sentence} Range: {knob.range_text}."
    if knob.choices is not None:
        return st.selectbox(label, knob.choices, index=knob.choices.index(value), key=key, help=about)
    if knob.type is bool:
        return st.toggle(label, value, key=key, help=about)
    if knob.type is int:
        return st.number_input(label, _whole(knob.low), _whole(knob.high), value, key=key, help=about)
    return st.number_input(label, knob.low, knob.high, value, key=key, help=about, format="%g")


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def _do(act: Any, is_told: bool = True) -> bool:
    """Do it and tell what happens now; what was refused stands below the buttons until something else is done."""
    st.session_state[SAID] = ""
    try:
        told = act()
    except (ValueError, OSError) as error:
        st.session_state[SAID] = shared.reason(error)
        return False
    if is_told:
        st.toast(shared.plain(told) if isinstance(told, str) else "Done.")
    return True


def _open(make: Any) -> None:
    """Make a run and show it."""
    made: list[Path] = []
    with st.spinner("Checking the data …"):
        if not _do(lambda: made.append(make()), is_told=False):  # the page of the new run is what tells it
            return
    st.query_params["run"] = made[0].name
    st.rerun()


# ---- the way back ----


def undo() -> None:
    """After a deletion: what was deleted, with a button that brings it back."""
    run = st.session_state.get(DELETED)
    if not run:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="undo"):
        st.caption(f"Run {shared.plain(run)} is in the trash.")
        if st.button("Undo", icon=":material/undo:"):
            st.session_state[DELETED] = None
            _restore(run)


def trash_bin() -> None:
    """The trash, where it is not empty: each run with a way back, and one button that empties it."""
    folders = trash.trashed()
    if not folders:
        return
    with st.popover(f"Trash ({len(folders)})", icon=":material/delete:"):
        for folder in folders[:20]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(shared.plain(folder.name))
                if st.button("Restore", key=f"restore.{folder.name}", type="tertiary"):
                    _restore(folder.name)
        if len(folders) > 20:
            st.caption(f"And {len(folders) - 20} older ones.")
        is_sure = st.checkbox("There is no way back from emptying it.")
        is_pressed = st.button("Empty the trash", disabled=not is_sure, icon=":material/delete_forever:")
        if is_pressed and _do(lambda: _emptied(trash.empty())):
            st.rerun()


def _emptied(count: int) -> str:
    return f"{count} runs are gone." if count != 1 else "1 run is gone."


def _restore(run: str) -> None:
    try:
        folder = trash.restore(trash.find(run))
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    st.query_params["run"] = folder.name
    st.rerun()
