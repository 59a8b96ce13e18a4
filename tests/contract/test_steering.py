"""Runs that are touched while they train: every trainer, the real runner, a stand-in data set, in this process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import trainers
from core import (
    branching,
    checkpoints,
    config,
    control,
    datasets,
    evaluation,
    rundir,
    runner,
    runview,
    steering,
    supervisor,
)
from core.datasets import Dataset
from core.events import Changes, Event, Metrics
from core.executors import local
from core.store import memory_store
from tests import made_runs

NAMES = [  # what bends another run is solved at once, as ridge is, and needs that run
    name
    for name in trainers.names()
    if not any(one.kind == "run" and not one.optional for one in config.knobs(trainers.load(name).Config).values())
]
SLOW = [name for name in NAMES if "wave16k" in trainers.constant(name, "INPUTS")]
SMALL = {"width": 4, "kernel": 3, "batch_size": 16, "patience": 0, "learning_rate": 0.1, "dropout": 0.1, "n_mels": 40}
INPUT_OF = {"emotion": "lib164", "instruments": "logmel", "digits": "pixels"}
MOVED = {"learning_rate": 0.0123, "noise_db": -20.0, "reverberation": 0.5, "time_shift": 0.05}
"""Values far from the defaults that matter on excerpts of 0.3 s; other hot knobs go to the middle of their range."""


def hot(name: str) -> list[str]:
    return [knob for knob, about in config.knobs(trainers.load(name).Config).items() if about.hot]


def each(names: Iterable[str]) -> list[Any]:
    """The trainers as parameters, those that take long marked so."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


class Killed(BaseException):
    """Stands in for kill −9: nothing of the runner's own handling may catch it."""


@pytest.fixture(autouse=True)
def in_this_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(runner, "_beat", lambda *_: None)  # a thread would outlive a death that is only played
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    monkeypatch.setattr(steering, "LOOK_S", 0.0)  # what is asked at one step is taken at it, however fast the steps
    monkeypatch.setitem(made_runs.SHAPES, "wave16k", (4800,))
    monkeypatch.setitem(made_runs.SHAPES, "logmel", (128, 20))


