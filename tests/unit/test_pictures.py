"""Pictures of several sounds, of a later start and of noise, against the pictures of real sums of real samples."""

import numpy as np
import pytest
import torch

from core import features, spectra
from trainers import _pictures as pictures

RATE_HZ, SECONDS = 16_000, 3
SAMPLES = RATE_HZ * SECONDS


def band(low_hz: float, high_hz: float, seed: int, rms: float = 0.1) -> np.ndarray:
    """Noise of three seconds that is flat between two frequencies and nothing elsewhere."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(SAMPLES))
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    wave = np.fft.irfft(np.where((hz >= low_hz) & (hz < high_hz), spectrum, 0))
    return wave * (rms / np.sqrt(np.mean(wave**2)))


def pink(seed: int) -> np.ndarray:
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(SAMPLES))
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 20)))


def picture(*waves: np.ndarray) -> torch.Tensor:
    """What the data sets hand out, with the 16 bits they keep."""
    made = features.logmel(np.stack(waves).astype(np.float32))
    return torch.from_numpy(made.astype(np.float16).astype(np.float32))


def decibels(*waves: np.ndarray) -> torch.Tensor:
    """The same before it is standardised, [n, 128, frames]."""
    power = spectra.power_of(spectra.stft(torch.from_numpy(np.stack(waves).astype(np.float32)), 2048, 512))
    return spectra.decibels(power @ spectra.bank("mel", "cpu", RATE_HZ, 2048, 128).T).transpose(1, 2)


def restored(some: torch.Tensor) -> torch.Tensor:
    return pictures.powers(some)


def in_bands(power: torch.Tensor) -> np.ndarray:
    """Mean level of each band in dB, [n, bands]."""
    return 10 * np.log10(power.mean(dim=2).numpy())


def test_the_deviation_that_was_taken_away_is_read_off_the_floor() -> None:
    waves = [band(300, 1000, 0), band(200, 5000, 1), band(2000, 4000, 2, rms=0.01)]
    expected = decibels(*waves).std((1, 2), correction=0)
    assert pictures.deviations_db(picture(*waves)) == pytest.approx(expected, rel=2e-3)
    silent = pictures.deviations_db(torch.zeros(1, 128, 94))
    assert silent.tolist() == [0] and not restored(torch.zeros(1, 128, 94)).any()


def test_a_picture_without_a_floor_has_the_depth_that_such_pictures_have() -> None:
    some = picture(band(0, 8000, 0))  # white up to the edge: nothing is 80 dB below the loudest
    assert float(pictures.deviations_db(some) * (some.max() - some.min())) == pytest.approx(pictures.UNFLOORED_DB)


def test_there_and_back_is_the_same_picture() -> None:
    some = torch.cat([picture(band(300, 1000, 0), band(0, 8000, 1)), torch.zeros(1, 128, 94)])
    torch.testing.assert_close(pictures.standardised(restored(some)), some, atol=2e-3, rtol=0)


def test_the_level_is_the_mean_square_of_the_sound() -> None:
    """Of a low and a high band, whose mel filters are 23 and 160 Hz wide."""
    waves = [band(100, 600, 0, rms=0.02), band(3000, 7000, 1, rms=0.02)]
    power = 10 ** (decibels(*waves) / 10)
    low, high = pictures.level(power).flatten().tolist()
    assert 10 * np.log10(low / high) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("second_db", [0.0, -12.0])
def test_a_sum_of_powers_is_the_picture_of_the_sum(second_db: float) -> None:
    """Two noises that overlap between 1 and 2 kHz, of equal level before the second is turned down."""
    first, second = band(300, 2000, 0), band(1000, 5000, 1) * 10 ** (second_db / 20)
    real = decibels(first + second)
    power = restored(picture(first, second))
    made = power[:1] + power[1:] * 10 ** (second_db / 10)
    centre_hz, _, _ = pictures._bands(128, "cpu")
    sounding = ((centre_hz > 330) & (centre_hz < 4700)).numpy()
    apart = (in_bands(made) - in_bands(10 ** (real / 10)))[0, sounding]
    assert np.abs(apart - apart.mean()).max() < 1.0
    # Cell by cell the cross terms are there, but the standardised pictures hardly differ.
    standard = pictures.standardised(made)
    assert float((standard - picture(first + second)).abs().mean()) < 0.1
    assert np.corrcoef(standard.flatten(), picture(first + second).flatten())[0, 1] > 0.995


def test_standardised_decibels_that_are_added_are_something_else() -> None:
    """What the powers are for: the same comparison with a sum of the pictures themselves."""
    first, second = band(300, 1000, 0), band(2000, 5000, 1)
    truth = picture(first + second)
    wrong = picture(first) + picture(second)
    wrong = (wrong - wrong.mean()) / wrong.std(correction=0)
    right = pictures.standardised(restored(picture(first, second)).sum(dim=0, keepdim=True))
    assert float((wrong - truth).abs().mean()) > 3 * float((right - truth).abs().mean())


@pytest.mark.parametrize("frames", [10, -25])
def test_moved_is_the_picture_of_the_moved_sound(frames: int) -> None:
    wave = band(300, 3000, 0)
    later = np.roll(wave, 512 * frames)
    later[slice(0, 512 * frames) if frames > 0 else slice(SAMPLES + 512 * frames, SAMPLES)] = 0
    made = pictures.standardised(pictures.moved(restored(picture(wave)), torch.tensor([frames])))
    truth, edge = picture(later), frames % 94
    far = np.abs(np.arange(94) - edge) > 3  # frames that hold the edge itself are half silent
    far[[0, 1, -2, -1]] = False
    assert float((made - truth)[:, :, far].abs().mean()) < 0.05
    assert np.corrcoef(made[:, :, far].flatten(), truth[:, :, far].flatten())[0, 1] > 0.995


def test_noise_is_as_loud_as_was_asked_for_and_as_grainy_as_real_noise() -> None:
    power, many = restored(picture(band(300, 1000, 0))).double(), 400  # so that it can be taken away again
    made = pictures.background(power.expand(many, -1, -1), -10.0, torch.Generator().manual_seed(0)) - power
    level_db = 10 * torch.log10(pictures.level(made)).flatten()
    assert float(level_db.max()) < -10 + 0.2 and float(level_db.min()) > -50 - 0.2
    assert float(level_db.mean()) == pytest.approx(-30, abs=2)  # uniform over 40 dB: a sd of the mean of 0.6
    centre_hz, _, _ = pictures._bands(128, "cpu")
    shape_db = in_bands(made)
    slope = np.array([np.polyfit(np.log2(centre_hz.numpy()), row, 1)[0] for row in shape_db])
    is_pink = slope < -1.5
    assert 0.4 < is_pink.mean() < 0.6
    assert slope[is_pink].mean() == pytest.approx(-3.01, abs=0.1) and slope[~is_pink].mean() == pytest.approx(
        0, abs=0.1
    )
    real_slope = [np.polyfit(np.log2(centre_hz), d[0].mean(1).numpy(), 1)[0] for d in map(decibels, (pink(1),))]
    assert real_slope == pytest.approx([-3.01], abs=0.25)
    # Deviation over time of the levels of a band, against that of white noise: wide bands average more bins.
    grain = (10 * torch.log10(made[torch.from_numpy(~is_pink)])).std(dim=2).mean(dim=0)
    real = torch.stack([decibels(band(0, 8000, seed))[0, :, 2:-2].std(dim=1) for seed in range(20)]).mean(dim=0)
    for bands in (slice(3, 30), slice(30, 80), slice(80, 120)):
        assert float(grain[bands].mean()) == pytest.approx(float(real[bands].mean()), rel=0.12)


def singles(n: int = 6, copies: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of noise bands, each of a class of its own."""
    made = picture(*(band(200 + 900 * k, 800 + 900 * k, k) for k in range(n)))
    return made.repeat(copies, 1, 1), torch.eye(n).repeat(copies, 1)


