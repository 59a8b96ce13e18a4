"""What a model says window by window about many sounds: the items of a data set, or mixtures that are made.

Each sound goes through `listening.listen`, so that Listen shows the same numbers and what is cancelled goes on where it
was; all of them together are kept in one more file, so that another aggregate or threshold costs no second listening.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import audio, datasets, disk, evaluation, listening, paths, windows
from core.config import fingerprint
from core.datasets import Dataset, Progress

VERSION = 1
UNUSED_WINDOW_S = 2.71


@dataclass(frozen=True)
class Curves:
    """Scores of windows: `values` [windows, classes], NaN where it is silent; `counts` [items] windows of each item,
    `seconds` [items] its length, and what was said about any of them."""

    values: np.ndarray
    counts: np.ndarray
    seconds: np.ndarray
    warnings: tuple[str, ...] = ()

    @property
    def is_silent(self) -> np.ndarray:
        """Whether an item has no window that is heard, bool [items]."""
        item = np.repeat(np.arange(len(self.counts)), self.counts)
        return np.bincount(item, np.isfinite(self.values).all(axis=1), minlength=len(self.counts)) == 0


class _Made(Exception):
    """The sound is there: what follows it is not wanted."""


def has_sound(dataset: Dataset) -> bool:
    """Whether nothing of its sound is still to be rendered here."""
    is_ready = getattr(datasets.module(dataset.name), "is_ready", lambda task: True)
    return bool(is_ready(dataset.task))


def make_sound(dataset: Dataset, progress: Progress) -> None:
    """Render the sound of a data set that is made here, telling how far; nothing where it is there.

    `progress` may raise to end it: what is rendered by then is kept. A data set tells only where it makes rows, so
    rows are asked for, of a length that no run has and so were never kept, and not waited for.
    """

    def tell(fraction: float, sentence: str) -> None:
        if has_sound(dataset):
            raise _Made
        progress(fraction, sentence)

    if not has_sound(dataset):
        with contextlib.suppress(_Made):
            dataset.rows(dataset.inputs[0], np.array([0]), UNUSED_WINDOW_S, tell)


def of_items(
    dataset: Dataset,
    chosen: np.ndarray,
    model: evaluation.Model,
    window_s: float,
    hop_s: float,
    progress: Progress,
    what: str,
) -> Curves:
    """The windows of the items `chosen`; `what` names them for whoever waits ("test items").

    Raises ValueError where the data set has no sound here, or one of its files cannot be read.
    """
    if dataset.audio is None:
        raise ValueError(f"{dataset.name} has no sound here; choose a data set of recordings.")
    find = dataset.audio
    progress(0.0, f"Finding the sound of {dataset.name}; where it is made here, that comes first")
    files = [find(int(index)) for index in chosen]
    content = [dataset.name, dataset.version, dataset.items[chosen].tolist(), [_stamp(file) for file in files]]
    return of_sounds(content, len(files), lambda i: audio.decode(files[i]), model, window_s, hop_s, progress, what)


def of_sounds(
    content: Any,
    n: int,
    sound: Callable[[int], audio.Clip],
    model: evaluation.Model,
    window_s: float,
    hop_s: float,
    progress: Progress,
    what: str,
) -> Curves:
    """The windows of `n` sounds, of which `sound(i)` gives one; `content` (JSON) is all that they depend on."""
    key = fingerprint([content, listening.key("", model, window_s, hop_s), VERSION])
    path = paths.cache() / "predictions" / key[:2] / f"windows-{key}.npz"
    kept = _read(path, n, len(model.model["labels"]))
    if kept is not None:
        return kept
    values, seconds, warnings = [], [], []
    for i in range(n):
        progress(i / n, f"Listening to {what}: {i:,} of {n:,}")
        clip = sound(i)
        heard = listening.listen(clip, model, window_s=window_s, hop_s=hop_s)
        starts_s, _ = windows.bounds(heard.prediction.times_s, heard.window_s, clip.seconds)
        _, different = np.unique(starts_s, return_index=True)  # those at the ends coincide
        values.append(heard.prediction.values[different])
        seconds.append(clip.seconds)
        # How short a clip is differs from clip to clip: the report counts those.
        warnings += [text for text in heard.prediction.warnings if " is less than it expects" not in text]
    progress(1.0, f"Listened to {what}")
    made = _joined(values, seconds, warnings, len(model.model["labels"]))
    told = np.array(made.warnings, dtype=str)
    disk.keep_arrays(path, values=made.values, counts=made.counts, seconds=made.seconds, warnings=told)
    return made


def _joined(values: Sequence[np.ndarray], seconds: Sequence[float], warnings: Sequence[str], classes: int) -> Curves:
    counts = np.array([len(part) for part in values], dtype=int)
    told = tuple(text for text in dict.fromkeys(warnings) if "silent" not in text)  # the report counts silence
    joined = np.concatenate(values) if values else np.zeros((0, classes))
    return Curves(joined, counts, np.array(seconds, dtype=float), told)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        about = file.stat()
    except OSError:  # gone since the labels were read: decoding says so in a sentence
        return 0, 0
    return about.st_size, about.st_mtime_ns


def _read(path: Path, n: int, classes: int) -> Curves | None:
    """Kept windows; None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            told = tuple(str(text) for text in file["warnings"])
            found = Curves(file["values"], file["counts"], file["seconds"], told)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    is_whole = found.values.shape == (found.counts.sum(), classes) and len(found.counts) == len(found.seconds) == n
    return found if is_whole else None