def data_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Random rows that this trainer can eat, which stand in for whatever data set is asked for."""
    module = trainers.load(name)
    task = next(task for task in module.TASKS if task in INPUT_OF)
    kind = next(kind for kind in module.INPUTS if kind in made_runs.SHAPES)
    made = made_runs.stand_in("cues-small", task, kind, 0.3)
    monkeypatch.setattr(datasets, "load", lambda *_: made)
    return made


def settings(name: str, epochs: int = 3) -> dict[str, Any]:
    about = config.knobs(trainers.load(name).Config)
    if "epochs" in about and about["epochs"].unit == "rounds":
        epochs *= 9
    if trainers.load(name).MONITOR.startswith("train/"):  # it tells of whole epochs only
        epochs *= 6
    below = [knob for knob, one in about.items() if one.kind == "run" and not one.optional]
    runs = {knob: made_runs.emotion("deam", "lib73", 45.0).name for knob in below}
    return {knob: value for knob, value in (SMALL | {"epochs": epochs} | runs).items() if knob in about}


def new(name: str, values: dict[str, Any] | None = None) -> Path:
    module = trainers.load(name)
    data = "mnist" if "digits" in module.TASKS and "emotion" not in module.TASKS else "cues-small"
    knobs = settings(name) | (values or {})
    spec = supervisor.new_spec(module, knobs, data=data, split="grouped:0", device="cpu")
    return rundir.create(spec)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in rundir.read_events(folder)[0] if event["kind"] == kind]


def curve(folder: Path) -> dict[tuple[int, str], str]:
    """Every metric as it stands in the log, what was rewound left out."""
    kept: dict[tuple[int, str], str] = {}
    for event in rundir.read_events(folder)[0]:
        if event["kind"] == "rewound":
            kept = {place: value for place, value in kept.items() if place[0] <= event["to_step"]}
        elif event["kind"] == "metrics":
            kept |= {(event["step"], name): repr(value) for name, value in event["values"].items()}
    return kept


def after(step: int, found: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    return {place: value for place, value in found.items() if place[0] > step}


def finish(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at: dict[int, Callable[[], None]] | None = None
) -> dict[tuple[int, str], str]:
    """Run it to its end, calling `at[i]` as its yield number i of `Metrics` is made; returns its curve."""
    module = trainers.load(rundir.read_spec(folder).trainer)
    here = at or {}

    def fit(*rest: Any, **more: Any) -> Generator[Event, Changes | None, None]:
        steps, changes, count = module.fit(*rest, **more), None, 0
        while True:
            event = steps.send(changes)
            if isinstance(event, Metrics):
                here.get(count, lambda: None)()
                count += 1
            changes = yield event

    stand_in = ModuleType(module.__name__)
    stand_in.__dict__.update(vars(module), fit=fit)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "load_trainer", lambda _: stand_in)
        assert runner.main(folder) == 0, rundir.read_status(folder).reason
    return curve(folder)


def same_model(left: Path, right: Path) -> None:
    found = [evaluation.load_model(folder).model for folder in (left, right)]
    np.testing.assert_equal(found[0], found[1])


def elsewhere(name: str, knob: str) -> float:
    about = config.knobs(trainers.load(name).Config)[knob]
    middle = (about.low + about.high) / 2
    return MOVED.get(knob, int(middle) if about.type is int else middle)


# ---- pause ----


@pytest.mark.parametrize("name", each(NAMES))
def test_a_pause_leaves_no_trace_in_the_curve(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(name, monkeypatch)
    whole, paused = new(name), new(name)
    expected = finish(whole, monkeypatch)
    seen: list[rundir.Status] = []

    def look_and_go_on(seconds: float) -> None:
        seen.append(rundir.read_status(paused))
        assert control.resume(paused) == "It goes on."

    monkeypatch.setattr(steering, "time", SimpleNamespace(sleep=look_and_go_on, monotonic=time.monotonic))
    asks = {0: lambda: rundir.ask(paused, "pause"), 4: lambda: rundir.ask(paused, "pause")}
    assert finish(paused, monkeypatch, asks) == expected
    same_model(whole, paused)
    count = 2 if len({step for step, _ in expected}) > 4 else 1  # what is solved at once has no fifth yield
    assert [status.state for status in seen] == ["paused"] * count
    assert [status.step for status in seen] == [event["step"] for event in events(paused, "paused")]
    assert len(events(paused, "resumed")) == count
    states = [event["state"] for event in events(paused, "state")]
    assert states == ["starting", "running", *["paused", "running"] * count, "done"]


# ---- change ----


@pytest.mark.parametrize(("name", "knob"), [(name, knob) for name in NAMES for knob in hot(name)])
def test_every_hot_knob_acts_after_the_yield_it_came_in(name: str, knob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of(name, monkeypatch)
    values = settings(name, 1)
    module = trainers.load(name)
    fitted = _fit_data(data)
    moved = {knob: config.read(module.Config, knob, elsewhere(name, knob))}
    curves = []
    for changes in ({}, moved):
        training = module.fit(fitted, config.make(module.Config, values), generator=np.random.default_rng(0))
        made = [next(training), next(training)]
        made.append(training.send(changes or None))
        made += list(training)
        curves.append([repr(sorted(event.values.items())) for event in made if isinstance(event, Metrics)])
    plain, changed = curves
    assert plain[:2] == changed[:2]
    assert plain[2:] != changed[2:]


def _fit_data(data: Dataset) -> Any:
    part = data.rows(data.inputs[0], np.arange(40), 0.3, datasets.no_progress)
    columns = tuple(f"column_{i}" for i in range(part.inputs.shape[1])) if part.inputs.ndim == 2 else ()
    return runner.FitData(part, part, data.task, data.labels, data.unit, data.inputs[0], columns, 0.3)


@pytest.mark.parametrize("name", each(filter(hot, NAMES)))
def test_a_change_is_replayed_after_a_death(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(name, monkeypatch)
    whole, broken, plain = new(name), new(name), new(name)
    unchanged = finish(plain, monkeypatch)
    place = 13 if name == "boosted_trees" else 3  # between two checkpoints

    def ask(folder: Path) -> Callable[[], None]:
        return lambda: control.change(folder, {"learning_rate": "0.0123"}) and None

    expected = finish(whole, monkeypatch, {place: ask(whole)})
    (told,) = events(whole, "changed")
    assert told["values"] == {"learning_rate": [rundir.read_spec(whole).config["learning_rate"], 0.0123]}
    assert expected != unchanged
    assert {k: v for k, v in expected.items() if k[0] <= told["step"]} == {
        k: v for k, v in unchanged.items() if k[0] <= told["step"]
    }

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        finish(broken, monkeypatch, {place: ask(broken), place + 1: die})
    assert finish(broken, monkeypatch) == expected
    assert [(e["step"], e["values"]) for e in events(broken, "changed")] == [(told["step"], told["values"])]
    same_model(whole, broken)


def test_a_steered_run_and_a_branch_are_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    data_of("toy", monkeypatch)
    plain, steered = new("toy"), new("toy")
    finish(plain, monkeypatch)
    finish(steered, monkeypatch, {4: lambda: rundir.ask(steered, "changes", values={"learning_rate": 0.0123})})
    grown = branching.branch(plain, {"learning_rate": 0.02}, epoch="1")
    finish(grown, monkeypatch)
    board = memory_store().leaderboard("emotion", "cues-small", "1", "grouped:0", "ccc_mean")
    assert dict(zip(map(tuple, board["runs"]), board["steered"].fillna(False).astype(bool), strict=True)) == {
        (plain.name,): False,
        (steered.name,): True,
        (grown.name,): True,
    }


# ---- branch ----


@pytest.mark.parametrize("name", each(filter(hot, NAMES)))
def test_a_branch_without_changes_goes_on_as_its_parent_did(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent was changed by hand on its way: what was in force at the checkpoint is in force in the branch."""
    data_of(name, monkeypatch)
    parent = new(name)
    asks = {1: lambda: rundir.ask(parent, "changes", values={"learning_rate": 0.05})}
    expected = finish(parent, monkeypatch, asks)
    moments = branching.points(parent)
    assert len(moments) >= 3
    for moment in moments[:-1]:
        child = branching.branch(parent, epoch=str(round(moment.epoch)))
        spec = rundir.read_spec(child)
        assert (spec.parent, spec.parent_step) == (parent.name, moment.step)
        assert spec.config["learning_rate"] == 0.05
        assert finish(child, monkeypatch) == after(moment.step, expected)
        same_model(parent, child)
    with pytest.raises(ValueError, match="set epochs above"):
        branching.branch(parent)


