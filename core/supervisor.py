"""One per cache: starts queued runs, watches them, ends those that do not stop. Never trains.

    python -m core.supervisor

Runs start while the shares they need of a device sum to one at most: one at a time, unless a sweep says otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from core import disk, leftovers, paths, rundir, sweepflags
from core.ending import press, settle
from core.executors import local
from core.machine import devices, free_memory, resolve_device
from core.waiting import claim, enqueue_all, hold, look_again, position, put_back, queue, queueing, take_up, waiting

__all__ = [  # of core/machine.py and core/waiting.py, said from here
    "claim",
    "devices",
    "enqueue_all",
    "look_again",
    "position",
    "queue",
    "queueing",
    "resolve_device",
    "take_up",
    "waiting",
]

TICK_S = 0.2
IDLE_S = 120.0
LOOK_AGAIN_S = 5.0
"""The queue is read again after so long even where nothing seems to have happened."""

LOOK_AT_GROUP_S = 2.0

MEMORY_TO_SPARE, MEMORY_LEFT = 0.25, 0.15
"""A paused run keeps its memory. It leaves the processor to others from when the first share of all memory is free, and
as long as the second is: what they take themselves must not be what turns it back."""

SCARCE = (*disk.FULL, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""No room on the disk, for a process, in memory, for an open file: there may be some in the next round."""


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


