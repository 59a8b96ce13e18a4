"""What a user does to runs: pause, resume, stop, change, clone, rerun, reorder. The page and the terminal call this.

The other side, where a run obeys, is core/steering.py. Branches are in core/branching.py, deleting in core/trash.py.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import config, rundir, steering, supervisor, sweepflags
from core.runner import load_trainer

ENDED_EARLY = ("stopped", "diverged", "failed", "lost")


def stop(folder: Path) -> str:
    """Ask a run to stop; returns what happens now. A queued run is taken out of the queue."""
    status = rundir.read_status(folder)
    if status.state == "queued" and supervisor.claim(folder):
        ended = replace(status, state="stopped", reason="Taken out of the queue.", ended_at=time.time())
        rundir.set_status(folder, ended)
        return "It was waiting and is taken out of the queue."
    if status.state == "paused" and status.is_finished:
        ended = replace(status, state="stopped", reason="Stopped while it was paused.", ended_at=time.time())
        rundir.set_status(folder, ended)
        return "It was paused and is stopped; its last checkpoint stays."
    if status.is_finished:
        return f"It is {status.state} already."
    rundir.ask(folder, "stop")
    return "It stops at its next step."


def pause(folder: Path) -> str:
    """Ask a run to wait; returns what happens now. ValueError where it does not train."""
    status = rundir.read_status(folder)
    if status.state == "paused":
        return "It is paused already."
    if status.state not in ("starting", "running"):
        raise ValueError(f"Run {folder.name} is {status.state}; only a run that trains can be paused.")
    rundir.ask(folder, "pause")
    if rundir.read_spec(folder).device == "cpu":
        return "It pauses at its next step, and others may use the processor meanwhile."
    return "It pauses at its next step and keeps its place on the device."


def resume(folder: Path) -> str:
    """Let a paused run go on, or queue one that ended early, from its last checkpoint; returns what happens now.

    ValueError where there is nothing to resume.
    """
    status = rundir.read_status(folder)
    if not status.is_finished and (status.state == "paused" or rundir.is_asked(folder, "pause")):
        rundir.ask(folder, "resume")
        return "It goes on."
    if status.state not in ("stopped", "failed", "lost", "paused"):
        raise ValueError(
            f"Run {folder.name} is {status.state}; only a paused, stopped, failed or lost run can be resumed."
        )
    check_is_own(folder, "resumed")
    sweep = rundir.read_spec(folder).sweep
    if sweepflags.has(sweep, "cancelled"):
        raise ValueError(f"The sweep {sweep} of this run was cancelled; resume the sweep, and its runs go on.")
    for path, wish in rundir.wishes(folder):
        if wish["kind"] != "changes":  # an old stop or pause must not hold it again
            path.unlink(missing_ok=True)
    supervisor.enqueue(folder)
    return "It is in the queue."


def change(folder: Path, values: dict[str, Any]) -> str:
    """Ask for other hot knobs in a run that trains; returns what happens now.

    ValueError for a knob that is not hot or does not apply, a value out of range, and a run that does not train.
    """
    status, spec = rundir.read_status(folder), rundir.read_spec(folder)
    if not values:
        raise ValueError("Say what to change: knob=value.")
    trainer = load_trainer(spec.trainer)
    checked = config.hot_changes(trainer.Config, values)
    if status.is_finished or status.state == "queued":
        raise ValueError(
            f"Run {folder.name} is {status.state}; only a run that trains can be changed. "
            "Clone it, or branch from one of its checkpoints."
        )
    current, about = now(folder), config.knobs(trainer.Config)
    for name in checked:
        if not about[name].applies(current):
            needs = " and ".join(f"{k} is {' or '.join(map(str, v))}" for k, v in about[name].when.items())
            raise ValueError(f"{name} only applies when {needs}, which is not so in this run.")
    moved = {name: value for name, value in checked.items() if value != current.get(name)}
    if not moved:
        raise ValueError(f"Nothing changes: {', '.join(f'{k} is {v} already' for k, v in checked.items())}.")
    rundir.ask(folder, "changes", values=moved)
    told = ", ".join(f"{name} from {current.get(name)} to {value}" for name, value in moved.items())
    return f"From its next step on: {told}."


def now(folder: Path) -> dict[str, Any]:
    """The knobs of a run as they are now: its configuration with all its changes."""
    events, _ = rundir.read_events(folder)
    values = dict(rundir.read_spec(folder).config)
    for _, changes in steering.changes_of(events):
        values |= changes
    return values


def clone(folder: Path, *, seed: int | None = None) -> Path:
    """A new run with the same spec (or another seed), queued; returns its directory.

    Changes made by hand while the first one trained are not made again. A clone of a branch begins where that began.
    """
    spec = rundir.read_spec(folder)
    if spec.parent is not None and seed not in (None, spec.seed):
        raise ValueError(
            f"Run {spec.id} is a branch and draws on from its parent's random numbers; it has no other seed."
        )
    device = spec.device if spec.device in supervisor.devices() else "auto"
    fresh = supervisor.new_spec(
        load_trainer(spec.trainer),
        spec.config,
        data=spec.data,
        split=spec.split,
        seed=spec.seed if seed is None else seed,
        device=device,
    )
    fresh = replace(fresh, parent=spec.parent, parent_step=spec.parent_step)
    start = folder / "checkpoints" / "start.safetensors"
    if spec.parent is None:
        return supervisor.submit(fresh)
    events, _ = rundir.read_events(folder)
    branched = next((event for event in events if event["kind"] == "branched"), None)
    if branched is None or not start.exists():
        raise ValueError(f"Run {spec.id} is a branch whose beginning is gone; it cannot be cloned.")
    kept = {key: value for key, value in branched.items() if key not in ("n", "t", "kind")}
    made = rundir.create(fresh, start=start, branched=kept)
    supervisor.enqueue(made)
    return made


def rerun(folder: Path) -> Path:
    """Run again, from its beginning and as a new run, what ended early; returns the new run's directory."""
    state = rundir.read_status(folder).state
    if state not in ENDED_EARLY:
        hint = "clone it to run it once more" if state == "done" else "stop it first"
        raise ValueError(f"Run {folder.name} is {state}; only a run that ended early is rerun: {hint}.")
    return clone(folder)