def test_off_is_off_and_draws_nothing() -> None:
    inputs, targets = singles()
    noise, rows = torch.Generator().manual_seed(5), torch.tensor([4, 0, 2])
    before = noise.get_state()
    shown, wanted = pictures.disturbed(inputs, targets, rows, noise, gain_db=12.0)
    assert torch.equal(shown, inputs[rows]) and torch.equal(wanted, targets[rows])
    assert torch.equal(noise.get_state(), before)


@pytest.mark.parametrize("most", [2, 4, 6])
def test_a_mix_has_one_to_so_many_excerpts_equally_often(most: int) -> None:
    """Of 200 classes two excerpts are seldom of one, so that labels count excerpts."""
    inputs, targets, n = torch.rand(200, 8, 8), torch.eye(200), 4000
    rows = torch.arange(n) % 200
    _, wanted = pictures.disturbed(inputs, targets, rows, torch.Generator().manual_seed(1), mix=most)
    counts = np.bincount(wanted.sum(dim=1).int().numpy(), minlength=most + 1)[1:] / n
    assert len(counts) == most and counts == pytest.approx(np.full(most, 1 / most), abs=0.035)
    assert bool((wanted[torch.arange(n), rows] == 1).all())


def test_a_mix_of_two_is_the_picture_of_their_sum_at_one_level() -> None:
    inputs, targets = singles(2, copies=20)
    waves = [band(200 + 900 * k, 800 + 900 * k, k) for k in range(2)]
    shown, wanted = pictures.disturbed(inputs, targets, torch.arange(40), torch.Generator().manual_seed(0), mix=2)
    both = wanted.sum(dim=1) == 2
    assert 3 < int(both.sum()) < 20  # half are mixed, half of these with the other class
    truth = picture(waves[0] + waves[1])[0]
    for one in shown[both]:
        assert float((one - truth).abs().mean()) < 0.05
    alone = wanted.sum(dim=1) == 1
    assert bool(torch.equal(wanted[alone], targets[alone]))


