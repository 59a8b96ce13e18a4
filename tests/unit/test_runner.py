"""What the runner does where its files are damaged; whole runs are in tests/contract/test_runs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainers
from core import checkpoints, config, datasets, rundir, runner, supervisor
from core.datasets import splits
from tests import made_runs


def test_a_damaged_last_checkpoint_falls_back_to_the_best(cache: Path) -> None:
    folder = made_runs.finished("toy", datasets.load("toy", "emotion"), {"epochs": 4})
    last, best = (folder / "checkpoints" / f"{name}.safetensors" for name in ("last", "best"))
    whole = checkpoints.load_state(best)
    writer = rundir.Writer(folder)
    torn = last.read_bytes()[:-9]
    for path in (last, last.with_name("state-0004.safetensors")):  # two names of one file, where the disk has such
        path.write_bytes(torn)
    found = runner.Run(folder, writer).newest_checkpoint()
    assert found is not None and (found["step"], found["epoch"]) == (whole["step"], whole["epoch"])
    events, _ = rundir.read_events(folder)
    assert [event["file"] for event in events if event["kind"] == "damaged"] == [
        "last.safetensors",
        "state-0004.safetensors",
    ]
    (older,) = (folder / "checkpoints").glob("state-0003.*")
    best.write_bytes(b"")
    found = runner.Run(folder, writer).newest_checkpoint()
    assert found is not None and found["epoch"] == 3
    for path in older.parent.glob("state-*"):
        path.unlink()
    with pytest.raises(checkpoints.Damaged, match=r"best\.safetensors"):
        runner.Run(folder, writer).newest_checkpoint()
    writer.close()


@pytest.mark.parametrize(("split", "is_leaky"), [("random:0", True), ("grouped:0", False)])
def test_a_run_says_from_its_start_whether_its_split_leaks(cache: Path, split: str, is_leaky: bool) -> None:
    dataset = datasets.load("toy", "emotion")
    values = config.different_from_default(config.make(trainers.load("toy").Config, {"epochs": 1}))
    spec = supervisor.new_spec(trainers.load("toy"), values, data="toy", split=split, seed=0, device="cpu")
    folder = rundir.create(spec)
    writer = rundir.Writer(folder)
    runner.Run(folder, writer).fit_data(dataset, splits.assign(dataset, split))
    writer.close()
    (told,) = (event for event in rundir.read_events(folder)[0] if event["kind"] == "data")
    assert told["is_leaky"] is is_leaky
