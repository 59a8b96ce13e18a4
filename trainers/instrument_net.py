"""Instrument net: a small image network on log-mel pictures, trained on waveforms that are mixed and disturbed.

Excerpts [n, samples] at 16 kHz become pictures of mel bands in dB, 80 dB deep, each standardised by itself; a network
of timm with at most 2 M weights and one sigmoid per class reads them: MobileNetV3 (Howard et al. 2019), LCNet (Cui et
al. 2021), MobileNetV4 (Qin et al. 2024), MobileViTv2 (Mehta and Rastegari 2022) or TinyNet (Han et al. 2020), or one
of our own that keeps the picture's resolution longer (`_convnet`); all untrained at the start.

Training excerpts have one label each and music has several, so excerpts are summed and their labels united (Kratimenos
et al. 2020, for IRMAS). What a recording adds to an instrument is drawn anew for every excerpt and step: an equaliser,
a room, noise, a shift in pitch or time and hidden stripes (SpecAugment, Park et al. 2019), all on the device.

`train/loss` and `validation/loss` are the plain mean binary cross-entropy in nats; the first is that of the disturbed
excerpts. `optim/loss` is what is minimised, with smoothed labels. The rate rises over the first steps and then falls
along half a cosine; a rate that is moved by hand holds at once, without the rise.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio

from core import windows
from core.config import knob
from core.events import Changes, Checkpoint, Done, Event, FitData, Inputs, Metrics, Prediction
from trainers import _common as common
from trainers import _waves as disturb
from trainers._convnet import ConvNet

TASKS = ("instruments",)
INPUTS = ("wave16k",)
DEVICES = ("cuda", "mps", "cpu")
BACKBONES = (
    "conv_24", "conv_48", "lcnet_050", "mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv4_conv_small_050",
    "mobilevitv2_050", "tinynet_e",
)  # fmt: skip
STRONG = {"mix": 0.5, "equaliser_db": 10.0, "noise_db": -10.0, "reverberation": 0.6, "spec_augment": 0.3}
OFF = {
    "mix": 0.0,
    "gain_db": 0.0,
    "pitch_shift": 0.0,
    "equaliser_db": 0.0,
    "noise_db": -100.0,
    "spec_augment": 0.0,
    "time_shift": 0.0,
}
UNSEEN = {
    "backbone": "conv_24", "optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.02, "epochs": 12,
    "batch_size": 64, "pitch_shift": 2.0, "noise_db": -20.0, "spec_augment": 0.15,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "small: two cores, minutes": {"epochs": 5},
    "full: a GPU (not measured)": STRONG | {"backbone": "mobilenetv3_small_100", "epochs": 150, "batch_size": 128},
    "sources it never heard: two cores, under an hour": UNSEEN,
    "nothing disturbed": OFF,
}
MONITOR = "validation/loss"
LOSS = "Mean binary cross-entropy over excerpts and classes, in nats; optim/loss is what is minimised."
ARE_SEEDS_POOLED = True
RATE_HZ = windows.WAVE_RATE_HZ
HOP = 512
SHORTEST = 2048  # samples; less is no picture
DEPTH_DB = 80.0
PREDICT_ROWS = 64
WARM_UP = 0.05  # share of all steps

State = dict[str, Any]
Noise = torch.Generator | None
Net = Any  # a module of timm; torch's own Module does not know forward_head and its like


@dataclass(frozen=True)
class Config:
    backbone: str = knob("mobilenetv3_small_050", "The network of timm that reads the picture.", choices=BACKBONES)
    n_mels: int = knob(64, "Height of the picture in mel bands.", choices=(40, 64, 96, 128), unit="bands")
    learning_rate: float = knob(0.1, "Highest step size of the optimiser.", low=1e-6, high=1.0, scale="log", hot=True)
    optimizer: str = knob("sgd", "How a gradient becomes a step.", choices=("sgd", "adamw"))
    momentum: float = knob(
        0.9, "Share of the last step taken again.", low=0.0, high=0.999, when={"optimizer": "sgd"}, branch=True
    )
    weight_decay: float = knob(5e-4, "How much large weights are pulled to zero.", low=0.0, high=0.5, hot=True)
    dropout: float = knob(0.1, "Share of the last layer's inputs hidden at each step.", low=0.0, high=0.95, hot=True)
    epochs: int = knob(40, "Passes over the training data.", low=1, high=1000, unit="epochs", branch=True)
    batch_size: int = knob(32, "Excerpts per step.", low=4, high=4096, scale="log", unit="excerpts")
    patience: int = knob(
        0, "Epochs without improvement before it stops; 0 never.", low=0, high=1000, unit="epochs", branch=True
    )
    min_delta: float = knob(
        0.0, "Fall of the loss that counts as an improvement.", low=0.0, high=1.0, unit="nats", branch=True
    )
    label_smoothing: float = knob(0.0, "How far labels are moved towards one half.", low=0.0, high=0.5, hot=True)
    mix: float = knob(0.3, "Probability that an excerpt is the sum of two or three.", low=0.0, high=1.0, hot=True)
    gain_db: float = knob(
        6.0, "Most that an excerpt, also one in a sum, is made louder or quieter.", low=0.0, high=30.0, unit="dB",
        hot=True,
    )  # fmt: skip
    equaliser_db: float = knob(
        6.0, "Most that low, middle and high tones are each raised or lowered.", low=0.0, high=30.0, unit="dB",
        hot=True,
    )  # fmt: skip
    noise_db: float = knob(
        -30.0, "Loudest noise that is added, relative to the excerpt; -100 adds none.", low=disturb.NO_NOISE_DB,
        high=20.0, unit="dB", hot=True,
    )  # fmt: skip
    reverberation: float = knob(
        0.0, "Longest time in which a room's echo falls by 60 dB; 0 for no room.", low=0.0, high=5.0, unit="s", hot=True
    )
    pitch_shift: float = knob(
        0.0, "Most that an excerpt is played faster and higher, or slower and lower.", low=0.0, high=12.0,
        unit="semitones", hot=True,
    )  # fmt: skip
    spec_augment: float = knob(0.1, "Most of bands and time hidden by one stripe each.", low=0.0, high=0.8, hot=True)
    time_shift: float = knob(
        0.5, "Most that an excerpt starts earlier or later, with silence after or before it.", low=0.0, high=30.0,
        unit="s", hot=True,
    )  # fmt: skip
    window_seconds: float = knob(3.0, "Length of the excerpts it learns from.", low=0.5, high=30.0, unit="s")


def fit(
    data: FitData, config: Config, *, generator: np.random.Generator, device: str = "cpu", state: State | None = None
) -> Generator[Event, Changes | None, None]:
    """Trains on `data.train` (inputs [n, samples] at 16 kHz, targets 0 or 1); yields events as core/events.py says.

    Raises ValueError for excerpts shorter than 2,048 samples, and for values that are not finite.
    """
    # All excerpts stay on the device; on the CPU they share the data set's memory where it is writable float32.
    inputs = torch.from_numpy(np.require(data.train.inputs, np.float32, ["C", "W"])).to(device)
    targets = _on(device, data.train.targets)
    _check(inputs)
    noise = torch.Generator(device)
    stopping = common.EarlyStopping(config.patience, config.min_delta)
    changed: dict[str, Any] = {}
    card = {"backbone": config.backbone, "n_mels": config.n_mels, "samples": int(inputs.shape[1])}
    card |= common.card(data)

    if state is None:
        net = _network(card, int(generator.integers(2**63 - 1))).to(device)
        noise.manual_seed(int(generator.integers(2**63 - 1)))
        best = card | {"weights": _kept(net.state_dict())}
        optimizer = _optimizer(config, net)
        step, epoch = 0, 0
        event = Metrics(0, 0.0, _validate(net, data, config.n_mels, device))
        config = common.moved(config, (yield event), changed)
    else:
        net = _read(state["model"], device)
        best, step, epoch = state["best_model"], int(state["step"]), int(state["epoch"])
        config = common.moved(config, dict(state["changed"]), changed)
        optimizer = _optimizer(config, net, state["optimizer"])
        stopping.restore(state["stopping"])
        common.restore_generator(generator, state["generator"])
        noise.set_state(torch.tensor(np.asarray(state["noise"]), dtype=torch.uint8))

    picture = _Picture(config.n_mels, device)
    batches = -(-len(inputs) // config.batch_size)
    steps = config.epochs * batches
    while epoch < config.epochs and not stopping.is_over:
        total = 0.0
        for batch, chosen in enumerate(np.array_split(generator.permutation(len(inputs)), batches)):
            rise = 1.0 if "learning_rate" in changed else min(1.0, (step + 1) / (WARM_UP * steps))
            rate = config.learning_rate * rise * (1 + math.cos(math.pi * step / steps)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
                group["weight_decay"] = config.weight_decay * group["is_decayed"]
            rows, furthest = torch.from_numpy(chosen).to(device), round(config.time_shift * RATE_HZ)
            waves, wanted = disturb.mix(inputs, targets, rows, config.mix, config.gain_db, furthest, noise)
            waves = disturb.played(waves, config.pitch_shift, noise)
            waves = disturb.rooms(waves, config.reverberation, RATE_HZ, noise)
            pictures = picture(disturb.hiss(waves, config.noise_db, noise), config.equaliser_db, noise)
            pictures = disturb.stripes(pictures, config.spec_augment, noise)
            logits = _logits(net.train(), pictures, config.dropout, noise)
            loss = F.binary_cross_entropy_with_logits(logits, wanted)
            smooth = wanted + config.label_smoothing * (0.5 - wanted)
            objective = F.binary_cross_entropy_with_logits(logits, smooth) if config.label_smoothing else loss
            optimizer.zero_grad(set_to_none=True)
            objective.backward()
            norms = [weight.grad.norm() for weight in net.parameters() if weight.grad is not None]
            optimizer.step()
            step += 1
            batch_loss = loss.item()
            total += batch_loss * len(rows)
            values = {"train/loss": batch_loss, "optim/loss": objective.item()}
            values |= {"optim/learning_rate": rate, "optim/gradient_norm": torch.stack(norms).norm().item()}
            if batch + 1 < batches:  # the last step of an epoch is reported with the epoch
                event = Metrics(step, epoch + (batch + 1) / batches, values)
                config = common.moved(config, (yield event), changed)
        epoch += 1
        values |= {"train/loss": total / len(inputs)} | _validate(net, data, config.n_mels, device)
        model = card | {"weights": _kept(net.state_dict())}
        if stopping.update(values[MONITOR], epoch):
            best = model
        config = common.moved(config, (yield Metrics(step, float(epoch), values)), changed)
        kept = {"model": model, "best_model": best, "step": step, "epoch": epoch, "changed": dict(changed)}
        kept |= {"optimizer": {str(key): _kept(slot) for key, slot in optimizer.state_dict()["state"].items()}}
        kept |= {"stopping": stopping.state(), "generator": common.generator_state(generator)}
        config = common.moved(config, (yield Checkpoint(kept | {"noise": noise.get_state().clone()})), changed)
    yield Done(best, data.input, stopping.reason(epoch))


def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    """Probability of each class for each excerpt [n, samples] at 16 kHz.

    Raises ValueError for another representation, and for excerpts shorter than 2,048 samples.
    """
    if inputs.name != model["input"]:
        raise ValueError(f"The model was trained on {model['input']} and was given {inputs.name}.")
    values, warnings = np.asarray(inputs.values, dtype=np.float32), []
    if not np.isfinite(values).all():
        missing = 1 - np.isfinite(values).mean()
        warnings.append(f"{missing:.1%} of the inputs were not numbers; 0 stands in their place.")
        values = np.where(np.isfinite(values), values, np.float32(0))
    _check(values)
    if abs(values.shape[1] / model["samples"] - 1) > 0.1:
        learned, given = model["samples"] / RATE_HZ, values.shape[1] / RATE_HZ
        warnings.append(f"The model learned from excerpts of {learned:.1f} s; these have {given:.1f} s.")
    probabilities = torch.sigmoid(_infer(_read(model, device), values, model["n_mels"], device)).numpy()
    return Prediction(inputs.times_s, probabilities, tuple(model["labels"]), model["unit"], warnings)


def _network(card: dict[str, Any], seed: int = 0) -> Net:
    """The untrained network of a model card. timm draws its weights from torch's own state, which is put back."""
    name, classes = card["backbone"], len(card["labels"])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net: Net
        if name.startswith("conv_"):
            net = ConvNet(int(name.removeprefix("conv_")), classes)
        else:
            import timm  # eleven seconds of a core, which who only hears a network of our own need not wait for

            net = timm.create_model(name, pretrained=False, in_chans=1, num_classes=classes)
    return net.to(memory_format=torch.channels_last)  # a step of 32 on one core: 88 ms where it was 135


