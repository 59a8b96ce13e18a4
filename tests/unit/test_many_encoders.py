"""The encoder in a group of runs, from idx files to scores: killed, diverging, stopped, paused."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainers
from core import boards, many, rundir, runner, specs, sweepflags
from core.datasets import _digits
from core.store import memory_store
from tests.conftest import eventually
from tests.soak.forked import Forked
from tests.unit.test_digits import idx
from tests.unit.test_many import state, told
from tests.unit.test_sweeps import train

KNOBS = [
    {"optimizer": "sgd", "learning_rate": 0.01},
    {"optimizer": "adam", "learning_rate": 0.01},
    {"optimizer": "momentum", "learning_rate": 0.001},
]
SMALL = {"hidden_units": 16, "batch_size": 32, "epochs": 3}
SWEEP = "20260101-000000-encoders"


@pytest.fixture(autouse=True)
def digits(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """192 and 40 pictures of ten blurred templates; whole batches, so that company changes no digit."""
    random = np.random.default_rng(0)
    templates = random.integers(0, 200, size=(10, 28, 28))
    raw = tmp_path / "data" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 192), ("test", 40)):
        labels = np.arange(n) % 10
        pictures = templates[labels] + random.integers(0, 55, size=(n, 28, 28))
        for name, array in zip(_digits.FILES[part], (pictures, labels), strict=True):
            (raw / name).write_bytes(idx(array))
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))


def group(prefix: str, knobs: list[dict[str, Any]] = KNOBS, **more: Any) -> list[Path]:
    ground = specs.prepare(trainers.load("implicit_em"), data="mnist", split="whole", device="cpu")
    made = [specs.make(ground, SMALL | one | more, seed=n) for n, one in enumerate(knobs)]
    named = [replace(spec, id=f"{prefix}-{n}", together=prefix, sweep=SWEEP) for n, spec in enumerate(made)]
    return [rundir.create(spec) for spec in named]


@pytest.mark.parametrize(("victim", "epoch"), [(1, 2), (0, 1)])
def test_killed_and_resumed_together_nothing_differs(cache: Path, victim: int, epoch: int) -> None:
    whole, killed = group("whole"), group("killed")

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
    assert train(killed) == train(whole) == 0
    assert [told(folder) for folder in killed] == [told(folder) for folder in whole]
    last = dict(((name, step), value) for (step, name), value in told(whole[1])[0])
    assert last["test/accuracy", 18] > 0.9  # and it learned: the templates are easily told apart
    rows = boards.table(memory_store(), "digits", split="whole")
    rows = rows[rows["kind"] == "configuration"]
    assert len(rows) == 3 and rows["rank"].isna().all() and rows["test"].gt(0.5).all()
    assert set(rows["note"]) == {"no validation part, not ranked"}


def test_what_diverges_or_is_stopped_leaves_alone(cache: Path) -> None:
    """Weights that every step multiplies by −9 are no numbers any more after some twenty steps."""
    bad = {"optimizer": "sgd", "learning_rate": 10.0, "weight_decay": 1.0}
    whole, hurt = group("whole", epochs=8), group("hurt", [*KNOBS, bad], epochs=8)
    rundir.ask(hurt[2], "stop")
    assert train(hurt) == 1 and train(whole) == 0
    assert [state(folder) for folder in hurt] == ["done", "done", "stopped", "diverged"]
    assert "try a smaller learning rate" in rundir.read_status(hurt[3]).reason
    assert [told(folder) for folder in hurt[:2]] == [told(folder) for folder in whole[:2]]


def test_all_pause_and_go_on_with_their_sweep(cache: Path) -> None:
    whole, held = group("whole"), group("held")
    (sweepflags.root() / SWEEP).mkdir()
    sweepflags.set_flag(SWEEP, "paused", True)
    seen: list[str] = []

    def let_go() -> None:
        eventually(lambda: [state(folder) for folder in held] == ["paused"] * 3)
        seen.extend(state(folder) for folder in held)
        sweepflags.set_flag(SWEEP, "paused", False)

    watcher = threading.Thread(target=let_go)
    watcher.start()
    assert train(held) == 0
    watcher.join()
    assert seen == ["paused"] * 3 and train(whole) == 0
    assert [told(folder) for folder in held] == [told(folder) for folder in whole]
