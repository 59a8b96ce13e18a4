"""The microphone session with a stream put in by hand, and one through ALSA's file device and the real PortAudio."""

from __future__ import annotations

import ctypes.util
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from core import library, live, microphone, paths
from tests import fake_microphone

RATE_HZ = 48_000


class Stream:
    """What PortAudio's stream is to a session."""

    latency = 0.025

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def close(self) -> None:
        self.calls.append("close")


class Clock:
    """A clock that goes when it is told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Iterator[microphone.Session]:
    made = microphone.Session("made up", RATE_HZ, 2, keep_s=5.0, clock=clock)
    yield made
    made.close()


def sine(seconds: float, peak_db: float, frequency_hz: float = 440.0) -> np.ndarray:
    """A sine of that peak against full scale on both channels, [frames, 2]."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.repeat((10 ** (peak_db / 20) * np.sin(2 * np.pi * frequency_hz * t))[:, None], 2, 1).astype(np.float32)


def feed(session: microphone.Session, sound: np.ndarray, block: int = 1024) -> None:
    for first in range(0, len(sound), block):
        session.receive(sound[first : first + block])


# ---- level ----


def test_a_sine_of_minus_20_dbfs_shows_minus_23_rms(session: microphone.Session) -> None:
    feed(session, sine(1.0, -20.0))
    level = session.level()
    assert level.rms_db == pytest.approx(-20 - 10 * np.log10(2), abs=0.005)  # −23.01
    assert level.peak_db == pytest.approx(-20, abs=0.01)
    assert not level.is_clipped


def test_the_highest_sample_is_held_for_two_seconds(session: microphone.Session) -> None:
    feed(session, sine(0.1, 0.0))
    feed(session, sine(1.5, -40.0))
    level = session.level()
    assert (round(level.peak_db), round(level.hold_db), level.is_clipped) == (-40, 0, True)
    feed(session, sine(0.5, -40.0))
    level = session.level()
    assert (round(level.hold_db), level.is_clipped) == (-40, False)


def test_silence_and_nothing_are_minus_120_db(session: microphone.Session) -> None:
    nothing = session.level()
    feed(session, np.zeros((RATE_HZ, 2), np.float32))
    assert session.level() == nothing == microphone.Level(-120.0, -120.0, -120.0, False)


def test_what_is_no_number_becomes_silence(session: microphone.Session) -> None:
    session.receive(np.full((RATE_HZ, 2), np.nan, np.float32))
    assert session.level().rms_db == -120.0


# ---- the take ----


def test_a_take_is_what_was_fed(session: microphone.Session, cache: Path) -> None:
    steps = np.random.default_rng(0).integers(-(2**15), 2**15, (2 * RATE_HZ, 2))
    sound = (steps / 2**15).astype(np.float32)  # what a converter of 16 bits delivers
    feed(session, sound, block=777)
    assert session.kept_s == session.heard_s == 2.0
    kept, rate_hz = soundfile.read(io.BytesIO(session.take()), dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.array_equal(kept, sound)
    entry, clip = library.keep(session.take(), "take 2026-11-22 10.00.00.flac")
    assert np.array_equal(clip.samples, sound.T) and clip.sample_rate_hz == RATE_HZ
    assert [one.key for one in library.entries() if one.shelf == "yours"] == [entry.key]


def test_a_take_holds_the_newest_minutes_and_says_how_long(session: microphone.Session) -> None:
    ramp = np.repeat(np.arange(8 * RATE_HZ)[:, None] / 2**23, 2, 1).astype(np.float32)
    feed(session, ramp)
    assert (session.heard_s, session.kept_s, session.keep_s) == (8.0, 5.0, 5.0)
    kept, _ = soundfile.read(io.BytesIO(session.take()), dtype="float32")
    assert np.array_equal(kept, ramp[-5 * RATE_HZ :])
    assert microphone.KEEP_S == 300


def test_a_closed_session_still_gives_its_take(session: microphone.Session) -> None:
    feed(session, sine(1.0, -20.0))
    session.close()
    assert len(soundfile.read(io.BytesIO(session.take()))[0]) == RATE_HZ


def test_there_is_no_take_of_nothing(session: microphone.Session) -> None:
    with pytest.raises(ValueError, match="Nothing was heard yet"):
        session.take()


# ---- open and closed ----


def test_overruns_are_counted(session: microphone.Session) -> None:
    for number in range(10):
        session.receive(sine(0.01, -20.0), is_overrun=number % 4 == 3)
    assert session.overruns == 2


def test_a_session_that_nobody_sees_gives_the_device_back(session: microphone.Session, clock: Clock) -> None:
    stream = Stream()
    session.attach(stream)
    assert session.latency_s == 0.025
    for _ in range(5):
        clock.now_s += 19.0
        session.seen()
        session.close_if_unseen()
    assert session.is_open and stream.calls == ["start"]
    clock.now_s += 19.0
    session.close_if_unseen()
    assert session.is_open
    clock.now_s += 2.0
    session.close_if_unseen()
    session.close("again")
    assert not session.is_open and stream.calls == ["start", "close"]
    assert session.ended == "The microphone was released: for 20 s no page showed it."


def test_a_device_that_falls_silent_for_good_is_told(session: microphone.Session, clock: Clock) -> None:
    session.receive(sine(0.1, -20.0))
    clock.now_s += 1.0
    assert not session.is_stalled
    clock.now_s += 1.5
    assert session.is_stalled
    session.receive(sine(0.1, -20.0))
    assert not session.is_stalled


def test_other_models_are_followed_from_then_on(session: microphone.Session) -> None:
    def model(run: str) -> SimpleNamespace:
        return SimpleNamespace(run=run, weights="final", input="logmel", window_s=3.0, task="instruments", trainer="x")

    session.follow([model("a")])  # type: ignore[list-item]
    first = session.analysts
    session.follow([model("a")])  # type: ignore[list-item]
    assert session.analysts is first
    session.follow([model("b"), model("a")])  # type: ignore[list-item]
    assert [one.run for analyst in session.analysts for one in analyst.models] == ["b", "a"]
    session.close()
    session.follow([])
    assert session.analysts  # a closed session keeps what it showed


# ---- PortAudio and devices ----


@pytest.mark.parametrize(
    ("error", "sentence"), [(OSError("PortAudio library not found"), "libportaudio2"), (ImportError(), "pip install")]
)
def test_what_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str) -> None:
    class Refusing:
        def find_spec(self, name: str, *words: object) -> None:
            if name == "sounddevice":
                raise error

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    with pytest.raises(ValueError, match=sentence) as told:
        microphone.devices()
    assert str(told.value).endswith(".")


