"""Deleting runs: into the trash, back again, or for good."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from core import control, paths, rundir


def delete(folder: Path) -> str:
    """Move a run to the trash; returns what happened. A waiting run leaves the queue first.

    ValueError for a run that is under way, and for one that ships with the project. Branches of it are not touched:
    they hold a copy of their beginning.
    """
    control.check_is_own(folder, "deleted")
    _refuse_needed(folder.name)
    if rundir.read_status(folder).state == "queued":
        control.stop(folder)
    status = rundir.read_status(folder)
    if not status.is_finished and status.state != "queued":  # a queued run that is in no queue waits for nobody
        raise ValueError(
            f"Run {folder.name} is {status.state}; stop it before it is deleted: python lab.py run stop {folder.name}"
        )
    target = paths.trash() / folder.name
    if target.exists():  # restored by hand, say, as a copy
        raise ValueError(f"There is a run {folder.name} in the trash already; delete that one for good first.")
    os.rename(folder, target)
    os.utime(target)  # when it was deleted
    return f"Run {folder.name} is in the trash; python lab.py run restore {folder.name} brings it back."


def _refuse_needed(run: str) -> None:
    """ValueError where a run that waits or trains takes this one as an input."""
    for folder in rundir.directories():
        status = rundir.read_status(folder)
        if status.state in rundir.WAITING + rundir.ACTIVE and not status.is_finished:
            with contextlib.suppress(ValueError):  # damaged: it needs nothing any more
                needs = run in rundir.read_spec(folder).inputs.values()
                if needs:
                    break
    else:
        return
    raise ValueError(f"Run {folder.name} is {status.state} and needs run {run}; stop that one first.")


def trashed() -> list[Path]:
    """The runs in the trash, the one deleted last first."""
    folders = [path for path in paths.trash().iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)


def find(run: str) -> Path:
    """A run in the trash by its id, the unique start of one, or `latest`: the one deleted last; else ValueError."""
    folders = trashed()
    if run == "latest" and folders:
        return folders[0]
    matches = [path for path in folders if path.name == run] or [path for path in folders if path.name.startswith(run)]
    if len(matches) == 1 and run:
        return matches[0]
    if matches and run:
        raise ValueError(f"{run!r} fits {len(matches)} runs in the trash; write more of its name.")
    raise ValueError("The trash is empty." if run == "latest" else f"There is no run {run!r} in the trash.")


def restore(folder: Path) -> Path:
    """Bring a run back from the trash; returns its directory. It does not wait in the queue again by itself."""
    target = paths.runs() / folder.name
    if target.exists():
        raise ValueError(f"There is a run {folder.name} already; the one in the trash stays there.")
    os.rename(folder, target)
    return target


def delete_for_good(folder: Path) -> None:
    """Remove a run, from the trash or from the runs (then as in `delete`), with all its files. No way back."""
    if folder.parent != paths.trash():
        delete(folder)
    doomed = paths.trash() / f".{folder.name}.{time.time_ns()}"  # half of a run is never seen
    try:
        os.rename(paths.trash() / folder.name, doomed)
    except FileNotFoundError:
        raise ValueError(f"Run {folder.name} is no longer in the trash.") from None
    shutil.rmtree(doomed, ignore_errors=True)  # somebody who empties the trash may be at it, too


def empty() -> int:
    """Remove every run in the trash, and what an emptying that was cut short left; returns the number of runs.

    What is deleted while this goes on stays, and so can be restored.
    """
    n_gone = 0
    for folder in trashed():
        with contextlib.suppress(ValueError):  # restored, or removed by somebody else, meanwhile
            delete_for_good(folder)
            n_gone += 1
    for left in paths.trash().glob(".*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    return n_gone
