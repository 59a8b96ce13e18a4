"""Slices of a clip: when a model is asked, which seconds it hears, and the numbers it is given."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from core import audio, paths
from core.events import Inputs

CHOICES = ("lib164", "lib73", "logmel", "wave16k")
WAVE_RATE_HZ = 16_000
FEATURES_VERSION = 1
"""Raised where core/features.py or its spectra give other numbers; it stands here because they need torch to import."""

BATCH = 64  # log-mel windows at once: 64 × 3 s need about 60 MB


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


def inputs(clip: audio.Clip, name: str, times_s: np.ndarray, window_s: float) -> Inputs:
    """What a model eats at each time, float32: `lib164` [n, 164], `lib73` [n, 73], `logmel` [n, 128, frames] or
    `wave16k` [n, samples], the mean of the channels at 16 kHz.

    A clip shorter than the window is pooled as it is for lib164 and lib73, and followed by zeros for the others.
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
    if name == "logmel":
        return Inputs(name, _logmel(clip, starts, window_s), np.asarray(times_s, float))
    if name == "wave16k":
        samples, first = _samples(clip, starts, window_s, WAVE_RATE_HZ)
        return Inputs(name, samples[first], np.asarray(times_s, float))
    from core import features

    values = features.pool(frames(clip), starts, float(ends[0] - starts[0]) if len(starts) else window_s)
    return Inputs(name, features.lib73_from_lib164(values) if name == "lib73" else values, np.asarray(times_s, float))


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
