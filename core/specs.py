"""Making the spec of a run from what a form, a command line or a sweep says: the only place where one is made."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import numpy as np

from core import config, paths, rundir
from core.datasets import Dataset
from core.machine import resolve_device


@dataclass(frozen=True)
class Ground:
    """What runs of one trainer on one data set and split share; checked once, however many there are."""

    trainer: ModuleType
    name: str
    data: str
    task: str
    split: str
    device: str
    dataset: Dataset
    assignment: np.ndarray
    versions: dict[str, str]
    revision: str


def prepare(trainer: ModuleType, *, data: str, split: str | None = None, device: str = "auto") -> Ground:
    """Check trainer, data, split and device against each other; ValueError for anything a user could get wrong."""
    from core import datasets
    from core.datasets import splits

    name, data = trainer.__name__.rpartition(".")[2], datasets.settled(data)
    offered = datasets.module(data).TASKS
    task = next((task for task in trainer.TASKS if task in offered), None)
    if task is None:
        wants, has = ", ".join(trainer.TASKS), ", ".join(offered)
        raise ValueError(f"{name} learns {wants}; {data} has labels for {has}.")
    if split is None:
        split = datasets.default_split(data, task)
    split = splits.parse(split).name  # cv10:0 and cv10:0.0 are one board
    dataset = datasets.load(data, task)  # missing files, or a split they do not have, are said before the queue
    assignment = splits.assign(dataset, split)
    splits.check_for_training(dataset, assignment, trainer.MONITOR)
    if not set(trainer.INPUTS) & set(dataset.inputs):
        raise ValueError(f"{name} eats {', '.join(trainer.INPUTS)}; {data} offers {', '.join(dataset.inputs)}.")
    resolved = resolve_device(device, trainer.DEVICES)
    return Ground(trainer, name, data, task, split, resolved, dataset, assignment, _versions(), revision())


def make(ground: Ground, values: dict[str, Any], *, seed: int = 0, parent: str | None = None) -> rundir.Spec:
    """The spec of a new run; ValueError for a wrong knob or seed, and a run used as input that is not there or saw
    what this one is judged by."""
    from core import lineage

    trainer = ground.trainer
    if not 0 <= seed < 2**32:
        raise ValueError(f"The seed must be 0 to 4294967295, not {seed}.")
    settings = config.make(trainer.Config, values)
    inputs = lineage.inputs_of(trainer.Config, settings)
    if hasattr(trainer, "check"):
        trainer.check(settings)
    lineage.refuse_leaks(inputs, ground.dataset, ground.assignment)
    return rundir.Spec(
        id=rundir.new_id(ground.name),
        trainer=ground.name,
        config=config.to_dict(settings) | inputs,  # with full ids, whatever was typed
        data=ground.data,
        task=ground.task,
        split=ground.split,
        seed=seed,
        device=ground.device,
        are_seeds_pooled=trainer.ARE_SEEDS_POOLED,
        inputs=inputs,
        parent=parent,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=ground.versions,
        revision=ground.revision,
    )


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("numpy", "torch", "scikit-learn", "xgboost")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def revision() -> str:
    """Short name of the commit that this code stands at; empty in a copy without git."""
    asked = ["git", "-C", str(paths.PROJECT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):  # a copy without git
        return ""
