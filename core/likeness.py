"""Whether two recordings are one: copies that were encoded again, made louder or softer, or cut a little shorter.

A recording leaves a sketch (its middle 10 s, mono, 8 kHz) and a profile (its mean spectrum). Profiles that lie close
propose pairs, and the sketches of a pair are laid over each other at every shift: only the same waveform fits. A pair
is a copy where three correlations are high: of the loudest stretch, of the same with its spectrum flattened (two notes
of one pitch agree in a few strong partials by luck, and not in the rest), and of most quarter seconds of the whole
overlap at that one shift (two takes drift apart).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from core import audio

RATE_HZ = 8000
LONGEST_S = 10.0
TEMPLATE_S, TEMPLATE_SHARE = 4.0, 0.6  # of the shorter sketch: what is searched for in the other
OVERHANG_SHARE = 1 / 8  # of the template: how far it may stick out where a copy was cut
LOWEST_HZ, HIGHEST_HZ = 80.0, 3600.0
FLATTENING = (
    0.5  # exponent of the smoothed spectrum that is divided out: 1 would leave a codec's noise as loud as music
)
SMOOTHING_HZ = 25.0
SAME, SAME_FLAT, SAME_THROUGHOUT = 0.91, 0.65, 0.85
MARGIN_S, BLOCK_S = 0.05, 0.25  # what rings where a copy was cut; the stretches that must each fit
BANDS = 48
NEIGHBOURS = 16


def sketch(mono: np.ndarray, rate_hz: float) -> np.ndarray:
    """The middle of a recording (`mono` [n]) for `likeness`: int16 [at most 80,000], its peak at full scale.

    Only 80 to 3,600 Hz are kept, which every encoder leaves as they are.
    """
    kept = int(LONGEST_S * rate_hz)
    start = max(0, (len(mono) - kept) // 2)
    sound = audio.resample(mono[start : start + kept], rate_hz, RATE_HZ)
    sound = _band(sound, 0.0)  # here once, not for every pair
    peak = float(np.abs(sound).max(initial=0.0))
    return np.rint(sound * (32_767 / peak) if peak > 0 else sound).astype(np.int16)


def profile(mono: np.ndarray, rate_hz: float) -> np.ndarray:
    """Mean level in 48 bands from 60 Hz to 3.8 kHz, in dB relative to their mean, float32 [48]: the same at any level.

    Bands more than 50 dB below the loudest are raised to that floor, where encoders differ.
    """
    sound = audio.resample(mono, rate_hz, RATE_HZ)
    size = 1024
    if len(sound) < size:
        sound = np.pad(sound, (0, size - len(sound)))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[:: size // 2]
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(frames), 512):  # a few seconds at a time: 30 min would not fit
        power += (np.abs(np.fft.rfft(frames[start : start + 512] * np.hanning(size))) ** 2).sum(axis=0)
    edges = np.geomspace(60.0, 3800.0, BANDS + 1) * size / RATE_HZ
    centres = np.arange(len(power))
    bands = np.array([np.interp(np.linspace(a, b, 4), centres, power).sum() for a, b in pairwise(edges)])
    level_db = 10 * np.log10(np.maximum(bands, bands.max(initial=0.0) * 1e-5 + 1e-20))
    return (level_db - level_db.mean()).astype(np.float32)


def candidates(profiles: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i < j) of `profiles` [n, 48] worth comparing: each recording with the sixteen nearest.

    No limit on the distance, because a short note that was cut can move its mean spectrum by 10 dB.
    """
    n = len(profiles)
    pairs: set[tuple[int, int]] = set()
    wide = profiles.astype(np.float64)
    squares = (wide**2).sum(axis=1)
    k = min(NEIGHBOURS, n - 1)
    for start in range(0, n if k > 0 else 0, 512):
        rows = np.arange(start, min(start + 512, n))
        distances = squares[rows, None] + squares - 2 * wide[rows] @ wide.T
        distances[np.arange(len(rows)), rows] = np.inf
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        pairs |= {(min(i, int(j)), max(i, int(j))) for i, row in zip(rows.tolist(), nearest, strict=True) for j in row}
    return sorted(pairs)


