"""InstruNet: a convolutional network that says which of eleven instruments sound in an excerpt.

Log-mel excerpts [n, 128 bands, frames], each standardised by itself, go through three blocks of convolution, ReLU,
batch normalisation and 2 × 2 max pooling, a fourth convolution, a mean over all places, dropout and one sigmoid per
class. After the "Task 13" network of Kancharla et al., CNN-Based Music Instrument Recognition (IRMAS: validation loss
.185, micro F1 .677): the defaults are that network with its 1,080,267 weights. Keras counts 962 more that are not
trained: 960 running means and variances and the two numbers of its dropout's random state.

`train/loss` and `validation/loss` are the plain mean binary cross-entropy in nats, so that they can be compared;
`optim/loss` is what is minimised, with class weights and the L2 penalty; `train/prior_loss`, told once, is what a
network reaches that ignores its input (.3046 for one of eleven classes). The running mean and variance move by a
tenth per step (Keras: a hundredth), so that short trainings are judged by their own statistics.

Beyond the paper, and off until asked for: sums of several excerpts with their labels united (`mix`), shifts in time,
noise and hidden stripes, drawn anew for every excerpt and step on the device, and smoothed labels. `train/loss` is then
that of the disturbed excerpts with their true labels.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from core import balance
from core.config import knob
from core.diagnose import base_rate_loss
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common
from trainers import _dynamics as dynamics
from trainers import _pictures, _waves
from trainers._instrunet import forward as _forward
from trainers._instrunet import infer as _infer
from trainers._instrunet import on as _on
from trainers._instrunet import start as _start

TASKS = ("instruments",)
INPUTS = ("logmel",)
DEVICES = ("cuda", "mps", "cpu")
PRESETS: dict[str, dict[str, Any]] = {
    "published": {},
    "small: two cores, minutes": {"width": 16, "kernel": 3, "epochs": 12, "batch_size": 64, "learning_rate": 0.03},
    "without batch normalisation (its plateau at 10/11)": {"batch_norm": False, "dropout": 0.0, "weight_decay": 0.0},
}
MONITOR = "validation/loss"
LOSS = "Mean binary cross-entropy over excerpts and classes, in nats; optim/loss is what is minimised."
ARE_SEEDS_POOLED = True
PENALISED = ("convolution_1", "convolution_2", "convolution_3", "dense")  # the fourth convolution has no L2 there
PLATEAU_FACTOR, PLATEAU_MIN_DELTA, LOWEST_LEARNING_RATE = 0.5, 1e-4, 1e-6

State = dict[str, Any]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Config:
    learning_rate: float = knob(0.01, "Step size of the optimiser.", low=1e-6, high=1.0, scale="log", hot=True)
    optimizer: str = knob("sgd", "How a gradient becomes a step.", choices=("sgd", "adam", "adamw"))
    momentum: float = knob(
        0.9, "Share of the last step taken again.", low=0.0, high=0.999, when={"optimizer": "sgd"}, branch=True
    )
    epochs: int = knob(50, "Passes over the training data.", low=1, high=1000, unit="epochs", branch=True)
    batch_size: int = knob(128, "Excerpts per step.", low=2, high=4096, scale="log", unit="excerpts", branch=True)
    width: int = knob(32, "Filters of block 1; the next have 2, 4 and 8 times as many.", low=1, high=128, scale="log")
    kernel: int = knob(5, "Side of the convolutions' kernels, in mel bands and frames.", choices=(3, 5, 7))
    batch_norm: bool = knob(True, "Whether each convolution's output is standardised over the batch.")
    dropout: float = knob(0.4, "Share of the last layer's inputs hidden at each step.", low=0.0, high=0.95, hot=True)
    block_dropout: float = knob(0.0, "Share of each block's outputs hidden at each step.", low=0.0, high=0.95, hot=True)
    # As in Keras: this times the sum of squares joins the loss. With adamw it shrinks all weights directly instead.
    weight_decay: float = knob(1e-4, "Weight of the L2 penalty on the weights.", low=0.0, high=0.1, hot=True)
    class_weights: bool = knob(True, "Whether an excerpt counts by the inverse frequency of its classes.", branch=True)
    label_smoothing: float = knob(0.0, "How far labels are moved towards one half.", low=0.0, high=0.5, hot=True)
    mix: int = knob(
        1, "Most excerpts that one is the sum of; their labels are united.", low=1, high=6, unit="excerpts", hot=True
    )
    # Without a condition on `mix`, which moves while a run trains: a branch may stand where nothing is mixed any more.
    gain_db: float = knob(
        6.0, "Most that an excerpt in a mix is louder or quieter.", low=0.0, high=30.0, unit="dB", branch=True
    )
    time_shift: float = knob(
        0.0, "Most that an excerpt starts earlier or later, with silence after or before it.", low=0.0, high=30.0,
        unit="s", hot=True,
    )  # fmt: skip
    noise_db: float = knob(
        _waves.NO_NOISE_DB, "Loudest noise, white or pink, relative to the excerpt; -100 adds none.",
        low=_waves.NO_NOISE_DB, high=20.0, unit="dB", hot=True,
    )  # fmt: skip
    spec_augment: float = knob(0.0, "Most of bands and time hidden by one stripe each.", low=0.0, high=0.8, hot=True)
    plateau_patience: int = knob(
        5, "Epochs without improvement after which the learning rate halves; 0 never.", low=0, high=1000,
        unit="epochs", branch=True,
    )  # fmt: skip
    patience: int = knob(
        10, "Epochs without improvement after which training stops; 0 never.", low=0, high=1000, unit="epochs",
        branch=True,
    )  # fmt: skip
    min_delta: float = knob(
        0.0, "Fall of the loss that counts as an improvement.", low=0.0, high=1.0, unit="nats", branch=True
    )
    window_seconds: float = knob(3.0, "Length of the excerpts it learns from.", low=0.5, high=30.0, unit="s")
    # torch.compile is no knob: its kernels round otherwise, so that a curve would hang on whether a compiler is there.
    precision: str = knob(
        "float32", "Numbers that a training step multiplies; weights stay float32.", choices=("float32", "bfloat16"),
        branch=True,
    )  # fmt: skip


def fit(
    data: FitData, config: Config, *, generator: np.random.Generator, device: str = "cpu", state: State | None = None
) -> Generator[Event, Changes | None, None]:
    """Trains on `data.train` (inputs [n, 128, frames], targets 0 or 1); yields events as core/events.py says.

    Raises ValueError for excerpts of fewer than 8 frames or bands, for values that are not finite, and for a class
    without any excerpt where each has one class and classes are weighted.
    """
    # All excerpts stay on the device; on the CPU they share the data set's memory where it is writable float32.
    inputs = torch.from_numpy(np.require(data.train.inputs, np.float32, ["C", "W"])).to(device)
    targets = _on(device, data.train.targets)
    importance = _class_weights(data.train.targets, data.labels) if config.class_weights else np.ones(len(data.labels))
    class_weights, row_weights = _on(device, importance), _on(device, _row_weights(data.train.targets, importance))
    _check(inputs)
    watched = dynamics.watched(inputs)
    noise = torch.Generator(device)
    stopping = common.EarlyStopping(config.patience, config.min_delta)
    plateau = common.EarlyStopping(config.plateau_patience, PLATEAU_MIN_DELTA)
    changed: dict[str, Any] = {}
    pulls: Tensors = {}
    card = {"frames": int(inputs.shape[2])} | common.card(data)

    if state is None:
        noise.manual_seed(int(generator.integers(2**63 - 1)))
        weights, running = _start(config, len(data.labels), generator, device)
        best = card | {"weights": _kept(weights), "running": _kept(running)}
        optimizer = _optimizer(config, weights)
        step, epoch, scale = 0, 0, 1.0
        prior = base_rate_loss(data.train.targets.mean(axis=0), is_multi_label=True)
        first = _validate(weights, running, data, device) | _dynamics(weights, running, watched)
        event = Metrics(0, 0.0, first | {"train/prior_loss": prior})
        config = common.moved(config, (yield event), changed)
    else:
        weights, running = _read(state["model"], device)
        weights = {name: value.requires_grad_() for name, value in weights.items()}
        best, step, epoch, scale = state["best_model"], int(state["step"]), int(state["epoch"]), float(state["scale"])
        config = common.moved(config, dict(state["changed"]), changed)
        optimizer = _optimizer(config, weights, state["optimizer"])
        stopping.restore(state["stopping"])
        plateau.restore(state["plateau"])
        common.restore_generator(generator, state["generator"])
        noise.set_state(torch.tensor(np.asarray(state["noise"]), dtype=torch.uint8))

    batches = -(-len(inputs) // config.batch_size)
    while epoch < config.epochs and not stopping.is_over:
        total = 0.0
        for batch, chosen in enumerate(np.array_split(generator.permutation(len(inputs)), batches)):
            rows = torch.from_numpy(chosen).to(device)
            # The floor of the plateau schedule must not raise a rate that was chosen below it.
            rate = max(config.learning_rate * scale, min(LOWEST_LEARNING_RATE, config.learning_rate))
            for group in optimizer.param_groups:
                group["lr"] = rate
                group["weight_decay"] = config.weight_decay if config.optimizer == "adamw" else 0.0
            shown, wanted = _pictures.disturbed(
                inputs, targets, rows, noise, mix=config.mix, gain_db=config.gain_db, time_shift=config.time_shift,
                noise_db=config.noise_db,
            )  # fmt: skip
            shown = _waves.stripes(shown[:, None], config.spec_augment, noise)[:, 0]
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                logits = _forward(weights, running, shown, (config.dropout, config.block_dropout), noise).float()
            loss, minimised = _losses(logits, wanted, config.label_smoothing)
            counts = row_weights[rows] if config.mix == 1 else _mean_weights(wanted, class_weights)
            objective = (counts * minimised).mean()
            if config.optimizer != "adamw":
                penalty = sum((weights[f"{name}.weight"] ** 2).sum() for name in PENALISED)
                objective = objective + config.weight_decay * penalty
            optimizer.zero_grad(set_to_none=True)
            objective.backward()
            norms = [weight.grad.norm() for weight in weights.values() if weight.grad is not None]
            if batch + 1 == batches and config.optimizer != "adamw":  # whose decay is no part of the gradient
                pulls = dynamics.l2_pulls(weights, PENALISED, config.weight_decay)
            optimizer.step()
            step += 1
            batch_loss = loss.mean().item()
            total += batch_loss * len(rows)
            values = {"train/loss": batch_loss, "optim/loss": objective.item()}
            values |= {"optim/learning_rate": rate, "optim/gradient_norm": torch.stack(norms).norm().item()}
            if batch + 1 < batches:  # the last step of an epoch is reported with the epoch
                event = Metrics(step, epoch + (batch + 1) / batches, values)
                config = common.moved(config, (yield event), changed)
        epoch += 1
        values |= {"train/loss": total / len(inputs)} | _validate(weights, running, data, device)
        values |= _dynamics(weights, running, watched, pulls)
        model = card | {"weights": _kept(weights), "running": _kept(running)}
        if stopping.update(values[MONITOR], epoch):
            best = model
        plateau.update(values[MONITOR], epoch)
        if plateau.is_over:
            scale, plateau.waited = scale * PLATEAU_FACTOR, 0
        config = common.moved(config, (yield Metrics(step, float(epoch), values)), changed)
        kept = {"model": model, "best_model": best, "step": step, "epoch": epoch, "scale": scale}
        kept |= {"stopping": stopping.state(), "plateau": plateau.state(), "changed": dict(changed)}
        kept |= {"optimizer": {str(key): _kept(slot) for key, slot in optimizer.state_dict()["state"].items()}}
        kept |= {"generator": common.generator_state(generator), "noise": noise.get_state().clone()}
        config = common.moved(config, (yield Checkpoint(kept)), changed)
    yield Done(best, data.input, stopping.reason(epoch))


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """Probability of each class for each excerpt [n, 128, frames].

    Raises ValueError for another representation, and for excerpts of fewer than 8 frames.
    """
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    values, warnings = np.asarray(inputs.values, dtype=np.float32), []
    if not np.isfinite(values).all():
        warnings.append(
            f"{1 - np.isfinite(values).mean():.1%} of the inputs were not numbers; 0 stands in their place."
        )
        values = np.where(np.isfinite(values), values, np.float32(0))
    _check(values)
    if abs(values.shape[2] / model["frames"] - 1) > 0.1:
        warnings.append(f"The model learned from excerpts of {model['frames']} frames; these have {values.shape[2]}.")
    weights, running = _read(model, device)
    probabilities = torch.sigmoid(_infer(weights, running, values, device)).numpy()
    return Prediction(inputs.times_s, probabilities, tuple(model["labels"]), model["unit"], warnings)


def _validate(weights: Tensors, running: Tensors, data: FitData, device: str) -> dict[str, float]:
    logits = _infer(weights, running, data.validation.inputs, device)
    loss = F.binary_cross_entropy_with_logits(logits, _on("cpu", data.validation.targets))
    return common.validation_values(data, torch.sigmoid(logits).numpy(), loss.item())


def _dynamics(
    weights: Tensors, running: Tensors, watched: torch.Tensor, pulls: Tensors | None = None
) -> dict[str, float]:
    """What the layers tell of themselves, by name; `watched` excerpts are shown to them as in use."""
    shares: list[torch.Tensor] = []
    with torch.no_grad():
        _forward(weights, running, watched, zero_shares=shares)
    found = dynamics.weight_norms(weights) | dynamics.norm_statistics(running) | (pulls or {})
    return dynamics.numbers(found | {f"zero_share_{block}": share for block, share in enumerate(shares, start=1)})


def _losses(logits: torch.Tensor, wanted: torch.Tensor, smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each excerpt [n] with its labels, and with these moved towards one half by `smoothing`."""
    labels = (wanted, wanted + smoothing * (0.5 - wanted)) if smoothing > 0 else (wanted,)
    losses = [F.binary_cross_entropy_with_logits(logits, some, reduction="none").mean(dim=1) for some in labels]
    return losses[0], losses[-1]


