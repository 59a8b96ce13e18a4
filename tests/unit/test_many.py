"""Several runs in one process: each is what it is alone, and what ends one does not touch the others."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trainers
from core import checkpoints, control, many, rundir, runner, supervisor
from core.executors import local
from tests.soak.forked import Forked
from tests.soak.undisturbed import arrays
from tests.unit.test_sweeps import train

KNOBS = [{"learning_rate": 0.02}, {"learning_rate": 0.2, "momentum": 0.5}, {"learning_rate": 0.05, "dropout": 0.2}]


def make(name: str, values: dict[str, Any], seed: int, together: str = "group") -> Path:
    spec = supervisor.new_spec(trainers.load("toy"), {"epochs": 6} | values, data="toy", seed=seed)
    return rundir.create(replace(spec, id=name, together=together))


def group(prefix: str, **more: Any) -> list[Path]:
    return [make(f"{prefix}-{n}", values | more, seed=n) for n, values in enumerate(KNOBS)]


def told(folder: Path) -> tuple[list[tuple], dict[str, bytes]]:
    """Its numbers by step, the last word counting, and its final weights."""
    numbers: dict[tuple[int, str], float] = {}
    for event in rundir.read_events(folder)[0]:
        if event["kind"] == "metrics":
            numbers |= {(event["step"], name): value for name, value in event["values"].items()}
    model = checkpoints.load_state(folder / "checkpoints" / "final.safetensors")["model"]
    return sorted(numbers.items()), {name: array.tobytes() for name, array in arrays(model).items()}


def state(folder: Path) -> str:
    return rundir.read_status(folder).state


def test_each_is_what_it_is_alone(cache: Path) -> None:
    together = group("many")
    assert train(together) == 0
    for folder, values, n in zip(together, KNOBS, range(3), strict=True):
        alone = make(f"alone-{n}", values, seed=n, together="")
        runner.main(alone)
        assert told(folder) == told(alone)
    summary = next(e for e in rundir.read_events(together[0])[0] if e["kind"] == "summary")
    assert (summary["seconds"], summary["together"]) == (None, 3) and summary["seconds_together"] > 0
    assert not list(cache.rglob("before.previous"))


@pytest.mark.parametrize(("victim", "epoch"), [(1, 4), (0, 3), (2, 1), (0, 1)])
def test_killed_between_two_checkpoints_all_go_on_as_if_nothing_had_been(cache: Path, victim: int, epoch: int) -> None:
    whole, killed = group("whole"), group("killed")
    train(whole)

    def die_there() -> int:
        keep = runner.Run.keep

        def kept(run: runner.Run, *rest: Any) -> None:
            if run.folder.name == f"killed-{victim}" and run.epoch == epoch:
                os._exit(9)
            keep(run, *rest)

        runner.Run.keep = kept  # type: ignore[method-assign]
        return many.main(killed)

    assert Forked(die_there).wait() == 9
    assert [state(folder) for folder in killed] == ["lost"] * 3
    assert train(killed) == 0
    assert [told(folder) for folder in killed] == [told(folder) for folder in whole]
    back = [[e["to_step"] for e in rundir.read_events(f)[0] if e["kind"] == "rewound"] for f in killed]
    assert len({step for steps in back for step in steps}) == 1  # in the same company, from the same step on


def test_one_that_diverges_or_stops_leaves_the_others_alone(cache: Path) -> None:
    whole, hurt = group("whole", epochs=60), group("hurt", epochs=60)
    bad = make("hurt-bad", {"learning_rate": 100.0, "epochs": 60}, seed=9)
    rundir.ask(hurt[1], "stop")
    train(whole)
    assert train([hurt[0], bad, hurt[1], hurt[2]]) == 1
    assert [state(folder) for folder in (hurt[0], bad, hurt[1], hurt[2])] == ["done", "diverged", "stopped", "done"]
    assert "try a smaller learning rate" in rundir.read_status(bad).reason
    assert [told(hurt[n]) for n in (0, 2)] == [told(whole[n]) for n in (0, 2)]


def test_a_wish_is_for_one(cache: Path) -> None:
    folders = group("wish")
    rundir.ask(folders[1], "changes", values={"learning_rate": 0.5})
    train(folders)
    changed = [[e["values"] for e in rundir.read_events(f)[0] if e["kind"] == "changed"] for f in folders]
    assert changed == [[], [{"learning_rate": [0.2, 0.5]}], []]


def test_one_that_is_paused_leaves_and_goes_on_later(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    whole, folders = group("whole"), group("left")
    rundir.ask(folders[1], "pause")
    train(whole)
    train(folders)
    assert [state(folder) for folder in folders] == ["done", "paused", "done"]
    assert rundir.read_status(folders[1]).is_finished
    control.resume(folders[1])
    assert supervisor.waiting() == ["left-1"]
    train([folders[1]])
    assert told(folders[1]) == told(whole[1])


def test_those_behind_catch_up_and_then_all_train_as_one(cache: Path) -> None:
    whole, apart = group("whole"), group("apart")
    train(whole)

    def ahead() -> int:
        def die(run: runner.Run, *rest: Any) -> None:
            keep(run, *rest)
            if run.epoch == 4:
                os._exit(9)

        keep, runner.Run.keep = runner.Run.keep, die  # type: ignore[method-assign]
        return many.main(apart[:1])

    assert Forked(ahead).wait() == 9
    assert train(apart) == 0
    assert [told(folder) for folder in apart] == [told(folder) for folder in whole]


def test_a_run_that_does_not_belong_fails_alone(cache: Path) -> None:
    folders = group("mixed")
    other = supervisor.new_spec(trainers.load("toy"), {"epochs": 6}, data="toy", split="grouped:1")
    stranger = rundir.create(replace(other, id="stranger"))
    assert train([*folders, stranger]) == 1
    assert [state(folder) for folder in (*folders, stranger)] == ["done", "done", "done", "failed"]
    assert "Runs that train together have one split" in rundir.read_status(stranger).reason