def likeness(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """How well two sketches fit at their best shift: (plain, flattened, steady), each 0 to 1, whichever comes first.

    The latter two are computed only where those before reach their limits, and are 0 elsewhere.
    """
    a, b = (one.astype(np.float32) for one in (first, second))
    if len(a) > len(b):
        a, b = b, a
    plain, shift = _best_fit(a, b)
    if plain < SAME:
        return plain, 0.0, 0.0
    flat, _ = _best_fit(*(_band(one, FLATTENING).astype(np.float32) for one in (a, b)))
    return plain, flat, _steadiness(a, b, shift) if flat >= SAME_FLAT else 0.0


def is_copy(first: np.ndarray, second: np.ndarray) -> float:
    """The plain correlation of two sketches of one recording, 0 where they are two recordings."""
    plain, flat, steady = likeness(first, second)
    return plain if plain >= SAME and flat >= SAME_FLAT and steady >= SAME_THROUGHOUT else 0.0


def copies(
    profiles: np.ndarray,
    sketch_of: Callable[[int], np.ndarray],
    progress: Callable[[float], None] = lambda fraction: None,
) -> Iterator[tuple[int, int, float]]:
    """Pairs (i < j) that are one recording, with their plain correlation; `progress` gets the share of pairs done."""
    pairs = candidates(profiles)
    for done, (i, j) in enumerate(pairs):
        if done % 50 == 0:
            progress(done / len(pairs))
        fit = is_copy(sketch_of(i), sketch_of(j))
        if fit:
            yield i, j, fit


def _band(sound: np.ndarray, flattening: float) -> np.ndarray:
    """`sound` [n] between 80 and 3,600 Hz, its spectrum divided by its own smooth course to the power `flattening`."""
    from scipy import fft

    size = fft.next_fast_len(max(len(sound), 1), real=True)
    spectrum = fft.rfft(sound, size)
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    spectrum[(hz < LOWEST_HZ) | (hz > HIGHEST_HZ)] = 0
    if flattening:
        width = max(1, round(SMOOTHING_HZ / (RATE_HZ / size)))
        course = np.sqrt(np.convolve(np.abs(spectrum) ** 2, np.full(width, 1 / width), "same"))
        spectrum = spectrum / (course**flattening + 1e-4 * course.max(initial=0.0) ** flattening + 1e-20)
    return fft.irfft(spectrum, size)[: len(sound)]


def _best_fit(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    """Largest normalised correlation of the loudest stretch of `a` with any stretch of `b`, which is no shorter, and
    the shift (samples): `a[n]` lies over `b[n + shift]`."""
    from scipy import fft

    margin = int(MARGIN_S * RATE_HZ) if len(a) > 10 * MARGIN_S * RATE_HZ else 0
    length = min(int(TEMPLATE_S * RATE_HZ), int(TEMPLATE_SHARE * len(a)))
    if length < 2:
        return 0.0, 0
    start = margin + int(np.argmax(_energies(a[margin : len(a) - margin], length)))
    template = a[start : start + length]
    overhang = int(length * OVERHANG_SHARE)
    b = np.pad(b, overhang)
    size = fft.next_fast_len(len(b) + length, real=True)
    products = fft.irfft(fft.rfft(b, size) * np.conj(fft.rfft(template, size)), size)  # float32 in, and half the time
    products = products[: len(b) - length + 1].astype(np.float64)
    energies = _energies(b, length)
    energies = np.maximum(energies, energies.max() * 1e-3)  # a stretch of near silence fits anything
    scale = energies * float((template.astype(np.float64) ** 2).sum())
    fits = products**2 / np.maximum(scale, 1e-20)
    best = int(np.argmax(fits))
    return float(np.sqrt(fits[best])), best - overhang - start


def _steadiness(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """Median correlation of quarter seconds over the whole overlap at one shift: two takes of a note drift apart."""
    first = max(0, -shift)
    length = min(len(a) - first, len(b) - first - shift)
    block = int(BLOCK_S * RATE_HZ)
    count = max(1, length // block)
    block = min(block, length)
    one = a[first : first + count * block].astype(np.float64).reshape(count, block)
    two = b[first + shift : first + shift + count * block].astype(np.float64).reshape(count, block)
    energies = (one**2).sum(axis=1), (two**2).sum(axis=1)
    loud = (energies[0] > 1e-3 * energies[0].max()) & (energies[1] > 1e-3 * energies[1].max())
    if not loud.any():
        return 0.0
    products = (one * two).sum(axis=1)[loud]
    return float(np.median(np.abs(products) / np.sqrt(energies[0][loud] * energies[1][loud])))


def _energies(sound: np.ndarray, length: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    return sums[length:] - sums[:-length]
