"""Finished runs in a moment: the real runner in this process, on random rows that stand in for a data set."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import trainers
from core import datasets, rundir, runner, supervisor
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES, Dataset
from core.events import Part

SHAPES = {"lib164": (164,), "lib73": (73,), "logmel": (128, 94), "opensmile260": (260,), "pixels": (49,)}
"""What one row of an input looks like; 94 frames are three seconds of log-mel."""


def stand_in(name: str, task: str, input: str, window_s: float, n: int = 40, *, is_broken: bool = False) -> Dataset:
    """A data set of random rows (not numbers where `is_broken`), two items a group."""
    random = np.random.default_rng(7)
    labels = {"emotion": EMOTION_LABELS, "digits": tuple("0123456789")}.get(task, IRMAS_CLASSES)
    values = random.standard_normal((n, *SHAPES[input])).astype(np.float32)
    if is_broken:
        values[:] = np.nan
    items, groups = np.array([f"item-{i:02d}" for i in range(n)]), np.array([f"group-{i // 2:02d}" for i in range(n)])
    if task == "emotion":
        targets = np.clip(5 + values[:, :2].reshape(n, 2), 1, 9).astype(float)
    else:
        targets = np.eye(len(labels))[np.arange(n) % len(labels)]

    def rows(input: str, indices: Any, window_s: float, progress: datasets.Progress) -> Part:
        chosen = np.asarray(indices)
        return Part(values[chosen], targets[chosen], items[chosen], groups[chosen], np.zeros(len(chosen)))

    return Dataset(
        name=name,
        version="1",
        task=task,
        labels=labels,
        unit="1–9" if task == "emotion" else "probability",
        items=items,
        groups=groups,
        targets=targets,
        inputs=(input,),
        rows=rows,
        licence="CC0",
        citation="Random numbers",
        about="Random numbers.",
        window_s={input: window_s},
    )


def new(trainer: str, dataset: Dataset, values: dict[str, Any] | None = None, seed: int = 0) -> Path:
    """A queued run on a stand-in; nothing will start it."""
    spec = supervisor.new_spec(trainers.load(trainer), values or {}, data=_known(dataset), seed=seed, device="cpu")
    changed = {"data": dataset.name, "task": dataset.task, "split": "grouped:0"}
    return rundir.create(rundir.Spec(**(vars(spec) | changed)))


def go(folder: Path, dataset: Dataset) -> Path:
    """Run it to its end in this process; returns its directory.

    A process that is asked to end (by a time limit, say) is this one and ends: the run must not take that for a stop
    of its own, and leave a failed test behind in place of an ended one.
    """
    with mock.patch.object(datasets, "load", lambda *_: dataset), mock.patch.object(signal, "signal"):
        runner.main(folder)
    return folder


def finished(trainer: str, dataset: Dataset, values: dict[str, Any] | None = None, seed: int = 0) -> Path:
    """A run of `trainer` on `dataset`, done."""
    folder = go(new(trainer, dataset, values, seed), dataset)
    assert rundir.read_status(folder).state == "done", rundir.read_status(folder).reason
    return folder


def emotion(name: str = "cues-small", input: str = "lib164", window_s: float = 3.0, **values: Any) -> Path:
    """A finished ridge that can listen."""
    return finished("ridge", stand_in(name, "emotion", input, window_s), values)


def instruments(name: str = "cues") -> Path:
    """A finished InstruNet of four filters that has seen two batches."""
    small = {"width": 4, "kernel": 3, "epochs": 1, "batch_size": 32}
    return finished("instrunet", stand_in(name, "instruments", "logmel", 3.0), small)


def _known(dataset: Dataset) -> str:
    """The name of a data set made on the spot with this task, so that a spec can be made without any files."""
    return "toy" if "toy12" in dataset.inputs else "cues-small"