def test_the_device_is_opened_read_and_closed(tmp_path: Path) -> None:
    """Through the real PortAudio in a process of its own, since it reads ALSA's configuration once."""
    if ctypes.util.find_library("portaudio") is None or not Path("/usr/share/alsa/alsa.conf").exists():
        pytest.skip("PortAudio or ALSA is not installed")
    script = (
        "import json, sys\n"
        "from core import microphone\n"
        "from tests.conftest import eventually\n"
        "found = microphone.devices()\n"
        "session = microphone.start(found[0])\n"
        "eventually(lambda: session.heard_s > 2)\n"
        "level = session.level()\n"
        "is_current = microphone.current() is session\n"
        "session.close()\n"
        "told = found[0].name, level.rms_db, session.latency_s, is_current, microphone.current() is None\n"
        "print(json.dumps(told))\n"
    )
    with fake_microphone.playing(tmp_path, sine(1.0, -20.0)[:, 0]) as environment:
        child = subprocess.run(
            [sys.executable, "-c", script],
            cwd=paths.PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **environment},
        )
    assert child.returncode == 0, child.stderr
    name, rms_db, latency_s, was_current, is_given_back = json.loads(child.stdout)
    assert name == fake_microphone.NAME
    assert rms_db == pytest.approx(-23.01, abs=0.3)  # a block that was cut by the pipe repeats a few samples
    assert 0 < latency_s < 1
    assert was_current and is_given_back


def test_devices_are_inputs_only_and_the_default_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(name: str, inputs: int) -> dict[str, object]:
        return {"name": name, "hostapi": 0, "max_input_channels": inputs, "default_samplerate": 44100.0}

    class PortAudioError(Exception):
        pass

    devices = [one("speakers", 0), one("built in", 1), one("interface", 8)]
    fake = SimpleNamespace(
        PortAudioError=PortAudioError,
        default=SimpleNamespace(device=[2, 0]),
        query_hostapis=lambda: [{"name": "ALSA"}],
        query_devices=lambda: devices,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # type: ignore[arg-type]
    assert microphone.devices() == [
        microphone.Device(2, "interface", "ALSA", 8, 44_100, True),
        microphone.Device(1, "built in", "ALSA", 1, 44_100, False),
    ]
    devices.clear()
    assert microphone.devices() == []

    def fail() -> None:
        raise PortAudioError("host error")

    fake.query_devices = fail
    with pytest.raises(ValueError, match=r"PortAudio cannot list the devices of this machine: host error\."):
        microphone.devices()


def test_a_device_that_is_taken_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class PortAudioError(Exception):
        pass

    closed = []

    class Taken(Stream):
        def __init__(self, **words: object) -> None:
            super().__init__()

        def start(self) -> None:
            raise PortAudioError("Device unavailable")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(PortAudioError=PortAudioError, InputStream=Taken))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"interface cannot be opened \(Device unavailable\); is another program"):
        microphone.start(microphone.Device(2, "interface", "ALSA", 8, 44_100, True))
    assert microphone.newest() is None and closed == [True]


def test_live_history_is_what_the_panel_promises() -> None:
    assert live.HISTORY_S == 30 and 1 / live.HOP_S >= 2


def test_devices_are_not_looked_up_again_while_one_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    fake = SimpleNamespace(
        PortAudioError=RuntimeError,
        default=SimpleNamespace(device=[0, 0]),
        query_hostapis=lambda: [],
        query_devices=lambda: [],
        _terminate=begun.set,
        _initialize=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # type: ignore[arg-type]
    with microphone._starting:
        looking = threading.Thread(target=lambda: microphone.devices(is_looked_up_again=True))
        looking.start()
        assert not begun.wait(0.2)
    looking.join(60)
    assert begun.is_set()
