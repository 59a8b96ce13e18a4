"""Personal calibration: another run's valence and arousal, bent towards what one listener says.

It learns six numbers on top of a stored run (a shift and a 2 × 2 correction of the slopes), pulled towards "leave the
run as it is" by a ridge penalty (Hoerl & Kennard 1970, Technometrics 12(1)). How hard it is pulled is chosen by leaving
one clip out at a time, and no correction at all is among the choices: few or contradictory ratings change nothing. That
suits the handful of clips one person rates; weights of a network or trees that were learned from thousands of songs
would only be forgotten by training on them again.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

import trainers
from core import evaluation, features, rundir
from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common

TASKS = ("emotion",)
INPUTS = ("lib164",)
BASE_INPUTS = ("lib164", "lib73")
"""What the run below may eat: the 73 columns are made from the 164."""

DEVICES = ("cpu",)
PRESETS: dict[str, dict[str, Any]] = {"as far as the clips can show": {}, "hardly at all": {"pull": 100.0}}
MONITOR = "validation/loss"
LOSS = (
    "Mean squared error of valence and arousal against your ratings (squared points), over all slices of the rated "
    "clips of the part: at step 0 of the run below as it is, at step 1 with the correction. Validation holds rated "
    "clips that the correction has not seen; with few of them it is a rough number."
)
ARE_SEEDS_POOLED = False
PULLS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, np.inf)
"""Strengths that leave-one-out chooses from, counted in clips; infinity leaves the run below as it is."""


@dataclass(frozen=True)
class Config:
    base: str = knob("", "The finished run whose predictions are bent towards the ratings.", kind="run")
    pull: float | None = knob(
        None,
        "How hard the correction is pulled towards none; empty lets leave-one-out choose.",
        low=0.01,
        high=1000.0,
        unit="clips",
    )

    @property
    def window_seconds(self) -> float:
        """Slices as long as those that the run below learned from."""
        return _base(self).window_s


def fit(
    data: FitData,
    config: Config,
    *,
    generator: np.random.Generator,
    device: str = "cpu",
    state: dict[str, Any] | None = None,
) -> Generator[Event, Changes | None, None]:
    """One exact solution: step 0 is the run below as it is, step 1 the corrected one. Nothing is random."""
    if state is None:
        common.moments(data.train.inputs)  # says so where a row holds what is no number
        base = _base(config)
        model = {"base": base.model, "trainer": base.trainer, "base_input": base.input, **common.card(data)}
        model |= {"centre": np.zeros(2), "spread": np.ones(2), "correction": np.zeros((3, 2))}
        said, said_validation = (_below(model, part.inputs, part.times_s)[0] for part in (data.train, data.validation))
        yield Metrics(0, 0.0, common.regression_values(data, said, said_validation))
        weights = _weights(data.train.groups)
        centre = weights @ said / weights.sum()
        spread = np.sqrt(weights @ (said - centre) ** 2 / weights.sum())
        model |= {"centre": centre, "spread": np.where(spread > 1e-6, spread, 1.0)}
        design, rest = _design(model, said), data.train.targets - said
        pull = config.pull if config.pull is not None else _choose(design, rest, weights, data.train.groups)
        model["correction"] = _solve(design, rest, weights, pull)
        predictions = (_bend(model, said), _bend(model, said_validation))
        yield Metrics(1, 1.0, common.regression_values(data, *predictions))
        state = {"model": model, "step": 1, "epoch": 1, "reason": _reason(pull, config, len(set(data.train.groups)))}
        yield Checkpoint(state)
    yield Done(state["model"], data.input, state["reason"])


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """One row of `labels` (1–9) per row of `inputs`; ValueError for another representation than it learned from."""
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    said, warnings = _below(model, inputs.values, inputs.times_s)
    values, clipped = common.clip_to_unit(_bend(model, said), model["unit"])
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings + clipped)


def check(config: Config) -> None:
    """ValueError where there is no such base, or its predictions cannot be had from what this trainer eats."""
    _base(config)


def _base(config: Config) -> evaluation.Model:
    if not config.base:
        raise ValueError("personal bends the predictions of another run: name a finished run as base.")
    base = evaluation.load_model(rundir.find(config.base))
    if base.task != "emotion" or base.input not in BASE_INPUTS:
        raise ValueError(
            f"Run {base.run} learned {base.task} from {base.input}; choose a base that learned emotion from "
            f"{' or '.join(BASE_INPUTS)}."
        )
    return base


def _below(model: dict[str, Any], values: np.ndarray, times_s: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """What the run below says, [n, 2], and its warnings."""
    if model["base_input"] == "lib73" and model["input"] == "lib164":
        values = features.lib73_from_lib164(values)
    said = trainers.load(model["trainer"]).predict(model["base"], Inputs(model["base_input"], values, times_s))
    return said.values, said.warnings


def _weights(groups: np.ndarray) -> np.ndarray:
    """[n] weights with which each clip counts once, however many slices it has."""
    _, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / counts[which]


def _design(model: dict[str, Any], said: np.ndarray) -> np.ndarray:
    """[n, 3]: one, and both predictions in standard deviations from their mean."""
    z = (said - np.asarray(model["centre"])) / np.asarray(model["spread"])
    return np.column_stack([np.ones(len(said)), z])


def _bend(model: dict[str, Any], said: np.ndarray) -> np.ndarray:
    return said + _design(model, said) @ np.asarray(model["correction"])


def _solve(design: np.ndarray, rest: np.ndarray, weights: np.ndarray, pull: float) -> np.ndarray:
    """[3, 2] with the least weighted squared error plus `pull` × the squared size of the correction."""
    if np.isinf(pull):
        return np.zeros((design.shape[1], rest.shape[1]))
    weighted = design * weights[:, None]
    return np.linalg.solve(weighted.T @ design + pull * np.eye(design.shape[1]), weighted.T @ rest)


def _choose(design: np.ndarray, rest: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> float:
    """The pull with the least squared error on clips left out one at a time; the stronger of equals."""
    clips = np.unique(groups)
    if len(clips) < 2:
        return float(np.inf)  # nothing can be left out: nothing is learned
    errors = []
    for pull in PULLS:
        error = 0.0
        for clip in clips:
            out = groups == clip
            correction = _solve(design[~out], rest[~out], weights[~out], pull)
            error += float(weights[out] @ ((rest[out] - design[out] @ correction) ** 2).sum(axis=1))
        errors.append(error)
    return float(PULLS[len(PULLS) - 1 - int(np.argmin(errors[::-1]))])


def _reason(pull: float, config: Config, n_clips: int) -> str:
    how = "given" if config.pull is not None else f"chosen by leaving out each of {n_clips} clips"
    if np.isinf(pull):
        return f"nothing learned: without a correction, clips that were left out fit best ({n_clips} clips)"
    return f"solved exactly; pull {pull:g} clips, {how}"
