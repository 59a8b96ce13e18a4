"""Boosted trees: many shallow trees, each correcting the error of those before it; one series per label.

XGBoost (Chen & Guestrin 2016, KDD), squared error, histogram method. A published DEAM experiment got R² .52 for
valence (50 trees, learning rate .1) and .56 for arousal (200 trees, .05), depth 3, stopping on its test data; here
stopping reads the validation part only.

The lab keeps the margin (the sum of the trees so far) and hands XGBoost the gradients of each round, because
XGBoost's own sampling of rows and columns does not go on identically from a saved model. Both are drawn from the
run's generator: a row that is left out has gradient 0 and curvature 0, a column that is left out has weight 0.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common

TASKS = ("emotion",)
INPUTS = ("lib164", "lib73", "opensmile260")
DEVICES = ("cpu", "cuda")
PRESETS: dict[str, dict[str, Any]] = {
    "published, valence": {
        "epochs": 50, "learning_rate": 0.1, "row_sample": 1.0, "column_sample": 1.0, "patience": 0,
    },
    "published, arousal": {
        "epochs": 200, "learning_rate": 0.05, "row_sample": 1.0, "column_sample": 1.0, "patience": 0,
    },
    "quick": {"epochs": 100, "learning_rate": 0.15},
}  # fmt: skip
MONITOR = "validation/loss"
LOSS = "Mean squared error of valence and arousal (squared points), over all slices of the clips of the part."
ARE_SEEDS_POOLED = True
CHECKPOINT_ROUNDS = 10
THREADS = 2


@dataclass(frozen=True)
class Config:
    epochs: int = knob(
        600, "Rounds of boosting at most; each adds one tree per label.", low=1, high=10_000, unit="rounds", branch=True
    )
    learning_rate: float = knob(
        0.05, "Share of each tree's correction that is taken.", low=1e-4, high=1.0, scale="log", hot=True
    )
    depth: int = knob(3, "Questions a tree may ask one after the other.", low=1, high=12, branch=True)
    min_child_weight: float = knob(5.0, "Rows that a leaf must hold.", low=0.0, high=1000.0, unit="rows")
    column_sample: float = knob(0.5, "Share of the columns each tree may look at.", low=0.05, high=1.0)
    row_sample: float = knob(0.8, "Share of the rows each tree learns from.", low=0.05, high=1.0, branch=True)
    weight_decay: float = knob(
        1.0, "Pull of the leaves towards zero (XGBoost's lambda).", low=0.0, high=1e4, branch=True
    )
    patience: int = knob(
        40,
        "Rounds without improvement after which boosting stops; 0 never stops early.",
        low=0,
        high=1000,
        unit="rounds",
        branch=True,
    )
    min_delta: float = knob(
        0.0, "Fall of the validation loss that counts as an improvement.", low=0.0, high=10.0, branch=True
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
    """One step is one round: a tree for each label. Step 0 predicts the training mean."""
    mean, sd = common.moments(data.train.inputs)
    train = _matrix(common.standardise(data.train.inputs, mean, sd))
    validation = _matrix(common.standardise(data.validation.inputs, mean, sd))
    targets = np.asarray(data.train.targets, dtype=np.float64)
    bias = targets.mean(axis=0)
    margin, margin_validation = np.tile(bias, (len(data.train), 1)), np.tile(bias, (len(data.validation), 1))
    stopping = common.EarlyStopping(config.patience, config.min_delta)
    changed: dict[str, Any] = {}
    card = {"mean": mean, "sd": sd, "bias": bias} | common.card(data)

    if state is None:
        boosters = [_booster(config, device, train) for _ in data.labels]
        step = 0
        event = Metrics(0, 0.0, common.regression_values(data, margin, margin_validation))
        config = common.moved(config, (yield event), changed)
    else:
        step = int(state["step"])
        config = common.moved(config, dict(state["changed"]), changed)
        raw = [bytearray(state["model"]["boosters"][label]) for label in data.labels]
        boosters = [_booster(config, device, train, one) for one in raw]
        stopping.restore(state["stopping"])
        common.restore_generator(generator, state["generator"])
        for round_ in range(step):  # tree by tree, as it was first summed: the same floats in the same order
            for column, booster in enumerate(boosters):
                margin[:, column] += _tree(booster, train, round_)
                margin_validation[:, column] += _tree(booster, validation, round_)

    while step < config.epochs and not stopping.is_over:
        kept = generator.random(len(margin)) < config.row_sample if config.row_sample < 1 else np.ones(len(margin))
        for column, booster in enumerate(boosters):
            _draw_columns(train, config.column_sample, generator)
            booster.set_param({"learning_rate": config.learning_rate})
            gradient = kept * (margin[:, column] - targets[:, column])
            booster.boost(train, step, grad=gradient, hess=kept.astype(np.float64))
            margin[:, column] += _tree(booster, train, step)
            margin_validation[:, column] += _tree(booster, validation, step)
        step += 1
        values = common.regression_values(data, margin, margin_validation)
        stopping.update(values[MONITOR], step)
        values["optim/learning_rate"] = config.learning_rate
        config = common.moved(config, (yield Metrics(step, float(step), values)), changed)
        if step % CHECKPOINT_ROUNDS == 0 or step >= config.epochs or stopping.is_over:
            kept_state = {
                "model": card | {"boosters": _raw(boosters, data.labels)},
                "step": step,
                "epoch": step,
                "changed": dict(changed),
                "stopping": stopping.state(),
                "generator": common.generator_state(generator),
            }
            config = common.moved(config, (yield Checkpoint(kept_state)), changed)

    best = [booster[: max(1, stopping.best_epoch)] for booster in boosters]
    yield Done(card | {"boosters": _raw(best, data.labels)}, data.input, stopping.reason(step, "rounds"))


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """One row of `labels` (1–9) per row of `inputs`; ValueError for another representation than it learned from."""
    z, warnings = common.standardise_foreign(inputs, model)
    columns = []
    for label, bias in zip(model["labels"], np.asarray(model["bias"]), strict=True):
        booster = xgb.Booster({"nthread": THREADS, "device": device}, model_file=bytearray(model["boosters"][label]))
        columns.append(bias + booster.predict(_matrix(z)).astype(np.float64))
    values, clipped = common.clip_to_unit(np.stack(columns, axis=1), model["unit"])
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings + clipped)


def _matrix(z: np.ndarray) -> xgb.DMatrix:
    return xgb.DMatrix(z.astype(np.float32), nthread=THREADS)


def _columns_per_tree(share: float, columns: int) -> int:
    return max(1, round(share * columns))


def _draw_columns(rows: xgb.DMatrix, share: float, generator: np.random.Generator) -> None:
    """Lets the next tree see this share of the columns, drawn from the run's generator, and no others."""
    columns = rows.num_col()
    kept = _columns_per_tree(share, columns)
    if kept < columns:
        weights = np.zeros(columns, dtype=np.float32)
        weights[generator.choice(columns, kept, replace=False)] = 1.0
        rows.set_info(feature_weights=weights)


