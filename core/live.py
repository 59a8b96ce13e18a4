"""What models hear in the newest seconds of a sound that has not ended yet, without ever falling behind it."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from core import audio, evaluation, listening, pitch, threads, windows
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES
from core.events import Inputs
from core.ring import Ring
from core.runner import load_trainer

HOP_S = 0.4
"""New sound before a model is asked again: 2.5 times a second."""

HOPS_PER_SONG_WINDOW = 10
"""A model of long windows is asked ten times per window: its value moves slowly, and its features cost seconds."""

HISTORY_S = 30.0
RATE_OVER_S = 10.0
POLL_S = 0.05
LABELS = {"emotion": EMOTION_LABELS, "instruments": IRMAS_CLASSES}


@dataclass(frozen=True)
class Moment:
    """What several models said about the window that ended `end_s` after the start: `values` [labels] per model."""

    end_s: float
    values: tuple[np.ndarray, ...]


def window_of(model: evaluation.Model) -> float:
    """The length in seconds that a model is given: what it learned from."""
    return model.window_s or listening.LONG_WINDOW_S


def hear(samples: np.ndarray, sample_rate_hz: int, models: list[evaluation.Model]) -> tuple[np.ndarray, ...]:
    """What models of one input and one window length say about `samples` [channels, n], one such window: [labels] each.

    The numbers that `listening.listen` gives for a clip of just these samples; NaN where they are silent, and of
    instruments where nothing in them has a pitch. Nothing is written to the cache: no window comes twice.
    """
    name, window_s = models[0].input, window_of(models[0])
    assert all((model.input, window_of(model)) == (name, window_s) for model in models)
    clip = audio.Clip(samples, sample_rate_hz, "live", "")
    is_silent = audio.loudness_db(clip.mono()) < listening.SILENT_BELOW_DB
    wants_pitch = not is_silent and any(model.task == "instruments" for model in models)
    has_pitch = wants_pitch and pitch.is_in(clip)
    asked = [not is_silent and (has_pitch or model.task != "instruments") for model in models]
    with threads.few_beside_runs():
        inputs = _inputs(clip, name, window_s) if any(asked) else None
        return tuple(
            load_trainer(model.trainer).predict(model.model, inputs).values[0]
            if is_asked and inputs is not None
            else np.full(len(LABELS[model.task]), np.nan)
            for model, is_asked in zip(models, asked, strict=True)
        )


def _inputs(clip: audio.Clip, name: str, window_s: float) -> Inputs:
    """`windows.inputs` for the one window that the clip is, past the cache of features."""
    middle = np.array([clip.seconds / 2])
    if name not in ("lib164", "lib73"):
        return windows.inputs(clip, name, middle, window_s)
    from core import features

    frames = features.descriptors(audio.resample(clip.mono(), clip.sample_rate_hz, features.RATE_HZ))
    values = features.pool(frames, [0.0], clip.seconds)
    return Inputs(name, features.lib73_from_lib164(values) if name == "lib73" else values, middle)


class Analyst:
    """Asks models of one input and window length about the newest window, each time a hop of new sound has come.

    Where that takes longer than a hop, hops are skipped and counted: the next question is about the newest sound.
    """

    def __init__(self, ring: Ring, sample_rate_hz: int, models: list[evaluation.Model]) -> None:
        self.models = models
        self.window_s = window_of(models[0])
        self.hop_s = HOP_S if self.window_s < listening.LONG_WINDOW_S else self.window_s / HOPS_PER_SONG_WINDOW
        self.skipped = 0
        self.problem = ""
        self._ring, self._rate_hz = ring, sample_rate_hz
        self._window, self._hop = round(self.window_s * sample_rate_hz), round(self.hop_s * sample_rate_hz)
        self._due = max(self._window, ring.written)
        self._is_first = True
        self._moments: deque[Moment] = deque()
        self._took_s: deque[float] = deque(maxlen=9)
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def start(self) -> None:
        """Go on in a thread of its own until `close`."""
        threading.Thread(target=self._work, name="live analysis", daemon=True).start()

    def close(self) -> None:
        """Ask no more; what is being computed may still end."""
        self._closed.set()

    def step(self) -> bool:
        """Ask once if it is time to; whether it was."""
        written = self._ring.written
        if written < self._due:
            return False
        late = (written - self._due) // self._hop
        self.skipped += 0 if self._is_first else late
        self._due += (late + 1) * self._hop
        begun = time.perf_counter()
        samples, end = self._ring.last(self._window)
        values = hear(samples, self._rate_hz, self.models)
        took_s = time.perf_counter() - begun
        with self._lock:
            if not self._is_first:  # the first also imports and warms
                self._took_s.append(took_s)
            self._moments.append(Moment(end / self._rate_hz, values))
            while self._moments[0].end_s < self._moments[-1].end_s - HISTORY_S:
                self._moments.popleft()
        if self._is_first:
            self._is_first, self._due = False, max(self._due, self._ring.written)
        return True

    def moments(self) -> list[Moment]:
        """What was heard in the last 30 s, oldest first."""
        with self._lock:
            return list(self._moments)

    @property
    def per_second(self) -> float | None:
        """Analyses per second of sound over the last 10 s; None before the second one."""
        with self._lock:
            ends_s = [one.end_s for one in self._moments if one.end_s > self._moments[-1].end_s - RATE_OVER_S]
        return (len(ends_s) - 1) / (ends_s[-1] - ends_s[0]) if len(ends_s) > 1 else None

    @property
    def took_s(self) -> float | None:
        """How long one analysis takes: the median of the last nine, in seconds."""
        with self._lock:
            return float(np.median(self._took_s)) if self._took_s else None

    def _work(self) -> None:
        while not self._closed.wait(POLL_S):
            try:
                self.step()
            except Exception as error:  # nobody sees the exception of a thread, so the page says it
                self.problem = f"{type(error).__name__}: {error}"
                return


def analysts(ring: Ring, sample_rate_hz: int, models: list[evaluation.Model]) -> list[Analyst]:
    """One analyst per input and window length, so that models share features and slow ones hold up no others."""
    groups: dict[tuple[str, float], list[evaluation.Model]] = {}
    for model in models:
        groups.setdefault((model.input, window_of(model)), []).append(model)
    return [Analyst(ring, sample_rate_hz, group) for group in groups.values()]
