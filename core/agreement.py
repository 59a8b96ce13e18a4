"""How far two ways of hearing agree: a listener with others, with a model, with the listeners of a published data set.

Over clips every clip counts once. Within one clip the moments of two traces are compared; neighbouring moments are
alike, so that their number says little and no interval is given.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core import audio, datasets, metrics, paths, stats
from core.datasets import EMOTION_LABELS, Dataset

ONE_LISTENER_R = {"valence": 0.51, "arousal": 0.57}
"""How well one listener's song ratings follow the mean of all listeners in DEAM (Pearson's r)."""

FEWEST_CLIPS = 3
"""From fewer clips not even a mean difference is told."""

FEWEST_FOR_CORRELATION = 10
"""Of three clips that have nothing to do with each other r lies beyond ±.9 in 29 of 100 cases (1 − 2/π · arcsin .9), of
ten beyond ±.5 still in 14: below that a correlation says nothing, and none is told."""

FEWEST_FOR_INTERVAL = 5
"""Resampling four clips mostly repeats them; its interval would look far too sure."""

Pair = tuple[float, float]
Trace = tuple[np.ndarray, np.ndarray]
COLUMNS = ("with", "label", "n", "r", "r_low", "r_high", "ccc", "ccc_low", "ccc_high", "difference", "difference_low",
           "difference_high")  # fmt: skip


@dataclass(frozen=True)
class Known:
    """Labels that a clip came with. `song` valence and arousal (1–9); `trace` (times_s [t], values [t, 2]) or None."""

    source: str
    item: str
    song: Pair
    trace: Trace | None


def over_clips(mine: Mapping[str, Pair], others: Mapping[str, Mapping[str, Pair]]) -> pd.DataFrame:
    """One row per other view and label (`COLUMNS`): r, CCC, mean difference (mine − theirs, points) over shared clips.

    `mine` maps a clip to (valence, arousal); `others` a name to such a map. NaN where a number is not defined or fewer
    than ten clips are shared, for the difference three; the intervals (95 %, bootstrap by clip) need five.
    """
    rows = []
    for name, theirs in others.items():
        shared = sorted(set(mine) & set(theirs))
        for k, label in enumerate(EMOTION_LABELS):
            a, b = (np.array([view[clip][k] for clip in shared], dtype=float) for view in (mine, theirs))
            rows.append({"with": name, "label": label, "n": len(shared), **_numbers(a, b)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def over_moments(mine: Trace, others: Mapping[str, Trace]) -> pd.DataFrame:
    """The same within one clip: n counts the moments of `mine` that lie within the other's, which is read between its
    own moments; NaN values (silence) are left out. No intervals, and no r and CCC of fewer than ten moments."""
    rows = []
    for name, theirs in others.items():
        a, b = at_same_moments(mine, theirs)
        for k, label in enumerate(EMOTION_LABELS):
            rows.append({"with": name, "label": label, "n": len(a), **_numbers(a[:, k], b[:, k], intervals=False)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def at_same_moments(mine: Trace, theirs: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Both [n, 2] at the moments of `mine` for which `theirs` has values on both sides (or there)."""
    times_s, values = np.asarray(mine[0], float), np.asarray(mine[1], float).reshape(-1, 2)
    other_s, other = np.asarray(theirs[0], float), np.asarray(theirs[1], float).reshape(-1, 2)
    finite = np.isfinite(other).all(axis=1)
    other_s, other = other_s[finite], other[finite]
    if not len(other_s):
        return np.zeros((0, 2)), np.zeros((0, 2))
    inside = (times_s >= other_s[0] - 1e-9) & (times_s <= other_s[-1] + 1e-9)
    at = times_s[inside]
    return values[inside], np.column_stack([np.interp(at, other_s, other[:, k]) for k in range(2)])


def mean_of(views: Mapping[str, Mapping[str, Pair]]) -> dict[str, Pair]:
    """Clip → mean over the views that have it."""
    clips = sorted({clip for view in views.values() for clip in view})
    means = {clip: np.mean([view[clip] for view in views.values() if clip in view], axis=0) for clip in clips}
    return {clip: (float(mean[0]), float(mean[1])) for clip, mean in means.items()}


def known_labels(path: Path) -> Known | None:
    """The labels of this very file, where it is a song of DEAM's audio or of a labelled `clips` in the data folder.

    Files are compared by content, never by name.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return None
    for name in ("deam-audio", "folder:clips"):
        try:
            dataset, by_size = _indexed(name, str(paths.data()), datasets.stamp(name))
        except ValueError:  # not here, or without such labels; it may come while the app runs, so it is asked again
            continue
        assert dataset.audio is not None
        for index in by_size.get(size, ()):
            if _hash(dataset.audio(index)) == _hash(path):
                item, song = str(dataset.items[index]), dataset.targets[index]
                return Known(dataset.name, item, (float(song[0]), float(song[1])), dataset.traces.get(item))
    return None


@functools.lru_cache(maxsize=4)
def _indexed(name: str, root: str, stamp: str) -> tuple[Dataset, dict[int, list[int]]]:
    """A labelled data set with audio, and its items by the size of their files in bytes."""
    dataset = datasets.load(name, "emotion")
    by_size: dict[int, list[int]] = {}
    for index in range(len(dataset.items)):
        assert dataset.audio is not None
        by_size.setdefault(dataset.audio(index).stat().st_size, []).append(index)
    return dataset, by_size


def _hash(path: Path) -> str:
    return _hash_of(str(path), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hash_of(path: str, changed_ns: int) -> str:
    return audio.file_hash(path)


def _numbers(mine: np.ndarray, theirs: np.ndarray, intervals: bool = True) -> dict[str, float]:
    nothing = dict.fromkeys(COLUMNS[3:], math.nan)
    if len(mine) < FEWEST_CLIPS:
        return nothing

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean(a - b))

    scores = {"r": metrics.r, "ccc": metrics.ccc, "difference": difference}
    if len(mine) < FEWEST_FOR_CORRELATION:
        scores = {"difference": difference}
    numbers = nothing | {name: score(mine, theirs) for name, score in scores.items()}
    if intervals and len(mine) >= FEWEST_FOR_INTERVAL:
        clips = [str(i) for i in range(len(mine))]
        for name, score in scores.items():
            low, high = stats.bootstrap_by_group(
                lambda rows, score=score: score(mine[rows], theirs[rows]),  # type: ignore[misc]
                clips,
            )
            numbers |= {f"{name}_low": low, f"{name}_high": high}
    return numbers
