"""Spectra in torch with librosa's conventions: transforms, filter banks, tuning, harmonic part, constant-Q chroma.

Everything here is checked against librosa 0.11 (tests/unit/test_features.py) and written for speed: one transform is
shared, medians run through a min/max network, the constant-Q chroma comes from one long FFT. Spectra are laid out
[n, frames, bins], so that a frame is contiguous.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from core.spectrogram import spectrogram_db as spectrogram_db

RATE_HZ = 22_050
FFT_SIZE = 2048
HOP = 512
HARMONIC_BINS = 464  # 5.0 kHz: the constant-Q filters end below 4.9 kHz, nothing above can reach them
CQT_BINS_PER_OCTAVE = 36
CQT_OCTAVES = 7
CQT_LOWEST_HZ = 440.0 * 2.0 ** (-45 / 12)  # C1
CQT_GROUP = 18  # filters computed together; more would leave the processor's cache
CQT_SIDE_LOBES = 8.0  # a filter is cut this many 1/length away from its centre, where it has fallen below 6e-4
TINY = float(np.finfo(np.float32).tiny)


def stft(samples: Tensor, fft_size: int = FFT_SIZE, hop: int = HOP) -> Tensor:
    """Complex spectra [n, frames, bins] of `samples` [n, s]: periodic Hann window, frames centred, zeros outside;
    frames = 1 + s // hop.

    Transformed in float64 as librosa does, in blocks: rounding in float32 moved spectral contrast above a low-pass
    (where a decoder leaves nothing but rounding) by up to 3 dB.
    """
    frames = torch.nn.functional.pad(samples, (fft_size // 2, fft_size // 2)).unfold(-1, fft_size, hop)
    window = torch.hann_window(fft_size, dtype=torch.float64, device=samples.device)
    blocks = [torch.fft.rfft(block * window).to(torch.complex64) for block in frames.split(64, dim=1)]
    return torch.cat(blocks, dim=1)


def power_of(spectra: Tensor) -> Tensor:
    """Squared magnitudes of complex spectra: re² + im², where `abs` takes care of overflow and four times as long."""
    parts = torch.view_as_real(spectra).square()
    return parts[..., 0] + parts[..., 1]


def mel_bank(rate_hz: int, fft_size: int, mels: int = 128) -> np.ndarray:
    """Triangular mel filters [mels, bins], Slaney's scale and area normalisation (Auditory Toolbox), 0 to Nyquist."""

    def to_mel(hz: float) -> float:
        return hz / (200 / 3) if hz < 1000 else 15 + np.log(hz / 1000) / (np.log(6.4) / 27)

    steps = np.linspace(to_mel(0), to_mel(rate_hz / 2), mels + 2)
    edges = np.where(steps < 15, steps * (200 / 3), 1000 * np.exp((steps - 15) * np.log(6.4) / 27))
    bins = np.arange(fft_size // 2 + 1) * rate_hz / fft_size
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (np.maximum(0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


def chroma_bank(tuning: float, rate_hz: int = RATE_HZ, fft_size: int = FFT_SIZE) -> np.ndarray:
    """Filters [12, bins] from bins to pitch classes from C, `tuning` in fractions of a semitone (after Ellis 2007:
    Gaussian in pitch, each bin normalised, weighted by a Gaussian of 2 octaves around the 5th)."""
    hz = np.arange(1, fft_size) * rate_hz / fft_size
    pitch = 12 * np.log2(hz / (440 * 2 ** (tuning / 12) / 16))
    pitch = np.concatenate([[pitch[0] - 18], pitch])  # the zero bin: an octave and a half below the first
    width = np.concatenate([np.maximum(np.diff(pitch), 1), [1]])
    distance = np.remainder(pitch - np.arange(12)[:, None] + 6, 12) - 6
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.linalg.norm(weights, axis=0)
    weights *= np.exp(-0.5 * ((pitch / 12 - 5) / 2) ** 2)
    return np.roll(weights, -3, axis=0)[:, : fft_size // 2 + 1].astype(np.float32)


@functools.cache
def bank(kind: str, device: str, *arguments: float) -> Tensor:
    """A filter bank on a device, made once. `kind` is "mel" or "chroma", `arguments` those of the function above."""
    made = {"mel": mel_bank, "chroma": chroma_bank}[kind](*arguments)  # type: ignore[operator]
    return torch.from_numpy(made).to(device)


def decibels(power: Tensor, top_db: float = 80.0) -> Tensor:
    """10·log10 of power [n, ...], floor 1e-10, nothing more than `top_db` below the loudest value of its item."""
    level = 10 * torch.log10(power.clamp_min(1e-10))
    return torch.maximum(level, level.flatten(1).amax(1).view(-1, *[1] * (power.ndim - 1)) - top_db)


def tuning(spectra: Tensor, bins_per_octave: int, bin_hz: float = RATE_HZ / FFT_SIZE) -> list[float]:
    """How far from A440 each item is tuned, in fractions of a bin of a scale with `bins_per_octave`, −0.5 … 0.49.

    `spectra` [n, frames, bins ≥ 374] are magnitudes or powers. Peaks between 150 and 4,000 Hz above a tenth of their
    frame's maximum are refined by a parabola; the louder half votes in steps of 0.01 (piptrack and pitch_tuning of
    librosa). In sound without pitch the vote is a lottery: there the answer means nothing, and may differ by rounding.
    """
    reach = spectra[..., : int(4000 / bin_hz) + 3]
    middle, left, right = reach[..., 1:-1], reach[..., :-2], reach[..., 2:]
    loud = middle > 0.1 * spectra.amax(-1, keepdim=True)
    hz = torch.arange(1, reach.shape[-1] - 1, device=reach.device) * bin_hz
    peaks = loud & (middle > left) & (middle >= right) & (hz >= 150) & (hz < 4000)
    found = []
    for item in range(len(spectra)):
        frame, place = torch.nonzero(peaks[item], as_tuple=True)
        low, here, high = (part[item][frame, place].double().cpu().numpy() for part in (left, middle, right))
        slope, bend = (high - low) / 2, low + high - 2 * here
        shift = np.where(np.abs(bend) > np.abs(slope), -slope / np.where(bend == 0, 1, bend), 0)
        pitch = (place.cpu().numpy() + 1 + shift) * bin_hz
        height = here + slope * shift / 2
        found.append(_vote(pitch[height >= np.median(height)] if len(height) else pitch, bins_per_octave))
    return found


def _vote(pitch_hz: np.ndarray, bins_per_octave: int) -> float:
    if len(pitch_hz) == 0:
        return 0.0
    rest = np.mod(bins_per_octave * np.log2(pitch_hz / 27.5), 1.0)
    rest[rest >= 0.5] -= 1.0
    counts, edges = np.histogram(rest, np.linspace(-0.5, 0.5, 101))
    return float(edges[np.argmax(counts)])


def median31(values: Tensor) -> Tensor:
    """Running median of 31 along the first dimension of [length, rows]; the ends are mirrored (edge repeated).

    Sixteen neighbouring windows share sixteen samples. Blocks of 2, 4, 8, 16 are sorted once for all windows that
    hold them; going from 16 windows to one, only the ranks that can still be the median are kept: 30 min/max
    operations per output instead of a sort of 31, and exact. Rows go in groups that stay in the processor's cache.
    """
    return torch.cat([_median31(some) for some in values.split(240, dim=1)], dim=1)


def _median31(values: Tensor) -> Tensor:
    length = len(values)
    tiles = -(-length // 16)
    place = np.arange(-15, 16 * tiles + 17) % (2 * length)
    place = np.where(place < length, place, 2 * length - 1 - place)
    padded = values[torch.from_numpy(place).to(values.device)]
    blocks = {1: padded.unsqueeze(1)}  # blocks[s][k]: s sorted samples from position s - 1 + s·k
    for size in (2, 4, 8, 16):
        smaller = blocks[size // 2][1:]
        pairs = len(smaller) // 2
        blocks[size] = _merge(smaller[0 : 2 * pairs : 2], smaller[1 : 2 * pairs : 2])
    kept = blocks[16][:tiles]
    for size in (8, 4, 2, 1):  # windows [size·k, size·k + size) add the block before or the block after the core
        new = blocks[size]
        count = len(kept)
        after = 32 // size - 1  # in blocks: where the samples after the shared core begin
        before_new = new[0 : 2 * count : 2]
        after_new = new[after : after + 2 * count : 2]
        pair = torch.stack([_middle(kept, before_new), _middle(kept, after_new)], dim=1)
        kept = pair.flatten(0, 1)
    return kept[:length, 0]


def _merge(first: Tensor, second: Tensor) -> Tensor:
    """Two sorted lists [k, s, rows] as one [k, 2s, rows] (Batcher's bitonic merge)."""
    count, size, rows = first.shape
    mirrored = second.flip(1)
    both = first.new_empty(count, 2, size, rows)
    torch.minimum(first, mirrored, out=both[:, 0])
    torch.maximum(first, mirrored, out=both[:, 1])
    return _clean(both.view(2 * count, size, rows)).view(count, 2 * size, rows)


def _clean(bitonic: Tensor) -> Tensor:
    """A bitonic list [k, s, rows] sorted."""
    count, size, rows = bitonic.shape
    width = size
    while width > 1:
        halves = bitonic.view(count, size // width, 2, width // 2, rows)
        pair = torch.empty_like(halves)
        torch.minimum(halves[:, :, 0], halves[:, :, 1], out=pair[:, :, 0])
        torch.maximum(halves[:, :, 0], halves[:, :, 1], out=pair[:, :, 1])
        bitonic = pair.view(count, size, rows)
        width //= 2
    return bitonic


def _middle(kept: Tensor, new: Tensor) -> Tensor:
    """The middle third of 2m sorted and m sorted values [k, ·, rows], sorted."""
    third = new.shape[1]
    upper = _clean(torch.maximum(kept[:, :third], new.flip(1)))  # without the m smallest of all
    return _clean(torch.minimum(kept[:, third:], upper.flip(1)))  # without the m largest


def harmonic(spectra: Tensor, samples: int) -> Tensor:
    """The harmonic part below 5 kHz as sound at half the rate, [n, ceil(samples / 2)] (Fitzgerald 2010).

    A soft mask H²/(H² + P²) from medians of 31 frames (H) and 31 bins (P) on `spectra` [n, frames, bins] complex,
    then back to samples. Bins above HARMONIC_BINS are left out, so that the inverse at half the rate is exact.
    """
    count, frames, _ = spectra.shape
    size = power_of(spectra[..., : HARMONIC_BINS + 15]).sqrt_()
    steady = median31(size[..., :HARMONIC_BINS].transpose(0, 1).reshape(frames, -1))
    steady = steady.view(frames, count, HARMONIC_BINS).transpose(0, 1)
    sharp = median31(size.permute(2, 0, 1).reshape(HARMONIC_BINS + 15, -1))[:HARMONIC_BINS]
    sharp = sharp.view(HARMONIC_BINS, count, frames).permute(1, 2, 0)
    largest = torch.maximum(steady, sharp).clamp_min_(TINY)
    # The larger one is 1 here, so 1e-30 changes nothing; where both are 0, it makes the mask a half, as librosa does.
    steady, sharp = (steady / largest).square_().add_(1e-30), (sharp / largest).square_().add_(1e-30)
    mask = steady / sharp.add_(steady)
    return _inverse(spectra[..., :HARMONIC_BINS] * mask, FFT_SIZE // 2, HOP // 2, -(-samples // 2)) / 2


def _inverse(spectra: Tensor, fft_size: int, hop: int, length: int) -> Tensor:
    """Overlap-add of spectra [n, frames, bins ≤ fft_size/2 + 1] to [n, length], least squares for a Hann window."""
    window = torch.hann_window(fft_size, dtype=torch.float32, device=spectra.device)
    pieces = torch.fft.irfft(spectra, n=fft_size) * window
    count, frames, _ = pieces.shape
    steps = fft_size // hop
    total = pieces.new_zeros(count, frames + steps - 1, hop)
    weight = pieces.new_zeros(frames + steps - 1, hop)
    for step in range(steps):
        part = slice(step * hop, (step + 1) * hop)
        total[:, step : step + frames] += pieces[..., part]
        weight[step : step + frames] += window[part] ** 2
    weight = torch.where(weight > TINY, weight, 1.0)
    sound = (total / weight).flatten(1)[:, fft_size // 2 :]
    return torch.nn.functional.pad(sound, (0, max(0, length - sound.shape[1])))[:, :length]


def constant_q_chroma(sound: Tensor, frames: int, tunings: list[float]) -> Tensor:
    """Chroma [n, frames, 12] of `sound` [n, s] at RATE_HZ/2, each frame's largest 1, from a constant-Q transform with
    36 bins per octave over 7 octaves from C1 (Schörkhuber & Klapuri 2010), `tunings` in fractions of a bin.

    Every filter is a Hann-windowed tone of `length` samples; its frequency response has a closed form. The spectrum
    of the whole clip times that response, folded to the frame rate, gives all frames of a bin with one short FFT.
    """
    rate, hop = RATE_HZ / 2, HOP // 2
    ratio = 2 ** (2 / CQT_BINS_PER_OCTAVE)
    quality = (ratio + 1) / (ratio - 1)
    longest = quality * rate / CQT_LOWEST_HZ * 2 ** (0.5 / CQT_BINS_PER_OCTAVE)
    columns = _fast_length(frames + int(np.ceil(longest / hop)))
    spectrum = torch.fft.rfft(sound, n=columns * hop)
    bin_hz = rate / (columns * hop)
    steps = np.arange(CQT_BINS_PER_OCTAVE * CQT_OCTAVES)
    found = []
    for item, tuned in enumerate(tunings):
        hz = CQT_LOWEST_HZ * 2.0 ** ((steps + tuned) / CQT_BINS_PER_OCTAVE)
        groups = [_fold(spectrum[item], some, bin_hz, quality, columns) for some in hz.reshape(-1, CQT_GROUP)]
        bins = torch.fft.ifft(torch.cat(groups))[:, :frames].abs()
        found.append(bins.roll(1, 0).view(CQT_OCTAVES, 12, 3, frames).sum((0, 2)).T)
    return normalise(torch.stack(found), torch.inf)


def _fold(spectrum: Tensor, hz: np.ndarray, bin_hz: float, quality: float, columns: int) -> Tensor:
    """A spectrum [bins] through the filters at `hz` [k], modulo `columns`: [k, columns], sampled once per hop.

    Several filters of similar length at once: one by one, the calls cost more than the arithmetic.
    """
    width_hz = hz / quality
    low = np.maximum(0, np.ceil((hz - CQT_SIDE_LOBES * width_hz) / bin_hz)).astype(int)
    high = np.minimum(len(spectrum), ((hz + CQT_SIDE_LOBES * width_hz) / bin_hz).astype(int) + 1)
    start = low - low % columns  # every row begins a whole number of laps from zero
    laps = int(np.ceil((high - start) / columns).max())

    def column(values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(values).to(spectrum.device, dtype)[:, None]

    place = torch.arange(laps * columns, device=spectrum.device)
    offset = torch.addcmul(column((start * bin_hz - hz) / width_hz), place.float(), column(bin_hz / width_hz))
    # The window's response is sin(πx) / (πx (1 − x²)). Its limits, 1 at 0 and ½ at ±1, concern the nearest bin alone:
    # that one is computed in float64. A mask over all bins would cost more than the rest.
    response = torch.sin(offset * np.pi).div_(offset * (1 - offset * offset) * np.pi)
    for limit, x in ((0.5, -1.0), (1.0, 0.0), (0.5, 1.0)):
        nearest = np.clip(np.rint((hz + x * width_hz) / bin_hz).astype(int), low, high - 1)
        exact = (nearest * bin_hz - hz) / width_hz
        below = np.pi * exact * (1 - exact**2)
        is_limit = np.abs(below) < 1e-7
        values = np.where(is_limit, limit, np.sin(np.pi * exact) / np.where(is_limit, 1.0, below))
        response.scatter_(1, column(nearest - start, torch.int64), column(values))
    for row, (before, after) in enumerate(zip(low - start, high - start, strict=True)):
        response[row, :before], response[row, after:] = 0.0, 0.0
    response.mul_(column(width_hz**-0.5))
    whole = -(-len(spectrum) // columns)
    parts = torch.nn.functional.pad(torch.view_as_real(spectrum).T, (0, whole * columns - len(spectrum)))
    order = (torch.arange(laps, device=spectrum.device) + column(start // columns, torch.int64)).clamp_max_(whole - 1)
    real, imaginary = (
        part.view(whole, columns)[order].mul_(response.view(len(hz), laps, columns)).sum(1) for part in parts
    )
    return torch.complex(real, imaginary)


def _fast_length(least: int) -> int:
    """The smallest 2^a·3^b·5^c that is at least this."""
    best = 2 ** int(np.ceil(np.log2(least)))
    for fives in (1, 5, 25, 125):
        for threes in (1, 3, 9, 27, 81):
            part = fives * threes
            best = min(best, part * 2 ** max(0, int(np.ceil(np.log2(least / part)))))
    return best


def normalise(values: Tensor, order: float) -> Tensor:
    """Each frame (last dimension) over its norm of that order; a frame that is all zero stays so."""
    size = torch.linalg.vector_norm(values, ord=order, dim=-1, keepdim=True)
    return values / torch.where(size < TINY, 1.0, size)
