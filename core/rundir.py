"""The run directory: the truth about a run, and the only code that reads or writes its files.

spec.json       frozen: trainer, config, data, split, seed, inputs, versions, device, revision, parent
status.json     state, reason, process, heartbeat; replaced atomically
events.jsonl    one numbered line per event, append-only; acknowledged = the newline is written
control/        what the user asks, one numbered file each, consumed in order
checkpoints/    last, best, final, per-epoch weights and states (core/checkpoints.py); a branch's start
evaluations/    <data>-<split>.json;  predictions.parquet;  snapshots/;  stdout.log
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from core import disk, liveness, paths
from core.disk import share
from core.liveness import LOST_AFTER_S, START_WITHIN_S
from core.reading import queued_runs, read_event, read_events, read_lines, read_spec, read_status
from core.records import ACTIVE, FINISHED, VERSION, WAITING, Spec, Status, epoch_text

__all__ = [  # said from here: a run directory has one door
    "ACTIVE",
    "FINISHED",
    "LOST_AFTER_S",
    "START_WITHIN_S",
    "VERSION",
    "WAITING",
    "Spec",
    "Status",
    "epoch_text",
    "queued_runs",
    "read_event",
    "read_events",
    "read_lines",
    "read_spec",
    "read_status",
    "share",
]

WISHES = ("stop", "pause", "resume", "changes")

SPARE_BYTES = 16_384
"""Room a run keeps for its last words, given up where the disk is full: a few blocks for its status and one line."""


def new_id(trainer: str) -> str:
    """A run's name: when (UTC), what, and eight random digits; sorts by time.

    Of four digits a sweep that makes 300 runs in one second would draw some twice, one time in two.
    """
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{trainer}-{secrets.token_hex(4)}"


def create(
    spec: Spec, state: str = "queued", *, start: Path | None = None, branched: dict[str, Any] | None = None
) -> Path:
    """Make the directory of a new run and freeze its spec; returns the directory.

    A branch has the checkpoint it begins from (`start`, a file that is shared and not copied where the disk allows)
    and the event that says so (`branched`): it needs its parent no more.
    """
    folder = paths.runs() / spec.id
    making = folder.with_name(f".{spec.id}.making.{os.getpid()}")  # appears under its name complete, or not at all
    try:
        for name in ("control", "checkpoints", "evaluations", "snapshots"):
            (making / name).mkdir(parents=True)
        disk.replace(making / "spec.json", json.dumps(asdict(spec), indent=1).encode())
        set_status(making, Status(state, heartbeat=time.time()))  # 0 would be "lost"
        lines = [] if branched is None else [{"n": 1, "t": time.time(), "kind": "branched", **_finite(branched)}]
        (making / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if start is not None:
            share(start, making / "checkpoints" / "start.safetensors")
        os.replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def find(run: str) -> Path:
    """The directory of a run by its id, or by the unique start of one; ValueError where there is none.

    `latest` is the user's newest run. The user's runs come before the starter runs.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", run):
        raise ValueError(f"{run!r} is not the name of a run.")
    for root in (paths.runs(), paths.starter() / "runs"):  # a page asks for many: no listing for a full name
        if (root / run).is_dir():
            return root / run
    folders = list(directories())
    own = [folder for folder in folders if folder.parent == paths.runs()]  # "starter-…" would sort after every date
    if run == "latest" and own:
        return max(own, key=lambda folder: folder.name)
    matches = [folder for folder in folders if folder.name.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if not matches and any(path.name.startswith(run) for path in paths.trash().iterdir()):
        raise ValueError(f"Run {run} is in the trash; `python lab.py run restore {run}` brings it back.")
    if not matches:
        raise ValueError(f"There is no run {run!r}; `python lab.py runs` lists them.")
    raise ValueError(f"{run!r} fits {len(matches)} runs: {', '.join(sorted(f.name for f in matches)[:5])} …")


def exists(run: str) -> bool:
    """Whether there is exactly one run of this name, or of a name that starts so."""
    try:
        return find(run).is_dir()
    except ValueError:
        return False


def places() -> Iterator[tuple[str, str]]:
    """All run directories as (name, place), the user's first, then the starter runs."""
    for root in (paths.runs(), paths.starter() / "runs"):
        if root.is_dir():
            yield from ((e.name, e.path) for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")


def directories() -> Iterator[Path]:
    """All run directories, the user's first, then the starter runs."""
    return (Path(place) for _, place in places())


def is_starter(folder: Path) -> bool:
    """Whether this run ships with the project; nobody may change it."""
    return folder.parent != paths.runs()


def set_status(folder: Path, status: Status) -> None:
    """Replace status.json (for a run that no process owns: queued, or dead)."""
    disk.replace(folder / "status.json", json.dumps(asdict(status)).encode())


def ask(folder: Path, kind: str, **values: Any) -> None:
    """Leave a wish for the runner (one of WISHES; "changes" has `values`), taken in the order of their names."""
    assert kind in WISHES, kind
    before = [name.partition("-")[0] for name in os.listdir(folder / "control") if name[0] != "."]
    last = max((int(number) for number in before if number.isdigit()), default=0)
    name = f"{max(time.time_ns(), last + 1):020d}-{kind}.json"  # in order also where the clock was set back
    disk.replace(folder / "control" / name, json.dumps({"kind": kind, **values}).encode())


def wishes(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """What was asked and not yet taken, oldest first; a damaged wish is passed over."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the directory was deleted just now
        for name in sorted(os.listdir(folder / "control")):
            if name.endswith(".json") and name[0] != ".":
                path = folder / "control" / name
                # Gone just now, or damaged: it must end neither the run nor the supervisor.
                with contextlib.suppress(OSError, ValueError, RecursionError):
                    wish = json.loads(path.read_text())
                    if isinstance(wish, dict) and wish.get("kind") in WISHES:
                        found.append((path, wish))
    return found


def is_asked(folder: Path, kind: str) -> bool:
    """Whether a wish of this kind waits to be taken."""
    return any(wish["kind"] == kind for _, wish in wishes(folder))


def stop_asked_at(folder: Path) -> float | None:
    """When stop was asked for (Unix seconds), None if it was not."""
    times = [int(path.name.partition("-")[0]) / 1e9 for path, wish in wishes(folder) if wish["kind"] == "stop"]
    return min(times, default=None)


def write_json(path: Path, value: Any) -> None:
    """A JSON file of the run, replaced atomically."""
    disk.replace(path, json.dumps(_finite(value), indent=1).encode())


class Writer:
    """The runner's hand: appends events, keeps status.json. One process owns a run; its threads may share this.

    With `begins` False the run does not begin: for an event of somebody else; its status stays as it is.

    Raises ValueError where another process owns the run, and OSError from any method where the disk is full: then what
    was acknowledged is whole, and the next call may succeed.
    """

    def __init__(self, folder: Path, *, begins: bool = True) -> None:
        self.folder, self._spare = folder, folder / ".spare"
        self._lock, self._status_lock = threading.Lock(), threading.Lock()
        self._told: dict[str, Any] = {}
        self._log = os.open(folder / "events.jsonl", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._open()
            if begins:
                self._begin()
        except BaseException:
            os.close(self._log)  # and with it the lock, which would hold the run as long as this process lives
            raise

    def _open(self) -> None:
        folder = self.folder
        self._own()
        for place in ("", "checkpoints", "evaluations", "snapshots"):
            disk.sweep(folder / place)
        events, self._end = read_events(folder)
        os.ftruncate(self._log, self._end)  # a torn last line was never acknowledged
        os.lseek(self._log, self._end, os.SEEK_SET)
        self._number = max((event["n"] for event in events), default=0)
        self._began = self._number, self._end
        self._state_told = ""
        self._sync_directory()

    def _begin(self) -> None:
        disk.replace(self._spare, os.urandom(SPARE_BYTES))  # zeros might take no room
        previous = read_status(self.folder)
        me = psutil.Process()
        self.status = Status(
            "starting",
            pid=me.pid,
            pid_started=me.create_time(),
            process=liveness.identity(me.pid),
            host=socket.gethostname(),
            beat=previous.beat,
            heartbeat=time.time(),
            started_at=previous.started_at or time.time(),
        )
        self.set(state="starting")

    def _own(self) -> None:
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends, however it does
        except BlockingIOError:
            owner = read_status(self.folder).pid
            if owner != os.getpid():  # a writer before this one, in the same process, is gone
                raise ValueError(
                    f"Run {self.folder.name} is at work in process {owner} already; it cannot run twice at a time."
                ) from None
        except OSError:  # a file system without locks: the supervisor sees to it that a run starts once
            pass

    def event(self, kind: str, **values: Any) -> None:
        """Append one event; acknowledged when this returns. Where it raises, the log is as it was."""
        with self._lock:
            about = {"n": self._number + 1, "t": time.time(), "kind": kind, **_finite(values)}
            line = json.dumps(about).encode() + b"\n"
            try:
                disk.write(self._log, line)
            except OSError:
                os.ftruncate(self._log, self._end)
                os.lseek(self._log, self._end, os.SEEK_SET)
                raise
            self._number, self._end = self._number + 1, self._end + len(line)

    def take_back(self) -> None:
        """Cut off the events of this writer: for one that could not do what they say. It needs no room."""
        self._number, self._end = self._began
        os.ftruncate(self._log, self._end)
        os.lseek(self._log, self._end, os.SEEK_SET)

    def set(self, **values: Any) -> None:
        """Change fields of the status; a change of state is also an event, and synced to the disk."""
        with self._status_lock:  # of its own: a training that logs must not wait for this file
            told = dict(self._told.popitem() for _ in range(len(self._told)))
            status = Status(**{**asdict(self.status), **told, **values, "heartbeat": time.time()})
            disk.replace(self.folder / "status.json", json.dumps(_finite(asdict(status))).encode())
            self.status = status
        if "state" in values and values["state"] != self._state_told:
            self.event("state", state=self.status.state, reason=self.status.reason)
            self._state_told = values["state"]
            self.sync()

    def tell(self, **values: Any) -> None:
        """Change fields of the status that can wait for the next beat to reach the disk: it may stall for 0.1 s."""
        self._told.update(values)

    def end(self, **values: Any) -> None:
        """The last words: status first, then its event. Where the disk is full they take the room that was spared."""
        self._spare.unlink(missing_ok=True)  # before them: who is killed right after them leaves nothing behind
        try:
            self.set(**values)
        except OSError:
            if self.status.state != values["state"]:  # not even its status: readers will see that it is gone
                raise

    def beat(self) -> None:
        """Say "still here"."""
        self.set(beat=self.status.beat + 1)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._log)

    def close(self) -> None:
        """Sync and close."""
        self._spare.unlink(missing_ok=True)
        try:
            self.sync()
        finally:
            os.close(self._log)

    def _sync_directory(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: as text, so that any reader can parse the line (`float("nan")` reads it back)."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        return _finite(value.item())
    return value