class _Picture:
    """From waves [n, samples] to pictures [n, 1, n_mels, frames] of mean 0 and deviation 1 each."""

    def __init__(self, n_mels: int, device: str) -> None:
        fft = 1024 if n_mels <= 64 else 2048  # bands narrower than the transform's bins would stay empty
        self.power = torchaudio.transforms.Spectrogram(fft, hop_length=HOP).to(device)
        self.mel = torchaudio.transforms.MelScale(n_mels, RATE_HZ, n_stft=fft // 2 + 1).to(device)
        self.decibel = torchaudio.transforms.AmplitudeToDB("power", top_db=DEPTH_DB)

    def __call__(self, waves: torch.Tensor, equaliser_db: float = 0.0, noise: Noise = None) -> torch.Tensor:
        power = self.power(waves)
        if noise is not None and equaliser_db > 0:  # on power, where it costs a multiplication and works on any device
            power = power * disturb.equalisers(len(waves), power.shape[1], equaliser_db, RATE_HZ, noise)[:, :, None]
        # With three dimensions torchaudio would count the 80 dB from the loudest excerpt of the batch.
        levels = self.decibel(self.mel(power)[:, None])
        apart = levels - levels.mean(dim=(2, 3), keepdim=True)
        return apart / apart.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp(min=1e-3)


def _logits(net: Net, pictures: torch.Tensor, dropout: float = 0.0, noise: Noise = None) -> torch.Tensor:
    """Logits [n, classes]; the dropout before the last layer draws from `noise`, torch's own only from its global."""
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    pooled = net.forward_head(net.forward_features(pictures), pre_logits=True)
    if noise is not None and dropout > 0:
        is_kept = torch.rand(pooled.shape, generator=noise, device=pooled.device) >= dropout
        pooled = pooled * is_kept / (1 - dropout)
    return net.get_classifier()(pooled)


def _infer(net: Net, values: np.ndarray, n_mels: int, device: str) -> torch.Tensor:
    """Logits [n, classes] on the CPU, in batches, so that memory does not grow with n."""
    picture = _Picture(n_mels, device)
    net.eval()
    with torch.no_grad():
        starts = range(0, len(values), PREDICT_ROWS)
        parts = [_logits(net, picture(_on(device, values[s : s + PREDICT_ROWS]))).cpu() for s in starts]
    return torch.cat(parts) if parts else torch.empty(0, net.num_classes)


def _validate(net: Net, data: FitData, n_mels: int, device: str) -> dict[str, float]:
    logits = _infer(net, data.validation.inputs, n_mels, device)
    loss = F.binary_cross_entropy_with_logits(logits, _on("cpu", data.validation.targets))
    return common.validation_values(data, torch.sigmoid(logits).numpy(), loss.item())


def _optimizer(config: Config, net: Net, slots: dict[str, Any] | None = None) -> torch.optim.Optimizer:
    """A new optimiser over the weights, or one that goes on from the `slots` (momenta) of a checkpoint.

    Biases and the scales of norms are not decayed.
    """
    weights = list(net.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "is_decayed": True},
        {"params": [weight for weight in weights if weight.ndim <= 1], "is_decayed": False},
    ]
    if config.optimizer == "sgd":
        momentum = config.momentum
        made: torch.optim.Optimizer = torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=momentum, nesterov=momentum > 0
        )
    else:
        made = torch.optim.AdamW(groups, lr=config.learning_rate)
    if slots is not None:
        read = {int(key): {n: torch.tensor(np.asarray(v)) for n, v in slot.items()} for key, slot in slots.items()}
        made.load_state_dict(made.state_dict() | {"state": read})
    return made


def _read(model: dict[str, Any], device: str) -> Net:
    """The network of a stored model on the device."""
    net = _network(model)
    net.load_state_dict({name: torch.tensor(np.asarray(value)) for name, value in model["weights"].items()})
    return net.to(device)


def _kept(tensors: dict[str, Any]) -> dict[str, Any]:
    """Copies on the CPU, which later steps do not touch."""
    return {n: v.detach().to("cpu", copy=True) for n, v in tensors.items() if v is not None}


def _on(device: str, values: Any) -> torch.Tensor:
    """A copy of any array as float32 on the device."""
    return torch.tensor(np.asarray(values), dtype=torch.float32, device=device)


def _check(waves: torch.Tensor | np.ndarray) -> None:
    if waves.ndim != 2 or waves.shape[1] < SHORTEST:
        raise ValueError(
            f"Instrument net needs excerpts [n, samples] of {SHORTEST:,} samples ({SHORTEST / RATE_HZ:g} s) or more, "
            f"not {tuple(waves.shape)}."
        )
    if isinstance(waves, torch.Tensor) and not torch.isfinite(waves).all():
        raise ValueError("The training excerpts hold values that are not numbers; leave those clips out.")
