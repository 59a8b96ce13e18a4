"""Committee: the mean of what several runs say of an excerpt, as a run of its own.

Networks that learned the same from other seeds are wrong in different places, and the mean of their probabilities is
wrong less often than one of them (Hansen & Salamon 1990, IEEE TPAMI 12(10), 993–1001; Lakshminarayanan, Pritzel &
Blundell 2017, NeurIPS). Nothing is learned here: the members are kept as they are, and asked one after the other, so
a committee of five computes five times as much to listen.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

import trainers
from core import evaluation, rundir
from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common

TASKS = ("instruments",)
INPUTS = ("wave16k",)
DEVICES = ("cuda", "mps", "cpu")
PRESETS: dict[str, dict[str, Any]] = {"the plain mean": {}}
MONITOR = "validation/loss"
LOSS = (
    "Mean binary cross-entropy over excerpts and classes, in nats: at step 0 of naming each class as often as the "
    "training part has it, at step 1 of the committee."
)
ARE_SEEDS_POOLED = False
SMALLEST = 1e-7  # a probability; of 0 and 1 the logarithm has no end


@dataclass(frozen=True)
class Config:
    first: str = knob("", "A finished run, as of instrument_net, whose probabilities go into the mean.", kind="run")
    second: str | None = knob(None, "Another one.", kind="run")
    third: str | None = knob(None, "Another one.", kind="run")
    fourth: str | None = knob(None, "Another one.", kind="run")
    fifth: str | None = knob(None, "Another one.", kind="run")

    @property
    def window_seconds(self) -> float:
        """Excerpts as long as those that its members learned from."""
        return _members(self)[0].window_s


def fit(
    data: FitData,
    config: Config,
    *,
    generator: np.random.Generator,
    device: str = "cpu",
    state: dict[str, Any] | None = None,
) -> Generator[Event, Changes | None, None]:
    """Asks the members once: step 0 is the base rates, step 1 the committee. Nothing is random.

    Raises ValueError where a member knows other classes, or learned from another representation than `data` has.
    """
    if state is None:
        common.moments(data.train.inputs)  # says so where a row holds what is no number
        members = _members(config)
        for one in members:
            if one.input != data.input or tuple(one.model["labels"]) != data.labels:
                raise ValueError(f"Run {one.run} knows other classes or eats {one.input}; choose runs of one kind.")
        rates = [
            np.tile(data.train.targets.mean(axis=0), (len(part.targets), 1)) for part in (data.train, data.validation)
        ]
        yield Metrics(0, 0.0, _values(data, *rates))
        kept = {str(place): {"trainer": one.trainer, "model": one.model} for place, one in enumerate(members)}
        model = common.card(data) | {"members": kept}
        said = [_mean(model, part.inputs, part.times_s, device)[0] for part in (data.train, data.validation)]
        yield Metrics(1, 1.0, _values(data, *said))
        state = {"model": model, "step": 1, "epoch": 1}
        yield Checkpoint(state)
    yield Done(state["model"], data.input, f"the mean of {len(state['model']['members'])} runs")


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """Mean probability of each class over the members, [n, classes]; ValueError for another representation."""
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    values, warnings = _mean(model, inputs.values, inputs.times_s, device)
    return Prediction(inputs.times_s, values, tuple(model["labels"]), model["unit"], warnings)


def check(config: Config) -> None:
    """ValueError where there is no second member, or one is missing, named twice, or not of the others' kind."""
    if len(_members(config)) == 1:
        raise ValueError(f"A committee of one is that one: name another run beside {config.first}.")


def _members(config: Config) -> list[evaluation.Model]:
    named = [run for run in (config.first, config.second, config.third, config.fourth, config.fifth) if run]
    if not config.first:
        raise ValueError("A committee is the mean of what runs say: name a finished run as first, and others.")
    members = [evaluation.load_model(rundir.find(run)) for run in named]
    runs = [one.run for one in members]
    for run in runs:
        if runs.count(run) > 1:
            raise ValueError(f"Run {run} is named twice; a committee needs others.")
    for one in members:
        if one.task not in TASKS or one.input not in INPUTS:
            wanted = f"{TASKS[0]} from {INPUTS[0]}, as those of instrument_net"
            raise ValueError(f"Run {one.run} learned {one.task} from {one.input}; choose runs that learned {wanted}.")
        if one.window_s != members[0].window_s:
            lengths = f"{one.window_s:g} s, those of the first have {members[0].window_s:g} s"
            raise ValueError(f"Run {one.run} learned from excerpts of {lengths}; choose runs of one length.")
    return members


def _mean(model: dict[str, Any], values: np.ndarray, times_s: np.ndarray, device: str) -> tuple[np.ndarray, list[str]]:
    """Mean probabilities [n, classes], and the members' warnings, each once."""
    said = []
    for one in model["members"].values():
        asked = Inputs(model["input"], values, times_s)
        said.append(trainers.load(one["trainer"]).predict(one["model"], asked, device=device))
    warnings = dict.fromkeys(warning for one in said for warning in one.warnings)
    return np.mean([one.values for one in said], axis=0), list(warnings)


def _values(data: FitData, train: np.ndarray, validation: np.ndarray) -> dict[str, float]:
    """Losses and validation scores of two predictions [n, classes]."""
    losses = [_loss(part.targets, said) for part, said in ((data.train, train), (data.validation, validation))]
    return {"train/loss": losses[0]} | common.validation_values(data, validation, losses[1])


def _loss(targets: np.ndarray, said: np.ndarray) -> float:
    inside = np.clip(said.astype(float), SMALLEST, 1 - SMALLEST)
    return float(-np.mean(targets * np.log(inside) + (1 - targets) * np.log(1 - inside)))
