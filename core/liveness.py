"""Whether the process behind a status still lives. On this machine its process says so, elsewhere its beats do.

Clocks are believed last: one that was set back must neither bury a run that beats nor keep a dead one alive.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from pathlib import Path

import psutil

from core.records import Status

LOST_AFTER_S = 15.0
"""A run that has not beaten for so long counts as lost; the runner beats once a second."""

START_WITHIN_S = 90.0
"""Until its process has written its number, a starting run has this long: imports from a cold disk are slow."""

_seen: dict[str, tuple[tuple[int, float, int], float, bool]] = {}
"""Run directory → its last beat, when it was first seen here (s, monotonic), and whether it was seen to advance."""

_lock = threading.Lock()


def identity(pid: int) -> str:
    """A name for the process `pid` that no other has had since this machine was made, whatever its clock says.

    Empty where there is no such process, or on a system that counts no ticks since its start.
    """
    return _life(pid)[1]


def _life(pid: int) -> tuple[str, str]:
    """The state of a process (Z: a zombie, X: dead) and its identity; both empty without it, or without /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0].decode(), f"{_boot()}:{pid}:{fields[19].decode()}"
    except (OSError, IndexError):
        return "", ""


@functools.cache
def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def is_dead(folder: Path, status: Status, now: float | None = None) -> bool:
    """Whether the process of an active run is gone: seen to be on this machine, by its silence elsewhere.

    `now` is the clock's time, Unix seconds.
    """
    if status.pid and status.host == socket.gethostname():
        return not _is_process(status)
    patience_s = LOST_AFTER_S if status.pid else START_WITHIN_S
    return _is_silent(str(folder), status, time.time() if now is None else now, patience_s)


def _is_process(status: Status) -> bool:
    if status.process:  # a fifth of what psutil takes: of a sweep, a hundred runs and more are asked about at once
        state, found = _life(status.pid)
        return found == status.process and (state not in ("Z", "X") or _has_threads(status.pid))
    try:
        process = psutil.Process(status.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - status.pid_started) < 2.0  # by the clock: all that some systems offer
    except psutil.NoSuchProcess:
        return False


def _has_threads(pid: int) -> bool:
    """Whether threads of a process outlive its first one. Killed, it is a zombie from when that one is gone, and holds
    its files, the lock of its run among them, until the last is: short of time, they may take a moment to die."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:  # gone
        return False


def _is_silent(place: str, status: Status, now: float, patience_s: float) -> bool:
    """By its beats where two looks have shown them to advance or to rest; by the clock at a first look."""
    beat, moment = (status.beat, status.heartbeat, status.pid), time.monotonic()
    with _lock:
        last, since, has_advanced = _seen.get(place, (beat, moment, False))
        if last != beat:
            since, has_advanced = moment, True
        _seen[place] = (beat, since, has_advanced)
    if moment - since > patience_s:
        return True
    return not has_advanced and now - status.heartbeat > patience_s
