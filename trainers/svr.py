"""Support vector regression with a Gaussian kernel: songs that sound alike get like valence and arousal.

One machine per label on standardised features (Drucker et al. 1997, NIPS 9; Smola & Schölkopf 2004). C = 1 is what a
published DEAM experiment chose (R² valence .50, arousal .57). The solver is exact, so that training seeds change
nothing. The model keeps rows of its training data (the support vectors): mind their licence before passing it on.
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
PRESETS: dict[str, dict[str, Any]] = {"published": {}, "follows every song": {"C": 30.0, "epsilon": 0.05}}
MONITOR = "validation/loss"
LOSS = "Mean squared error of valence and arousal (squared points), over all slices of the clips of the part."
ARE_SEEDS_POOLED = False
BLOCK_ROWS = 512


@dataclass(frozen=True)
class Config:
    C: float = knob(
        1.0, "Price of an error beyond the tube; larger follows the data closer.", low=1e-3, high=1e3, scale="log"
    )
    epsilon: float = knob(
        0.1, "Half width of the tube inside which an error costs nothing.", low=0.0, high=4.0, unit="points of 1–9"
    )
    gamma_factor: float = knob(
        1.0,
        'Narrowness of the kernel, in units of 1 / (columns × their variance), scikit-learn\'s "scale".',
        low=1e-3,
        high=1e3,
        scale="log",
    )
    most_rows: int = knob(
        6000,
        "Rows it learns from at most, evenly spaced; its time grows with the square of the rows.",
        low=10,
        high=100_000,
        scale="log",
        unit="rows",
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
    """One solution per label: step 0 predicts the training mean, step k has the machines of k labels."""
    if state is None:
        mean, sd = common.moments(data.train.inputs)
        z = common.standardise(data.train.inputs, mean, sd)
        z_validation = common.standardise(data.validation.inputs, mean, sd)
        bias = data.train.targets.mean(axis=0, dtype=np.float64)
        train, validation = np.tile(bias, (len(z), 1)), np.tile(bias, (len(z_validation), 1))
        yield Metrics(0, 0.0, common.regression_values(data, train, validation))
        rows = np.linspace(0, len(z) - 1, min(len(z), config.most_rows)).round().astype(int)
        machines = {}
        for column, label in enumerate(data.labels):
            machines[label] = _machine(z[rows], data.train.targets[rows, column], config)
            train[:, column] = _forward(machines[label], z)
            validation[:, column] = _forward(machines[label], z_validation)
            epoch = (column + 1) / len(data.labels)
            yield Metrics(column + 1, epoch, common.regression_values(data, train, validation))
        model = {"machines": machines, "mean": mean, "sd": sd} | common.card(data)
        state = {"model": model, "step": len(data.labels), "epoch": 1}
        yield Checkpoint(state)
    yield Done(state["model"], data.input, "solved exactly")


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """One row of `labels` (1–9) per row of `inputs`; ValueError for another representation than it learned from."""
    z, warnings = common.standardise_foreign(inputs, model)
    columns = [_forward(model["machines"][label], z) for label in model["labels"]]
    values, clipped = common.clip_to_unit(np.stack(columns, axis=1), model["unit"])
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings + clipped)


def _machine(z: np.ndarray, targets: np.ndarray, config: Config) -> dict[str, Any]:
    """The fitted machine of one label as arrays: scikit-learn solves, but only numpy is needed to predict."""
    from sklearn.svm import SVR

    gamma = config.gamma_factor / (z.shape[1] * max(float(z.var()), 1e-12))
    machine = SVR(C=config.C, epsilon=config.epsilon, gamma=gamma)
    machine.random_state = 0  # the solver ignores it, but without it fit() would draw from numpy's global generator
    fitted = machine.fit(z, targets)
    return {
        "support_vectors": fitted.support_vectors_,
        "dual_coefficients": fitted.dual_coef_[0],
        "intercept": float(fitted.intercept_[0]),
        "gamma": gamma,
    }


def _forward(machine: dict[str, Any], z: np.ndarray) -> np.ndarray:
    """Sum over support vectors s of a_s exp(-gamma |z - s|²), plus the intercept: [n, d] → [n]."""
    support, dual = np.asarray(machine["support_vectors"]), np.asarray(machine["dual_coefficients"])
    squares, values = (support**2).sum(axis=1), np.empty(len(z))
    for start in range(0, len(z), BLOCK_ROWS):
        rows = z[start : start + BLOCK_ROWS]
        distance = (rows**2).sum(axis=1)[:, None] + squares - 2 * rows @ support.T
        values[start : start + BLOCK_ROWS] = np.exp(-float(machine["gamma"]) * np.maximum(distance, 0)) @ dual
    return values + float(machine["intercept"])