def test_gain_moves_the_parts_of_a_mix_and_a_shift_moves_them_apart() -> None:
    inputs, targets = singles(2, copies=30)
    rows = torch.arange(60)
    centre_hz, _, _ = pictures._bands(128, "cpu")

    def differences_db(**knobs: float) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.Generator().manual_seed(2)
        shown, wanted = pictures.disturbed(inputs, targets, rows, noise, mix=2, **knobs)
        power = restored(shown[wanted.sum(dim=1) == 2])
        low, high = (power[:, abs(centre_hz - hz) < 200].mean(dim=1) for hz in (500, 1400))
        return 10 * torch.log10(low.mean(dim=1) / high.mean(dim=1)), (low[:, 3:20].mean(1) / low.mean(1))

    level, _ = differences_db(gain_db=0.0)
    assert float(level.std()) < 0.1
    level, _ = differences_db(gain_db=10.0)
    assert 4 < float(level.std()) < 12 and float(level.abs().max()) < 21  # sd of two uniform draws over 20 dB: 8.2
    _, early = differences_db(gain_db=0.0, time_shift=1.0)
    assert float(early.min()) < 0.3 and float(early.max()) > 0.9


def test_the_same_generator_gives_the_same_and_silence_stays_finite() -> None:
    inputs, targets = singles()
    inputs = torch.cat([inputs, torch.zeros(1, 128, 94)])
    targets = torch.cat([targets, torch.zeros(1, 6)])
    rows = torch.arange(7).repeat(3)
    on = {"mix": 6, "gain_db": 12.0, "time_shift": 99.0, "noise_db": 0.0}
    first, again = (pictures.disturbed(inputs, targets, rows, torch.Generator().manual_seed(3), **on) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert bool(torch.isfinite(first[0]).all()) and first[0].shape == (21, 128, 94)
    mean, deviation = first[0].mean((1, 2)), first[0].std((1, 2), correction=0)
    assert mean.abs().max() < 1e-4
    assert bool((((deviation - 1).abs() < 1e-4) | (deviation == 0)).all())
