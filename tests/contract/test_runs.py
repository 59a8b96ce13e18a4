"""Runs as users have them: real processes, killed, stopped, steered, and always told truly."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trainers
from core import checkpoints, datasets, evaluation, rundir, runner, steering, supervisor
from core.datasets import splits
from core.events import Changes, Checkpoint, Done, Event, FitData, Metrics
from core.store import memory_store
from tests.conftest import eventually
from trainers import toy


def new(values: dict[str, Any] | None = None, **about: Any) -> Path:
    """A run of the toy trainer that waits for a runner."""
    spec = supervisor.new_spec(trainers.load("toy"), values or {}, data="toy", **about)
    return rundir.create(spec)


def start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "stdout.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "core.runner", str(folder)], stdout=log, stderr=log)


def run(folder: Path) -> int:
    return start(folder).wait(240)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in rundir.read_events(folder)[0] if event["kind"] == kind]


def state(folder: Path) -> str:
    return rundir.read_status(folder).state


def at_epoch(folder: Path, epoch: float) -> bool:
    return any(event["epoch"] >= epoch for event in events(folder, "checkpoint"))


def curve(folder: Path) -> dict[tuple[int, str], float]:
    """Every metric of a run as the index has it."""
    frame = memory_store().curves([folder.name])
    assert not frame.duplicated(["step", "name"]).any()
    return dict(zip(zip(frame["step"], frame["name"], strict=True), frame["value"], strict=True))


FEW = {"epochs": 8, "dropout": 0.3}
SLOWLY = {**FEW, "seconds_per_step": 0.1}
ENDLESS = {"epochs": 10_000, "seconds_per_step": 0.05}


@pytest.mark.slow
def test_a_finished_run_has_everything_exactly_once(cache: Path) -> None:
    folder = new(FEW, seed=3)
    assert run(folder) == 0
    status = rundir.read_status(folder)
    assert (status.state, status.reason, status.fraction) == ("done", "all 8 epochs done", 1.0)
    assert (status.step, status.epoch) == (24, 8.0)
    assert [event["state"] for event in events(folder, "state")] == ["starting", "running", "done"]
    numbers = [event["n"] for event in rundir.read_events(folder)[0]]
    assert numbers == list(range(1, len(numbers) + 1))
    metrics = events(folder, "metrics")
    assert metrics[0]["step"] == 0
    tested = [event for event in metrics if any(name.startswith("test/") for name in event["values"])]
    assert len(tested) == 1

    # The stored scores are those of the stored predictions, computed here with nothing of ours.
    table = pd.read_parquet(folder / "predictions.parquet")
    assert sorted(set(table["part"])) == ["test", "validation"]
    for label in ("valence", "arousal"):
        rows = table[(table["part"] == "test") & (table["label"] == label)]
        error = ((rows["truth"] - rows["prediction"]) ** 2).mean()
        expected = 1 - error / rows["truth"].var(ddof=0)
        assert tested[0]["values"][f"test/r2_{label}"] == pytest.approx(expected, abs=1e-6)
    dataset = datasets.load("toy", "emotion")
    parts = splits.assign(dataset, "grouped:0")
    assert set(table.loc[table["part"] == "test", "item"]) == set(dataset.items[parts == "test"])

    assert [path.name for path in (folder / "evaluations").iterdir()] == ["toy-grouped_0.json"]
    model = evaluation.load_model(folder)
    assert model.weights == "final"
    assert {path.stem for path in (folder / "checkpoints").iterdir()} == (
        {"last", "best", "final"} | {f"{kind}-{epoch:04d}" for epoch in range(1, 9) for kind in ("epoch", "state")}
    )
    assert all(path.suffix == ".safetensors" for path in (folder / "checkpoints").iterdir())
    (summary,) = events(folder, "summary")
    assert summary["epochs"] == 8.0
    assert summary["seconds"] > 0


# ---- in this process, with a stand-in for the trainer ----


def stand_in(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runner find this `fit` instead of the toy's, and leave our own signals alone."""
    about = {name: getattr(toy, name) for name in ("INPUTS", "Config", "MONITOR", "predict")}
    monkeypatch.setattr(runner, "load_trainer", lambda name: SimpleNamespace(fit=fit, **about))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(runner, "_beat", lambda *_: None)  # a thread would outlive a death that is only played
    monkeypatch.setattr(steering, "LOOK_S", 0.0)  # what is asked at one step is taken at it, however fast the steps