@pytest.mark.parametrize("name", each(filter(hot, NAMES)))
def test_a_changed_branch_differs_and_is_the_same_every_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(name, monkeypatch)
    parent = new(name)
    asks = {1: lambda: rundir.ask(parent, "changes", values={"learning_rate": 0.05})}
    expected = finish(parent, monkeypatch, asks)
    moment = branching.points(parent)[0]
    children = [branching.branch(parent, {"learning_rate": "0.0123"}, epoch=str(round(moment.epoch))) for _ in "ab"]
    (told,) = events(children[0], "branched")
    assert (told["parent"], told["step"], told["values"]) == (
        parent.name,
        moment.step,
        {"learning_rate": [0.05, 0.0123]},
    )
    first = finish(children[0], monkeypatch)

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):  # before its first checkpoint: it begins from its parent's again
        finish(children[1], monkeypatch, {2: die})
    assert finish(children[1], monkeypatch) == first
    same_model(children[0], children[1])
    assert set(first) == set(after(moment.step, expected))
    rates = {value for (_, metric), value in first.items() if metric == "optim/learning_rate"}
    old_rates = {
        value for (_, metric), value in after(moment.step, expected).items() if metric == "optim/learning_rate"
    }
    assert not rates & old_rates
    assert first != after(moment.step, expected)


