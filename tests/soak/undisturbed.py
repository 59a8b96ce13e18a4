"""What a run becomes that nobody killed: its numbers and its weights, by `fit` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import trainers
from core import config, rundir, runner
from core.datasets import Dataset
from core.events import Changes, Done, Metrics


def undisturbed(folder: Path, dataset: Dataset) -> tuple[dict[tuple[int, str], float], dict[str, np.ndarray]]:
    """The numbers and the weights of a run that nobody killed, with the same changes at the same steps: `fit` alone."""
    spec = rundir.read_spec(folder)
    trainer = trainers.load(spec.trainer)
    asked: dict[int, Changes] = {}
    for event in rundir.read_events(folder)[0]:
        if event["kind"] == "changed":
            asked.setdefault(event["step"], {}).update({name: new for name, (_, new) in event["values"].items()})
    settings = config.make(trainer.Config, spec.config | ({"seconds_per_step": 0} if spec.trainer == "toy" else {}))
    data = _fit_data(folder, dataset)
    steps = trainer.fit(data, settings, generator=np.random.default_rng(spec.seed), device="cpu", state=None)
    numbers: dict[tuple[int, str], float] = {}
    changes: Changes | None = None
    while True:
        event = steps.send(changes)
        changes = None
        if isinstance(event, Done):
            return numbers, arrays(event.model)
        if isinstance(event, Metrics):
            numbers |= {(event.step, name): float(value) for name, value in event.values.items()}
            changes = asked.get(event.step)


def _fit_data(folder: Path, dataset: Dataset) -> Any:
    from core.datasets import splits

    with mock.patch.object(runner.rundir, "Writer"):
        one = runner.Run(folder, mock.Mock())
    with mock.patch.object(runner.Run, "note", lambda *_: None), mock.patch.object(runner.Run, "check_version"):
        return one.fit_data(dataset, splits.assign(dataset, rundir.read_spec(folder).split))


def arrays(tree: Any, place: str = "") -> dict[str, np.ndarray]:
    """All arrays of a nested dict by their place."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= arrays(value, f"{place}/{key}")
        elif hasattr(value, "shape"):
            found[f"{place}/{key}"] = np.asarray(value)
    return found
