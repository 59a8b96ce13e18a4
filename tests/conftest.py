"""What all tests share: a cache of their own, and a way to wait for something instead of for a while."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from core import disk

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores, and several processes per test

T = TypeVar("T")


def eventually(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """What `condition` returns once that is true; fails with its last value after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds:g} s: {condition} is still {value!r}"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def sigterm_ends_children() -> None:
    """A run driven in this process leaves SIGTERM ignored, and the children of later tests would inherit that."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache without starter runs; whatever process works in it at the end is killed."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("EARSHOT_CACHE", str(folder))
    monkeypatch.setenv("EARSHOT_STARTER", str(tmp_path / "no-starter"))
    yield folder
    left = processes_of(folder)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=30)


def processes_of(cache: Path, module: str = "") -> list[psutil.Process]:
    """The supervisors and runners (or those of one module, "core.runner") that work in `cache`."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if "-m" not in line or not set(line) & {"core.supervisor", "core.runner", "core.many", "core.sweeper"}:
                continue
            is_here = process.environ().get("EARSHOT_CACHE") == str(cache.resolve())
            if is_here and (not module or module in line) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def lab(cache: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `lab.py` with these words in a process of its own, in the test's cache."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "EARSHOT_DATA"} | more
        return subprocess.run(
            [sys.executable, "lab.py", *words], capture_output=True, text=True, timeout=240, env=environment
        )

    return run


def full_at(number: int, stays: bool) -> Callable[..., None]:
    """In place of `disk.write`: the write of that number, from 0, finds no room, and where it `stays` all after it."""
    left, write = iter(range(99)), disk.write

    def full(handle: int, data: bytes) -> None:
        now = next(left)
        if now == number or (stays and now > number):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(handle, data)

    return full
