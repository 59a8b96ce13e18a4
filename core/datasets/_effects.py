"""What happens to rendered sound: tuning, a shelf, a room, vibrato, noise and a soft limit. NumPy alone, because a
child that imports SciPy starts 2 s later, and in blocks that stay in the processor's cache.

All functions take and give mono float32 samples at 22,050 Hz.
"""

from __future__ import annotations

import functools

import numpy as np

from core.datasets._notes import SAMPLE_RATE_HZ

TUNING_STEPS = 68  # in samples: 69 to 68 is 25.3 cents
_REACH = 12  # samples to each side that a sample between others is made from
_FFT_SIZE = 2**16  # one transform of 45 s takes 2.5 times as long as blocks of this size together


def loudness(samples: np.ndarray) -> float:
    """Root mean square of the louder parts: the 90th percentile over blocks of 50 ms, so that pauses count little."""
    block = SAMPLE_RATE_HZ // 20
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    return float(np.sqrt(np.percentile(np.square(blocks).mean(axis=1), 90)))


def pitch_ratio(cents: int) -> float:
    """Of a tuning that `retuned` knows: 69/68, 1 or 68/69 for about 25, 0 and -25 cents."""
    up, down = {-25: (TUNING_STEPS, TUNING_STEPS + 1), 0: (1, 1), 25: (TUNING_STEPS + 1, TUNING_STEPS)}[cents]
    return up / down


def retuned(samples: np.ndarray, cents: int) -> np.ndarray:
    """Samples played faster or slower, so that they are `cents` (25.3 or 0) higher and end that much sooner."""
    if cents == 0:
        return samples
    taken, made = (TUNING_STEPS + 1, TUNING_STEPS) if cents > 0 else (TUNING_STEPS, TUNING_STEPS + 1)
    lead = np.zeros(_REACH, np.float32)
    return _in_blocks(np.concatenate([lead, samples]), _interpolation(taken, made), taken)[
        : len(samples) * made // taken
    ]


@functools.cache
def _interpolation(taken: int, made: int) -> np.ndarray:
    """Matrix from `taken` samples and their neighbours to `made` samples: a Hann-windowed sinc, cut at 0.97 of the
    lower Nyquist frequency."""
    places = np.arange(made) * taken / made
    apart = np.arange(taken + 2 * _REACH)[:, None] - _REACH - places
    cut = 0.97 * min(1.0, made / taken)
    window = np.where(np.abs(apart) < _REACH, np.cos(np.pi * apart / (2 * _REACH)) ** 2, 0.0)
    return (cut * np.sinc(cut * apart) * window).astype(np.float32)


def _in_blocks(samples: np.ndarray, matrix: np.ndarray, step: int) -> np.ndarray:
    """Rows of len(matrix) samples, each `step` after the one before, times the matrix, end to end; zeros follow the
    samples. A matrix product does a short filter ten times as fast as `np.convolve`."""
    count = -(-len(samples) // step)
    padded = np.zeros(count * step + len(matrix), np.float32)
    padded[: len(samples)] = samples
    rows = np.lib.stride_tricks.sliding_window_view(padded, len(matrix))[: count * step : step]
    return (np.ascontiguousarray(rows) @ matrix).ravel()


def shelf(samples: np.ndarray, corner_hz: float, gain_db: float) -> np.ndarray:
    """A first-order high shelf: `gain_db` well above the corner, nothing well below it (bilinear transform).

    Its impulse response is cut where it has fallen below 1e-5.
    """
    gain, k = 10 ** (gain_db / 20), np.tan(np.pi * corner_hz / SAMPLE_RATE_HZ)
    first, second, pole = (gain + k) / (1 + k), (k - gain) / (1 + k), (1 - k) / (1 + k)
    taps = int(np.log(1e-5) / np.log(pole)) + 2
    response = np.concatenate([[first], (first * pole + second) * pole ** np.arange(taps)])
    step = 64
    delay = np.arange(step) + taps - np.arange(step + taps)[:, None]
    matrix = np.where((delay >= 0) & (delay <= taps), response[np.clip(delay, 0, taps)], 0.0).astype(np.float32)
    return _in_blocks(np.concatenate([np.zeros(taps, np.float32), samples]), matrix, step)[: len(samples)]


def room(samples: np.ndarray, rng: np.random.Generator, corner_hz: float, tilt_db: float) -> np.ndarray:
    """Equaliser and reverberation in one convolution: a high shelf, then noise that decays by 60 dB in 0.15–1.2 s and
    carries 8–35 % of the amplitude."""
    decay_s, share = rng.uniform(0.15, 1.2), rng.uniform(0.08, 0.35)
    t = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = np.convolve(rng.normal(size=len(t)) * np.exp(-6.91 * t / decay_s), [0.5, 0.5])
    response = np.concatenate([np.zeros(int(rng.uniform(0.003, 0.02) * SAMPLE_RATE_HZ)), tail])
    response *= share / np.sqrt(np.square(response).sum())
    response[0] = 1 - share
    return convolved(samples, shelf(response.astype(np.float32), corner_hz, tilt_db))


def convolved(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The samples through a response of up to 1.5 s, as long as they were (overlap-add)."""
    step = _FFT_SIZE + 1 - len(response)
    assert step > _FFT_SIZE // 4, len(response)
    transfer = np.fft.rfft(response, _FFT_SIZE)
    wet = np.zeros(len(samples) + _FFT_SIZE, np.float32)
    for first in range(0, len(samples), step):
        block = np.fft.rfft(samples[first : first + step], _FFT_SIZE)
        wet[first : first + _FFT_SIZE] += np.fft.irfft(block * transfer, _FFT_SIZE)
    return wet[: len(samples)]


def vibrato(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the pitch by 8–30 cents, 4.5–6.5 times a second, and the level a little with it."""
    rate_hz, cents = rng.uniform(4.5, 6.5), rng.uniform(8, 30)
    t = np.arange(len(samples)) / SAMPLE_RATE_HZ
    swing_s = (2 ** (cents / 1200) - 1) / (2 * np.pi * rate_hz)
    phase = 2 * np.pi * rate_hz * t + rng.uniform(0, 2 * np.pi)
    moved = np.interp(t + swing_s * np.sin(phase), t, samples)
    return (moved * (1 + 0.08 * np.sin(phase + 1.0))).astype(np.float32)


def finish(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A noise floor 45–75 dB below the music, and a soft limit near full scale."""
    noise = rng.random(len(samples), dtype=np.float32)  # uniform: as white as normal noise, in a fifth of its time
    noise -= np.float32(0.5)
    noise *= np.float32(np.sqrt(12) * loudness(samples) * 10 ** (-rng.uniform(45, 75) / 20))
    noise += samples
    size = np.abs(noise)
    loud = np.flatnonzero(size > 0.7)
    noise[loud] = np.sign(noise[loud]) * (0.7 + 0.28 * np.tanh((size[loud] - 0.7) / 0.28))
    return noise