@pytest.mark.parametrize("name", each(filter(hot, NAMES)))
def test_every_knob_is_taken_in_a_branch_or_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(name, monkeypatch)
    parent = new(name)
    finish(parent, monkeypatch)
    epoch = str(round(branching.points(parent)[0].epoch))
    module = trainers.load(name)
    for knob, about in config.knobs(module.Config).items():
        current = rundir.read_spec(parent).config[knob]
        options = [*(about.choices or ()), about.high, about.low, not current if about.type is bool else None]
        value = next(option for option in options if option is not None and option != current)
        if about.hot or about.branch:
            value = current + 1 if knob == "epochs" else value
            child = branching.branch(parent, {knob: value}, epoch=epoch)
            assert rundir.read_spec(child).config[knob] == value
        else:
            with pytest.raises(ValueError, match=f"^{knob} is fixed in the checkpoint and cannot differ in a branch"):
                branching.branch(parent, {knob: value}, epoch=epoch)


@pytest.mark.parametrize("name", [name for name in NAMES if not hot(name)])
def test_what_is_solved_at_once_cannot_be_branched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data_of(name, monkeypatch)
    parent = new(name)
    finish(parent, monkeypatch)
    with pytest.raises(ValueError, match="was solved in one step"):
        branching.branch(parent)


def test_a_branch_outlives_its_parent_and_may_be_branched_and_cloned(monkeypatch: pytest.MonkeyPatch) -> None:
    from core import trash

    data_of("toy", monkeypatch)
    parent = new("toy", {"epochs": 4})
    expected = finish(parent, monkeypatch)
    child = branching.branch(parent, epoch="2")
    trash.delete_for_good(parent)
    copy = control.clone(child)
    step = rundir.read_spec(child).parent_step
    assert step is not None
    assert finish(child, monkeypatch) == after(step, expected)
    assert finish(copy, monkeypatch) == curve(child)
    assert rundir.read_spec(copy).config_id == rundir.read_spec(child).config_id
    grandchild = branching.branch(child, epoch="3")
    finish(grandchild, monkeypatch)
    index = memory_store()
    family = [(one.run, one.depth, one.state) for one in runview.family(index, grandchild.name)]
    assert family[0] == (parent.name, 0, "gone")
    assert set(family[1:]) == {(child.name, 1, "done"), (copy.name, 1, "done"), (grandchild.name, 2, "done")}
    assert runview.family(index, child.name) == runview.family(index, grandchild.name)
    with pytest.raises(ValueError, match="is a branch and draws on"):
        control.clone(child, seed=5)


def test_data_that_changed_are_not_trained_on_from_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of("toy", monkeypatch)
    parent = new("toy")
    finish(parent, monkeypatch)
    child = branching.branch(parent, epoch="1")
    other = Dataset(**(vars(data) | {"version": "2"}))
    monkeypatch.setattr(datasets, "load", lambda *_: other)
    with pytest.raises(ValueError, match=r"has changed since run .* \(version 1, now 2\)"):
        branching.branch(parent, epoch="1")
    assert runner.main(child) == 1
    assert "has changed since this run began (version 1, now 2)" in rundir.read_status(child).reason


def test_a_damaged_state_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    data_of("toy", monkeypatch)
    parent = new("toy")
    finish(parent, monkeypatch)
    for file in branching.points(parent)[0].names:
        path = parent / "checkpoints" / f"{file}.safetensors"
        blob = bytearray(path.read_bytes())
        blob[-3] ^= 1
        path.write_bytes(blob)
    with pytest.raises(checkpoints.Damaged, match=r"\.safetensors of run .* cannot be read"):
        branching.branch(parent, epoch="1")
    assert len(list((parent.parent).iterdir())) == 1
    assert not list(parent.parent.parent.glob(".branching*"))
