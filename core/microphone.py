"""The microphone of the machine the app runs on: which there are, what one hears now, and the last minutes of it.

One session per process. The device's callback copies its block into a ring and does nothing else; the level is read
from the ring when somebody looks, the models are asked in threads of their own (`core/live.py`).
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.ring import Ring

if TYPE_CHECKING:  # both bring torch, which listing devices does not need
    from core import evaluation, live

KEEP_S = 300.0
UNSEEN_S = 20.0
"""A session that nobody looked at for so long gives the device back: the tab was closed."""

STALLED_S = 2.0
LEVEL_S = 0.4
HOLD_S = 2.0
SLACK_S = 2.0
LATENCY_S = 0.1  # asked of the device: the callback is Python, and other threads may hold the interpreter for 50 ms
QUIETEST_DB = -120.0

NO_PORTAUDIO = (
    "PortAudio is not installed, so the microphone of this machine cannot be used: on Debian or Ubuntu "
    "`apt install libportaudio2` brings it. The browser's recorder works without it."
)
NO_PACKAGE = "The package sounddevice is not installed: `pip install sounddevice` brings the microphone."
NO_DEVICE = "No microphone was found on the machine that the app runs on; plug one in, or record with the browser."


@dataclass(frozen=True)
class Device:
    """An input of this machine. `number` is PortAudio's and may change when devices come and go; the name stays."""

    number: int
    name: str
    system: str
    channels: int
    sample_rate_hz: int
    is_default: bool


@dataclass(frozen=True)
class Level:
    """Loudness in dB of full scale over the last 0.4 s, −120 for silence: RMS (a full-scale sine: −3.01), the highest
    sample, and the highest of the last 2 s. `is_clipped`: in these 2 s a sample reached full scale."""

    rms_db: float
    peak_db: float
    hold_db: float
    is_clipped: bool


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError:
        raise ValueError(NO_PACKAGE) from None
    except OSError:  # the package is there, the library is not
        raise ValueError(NO_PORTAUDIO) from None
    return sounddevice


def devices(*, is_looked_up_again: bool = False) -> list[Device]:
    """The inputs of this machine, the default one first; empty where there is none.

    PortAudio lists devices once per process; `is_looked_up_again` finds what was plugged in since (never while a
    session is open: it would lose its device). Raises ValueError, one sentence, without PortAudio.
    """
    sounddevice = _sounddevice()
    try:
        if is_looked_up_again:
            with _starting:  # a stream that is being opened would lose PortAudio under its feet
                if current() is None:
                    sounddevice._terminate()
                    sounddevice._initialize()
        systems = sounddevice.query_hostapis()
        default = sounddevice.default.device[0]
        found = [
            Device(
                number,
                str(one["name"]),
                str(systems[one["hostapi"]]["name"]),
                int(one["max_input_channels"]),
                round(one["default_samplerate"]),
                number == default,
            )
            for number, one in enumerate(sounddevice.query_devices())
            if one["max_input_channels"] > 0
        ]
    except sounddevice.PortAudioError as error:
        raise ValueError(f"PortAudio cannot list the devices of this machine: {error}.") from None
    return sorted(found, key=lambda one: not one.is_default)


def level(samples: np.ndarray, sample_rate_hz: int) -> Level:
    """The level of the newest of `samples` [channels, n] (the last 2 s of a stream, or less)."""
    newest = samples[:, -round(LEVEL_S * sample_rate_hz) :]
    hold = float(np.abs(samples).max(initial=0.0))
    mean_square = float(np.mean(np.square(newest, dtype=np.float64))) if newest.size else 0.0
    peak = float(np.abs(newest).max(initial=0.0))
    return Level(10 * float(np.log10(mean_square + 1e-12)), _decibels(peak), _decibels(hold), hold >= 0.999)


def _decibels(amplitude: float) -> float:
    return max(QUIETEST_DB, 20 * float(np.log10(amplitude + 1e-12)))


