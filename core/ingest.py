"""What a run directory says, as rows for the index."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import paths, rundir

SAID_ONCE = ("data_version", "input", "seconds", "items_per_s", "peak_memory_mb", "stopped_because", "steered")
"""Columns of a run's row that come from single events: what an earlier read found stays true when new lines come."""


def read_run(folder: Path, seen: tuple[Any, ...] | None) -> dict[str, Any] | None:
    """What is new in a run directory since `seen` (place, bytes, evaluated); None where nothing is."""
    try:
        spec = replace(rundir.read_spec(folder), id=folder.name)  # a copied directory is a run of its own
        size = (folder / "events.jsonl").stat().st_size
    except (ValueError, OSError):
        return None  # not a run (yet), or damaged: it stays on the disk and out of the index
    status = rundir.read_status(folder)
    reports = sorted((folder / "evaluations").glob("*.json"))
    evaluated = max((report.stat().st_mtime for report in reports), default=0.0) + status.heartbeat
    place = str(folder)
    from_start = seen is None or seen[0] != place or size < seen[1]
    key = evaluated + _state_number(status.state)
    if not from_start and seen is not None and size == seen[1] and key == seen[2]:
        return None
    events, offset = rundir.read_events(folder, 0 if from_start or seen is None else seen[1])
    row = _run_row(folder, spec, status, events)
    found: dict[str, Any] = {"row": row, "from_start": from_start, "configs": [], "evaluations": []}
    found["ingested"] = [{"run": spec.id, "place": place, "bytes": offset, "evaluated": key}]
    found["configs"] = [{"run": spec.id, "name": k, "value": json.dumps(v)} for k, v in spec.config.items()]
    found["rewinds"] = [(spec.id, e["n"], e["to_step"]) for e in events if e["kind"] == "rewound"]
    found["metrics"] = _metric_rows(spec.id, events)
    found["events"] = [_event_row(spec.id, event) for event in events if event["kind"] != "metrics"]
    for path in reports:
        try:
            report = json.loads(path.read_text())
            found["evaluations"] += _evaluation_rows(spec.id, report)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue  # a damaged report costs its own scores, not the index
        row["leaky"] = row["leaky"] or bool(report.get("is_leaky"))
    return found


def _state_number(state: str) -> float:
    """A number that changes with the state, so that "lost" (which no file says) is noticed."""
    return float(sum(map(ord, state)))


def _metric_rows(run: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: dict[tuple[int, str], dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "rewound":  # within this batch; older rows are deleted in the table
            kept = {place: row for place, row in kept.items() if place[0] <= event["to_step"]}
        elif event["kind"] == "metrics":
            for name, value in event["values"].items():
                about = {"run": run, "n": event["n"], "t": event["t"], "step": event["step"], "epoch": event["epoch"]}
                kept[event["step"], name] = {**about, "name": name, "value": value}
    return list(kept.values())


def _event_row(run: str, event: dict[str, Any]) -> dict[str, Any]:
    detail = {key: value for key, value in event.items() if key not in ("n", "t", "kind", "step")}
    about = {"run": run, "n": event["n"], "t": event["t"], "kind": event["kind"], "step": event.get("step")}
    return {**about, "detail": json.dumps(detail)}


def _run_row(folder: Path, spec: rundir.Spec, status: rundir.Status, events: list[dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "data"), {})
    summary: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "summary"), {})
    is_steered = any(event["kind"] == "changes" for event in events) or spec.parent is not None
    return {
        "run": spec.id,
        "trainer": spec.trainer,
        "task": spec.task,
        "data": spec.data,
        "data_version": data.get("version"),
        "split": spec.split,
        "seed": spec.seed,
        "config_id": spec.config_id,
        "config": json.dumps(spec.config),
        "input": data.get("input"),
        "device": spec.device,
        "state": status.state,
        "reason": status.reason,
        "created_at": spec.created_at,
        "started_at": status.started_at or None,
        "ended_at": status.ended_at or None,
        "seconds": summary.get("seconds"),
        "items_per_s": summary.get("items_per_s"),
        "peak_memory_mb": summary.get("peak_memory_mb"),
        "epochs": summary.get("epochs", status.epoch or None),
        "stopped_because": summary.get("stopped_because"),
        "seeds_pooled": spec.are_seeds_pooled,
        "steered": is_steered or None,
        "starter": folder.parent != paths.runs(),
        "leaky": None,
        "folder": str(folder),
    }


def _evaluation_rows(run: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    about = {"run": run, "data": report["data"], "data_version": report["data_version"], "split": report["split"]}
    rows = []
    for part, scores in report["parts"].items():
        place = {**about, "part": part, "n_items": scores["n_items"]}
        for metric, score in scores["metrics"].items():
            numbers = {key: _number(score[key]) for key in ("value", "low", "high")}
            rows.append({**place, "kind": "model", "metric": metric, **numbers})
        rows += [{**place, "kind": "baseline", "metric": m, "value": _number(v)} for m, v in scores["baseline"].items()]
    rows += [
        {**about, "part": "test", "kind": "ceiling", "metric": m, "value": v} for m, v in report["ceiling"].items()
    ]
    return rows


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
