"""One per cache: starts queued runs, one slot per device, watches them, ends those that do not stop. Never trains.

    python -m core.supervisor

The queue is a folder of files `cache/queue/<position>-<run>`; whoever removes the file owns the run's start. A file
holds the EARSHOT_DATA of whoever asked: the supervisor may have been started by an app that knew another one, or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from core import disk, paths, rundir
from core.executors import local
from core.machine import devices, resolve_device

__all__ = ["devices", "resolve_device"]  # of core/machine.py, said from here

TICK_S = 0.2
IDLE_S = 120.0
TERMINATE_AFTER_S, KILL_AFTER_S = 5.0, 10.0


def queue() -> Path:
    """The folder of the queue."""
    folder = paths.cache() / "queue"
    folder.mkdir(exist_ok=True)
    return folder


def new_spec(
    trainer: ModuleType,
    values: dict[str, Any],
    *,
    data: str,
    split: str | None = None,
    seed: int = 0,
    device: str = "auto",
    parent: str | None = None,
) -> rundir.Spec:
    """The spec of a new run from what a form or a command line says (core/specs.py).

    Raises ValueError for anything a user could get wrong: a knob, the data set's name, the split, the device, a run
    used as input that is not there or saw what this one is judged by.
    """
    from core import specs  # pandas comes with it; the supervisor's own loop does not need that

    return specs.make(specs.prepare(trainer, data=data, split=split, device=device), values, seed=seed, parent=parent)


def submit(spec: rundir.Spec) -> Path:
    """Create the run, queue it, and see to it that a supervisor is there. Returns the run's directory."""
    folder = rundir.create(spec)
    enqueue(folder)
    return folder


def enqueue(folder: Path) -> None:
    """Queue a run that exists (new, or to be resumed), and wake a supervisor."""
    enqueue_all([folder])
    local.start_supervisor()


