"""Long clips: the same sound and the same pictures as whole, little memory, and an end that leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core import audio, decoding, features, library, longclip, paths, spectrogram, windows
from core.longclip import LongClip

RATE_HZ = 44_100
SECONDS = 9.0


def rising(seconds: float = SECONDS) -> np.ndarray:
    """Two tones that grow, [n, 2]: every moment differs from the others, and so do the channels."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.stack([0.8 * t / seconds * np.sin(2 * np.pi * hz * t) for hz in (440, 1000)], axis=1)


@pytest.fixture
def sound(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of nine seconds, which count as long here."""
    monkeypatch.setattr(longclip, "FROM_S", 5.0)
    path = tmp_path / "night.wav"
    soundfile.write(path, rising(), RATE_HZ, subtype="PCM_24")
    return path


@pytest.fixture
def clip(sound: Path) -> LongClip:
    return longclip.unpack(sound, "night.wav", longclip.root())


def test_the_samples_are_those_of_the_whole_clip(sound: Path, clip: LongClip) -> None:
    whole = audio.resample(audio.decode(sound).mono(), RATE_HZ, longclip.RATE_HZ)
    assert clip.sample_count == len(whole) and clip.seconds == SECONDS and clip.sha256 == audio.file_hash(sound)
    np.testing.assert_allclose(clip.part(0, clip.sample_count).mono(), whole, atol=2 / 32767)
    np.testing.assert_array_equal(clip.part(1000, 3000).mono(), clip.part(0, 5000).mono()[1000:3000])
    assert clip.part(-5, 10).mono().shape == (10,) and clip.part(clip.sample_count - 3, 10**9).mono().shape == (3,)


def test_the_player_gets_a_file_as_long_as_the_clip(clip: LongClip) -> None:
    about = soundfile.info(str(clip.sound))
    assert (about.samplerate, about.channels, about.format) == (22_050, 1, "OGG")
    assert about.frames == clip.sample_count


def test_the_picture_is_that_of_the_whole_clip(clip: LongClip) -> None:
    mono = clip.part(0, clip.sample_count).mono()
    drawn = clip.picture()
    np.testing.assert_array_equal(drawn["peaks"], audio.peaks(mono, longclip.PEAKS))
    levels, hertz, _ = spectrogram.spectrogram_db(mono, longclip.RATE_HZ, *longclip.PICTURE)
    np.testing.assert_allclose(drawn["spectrogram_db"], levels, atol=0.01)
    np.testing.assert_array_equal(drawn["spectrogram_hz"], hertz)


@pytest.mark.parametrize("name", ["logmel", "wave16k"])
def test_windows_are_those_of_the_whole_clip(clip: LongClip, name: str) -> None:
    whole = replace(clip.part(0, clip.sample_count), sha256="whole")
    times_s = np.array([4.0, 4.5, 6.2])
    long, short = (windows.inputs(one, name, times_s, 2.0).values for one in (clip, whole))
    assert long.shape == short.shape
    np.testing.assert_allclose(long, short, atol=0.05 if name == "logmel" else 2e-4)


def test_descriptors_have_no_seams(clip: LongClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on the neighbourhood alone is the same to rounding, wherever a stretch ends."""
    monkeypatch.setattr(windows, "STRETCH_FRAMES", 120)
    whole = features.descriptors(clip.part(0, clip.sample_count).mono())
    edges = windows._stretches(clip)
    assert len(edges) > 3 and edges[-1] == len(whole.times_s) and np.diff(edges).max() <= 120
    joined, offset_s = windows._frames_between(clip, 0.0, clip.seconds)
    assert offset_s == 0 and len(joined.times_s) == len(whole.times_s)
    for name in ("rms", "zcr", "centroid", "bandwidth", "rolloff"):
        np.testing.assert_allclose(joined.values[name], whole.values[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_window_is_pooled_from_its_own_frames(clip: LongClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tones grow in a straight line, so a window's mean RMS says where it lies."""
    monkeypatch.setattr(windows, "STRETCH_FRAMES", 60)
    times_s = np.array([2.0, 5.0, 7.5])
    found = windows.inputs(clip, "lib164", times_s, 2.0).values[:, features.LIB164.index("rms_mean")]
    # the mean of two tones of amplitude a has a mean square of a²/4
    assert found == pytest.approx(0.8 * times_s / SECONDS / 2, abs=0.01)


def test_a_child_unpacks_and_tells_how_far_it_is(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float] = []
    small = sound.with_name("long.flac")
    with soundfile.SoundFile(str(small), "w", 8000, 1, format="FLAC") as file:
        for _ in range(62):
            file.write(np.full(80_000, 0.1, np.float32))
    found = decoding.decode_safely(small, "long.flac", tell=heard.append)
    assert isinstance(found, LongClip) and found.seconds == 620
    assert heard == sorted(heard) and heard[-1] == 1.0 and len(heard) > 10
    assert longclip.find(found.sha256, "other") == replace(found, name="other")
    assert library.opened(small) == found


class Enough(Exception):
    pass


def test_an_end_in_the_middle_leaves_nothing(sound: Path) -> None:
    small = sound.with_name("long.flac")
    with soundfile.SoundFile(str(small), "w", 8000, 1, format="FLAC") as file:
        for _ in range(62):
            file.write(np.full(80_000, 0.1, np.float32))

    def tell(fraction: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        library.keep(small.read_bytes(), "long.flac", tell)
    assert list(longclip.root().iterdir()) == [] and list(library.folder().iterdir()) == []


def test_damage_is_said_and_what_precedes_it_kept(sound: Path) -> None:
    data = sound.read_bytes()
    sound.write_bytes(data[: len(data) * 2 // 3])
    clip = longclip.unpack(sound, "night.wav", longclip.root())
    assert clip.seconds == pytest.approx(6.0, abs=0.01)
    assert clip.warnings == ["The file ends early or is damaged: 6 s of 9 s could be read."]
    assert longclip.find(clip.sha256, clip.name) == clip


def test_what_is_not_there_in_full_is_not_found(clip: LongClip) -> None:
    assert longclip.find(clip.sha256, clip.name) == clip
    with (clip.folder / "mono.i16").open("ab") as file:
        file.write(b"xx")
    assert longclip.find(clip.sha256, clip.name) is None


@pytest.mark.parametrize("hours", [6.5])
def test_more_than_six_hours_are_refused_at_once(cache: Path, tmp_path: Path, hours: float) -> None:
    path = tmp_path / "week.wav"
    soundfile.write(path, np.zeros(1000, np.int16), 1000)
    with path.open("r+b") as file:  # a file of zeros that takes no room
        size = 2 * int(hours * 3600 * 1000)
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.truncate(44 + size)
    with pytest.raises(ValueError, match=r"^week\.wav lasts 6\.5 h; at most 6 h can be heard, so cut it first\.$"):
        longclip.unpack(path, "week.wav", longclip.root())
    assert list(longclip.root().iterdir()) == []


def test_only_the_last_few_are_kept(clip: LongClip, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (longclip.root() / f"{number}").mkdir()
    (longclip.root() / f"{longclip.UNFINISHED}999999999-x").mkdir()
    monkeypatch.setattr(longclip, "KEPT_FOLDERS", 2)
    longclip.find(clip.sha256, clip.name)
    longclip.tidy()
    left = [folder.name for folder in longclip.root().iterdir()]
    assert len(left) == 2 and clip.sha256 in left


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Path]:
    """Ten minutes of six channels: 0.65 GB as float32."""
    path = tmp_path / "wide.flac"
    block = np.repeat((3000 * np.sin(np.arange(RATE_HZ) / 20)).astype(np.int16)[:, None], 6, axis=1)
    with soundfile.SoundFile(str(path), "w", RATE_HZ, 6, "PCM_16", format="FLAC", compression_level=0.0) as file:
        for _ in range(620):
            file.write(block)
    yield path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much memory was taken")
def test_memory_does_not_grow_with_the_clip(cache: Path, wide: Path) -> None:
    assert longclip.is_long(wide)
    code = (
        "import sys, pathlib; from core import longclip;"
        "clip = longclip.unpack(pathlib.Path(sys.argv[1]), 'wide', pathlib.Path(sys.argv[2]));"
        # not ru_maxrss, which begins with that of the process it was forked from
        "said = pathlib.Path('/proc/self/status').read_text();"
        "print(clip.seconds, int(said.partition('VmHWM:')[2].split()[0]) * 1024)"
    )
    command = [sys.executable, "-c", code, str(wide), str(cache / "long")]
    told = subprocess.run(command, capture_output=True, text=True, cwd=paths.PROJECT)
    seconds, most_bytes = map(float, told.stdout.split())
    assert seconds == 620
    assert most_bytes < 0.2e9, f"{most_bytes / 1e6:.0f} MB"