def ended_badly() -> list[Path]:
    """The user's failed and lost runs, oldest first: one of each configuration and seed that nothing else came of."""
    alike: dict[tuple[str, int], list[Path]] = {}
    for folder in rundir.directories():
        try:
            spec = rundir.read_spec(folder)
        except ValueError:  # damaged: it cannot be run again
            continue
        alike.setdefault((spec.config_id, spec.seed), []).append(folder)
    is_bad = {
        folder: rundir.read_status(folder).state in ("failed", "lost") for runs in alike.values() for folder in runs
    }
    found = [max(runs, key=lambda folder: folder.name) for runs in alike.values() if all(is_bad[run] for run in runs)]
    return sorted(folder for folder in found if not rundir.is_starter(folder))


def check_is_own(folder: Path, what: str) -> None:
    """ValueError for a run that ships with the project."""
    if rundir.is_starter(folder):
        raise ValueError(f"Run {folder.name} ships with Earshot and cannot be {what}; clone it to have your own.")


def reorder(folder: Path, to: int) -> str:
    """Move a waiting run to place `to` (from 1) of the queue; ValueError where it does not wait or there is no such."""
    markers = sorted(path for path in supervisor.queue().iterdir() if path.name[0] != ".")
    own = next((path for path in markers if path.name.partition("-")[2] == folder.name), None)
    if own is None:
        raise ValueError(f"Run {folder.name} is {rundir.read_status(folder).state} and not in the queue.")
    if not 1 <= to <= len(markers):
        raise ValueError(f"The queue has {len(markers)} place{'s' * (len(markers) > 1)}; choose 1 to {len(markers)}.")
    others = [path for path in markers if path != own]
    before = _place(others[to - 2]) if to > 1 else 0
    after = _place(others[to - 1]) if to <= len(others) else max(time.time_ns(), before + 2)
    if after - before >= 2:
        _move(own, (before + after) // 2)
    else:  # no room between these two: all are numbered anew, a millisecond apart, before whatever comes next
        order = [*others[: to - 1], own, *others[to - 1 :]]
        first = max(time.time_ns(), _place(markers[-1])) - len(order) * 10**6
        for number, path in enumerate(order):
            _move(path, first + number * 10**6)
    return f"It is number {to} of {len(markers)} in the queue."


def _place(marker: Path) -> int:
    return int(marker.name.partition("-")[0])


def _move(marker: Path, place: int) -> None:
    try:
        os.rename(marker, marker.with_name(f"{place:020d}-{marker.name.partition('-')[2]}"))
    except FileNotFoundError:
        raise ValueError(f"Run {marker.name.partition('-')[2]} is starting just now.") from None
