"""Instruments that are tones, and a model that knows them: class k sounds at one frequency, and hearing it is a sum.

So every score of an evaluation is known beforehand, while files, data sets, splits, windows and reports are the real
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from core import checkpoints, rundir
from core.datasets import IRMAS_CLASSES
from core.events import Inputs, Prediction

RATE_HZ = 16_000
FREQUENCY_HZ = dict(zip(IRMAS_CLASSES, 200.0 * 1.35 ** np.arange(len(IRMAS_CLASSES)), strict=True))
TAUGHT = ("cel", "cla", "flu", "gac")


def wave(codes: Sequence[str], seconds: float, amplitude: float = 0.2) -> np.ndarray:
    """Samples in which these classes sound together."""
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return sum((amplitude * np.sin(2 * np.pi * FREQUENCY_HZ[code] * times_s) for code in codes), np.zeros(len(times_s)))


def write(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ)
    return path


def training(place: Path, codes: Sequence[str] = TAUGHT, groups: int = 6, seconds: float = 1.5) -> str:
    """A folder of single tones, two clips a group, as `folder:PATH`."""
    rows = ["path,label,group"]
    for code in codes:
        for number in range(2 * groups):
            write(place / f"{code}{number}.wav", wave([code], seconds, 0.05 + 0.01 * number))
            rows.append(f"{code}{number}.wav,{code},{code}-{number // 2}")
    (place / "manifest.csv").write_text("\n".join(rows))
    return f"folder:{place}"


def polyphonic(place: Path, items: dict[str, tuple[str, np.ndarray]]) -> str:
    """A folder of items, name → ("cel|flu", samples), each a group, as `folder:PATH`."""
    for name, (_, samples) in items.items():
        write(place / f"{name}.wav", samples)
    lines = [f"{name}.wav,{label},{name}" for name, (label, _) in items.items()]
    (place / "manifest.csv").write_text("\n".join(["path,label,group", *lines]))
    return f"folder:{place}"


def run(data: str, split: str = "grouped:0", name: str = "", task: str = "instruments") -> str:
    """A finished run whose model is `hearing`'s; returns its name."""
    spec = rundir.Spec(name or rundir.new_id("instrunet"), "instrunet", {}, data, task, split, 0, "cpu")
    folder = rundir.create(spec, "done")
    model = {"input": "wave16k", "labels": list(IRMAS_CLASSES), "unit": "probability", "seed": spec.id}
    saved = {"model": model, "input": "wave16k", "window_s": 1.0, "columns": []}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return spec.id


def hearing(taught: Sequence[str] = TAUGHT, deaf: Sequence[str] = ()) -> Any:
    """A trainer that hears the taught classes: the loudest tone of a window has score 0.9, one half as loud 0.45.

    It does not hear those it is `deaf` to, as soon as another sounds with them.
    """

    def predict(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
        waves = np.asarray(inputs.values, dtype=float)
        turns = 2j * np.pi * np.arange(waves.shape[1]) / RATE_HZ
        heights = np.zeros((len(waves), len(IRMAS_CLASSES)))
        for code in taught:
            spun = waves @ np.exp(-turns * FREQUENCY_HZ[code])
            heights[:, IRMAS_CLASSES.index(code)] = 2 * np.abs(spun) / waves.shape[1]
        loudest = heights.max(axis=1, keepdims=True)
        heights[heights < 0.05 * loudest] = 0.0  # a window's edges leak
        several = (heights > 0).sum(axis=1) > 1
        for code in deaf:
            heights[several, IRMAS_CLASSES.index(code)] = 0.0
        return Prediction(inputs.times_s, 0.9 * heights / np.maximum(loudest, 1e-9), IRMAS_CLASSES, "probability")

    return lambda name: SimpleNamespace(predict=predict)
