"""What several trainers share: standardised columns, honest warnings, early stopping, a generator as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from core import metrics
from core.events import Changes, FitData, Inputs

FAR_OUTSIDE_SD = 3.0
"""Median |z| over columns from which a row counts as unlike the training data (a normal row has 0.67)."""

C = TypeVar("C")


def moments(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of [n, d]; a constant column gets 1, so that it becomes 0.

    Raises ValueError where a value is not finite.
    """
    if not np.isfinite(inputs).all():
        bad = int((~np.isfinite(inputs)).any(axis=tuple(range(1, inputs.ndim))).sum())
        raise ValueError(
            f"{bad} of {len(inputs)} training rows hold values that are not numbers; leave those rows out."
        )
    mean, sd = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
    # The rounding error of a constant column is not a spread; dividing by it would blow up any other value.
    return mean, np.where(sd > 1e-9 * (1 + np.abs(mean)), sd, 1.0)


def standardise(inputs: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Columns of [n, d] in standard deviations from the training mean, float64."""
    return (np.asarray(inputs, dtype=np.float64) - mean) / sd


def standardise_foreign(inputs: Inputs, model: dict[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Rows the model has not seen as z [n, d], with what should be said about them.

    Values that are not numbers become the training mean (z = 0). Raises ValueError for another representation
    or another number of columns.
    """
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    mean, sd = np.asarray(model["mean"]), np.asarray(model["sd"])
    values = np.asarray(inputs.values, dtype=np.float64).reshape(len(inputs.values), -1)
    if values.shape[1] != mean.size:
        raise ValueError(f"The model was trained on {mean.size} columns and was given {values.shape[1]}.")
    z, warnings = standardise(values, mean.reshape(-1), sd.reshape(-1)), []
    missing = ~np.isfinite(z)
    if missing.any():
        z[missing] = 0.0
        warnings.append(
            f"{missing.mean():.1%} of the inputs were not numbers; the training mean stands in their place."
        )
    if len(z) and float(np.median(np.median(np.abs(z), axis=1))) > FAR_OUTSIDE_SD:
        warnings.append("This clip lies far outside what the model was trained on.")
    return z, warnings


def clip_to_unit(values: np.ndarray, unit: str) -> tuple[np.ndarray, list[str]]:
    """Predictions inside the range of their unit ("1–9", "probability"), and a warning where that moved one."""
    low, high = (1.0, 9.0) if unit == "1–9" else (0.0, 1.0)
    clipped = np.clip(values, low, high)
    moved = int((clipped != values).any(axis=-1).sum())
    if not moved:
        return clipped, []
    return clipped, [f"{moved} of {len(values)} predictions lay outside {low:g} to {high:g} and were clipped."]


def validation_values(data: FitData, prediction: np.ndarray, loss: float) -> dict[str, float]:
    """`validation/loss` and the task's scores of a prediction [n, labels]; only the loss where one is not finite.

    Scores are those of what `predict` will say, that is, clipped to the unit's range.
    """
    values = {"validation/loss": float(loss)}
    if np.isfinite(prediction).all():
        part, (inside, _) = data.validation, clip_to_unit(prediction, data.unit)
        found = metrics.score(data.task, part.targets, inside, data.labels, part.items)
        values |= {f"validation/{name}": float(value) for name, value in found.items()}
    return values


def regression_values(data: FitData, train: np.ndarray, validation: np.ndarray) -> dict[str, float]:
    """Losses (mean squared error over rows and labels) and validation scores of two predictions [n, labels]."""
    train_loss = float(np.mean((train - data.train.targets) ** 2))
    loss = float(np.mean((validation - data.validation.targets) ** 2))
    return {"train/loss": train_loss} | validation_values(data, validation, loss)


def card(data: FitData) -> dict[str, Any]:
    """What every model says of itself: what it eats and what its outputs mean."""
    return {"input": data.input, "columns": list(data.columns), "labels": list(data.labels), "unit": data.unit}


def moved(config: C, changes: Changes | None, changed: dict[str, Any]) -> C:
    """The configuration after the user's `changes`, which are also noted in `changed` for the checkpoint."""
    changed.update(changes or {})
    return dataclasses.replace(config, **changes) if changes else config  # type: ignore[type-var]


@dataclass
class EarlyStopping:
    """Whether `validation/loss` still falls; lower is better. patience 0 never stops.

    The best model is the lowest loss ever; patience counts epochs since the loss last fell by more than `min_delta`.
    """

    patience: int
    min_delta: float
    best: float = float("inf")
    best_epoch: int = 0
    reference: float = float("inf")
    waited: int = 0

    def update(self, loss: float, epoch: int) -> bool:
        """Takes the loss of an epoch; True where it is the best so far."""
        if loss < self.reference - self.min_delta:
            self.reference, self.waited = loss, 0
        else:
            self.waited += 1
        if is_best := loss < self.best:
            self.best, self.best_epoch = float(loss), epoch
        return is_best

    @property
    def is_over(self) -> bool:
        return 0 < self.patience <= self.waited

    def reason(self, epoch: int, unit: str = "epochs") -> str:
        """Why training ended after `epoch`, for `Done.reason`."""
        if not self.is_over:
            return f"all {epoch} {unit} done"
        return (
            f"early stopping after {unit.removesuffix('s')} {epoch}: no improvement of validation/loss by more than "
            f"{self.min_delta:g} for {self.patience} {unit}"
        )

    def state(self) -> dict[str, float | None]:
        """What a checkpoint keeps; JSON has no infinity, so "none yet" is None."""
        kept = {name: getattr(self, name) for name in ("best", "best_epoch", "reference", "waited")}
        return {name: value if np.isfinite(value) else None for name, value in kept.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` returned."""
        for name, kind in (("best", float), ("best_epoch", int), ("reference", float), ("waited", int)):
            setattr(self, name, kind(float("inf") if state[name] is None else state[name]))


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """A numpy generator's state as JSON; its 128-bit integers become strings, which every reader keeps exact."""

    def as_json(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_json(entry) for key, entry in value.items()}
        return str(value) if isinstance(value, int) else value

    return as_json(generator.bit_generator.state)


def restore_generator(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Sets the generator to what `generator_state` returned."""

    def from_json(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: from_json(name, entry) for name, entry in value.items()}
        return value if key == "bit_generator" else int(value)

    generator.bit_generator.state = from_json("", state)
