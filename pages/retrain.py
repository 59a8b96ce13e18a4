"""Retrain a run with other values from where it is heard, and hear the new one beside it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import trainers
from core import config, datasets, listening, pins, rundir, supervisor
from pages import forms, shared


def panel(heard: list[listening.Heard], name: Callable[[str], str]) -> None:
    """Slide, retrain, and hear the new run beside the old one. `name` says a run's id in words."""
    by_run = {one.model.run: one.model for one in heard}
    run = st.selectbox("Start from", list(by_run), format_func=name, key="retrain.from")
    spec = rundir.read_spec(listening.folder_of(run))
    module = trainers.load(spec.trainer)
    data = _data(spec)
    settings = forms.knob_form(
        spec.trainer, module.Config, module.PRESETS, prefix=f"retrain.{run}.", initial=spec.config, is_linked=False
    )
    if st.button("Retrain with these values", type="primary", icon=":material/model_training:"):
        try:
            values = config.different_from_default(settings)
            new = supervisor.new_spec(module, values, data=data, split=spec.split, seed=spec.seed)
            supervisor.submit(new)
            st.session_state["retrained"] = new.id
            st.session_state.pop("retrained.badly", None)
        except (ValueError, OSError) as error:
            shared.failed(error)


def watch() -> None:
    """How far the run that was started here has come; below the player, whether the panel is open or not."""
    if run := st.session_state.get("retrained"):
        st.fragment(_watch, run_every=1.0)(run)
    elif ended := st.session_state.get("retrained.badly"):
        run, sentence = ended
        st.error(shared.plain(sentence), icon=":material/error:")
        if rundir.exists(run):
            st.page_link("pages/train.py", label="See the run", query_params={"run": run})


def _data(spec: rundir.Spec) -> str:
    """The data to retrain on: the run's own, or the small corpus where the large one would take long to make."""
    if spec.data != "cues":
        return spec.data
    data = st.selectbox("Train on", ["cues-small", "cues"], key=f"retrain.data.{spec.id}")
    st.caption(datasets.first_use(data))
    return str(data)


def _watch(run: str) -> None:
    try:
        folder = rundir.find(run)
        status, task = rundir.read_status(folder), rundir.read_spec(folder).task
    except ValueError as error:  # deleted in another tab, or damaged
        _end_badly(run, f"The run that was started here cannot be followed: {error}")
        return
    if status.state == "done":
        st.session_state["retrained"] = None
        st.session_state["hear"] = (task, run)
        st.rerun()
    elif status.is_finished:
        _end_badly(run, f"The run that was started here ended {status.state}: {status.reason}")
    else:
        st.progress(min(max(status.fraction, 0.0), 1.0), text=shared.plain(status.note or status.state))


def _end_badly(run: str, sentence: str) -> None:
    """Have it said, and the ticking end."""
    st.session_state["retrained"] = None
    st.session_state["retrained.badly"] = (run, sentence)
    st.rerun()


def hear_new_run() -> None:
    """A run that was retrained here goes first, the one it came from stays beside it."""
    if new := st.session_state.pop("hear", None):
        task, run = new
        pins.pin(task, run)
        st.session_state[f"runs.{task}"] = [run, *st.session_state.get(f"runs.{task}", [])][:2]
        st.toast("The new run is drawn solid, the old one dashed.")
