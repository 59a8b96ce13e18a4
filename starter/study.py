"""Put a study's finished runs among those that ship: `python -m starter.study [NAME …]` (all where none is named).

First train them (`python lab.py study NAME --run`); what ships are their curves and scores, so that a study opens with
measured numbers and computed verdicts. Weights stay behind: 84 runs of them would be more than the rest of the lab.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core import paths, rundir, studies, studyruns
from core.store import memory_store


def ship(name: str) -> int:
    """Copy every finished run that counts for the study; returns their number."""
    study = studies.load(name)
    runs = studyruns.runs_of(memory_store(), study).results
    for row in runs[runs["state"] == "done"].to_dict("records"):
        source = rundir.find(str(row["run"]))
        if not rundir.is_starter(source):
            _copy(source, f"starter-{name.replace('_', '-')}-{row['stage']}-{row['cell']:02d}-{row['seed']}")
    return int((runs["state"] == "done").sum())


def _copy(source: Path, name: str) -> None:
    target = paths.starter() / "runs" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    spec = replace(rundir.read_spec(source), id=name, sweep="")
    (target / "spec.json").write_text(json.dumps(asdict(spec), indent=1), encoding="utf-8")
    shutil.copytree(source / "evaluations", target / "evaluations")
    (target / "events.jsonl").write_text("".join(map(_line, _told(source))), encoding="utf-8")
    status = replace(rundir.read_status(source), host="", pid=0, pid_started=0.0, process="")
    rundir.set_status(target, status)


def _told(source: Path) -> list[dict[str, Any]]:
    """The run's events but those of its weights, numbered anew."""
    events, _ = rundir.read_events(source)
    kept = [event for event in events if event["kind"] not in ("checkpoint", "progress")]
    return [{**event, "n": number} for number, event in enumerate(kept, 1)]


def _line(event: dict[str, Any]) -> str:
    """One line, numbers to nine digits: more than float32 carries."""
    values = {name: _short(value) for name, value in event.get("values", {}).items()}
    return json.dumps({**event, **({"values": values} if values else {})}) + "\n"


def _short(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main(names: list[str]) -> None:
    """Ship the named studies, all where none is named."""
    unknown = set(names) - set(studies.names())
    if unknown:
        sys.exit(f"There is no study {', '.join(sorted(unknown))}; there are {', '.join(studies.names())}.")
    for name in names or studies.names():
        sys.stderr.write(f"{name}: {ship(name)} runs\n")


if __name__ == "__main__":
    main(sys.argv[1:])
