"""Copies of a recording are found however they were encoded; other takes of the same notes are not."""

from __future__ import annotations

import io
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core import audio, likeness

RATE = 22_050


def take(seed: int, seconds: float = 6.0, notes_hz: tuple[float, ...] = (220.0, 277.2, 329.6, 440.0)) -> np.ndarray:
    """A melody of struck notes with eight partials; the seed is the player: onsets, phases, tuning and noise."""
    random = np.random.default_rng(seed)
    sound = 0.003 * random.standard_normal(int(seconds * RATE))
    t = np.arange(len(sound)) / RATE
    for number in range(int(seconds / 0.5)):
        onset = 0.5 * number + random.uniform(0, 0.03)
        pitch = notes_hz[number % len(notes_hz)] * 2 ** (random.normal(0, 4) / 1200)  # some cents beside the note
        after = np.maximum(t - onset, 0)
        for partial in range(1, 9):
            wave = np.sin(2 * np.pi * pitch * partial * after + random.uniform(0, 2 * np.pi))
            sound += 0.2 / partial * wave * np.exp(-3 * after) * (t >= onset)
    return (sound / np.abs(sound).max() * 0.8).astype(np.float32)


def encoded(sound: np.ndarray, kind: str, subtype: str, level: float) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format=kind, subtype=subtype, compression_level=level)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


COPIES = {
    "ogg, worst quality": lambda sound: encoded(sound, "OGG", "VORBIS", 0.95),
    "mp3": lambda sound: encoded(sound, "MP3", "MPEG_LAYER_III", 0.9),
    "-30 dB in 16 bits": lambda sound: np.rint(sound * 10 ** (-30 / 20) * 32_767) / 32_767,
    "turned upside down": lambda sound: -sound,
    "0.3 s cut off in front": lambda sound: sound[int(0.3 * RATE) :],
    "0.2 s in front, 0.7 s at the end, mp3": lambda sound: encoded(
        0.3 * sound[int(0.2 * RATE) : -int(0.7 * RATE)], "MP3", "MPEG_LAYER_III", 0.7
    ),
    "clipped": lambda sound: np.clip(3 * sound, -1, 1),
}


@pytest.fixture(scope="module")
def takes() -> list[np.ndarray]:
    return [take(seed) for seed in range(8)]


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_and_another_take_of_the_same_notes_is_not(takes: list[np.ndarray], how: str) -> None:
    sounds = [*takes, COPIES[how](takes[3])]
    profiles = np.stack([likeness.profile(sound, RATE) for sound in sounds])
    sketches = [likeness.sketch(sound, RATE) for sound in sounds]
    found = list(likeness.copies(profiles, sketches.__getitem__))
    assert [(i, j) for i, j, _ in found] == [(3, 8)]
    assert 0.91 <= found[0][2] <= 1.0 + 1e-6


def test_a_profile_does_not_know_the_level_and_a_tone_lies_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    loud, soft = (likeness.profile(gain * tone, RATE) for gain in (1.0, 0.01))
    np.testing.assert_allclose(loud, soft, atol=0.05)
    edges = np.geomspace(60.0, 3800.0, likeness.BANDS + 1)
    assert edges[loud.argmax()] < 1000 < edges[loud.argmax() + 1]


def test_silence_and_very_short_sounds_are_nobodys_copy() -> None:
    silence = np.zeros(RATE, np.float32)
    sounds = [silence, silence[:5], take(1)[:400], take(2)]
    sketches = [likeness.sketch(sound, RATE) for sound in sounds]
    profiles = np.stack([likeness.profile(sound, RATE) for sound in sounds])
    assert np.isfinite(profiles).all()
    assert list(likeness.copies(profiles, sketches.__getitem__)) == []
    assert likeness.candidates(profiles[:1]) == []


def test_each_recording_meets_its_nearest() -> None:
    profiles = np.repeat(np.arange(40.0)[:, None], 48, axis=1).astype(np.float32)
    pairs = likeness.candidates(profiles)
    assert all(i < j for i, j in pairs) and {(i, i + 1) for i in range(39)} <= set(pairs)
    assert len(pairs) < 40 * likeness.NEIGHBOURS


@pytest.mark.slow
def test_on_real_recordings_it_names_the_copies_and_nothing_else() -> None:
    root = Path(os.environ.get("EARSHOT_DATA", ""))
    if not (root / "instruments" / "manifest.csv").is_file():
        pytest.skip("EARSHOT_DATA has no instruments")
    files = [*sorted((root / "instruments").rglob("*.ogg")), *sorted((root / "clips").glob("*.wav"))]
    clips = [audio.decode(file) for file in files]
    sketches = [likeness.sketch(clip.mono(), clip.sample_rate_hz) for clip in clips]
    profiles = np.stack([likeness.profile(clip.mono(), clip.sample_rate_hz) for clip in clips])
    found = {frozenset((files[i].name, files[j].name)) for i, j, _ in likeness.copies(profiles, sketches.__getitem__)}
    # One Freesound recording that two collections took over, and four files of sms-tools that lie in both folders.
    known = {("0027.ogg", "0248.ogg"), ("0251.ogg", "piano.wav"), ("0252.ogg", "sax-phrase.wav")}
    known |= {("0255.ogg", "singing-female.wav")}
    assert found == {frozenset(pair) for pair in known}
    assert len(list(combinations(files, 2))) > 80_000
