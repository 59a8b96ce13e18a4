"""Mixtures of training clips: which are drawn, that nothing else is, and what sounds in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import datasets, mixtures
from core.datasets import IRMAS_CLASSES, Dataset, splits
from tests import tones


@pytest.fixture
def dataset(tmp_path: Path, cache: Path) -> Dataset:
    return datasets.load(tones.training(tmp_path / "train"), "instruments")


def test_voices_are_of_different_classes_and_of_training_clips_alone(dataset: Dataset) -> None:
    parts = splits.assign(dataset, "grouped:0")
    plans = mixtures.plan(dataset, parts == "train", 200)
    used = {row for plan in plans for voice in plan for row in voice.rows}
    assert set(parts[list(used)]) == {"train"}
    sizes = [len(plan) for plan in plans]
    assert set(sizes) == {2, 3, 4}  # four classes are taught
    for plan in plans:
        codes = [dataset.targets[voice.rows[0]].argmax() for voice in plan]
        assert len(set(codes)) == len(codes)
        for voice in plan:
            assert len({dataset.groups[row] for row in voice.rows}) == 1  # one recording a voice
            assert -6 <= voice.gain_db <= 6
    truth = mixtures.truth(dataset, plans)
    assert truth.sum(axis=1).tolist() == sizes
    counts = truth.sum(axis=0)
    assert counts[len(tones.TAUGHT) :].sum() == 0 and counts[: len(tones.TAUGHT)].min() > 100  # of 200 · 3 / 4 = 150


def test_a_seed_draws_the_same_again(dataset: Dataset) -> None:
    everything = np.ones(len(dataset.items), bool)
    assert mixtures.plan(dataset, everything, 9, seed=1) == mixtures.plan(dataset, everything, 9, seed=1)
    assert mixtures.plan(dataset, everything, 9, seed=1) != mixtures.plan(dataset, everything, 9, seed=2)
    plans = mixtures.plan(dataset, everything, 2)
    assert mixtures.content(dataset, plans, 9.0) != mixtures.content(dataset, plans, 10.0)
    assert mixtures.content(dataset, plans, 9.0) != mixtures.content(replace(dataset, version="2"), plans, 9.0)


def test_a_mixture_holds_its_tones_at_their_levels(dataset: Dataset) -> None:
    """Two voices at +6 and −6 dB: their amplitudes are a factor 10^(12/20) apart, whatever the clips' levels."""
    of = {code: np.flatnonzero(dataset.targets[:, IRMAS_CLASSES.index(code)] > 0) for code in ("cel", "flu")}
    quiet, loud = int(of["cel"][0]), int(of["flu"][-1])
    plan = (mixtures.Voice((quiet,), 6.0, 0.0), mixtures.Voice((loud,), -6.0, 0.0))
    clip = mixtures.sound(dataset, plan, 9.0)
    assert (clip.seconds, clip.sample_rate_hz) == (9.0, 22_050)
    mono = clip.mono().astype(float)
    first = mono[: round(1.4 * clip.sample_rate_hz)]  # then the clip begins again, at another phase
    turns = 2j * np.pi * np.arange(len(first)) / clip.sample_rate_hz
    heights = {code: 2 * abs(first @ np.exp(-turns * tones.FREQUENCY_HZ[code])) / len(first) for code in tones.TAUGHT}
    assert heights["cel"] / heights["flu"] == pytest.approx(10 ** (12 / 20), rel=0.03)
    assert heights["flu"] > 5 * max(heights["cla"], heights["gac"])
    louder = np.sqrt(2) * np.sqrt(np.mean(mono**2))
    assert louder == pytest.approx(np.sqrt(0.05 * 0.16), rel=0.1)  # the geometric mean of the two clips' amplitudes
    again = mixtures.sound(dataset, plan, 9.0)
    assert again.sha256 == clip.sha256
    assert mixtures.sound(dataset, plan[::-1], 9.0).seconds == 9.0


def test_long_clips_begin_anywhere_and_silence_adds_nothing(tmp_path: Path, cache: Path) -> None:
    place = tmp_path / "long"
    rising = tones.wave(["cel"], 30.0) * np.linspace(0.1, 1, 30 * tones.RATE_HZ)
    items = {"a": ("cel", rising), "b": ("flu", np.zeros(30 * tones.RATE_HZ)), "c": ("flu", tones.wave(["flu"], 1.0))}
    dataset = datasets.load(tones.polyphonic(place, items), "instruments")
    early = mixtures.sound(dataset, (mixtures.Voice((0,), 0.0, 0.0), mixtures.Voice((1,), 0.0, 0.0)), 3.0)
    late = mixtures.sound(dataset, (mixtures.Voice((0,), 0.0, 1.0), mixtures.Voice((1,), 0.0, 0.0)), 3.0)
    assert late.mono().max() > 3 * early.mono().max()
    silent = mixtures.sound(dataset, (mixtures.Voice((1,), 0.0, 0.0),), 3.0)
    assert not silent.samples.any()


def test_one_class_cannot_be_mixed(tmp_path: Path, cache: Path) -> None:
    alone = datasets.load(tones.training(tmp_path / "alone", ["cel"]), "instruments")
    with pytest.raises(ValueError, match=r"and only cel of folder:.* has such clips"):
        mixtures.plan(alone, np.ones(len(alone.items), bool))
    with pytest.raises(ValueError, match=r"and no class of folder:"):
        mixtures.plan(alone, np.zeros(len(alone.items), bool))


def test_mixtures_are_as_long_as_a_few_windows() -> None:
    assert [mixtures.length_s(window_s) for window_s in (1.0, 3.0, 10.0)] == [9.0, 9.0, 20.0]