def ensure() -> None:
    """Start a supervisor where there is none, though runs wait, or a sweep looks for its next cells, or one was killed
    while it had processes."""
    if not any(queue().iterdir()) and not sweepflags.driven() and not paths.at_work().exists():
        return
    with (paths.cache() / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    local.start_supervisor()


@dataclass(frozen=True)
class _Need:
    """What a waiting run needs: `together` names the group it starts with."""

    device: str
    share: float
    together: str
    sweep: str


@dataclass
class _Slot:
    """A process at work and its runs: one, or a group that trains together. `child` is None where it was inherited.

    One that is paused leaves the processor to others while there is memory to spare; on a GPU it keeps its place.
    """

    folders: list[Path]
    need: _Need
    child: subprocess.Popen[bytes] | None = None
    looked_at: float = 0.0
    is_resting: bool = False


class _Supervisor:
    """Slots and the processes in them."""

    def __init__(self) -> None:
        self.running: dict[str, _Slot] = {}  # by the first run; kept here: directories may be deleted meanwhile
        self.told: set[tuple[str, int]] = set()
        self.asked: dict[str, float] = {}
        self.needs: dict[str, _Need | str] = {}  # of waiting runs; a sentence where a spec is damaged
        self.seen_queue, self.filled_at, self.drove_at = -1, 0.0, 0.0
        self.drivers: dict[str, subprocess.Popen[bytes]] = {}
        self.last_work = time.monotonic()
        groups: dict[tuple[str, int], _Slot] = {}
        for folder in rundir.directories():  # runs that a supervisor before this one started
            status = rundir.read_status(folder)
            if (
                folder.parent == paths.runs() and status.state == "lost"
            ):  # killed with that supervisor, or while none was
                need = _need(folder)
                if isinstance(need, _Need) and need.sweep:
                    settle(folder, status, None)
                    _take_up(folder, need.sweep)
            elif folder.parent == paths.runs() and status.state in rundir.ACTIVE and not status.is_finished:
                need = _need(folder)
                if isinstance(need, _Need):
                    key = (need.together or folder.name, status.pid)
                    groups.setdefault(key, _Slot([], need)).folders.append(folder)
        self.running = {slot.folders[0].name: slot for slot in groups.values()}

    def tick(self) -> bool:
        """One round: see who ended, who should have stopped, who may start. False when idle for long."""
        for name, slot in list(self.running.items()):
            self.watch(name, slot)
        self.fill()
        is_driven = self.drive()
        if not self.running:
            paths.at_work().unlink(missing_ok=True)
        if self.running or is_driven or self.needs:
            self.last_work = time.monotonic()
        return time.monotonic() - self.last_work < IDLE_S

    def watch(self, name: str, slot: _Slot) -> None:
        """Forget runs that ended; press one that was asked to stop and does not.

        A group is looked at less often: each of its runs costs a few files, and none may be stopped by force alone.
        """
        has_ended = slot.child is not None and slot.child.poll() is not None
        if not has_ended and len(slot.folders) > 1 and time.monotonic() - slot.looked_at < LOOK_AT_GROUP_S:
            return
        slot.looked_at = time.monotonic()
        statuses = [rundir.read_status(folder) for folder in slot.folders]
        if has_ended or (slot.child is None and all(status.is_finished for status in statuses)):
            for folder, status in zip(slot.folders, statuses, strict=True):
                if folder.is_dir():
                    settle(folder, status, slot.child)  # raises where the disk is full: again in the next round
                    _take_up(folder, slot.need.sweep)
            self.running.pop(name)
            self.asked.pop(name, None)
            self.seen_queue = -1
            return
        left = [one for one in zip(slot.folders, statuses, strict=True) if not one[1].is_finished]
        is_paused = {status.state for _, status in left} == {"paused"}
        needed = MEMORY_LEFT if slot.is_resting else MEMORY_TO_SPARE
        is_resting = is_paused and slot.need.device == "cpu" and free_memory() > needed
        if is_resting != slot.is_resting:
            slot.is_resting, self.seen_queue = is_resting, -1
        if all(rundir.is_asked(folder, "stop") for folder, _ in left):
            for folder, status in left[:1]:  # they are one process
                press(folder, status, self.told, self.asked)

    def fill(self) -> None:
        """Start waiting runs while there is room; first come first served on each device.

        With nothing new in the queue and nobody gone this costs one `stat`: a thousand runs may wait for hours.
        """
        place, moment = queue(), time.monotonic()
        stamp = os.stat(place).st_mtime_ns
        if stamp == self.seen_queue and moment - self.filled_at < LOOK_AGAIN_S:
            return
        names = [name for name in sorted(os.listdir(place)) if name[0] != "."]
        self.needs = {name: self.needs[name] if name in self.needs else _need(_run_of(name)) for name in names}
        full: set[str] = set()
        paused: dict[str, bool] = {}
        cancelled: dict[str, bool] = {}
        for name, need in list(self.needs.items()):
            if isinstance(need, str):
                self.refuse(place / name, need)
                continue
            if need.sweep not in paused:
                paused[need.sweep] = sweepflags.has(need.sweep, "paused")
                cancelled[need.sweep] = sweepflags.has(need.sweep, "cancelled")
            if cancelled[need.sweep]:
                self.drop(place / name, need.sweep)
                continue
            if need.device in full or paused[need.sweep] or not (place / name).exists():  # gone with its group
                continue
            if self.used(need.device) + min(need.share, 1.0) > 1.0 + 1e-6:
                full.add(need.device)
                continue
            if not self.begin(name, need):
                break
        self.filled_at = moment
        # A change within one tick of the file system's clock would not show: what is young is looked at again.
        self.seen_queue = stamp if abs(time.time_ns() - stamp) > 10**9 else -1

    def refuse(self, marker: Path, reason: str) -> None:
        """Take out of the queue a run that is damaged, or was deleted while it waited."""
        folder = _run_of(marker.name)
        if folder.is_dir():
            rundir.set_status(folder, rundir.Status("failed", reason=reason, ended_at=time.time()))
        marker.unlink(missing_ok=True)  # last: where the disk is full it is refused in the next round
        self.needs.pop(marker.name, None)

    def drop(self, marker: Path, sweep: str) -> None:
        """Take out of the queue a run that came into it while its sweep was cancelled."""
        folder = _run_of(marker.name)
        with queueing():  # whoever cancels, or resumes, is in the middle of it
            if not sweepflags.has(sweep, "cancelled"):
                return
            if marker.exists() and folder.is_dir():
                reason = "Taken out of the queue: its sweep was cancelled."
                status = replace(rundir.read_status(folder), state="stopped", reason=reason, ended_at=time.time())
                rundir.set_status(folder, status)
            marker.unlink(missing_ok=True)
        self.needs.pop(marker.name, None)

    def begin(self, name: str, need: _Need) -> bool:
        """Start the process of a waiting run, with all that wait to train together with it.

        False where there is no room for it, on the disk or for a process: they wait on, in their places.
        """
        with queueing():
            waiting_now = {name for name in sorted(os.listdir(queue())) if name[0] != "."}
            names = [name]
            if need.together:
                others = {one: self.needs.get(one) or _need(_run_of(one)) for one in sorted(waiting_now)}
                names = [one for one, its in others.items() if isinstance(its, _Need) and its.together == need.together]
            held = hold(names)
        before = {folder: rundir.read_status(folder) for folder in map(_run_of, held) if folder.is_dir()}
        slot = _Slot(list(before), need)  # without those that were deleted while they waited
        try:
            paths.at_work().touch()
            # Said before it is so: should this process end here, the runs turn "lost" and can be resumed.
            for folder, status in before.items():
                starting = replace(status, state="starting", pid=0, heartbeat=time.time(), reason="")
                rundir.set_status(folder, starting)
            if slot.folders:
                slot.child = _start(slot, next(iter(held.values())).read_text())
                self.running[slot.folders[0].name] = slot
        except OSError as error:
            return self.go_back(held, before, error)
        return self.give_up(held)

    def give_up(self, held: dict[str, Path]) -> bool:
        """These places in the queue are used up: True, as nothing of them waits any more."""
        for one, place in held.items():
            place.unlink(missing_ok=True)
            self.needs.pop(one, None)
        return True

    def go_back(self, held: dict[str, Path], before: dict[Path, rundir.Status], error: OSError) -> bool:
        """After a start that failed: the runs wait on where there may be room later (False), else they have failed."""
        is_scarce = error.errno in SCARCE
        reason = f"Its process cannot be started ({error.strerror})."
        for folder, status in before.items():
            ended = replace(status, state="failed", reason=reason, ended_at=time.time())
            with contextlib.suppress(OSError):  # no room for that either: its place in the queue says enough
                rundir.set_status(folder, status if is_scarce else ended)
        if is_scarce:
            put_back(held)
            return False
        return self.give_up(held)

    def used(self, device: str) -> float:
        """The share of a device that is taken."""
        taken = [slot.need for slot in self.running.values() if not slot.is_resting]
        return sum(min(need.share, 1.0) for need in taken if need.device == device)

    def drive(self) -> bool:
        """See to it that every sweep that proposes cells has its process; whether there is any such sweep."""
        if time.monotonic() - self.drove_at < LOOK_AGAIN_S:
            return bool(self.drivers)
        self.drove_at = time.monotonic()
        wanted = {folder.name: folder for folder in sweepflags.driven() if not sweepflags.has(folder.name, "paused")}
        for name, child in list(self.drivers.items()):
            if child.poll() is not None:
                del self.drivers[name]
        for name, folder in wanted.items():
            if name not in self.drivers and not sweepflags.is_driven(folder):
                self.drivers[name] = local.start_sweeper(folder)
        return bool(wanted)


def _start(slot: _Slot, data_folder: str) -> subprocess.Popen[bytes]:
    need = slot.need
    threads = max(1, round((os.cpu_count() or 1) * need.share)) if need.share < 1 and need.device == "cpu" else 0
    if need.together:
        process = local.start_many(slot.folders, data_folder, threads)
    else:
        process = local.start(slot.folders[0], data_folder, threads)
    if need.device == "cpu":  # a GPU's run must not wait: the GPU would stand still
        local.give_way(process.pid)
    return process


def _take_up(folder: Path, sweep: str) -> None:
    try:
        take_up(folder, sweep)
    except OSError as error:  # a log that cannot be read or written keeps nobody else from being looked at
        if disk.is_full(error):
            raise


def _run_of(marker: str) -> Path:
    return paths.runs() / marker.partition("-")[2]


def _need(folder: Path) -> _Need | str:
    try:
        spec = rundir.read_spec(folder)
    except ValueError as error:
        return str(error)
    return _Need(spec.device, spec.share, spec.together, spec.sweep)


def _tick(supervisor: _Supervisor) -> bool:
    """One round; where there was no room it is tried again in the next, when there may be some."""
    try:
        return supervisor.tick()
    except OSError as error:
        if error.errno not in SCARCE:
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
            leftovers.sweep()
            supervisor = _Supervisor()
            while _tick(supervisor):
                time.sleep(TICK_S)
            fcntl.flock(lock, fcntl.LOCK_UN)
            if not any(queue().iterdir()):  # a run queued while this one still held the lock had nobody else
                return


if __name__ == "__main__":
    main()
