"""Log-mel pictures as they would be of several sounds at once, of a later start, or with noise behind the sound.

Sounds add as powers, and the pictures [n, bands, frames] that a trainer is given are decibels of which mean and
deviation were taken away (`core.features.logmel`). A mean is only a level. The deviation is read off the floor, which
lies 80 dB below the loudest cell of a picture that reaches it: 92 % of the 5,918 of `cues`, and 84 of 85 from eight
recordings of music. The depth of the others is not known (on `cues` 66 to 83 dB for nine in ten of 60, median 78); 75
is taken for it, which stretches the picture of a noise that is 50 dB deep by half. Powers are then moved and added,
and made into a picture as `logmel` does. Cross terms, which average to nothing between sounds that know nothing of
each other, are left out.

All functions take a whole batch on its device and draw from the `noise` generator of that device.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from core import spectra
from core.features import LOGMEL_FFT_SIZE, LOGMEL_HOP, LOGMEL_RATE_HZ
from trainers import _waves as disturb

DEPTH_DB = 80.0
FLOOR_CELLS = 3
"""So many cells that are all the lowest are a floor; two may fall together where pictures are kept with 16 bits."""
UNFLOORED_DB = 75.0
FRAME_S = LOGMEL_HOP / LOGMEL_RATE_HZ
TINY = spectra.TINY


def deviations_db(pictures: Tensor) -> Tensor:
    """How many decibels one unit of each picture [n, bands, frames] stands for, [n]; 0 for silence."""
    low, high = pictures.amin((1, 2)), pictures.amax((1, 2))
    is_floored = (pictures == low[:, None, None]).sum((1, 2)) >= FLOOR_CELLS
    depth_db = torch.where(is_floored, DEPTH_DB, UNFLOORED_DB)
    return torch.where(high > low, depth_db / (high - low).clamp_min(TINY), 0.0)


def powers(pictures: Tensor) -> Tensor:
    """Power density of each cell of `pictures` [n, bands, frames], each excerpt brought to the same level (1)."""
    deviation_db = deviations_db(pictures)
    below_db = (pictures - pictures.amax((1, 2), keepdim=True)) * deviation_db[:, None, None]
    power = torch.exp(below_db * (math.log(10) / 10)) * (deviation_db > 0)[:, None, None]
    return power / level(power).clamp_min(TINY)


def level(power: Tensor) -> Tensor:
    """Mean square of the sounds behind `power` [n, bands, frames] up to one factor, [n, 1, 1]."""
    _, share, _ = _bands(power.shape[1], str(power.device))
    return (power.mean(dim=2) * share).sum(dim=1)[:, None, None]


def standardised(power: Tensor) -> Tensor:
    """The pictures of power densities [n, bands, frames], as `core.features.logmel` makes them."""
    levels = spectra.decibels(power / power.amax((1, 2), keepdim=True).clamp_min(TINY), DEPTH_DB)
    levels = levels - levels.mean((1, 2), keepdim=True)
    return levels / (levels.std((1, 2), keepdim=True, correction=0) + 1e-8)


def moved(power: Tensor, later: Tensor) -> Tensor:
    """Each excerpt of `power` [n, bands, frames] `later` [n] by whole frames; what was not there is silence."""
    source = torch.arange(power.shape[2], device=power.device) - later[:, None]
    is_inside = (source >= 0) & (source < power.shape[2])
    source = source.clamp(0, power.shape[2] - 1)[:, None, :].expand(power.shape)
    return power.gather(2, source) * is_inside[:, None, :]


def background(power: Tensor, loudest_db: float, noise: torch.Generator) -> Tensor:
    """`power` [n, bands, frames] and noise, white or pink (1/f), at most `loudest_db` and at least 40 dB less than it.

    A cell's noise is gamma distributed with as many degrees of freedom as its band holds (Wilson and Hilferty 1931),
    and independent of its neighbours', whose windows overlap: it is a little finer than noise in a recording.
    """
    if loudest_db <= disturb.NO_NOISE_DB:
        return power
    centre_hz, share, freedom = _bands(power.shape[1], str(power.device))
    is_pink = torch.rand((len(power), 1), generator=noise, device=power.device) < 0.5
    colour = torch.where(is_pink, 1 / centre_hz, torch.ones_like(centre_hz))
    colour = colour / (colour * share).sum(dim=1, keepdim=True)
    below_db = disturb.uniform(0, disturb.NOISE_RANGE_DB, (len(power), 1, 1), noise)
    normal = torch.randn(power.shape, generator=noise, device=power.device)
    grain = (1 - (1 / (9 * freedom))[:, None] + normal / (3 * freedom.sqrt())[:, None]).clamp_min(0) ** 3
    return power + level(power) * 10 ** ((loudest_db - below_db) / 10) * colour[:, :, None] * grain


def disturbed(
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    noise: torch.Generator,
    *,
    mix: int = 1,
    gain_db: float = 0.0,
    time_shift: float = 0.0,
    noise_db: float = disturb.NO_NOISE_DB,
) -> tuple[Tensor, Tensor]:
    """The pictures `rows` [n] of `inputs` [N, bands, frames] and their labels; with nothing on, just as they are.

    Each becomes the sum of 1 to `mix` pictures, every number as likely, the further ones drawn from all `inputs`; all
    at one level, then each up to `gain_db` louder or quieter and up to `time_shift` seconds (half a picture at most)
    later or earlier. Labels are united.
    """
    pictures, wanted = inputs[rows], targets[rows]
    furthest = min(round(time_shift / FRAME_S), inputs.shape[2] // 2)
    if mix == 1 and furthest == 0 and noise_db <= disturb.NO_NOISE_DB:
        return pictures, wanted

    def placed(chosen: Tensor) -> Tensor:
        power = powers(inputs[chosen])
        if mix > 1 and gain_db > 0:
            power = power * 10 ** (disturb.uniform(-gain_db, gain_db, (len(chosen), 1, 1), noise) / 10)
        if furthest == 0:
            return power
        return moved(power, torch.randint(-furthest, furthest + 1, chosen.shape, generator=noise, device=power.device))

    power = placed(rows)
    if mix > 1:
        count = torch.randint(1, mix + 1, rows.shape, generator=noise, device=rows.device)
        for number in range(1, mix):
            places = (count > number).nonzero()[:, 0]
            others = torch.randint(len(inputs), places.shape, generator=noise, device=rows.device)
            power = power.index_add(0, places, placed(others))
            wanted = wanted.index_put((places,), torch.maximum(wanted[places], targets[others]))
    return standardised(background(power, noise_db, noise)), wanted


@functools.cache
def _bands(bands: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of each mel band its centre in Hz, its share of the width of all, and how many independent bins it averages.

    Filters have equal areas, so that what they give is a power density and shares make it a power. Bins that are one
    or two apart correlate by 2/3 and 1/6 in a Hann window.
    """
    filters = spectra.bank("mel", device, LOGMEL_RATE_HZ, LOGMEL_FFT_SIZE, bands)
    hz = torch.arange(filters.shape[1], device=filters.device) * (LOGMEL_RATE_HZ / LOGMEL_FFT_SIZE)
    area = filters.sum(dim=1)
    centre_hz = (filters @ hz) / area
    width = torch.gradient(centre_hz)[0]
    near, far = ((filters[:, k:] * filters[:, :-k]).sum(dim=1) for k in (1, 2))
    freedom = area.square() / (filters.square().sum(dim=1) + 2 * (4 / 9 * near + 1 / 36 * far))
    return centre_hz, width / width.sum(), freedom
