"""A sparse encoder without a decoder: 784 pixels to 64 ReLU units, trained by implicit expectation–maximisation.

The loss wants each item explained by few units (log-sum-exp), every unit to vary (−log variance) and no two units to
say the same (squared correlations). Its gradient with respect to an activation holds the responsibility
softmax(−a), the E-step of a mixture. When training ends, a linear probe (multinomial logistic regression on the frozen
features) says what the features are worth; until then a linear discriminant on 2,000 items stands in for it.

Objective and settings: A. Oursland 2026, Deriving Decoder-Free Sparse Autoencoders from First Principles,
arXiv:2601.06478. Many configurations train in one process (`fit_many`), each to the same numbers as alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Freeze, Inputs, Metrics, Prediction
from trainers import _common as common
from trainers import _encoders, _probe

TASKS = ("digits", "images")
INPUTS = ("pixels",)
DEVICES = ("cpu", "cuda")
PRESETS: dict[str, dict[str, Any]] = {
    "as published, Adam": {},
    "as published, gradient descent": {"optimizer": "sgd", "learning_rate": 0.01},
    "rows kept at length 1": {"normalise_rows": True},
    "a variance that is enough": {"variance_term": "hinge"},
}
MONITOR = "train/loss"
LOSS = (
    "The encoder's own objective (log-sum-exp, variance and correlations of its units), over the items of the part; it "
    "knows no labels, and compares between runs of the same terms only."
)
ARE_SEEDS_POOLED = True
CHECKPOINTS = 20
"""About how many checkpoints a run keeps: a grid of 24 that synced one each per epoch would wait for the disk."""

Messages = Mapping[int, Changes | Freeze | None]
"""Into `fit_many`: member → its hot changes, or Freeze (or None): nothing more is trained or yielded for it."""


@dataclass(frozen=True)
class Config:
    hidden_units: int = knob(64, "Units of the encoder.", low=2, high=2048, scale="log", unit="units")
    optimizer: str = knob(
        "adam", "How the gradient is turned into a step.", choices=("sgd", "momentum", "adam", "adamw")
    )
    learning_rate: float = knob(1e-3, "Step size of the optimiser.", low=1e-7, high=10.0, scale="log", hot=True)
    momentum: float = knob(
        0.9, "Share of the last step that is taken again.", low=0.0, high=0.999, when={"optimizer": "momentum"}
    )
    weight_decay: float = knob(
        0.0,
        "Pull of every weight towards zero: added to the gradient, with AdamW to the step.",
        low=0.0,
        high=1.0,
        hot=True,
    )
    schedule: str = knob(
        "constant",
        "Course of the learning rate over epochs: cosine falls to zero, step to a tenth at 1/2 and 3/4 of training.",
        choices=("constant", "cosine", "step"),
        branch=True,
    )
    epochs: int = knob(100, "Passes over the training data.", low=1, high=10_000, unit="epochs", branch=True)
    batch_size: int = knob(128, "Items per step.", low=2, high=65_536, scale="log", unit="items")
    lse_weight: float = knob(
        1.0, "Weight of the log-sum-exp term, a sum over the batch; 0 leaves it out.", low=0.0, high=100.0
    )
    variance_weight: float = knob(
        1.0, "Weight of the variance term, which keeps units alive; 0 leaves it out.", low=0.0, high=1000.0
    )
    correlation_weight: float = knob(
        1.0, "Weight of the squared correlations between units; 0 leaves them out.", low=0.0, high=1000.0
    )
    variance_term: str = knob(
        "log",
        "What rewards variance: log without end, so that weights grow without end; hinge, max(0, 1 − s.d.), until 1.",
        choices=("log", "hinge"),
    )
    normalise_rows: bool = knob(False, "Bring every unit's weights back to length 1 after each step.")


def together(config: Config) -> tuple:
    """Configurations with equal tuples can train in one process."""
    return config.hidden_units, config.batch_size, config.epochs


def fit(
    data: FitData,
    config: Config,
    *,
    generator: np.random.Generator,
    device: str = "cpu",
    state: dict[str, Any] | None = None,
) -> Generator[Event, Changes | None, None]:
    """One configuration: `fit_many` with a single member."""
    training = fit_many(data, [config], [generator], device=device, states=[state])
    try:
        _, event = next(training)
        while True:
            changes = yield event
            try:
                _, event = training.send({0: changes} if changes else {})
            except StopIteration:
                return
    finally:
        training.close()


def fit_many(
    data: FitData,
    configs: Sequence[Config],
    generators: Sequence[np.random.Generator],
    device: str = "cpu",
    states: Sequence[dict[str, Any] | None] | None = None,
) -> Generator[tuple[int, Event], Messages | None, None]:
    """All configurations as one batched model; yields (member, event) as `fit` would for each, receives `Messages`.

    On the CPU every member's numbers are those it has alone, whoever else trains, is frozen or becomes NaN: bit for bit
    where batches (the last one too) and units are multiples of 16, elsewhere to rounding.
    Raises ValueError where `together` differs or the `states` stand at different epochs.
    """
    states = list(states) if states is not None else [None] * len(configs)
    assert len(configs) == len(generators) == len(states) > 0, (len(configs), len(generators), len(states))
    if len({together(config) for config in configs}) > 1:
        raise ValueError("Only runs with the same hidden_units, batch_size and epochs can train in one process.")
    if len({_stands(state) for state in states}) > 1:
        raise ValueError("The runs stand at different epochs; bring them to the same one before they go on together.")
    members = [_Member(i, config, *_seeds(generators[i], states[i])) for i, config in enumerate(configs)]
    for member, state in zip(members, states, strict=True):
        if state is not None:
            member.take(dict(state["changed"]))
    engine = _encoders.Engine(data, [member.order_seed for member in members], configs[0], device)
    try:
        engine.start([_weights(m, data) if s is None else s for m, s in zip(members, states, strict=True)], configs)
        yield from _train(data, members, engine, _stands(states[0]))
    finally:
        engine.close()


@dataclass
class _Member:
    """One configuration among several. Its items' order and its first weights are drawn from seeds of its own."""

    number: int
    config: Config
    order_seed: int
    weight_seed: int
    is_frozen: bool = False
    changed: dict[str, Any] = dataclasses.field(default_factory=dict)

    def take(self, changes: Changes) -> None:
        self.config = common.moved(self.config, changes, self.changed)


