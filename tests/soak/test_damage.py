"""Files that were torn, cut or flipped: told, left out or made anew; what is whole goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import boards, checkpoints, datasets, evaluation, ingest, rundir, runner, steering
from core.store import Store, default_store, memory_store
from tests import made_runs
from tests.unit.test_rundir import spec
from tests.unit.test_store import finished

FLIPS_PER_FILE = 16

NESTED = b'{"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
"""JSON that is deeper than any reader goes."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two whole runs, one of them steered."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARSHOT_CACHE", str(folder))
        patch.setenv("EARSHOT_STARTER", str(folder / "no-starter"))
        toy = datasets.load("toy", "emotion")
        made_runs.finished("toy", toy, {"epochs": 2})
        steered = made_runs.new("toy", toy, {"epochs": 2}, seed=1)
        rundir.ask(steered, "changes", values={"learning_rate": 0.05})
        made_runs.go(steered, toy)
    return folder


@pytest.fixture
def pair(cache: Path, made: Path) -> tuple[Path, Path]:
    """The run that is damaged, and the other."""
    shutil.copytree(made, cache, dirs_exist_ok=True)
    good, bad = sorted(rundir.directories(), key=lambda folder: rundir.read_spec(folder).seed)
    return bad, good


def damages(blob: bytes) -> Iterator[bytes]:
    """Bits flipped all over the file, bytes overwritten, and the file cut."""
    random = np.random.default_rng(len(blob))
    for place in np.linspace(0, len(blob) - 1, FLIPS_PER_FILE).astype(int):
        flipped = bytearray(blob)
        flipped[place] ^= 1 << int(random.integers(8))
        yield bytes(flipped)
    for place in random.integers(0, len(blob), 6):
        yield blob[:place] + bytes(random.integers(0, 256, 4, np.uint8)) + blob[place + 4 :]
    for place in random.integers(0, len(blob), 4):
        yield blob[:place]
    yield b""
    yield NESTED


def read_everything(folder: Path) -> None:
    """All that a page or the lab asks of a run; a damaged one may answer with ValueError, and with nothing else."""
    rundir.read_status(folder)
    events, _ = rundir.read_events(folder)
    steering.changes_of(events)
    rundir.wishes(folder)
    checkpoints.stored(folder)
    checkpoints.full_states(folder)
    try:
        known = rundir.read_spec(folder)
        steering.knobs_at(known, events, 5)
        assert known.config_id
        evaluation.load_model(folder)
    except ValueError:
        pass


FILES = (
    "spec.json", "status.json", "events.jsonl", "evaluations/toy-grouped_0.json", "checkpoints/last.safetensors",
    "checkpoints/final.safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_damage_in_one_run_leaves_the_other_whole(pair: tuple[Path, Path], name: str) -> None:
    bad, good = pair
    whole = memory_store()
    expected = [whole.curves([good.name]), whole.scores([good.name])]
    path = bad / name
    blob = path.read_bytes()
    told = looked = 0
    for number, damaged in enumerate(damages(blob)):
        path.write_bytes(damaged)
        read_everything(bad)
        if path.suffix == ".safetensors" or number % 5:
            continue
        looked += 1
        store = memory_store()
        for now, before in zip([store.curves([good.name]), store.scores([good.name])], expected, strict=True):
            assert now.equals(before)
        is_listed = bad.name in set(store.runs()["run"])
        if not is_listed:
            assert bad.name in store.note  # it is never just gone
        told += bool(store.note) or rundir.read_status(bad).state == "failed"
    if path.suffix != ".safetensors":
        assert told > looked / 4  # what cannot be read is said; a digit that became another cannot be known


@pytest.mark.parametrize("name", ["spec.json", "status.json", "events.jsonl", "evaluations/toy-grouped_0.json"])
@pytest.mark.parametrize("kind", ["nested", "directory"])
def test_what_cannot_be_read_at_all_leaves_the_other_whole(pair: tuple[Path, Path], name: str, kind: str) -> None:
    bad, good = pair
    (bad / name).unlink()
    (bad / name).mkdir() if kind == "directory" else (bad / name).write_bytes(NESTED)
    wish = bad / "control" / f"{1:020d}-stop.json"
    wish.mkdir() if kind == "directory" else wish.write_bytes(NESTED)
    store = memory_store()
    assert len(store.curves([good.name])) and rundir.wishes(bad) == []
    assert bad.name in store.note or rundir.read_status(bad).state == "failed"


def test_a_run_goes_on_from_any_damage_of_its_log_and_checkpoint(pair: tuple[Path, Path]) -> None:
    bad, _ = pair
    log, last = bad / "events.jsonl", bad / "checkpoints" / "last.safetensors"
    for path in (log, last, last.with_stem("best")):
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + b"\x00\xff\x13" + whole[middle + 3 :])
    last.with_stem("state-0002").unlink()  # what `last` was
    made_runs.go(bad, datasets.load("toy", "emotion"))
    assert rundir.read_status(bad).state == "done"
    damaged = [event["file"] for event in rundir.read_events(bad)[0] if event["kind"] == "damaged"]
    assert damaged[0] == "last.safetensors" and set(damaged) <= {"last.safetensors", "best.safetensors"}
    checkpoints.load_state(last)  # made anew
    aside = last.with_name("last.safetensors.broken").read_bytes()
    assert aside[len(aside) // 2 :][:3] == b"\x00\xff\x13"  # and what was damaged can still be looked at


def test_a_run_without_any_whole_checkpoint_does_not_begin_anew(pair: tuple[Path, Path]) -> None:
    bad, _ = pair
    full = [path for path in (bad / "checkpoints").iterdir() if path.name.startswith(checkpoints.FULL)]
    for path in full:
        path.write_bytes(path.read_bytes()[:-3] + b"\x00\xff\x13")
    for says in ("cannot be read", "No checkpoint from which run"):  # and a second try finds them moved aside
        made_runs.go(bad, datasets.load("toy", "emotion"))
        status = rundir.read_status(bad)
        assert status.state == "failed" and says in status.reason
    assert checkpoints.broken_states(bad) == sorted(f"{path.name}.broken" for path in full)
    assert checkpoints.full_states(bad) == []


def test_a_flipped_header_is_no_crash(pair: tuple[Path, Path]) -> None:
    """A checkpoint whose scalars can be read, but are not those of a checkpoint."""
    bad, _ = pair
    last = bad / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes().replace(b'\\"step\\"', b'\\"stdp\\"'))
    assert checkpoints.full_states(bad)[0] == last
    writer = rundir.Writer(bad)
    found = runner.Run(bad, writer).newest_checkpoint()
    writer.close()
    assert found is not None and found["epoch"] >= 1


