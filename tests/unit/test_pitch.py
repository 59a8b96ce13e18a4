"""Pitch told from noise: what noise must have by its distribution, tones, silence, long clips, and real recordings."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from core import audio, longclip, pitch

RATE_HZ = 16_000
NOISE = np.random.default_rng(0).standard_normal(6 * RATE_HZ)
TIMES_S = np.arange(6 * RATE_HZ) / RATE_HZ


def clip(samples: np.ndarray, name: str = "") -> audio.Clip:
    return audio.Clip(samples.astype(np.float32)[None], RATE_HZ, "clip", name or str(samples.sum()))


def test_noise_has_the_share_that_its_distribution_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of exponentially distributed power (1 + c)·exp(−c) lies above c times its mean; ten medians are c = 10 ln 2."""
    width = round(pitch.FRAME_S * RATE_HZ)
    frames = np.random.default_rng(1).standard_normal((400, width))
    c = 10 * np.log(2)
    expected = (1 + c) * np.exp(-c)
    assert expected == pytest.approx(0.0077, abs=1e-4)
    found = pitch.of_frames(frames, RATE_HZ)
    assert len(found) == 400 and expected < found.mean() < 3 * expected  # the median of a few dozen bins varies
    monkeypatch.setattr(pitch, "SURROUNDINGS_HZ", 4000.0)
    assert pitch.of_frames(frames, RATE_HZ).mean() == pytest.approx(expected, abs=0.002)
    assert not pitch.is_in(clip(NOISE))


@pytest.mark.parametrize("hz", [110.0, 440.0, 3000.0])
def test_a_tone_is_all_partial(hz: float) -> None:
    tone = np.sin(2 * np.pi * hz * TIMES_S)
    assert pitch.share(clip(tone, f"{hz}")) > 0.99
    assert pitch.is_in(clip(tone + 0.1 * NOISE, f"{hz} with noise"))
    drowned = pitch.share(clip(tone + 5 * NOISE, f"{hz} in noise"))
    assert drowned < 0.9


def test_coloured_noise_has_no_pitch() -> None:
    assert not pitch.is_in(clip(np.cumsum(NOISE), "brown"))
    assert not pitch.is_in(clip(np.diff(NOISE), "blue"))


def test_one_note_among_noise_is_heard_and_silence_is_not_judged() -> None:
    part = np.where(TIMES_S < 1.2, np.sin(2 * np.pi * 300 * TIMES_S), 0.05 * NOISE)
    assert pitch.is_in(clip(part, "a fifth of it"))
    assert np.isnan(pitch.share(clip(np.zeros(RATE_HZ), "silence"))) and pitch.is_in(clip(np.zeros(RATE_HZ), "silence"))
    assert pitch.is_in(clip(np.sin(2 * np.pi * 800 * TIMES_S[:1000]), "less than a frame"))


def test_each_stretch_of_a_clip_is_told_on_its_own() -> None:
    """Two seconds of a tone, two of noise, two so quiet that nothing can be said."""
    tone = np.sin(2 * np.pi * 440.0 * TIMES_S)
    level = np.sqrt((tone**2).mean())
    both = np.where(TIMES_S < 2, tone, np.where(TIMES_S < 4, level * NOISE, 1e-4 * level * NOISE))
    starts_s = np.array([0.0, 1.0, 1.5, 2.0, 2.9, 4.0, 5.5, 6.0])
    found = pitch.in_windows(clip(both), starts_s, starts_s + 1.0)
    assert found.tolist() == [True, True, True, False, False, True, True, True]
    (known,) = pitch.in_windows(clip(both), np.array([0.0]), np.array([0.01]))  # shorter than a frame: its first
    assert known
    assert pitch.in_windows(clip(np.zeros(6 * RATE_HZ), "silence"), starts_s, starts_s + 1.0).all()


def test_a_clip_is_known_by_its_content() -> None:
    tone = clip(np.sin(2 * np.pi * 440 * TIMES_S), "the same")
    first = pitch.share(tone)
    assert pitch.share(clip(NOISE, "the same")) == first


def test_a_long_clip_is_judged_in_parts(tmp_path: Path) -> None:
    for name, samples in (("tone", np.sin(2 * np.pi * 440 * TIMES_S)), ("noise", NOISE / 5)):
        folder = tmp_path / name
        folder.mkdir()
        (np.clip(samples, -1, 1) * 32767).astype("<i2").tofile(folder / "mono.i16")
        long = longclip.LongClip(folder, len(samples), name, f"long {name}")
        assert pitch.is_in(long) == (name == "tone")


def test_real_instruments_have_a_pitch_and_rain_has_none() -> None:
    root = os.environ.get("EARSHOT_DATA")
    if not root:
        pytest.skip("EARSHOT_DATA is not set: the recordings lie there")
    with (Path(root) / "instruments" / "manifest.csv").open() as file:
        paths = [row["path"] for row in csv.DictReader(file)][::4]
    shares = [pitch.share(audio.decode(Path(root) / "instruments" / path)) for path in paths]
    assert len(shares) > 90 and min(shares) > pitch.LEAST_SHARE
    assert not pitch.is_in(audio.decode(Path(root) / "clips" / "rain.wav"))
