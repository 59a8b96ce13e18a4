"""The smallest trainer: linear or logistic regression by mini-batch gradient descent, in numpy alone.

For tests and for teaching. It takes any task and any table (what has more dimensions is flattened), learns in well
under a second, and shows everything a trainer does: step 0, hot knobs, early stopping, exact resuming. Targets that
are all 0 or 1 make it logistic (binary cross-entropy, nats), any others linear (mean squared error).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Freeze, Inputs, Metrics, Prediction
from trainers import _common as common

TASKS = ("emotion", "instruments", "digits", "images", "generation")
INPUTS = ("toy12", "lib164", "lib73", "opensmile260", "logmel", "pixels")
DEVICES = ("cpu",)
PRESETS: dict[str, dict[str, Any]] = {"default": {}, "slow motion: five steps a second": {"seconds_per_step": 0.2}}
MONITOR = "validation/loss"
LOSS = "Mean over rows and labels: squared error (squared points), or where labels are classes cross-entropy in nats."
ARE_SEEDS_POOLED = True
BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Config:
    learning_rate: float = knob(
        0.1, "Step size of gradient descent.", low=1e-6, high=100.0, scale="log", hot=True
    )  # far above 1 it diverges, which is something a class should see
    momentum: float = knob(0.9, "Share of the last step that is taken again.", low=0.0, high=0.999, branch=True)
    weight_decay: float = knob(
        0.0, "Pull of every weight towards zero (decoupled, per step and learning rate).", low=0.0, high=1.0, hot=True
    )
    dropout: float = knob(0.0, "Share of the inputs that are hidden at each step.", low=0.0, high=0.95, hot=True)
    epochs: int = knob(20, "Passes over the training data.", low=1, high=10_000, unit="epochs", branch=True)
    batch_size: int = knob(64, "Rows per step.", low=1, high=65_536, scale="log", unit="rows", branch=True)
    patience: int = knob(
        0,
        "Epochs without improvement after which training stops; 0 never stops early.",
        low=0,
        high=1000,
        unit="epochs",
        branch=True,
    )
    min_delta: float = knob(
        0.0, "Fall of the validation loss that counts as an improvement.", low=0.0, high=10.0, branch=True
    )
    window_seconds: float = knob(
        3.0, "Length of the slices of audio it learns from; tables ignore it.", low=0.1, high=60.0, unit="s"
    )
    seconds_per_step: float = knob(
        0.0, "Pause before each step, to watch or to interrupt a run that would be over at once.", low=0.0, high=10.0,
        unit="s", branch=True,
    )  # fmt: skip


def fit(
    data: FitData,
    config: Config,
    *,
    generator: np.random.Generator,
    device: str = "cpu",
    state: dict[str, Any] | None = None,
) -> Generator[Event, Changes | None, None]:
    """Trains on `data.train`, watches `data.validation`; yields events as core/events.py says."""
    inputs = data.train.inputs.reshape(len(data.train), -1)
    targets = np.asarray(data.train.targets, dtype=np.float64)
    stopping = common.EarlyStopping(config.patience, config.min_delta)
    changed: dict[str, Any] = {}
    if state is None:
        model = _start(data, inputs, targets, generator)
        best, velocity, step, first_epoch = model, _zeros(model), 0, 0
        config = common.moved(config, (yield Metrics(0, 0.0, _epoch_values(model, data))), changed)
    else:
        model, best, velocity = _arrays(state["model"]), _arrays(state["best_model"]), _arrays(state["velocity"])
        step, first_epoch = int(state["step"]), int(state["epoch"])
        config = common.moved(config, dict(state["changed"]), changed)
        stopping.restore(state["stopping"])
        common.restore_generator(generator, state["generator"])

    batches = -(-len(inputs) // config.batch_size)
    epoch = first_epoch
    while epoch < config.epochs and not stopping.is_over:
        losses = []
        for batch, rows in enumerate(np.array_split(generator.permutation(len(inputs)), batches)):
            time.sleep(config.seconds_per_step)
            z = _inputs(inputs[rows], model)
            if config.dropout:
                z = z * (generator.random(z.shape) >= config.dropout) / (1 - config.dropout)
            loss, gradient = _loss_and_gradient(model, z, targets[rows])
            for name in gradient:
                velocity[name] = config.momentum * velocity[name] + gradient[name]
            decay = 1 - config.learning_rate * config.weight_decay
            model = model | {
                "weights": decay * model["weights"] - config.learning_rate * velocity["weights"],
                "bias": model["bias"] - config.learning_rate * velocity["bias"],
            }
            step += 1
            losses.append(loss)
            values = {
                "train/loss": loss,
                "optim/learning_rate": config.learning_rate,
                "optim/gradient_norm": float(np.sqrt(sum((g**2).sum() for g in gradient.values()))),
            }
            if batch + 1 < batches:  # the last step of an epoch is reported with the epoch
                event = Metrics(step, epoch + (batch + 1) / batches, values)
                config = common.moved(config, (yield event), changed)
        epoch += 1
        values |= _epoch_values(model, data) | {"train/loss": float(np.mean(losses))}
        if stopping.update(values[MONITOR], epoch):
            best = model
        config = common.moved(config, (yield Metrics(step, float(epoch), values)), changed)
        kept = {
            "model": model,
            "best_model": best,
            "velocity": dict(velocity),
            "step": step,
            "epoch": epoch,
            "changed": dict(changed),
            "stopping": stopping.state(),
            "generator": common.generator_state(generator),
        }
        config = common.moved(config, (yield Checkpoint(kept)), changed)
    yield Done(best, data.input, stopping.reason(epoch))


def together(config: Config) -> tuple[Any, ...]:
    """Configurations with the same answer may train in one process: all that differs may, but for what paces them."""
    return config.epochs, config.batch_size, config.window_seconds, config.seconds_per_step


def fit_many(
    data: FitData,
    configs: list[Config],
    *,
    generators: list[np.random.Generator],
    device: str = "cpu",
    states: list[dict[str, Any]] | None = None,
) -> Generator[tuple[int, Event], dict[int, Changes | Freeze] | None, None]:
    """Many of them in one process, an epoch of each in turn. Each is its own `fit`, and so is its curve: the model is
    so small that what is saved is the start of a process, not arithmetic."""
    begun: list[dict[str, Any] | None] = list(states) if states is not None else [None] * len(configs)
    runs = {
        place: fit(data, config, generator=generators[place], device=device, state=begun[place])
        for place, config in enumerate(configs)
    }
    answers: dict[int, Any] = dict.fromkeys(runs)
    while runs:
        for place in list(runs):
            event: Event | None = None
            while place in runs and not isinstance(event, Checkpoint):
                event = runs[place].send(answers[place])
                reply = yield place, event
                answers[place] = (reply or {}).get(place)
                if isinstance(event, Done) or isinstance(answers[place], Freeze):
                    runs.pop(place).close()


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """One row of `labels` per row of `inputs`; ValueError for another number of columns than it learned from."""
    z, warnings = common.standardise_foreign(inputs, model)
    values, clipped = common.clip_to_unit(_forward(_arrays(model), z / np.sqrt(z.shape[1])), model["unit"])
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings + clipped)


def _start(data: FitData, inputs: np.ndarray, targets: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """The model at step 0: nearly the mean of the targets."""
    mean, sd = common.moments(inputs)
    is_logistic = bool(np.isin(targets, (0.0, 1.0)).all())
    bias = targets.mean(axis=0)
    if is_logistic:
        share = np.clip(bias, 1e-3, 1 - 1e-3)
        bias = np.log(share / (1 - share))
    return {
        "weights": 0.01 * generator.standard_normal((inputs.shape[1], targets.shape[1])),
        "bias": bias,
        "mean": mean,
        "sd": sd,
        "is_logistic": is_logistic,
    } | common.card(data)


def _inputs(rows: np.ndarray, model: dict[str, Any]) -> np.ndarray:
    # Rows of length about 1 keep the largest curvature near 1, so that one learning rate suits any number of columns.
    return common.standardise(rows, model["mean"], model["sd"]) / np.sqrt(rows.shape[1])


def _forward(model: dict[str, Any], z: np.ndarray) -> np.ndarray:
    """Predictions [n, labels] from scaled inputs [n, d]."""
    output = z @ model["weights"] + model["bias"]
    # tanh cannot overflow; 1 / (1 + exp(-x)) can.
    return 0.5 + 0.5 * np.tanh(0.5 * output) if model["is_logistic"] else output


def _loss(model: dict[str, Any], prediction: np.ndarray, targets: np.ndarray) -> float:
    """Mean over rows and labels: binary cross-entropy in nats, or squared error."""
    if not model["is_logistic"]:
        return float(np.mean((prediction - targets) ** 2))
    safe = np.clip(prediction, 1e-12, 1 - 1e-12)
    return float(-np.mean(targets * np.log(safe) + (1 - targets) * np.log1p(-safe)))


def _loss_and_gradient(model: dict[str, Any], z: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, Any]]:
    prediction = _forward(model, z)
    # Both losses have the same derivative at the output, but for the 2 of the square.
    slope = (prediction - targets) * (1 if model["is_logistic"] else 2) / targets.size
    return _loss(model, prediction, targets), {"weights": z.T @ slope, "bias": slope.sum(axis=0)}


def _epoch_values(model: dict[str, Any], data: FitData) -> dict[str, float]:
    part = data.validation
    starts = range(0, len(part), BLOCK_ROWS)
    flat = part.inputs.reshape(len(part), -1)
    blocks = [_forward(model, _inputs(flat[start : start + BLOCK_ROWS], model)) for start in starts]
    prediction = np.concatenate(blocks)
    return common.validation_values(data, prediction, _loss(model, prediction, part.targets))


def _zeros(model: dict[str, Any]) -> dict[str, Any]:
    return {name: np.zeros_like(model[name]) for name in ("weights", "bias")}


def _arrays(tree: dict[str, Any]) -> dict[str, Any]:
    """A model after it was read back: arrays as float64, the rest as it is."""
    numbers = ("weights", "bias", "mean", "sd")
    return {name: np.asarray(value, dtype=np.float64) if name in numbers else value for name, value in tree.items()}