def _class_weights(targets: np.ndarray, labels: tuple[str, ...] = ()) -> np.ndarray:
    """Weight of each class, N / (classes · n_c).

    Where each row has one class and `labels` are given, ValueError for a class without any; where rows have several,
    as recordings do, a class that never sounds has no row to weigh.
    """
    if labels and (targets.sum(axis=1) == 1).all():
        return balance.class_weights(targets, labels)
    return len(targets) / (targets.shape[1] * np.maximum(targets.sum(axis=0), 1))


def _row_weights(targets: np.ndarray, of_class: np.ndarray | None = None) -> np.ndarray:
    """Weight of each row, the mean of its classes' weights; 1 for a row without any."""
    of_class = _class_weights(targets) if of_class is None else of_class
    positives = targets.sum(axis=1)
    return np.where(positives > 0, (targets * of_class).sum(axis=1) / np.maximum(positives, 1), 1.0)


def _mean_weights(targets: torch.Tensor, of_class: torch.Tensor) -> torch.Tensor:
    """The same of labels that were united just now, on their device."""
    positives = targets.sum(dim=1)
    return torch.where(positives > 0, (targets * of_class).sum(dim=1) / positives.clamp_min(1), 1.0)


def _optimizer(config: Config, weights: Tensors, slots: dict[str, Any] | None = None) -> torch.optim.Optimizer:
    """A new optimiser over the weights, or one that goes on from the `slots` (momenta) of a checkpoint."""
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    more = {"momentum": config.momentum, "nesterov": config.momentum > 0} if config.optimizer == "sgd" else {}
    made = kind(list(weights.values()), lr=config.learning_rate, **more)
    if slots is not None:
        read = {int(key): {n: torch.tensor(np.asarray(v)) for n, v in slot.items()} for key, slot in slots.items()}
        made.load_state_dict(made.state_dict() | {"state": read})
    return made


def _read(model: dict[str, Any], device: str) -> tuple[Tensors, Tensors]:
    """Weights and running statistics of a stored model on the device."""
    read = [{name: _on(device, value) for name, value in model[part].items()} for part in ("weights", "running")]
    return read[0], read[1]


def _kept(tensors: dict[str, Any]) -> dict[str, Any]:
    """Copies on the CPU, which later steps do not touch."""
    return {n: v.detach().to("cpu", copy=True) for n, v in tensors.items() if v is not None}


def _check(excerpts: torch.Tensor | np.ndarray) -> None:
    if excerpts.ndim != 3 or min(excerpts.shape[1:]) < 8:
        raise ValueError(f"InstruNet needs excerpts [n, bands, frames] of 8 × 8 or more, not {tuple(excerpts.shape)}.")
    if isinstance(excerpts, torch.Tensor) and not torch.isfinite(excerpts).all():
        raise ValueError("The training excerpts hold values that are not numbers; leave those clips out.")