def _booster(config: Config, device: str, rows: xgb.DMatrix, raw: bytearray | None = None) -> xgb.Booster:
    """A booster without trees for these rows, or the one that `_raw` saved."""
    columns = rows.num_col()
    kept = _columns_per_tree(config.column_sample, columns)
    settings = {
        "tree_method": "hist",
        "device": device,
        "nthread": THREADS,
        "base_score": 0.0,  # the training mean is added outside, in double precision
        "max_depth": config.depth,
        "min_child_weight": config.min_child_weight,
        # XGBoost draws as many columns as have weight: the half keeps its own rounding down from losing one.
        "colsample_bytree": 1.0 if kept == columns else (kept + 0.5) / columns,
        "lambda": config.weight_decay,
        "learning_rate": config.learning_rate,
    }
    return xgb.Booster(settings, cache=[rows], model_file=raw)


def _tree(booster: xgb.Booster, rows: xgb.DMatrix, round_: int) -> np.ndarray:
    """What the tree of one round adds, float32 [n]."""
    return booster.predict(rows, output_margin=True, iteration_range=(round_, round_ + 1))


def _raw(boosters: list[xgb.Booster], labels: tuple[str, ...]) -> dict[str, bytes]:
    return {label: bytes(booster.save_raw("ubj")) for label, booster in zip(labels, boosters, strict=True)}
