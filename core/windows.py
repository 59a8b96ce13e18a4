"""Slices of a clip: when a model is asked, which seconds it hears, and the numbers it is given."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from core import audio, paths
from core.events import Inputs
from core.longclip import LongClip

CHOICES = ("lib164", "lib73", "logmel", "wave16k")
WAVE_RATE_HZ = 16_000
FEATURES_VERSION = 1
"""Raised where core/features.py or its spectra give other numbers; it stands here because they need torch to import."""

EDGE_S = 0.1  # of sound around a part of a long clip, for the resampler's filter
BATCH = 64  # log-mel windows at once: 64 × 3 s need about 60 MB


STRETCH_FRAMES = 1292
"""A long clip is described half a minute at a time: descriptors need 2 MB of memory a second while they are made."""

MARGIN_FRAMES = 86
"""Sound of 2 s on either side, so that the harmonic part and the longest filter (1.6 s) see what lies beyond."""


def grid(seconds: float, hop_s: float) -> np.ndarray:
    """The times 0, hop, 2 hop … up to `seconds` at which a model is asked, float64 [n]."""
    if not 0 < hop_s < np.inf:
        raise ValueError(f"The hop must be a length above 0 s, not {hop_s:g} s.")
    return np.arange(int(np.floor(seconds / hop_s + 1e-9)) + 1) * hop_s


def bounds(times_s: np.ndarray, window_s: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """First and last second of the window around each time, two arrays [n].

    A window that would reach outside the clip is shifted inside; where the clip is shorter than the window, each is
    the whole clip.
    """
    if not 0 < window_s < np.inf:
        raise ValueError(f"The window must be a length above 0 s, not {window_s:g} s.")
    length = min(window_s, seconds)
    starts = np.clip(np.asarray(times_s, float) - length / 2, 0, seconds - length)
    return starts, starts + length


def inputs(clip: audio.Clip | LongClip, name: str, times_s: np.ndarray, window_s: float) -> Inputs:
    """What a model eats at each time, float32: `lib164` [n, 164], `lib73` [n, 73], `logmel` [n, 128, frames] or
    `wave16k` [n, samples], the mean of the channels at 16 kHz.

    A clip shorter than the window is pooled as it is for lib164 and lib73, and followed by zeros for the others.
    Of a long clip only what the windows cover is read, and tuning and the loudest value are those of the half minute.
    Raises ValueError for a representation that cannot be made from audio here.
    """
    if name not in CHOICES:
        reason = (
            "these features are made by openSMILE and cannot be made from audio here"
            if name.startswith("opensmile")
            else "there is no such representation of audio"
        )
        raise ValueError(f"A clip cannot be given as {name}: {reason}; there are {', '.join(CHOICES)}.")
    starts, ends = bounds(times_s, window_s, clip.seconds)
    if name in ("logmel", "wave16k"):
        near, offset_s = _near(clip, starts, ends)
        if name == "logmel":
            return Inputs(name, _logmel(near, starts - offset_s, window_s), np.asarray(times_s, float))
        samples, first = _samples(near, starts - offset_s, window_s, WAVE_RATE_HZ)
        return Inputs(name, samples[first], np.asarray(times_s, float))
    from core import features

    length = float(ends[0] - starts[0]) if len(starts) else window_s
    if isinstance(clip, LongClip):
        described, offset_s = _frames_between(clip, float(starts.min()), float(ends.max()))
        values = features.pool(described, starts - offset_s, length)
    else:
        values = features.pool(frames(clip), starts, length)
    return Inputs(name, features.lib73_from_lib164(values) if name == "lib73" else values, np.asarray(times_s, float))


def _near(clip: audio.Clip | LongClip, starts_s: np.ndarray, ends_s: np.ndarray) -> tuple[audio.Clip, float]:
    """The part of a clip that windows cover, and where it begins in seconds: all of it unless it is a long one."""
    if not isinstance(clip, LongClip):
        return clip, 0.0
    first = max(0, int((starts_s.min() - EDGE_S) * clip.sample_rate_hz)) if len(starts_s) else 0
    end = int(np.ceil((ends_s.max() + EDGE_S) * clip.sample_rate_hz)) if len(starts_s) else first
    return clip.part(first, end), first / clip.sample_rate_hz


def _samples(clip: audio.Clip, starts_s: np.ndarray, window_s: float, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """All windows of one channel at `rate_hz` as a view [any start, length], and the first samples [n] of those meant.

    A clip that is too short ends in zeros.
    """
    mono = audio.resample(clip.mono(), clip.sample_rate_hz, rate_hz)
    length = round(window_s * rate_hz)
    if len(mono) < length:
        mono = np.pad(mono, (0, length - len(mono)))
    first = np.minimum(np.rint(starts_s * rate_hz).astype(int), len(mono) - length)
    return np.lib.stride_tricks.sliding_window_view(mono, length), first


def _logmel(clip: audio.Clip, starts_s: np.ndarray, window_s: float) -> np.ndarray:
    from core import features

    samples, first = _samples(clip, starts_s, window_s, features.LOGMEL_RATE_HZ)
    parts = [features.logmel(samples[first[i : i + BATCH]]) for i in range(0, len(first), BATCH)]
    return (
        np.concatenate(parts)
        if parts
        else np.zeros((0, features.LOGMEL_BANDS, 1 + samples.shape[1] // features.LOGMEL_HOP), np.float32)
    )


def frames(clip: audio.Clip, cache_dir: Path | None = None):
    """The frame-wise descriptors of a clip, from the cache (default `features/` in the lab's cache) or made and kept.

    Keyed by the file's hash and the version of the features. A damaged file is made again; a cache that cannot be
    written costs time, not the result.
    """
    from core import features

    folder = cache_dir if cache_dir is not None else paths.cache() / "features"
    path = folder / f"{clip.sha256}-v{FEATURES_VERSION}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    made = features.descriptors(audio.resample(clip.mono(), clip.sample_rate_hz, features.RATE_HZ))
    _write(path, made)
    return made


def _frames_between(clip: LongClip, start_s: float, end_s: float):
    """The descriptors of a long clip that windows from `start_s` to `end_s` need, and the time of the first frame."""
    from core import features

    frame_s = features.HOP / features.RATE_HZ
    edges = _stretches(clip)
    low = int(np.searchsorted(edges, start_s / frame_s, side="right")) - 1
    high = int(np.searchsorted(edges, end_s / frame_s + 1, side="left"))
    parts = [_stretch(clip, edges, number) for number in range(max(low, 0), min(high, len(edges) - 1))]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in features.DESCRIPTORS}
    offset_s = float(edges[max(low, 0)]) * frame_s
    return features.Frames(values, np.arange(len(values["rms"])) * frame_s), offset_s


def _stretches(clip: LongClip) -> np.ndarray:
    """Borders of the stretches of a long clip in frames, int [n + 1]: equal parts of a minute at most."""
    from core import features

    frame_count = 1 + clip.sample_count // features.HOP
    count = -(-frame_count // STRETCH_FRAMES)
    return np.arange(count + 1) * frame_count // count


def _stretch(clip: LongClip, edges: np.ndarray, number: int):
    """The descriptors of one stretch, from the cache or made and kept: what was cancelled goes on where it was."""
    from core import features

    path = paths.cache() / "features" / f"{clip.sha256}-v{FEATURES_VERSION}-{number:04d}.npz"
    kept = _read(path)
    first, end = int(edges[number]), int(edges[number + 1])
    if kept is not None and len(kept.times_s) == end - first:
        return kept
    begin = max(0, first - MARGIN_FRAMES)
    part = clip.part(begin * features.HOP, (end + MARGIN_FRAMES) * features.HOP)
    made = features.descriptors(part.mono())
    inner = slice(first - begin, end - begin)
    cut = features.Frames({k: v[inner].copy() for k, v in made.values.items()}, made.times_s[: end - first])
    _write(path, cut)
    return cut


def _read(path: Path):
    from core import features

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        times_s = arrays.pop("times_s")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = set(arrays) == set(features.DESCRIPTORS) and all(len(part) == len(times_s) for part in arrays.values())
    return features.Frames(arrays, times_s) if whole else None


def _write(path: Path, made) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, times_s=made.times_s, **made.values)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
