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
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from core.config import knob
from core.diagnose import base_rate_loss
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common
from trainers import _waves as disturb

TASKS = ("instruments",)
INPUTS = ("logmel",)
DEVICES = ("cuda", "mps", "cpu")
PRESETS: dict[str, dict[str, Any]] = {
    "published": {},
    "small: two cores, minutes": {"width": 16, "kernel": 3, "epochs": 12, "batch_size": 64, "learning_rate": 0.03},
    "without batch normalisation (its plateau at 10/11)": {"batch_norm": False, "dropout": 0.0, "weight_decay": 0.0},
}
MONITOR = "validation/loss"
ARE_SEEDS_POOLED = True
PREDICT_ROWS = 16
PENALISED = ("convolution_1", "convolution_2", "convolution_3", "dense")  # the fourth convolution has no L2 there
NORM_EPSILON = 1e-3
NORM_RATE = 0.1
PLATEAU_FACTOR, PLATEAU_MIN_DELTA, LOWEST_LEARNING_RATE = 0.5, 1e-4, 1e-6

State = dict[str, Any]
Tensors = dict[str, torch.Tensor]
Noise = torch.Generator | None


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


def fit(
    data: FitData, config: Config, *, generator: np.random.Generator, device: str = "cpu", state: State | None = None
) -> Generator[Event, Changes | None, None]:
    """Trains on `data.train` (inputs [n, 128, frames], targets 0 or 1); yields events as core/events.py says.

    Raises ValueError for excerpts of fewer than 8 frames or bands, and for values that are not finite.
    """
    # All excerpts stay on the device; on the CPU they share the data set's memory where it is writable float32.
    inputs = torch.from_numpy(np.require(data.train.inputs, np.float32, ["C", "W"])).to(device)
    targets = _on(device, data.train.targets)
    row_weights = _on(device, _row_weights(data.train.targets) if config.class_weights else np.ones(len(data.train)))
    _check(inputs)
    noise = torch.Generator(device)
    stopping = common.EarlyStopping(config.patience, config.min_delta)
    plateau = common.EarlyStopping(config.plateau_patience, PLATEAU_MIN_DELTA)
    changed: dict[str, Any] = {}
    card = {"frames": int(inputs.shape[2])} | common.card(data)

    if state is None:
        noise.manual_seed(int(generator.integers(2**63 - 1)))
        weights, running = _start(config, len(data.labels), generator, device)
        best = card | {"weights": _kept(weights), "running": _kept(running)}
        optimizer = _optimizer(config, weights)
        step, epoch, scale = 0, 0, 1.0
        prior = base_rate_loss(data.train.targets.mean(axis=0), is_multi_label=True)
        event = Metrics(0, 0.0, _validate(weights, running, data, device) | {"train/prior_loss": prior})
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
            shown = disturb.stripes(inputs[rows][:, None], config.spec_augment, noise)[:, 0]
            logits = _forward(weights, running, shown, (config.dropout, config.block_dropout), noise)
            loss = F.binary_cross_entropy_with_logits(logits, targets[rows], reduction="none").mean(dim=1)
            objective = (row_weights[rows] * loss).mean()
            if config.optimizer != "adamw":
                penalty = sum((weights[f"{name}.weight"] ** 2).sum() for name in PENALISED)
                objective = objective + config.weight_decay * penalty
            optimizer.zero_grad(set_to_none=True)
            objective.backward()
            norms = [weight.grad.norm() for weight in weights.values() if weight.grad is not None]
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


def _start(config: Config, classes: int, generator: np.random.Generator, device: str) -> tuple[Tensors, Tensors]:
    """New weights as Keras starts them (Glorot uniform, biases 0), and the running statistics of the norms."""
    weights: dict[str, np.ndarray] = {}
    running: dict[str, np.ndarray] = {}
    channels = 1
    for block in (1, 2, 3, 4):
        filters = config.width * 2 ** (block - 1)
        shape = (filters, channels, config.kernel, config.kernel)
        weights |= _glorot(f"convolution_{block}", shape, generator)
        if config.batch_norm:
            weights |= {f"norm_{block}.weight": np.ones(filters), f"norm_{block}.bias": np.zeros(filters)}
            running |= {f"norm_{block}.mean": np.zeros(filters), f"norm_{block}.variance": np.ones(filters)}
        channels = filters
    weights |= _glorot("dense", (classes, channels), generator)
    trained = {name: _on(device, value).requires_grad_() for name, value in weights.items()}
    return trained, {name: _on(device, value) for name, value in running.items()}


