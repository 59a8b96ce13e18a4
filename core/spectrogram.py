"""A spectrogram to look at, in NumPy: the first page is drawn before torch, which takes seconds, is imported."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FRAME_S = 0.09
BLOCK_FRAMES = 256


def spectrogram_db(
    mono: np.ndarray, sample_rate_hz: int, columns: int, rows: int, depth_db: float = 80.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A spectrogram small enough to draw: level [rows, columns] float32 in dB below the loudest cell (0 … −depth_db),
    frequencies_hz [rows] in equal musical steps from 50 Hz to 10 kHz (or Nyquist), times_s [columns] of the centres.

    A column is the mean power of up to eight frames of about 90 ms spread over its stretch; a row is a triangle
    between its neighbours, at least one bin wide.
    """
    half = _fft_size(sample_rate_hz) // 2
    padded = np.pad(np.asarray(mono, np.float32), half)

    def framed(starts: np.ndarray, size: int) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(padded, size)[starts + half]

    return of_frames(framed, len(mono), sample_rate_hz, columns, rows, depth_db)


def of_frames(
    framed: Callable[[np.ndarray, int], np.ndarray],
    sample_count: int,
    sample_rate_hz: int,
    columns: int,
    rows: int,
    depth_db: float = 80.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`spectrogram_db` of a sound that need not be in memory: `framed(starts [n], size)` gives [n, size] samples from
    each start on, zeros outside 0 … `sample_count` − 1 (starts may be negative)."""
    fft_size = _fft_size(sample_rate_hz)
    stretch = sample_count / columns
    per_column = int(np.clip(np.ceil(2 * stretch / fft_size), 1, 8))
    centres = ((np.arange(columns * per_column) + 0.5) * stretch / per_column).astype(int)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft_size) / fft_size)).astype(np.float32)  # periodic Hann
    frequencies_hz = np.geomspace(50, min(10_000, sample_rate_hz / 2), rows)
    bands = _triangles(frequencies_hz, np.arange(fft_size // 2 + 1) * sample_rate_hz / fft_size).T
    power = np.concatenate(
        [
            np.square(np.abs(np.fft.rfft(framed(some - fft_size // 2, fft_size) * window))) @ bands
            for some in np.array_split(centres, -(-len(centres) // BLOCK_FRAMES))
        ]
    )
    power = power.reshape(columns, per_column, rows).mean(1).T
    level = 10 * np.log10(np.maximum(power, 1e-20))
    level = np.maximum(level - level.max(), -depth_db)
    if power.max() < 1e-14:
        level[:] = -depth_db  # silence is dark, not a picture of rounding
    return level.astype(np.float32), frequencies_hz, (np.arange(columns) + 0.5) * stretch / sample_rate_hz


def _fft_size(sample_rate_hz: int) -> int:
    return int(2 ** round(np.log2(FRAME_S * sample_rate_hz)))


def _triangles(frequencies_hz: np.ndarray, bins_hz: np.ndarray) -> np.ndarray:
    """One filter [rows, bins] per frequency that falls to zero at its neighbours, its weights summing to one."""
    step = frequencies_hz[1] / frequencies_hz[0] if len(frequencies_hz) > 1 else 2.0
    width = np.maximum(frequencies_hz * (step - 1), bins_hz[1])[:, None]
    weights = np.maximum(0, 1 - np.abs(bins_hz - frequencies_hz[:, None]) / width)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
