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
import errno
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
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from core import paths
from core.records import ACTIVE, FINISHED, VERSION, WAITING, Spec, Status

__all__ = ["ACTIVE", "FINISHED", "VERSION", "WAITING", "Spec", "Status"]  # of core/records.py, said from here

LOST_AFTER_S = 15.0
"""A run whose heartbeat is older counts as lost; the runner beats once a second."""

WISHES = ("stop", "pause", "resume", "changes")
START_WITHIN_S = 90.0
"""Until its process has written its number, a starting run has this long: imports from a cold disk are slow."""


def new_id(trainer: str) -> str:
    """A run's name: when (UTC), what, and four random digits; sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{trainer}-{secrets.token_hex(2)}"


def create(
    spec: Spec, state: str = "queued", *, start: Path | None = None, branched: dict[str, Any] | None = None
) -> Path:
    """Make the directory of a new run and freeze its spec; returns the directory.

    A branch has the checkpoint it begins from (`start`, a file that is shared and not copied where the disk allows)
    and the event that says so (`branched`): it needs its parent no more.
    """
    folder = paths.runs() / spec.id
    making = folder.with_name(f".{spec.id}.making")  # appears under its name complete, or not at all
    for name in ("control", "checkpoints", "evaluations", "snapshots"):
        (making / name).mkdir(parents=True)
    _replace(making / "spec.json", json.dumps(asdict(spec), indent=1))
    _replace(making / "status.json", json.dumps(asdict(Status(state, heartbeat=time.time()))))  # 0 would be "lost"
    lines = [] if branched is None else [{"n": 1, "t": time.time(), "kind": "branched", **_finite(branched)}]
    (making / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if start is not None:
        share(start, making / "checkpoints" / "start.safetensors")
    os.replace(making, folder)
    return folder


def share(source: Path, target: Path) -> None:
    """Another name for a file that is only ever replaced, never written in; a copy where the disk has no such names."""
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            os.link(source, making)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            shutil.copyfile(source, making)
        os.replace(making, target)
    finally:
        making.unlink(missing_ok=True)


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


def read_spec(folder: Path) -> Spec:
    """The frozen spec; fields of a newer version are ignored. Raises ValueError where it is missing or torn."""
    try:
        raw = json.loads((folder / "spec.json").read_text())
        known = {key: raw[key] for key in raw if key in Spec.__dataclass_fields__}
        return Spec(**known)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"Run {folder.name} has no readable spec.json ({error}).") from error


def read_status(folder: Path, now: float | None = None) -> Status:
    """Where the run stands. "lost" is derived: its process is gone, or it has not beaten for LOST_AFTER_S.

    A pause outlives its process: such a run stays "paused", with pid 0 and a reason.
    """
    try:
        raw = json.loads((folder / "status.json").read_text())
        status = Status(**{key: raw[key] for key in raw if key in Status.__dataclass_fields__})
    except (OSError, ValueError, TypeError) as error:
        return Status("failed", reason=f"status.json cannot be read ({error}).")
    if status.state not in ACTIVE:
        return status
    same_host = status.host == socket.gethostname()
    gone = same_host and status.pid and not _is_alive(status.pid, status.pid_started)
    patience_s = LOST_AFTER_S if status.pid else START_WITHIN_S
    is_silent = (time.time() if now is None else now) - status.heartbeat > patience_s
    if gone or (is_silent and (not same_host or not status.pid)):
        if status.state == "paused":
            reason = "It was paused and its process is gone; resumed, it goes on from its last checkpoint."
            return replace(status, pid=0, reason=reason)
        return replace(status, state="lost", reason="Its process ended without a word.")
    return status


def _is_alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 2.0
    except psutil.NoSuchProcess:
        return False


def read_lines(folder: Path, offset: int = 0) -> tuple[list[bytes], int]:
    """The lines of the log from byte `offset` on, and the offset to go on from. A torn last line waits."""
    try:
        with (folder / "events.jsonl").open("rb") as file:
            file.seek(offset)
            blob = file.read()
    except FileNotFoundError:
        return [], offset
    end = blob.rfind(b"\n") + 1
    return blob[:end].splitlines(), offset + end


def read_event(line: bytes) -> dict[str, Any] | None:
    """One line of the log as an event; None where it is not JSON, or not an event."""
    try:
        event = json.loads(line)
        if event["kind"] == "metrics":
            event["values"] = {name: float(value) for name, value in event["values"].items()}
        return {**event, "n": int(event["n"]), "t": float(event["t"])}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def read_events(folder: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the offset to go on from. A torn last line waits; a broken one is skipped."""
    lines, end = read_lines(folder, offset)
    return [event for line in lines if (event := read_event(line)) is not None], end


def set_status(folder: Path, status: Status) -> None:
    """Replace status.json (for a run that no process owns: queued, or dead)."""
    _replace(folder / "status.json", json.dumps(asdict(status)))


def ask(folder: Path, kind: str, **values: Any) -> None:
    """Leave a wish for the runner (one of WISHES; "changes" has `values`), taken in the order of their names."""
    assert kind in WISHES, kind
    name = f"{time.time_ns():020d}-{kind}.json"
    _replace(folder / "control" / name, json.dumps({"kind": kind, **values}))


def wishes(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """What was asked and not yet taken, oldest first; a damaged wish is passed over."""
    found = []
    with contextlib.suppress(FileNotFoundError):  # the directory was deleted, or the runner took the wish just now
        for name in sorted(os.listdir(folder / "control")):
            if name.endswith(".json") and name[0] != ".":
                path = folder / "control" / name
                with contextlib.suppress(ValueError):  # it must end neither the run nor the supervisor
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
    _replace(path, json.dumps(_finite(value), indent=1))


class Writer:
    """The runner's hand: appends events, keeps status.json. One process owns a run; its threads may share this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        path = folder / "events.jsonl"
        events, end = read_events(folder)
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(end)  # a torn last line was never acknowledged
        self._file.seek(end)
        self._number = max((event["n"] for event in events), default=0)
        self._state_told = ""
        self._sync_directory()
        previous = read_status(folder)
        me = psutil.Process()
        self.status = Status(
            "starting",
            pid=me.pid,
            pid_started=me.create_time(),
            host=socket.gethostname(),
            heartbeat=time.time(),
            started_at=previous.started_at or time.time(),
        )
        self.set(state="starting")

    def event(self, kind: str, **values: Any) -> None:
        """Append one event; acknowledged when this returns."""
        with self._lock:
            self._number += 1
            line = json.dumps({"n": self._number, "t": time.time(), "kind": kind, **_finite(values)})
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def set(self, **values: Any) -> None:
        """Change fields of the status; a change of state is also an event, and synced to the disk."""
        with self._lock:
            self.status = Status(**{**asdict(self.status), **values, "heartbeat": time.time()})
            _replace(self.folder / "status.json", json.dumps(_finite(asdict(self.status))))
        if "state" in values and values["state"] != self._state_told:
            self._state_told = values["state"]
            self.event("state", state=self.status.state, reason=self.status.reason)
            self.sync()

    def beat(self) -> None:
        """Say "still here"."""
        self.set(beat=self.status.beat + 1)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()

    def _sync_directory(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