def _hear(members: list[_Member], messages: Messages | None) -> None:
    for number, changes in (messages or {}).items():
        if changes is None or isinstance(changes, Freeze):
            members[number].is_frozen = True
        else:
            members[number].take(changes)


def _train(
    data: FitData, members: list[_Member], engine: _encoders.Engine, epoch: int
) -> Generator[tuple[int, Event], Messages | None, None]:
    epochs, every = members[0].config.epochs, max(1, members[0].config.epochs // CHECKPOINTS)
    card = common.card(data)
    probes: dict[int, dict[str, Any]] = {}
    if epoch < 0:
        epoch, first = 0, engine.look()
        for m in members:
            if not m.is_frozen:
                _hear(members, (yield m.number, Metrics(0, 0.0, first[m.number] | _optim(m, 0))))
    while epoch < epochs and not all(m.is_frozen for m in members):
        alive = [m for m in members if not m.is_frozen]
        rates = {m.number: m.config.learning_rate * _factor(m.config.schedule, epoch, epochs) for m in alive}
        found = engine.epoch(epoch, {m.number: m.config for m in alive}, rates)
        values = {m.number: found[m.number] | _optim(m, epoch) for m in alive}
        epoch += 1
        is_kept = epoch % every == 0 or epoch == epochs
        if is_kept:
            probes = engine.probes([m.number for m in alive], is_final=epoch == epochs)
        for m in alive:
            if is_kept and len(data.validation):
                values[m.number] |= _validate(data, engine, m.number, card | probes[m.number])
        for m in alive:
            if not m.is_frozen:
                _hear(members, (yield m.number, Metrics(epoch * engine.steps, float(epoch), values[m.number])))
        for m in alive:
            if is_kept and not m.is_frozen:
                model = card | engine.weights(m.number) | probes[m.number]
                kept: dict[str, Any] = {"model": model, "slots": engine.slots(m.number), "epoch": epoch}
                kept |= {"order_seed": str(m.order_seed), "changed": dict(m.changed)}
                _hear(members, (yield m.number, Checkpoint(kept)))
    left = [m for m in members if not m.is_frozen]
    if not probes:  # resumed after its last epoch
        probes = engine.probes([m.number for m in left], is_final=True)
    for m in left:
        if not m.is_frozen:
            model = card | engine.weights(m.number) | probes[m.number]
            _hear(members, (yield m.number, Done(model, data.input, f"all {epoch} epochs done")))


def _factor(schedule: str, epoch: int, epochs: int) -> float:
    """What the learning rate is multiplied by in the epoch that begins after `epoch` epochs."""
    if schedule == "cosine":
        return 0.5 + 0.5 * float(np.cos(np.pi * epoch / epochs))
    if schedule == "step":
        return 0.1 ** ((epoch >= epochs / 2) + (epoch >= 3 * epochs / 4))
    return 1.0


def _optim(member: _Member, epoch: int) -> dict[str, float]:
    config = member.config
    return {"optim/learning_rate": config.learning_rate * _factor(config.schedule, epoch, config.epochs)}


def _stands(state: dict[str, Any] | None) -> int:
    """The epochs a state has behind it; -1 for a run that begins."""
    return -1 if state is None else int(state["epoch"])


def _seeds(generator: np.random.Generator, state: dict[str, Any] | None) -> tuple[int, int]:
    """Seeds of the items' order and of the first weights: apart, so that the order does not depend on the width."""
    order, weights = (int(seed) for seed in generator.integers(2**63, size=2))
    return (order, weights) if state is None else (int(state["order_seed"]), 0)


def _weights(member: _Member, data: FitData) -> dict[str, Any]:
    """A new member's state: weights and biases uniform within ±1/√inputs, torch's default for a linear layer."""
    inputs = int(np.prod(data.train.inputs.shape[1:]))
    drawn = np.random.default_rng(member.weight_seed).uniform(-1, 1, (member.config.hidden_units, inputs + 1))
    drawn /= np.sqrt(inputs)
    if member.config.normalise_rows:
        drawn[:, :inputs] /= np.linalg.norm(drawn[:, :inputs], axis=1, keepdims=True)
    drawn = drawn.astype(np.float32)
    return {"model": {"weights": drawn[:, :inputs], "biases": drawn[:, inputs]}, "slots": {}, "epoch": 0}


def _validate(data: FitData, engine: _encoders.Engine, number: int, model: dict[str, Any]) -> dict[str, float]:
    """Loss on the validation part and the probe's scores there."""
    loss, features = engine.validation(number)
    return common.validation_values(data, _probe.probabilities(features, model), loss)


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """Probability of each class by the linear probe, for each picture; ValueError for another representation."""
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    values, warnings = np.asarray(inputs.values, dtype=np.float32).reshape(len(inputs.values), -1), []
    weights = np.asarray(model["weights"])
    if values.shape[1] != weights.shape[1]:
        raise ValueError(f"The model was trained on {weights.shape[1]} pixels and was given {values.shape[1]}.")
    missing = ~np.isfinite(values)
    if missing.any():
        values = np.where(missing, np.float32(0), values)
        warnings.append(f"{missing.mean():.1%} of the inputs were not numbers; 0 stands in their place.")
    features = np.maximum(values @ weights.T + np.asarray(model["biases"]), 0)
    said = _probe.probabilities(features, model)
    return Prediction(inputs.times_s, said, tuple(model["labels"]), model["unit"], warnings)
