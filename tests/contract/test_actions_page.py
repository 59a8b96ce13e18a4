"""The Train page's buttons: what stands beside a run in each state, and that they do what they say."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import trainers
from core import datasets, disk, paths, rundir, supervisor, sweeprecord, trash
from core.executors import local
from tests import made_runs

APP = paths.PROJECT / "app.py"


@pytest.fixture(autouse=True)
def fresh(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def finished() -> Path:
    return made_runs.finished("toy", datasets.load("toy", "emotion"), {"epochs": 3})


def opened(folder: Path | None = None) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60).run().switch_page("pages/train.py")
    app.query_params = {"data": ["toy"], "trainer": ["toy"], **({"run": [folder.name]} if folder else {})}
    return seen(app.run())


def seen(app: AppTest) -> AppTest:
    assert [box.message for box in app.exception] == []
    return app


def press(app: AppTest, label: str) -> AppTest:
    return seen(next(button for button in app.button if button.label == label).click().run())


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def becomes(folder: Path, state: str, **about: Any) -> None:
    """The run is told to be in this state, with this process as its own."""
    me = {"pid": os.getpid(), "pid_started": psutil.Process().create_time(), "host": os.uname().nodename}
    rundir.set_status(folder, replace(rundir.read_status(folder), state=state, **(me | about)))


def test_each_state_has_its_buttons(finished: Path) -> None:
    always = {"Start the branch", "Start the clone"}
    of_state = {
        "running": {"Stop", "Pause", "Change the run"},
        "paused": {"Stop", "Resume", "Change the run"},
        "done": {"Delete"},
        "failed": {"Resume", "Run again", "Delete"},
        "diverged": {"Run again", "Delete"},
    }
    every = set.union(*of_state.values())
    for state, expected in of_state.items():
        becomes(finished, state)
        assert labels(opened(finished)) & every == expected, state
        assert labels(opened(finished)) >= always, state


def test_pause_change_and_resume_reach_the_run(finished: Path) -> None:
    becomes(finished, "running")
    app = press(opened(finished), "Pause").run()  # as the next tick sees it
    assert "Resume" in labels(app) and "Pause" not in labels(app)
    press(app, "Resume")
    assert [wish["kind"] for _, wish in rundir.wishes(finished)] == ["pause", "resume"]
    app = opened(finished)
    change = next(field for field in app.number_input if field.key.startswith("change.") and "rate" in field.key)
    assert change.value == 0.1
    change.set_value(0.02)
    press(app, "Change the run")
    assert [wish.get("values") for _, wish in rundir.wishes(finished)] == [None, None, {"learning_rate": 0.02}]


def test_a_change_that_changes_nothing_is_told(finished: Path) -> None:
    becomes(finished, "running")
    app = press(opened(finished), "Change the run")
    assert any("Nothing changes" in box.value for box in app.error)
    assert rundir.wishes(finished) == []


def test_a_branch_from_the_page_is_shown_at_once(finished: Path) -> None:
    app = opened(finished)
    start = next(box for box in app.selectbox if box.label == "Begin from")
    assert start.options[0].startswith("last (epoch 3)") and "epoch 1" in start.options
    (epochs,) = (box for box in app.number_input if box.key and "branch" in box.key and box.key.endswith(".epochs"))
    assert epochs.value == 6  # the run has come to its end: as many again
    epochs.set_value(3)
    app = press(app, "Start the branch")  # from the last epoch: nothing would be left
    assert any("set epochs above 3" in box.value.replace("\\", "") for box in app.error)
    next(box for box in app.selectbox if box.label == "Begin from").set_value("epoch 1")
    app = press(app, "Start the branch")
    (run,) = supervisor.waiting()
    assert run in app.query_params["run"]
    spec = rundir.read_spec(paths.runs() / run)
    assert (spec.parent, spec.parent_step) == (finished.name, 3)


def test_a_full_disk_is_said_where_something_was_pressed(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*about: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    becomes(finished, "running")
    app = opened(finished)
    monkeypatch.setattr(disk, "replace", full)
    for label in ("Pause", "Change the run", "Start the clone", "Start the branch", "Start"):
        if label == "Change the run":
            next(field for field in app.number_input if field.key.startswith("change.")).set_value(0.02)
        if label == "Start the branch":
            next(box for box in app.selectbox if box.label == "Begin from").set_value("epoch 1")
        app = press(app, label)
        told = [box.value.replace("\\", "") for box in app.error]
        assert "The disk is full: free some space, then try again." in told, (label, told)


@pytest.mark.parametrize("changed", [{"trainer": "long-gone"}, {"config": {"epochs": 10**9, "lost": 1.0}}])
@pytest.mark.parametrize("state", ["done", "running"])
def test_a_run_of_another_version_is_shown_with_what_can_be_done(
    finished: Path, changed: dict[str, Any], state: str
) -> None:
    becomes(finished, state)
    spec = json.loads((finished / "spec.json").read_text())
    (finished / "spec.json").write_text(json.dumps(spec | changed))
    app = opened(finished)
    told = [box.value.replace("\\", "") for box in app.error]
    assert any("There is no trainer 'long-gone'" in text for text in told) == ("trainer" in changed)
    assert ("Delete" if state == "done" else "Stop") in labels(app)
    assert ("Start the branch" in labels(app)) == ("config" in changed)


def test_the_best_row_of_a_trainer_that_is_gone_opens(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = json.loads((finished / "spec.json").read_text())
    (finished / "spec.json").write_text(json.dumps(spec | {"trainer": "long-gone"}))
    drawn = st.dataframe

    def chosen(*about: Any, **more: Any) -> Any:
        drawn(*about, **more)
        return {"selection": {"rows": [0]}}

    monkeypatch.setattr(st, "dataframe", chosen)
    app = seen(AppTest.from_file(str(APP), default_timeout=60).run().switch_page("pages/leaderboard.py").run())
    assert any("There is no trainer 'long-gone'" in box.value.replace("\\", "") for box in app.error)
    assert "Retrain with these values" not in labels(app)


def test_the_list_begins_with_what_runs_and_names_what_a_sweep_varies(finished: Path) -> None:
    becomes(finished, "running")
    about = {"trainer": "toy", "data": "toy", "split": "grouped:0", "device": "cpu", "seeds": [1], "cells": []}
    planned = sweeprecord.Record(
        "", "toys", "", factors={"epochs": [4, 5], "learning_rate": [0.03]}, entries=[], **about
    )
    sweep = sweeprecord.create(planned, "").id
    for epochs in range(4, 17):  # more than the list shows, all newer than the one that runs
        values = {"epochs": epochs, "learning_rate": 0.03}
        spec = supervisor.new_spec(trainers.load("toy"), values, data="toy", seed=1, device="cpu")
        waiting = rundir.create(replace(spec, sweep=sweep, created_at=f"2030-01-01T00:00:{epochs:02d}"))
    supervisor.enqueue_all([waiting])
    app = opened()
    buttons = {button.key: button.label.replace("\\", "") for button in app.button if button.key}
    (shown,) = [label for key, label in buttons.items() if key.startswith("show.")]
    assert shown.startswith(":blue-badge[running] toy on toy, seed 0 :gray[")
    links = [link.proto.label.replace("\\", "") for link in app.get("page_link")]
    assert links.count("Sweep toys :gray[0.0 s ago]") == 1  # made in 2030, so not before now
    name = "toy on toy, epochs 16, learning_rate 0.03, seed 1"
    assert buttons[f"queue.show.{waiting.name}"] == f"1. {name}, for cpu, 0.0 s ago"


def test_delete_and_undo(finished: Path) -> None:
    app = press(opened(finished), "Delete")
    assert [path.name for path in trash.trashed()] == [finished.name]
    assert "run" not in app.query_params
    app = press(app, "Undo")
    assert finished.is_dir() and not trash.trashed()
    assert "Undo" not in labels(app)
    press(opened(finished), "Delete")
    app = opened()
    assert "Empty the trash" in labels(app)
    next(box for box in app.checkbox if "no way back" in box.label).check()
    press(app.run(), "Empty the trash")
    assert not list(paths.trash().iterdir())


def test_the_queue_is_listed_and_moved(finished: Path) -> None:
    runs = [made_runs.new("toy", datasets.load("toy", "emotion"), {"epochs": epochs}) for epochs in (4, 5)]
    for run in runs:
        supervisor.enqueue(run)
    app = opened(runs[1])
    assert any("Queue" in box.value and "2 waiting" in box.value for box in app.markdown)
    press(app, "Earlier")
    assert supervisor.waiting() == [runs[1].name, runs[0].name]
    seen(app.button(key=f"queue.up.{runs[0].name}").click().run())
    assert supervisor.waiting() == [runs[0].name, runs[1].name]
