"""Mixtures of training clips: several instruments at once whose labels are known, to choose thresholds on.

A mixture has two to five voices. Each is of another class: clips of one recording of it, one after the other until the
mixture is full, at a level of its own. Clips come from the training part of the run's own split and from nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import audio
from core.config import fingerprint
from core.datasets import Dataset

VERSION = 1
COUNT = 300
"""With eleven classes each is in about 95 of them."""

FEWEST_VOICES, MOST_VOICES = 2, 5
LENGTH_S = 9.0
"""As long as three excerpts: a maximum over many windows is higher than over one, and test items have many."""

GAIN_DB = 6.0
FADE_S = 0.005  # at the joints of a voice, which would click
RATE_HZ = 22_050
SILENT_RMS = 10 ** (-70 / 20)


@dataclass(frozen=True)
class Voice:
    """One class of a mixture: items of the data set in the order they sound, `gain_db`, and where in the first one it
    begins (a share of what there is to spare)."""

    rows: tuple[int, ...]
    gain_db: float
    begin: float


Mixture = tuple[Voice, ...]


def plan(dataset: Dataset, is_training: np.ndarray, n: int = COUNT, seed: int = 0) -> list[Mixture]:
    """`n` mixtures of the items where `is_training` [items] is true and that have exactly one label.

    Every class is drawn as often as any other, then one of its groups, whose clips sound in a random order. Raises
    ValueError where there are fewer than two classes to mix.
    """
    by_class = _clips(dataset, is_training)
    if len(by_class) < FEWEST_VOICES:
        what = "no class" if not by_class else f"only {dataset.labels[by_class[0][0]]}"
        raise ValueError(
            f"Thresholds are chosen on mixtures of training clips with one label each, and {what} of {dataset.name} "
            "has such clips in the training part; train on clips of at least two classes."
        )
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        size = int(random.integers(FEWEST_VOICES, min(MOST_VOICES, len(by_class)) + 1))
        voices = []
        for which in random.choice(len(by_class), size, replace=False):
            groups = by_class[which][1]
            rows = random.permutation(groups[int(random.integers(len(groups)))])
            gain_db, begin = float(random.uniform(-GAIN_DB, GAIN_DB)), float(random.uniform())
            voices.append(Voice(tuple(int(row) for row in rows), gain_db, begin))
        made.append(tuple(voices))
    return made


def truth(dataset: Dataset, mixtures: list[Mixture]) -> np.ndarray:
    """What sounds in each mixture, [n, classes] of 0 and 1."""
    found = np.zeros((len(mixtures), len(dataset.labels)))
    for number, mixture in enumerate(mixtures):
        for voice in mixture:
            found[number] = np.maximum(found[number], dataset.targets[voice.rows[0]] > 0)
    return found


def length_s(window_s: float) -> float:
    """How long mixtures are, so that at least a few windows fit."""
    return max(LENGTH_S, 2 * window_s)


def sound(dataset: Dataset, mixture: Mixture, seconds: float) -> audio.Clip:
    """One mixture as a clip, mono at 22,050 Hz, as loud as its voices were on average.

    Raises ValueError where a file cannot be read.
    """
    samples = round(seconds * RATE_HZ)
    voices = [_voice(dataset, voice, samples) for voice in mixture]
    levels = [_rms(voice) for voice in voices]
    total, heard = np.zeros(samples), [level for level in levels if level > SILENT_RMS]
    for voice, wave, level in zip(mixture, voices, levels, strict=True):
        if level > SILENT_RMS:
            total += wave / level * 10 ** (voice.gain_db / 20)
    if heard:
        total *= np.exp(np.mean(np.log(heard))) / max(_rms(total), SILENT_RMS)
    total /= max(1.0, float(np.abs(total).max(initial=0.0)))
    mono = total.astype(np.float32)
    return audio.Clip(mono[None], RATE_HZ, "mixture", audio.file_hash(mono.tobytes()))


def content(dataset: Dataset, mixtures: list[Mixture], seconds: float) -> str:
    """A name for all that these mixtures depend on."""
    plans = [[[list(voice.rows), voice.gain_db, voice.begin] for voice in mixture] for mixture in mixtures]
    return fingerprint(["mixtures", VERSION, dataset.name, dataset.version, plans, seconds])


def _clips(dataset: Dataset, is_training: np.ndarray) -> list[tuple[int, list[np.ndarray]]]:
    """(class, the items of each of its groups) of classes that have training items with that label alone."""
    is_single = (dataset.targets > 0).sum(axis=1) == 1
    usable = np.asarray(is_training, dtype=bool) & is_single
    found = []
    for k in range(len(dataset.labels)):
        mine = np.flatnonzero(usable & (dataset.targets[:, k] > 0))
        groups = np.asarray(dataset.groups, dtype=str)[mine]
        if len(mine):
            found.append((k, [mine[groups == name] for name in np.unique(groups)]))
    return found


def _voice(dataset: Dataset, voice: Voice, samples: int) -> np.ndarray:
    """Clips of a voice one after the other, from the first again where they are too short, [samples]."""
    assert dataset.audio is not None
    pieces: list[np.ndarray] = []
    left = samples
    for row in voice.rows:
        clip = audio.decode(dataset.audio(row))
        piece = audio.resample(clip.mono(), clip.sample_rate_hz, RATE_HZ)
        if not pieces and len(piece) > left:
            piece = piece[int(voice.begin * (len(piece) - left)) :]
        pieces.append(_faded(piece[:left]))
        left -= len(pieces[-1])
        if left == 0:
            break
    return np.resize(np.concatenate(pieces), samples)  # repeats what there is


def _faded(piece: np.ndarray) -> np.ndarray:
    length = min(round(FADE_S * RATE_HZ), len(piece) // 2)
    slope = np.ones(len(piece))
    slope[:length] = np.arange(length) / max(length, 1)
    slope[len(piece) - length :] = slope[:length][::-1]
    return piece * slope


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
