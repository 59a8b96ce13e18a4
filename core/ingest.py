"""What a run directory says, as rows for the index."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from core import rundir

SAID_ONCE = ("data_version", "input", "seconds", "items_per_s", "peak_memory_mb", "stopped_because", "steered")
"""Columns of a run's row that come from single events: what an earlier read found stays true when new lines come."""

RESTING = rundir.FINISHED
"""States that only a change of the files can end; the others end when a process, or a place in the queue, is gone."""

WAITS = "waits "
"""Begins the signature of a run that waits: it holds as long as the run has its place in the queue."""

SETTLED_AFTER_NS = 2_000_000_000
"""Two writes within one tick of a file system's clock look like one: younger files are read again next time."""

_NUMBERS = re.compile(rb'\{"n": \d+, "t": [\d.e+-]+, "kind": "metrics", "step": \d+, "epoch": ')
"""How the only writer begins a line of numbers; anything else is parsed here, line by line."""


class Seen(NamedTuple):
    """How far a run directory has been read; `signature` is empty where its files were still in motion."""

    place: str
    bytes: int
    evaluated: float
    last_step: int | None
    signature: str | None


@dataclass
class Found:
    """What is new in a run directory: rows for the tables, and `lines` of numbers as (place in the log, JSON)."""

    row: dict[str, Any]
    seen: Seen
    from_start: bool
    epoch: float | None = None
    """Where the run stands, which counts until its summary says how many epochs it had."""
    configs: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    rewinds: list[tuple[str, int, int, int]] = field(default_factory=list)
    """(run, number of the event, place in the log, last step that still counts)"""
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    n_broken: int = 0
    """Lines and reports that could not be read and are left out."""


def signature(folder: str) -> tuple[str, int]:
    """Times and sizes that change with anything the index reads there, and the newest of these times (ns).

    status.json is replaced, which changes the directory's time, and so do reports in theirs; a log only grows.
    Raises OSError where it is no run directory.
    """
    directory, log = os.stat(folder), os.stat(f"{folder}/events.jsonl")
    try:
        reports_ns = os.stat(f"{folder}/evaluations").st_mtime_ns
    except OSError:
        reports_ns = 0
    times = (directory.st_mtime_ns, reports_ns, log.st_mtime_ns)
    return f"{directory.st_ino}:{times}:{log.st_size}", max(times)


def queued_runs() -> frozenset[str] | None:
    """The runs that have a place in the queue, for `read_run`; None where there is no queue."""
    try:
        return rundir.queued_runs()
    except OSError:
        return None