@pytest.mark.parametrize("split", ["grouped:0", "grouped:7", "cv10:0.3"])
def test_fit_is_never_handed_test_items(cache: Path, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    handed: list[FitData] = []

    def fit(data: FitData, *rest: Any, **more: Any) -> Generator[Event, Changes | None, None]:
        handed.append(data)
        return toy.fit(data, *rest, **more)

    stand_in(fit, monkeypatch)
    assert runner.main(new({"epochs": 1}, split=split)) == 0
    (data,) = handed
    dataset = datasets.load("toy", "emotion")
    parts = splits.assign(dataset, split)
    test_items, test_groups = set(dataset.items[parts == "test"]), set(dataset.groups[parts == "test"])
    assert test_items
    for part in (data.train, data.validation):
        assert not set(part.items) & test_items
        assert not set(part.groups) & test_groups
    assert set(data.train.items) | set(data.validation.items) | test_items == set(dataset.items)
    assert not set(data.train.items) & set(data.validation.items)
    assert {field for field in data.__dataclass_fields__ if "test" in field} == set()
    # The rows are those of their items: by the features, not by what the rows say of themselves.
    place = {item: number for number, item in enumerate(dataset.items)}
    rows = dataset.rows("toy12", [place[item] for item in data.train.items], 0.0, datasets.no_progress)
    np.testing.assert_array_equal(rows.inputs, data.train.inputs)


def test_a_trainer_that_raises_fails_the_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> Generator[Event, Changes | None, None]:
        yield Metrics(0, 0.0, {"validation/loss": 1.0})
        raise RuntimeError("the disk is on fire")

    stand_in(fit, monkeypatch)
    folder = new()
    assert runner.main(folder) == 1
    status = rundir.read_status(folder)
    assert (status.state, status.reason) == ("failed", "RuntimeError: the disk is on fire")
    assert status.ended_at >= status.started_at > 0


def test_a_trainer_that_never_says_done_fails_the_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> Generator[Event, Changes | None, None]:
        yield Metrics(0, 0.0, {"validation/loss": 1.0})

    stand_in(fit, monkeypatch)
    folder = new()
    assert runner.main(folder) == 1
    assert "ended without saying Done" in rundir.read_status(folder).reason


@pytest.mark.parametrize("loss", [math.nan, math.inf, 2e12, -2e12])
def test_a_loss_that_is_no_number_or_explodes_is_a_divergence(
    cache: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    def fit(*_: Any, **__: Any) -> Generator[Event, Changes | None, None]:
        yield Metrics(0, 0.0, {"train/loss": 1.0})
        yield Metrics(1, 0.1, {"train/loss": loss})
        pytest.fail("it went on")

    stand_in(fit, monkeypatch)
    folder = new()
    assert runner.main(folder) == 1
    status = rundir.read_status(folder)
    assert (status.state, status.step) == ("diverged", 1)
    assert status.reason == f"train/loss became {loss:g} at step 1; try a smaller learning rate."
    assert len(events(folder, "metrics")) == 2  # the bad number is in the curve


def test_changes_are_logged_before_they_act(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that looks, at each yield, at what the log says of what it is handed."""
    folder = new({"epochs": 1})
    seen: list[tuple[str, Changes | None, int]] = []

    def fit(data: FitData, *_: Any, **__: Any) -> Generator[Event, Changes | None, None]:
        model = {"weights": np.zeros((12, 2)), "bias": np.full(2, 5.0), "mean": np.zeros(12), "sd": np.ones(12)}
        model |= {"is_logistic": False, "input": "toy12", "columns": [], "labels": list(data.labels), "unit": data.unit}
        rates = iter((0.5, 0.5, 0.25, 0.125))  # the second is no change
        for step in range(3):
            for event in (Metrics(step, step / 3, {"validation/loss": 1.0}), Checkpoint({"model": model})):
                if step == 1:
                    for _ in range(2):
                        rundir.ask(folder, "changes", values={"learning_rate": str(next(rates))})
                    rundir.ask(folder, "changes", values={"epochs": 7})  # not hot: refused, the run goes on
                changes = yield event
                seen.append((type(event).__name__, changes, len(events(folder, "changed"))))
        yield Done(model, data.input)

    stand_in(fit, monkeypatch)
    assert runner.main(folder) == 0
    # What is asked at a checkpoint waits for the next metrics: it would be lost between that file and the log.
    assert seen[2:5] == [
        ("Metrics", {"learning_rate": 0.5}, 1),
        ("Checkpoint", None, 1),
        ("Metrics", {"learning_rate": 0.125}, 3),
    ]
    assert [(event["step"], event["values"]) for event in events(folder, "changed")] == [
        (1, {"learning_rate": [0.1, 0.5]}),
        (2, {"learning_rate": [0.5, 0.25]}),
        (2, {"learning_rate": [0.25, 0.125]}),
    ]
    refused = events(folder, "refused")
    assert len(refused) == 2
    assert "epochs cannot change while a run trains" in refused[0]["reason"]
    assert rundir.wishes(folder) == []


class Killed(BaseException):
    """Stands in for kill −9: nothing of the runner's own handling may catch it."""


def killing(at: tuple[int, int], ask: dict[int, dict[str, Any]], folder: Path) -> Any:
    """The toy's `fit`, with wishes made before certain steps and a death at the given (life, step)."""
    lives = iter(range(100))

    def fit(*rest: Any, **more: Any) -> Generator[Event, Changes | None, None]:
        life = next(lives)
        steps = toy.fit(*rest, **more)
        changes: Changes | None = None
        while True:
            event = steps.send(changes)
            if isinstance(event, Metrics):
                if event.step in ask and life == 0:
                    rundir.ask(folder, "changes", values=ask[event.step])
                if (life, event.step) == at:
                    raise Killed
            changes = yield event

    return fit


@pytest.mark.parametrize("death", [2, 8, 13, 17])  # before any checkpoint; before, between and after the changes
def test_a_resume_replays_what_the_user_changed(cache: Path, monkeypatch: pytest.MonkeyPatch, death: int) -> None:
    """Three steps an epoch: changes at a plain step, at an epoch's end (12) and right after one (13)."""
    ask: dict[int, dict[str, Any]] = {
        1: {"learning_rate": "0.05"}, 7: {"dropout": 0.5}, 12: {"learning_rate": 0.2}, 13: {"weight_decay": 0.1},
    }  # fmt: skip
    whole, broken = new(FEW), new(FEW)
    stand_in(killing((-1, -1), ask, whole), monkeypatch)
    assert runner.main(whole) == 0
    stand_in(killing((0, death), ask, broken), monkeypatch)
    with pytest.raises(Killed):
        runner.main(broken)
    for path, _ in rundir.wishes(broken):
        path.unlink()  # asked, but not logged before the death: asked again below, as is all that came later
    later = {step: values for step, values in ask.items() if step >= death}
    resumed = killing((-1, -1), later, broken)
    stand_in(resumed, monkeypatch)
    assert runner.main(broken) == 0
    assert [event["to_step"] for event in events(broken, "rewound")] == [{2: -1, 8: 6, 13: 12, 17: 15}[death]]
    assert curve(broken) == curve(whole)


# ---- kill, stop, diverge: other processes ----


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_curve(cache: Path) -> None:
    whole, broken = new(FEW), new(FEW | {"seconds_per_step": 0.1})
    assert run(whole) == 0
    process = start(broken)
    for epoch in (2, 5):  # killed twice
        eventually(lambda epoch=epoch: at_epoch(broken, epoch), 120)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert state(broken) == "lost"
        process = start(broken)
    assert process.wait(240) == 0
    assert state(broken) == "done"
    assert len(events(broken, "rewound")) == 2
    assert curve(broken) == curve(whole)
    left, right = (evaluation.load_model(folder).model["weights"] for folder in (broken, whole))
    np.testing.assert_array_equal(left, right)
    assert not [path for path in broken.rglob("*") if path.name.startswith(".")]


@pytest.mark.slow
def test_a_run_stops_when_asked_and_keeps_its_checkpoint(cache: Path) -> None:
    folder = new(ENDLESS)
    process = start(folder)
    eventually(lambda: at_epoch(folder, 1))
    asked = time.time()
    rundir.ask(folder, "stop")
    assert process.wait(60) == 0
    status = rundir.read_status(folder)
    assert status.state == "stopped"
    assert status.reason.startswith("Stopped by the user at epoch")
    # By its own record. 20 yields a second: a stop that waits for an epoch or more would not make it.
    assert status.ended_at - asked < 5
    saved = checkpoints.load_state(folder / "checkpoints" / "last.safetensors")
    assert saved["step"] >= 3
    assert evaluation.load_model(folder).weights == "best"
    assert not (folder / "predictions.parquet").exists()


@pytest.mark.slow
def test_a_terminated_run_is_stopped_and_resumes(cache: Path) -> None:
    folder = new(SLOWLY)
    process = start(folder)
    eventually(lambda: at_epoch(folder, 2))
    process.terminate()
    assert process.wait(60) == 0
    assert state(folder) == "stopped"
    assert run(folder) == 0
    whole = new(FEW)
    assert run(whole) == 0
    assert curve(folder) == curve(whole)


@pytest.mark.slow
def test_a_run_that_diverges_says_so(cache: Path) -> None:
    folder = new({"learning_rate": 100.0, "epochs": 1000})
    assert run(folder) == 1
    status = rundir.read_status(folder)
    assert status.state == "diverged"
    assert "try a smaller learning rate" in status.reason


@pytest.mark.slow
def test_a_full_disk_does_not_damage_what_was_written(cache: Path) -> None:
    """A limit on the size of files stands in for it: the log cannot grow past 20 kB."""
    folder = new(FEW | {"epochs": 40})
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom core import runner\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\nsys.exit(runner.main(Path(sys.argv[1])))"
    )
    with open(os.devnull, "w") as nowhere:
        process = subprocess.run([sys.executable, "-c", script, str(folder)], stderr=nowhere, timeout=240)
    assert process.returncode != 0
    assert rundir.read_status(folder).is_finished
    before = rundir.read_events(folder)[0]
    assert [event["n"] for event in before] == list(range(1, len(before) + 1))
    assert run(folder) == 0  # with room again
    after = rundir.read_events(folder)[0]
    assert after[: len(before)] == before
    whole = new(FEW | {"epochs": 40})
    assert run(whole) == 0
    assert curve(folder) == curve(whole)


def test_the_stand_ins_module_is_what_the_runner_loads() -> None:
    assert isinstance(runner.load_trainer("toy"), ModuleType)
    with pytest.raises(ValueError, match="There is no trainer 'nothing'"):
        runner.load_trainer("nothing")


def test_the_time_of_a_resumed_run_counts_all_its_lives(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new(FEW)
    stand_in(killing((0, 8), {}, folder), monkeypatch)
    with pytest.raises(Killed):
        runner.main(folder)
    last = folder / "checkpoints" / "last.safetensors"
    saved = checkpoints.load_state(last)
    assert 0 < saved["seconds"] < 1000
    checkpoints.save_state(last, saved | {"seconds": 1000.0})
    stand_in(killing((-1, -1), {}, folder), monkeypatch)
    assert runner.main(folder) == 0
    (summary,) = events(folder, "summary")
    assert summary["seconds"] > 1000
    (rows,) = {event["train_rows"] for event in events(folder, "data")}
    assert summary["items_per_s"] == pytest.approx(rows * summary["epochs"] / summary["seconds"])
