"""The queue: a folder of files `cache/queue/<position>-<run>`; whoever removes the file owns the run's start.

A file holds the EARSHOT_DATA of whoever asked: the supervisor may have been started by an app that knew another one, or
none. Callers reach this through core/supervisor.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from core import disk, paths, rundir, sweepflags


def queue() -> Path:
    """The folder of the queue."""
    folder = paths.cache() / "queue"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def queueing() -> Iterator[None]:
    """Held while several runs enter the queue, and while one is taken: a group must not start by halves."""
    with (paths.cache() / "queue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def enqueue_all(folders: Sequence[Path]) -> None:
    """Queue runs that exist, in this order, all at once; wakes nobody. One that waits or is at work already is passed
    over: two who ask at one moment must not start it twice."""
    data_folder, place = str(paths.data() or ""), queue()
    with queueing():
        names = [name for name in os.listdir(place) if name[0].isdigit()]
        last = max((int(name.partition("-")[0]) for name in names), default=0)
        there = {name.partition("-")[2] for name in names}
        first = max(time.time_ns(), last + 1)  # last in the queue, also where the clock was set back
        for number, folder in enumerate(folders):
            status = rundir.read_status(folder)
            if folder.name in there or (status.state in rundir.ACTIVE and not status.is_finished):
                continue
            making = place.parent / f".queueing-{folder.name}.{os.getpid()}"  # appears in the queue complete
            try:
                disk.replace(making, data_folder.encode())
                if status.state != "queued" or status.reason:
                    status = replace(status, state="queued", reason="", pid=0, ended_at=0.0, heartbeat=time.time())
                    rundir.set_status(folder, status)
                os.replace(making, place / f"{first + number * 1000:020d}-{folder.name}")
            finally:
                making.unlink(missing_ok=True)


def take_up(folder: Path, sweep: str) -> bool:
    """Queue a run of a sweep whose process was killed, from its last checkpoint; whether it is.

    Once in the life of a run, said as an event: what kills a process may do so every time. Not where the sweep is
    paused or cancelled; the user may always resume it. Raises OSError where the disk is full: the run is as it was.
    """
    if not sweep or any(sweepflags.has(sweep, flag) for flag in ("paused", "cancelled")):
        return False
    status = rundir.read_status(folder)
    if status.state != "lost" or any(event["kind"] == "taken_up" for event in rundir.read_events(folder)[0]):
        return False
    try:
        writer = rundir.Writer(folder, begins=False)
    except ValueError:  # someone resumed it just now
        return False
    try:
        writer.event("taken_up", reason="Its process was killed; its sweep goes on with it from its last checkpoint.")
        enqueue_all([folder])
    except OSError:
        writer.take_back()
        raise
    finally:
        writer.close()
    return True


def hold(markers: Sequence[str]) -> dict[str, Path]:
    """Take these out of the queue for whoever starts them: marker → its file, which can be put back without room.

    One that was taken out by somebody else just now is left out.
    """
    held = {}
    for marker in markers:
        place = paths.cache() / f".starting-{marker}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(queue() / marker, place)
            held[marker] = place
    return held


def put_back(held: dict[str, Path]) -> None:
    """Give these their places in the queue again."""
    for marker, place in held.items():
        os.rename(place, queue() / marker)


def claim(folder: Path) -> bool:
    """Take a run out of the queue; True for exactly one caller."""
    for marker in queue().glob(f"*-{folder.name}"):
        try:
            marker.unlink()
            return True
        except FileNotFoundError:
            continue
    return False


def waiting() -> list[str]:
    """The runs in the queue, first come first."""
    return [name.partition("-")[2] for name in sorted(os.listdir(queue())) if name[0] != "."]


def position(folder: Path) -> int:
    """How many runs stand before this one in the queue; 0 where it does not wait."""
    names = waiting()
    return names.index(folder.name) if folder.name in names else 0


def look_again() -> None:
    """Let the supervisor see that runs which could not start may start now (their sweep goes on)."""
    os.utime(queue())
