"""Branches: runs that begin from another run's checkpoint with other knobs.

Only a full state can be branched from: those of the last and the best epoch and of log-spaced epochs in between. A
branch keeps the data set and the split of its parent, so what the parent learned from is never its test.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import checkpoints, config, paths, rundir, steering, supervisor
from core.runner import load_trainer


def branch(folder: Path, values: dict[str, Any] | None = None, *, epoch: str = "last") -> Path:
    """A new run, queued, that begins from a checkpoint of the run in `folder`; returns its directory.

    `epoch` is "last", "best" or a whole number; `values` are knobs that shall differ from what was in force there.
    Raises ValueError where there is no such full state, a knob cannot differ, or nothing is left to train.
    """
    spec = rundir.read_spec(folder)
    trainer = load_trainer(spec.trainer)
    checked = branch_changes(trainer.Config, values or {})
    held = paths.cache() / f".branching-{spec.id}.{threading.get_ident()}.{os.getpid()}"
    try:
        point = _point(folder, epoch)
        rundir.share(point, held)  # a run that trains replaces its files; this one stays
        saved = checkpoints.load_state(held, named=point)
        events, _ = rundir.read_events(folder)
        in_force = steering.knobs_at(spec, events, int(saved["step"]))
        made = config.to_dict(config.make(trainer.Config, in_force | checked))
        _check_something_is_left(spec.id, trainer.Config, made, saved)
        version = next((event["version"] for event in reversed(events) if event["kind"] == "data"), None)
        fresh = _spec(spec, trainer, made, version, int(saved["step"]))
        moved = {name: [in_force.get(name), value] for name, value in made.items() if value != in_force.get(name)}
        about = {"parent": spec.id, "step": int(saved["step"]), "epoch": float(saved["epoch"]), "values": moved}
        made_folder = rundir.create(fresh, start=held, branched={**about, "data_version": version})
    finally:
        held.unlink(missing_ok=True)
    supervisor.enqueue(made_folder)
    return made_folder


def branch_changes(config_class: type, values: dict[str, Any]) -> dict[str, Any]:
    """Checked values for a branch; ValueError for a knob that is fixed in what the checkpoint holds."""
    about, checked = config.knobs(config_class), {}
    for name, value in values.items():
        checked[name] = config.read(config_class, name, value)
        if not (about[name].hot or about[name].branch):
            able = ", ".join(key for key, entry in about.items() if entry.hot or entry.branch) or "none"
            raise ValueError(f"{name} is fixed in the checkpoint and cannot differ in a branch; these can: {able}.")
    return checked


def points(folder: Path) -> list[checkpoints.Stored]:
    """The moments of a run that can be branched from, by step."""
    return [moment for moment in checkpoints.stored(folder) if moment.has_full_state]


def _point(folder: Path, epoch: str) -> Path:
    """The file of the state asked for."""
    able = points(folder)
    if not able:
        raise ValueError(
            f"Run {folder.name} keeps no full state of its training, and a branch needs one; clone it instead."
        )
    by_name = {name: moment for moment in able for name in moment.names}
    if epoch in ("last", "best") and epoch in by_name:
        return folder / "checkpoints" / f"{epoch}.safetensors"
    by_epoch = {round(moment.epoch): moment for moment in able}
    if epoch.isdecimal() and int(epoch) in by_epoch:
        return folder / "checkpoints" / f"{by_epoch[int(epoch)].names[0]}.safetensors"
    have = ", ".join(str(number) for number in sorted(by_epoch))
    raise ValueError(
        f"Run {folder.name} cannot be branched from epoch {epoch!r}: a branch needs the full state, which is kept for "
        f"{', '.join(name for name in ('last', 'best') if name in by_name)} and the epochs {have}; "
        "of the others only the weights are left."
    )


def _check_something_is_left(run: str, config_class: type, values: dict[str, Any], saved: dict[str, Any]) -> None:
    about, epoch = config.knobs(config_class), float(saved["epoch"])
    if "epochs" not in about:
        raise ValueError(f"Run {run} was solved in one step: nothing comes after its checkpoint; clone it instead.")
    if values["epochs"] <= epoch:
        unit = about["epochs"].unit
        raise ValueError(
            f"The checkpoint of run {run} stands at {epoch:g} {unit} and the branch would end at {values['epochs']}: "
            f"set epochs above {epoch:g}, or branch from an earlier epoch."
        )


def _spec(spec: rundir.Spec, trainer: Any, values: dict[str, Any], version: str | None, step: int) -> rundir.Spec:
    from core import datasets  # pandas comes with it

    found = datasets.load(spec.data, spec.task).version
    if version is not None and found != version:
        raise ValueError(
            f"{spec.data} has changed since run {spec.id} (version {version}, now {found}): "
            "what it learned from may now be test. Start a new run."
        )
    device = spec.device if spec.device in supervisor.devices() else "auto"
    fresh = supervisor.new_spec(trainer, values, data=spec.data, split=spec.split, seed=spec.seed, device=device)
    return replace(fresh, parent=spec.id, parent_step=step)


@dataclass(frozen=True)
class Relative:
    """One run of a family: where it began, with which knobs (name → [old, new]), and how deep it stands.

    `state` is that of the run, "in the trash", or "gone".
    """

    run: str
    depth: int
    state: str
    parent: str | None = None
    parent_step: int | None = None
    parent_epoch: float | None = None
    values: dict[str, list[Any]] | None = None
