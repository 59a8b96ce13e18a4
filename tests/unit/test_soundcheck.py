"""What is read from sound files, and that a bad one takes nothing with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from core import soundcheck

RATE = 8000
TONE = np.sin(2 * np.pi * 110 * np.arange(RATE) / RATE)


def test_the_clipped_share_of_a_sine_is_its_arc() -> None:
    many = np.sin(2 * np.pi * 50 * np.arange(48_000) / 48_000)
    for gain in (2.0, 4.0):
        closed_form = 1 - 2 / np.pi * np.arcsin(1 / gain)
        assert soundcheck.clipped_share(np.clip(gain * many, -1, 1)[None]) == pytest.approx(closed_form, abs=0.005)
    assert soundcheck.clipped_share(0.99 * many[None]) == 0
    touches = np.zeros((1, 1000))
    touches[0, [10, 500, 501]] = 1.0  # peaks of one and of two samples are no clipping
    assert soundcheck.clipped_share(touches) == 0


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    sounds = {"good": 0.5 * TONE, "silent": 0 * TONE, "nan": np.where(np.arange(RATE) < 7, np.nan, 0.5 * TONE)}
    made = {name: tmp_path / f"{name}.wav" for name in (*sounds, "text", "short", "absent")}
    for name, sound in sounds.items():
        soundfile.write(made[name], sound, RATE, subtype="FLOAT")
    soundfile.write(made["short"], TONE[:200], RATE)
    made["text"].write_text("this is no sound, whatever its name says\n")
    return made


def test_each_file_gets_its_own_answer(files: dict[str, Path], tmp_path: Path) -> None:
    names = list(files)
    told: list[int] = []
    found = soundcheck.examine_all([files[name] for name in names], tmp_path, told.append)
    sounds = dict(zip(names, found, strict=True))
    assert {name: sound.problem for name, sound in sounds.items()} == {
        "good": "", "silent": "", "nan": "", "text": "unreadable", "short": "short", "absent": "missing",
    }  # fmt: skip
    assert sounds["good"].loudness_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.05)
    assert sounds["good"].peak_db == pytest.approx(20 * np.log10(0.5), abs=0.05) and sounds["good"].seconds == 1.0
    assert sounds["nan"].not_numbers == 7 and sounds["good"].not_numbers == 0
    assert sounds["silent"].peak_db < -80 < sounds["good"].peak_db
    assert np.load(tmp_path / f"{names.index('good')}.npy").dtype == np.int16 and max(told) == len(names)


def test_the_same_samples_in_another_file_have_the_same_hash(tmp_path: Path) -> None:
    whole = np.rint(TONE * 20_000).astype(np.int16)
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, whole, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "c.wav", whole[::-1], RATE, subtype="PCM_16")
    hashes = [soundcheck.examine(tmp_path / name).samples_hash for name in ("a.wav", "b.flac", "c.wav")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_child_that_dies_or_takes_too_long_is_one_sentence_and_the_next_goes_on(
    files: dict[str, Path], tmp_path: Path
) -> None:
    child = soundcheck._Child()
    try:
        assert child.ask(files["good"], tmp_path / "0.npy", 60).problem == ""
        child.process.kill()
        child.process.wait()
        died = child.ask(files["good"], tmp_path / "0.npy", 60)
        assert died.problem == "unreadable" and "made the decoder crash" in died.why
        late = child.ask(files["good"], tmp_path / "0.npy", 0.0)
        assert late.problem == "unreadable" and "was given up" in late.why and child.process is None
        assert child.ask(files["good"], tmp_path / "0.npy", 60).problem == ""
    finally:
        child.end()


def test_a_wish_to_end_ends_it(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(soundcheck.Cancelled):
        soundcheck.examine_all([files["good"]] * 50, tmp_path, is_cancelled=lambda: True)
