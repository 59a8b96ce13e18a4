"""A page with nothing but a deck: chords as sound, made-up curves and a made-up strip. Run by test_deck.py.

`?clip=empty` shows the deck without any model, `?clip=unheard` with one that has not heard it, `?clip=gaps` curves
with holes and a hostile title, `?clip=boxed` the deck inside a container, `?clip=sure` a strip with a threshold and
calibrated scores.
"""

import contextlib
import io
import sys
import wave
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from pages.deck import INSTRUMENT_NAMES, Point, Series, Strip, deck

RATE_HZ = 22050
SECONDS = 12.0
CHORDS = [(220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7)]


def chords() -> np.ndarray:
    """Four chords of three seconds, plucked twice a second, each louder and brighter than the one before. [samples]"""
    time_s = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    sound = np.zeros_like(time_s)
    for number, chord in enumerate(CHORDS):
        inside = (time_s >= 3 * number) & (time_s < 3 * (number + 1))
        decay = np.exp(-6 * (time_s[inside] % 0.5))
        for note in chord:
            for harmonic in range(1, 4 + 4 * number):
                phase = 2 * np.pi * note * harmonic * time_s[inside]
                sound[inside] += (0.4 + 0.2 * number) * decay * np.sin(phase) / harmonic**1.3
    noise = np.random.default_rng(0).normal(0, 0.002, len(sound))
    return 0.8 * sound / np.abs(sound).max() + noise


def as_wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def spectrogram(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels in dB [96, columns] on log-spaced frequencies [96]."""
    size, hop = 2048, 512
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, size // 2), size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2
    frequencies = np.geomspace(60, 10000, 96)
    bins = np.arange(power.shape[1]) * RATE_HZ / size
    levels = 10 * np.log10(np.array([np.interp(frequencies, bins, row) for row in power]) + 1e-10).T
    return levels - levels.max(), frequencies


def curves(shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times_s = np.arange(1.5, SECONDS - 1.4, 0.5)
    valence = 5 + 2.2 * np.sin(times_s / 2.1 + shift) + 0.25 * np.sin(times_s * 2.7)
    arousal = 3.2 + 3.6 * times_s / SECONDS + 0.5 * np.sin(times_s * 1.3 + shift)
    return times_s, valence, arousal


def scores(times_s: np.ndarray) -> np.ndarray:
    made = np.random.default_rng(1).beta(1.2, 9, (len(times_s), len(INSTRUMENT_NAMES)))
    made[:, 6] = 0.92 - 0.06 * times_s
    made[:, 3] = 0.5 + 0.45 * np.sin(times_s / 2)
    made[:, 9] = np.clip((times_s - 4) / 7, 0, 1)
    return np.clip(made, 0, 1)


st.set_page_config(page_title="Deck", layout="wide")
samples = chords()
levels_db, frequencies_hz = spectrogram(samples)
usable = samples[: len(samples) // 1200 * 1200].reshape(1200, -1)
times_s, valence, arousal = curves(0.0)
kind = st.query_params.get("clip", "chords")
title = "Four chords, each brighter than the one before"
runs = [Series("ridge on DEAM, windows of 3 s", times_s, valence, arousal, is_primary=True)]
strip = Strip(list(INSTRUMENT_NAMES), None, times_s, scores(times_s))
song = [Point("whole clip", 5.6, 5.2)]
markers = None

st.title("A clip")
if st.button("Predict again"):
    st.session_state.count = st.session_state.get("count", 0) + 1
    st.info("Predicted again.")  # an element that appears above the player
count = st.session_state.get("count", 0)
if count:
    other = curves(0.9 * count)
    runs.append(Series(f"boosted_trees on cues, take {count}", *other))
    song.append(Point("listeners", 6.1, 6.4))
if kind == "sure":
    strip = Strip(list(INSTRUMENT_NAMES), None, times_s, scores(times_s), threshold=0.9, calibration=(0.5, -0.5))
if kind in ("empty", "unheard"):
    runs, strip, song = [], None, []
if kind == "gaps":
    valence[6:9] = np.nan
    arousal[6:9] = np.nan
    title = "<img src=x onerror=alert(1)> 🎻 " + "a very long name " * 12
    runs = [Series("<b>bold</b> " + "long " * 30, times_s, valence, arousal, is_primary=True)]
    markers = [(6.0, "the key changes"), (11.2, "end")]

place = st.container(key="box") if kind == "boxed" else contextlib.nullcontext()
with place:
    deck(
        key="clip",
        audio=as_wav(samples),
        seconds=SECONDS,
        peaks=np.stack([usable.min(axis=1), usable.max(axis=1)], axis=1),
        spectrogram_db=levels_db,
        spectrogram_hz=frequencies_hz,
        series=runs,
        strip=strip,
        song=song,
        title=title,
        markers=markers,
        unheard=["emotion"] if kind == "unheard" else [],
    )
st.caption(f"predictions: {len(runs)}")