@contextlib.contextmanager
def queueing() -> Iterator[None]:
    """Held while several runs enter the queue, and while one is taken: a group must not start by halves."""
    with (paths.cache() / "queue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def enqueue_all(folders: Sequence[Path]) -> None:
    """Queue runs that exist, in this order, all at once; wakes nobody."""
    data_folder, place = str(paths.data() or ""), queue()
    with queueing():
        last = max((int(name.partition("-")[0]) for name in os.listdir(place) if name[0].isdigit()), default=0)
        first = max(time.time_ns(), last + 1)  # last in the queue, also where the clock was set back
        for number, folder in enumerate(folders):
            making = place.parent / f".queueing-{folder.name}"  # appears in the queue complete
            making.write_text(data_folder)
            status = rundir.read_status(folder)
            if status.state != "queued" or status.reason:
                status = replace(status, state="queued", reason="", ended_at=0.0, heartbeat=time.time())
                rundir.set_status(folder, status)
            os.replace(making, place / f"{first + number * 1000:020d}-{folder.name}")


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


def press(
    folder: Path, status: rundir.Status, told: set[tuple[str, int]], asked: dict[str, float] | None = None
) -> None:
    """Signal a run that does not stop when asked: SIGTERM after 5 s, SIGKILL after 10; `told` keeps each to one.

    `asked` keeps when each was first seen to be asked (s, monotonic): the clock may have been set back since.
    """
    at = rundir.stop_asked_at(folder)
    seen = time.monotonic() if asked is None or not at else asked.setdefault(folder.name, time.monotonic())
    waited = max(time.time() - at, time.monotonic() - seen) if at else 0.0
    is_here = status.state in rundir.ACTIVE and status.host == socket.gethostname()
    if waited > TERMINATE_AFTER_S and status.pid and is_here:
        number = signal.SIGKILL if waited > KILL_AFTER_S else signal.SIGTERM
        if (folder.name, number) not in told:
            told.add((folder.name, number))
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(status.pid, number)


def settle(folder: Path, status: rundir.Status, child: subprocess.Popen[bytes] | None) -> None:
    """Write the end of a run whose process could not: it was stopped by force, or it never came to start."""
    if rundir.stop_asked_at(folder) is not None and status.state in ("lost", "paused"):
        ended = replace(status, state="stopped", reason="Stopped by force; the last checkpoint stays.")
        rundir.set_status(folder, replace(ended, ended_at=time.time()))
    elif child is not None and (not status.is_finished or status.state == "lost") and status.pid in (0, child.pid):
        if status.pid and child.returncode < 0:
            return  # killed: "lost" says it
        how = "before it could start" if not status.pid else "and could not say why: the disk may have been full"
        reason = f"Its process ended (exit status {child.returncode}) {how}; see stdout.log."
        rundir.set_status(folder, replace(status, state="failed", reason=reason, ended_at=time.time()))


def ensure() -> None:
    """Start a supervisor where runs wait and none is at work (it was killed, say)."""
    if not any(queue().iterdir()):
        return
    with (paths.cache() / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    local.start_supervisor()


class _Supervisor:
    """Slots and the processes in them."""

    def __init__(self) -> None:
        self.running: dict[str, Path] = {}
        self.devices: dict[str, str] = {}  # kept here: the directory may be deleted while the run goes on
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.told: set[tuple[str, int]] = set()
        self.asked: dict[str, float] = {}
        self.last_work = time.monotonic()
        for folder in rundir.directories():  # runs that a supervisor before this one started
            status = rundir.read_status(folder)
            if folder.parent == paths.runs() and status.state in rundir.ACTIVE and not status.is_finished:
                with contextlib.suppress(ValueError):
                    self.devices[folder.name] = rundir.read_spec(folder).device
                    self.running[folder.name] = folder

    def tick(self) -> bool:
        """One round: see who ended, who should have stopped, who may start. False when idle for long."""
        for name, folder in list(self.running.items()):
            self.watch(name, folder)
        for marker in sorted(queue().iterdir()):
            self.consider(marker)
        if self.running or any(queue().iterdir()):
            self.last_work = time.monotonic()
        return time.monotonic() - self.last_work < IDLE_S

    def watch(self, name: str, folder: Path) -> None:
        """Forget a run that ended; press one that was asked to stop and does not."""
        child = self.children.get(name)
        status = rundir.read_status(folder)
        if (child is not None and child.poll() is not None) or (child is None and status.is_finished):
            settle(folder, status, child)  # raises where the disk is full: again in the next round
            self.running.pop(name)
            self.children.pop(name, None)
            self.asked.pop(name, None)
            return
        press(folder, status, self.told, self.asked)

    def consider(self, marker: Path) -> None:
        """Start a queued run if its device is free."""
        folder = paths.runs() / marker.name.partition("-")[2]
        try:
            device = rundir.read_spec(folder).device
        except ValueError as error:  # damaged, or deleted while it waited
            marker.unlink(missing_ok=True)
            if folder.is_dir():
                rundir.set_status(folder, rundir.Status("failed", reason=str(error), ended_at=time.time()))
            return
        try:
            data_folder = marker.read_text()
        except FileNotFoundError:  # taken out of the queue just now
            return
        if device in self.taken() or not claim(folder):
            return
        # Said before it is so: should this process end here, the run turns "lost" and can be resumed.
        status = replace(rundir.read_status(folder), state="starting", pid=0, heartbeat=time.time())
        try:
            rundir.set_status(folder, status)
        except OSError:
            marker.write_text(data_folder)  # it waits on, for room on the disk
            raise
        self.running[folder.name] = folder
        self.devices[folder.name] = device
        self.children[folder.name] = local.start(folder, data_folder)

    def taken(self) -> set[str]:
        """Devices in use."""
        return {self.devices[name] for name in self.running}


def _tick(supervisor: _Supervisor) -> bool:
    """One round; where the disk is full it is tried again in the next, when there may be room."""
    try:
        return supervisor.tick()
    except OSError as error:
        if not disk.is_full(error):
            raise
        return True


def main() -> None:
    """Supervise the cache until there was nothing to do for a while."""
    with (paths.cache() / "supervisor.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another one is at work
            supervisor = _Supervisor()
            while _tick(supervisor):
                time.sleep(TICK_S)
            fcntl.flock(lock, fcntl.LOCK_UN)
            if not any(queue().iterdir()):  # a run queued while this one still held the lock had nobody else
                return


if __name__ == "__main__":
    main()
