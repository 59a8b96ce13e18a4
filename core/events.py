"""What a trainer yields and what it hands back: the whole vocabulary between a trainer and the lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Changes = dict[str, Any]
"""Hot knobs the user moved, by name; sent into `fit` at a yield."""


@dataclass(frozen=True)
class Metrics:
    """Numbers at one moment of training. `values` maps `<split>/<metric>` (or `optim/<name>`) to a float;
    `step` counts parameter updates, `epoch` passes over the training data (fractions allowed)."""

    step: int
    epoch: float
    values: dict[str, float]


@dataclass(frozen=True)
class Snapshot:
    """Something to look at or listen to. `payload` has a `kind` (image, audio, table, histogram) and its data."""

    name: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on exactly. `state` is a nested dict of arrays, tensors, JSON scalars and bytes;
    `state["model"]` alone is what `predict` needs, so that any epoch can be listened to."""

    state: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """The end. `model` is a nested dict like a checkpoint's `state["model"]`; `input` names what it eats
    (`lib164`, `lib73`, `opensmile260`, `logmel`, `wave16k`, `pixels`). `reason` says why training ended."""

    model: dict[str, Any]
    input: str
    reason: str = "all epochs done"


Event = Metrics | Snapshot | Checkpoint | Done


@dataclass(frozen=True)
class Freeze:
    """Sent into `fit_many` where changes would be: this one trains no further (it was stopped, or diverged).

    `fit_many` yields `(i, Event)` and receives None or `{i: Changes | Freeze}`, an answer to the event of that very i.
    A frozen one yields nothing more, not even `Done`; the others go on as if nothing had happened.
    """


@dataclass(frozen=True)
class Inputs:
    """One representation of a clip, or of the items of a data set, ready for a model.

    `values` is [n, ...]: n windows of a clip, or n items. `times_s` [n] is the centre of each window in seconds.
    """

    name: str
    values: np.ndarray
    times_s: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What a model says. `values` [n, labels] in `unit` ("1–9", "probability"), one row per entry of `times_s`."""

    times_s: np.ndarray
    values: np.ndarray
    labels: tuple[str, ...]
    unit: str
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """Rows of a data set for learning or scoring.

    `inputs` [n, ...], `targets` [n, labels], `items` and `groups` n strings, `times_s` [n]. An item may have
    several rows (windows of one song); scores are always taken per item, never per window.
    """

    inputs: np.ndarray
    targets: np.ndarray
    items: np.ndarray
    groups: np.ndarray
    times_s: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class FitData:
    """What `fit` is given: training and validation rows, never test. `input` names the representation,
    `columns` its columns where it is a table, `window_s` the length of one row's audio in seconds (0: unknown)."""

    train: Part
    validation: Part
    task: str
    labels: tuple[str, ...]
    unit: str
    input: str
    columns: tuple[str, ...] = ()
    window_s: float = 0.0
