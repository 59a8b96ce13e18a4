"""A disk without room: the run fails and says why, nothing is corrupted, and with room again it goes on."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import checkpoints, datasets, disk, rundir, runner, supervisor
from core.executors import local
from core.store import Store, memory_store
from tests import made_runs
from tests.soak.forked import Forked, in_child
from tests.soak.undisturbed import undisturbed

pytestmark = pytest.mark.usefixtures("warm")
FEW = {"epochs": 4, "dropout": 0.3}
FULL = "The disk is full: free some space, then resume the run from its last checkpoint."


def new(epochs: int = 4) -> Path:
    return made_runs.new("toy", datasets.load("toy", "emotion"), FEW | {"epochs": epochs})


def go(folder: Path, before: Callable[[], Any] = lambda: None) -> int:
    """A runner in a process of its own, which does `before` first."""

    def work() -> int:
        before()
        return runner.main(folder)

    return Forked(work).wait()


def numbers(folder: Path) -> dict[tuple[int, str], float]:
    frame = memory_store().curves([folder.name])
    frame = frame[~frame["name"].str.startswith("test/")]
    return dict(zip(zip(frame["step"], frame["name"], strict=True), frame["value"], strict=True))


def check_whole(folder: Path) -> None:
    """Every line parses, every checkpoint loads, nothing half-written lies about."""
    lines = (folder / "events.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["n"] for line in lines] == list(range(1, len(lines) + 1))
    json.loads((folder / "status.json").read_bytes())
    for path in (folder / "checkpoints").glob("*.safetensors"):
        checkpoints.load_state(path)


def check_goes_on(folder: Path, before: bytes) -> None:
    """With room again the run ends as if nothing had been, and no acknowledged event is gone."""
    assert go(folder) == 0
    assert rundir.read_status(folder).state == "done"
    assert (folder / "events.jsonl").read_bytes().startswith(before)
    check_whole(folder)
    expected = in_child(lambda: undisturbed(folder, datasets.load("toy", "emotion"))[0])
    assert numbers(folder) == expected
    assert not [path.name for path in folder.rglob(".*")]


def fail_at(number: int, once: bool) -> Callable[[], None]:
    """From the write of this number on (or only there) there is no room; every third part of it still fits."""
    count, write = iter(range(10**9)), disk.write

    def full(handle: int, data: bytes) -> None:
        place = next(count)
        if place == number or (place > number and not once):
            write(handle, data[: len(data) // 3])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(handle, data)

    return lambda: setattr(disk, "write", full)


@pytest.mark.parametrize("number", [9, 14, 25])
def test_any_write_may_fail(cache: Path, number: int) -> None:
    """In the log, in the status, in a checkpoint: whichever write is the one of this number."""
    folder = new()
    code = go(folder, fail_at(number, once=True))
    status = rundir.read_status(folder)
    if code == 0:  # the heartbeat's own write: the next beat makes good for it
        assert status.state == "done"
        return
    assert (status.state, status.reason) == ("failed", FULL)
    assert rundir.read_events(folder)[0][-1]["state"] == "failed"
    check_whole(folder)
    check_goes_on(folder, (folder / "events.jsonl").read_bytes())


@pytest.mark.parametrize("number", [4, 20])
def test_a_disk_that_stays_full_leaves_what_was_there(cache: Path, number: int) -> None:
    folder = new()
    assert go(folder, fail_at(number, once=False)) != 0
    assert rundir.read_status(folder, now=2e9 + rundir.START_WITHIN_S).state in ("lost", "queued", "failed")
    check_whole(folder)
    check_goes_on(folder, (folder / "events.jsonl").read_bytes())


def test_a_limit_on_the_size_of_files_is_said(cache: Path) -> None:
    folder = new(40)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    assert go(folder, limit) == 1
    status = rundir.read_status(folder)
    assert (status.state, status.reason) == (
        "failed",
        "A file would exceed the size this system allows: raise the limit, then resume the run from its "
        "last checkpoint.",
    )
    check_whole(folder)
    check_goes_on(folder, (folder / "events.jsonl").read_bytes())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """A file that takes all the room but `leave` bytes."""
    ballast = place / "ballast"
    free = shutil.disk_usage(place).free - leave
    with ballast.open("wb") as file:
        file.write(bytes(max(free, 0)))
    return ballast


def test_a_disk_runs_full_and_is_freed(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = small_disk / "cache"
    cache.mkdir()
    monkeypatch.setenv("EARSHOT_CACHE", str(cache))
    monkeypatch.setenv("EARSHOT_STARTER", str(cache / "no-starter"))
    folder = new()
    ballast = fill(small_disk, leave=60_000)
    assert go(folder) == 1
    status = rundir.read_status(folder)
    assert (status.state, status.reason) == ("failed", FULL)
    check_whole(folder)
    before = (folder / "events.jsonl").read_bytes()
    ballast.unlink()
    check_goes_on(folder, before)


def test_an_index_without_room_is_kept_in_memory(small_disk: Path, cache: Path) -> None:
    go(new())
    place = small_disk / "index.duckdb"
    store = Store(place)
    fill(small_disk)
    for _ in range(3):
        go(new())
        store.sync()
    assert len(store.runs()) == 4
    assert "disk is full" in store.note or store.note == ""
    store.close()


def test_the_supervisor_outlives_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    monkeypatch.setattr(local, "start", lambda folder, *_: (started.append(folder), subprocess.Popen(["true"]))[1])
    folder = new()
    supervisor.enqueue(folder)
    watcher = supervisor._Supervisor()
    write = disk.write

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "write", full)
    assert supervisor._tick(watcher)
    assert (started, len(os.listdir(supervisor.queue()))) == ([], 1)  # it waits on
    monkeypatch.setattr(disk, "write", write)
    assert supervisor._tick(watcher)
    assert started == [folder]
