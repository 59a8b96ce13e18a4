"""Ridge regression: valence and arousal as a weighted sum of a clip's features, weights kept small.

The plainest honest model of a table of audio features, and hard to beat on few hundred songs. Hoerl & Kennard 1970,
Technometrics 12(1); alpha 100 is what a published DEAM experiment chose by grid search (R² valence .45, arousal .54).
Its one fit has an exact solution, so that training seeds change nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common

TASKS = ("emotion",)
INPUTS = ("lib164", "lib73", "opensmile260")
DEVICES = ("cpu",)
PRESETS: dict[str, dict[str, Any]] = {"published": {}, "nearly least squares": {"alpha": 0.01}}
MONITOR = "validation/loss"
LOSS = "Mean squared error of valence and arousal (squared points), over all slices of the clips of the part."
ARE_SEEDS_POOLED = False


@dataclass(frozen=True)
class Config:
    alpha: float = knob(
        100.0, "Weight of the penalty on large coefficients; 0 is least squares.", low=1e-3, high=1e6, scale="log"
    )
    window_seconds: float = knob(
        3.0, "Length of the slices of audio it learns from; tables ignore it.", low=0.1, high=60.0, unit="s"
    )


def fit(
    data: FitData,
    config: Config,
    *,
    generator: np.random.Generator,
    device: str = "cpu",
    state: dict[str, Any] | None = None,
) -> Generator[Event, Changes | None, None]:
    """One exact solution: step 0 predicts the training mean, step 1 is the fit. Nothing is random."""
    if state is None:
        from sklearn.linear_model import Ridge

        mean, sd = common.moments(data.train.inputs)
        z = common.standardise(data.train.inputs, mean, sd)
        z_validation = common.standardise(data.validation.inputs, mean, sd)
        bias = data.train.targets.mean(axis=0, dtype=np.float64)
        yield Metrics(0, 0.0, common.regression_values(data, bias + 0 * z[:, :1], bias + 0 * z_validation[:, :1]))
        fitted = Ridge(alpha=config.alpha).fit(z, data.train.targets)
        model = {"weights": np.atleast_2d(fitted.coef_).T, "bias": np.atleast_1d(fitted.intercept_)}
        model |= {"mean": mean, "sd": sd} | common.card(data)
        predictions = _forward(model, z), _forward(model, z_validation)
        yield Metrics(1, 1.0, common.regression_values(data, *predictions))
        state = {"model": model, "step": 1, "epoch": 1}
        yield Checkpoint(state)
    yield Done(state["model"], data.input, "solved exactly")


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """One row of `labels` (1–9) per row of `inputs`; ValueError for another representation than it learned from."""
    z, warnings = common.standardise_foreign(inputs, model)
    values, clipped = common.clip_to_unit(_forward(model, z), model["unit"])
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings + clipped)


def _forward(model: dict[str, Any], z: np.ndarray) -> np.ndarray:
    """[n, d] in standard deviations → [n, labels] on 1–9."""
    return z @ np.asarray(model["weights"]) + np.asarray(model["bias"])
