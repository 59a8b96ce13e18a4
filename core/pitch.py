"""Whether anything in a clip has a pitch, as all eleven instruments do and rain, wind, applause and hiss do not.

A partial stands far above its surroundings in the spectrum, and noise seldom does. The power of a bin of noise is
exponentially distributed, so that a share exp(−c)·(1 + c) of all power lies in bins above c times the mean: 0.8 % where
bins count from ten times the median on (c = 10 ln 2), and a little more where that is the median of a few bins. What a
model scores in a clip without any pitch says nothing, however high it is.
"""

from __future__ import annotations

import math

import numpy as np

from core.audio import Clip
from core.longclip import LongClip

FRAME_S = 0.093
FRAMES = 100
LOWEST_HZ, HIGHEST_HZ = 80.0, 5000.0
SURROUNDINGS_HZ = 330.0
ABOVE = 10.0
QUIETEST_DB = 30.0  # below the loudest frame: what is quieter is not judged
LEAST_SHARE = 0.15
"""A clip has a pitch where its most pitched tenth of frames has more of its power in partials. Of 397 recordings of the
eleven instruments the lowest is .29 (an organ pipe with its wind); a recording of rain has .06, white noise .03.
In white noise 10 dB below them each of 133 of these recordings still has one, 5 dB below all but two."""

EVERY_S = 0.25
"""How often a clip is looked at where it is asked when it has a pitch. Of 935 windows of 3 s of the 397 recordings all
have one."""

KEPT = 200
BLOCK = 256  # frames at a time: the medians of a bin's surroundings are thirty times the spectrum

_known: dict[str, float] = {}
_known_frames: dict[str, np.ndarray] = {}


def is_in(clip: Clip | LongClip) -> bool:
    """Whether something in it has a pitch; True of silence, of which nothing can be said."""
    return not share(clip) < LEAST_SHARE


def share(clip: Clip | LongClip) -> float:
    """Of the power of a moment what lies in partials (0 to 1), in its most pitched tenth; NaN where it is silent.

    Kept by the clip's hash, where it has one.
    """
    if clip.sha256 in _known:
        return _known[clip.sha256]
    shares = of_frames(_frames(clip), clip.sample_rate_hz)
    found = float(np.quantile(shares, 0.9)) if len(shares) else float("nan")
    if clip.sha256:
        if len(_known) >= KEPT:
            _known.clear()
        _known[clip.sha256] = found
    return found


def in_windows(clip: Clip, starts_s: np.ndarray, ends_s: np.ndarray) -> np.ndarray:
    """Whether something in each stretch of a clip has a pitch, [n]; True of what is too quiet to be judged.

    Kept by the clip's hash, where it has one.
    """
    shares = _known_frames.get(clip.sha256) if clip.sha256 else None
    if shares is None:
        shares = _over_time(clip)
        if clip.sha256:
            if len(_known_frames) >= KEPT:
                _known_frames.clear()
            _known_frames[clip.sha256] = shares
    found = np.ones(len(starts_s), bool)
    for number, (start_s, end_s) in enumerate(zip(starts_s, ends_s, strict=True)):
        first = math.ceil(start_s / EVERY_S - 1e-6)
        inside = shares[first : max(first, math.floor((end_s - FRAME_S) / EVERY_S + 1e-6)) + 1]
        inside = inside[np.isfinite(inside)]
        found[number] = not len(inside) or bool(np.quantile(inside, 0.9) >= LEAST_SHARE)
    return found


def _over_time(clip: Clip) -> np.ndarray:
    """The share of power in partials every `EVERY_S` seconds; NaN where it is too quiet."""
    width, mono = round(FRAME_S * clip.sample_rate_hz), clip.mono()
    starts = (np.arange(max(0.0, clip.seconds - FRAME_S) // EVERY_S + 1) * EVERY_S * clip.sample_rate_hz).astype(int)
    shares, totals = [], []
    for some in np.array_split(starts, -(-len(starts) // BLOCK)):
        frames = np.zeros((len(some), width))
        for row, start in enumerate(some):
            piece = mono[start : start + width]
            frames[row, : len(piece)] = piece
        share, total = _shares(frames, clip.sample_rate_hz)
        shares.append(share)
        totals.append(total)
    total = np.concatenate(totals)
    return np.where(_is_loud(total), np.concatenate(shares), np.nan)


def of_frames(frames: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The share of power in partials of the frames [n, samples] that are loud enough, [m]."""
    shares, total = _shares(frames, sample_rate_hz)
    return shares[_is_loud(total)]


def _is_loud(total: np.ndarray) -> np.ndarray:
    """Which frames are judged, by their power [n]."""
    return (total > 0) & (total > total.max(initial=0.0) * 10 ** (-QUIETEST_DB / 10))


def _shares(frames: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """The share of power in partials, and the power, of each frame [n, samples]; NaN where there is none."""
    width = frames.shape[1]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), axis=1)) ** 2
    hz = np.fft.rfftfreq(width, 1 / sample_rate_hz)
    around = max(1, round(SURROUNDINGS_HZ / 2 * width / sample_rate_hz))
    first, end = np.searchsorted(hz, [LOWEST_HZ, HIGHEST_HZ])
    total = power[:, first:end].sum(axis=1)
    if not len(power) or first >= end:
        return np.full(len(power), np.nan), np.zeros(len(power))
    power = power[:, : end + around]
    padded = np.pad(power, ((0, 0), (around, around)), mode="reflect")
    level = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1, axis=1), axis=2)
    heard, level = power[:, first:end], level[:, first:end]
    partials = np.where(heard > ABOVE * level, heard, 0.0).sum(axis=1)
    return np.divide(partials, total, out=np.full(len(power), np.nan), where=total > 0), total


def _frames(clip: Clip | LongClip) -> np.ndarray:
    """Up to FRAMES frames, evenly spread, [n, samples]; a clip shorter than one is one, with silence after it."""
    width = round(FRAME_S * clip.sample_rate_hz)
    count = round(clip.seconds * clip.sample_rate_hz)
    starts = np.unique(np.linspace(0, max(0, count - width), FRAMES).astype(int))
    if isinstance(clip, LongClip):
        pieces = [clip.part(start, start + width).samples[0] for start in starts.tolist()]
    else:
        mono = clip.mono()
        pieces = [mono[start : start + width] for start in starts.tolist()]
    found = np.zeros((len(starts), width))
    for row, piece in enumerate(pieces):
        found[row, : len(piece)] = piece
    return found
