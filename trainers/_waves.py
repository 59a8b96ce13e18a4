"""What a recording does to sounds, drawn anew for each: sums of sounds, levels, shifts, rooms, noise, an equaliser.

All functions take a whole batch on its device and draw from the `noise` generator of that device, never from torch's
own state. Off is 0 (for noise: NO_NOISE_DB), and then the batch comes back as it is.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
import torchaudio.functional as AF

NO_NOISE_DB = -100.0
NOISE_RANGE_DB = 40.0
"""The quietest noise that `hiss` adds is this far below the loudest."""


def uniform(low: float, high: float, shape: tuple[int, ...], noise: torch.Generator) -> torch.Tensor:
    """Random numbers between `low` and `high` on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=noise, device=noise.device)


def mix(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    rows: torch.Tensor,
    share: float,
    gain_db: float,
    most_samples: int,
    noise: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Excerpts `rows` [n, samples], a `share` of them plus one or two others of `inputs`, and the union of the labels.

    An added excerpt is brought to the level (RMS) of the first; then each is `placed` by itself.
    """
    waves, wanted = placed(inputs[rows], gain_db, most_samples, noise), targets[rows]
    if share == 0:
        return waves, wanted
    is_mixed = uniform(0, 1, (len(rows),), noise) < share
    is_triple = is_mixed & (uniform(0, 1, (len(rows),), noise) < 0.5)
    for places in (is_mixed.nonzero()[:, 0], is_triple.nonzero()[:, 0]):
        others = torch.randint(len(inputs), places.shape, generator=noise, device=inputs.device)
        ratio = level(inputs[rows[places]]) / level(inputs[others]).clamp(min=1e-6)
        waves = waves.index_add(0, places, ratio * placed(inputs[others], gain_db, most_samples, noise))
        wanted = wanted.index_put((places,), torch.maximum(wanted[places], targets[others]))
    return waves, wanted


def level(waves: torch.Tensor) -> torch.Tensor:
    """Root of the mean square of each excerpt, [n, 1]."""
    return torch.linalg.vector_norm(waves, dim=1, keepdim=True) / math.sqrt(waves.shape[1])


def placed(waves: torch.Tensor, gain_db: float, most_samples: int, noise: torch.Generator) -> torch.Tensor:
    """Excerpts [n, samples] louder or quieter by up to `gain_db` and moved by up to `most_samples` (half at most).

    What leaves on one side is silence on the other.
    """
    n, samples = waves.shape
    if gain_db > 0:
        waves = waves * 10 ** (uniform(-gain_db, gain_db, (n, 1), noise) / 20)
    furthest = min(most_samples, samples // 2)
    if furthest > 0:
        start = torch.randint(2 * furthest + 1, (n,), generator=noise, device=waves.device)
        waves = F.pad(waves, (furthest, furthest)).unfold(1, samples, 1)[torch.arange(n, device=waves.device), start]
    return waves


def played(waves: torch.Tensor, semitones: float, noise: torch.Generator) -> torch.Tensor:
    """Excerpts [n, samples] played faster and higher, or slower and lower, by up to `semitones`.

    What is played faster ends sooner, with silence after it; what is played slower is cut at the end.
    """
    if semitones == 0:
        return waves
    n, samples = waves.shape
    speed = 2 ** (uniform(-semitones, semitones, (n, 1), noise) / 12)
    place = torch.arange(samples, device=waves.device)[None] * speed
    below = place.long().clamp(max=samples - 2)
    share = (place - below).clamp(0, 1)
    heard = waves.gather(1, below) * (1 - share) + waves.gather(1, below + 1) * share
    return heard * (place <= samples - 1)


def hiss(waves: torch.Tensor, loudest_db: float, noise: torch.Generator) -> torch.Tensor:
    """Excerpts [n, samples] with white noise, at most `loudest_db` and at least 40 dB less, relative to the excerpt."""
    if loudest_db <= NO_NOISE_DB:
        return waves
    added = torch.randn(waves.shape, generator=noise, device=waves.device)
    return AF.add_noise(waves, added, uniform(0, NOISE_RANGE_DB, (len(waves),), noise) - loudest_db)


def rooms(waves: torch.Tensor, longest_s: float, rate_hz: int, noise: torch.Generator) -> torch.Tensor:
    """Excerpts [n, samples], half of them in a room of their own: the sound, then noise that falls by 60 dB.

    That takes 0.1 s to `longest_s`, and the echo has 0.1 to 1 times the energy of the sound.
    """
    if longest_s == 0:
        return waves
    places = (uniform(0, 1, (len(waves),), noise) < 0.5).nonzero()[:, 0]
    responses = room_responses(len(places), waves.shape[1], longest_s, rate_hz, noise)
    return waves.index_copy(0, places, AF.fftconvolve(waves[places], responses)[:, : waves.shape[1]])


def room_responses(n: int, samples: int, longest_s: float, rate_hz: int, noise: torch.Generator) -> torch.Tensor:
    """What n rooms answer to an impulse, [n, length], for a fast convolution with excerpts of `samples`."""
    # fftconvolve takes transforms of exactly the summed length, which is slow where that has large prime factors.
    length = _smooth(samples + round(min(longest_s * rate_hz, samples))) - samples + 1
    decay_s = uniform(min(0.1, longest_s), longest_s, (n, 1), noise)
    time_s = torch.arange(length, device=noise.device) / rate_hz
    echo = torch.randn((n, length), generator=noise, device=noise.device) * 10 ** (-3 * time_s / decay_s)
    echo[:, 0] = 0
    energy = 10 ** uniform(-1, 0, (n, 1), noise)
    echo = echo * (energy / echo.square().sum(dim=1, keepdim=True)).sqrt()
    echo[:, 0] = 1
    return echo


def equalisers(n: int, bins: int, most_db: float, rate_hz: int, noise: torch.Generator) -> torch.Tensor:
    """Power responses [n, bins] of random equalisers: a low shelf, a peak and a high shelf of up to `most_db` each."""
    response = torch.ones(n, bins, device=noise.device)
    for kind, low_hz, high_hz in (("low", 60, 400), ("peak", 500, 3000), ("high", 2000, 6000)):
        gain_db = uniform(-most_db, most_db, (n,), noise)
        centre_hz = low_hz * (high_hz / low_hz) ** uniform(0, 1, (n,), noise)
        response = response * filter_power(kind, gain_db, centre_hz, bins, rate_hz)
    return response


def filter_power(kind: str, gain_db: torch.Tensor, centre_hz: torch.Tensor, bins: int, rate_hz: int) -> torch.Tensor:
    """Power response [n, bins], from 0 Hz to half the rate, of one filter each: "low" or "high" shelf, or "peak".

    The formulas of R. Bristow-Johnson's Audio EQ Cookbook with Q 0.707, as torchaudio's bass_biquad, treble_biquad and
    equalizer_biquad. Those run sample by sample (35 ms of a core for 32 excerpts of 3 s), take one filter for a whole
    batch, and cut off what is louder than 1.
    """
    w = (2 * math.pi * centre_hz / rate_hz)[:, None]
    root, alpha, cosine = 10 ** (gain_db[:, None] / 40), torch.sin(w) / (2 * 0.707), torch.cos(w)
    if kind == "peak":
        top = (1 + alpha * root, -2 * cosine, 1 - alpha * root)
        bottom = (1 + alpha / root, -2 * cosine, 1 - alpha / root)
    else:
        sign = 1 if kind == "low" else -1  # the high shelf is the low shelf with the frequencies in the mirror
        slope, more, less = 2 * root.sqrt() * alpha, root + 1, root - 1
        tilt = sign * less * cosine
        top = (root * (more - tilt + slope), 2 * root * (sign * less - more * cosine), root * (more - tilt - slope))
        bottom = (more + tilt + slope, -2 * (sign * less + more * cosine), more + tilt - slope)
    turn = torch.exp(-1j * torch.linspace(0, math.pi, bins, device=w.device))
    above, below = ((c[0] + c[1] * turn + c[2] * turn**2).abs().square() for c in (top, bottom))
    return above / below


def stripes(pictures: torch.Tensor, strength: float, noise: torch.Generator) -> torch.Tensor:
    """SpecAugment (Park et al. 2019): a stripe of bands and one of frames in each picture [n, 1, bands, frames] set to
    the mean (0)."""
    if strength == 0:
        return pictures
    for axis in (2, 3):
        size, shape = pictures.shape[axis], [1, 1, 1, 1]
        shape[axis] = size
        width = uniform(0, strength * size, (len(pictures), 1, 1, 1), noise)
        start = uniform(0, 1, (len(pictures), 1, 1, 1), noise) * (size - width)
        index = torch.arange(size, device=pictures.device).reshape(shape)
        pictures = pictures.masked_fill((index >= start) & (index < start + width), 0.0)
    return pictures


def _smooth(n: int) -> int:
    """The first number from n that has no prime factor above 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1
