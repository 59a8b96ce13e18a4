"""The model of listeners behind `cues`: musical cues are drawn, and turned into valence and arousal on 1–9.

The weights are those of Eerola, Friberg & Bresin (2013, Frontiers in Psychology 4:487), refitted on standardised cues.
Every song depends on (seed, index) alone, so order and number of processes never change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CUES = ("mode", "register", "tempo", "level", "staccato", "soft_timbre")
WEIGHTS = np.array([[0.68, 0.36, 0.15, -0.19, 0.11, 0.14], [0.0, -0.09, 0.54, 0.28, 0.17, -0.25]]).T
"""[6 cues, (valence, arousal)], for cues with mean 0 and standard deviation 1."""

MEAN, SD = np.array([4.90, 4.81]), np.array([1.17, 1.28])
"""Moments of the song labels (valence, arousal) on 1–9, those of DEAM."""

RATERS, RATER_SD = 10, np.array([1.50, 1.46])
TRUTH_SD = np.sqrt(SD**2 - RATER_SD**2 / RATERS)
"""What is left of DEAM's spread once the noise of ten raters is taken out of it."""

MELODY_SHARE = 0.15
"""Part of the truth's variance that belongs to the melody and that no cue explains."""

CHANGING_SHARE = 0.15
"""Part of the songs that change a cue in the middle."""

SAMPLINGS = ("factorial", "DEAM-like")
_EDGE = np.sqrt(3.0)  # a uniform variable on ±√3 has standard deviation 1
_CANDIDATES = 48
_PULL_CORRELATION = 0.81  # of the points that the DEAM-like draw aims at; lower in the cues it finds, and in the labels
_SPREAD = 1.055  # changing songs and the ends of the scale narrow the labels; measured on 20,000 songs
_TRUTH_CORRELATION = {"factorial": 0.0, "DEAM-like": 0.668}  # .668 × √(.836 × .870), the two reliabilities, is .57
_CUE_MEAN = {"factorial": np.zeros(2), "DEAM-like": np.zeros(2)}
_CUE_SD = {"factorial": np.sqrt((WEIGHTS**2).sum(axis=0)), "DEAM-like": np.array([0.72, 0.605])}


@dataclass(frozen=True)
class Song:
    """One song before it is a score. s sections (1, or 2 where a cue changes at `change_s`).

    cues [s, 6] standardised; truth [s, 2] what listeners without noise would say, 1–9; ratings [raters, 2] whole
    numbers 1–9 for the whole song; label [2] their mean.
    """

    seed: int
    index: int
    seconds: float
    change_s: float | None
    cues: np.ndarray
    truth: np.ndarray
    ratings: np.ndarray

    @property
    def label(self) -> np.ndarray:
        return self.ratings.mean(axis=0)

    def times_s(self) -> np.ndarray:
        """Moments of the trace, two a second."""
        return np.arange(0.0, self.seconds, 0.5)

    def trace(self) -> np.ndarray:
        """Valence and arousal at `times_s` [t, 2]; its mean is the label, and it stays on 1–9."""
        swing = self._truth_over_time() - self._truth_over_time().mean(axis=0)
        room = np.minimum(9.0 - self.label, self.label - 1.0)
        largest = np.abs(swing).max(axis=0)
        return self.label + swing * np.minimum(1.0, room / np.maximum(largest, 1e-9))

    def _truth_over_time(self) -> np.ndarray:
        if self.change_s is None:
            return np.repeat(self.truth[:1], len(self.times_s()), axis=0)
        return self.truth[(self.times_s() >= self.change_s).astype(int)]


def respond(cues: np.ndarray) -> np.ndarray:
    """Valence and arousal [..., 2] in standardised units from standardised cues [..., 6]: the published sums."""
    return np.asarray(cues, float) @ WEIGHTS


def draw_song(seed: int, index: int, seconds: float, sampling: str = "DEAM-like") -> Song:
    """Song `index` of the corpus `seed`. `sampling` is "factorial" (cues independent of each other) or "DEAM-like"
    (valence and arousal of the labels correlate .57). ValueError for another sampling."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"There is no sampling {sampling!r}; there are {', '.join(SAMPLINGS)}.")
    rng = np.random.default_rng([seed, 1, index])
    correlation = _TRUTH_CORRELATION[sampling]
    cues = _draw_cues(rng, sampling)[None]
    melody = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    change_s = None
    if rng.random() < CHANGING_SHARE:
        change_s = round(2 * seconds * rng.uniform(0.42, 0.58)) / 2
        cues = np.concatenate([cues, _changed(rng, cues[0])[None]])
    explained = (respond(cues) - _CUE_MEAN[sampling]) / _CUE_SD[sampling]
    standard = np.sqrt(1 - MELODY_SHARE) * explained + np.sqrt(MELODY_SHARE) * melody
    truth = np.clip(MEAN + _SPREAD * TRUTH_SD * standard, 1.0, 9.0)
    song = Song(seed, index, seconds, change_s, cues, truth, np.empty((0, 2)))
    # Whole numbers add a variance of 1/12 of their own, so the noise before rounding is that much smaller.
    noise = rng.normal(size=(RATERS, 2)) * np.sqrt(RATER_SD**2 - 1 / 12)
    ratings = np.clip(np.rint(song._truth_over_time().mean(axis=0) + noise), 1, 9)
    return Song(seed, index, seconds, change_s, cues, truth, ratings)


def _draw_cues(rng: np.random.Generator, sampling: str) -> np.ndarray:
    if sampling == "factorial":
        return _factorial(rng, 1)[0]
    # Aim at a point of a correlated plane and keep the nearest of many independent draws: the cues stay as varied
    # as the point allows, and no cue is a fixed function of another.
    candidates = _factorial(rng, _CANDIDATES)
    aim = rng.multivariate_normal([0, 0], [[1, _PULL_CORRELATION], [_PULL_CORRELATION, 1]])
    reached = respond(candidates) / _CUE_SD["factorial"]
    return candidates[np.argmin(((reached - aim) ** 2).sum(axis=1))]


def _factorial(rng: np.random.Generator, n: int) -> np.ndarray:
    cues = rng.uniform(-_EDGE, _EDGE, size=(n, len(CUES)))
    cues[:, 0] = rng.choice([-1.0, 1.0], size=n)
    return cues


def _changed(rng: np.random.Generator, cues: np.ndarray) -> np.ndarray:
    """The second half of a changing song: one to three cues move to the other side, the tempo most often."""
    changed = cues.copy()
    chosen = rng.choice(len(CUES), size=rng.integers(1, 4), replace=False, p=[0.15, 0.1, 0.35, 0.2, 0.1, 0.1])
    for cue in chosen:
        side = -1.0 if cues[cue] > 0 else 1.0
        changed[cue] = side if cue == 0 else side * rng.uniform(0.7, 1.6)
    return changed


def rater_table(songs: list[Song], items: np.ndarray) -> pd.DataFrame:
    """One row per rating: item, rater, valence, arousal."""
    import pandas as pd

    ratings = np.stack([song.ratings for song in songs])
    n, raters, _ = ratings.shape
    return pd.DataFrame(
        {
            "item": np.repeat(items, raters),
            "rater": np.tile([f"simulated-{k}" for k in range(raters)], n),
            "valence": ratings[:, :, 0].ravel(),
            "arousal": ratings[:, :, 1].ravel(),
        }
    )