def read_run(place: str, seen: Seen | None, own: str, queued: Set[str] | None) -> Found | Seen | str | None:
    """What is new in the run directory `place` since `seen`; None where nothing is.

    Only a `Seen` where nothing is new but its files have come to rest; a sentence where it is too damaged to be shown:
    it stays on the disk and out of the index. `own` is the folder of the user's runs, `queued` what `queued_runs` gave
    before the first was looked at.
    """
    try:
        return _read_run(place, seen, own, queued)
    except OSError as error:
        name = os.path.basename(place)
        return f"Run {name} has no readable events.jsonl ({error.strerror})." if os.path.isdir(place) else None
    except (TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        name = os.path.basename(place)
        return f"Run {name} holds something else than a run does ({error})." if os.path.isdir(place) else None


def _read_run(place: str, seen: Seen | None, own: str, queued: Set[str] | None) -> Found | Seen | str | None:
    """The same; raises whatever its files give rise to."""
    mark, newest_ns = signature(place)
    if seen is not None and seen.signature is not None and place == seen.place:
        if mark == seen.signature:
            return None
        if queued and seen.signature == WAITS + mark and os.path.basename(place) in queued:
            return None
    folder = Path(place)
    try:
        spec = rundir.read_spec(folder)
    except ValueError as error:
        return str(error) if os.path.isdir(place) else None
    size = os.stat(f"{place}/events.jsonl").st_size
    status = rundir.read_status(folder, queued=queued)
    reports = _reports(f"{place}/evaluations")
    evaluated = max((written for _, written in reports), default=0.0) + status.heartbeat
    from_start = seen is None or seen.place != place or size < seen.bytes
    key = evaluated + _state_number(status.state)
    is_waiting = queued is not None and status.state in rundir.WAITING and folder.name in queued
    is_settled = (is_waiting or status.state in RESTING) and time.time_ns() - newest_ns > SETTLED_AFTER_NS
    mark = WAITS + mark if is_waiting else mark
    if not from_start and seen is not None and size == seen.bytes and key == seen.evaluated:
        return seen._replace(signature=mark) if is_settled else None
    lines, offset = rundir.read_lines(folder, 0 if from_start or seen is None else seen.bytes)
    last_step = None if from_start or seen is None else seen.last_step
    now_seen = Seen(place, offset, key, last_step, mark if is_settled else None)
    return _found(folder, spec, status, lines, reports, now_seen, from_start, own)


def _found(
    folder: Path,
    spec: rundir.Spec,
    status: rundir.Status,
    lines: list[bytes],
    reports: list[tuple[str, float]],
    seen: Seen,
    from_start: bool,
    own: str,
) -> Found:
    found = Found({}, seen, from_start, status.epoch or None)
    events, is_numbers, take = [], _NUMBERS.match, found.lines.append
    for place, line in enumerate(lines):
        if is_numbers(line) and line.isascii():  # as its writer leaves it; DuckDB would choke on broken UTF-8
            take((place, line))
            continue
        event = rundir.read_event(line)
        if event is None:
            found.n_broken += 1
            continue
        if event["kind"] == "metrics":  # by another hand: other spaces, another order
            values = {name: repr(value) for name, value in event["values"].items()}  # JSON has no NaN
            found.lines.append((place, json.dumps({**event, "values": values}).encode()))
            continue
        events.append(event)
        if event["kind"] == "rewound" and isinstance(event.get("to_step"), int):
            found.rewinds.append((spec.id, event["n"], place, event["to_step"]))
    found.row = _run_row(folder, spec, status, events, is_starter=str(folder.parent) != own)
    found.configs = [{"run": spec.id, "name": k, "value": json.dumps(v)} for k, v in spec.config.items()]
    found.events = [_event_row(spec.id, event) for event in events]
    found.snapshots = [_snapshot_row(folder, spec.id, event) for event in events if event["kind"] == "snapshot"]
    for path, _ in reports:
        try:
            report = json.loads(Path(path).read_text())
            found.evaluations += _evaluation_rows(spec.id, report)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            found.n_broken += 1
            continue  # a damaged report costs its own scores, not the index
        found.row["leaky"] = found.row["leaky"] or bool(report.get("is_leaky"))
    return found


def kept_snapshots(one: Found) -> list[dict[str, Any]]:
    """The snapshots that came, but for those of steps that the run went back behind."""
    undone = [(number, step) for _, number, _, step in one.rewinds]
    return [row for row in one.snapshots if not any(row["n"] < n and (row["step"] or 0) > step for n, step in undone)]


def _reports(folder: str) -> list[tuple[str, float]]:
    """The evaluation reports, by name, and when each was written (s)."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e.path, e.stat().st_mtime) for e in entries if e.name.endswith(".json"))
    except OSError:
        return []


def _state_number(state: str) -> float:
    """A number that changes with the state, so that "lost" (which no file says) is noticed."""
    return float(sum(map(ord, state)))


def _event_row(run: str, event: dict[str, Any]) -> dict[str, Any]:
    detail = {key: value for key, value in event.items() if key not in ("n", "t", "kind", "step")}
    about = {
        "run": run,
        "n": event["n"],
        "t": event["t"],
        "kind": str(event["kind"]),
        "step": _whole(event.get("step")),
    }
    return {**about, "detail": json.dumps(detail)}


def _snapshot_row(folder: Path, run: str, event: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with the kind of its payload, which stands near the start of its file."""
    file, kind = str(event.get("file", "")), None
    if file and "/" not in file:
        try:
            with (folder / "snapshots" / file).open("rb") as payload:
                said = re.search(rb'"kind":\s*"([a-z]+)"', payload.read(4096))
            kind = said.group(1).decode() if said else None
        except OSError:
            kind = None  # thinned, or not copied along
    about = {"run": run, "n": event["n"], "step": _whole(event.get("step")), "name": str(event.get("name", ""))}
    return {**about, "kind": kind, "file": file}


def _whole(value: Any) -> int | None:
    """A whole number that fits into the index, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _run_row(
    folder: Path, spec: rundir.Spec, status: rundir.Status, events: list[dict[str, Any]], *, is_starter: bool
) -> dict[str, Any]:
    data: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "data"), {})
    summary: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "summary"), {})
    is_steered = any(event["kind"] in ("changed", "changes") for event in events) or spec.parent is not None
    return {
        "run": spec.id,
        "trainer": spec.trainer,
        "task": spec.task,
        "data": spec.data,
        "data_version": data.get("version"),
        "split": spec.split,
        "seed": int(spec.seed),
        "config_id": spec.config_id,
        "config": json.dumps(spec.config),
        "input": data.get("input"),
        "device": spec.device,
        "state": status.state,
        "reason": status.reason,
        "created_at": spec.created_at,
        "started_at": status.started_at or None,
        "ended_at": status.ended_at or None,
        "seconds": _number(summary.get("seconds")),
        "items_per_s": _number(summary.get("items_per_s")),
        "peak_memory_mb": _number(summary.get("peak_memory_mb")),
        "epochs": _number(summary.get("epochs")),
        "stopped_because": summary.get("stopped_because"),
        "seeds_pooled": spec.are_seeds_pooled,
        "steered": is_steered or None,
        "starter": is_starter,
        "sweep": spec.sweep or None,
        "leaky": True if data.get("is_leaky") is True else None,
        "folder": str(folder),
    }


def _evaluation_rows(run: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    about = {"run": run, "data": report["data"], "data_version": report["data_version"], "split": report["split"]}
    rows = []
    for part, scores in report["parts"].items():
        n_all, told = int(scores["n_items"]), scores["metrics"]
        counted = {metric: int(score.get("n_items", n_all)) for metric, score in told.items()}
        place = {**about, "part": part, "labels_per_item": _number(scores.get("labels_per_item"))}
        for metric, score in told.items():
            numbers = {key: _number(score[key]) for key in ("value", "low", "high")}
            rows.append({**place, "kind": "model", "metric": metric, "n_items": counted[metric], **numbers})
        for metric, value in scores["baseline"].items():
            n_items = counted.get(metric, n_all)
            rows.append({**place, "kind": "baseline", "metric": metric, "n_items": n_items, "value": _number(value)})
    place = {**about, "part": "test", "n_items": None, "labels_per_item": None, "kind": "ceiling"}
    rows += [{**place, "metric": m, "value": _number(v)} for m, v in report["ceiling"].items()]
    return [{"low": None, "high": None, **row} for row in rows]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