def _glorot(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> dict[str, np.ndarray]:
    bound = math.sqrt(6 / (math.prod(shape[2:]) * (shape[0] + shape[1])))
    return {f"{name}.weight": generator.uniform(-bound, bound, shape), f"{name}.bias": np.zeros(shape[0])}


def _forward(
    weights: Tensors, running: Tensors, excerpts: torch.Tensor, dropout: tuple = (0.0, 0.0), noise: Noise = None
) -> torch.Tensor:
    """Logits [n, classes] of excerpts [n, bands, frames]; with `noise` as in training, without it as in use.

    `dropout` is (head, blocks). In training the `running` statistics are updated in place.
    """
    x = excerpts[:, None].contiguous(memory_format=torch.channels_last)
    for block in (1, 2, 3, 4):
        weight = weights[f"convolution_{block}.weight"]
        x = F.relu(F.conv2d(x, weight, weights[f"convolution_{block}.bias"], padding=weight.shape[-1] // 2))
        if running:
            statistics = running[f"norm_{block}.mean"], running[f"norm_{block}.variance"]
            affine = weights[f"norm_{block}.weight"], weights[f"norm_{block}.bias"]
            x = F.batch_norm(x, *statistics, *affine, noise is not None, NORM_RATE, NORM_EPSILON)
        if block < 4:
            x = _dropout(F.max_pool2d(x, 2), dropout[1], noise)
    x = _dropout(x.mean(dim=(2, 3)), dropout[0], noise)
    return F.linear(x, weights["dense.weight"], weights["dense.bias"])


def _dropout(x: torch.Tensor, share: float, noise: Noise) -> torch.Tensor:
    """Hides a share of the values and scales up the rest; torch's own dropout knows the global generator only."""
    if noise is None or share == 0:
        return x
    return x * (torch.rand(x.shape, generator=noise, device=x.device) >= share) / (1 - share)


def _infer(weights: Tensors, running: Tensors, values: np.ndarray, device: str) -> torch.Tensor:
    """Logits [n, classes] on the CPU, in batches, so that memory does not grow with n."""
    with torch.no_grad():
        starts = range(0, len(values), PREDICT_ROWS)
        parts = [_forward(weights, running, _on(device, values[s : s + PREDICT_ROWS])).cpu() for s in starts]
    return torch.cat(parts) if parts else torch.empty(0, len(weights["dense.bias"]))


def _validate(weights: Tensors, running: Tensors, data: FitData, device: str) -> dict[str, float]:
    logits = _infer(weights, running, data.validation.inputs, device)
    loss = F.binary_cross_entropy_with_logits(logits, _on("cpu", data.validation.targets))
    return common.validation_values(data, torch.sigmoid(logits).numpy(), loss.item())


def _row_weights(targets: np.ndarray) -> np.ndarray:
    """Weight of each row: N / (classes · n_c), averaged over its classes c; 1 for a row without any."""
    counts = np.maximum(targets.sum(axis=0), 1)
    of_class = len(targets) / (targets.shape[1] * counts)
    positives = targets.sum(axis=1)
    return np.where(positives > 0, (targets * of_class).sum(axis=1) / np.maximum(positives, 1), 1.0)


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


def _on(device: str, values: Any) -> torch.Tensor:
    """A copy of any array as float32 on the device."""
    return torch.tensor(np.asarray(values), dtype=torch.float32, device=device)


def _check(excerpts: torch.Tensor | np.ndarray) -> None:
    if excerpts.ndim != 3 or min(excerpts.shape[1:]) < 8:
        raise ValueError(f"InstruNet needs excerpts [n, bands, frames] of 8 × 8 or more, not {tuple(excerpts.shape)}.")
    if isinstance(excerpts, torch.Tensor) and not torch.isfinite(excerpts).all():
        raise ValueError("The training excerpts hold values that are not numbers; leave those clips out.")