class Session:
    """What one open microphone delivers, for as long as somebody looks. `receive` is all that the device's thread does.

    Closed, it holds its sound until the next session begins, so that a take can still be kept.
    """

    def __init__(
        self,
        device: str,
        sample_rate_hz: int,
        channels: int,
        *,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device, self.sample_rate_hz = device, sample_rate_hz
        self.overruns = 0
        self.latency_s = 0.0
        self.ended = ""
        self.analysts: list[live.Analyst] = []
        self._ring = Ring(channels, round(keep_s * sample_rate_hz), round(SLACK_S * sample_rate_hz))
        self._clock = clock
        self._seen = self._received = clock()
        self._stream: Any = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def receive(self, block: np.ndarray, is_overrun: bool = False) -> None:
        """Take a block [frames, channels] float32 from the device; `is_overrun` says that sound before it was lost."""
        self._ring.write(np.nan_to_num(block.T))
        self.overruns += is_overrun
        self._received = self._clock()

    def attach(self, stream: Any) -> None:
        """Start a stream that calls `receive`, and watch that somebody looks; the stream is closed with the session."""
        self._stream = stream
        stream.start()
        self.latency_s = float(stream.latency)
        self.seen()
        threading.Thread(target=self._watch, name="microphone", daemon=True).start()

    def follow(self, models: list[evaluation.Model]) -> None:
        """Ask these models from now on; nothing happens where they are the ones already asked."""
        from core import live

        with self._lock:
            asked = [model for one in self.analysts for model in one.models]
            if sorted(map(_identity, asked)) == sorted(map(_identity, models)) or not self.is_open:
                return
            for one in self.analysts:
                one.close()
            self.analysts = live.analysts(self._ring, self.sample_rate_hz, models)
            for one in self.analysts:
                one.start()

    def seen(self) -> None:
        """Somebody looks: the device stays open for the next 20 s."""
        self._seen = self._clock()

    def close_if_unseen(self) -> None:
        """Give the device back where nobody looked for 20 s."""
        if self._clock() - self._seen > UNSEEN_S:
            self.close(f"The microphone was released: for {UNSEEN_S:g} s no page showed it.")

    def close(self, reason: str = "") -> None:
        """Give the device back and ask the models no more; once."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            self.ended = reason
            for one in self.analysts:
                one.close()
        if self._stream is not None:
            self._stream.close()

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    @property
    def is_stalled(self) -> bool:
        """Whether the open device delivers nothing any more: unplugged, or taken by another program."""
        return self.is_open and self._clock() - self._received > STALLED_S

    @property
    def heard_s(self) -> float:
        """Seconds of sound since the start."""
        return self._ring.written / self.sample_rate_hz

    @property
    def kept_s(self) -> float:
        """Seconds of sound that a take would hold."""
        return min(self._ring.written, self._ring.keep) / self.sample_rate_hz

    @property
    def keep_s(self) -> float:
        """Seconds of sound that a take can hold at most."""
        return self._ring.keep / self.sample_rate_hz

    def level(self) -> Level:
        """The level now."""
        return level(self._ring.last(round(HOLD_S * self.sample_rate_hz))[0], self.sample_rate_hz)

    def take(self) -> bytes:
        """All that is kept as a FLAC file of 24 bits; what exceeds full scale clips. ValueError where it is nothing."""
        import soundfile

        samples, _ = self._ring.last(self._ring.keep)
        if samples.shape[1] == 0:
            raise ValueError("Nothing was heard yet, so there is no take to keep.")
        file = io.BytesIO()
        soundfile.write(file, samples.T, self.sample_rate_hz, format="FLAC", subtype="PCM_24")
        return file.getvalue()

    def _watch(self) -> None:
        while not self._closed.wait(1.0):
            self.close_if_unseen()


def _identity(model: evaluation.Model) -> tuple[str, str]:
    return model.run, model.weights


_sessions: list[Session] = []  # the newest, open or closed
_starting = threading.Lock()


def newest() -> Session | None:
    """The session of this process, open or closed; None before the first."""
    return _sessions[-1] if _sessions else None


def current() -> Session | None:
    """The open session of this process, None where there is none."""
    session = newest()
    return session if session is not None and session.is_open else None


def start(device: Device) -> Session:
    """Open a device; a session before it is closed and its sound let go. ValueError where it cannot be opened."""
    sounddevice = _sounddevice()
    with _starting:
        if (before := newest()) is not None:
            before.close()
        _sessions.clear()
        channels = min(2, device.channels)
        session = Session(device.name, device.sample_rate_hz, channels)
        try:
            stream = sounddevice.InputStream(
                device=device.number,
                samplerate=device.sample_rate_hz,
                channels=channels,
                dtype="float32",
                latency=LATENCY_S,
                callback=lambda block, frames, when, status: session.receive(block, bool(status.input_overflow)),
            )
            session.attach(stream)
        except (sounddevice.PortAudioError, ValueError) as error:
            session.close()
            raise ValueError(f"{device.name} cannot be opened ({error}); is another program using it?") from None
        _sessions.append(session)
        return session
