"""Reading a run directory that anybody may have damaged: what is whole is used, the rest is said to be damaged.

Callers reach this through core/rundir.py, which also writes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Set
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from core import liveness, paths
from core.records import ACTIVE, STATES, WAITING, Spec, Status

T = TypeVar("T", Spec, Status)


def read_spec(folder: Path) -> Spec:
    """The frozen spec; fields of a newer version are ignored. Raises ValueError where it is missing or damaged.

    Its id is the name of the folder, whatever the file says: a copied directory is a run of its own.
    """
    try:
        return replace(_record(Spec, json.loads((folder / "spec.json").read_bytes())), id=folder.name)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"Run {folder.name} has no readable spec.json ({error}).") from error


def read_status(folder: Path, now: float | None = None, queued: Set[str] | None = None) -> Status:
    """Where the run stands. "lost" is derived: its process is gone, it has not beaten for LOST_AFTER_S, or it says that
    it waits, but is in no queue.

    A pause outlives its process: such a run stays "paused", with pid 0 and a reason. `queued` is what `queued_runs`
    gave, for whoever reads many at once.
    """
    try:
        status = _record(Status, json.loads((folder / "status.json").read_bytes()))
        if status.state not in STATES:
            raise ValueError(f"there is no state {status.state!r}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return Status("failed", reason=f"status.json cannot be read ({error}).")
    if status.state in WAITING and _is_forgotten(folder, queued):
        return replace(status, state="lost", reason="It was waiting, but is in no queue any more.")
    if status.state not in ACTIVE or not liveness.is_dead(folder, status, now):
        return status
    if status.state == "paused":
        reason = "It was paused and its process is gone; resumed, it goes on from its last checkpoint."
        return replace(status, pid=0, reason=reason)
    return replace(status, state="lost", reason="Its process ended without a word.")


def _is_forgotten(folder: Path, queued: Set[str] | None) -> bool:
    """Whether a waiting run has no place in the queue: whoever put it there, or took it out, was killed meanwhile."""
    try:
        age_s = time.time() - (folder / "status.json").stat().st_mtime
        if age_s <= liveness.LOST_AFTER_S:
            return False
        return folder.name not in (queued_runs() if queued is None else queued)
    except OSError:  # no queue, so nothing that could take runs out of it; or the run was deleted just now
        return False


_listed: tuple[str, int, frozenset[str]] = ("", -1, frozenset())
"""The queue's folder, its time (ns), and the runs in it when it was last read and had been at rest."""

LISTED_AFTER_NS = 1_000_000_000
"""Two changes within one tick of a file system's clock look like one: a younger folder is read again next time."""


def queued_runs() -> frozenset[str]:
    """The runs that have a place in the queue. Raises OSError where there is no queue.

    Read once per change of its folder: whoever looks at a thousand waiting runs asks for each of them.
    """
    global _listed
    folder = str(paths.cache() / "queue")
    changed_ns = os.stat(folder).st_mtime_ns  # before it is read: a change meanwhile shows next time
    if (folder, changed_ns) == _listed[:2]:
        return _listed[2]
    was_at_rest = abs(time.time_ns() - changed_ns) > LISTED_AFTER_NS
    runs = frozenset(name.partition("-")[2] for name in os.listdir(folder))
    if was_at_rest:
        _listed = (folder, changed_ns, runs)
    return runs


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "str | None": (str, type(None)),
    "int | None": (int, type(None)), "dict[str, Any]": (dict,), "dict[str, str]": (dict,),
}  # fmt: skip
_FIELD_KINDS: dict[type, list[tuple[str, tuple[type, ...]]]] = {
    kind: [(about.name, _KINDS[str(about.type)]) for about in fields(kind)] for kind in (Spec, Status)
}


def _record(kind: type[T], raw: Any) -> T:
    """A Spec or a Status from its JSON; TypeError or ValueError where a field is missing or is something else."""
    if not isinstance(raw, dict):
        raise ValueError("it holds no JSON object")
    values: dict[str, Any] = {}
    for name, kinds in _FIELD_KINDS[kind]:
        if name in raw:
            value = raw[name]
            if float in kinds and isinstance(value, str):
                value = float(value)  # "nan"
            if not isinstance(value, kinds):
                raise ValueError(f"its {name} is {value!r:.40}")
            values[name] = value
    return kind(**values)


def read_lines(folder: Path, offset: int = 0) -> tuple[list[bytes], int]:
    """The lines of the log from byte `offset` on, and the offset to go on from. A torn last line waits.

    Raises OSError where the log is there and cannot be read: a writer must not take it for an empty one.
    """
    try:
        with (folder / "events.jsonl").open("rb") as file:
            file.seek(offset)
            blob = file.read()
    except FileNotFoundError:
        return [], offset
    end = blob.rfind(b"\n") + 1
    return blob[:end].splitlines(), offset + end


_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "changed": {"step": (int,), "epoch": (int, float, str), "values": (dict,)},
    "checkpoint": {"step": (int,), "epoch": (int, float, str)},
    "rewound": {"to_step": (int,)},
}
"""What events of these kinds must say: a run acts on it."""


def read_event(line: bytes) -> dict[str, Any] | None:
    """One line of the log as an event; None where it is not JSON, or not an event."""
    try:
        event = json.loads(line)
        if event["kind"] == "metrics":
            event["values"] = {name: float(value) for name, value in event["values"].items()}
            event["epoch"], event["step"] = float(event["epoch"]), int(event["step"])
        needed = _FIELDS.get(event["kind"], {})
        if not all(isinstance(event[name], kinds) for name, kinds in needed.items()):
            return None
        if event["kind"] == "changed" and not all(len(pair) == 2 for pair in event["values"].values()):
            return None
        return {**event, "n": int(event["n"]), "t": float(event["t"])}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def read_events(folder: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the offset to go on from. A torn last line waits; a broken one is skipped."""
    lines, end = read_lines(folder, offset)
    return [event for line in lines if (event := read_event(line)) is not None], end
