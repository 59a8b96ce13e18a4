"""The library: what an upload becomes on the disk, whatever it is called and whatever is in it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from core import audio, background, foreign, library


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips of a data folder on this machine are no part of these tests."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)


RATE_HZ = 8000


def tone(frequency_hz: float = 440.0, seconds: float = 0.5) -> bytes:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return audio.wav_bytes((0.5 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32), RATE_HZ)


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "clips").iterdir())


NAMES = {
    "../../../etc/passwd": "passwd",
    "..\\..\\autoexec.wav": "autoexec",
    "/": "clip",
    "..": "clip",
    "🎻 sonata 🎻.wav": "_ sonata _",
    "<img src=x onerror=alert(1)>.wav": "_img src_x onerror_alert(1)_",
    "<b>x</b>'; DROP TABLE runs;--.wav": "b_'; DROP TABLE runs;--",
    "a\x00b\nc.wav": "abc",
    "Ménuet (1).flac": "Ménuet (1)",
    "x" * 400 + ".wav": "x" * 60,
    ".wav": "wav",
    "tone.exe": "tone",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_inside_the_folder_and_readable(cache: Path, name: str) -> None:
    entry, clip = library.keep(tone(), name)
    assert entry.path.parent == cache / "clips"
    assert kept(cache) == [entry.path.name] == [entry.key]
    assert entry.path.read_bytes() == tone()
    assert entry.path.suffix in library.SUFFIXES
    assert set(entry.path.name) & set("/\\<>:\"'|?*\x00\n") == set()
    assert len(entry.path.name.encode()) < 255
    assert clip.seconds == 0.5
    assert [(found.key, found.shelf) for found in library.entries()] == [(entry.key, "yours")]
    assert entry.title.startswith(NAMES[name].replace("'", "_").replace(";", "_"))


def test_the_same_bytes_twice_are_one_file(cache: Path) -> None:
    first, _ = library.keep(tone(), "tone.wav")
    again, _ = library.keep(tone(), "tone.wav")
    assert first == again
    assert kept(cache) == [first.key]
    other, _ = library.keep(tone(880.0), "tone.wav")  # the same name with other sound is another clip
    assert kept(cache) == sorted([first.key, other.key])
    assert other.title == first.title == "tone.wav"


MP3 = io.BytesIO()
soundfile.write(MP3, np.zeros(RATE_HZ), RATE_HZ, format="MP3")
BAD = {
    "empty.wav": b"",
    "text.wav": b"These are words, not sound. " * 50,
    "page.mp3": b"<!doctype html><html><body>404</body></html>",
    "header.wav": tone()[:40],
    "short.wav": tone(seconds=0.05),
    "torn.mp3": MP3.getvalue()[:20],
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_sound_are_refused_in_one_sentence(cache: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        library.keep(BAD[name], name)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert not (cache / "clips").exists() or kept(cache) == []


def test_shelves_come_in_order(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, own = tmp_path / "no-starter" / "clips", tmp_path / "data" / "clips"
    for folder in (shipped, own):
        folder.mkdir(parents=True)
        (folder / "one.wav").write_bytes(tone())
        (folder / "notes.txt").write_text("no sound")
    (shipped / "clips.json").write_text(json.dumps({"one.wav": {"title": "One tone", "about": "440 Hz."}}))
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))
    library.keep(tone(), "mine.wav")
    found = [(entry.shelf, entry.title, entry.about) for entry in library.entries()]
    assert found == [("yours", "mine.wav", ""), ("shipped", "One tone", "440 Hz."), ("data folder", "one", "")]


def test_an_empty_library_is_empty(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    assert library.entries() == []


@pytest.mark.skipif(not foreign.is_there(), reason="FFmpeg is not installed")
@pytest.mark.parametrize("suffix", ["m4a", "webm"])
def test_what_needs_ffmpeg_is_kept_as_flac(cache: Path, tmp_path: Path, suffix: str) -> None:
    import subprocess

    (tmp_path / "tone.wav").write_bytes(tone(440.0, 2.0))
    made = tmp_path / f"tone.{suffix}"
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "tone.wav"), "-ar", "48000", str(made)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"this FFmpeg cannot write {suffix}")
    entry, clip = library.keep(made.read_bytes(), made.name)
    assert kept(cache) == [entry.key] and entry.path.suffix == ".flac" and clip.name == made.name
    assert entry.path.read_bytes()[:4] == b"fLaC"
    assert clip.seconds == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(clip.mono()[:48_000] * np.hanning(48_000)))
    assert np.argmax(spectrum) == pytest.approx(440 * 48_000 / clip.sample_rate_hz, abs=1.5)
    assert library.keep(made.read_bytes(), made.name)[0] == entry  # the same bytes twice are one file


@pytest.mark.skipif(not foreign.is_there(), reason="FFmpeg is not installed")
def test_what_ffmpeg_cannot_read_is_one_sentence(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"^song\.m4a is cut off or damaged.*\.$"):
        library.keep(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500), "song.m4a")
    assert kept(cache) == []


FFMPEG = """#!/bin/sh
echo "  Duration: 00:00:10.00, start: 0.000000"
echo "out_time_us=2500000"
echo $$ > {place}/pid
exec sleep 600
"""


def test_a_conversion_tells_how_far_it_is_and_ends_when_asked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ffmpeg").write_text(FFMPEG.format(place=tmp_path))
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    heard: list[float] = []

    def tell(share: float) -> None:
        heard.append(share)
        if share:
            raise background.Cancelled

    with pytest.raises(background.Cancelled):
        library.keep(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500), "song.m4a", tell)
    assert heard[-1] == 0.125  # a quarter of what is half of the work
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert kept(cache) == []


def test_clips_of_the_data_folder_are_read_in_a_child(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_clip = tmp_path / "data" / "clips" / "one.wav"
    foreign_clip.parent.mkdir(parents=True)
    foreign_clip.write_bytes(tone())
    own, _ = library.keep(tone(), "own.wav")
    monkeypatch.setattr(audio, "decode", lambda *about: pytest.fail("decoded in this process"))
    assert library.opened(foreign_clip).seconds == 0.5
    with pytest.raises(pytest.fail.Exception):  # an upload was read in a child before it was kept
        library.opened(own.path)


def test_what_is_said_to_be_readable_can_be_chosen_and_kept(cache: Path) -> None:
    named = audio.READABLE.replace(" and ", ", ").split(", ")
    assert {f".{name}" for name in named} == {*library.SUFFIXES} - {".aif"}  # AIFF by its short name
    made = io.BytesIO()
    soundfile.write(made, np.zeros(RATE_HZ), RATE_HZ, format="AIFF")
    entry, _ = library.keep(made.getvalue(), "take.aiff")
    assert [found.key for found in library.entries()] == [entry.key] and entry.path.suffix == ".aiff"
    with pytest.raises(ValueError, match="holds text") as caught:
        library.keep(b"These are words, not sound. " * 50, "text.wav")
    assert all(suffix[1:] in str(caught.value) for suffix in foreign.SUFFIXES) == foreign.is_there()
