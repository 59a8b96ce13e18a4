"""The runs that come first on Listen and in `lab.py predict`: the user's own choice, then what ships."""

from __future__ import annotations

import json
from pathlib import Path

from core import paths, rundir


def pins() -> dict[str, list[str]]:
    """The runs pinned to Listen, per task: the user's, newest first, then those that ship pinned."""
    own, shipped = _pins(paths.cache()), _pins(paths.starter())
    return {task: list(dict.fromkeys([*own.get(task, []), *shipped.get(task, [])])) for task in {*own, *shipped}}


def _pins(folder: Path) -> dict[str, list[str]]:
    try:
        found: dict[str, list[str]] = json.loads((folder / "pins.json").read_text())
        return found
    except (FileNotFoundError, ValueError):
        return {}


def own(task: str) -> list[str]:
    """The runs of a task that the user put on Listen, newest first."""
    return _pins(paths.cache()).get(task, [])


def unpin(task: str) -> None:
    """Listen begins again with what ships pinned, or the best of its board."""
    rundir.write_json(paths.cache() / "pins.json", {**_pins(paths.cache()), task: []})


def pin(task: str, run: str) -> None:
    """Put a run first on Listen."""
    kept = _pins(paths.cache())
    kept[task] = [run, *(other for other in kept.get(task, []) if other != run)][:5]
    rundir.write_json(paths.cache() / "pins.json", kept)