@pytest.mark.parametrize("which", ["file", "wal"])
def test_a_damaged_index_is_made_anew(cache: Path, which: str) -> None:
    """Damage all over the file: whether it is seen at once or by a later question, the answer is the true one."""
    for seed in range(3):
        finished(f"run-{seed}", 0.5 + 0.1 * seed, 0.4, seed=seed)
    kept = cache / "whole"
    kept.mkdir()
    if which == "file":
        store = default_store()
        store.sync()
        store.close()
    else:  # a process that was killed leaves its log of changes
        script = (
            "import os, signal\nfrom core.store import default_store\nstore = default_store()\nstore.sync()\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        subprocess.run([sys.executable, "-c", script], timeout=120)
        assert (cache / "index.duckdb.wal").exists()
    for path in cache.glob("index.*"):
        path.rename(kept / path.name)
    expected = boards.table(memory_store(), "emotion")
    path = cache / ("index.duckdb" if which == "file" else "index.duckdb.wal")
    noticed = 0
    blob = (kept / path.name).read_bytes()
    for damaged in list(damages(blob))[::5]:
        for old in cache.glob("index.*"):
            old.unlink()
        for whole in kept.iterdir():
            shutil.copy(whole, cache)
        path.write_bytes(damaged)
        store = default_store()
        store.sync()
        pd.testing.assert_frame_equal(boards.table(store, "emotion"), expected)
        assert len(store.query("FROM events")) and len(store.query("FROM metrics"))
        noticed += "now index.broken" in store.note
        store.close()
    assert noticed >= 1


def test_a_run_that_cannot_be_read_is_told(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    bad = finished("run-b", 0.5, 0.4, seed=1)
    store = Store()
    store.sync()
    assert (store.note, len(store.runs())) == ("", 2)
    text = (bad / "spec.json").read_text()
    (bad / "spec.json").unlink()
    rundir.write_json(bad / "evaluations" / "b.json", {})  # so that it is looked at again
    store.sync()
    assert "Run run-b has no readable spec.json" in store.note
    assert list(store.runs()["run"]) == ["run-a"]
    (bad / "spec.json").write_text(text)
    store.sync()
    assert len(store.runs()) == 2
    (bad / "events.jsonl").unlink()
    store.sync()
    assert "Run run-b has no readable events.jsonl" in store.note
    shutil.rmtree(bad)
    store.sync()
    assert store.note == ""


def test_lines_that_cannot_be_read_are_counted(cache: Path) -> None:
    folder = finished("run-a", 0.5, 0.4)
    number = b'{"n": 50, "t": 1.0, "kind": "metrics", "step": 5, "epoch": '
    with (folder / "events.jsonl").open("ab") as log:
        log.write(number + b'1.0, "values": {"a": 1\n' + number + b'1.0, "values": {"\xff": 1}}\n' + b"{}\n")
    store = memory_store()
    assert store.note == "3 parts of run run-a cannot be read and are left out; the rest is shown."
    assert store.curves(["run-a"])["step"].tolist() == [3, 3]


def test_a_run_of_a_newer_version_is_shown_but_not_run(cache: Path) -> None:
    folder = finished("run-a", 0.5, 0.4)
    raw = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(raw | {"format": 99, "from_the_future": [1]}))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"mood": "calm"}))
    store = memory_store()
    assert (list(store.runs()["run"]), store.note) == (["run-a"], "")
    before = (folder / "checkpoints").stat().st_mtime_ns
    made_runs.go(folder, datasets.load("toy", "emotion"))
    said = rundir.read_status(folder)
    assert said.state == "failed"
    assert said.reason == (
        "Run run-a was made by a newer Earshot (format 99, this one knows 1): it can be looked at here, but not run; "
        "update first."
    )
    assert (folder / "checkpoints").stat().st_mtime_ns == before


def test_a_resting_run_in_no_queue_is_looked_at_again(cache: Path) -> None:
    """ "lost" comes to a waiting run without any change of its files, so the index must not rest on them."""
    assert "queued" not in ingest.RESTING
    rundir.create(spec("run-a"))
    assert memory_store().runs()["state"].tolist() == ["queued"]
