"""What a run stands on: the runs whose weights or state went into it, and theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core import evaluation, paths, rundir


def find(run: str) -> Path | None:
    """The directory of a run by its full id, also where it ships or is in the trash; None where it is gone for good."""
    places = (paths.runs() / run, paths.starter() / "runs" / run, paths.trash() / run)
    return next((place for place in places if place.is_dir()), None)


def of(run: str) -> Iterator[rundir.Spec]:
    """The run itself, its inputs and the run it was branched from, and theirs, also where they are in the trash.

    Raises ValueError where an input is gone for good. A parent may be: a branch has its data, its split and its inputs.
    """
    waiting: list[tuple[str, str]] = [(run, "")]
    seen = set()
    while waiting:
        name, heir = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        folder = find(name)
        if folder is None and heir:
            raise ValueError(
                f"Run {heir} stands on run {name}, which is gone for good: what that one learned from cannot be known, "
                "so a score could be a leak."
            )
        if folder is not None:
            spec = rundir.read_spec(folder)
            yield spec
            waiting += [(one, name) for one in spec.inputs.values()] + ([(spec.parent, "")] if spec.parent else [])


def may_know(run: str, data: str) -> bool:
    """Whether a run (full id) or one behind it may have learned from items of `data`; True where nobody can know."""
    try:
        return any(evaluation.may_share_items(spec.data, data) for spec in of(run))
    except ValueError:  # one of them is gone, or cannot be read
        return True
