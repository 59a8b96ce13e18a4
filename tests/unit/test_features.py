"""The 164 numbers against physics, against librosa, and against the published table's columns."""

import csv
import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from core import audio, features, paths, spectra
from core.features import DESCRIPTORS, LIB73, LIB164

RATE = features.RATE_HZ
needs_data = pytest.mark.skipif(paths.data() is None, reason="EARSHOT_DATA is not set: no real clips here")


def sine(hz, seconds=2.0, amplitude=0.5, rate=RATE):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def chord():
    """Four seconds of a decaying C major chord struck twice, with a little noise: pitch, onsets and no silence."""
    rng = np.random.default_rng(3)
    time_s = np.arange(4 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * hz * k * time_s) / k for hz in (130.8, 261.6, 329.6, 392.0) for k in (1, 2, 3, 4))
    return (0.05 * tones * np.exp(-1.5 * (time_s % 2)) + rng.normal(0, 1e-3, len(time_s))).astype(np.float32)


def reference():
    """benchmarks/features.py holds the way through librosa, so that speed and agreement are of the same thing."""
    place = Path(__file__).resolve().parents[2] / "benchmarks" / "features.py"
    spec = importlib.util.spec_from_file_location("benchmark_features", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inner(frames, name):
    """Frames that no edge of the clip touches."""
    return frames.values[name][4:-4]


def test_41_descriptors_and_164_names_each_described():
    assert len(DESCRIPTORS) == 41 and len(LIB164) == len(set(LIB164)) == 164 and len(LIB73) == 73
    assert set(features.DESCRIPTIONS) == set(DESCRIPTORS)
    assert all(unit and sentence.endswith(".") for unit, sentence in features.DESCRIPTIONS.values())


def test_lib73_takes_the_named_columns():
    values = np.arange(2 * 164).reshape(2, 164)
    taken = features.lib73_from_lib164(values)
    assert [LIB164[place] for place in taken[0]] == list(LIB73) and taken.shape == (2, 73)


@needs_data
def test_lib73_are_deams_columns_without_tempo():
    with gzip.open(paths.data() / "deam" / "librosa74_song_level_1802.csv.gz", "rt") as file:
        header = next(csv.reader(file))
    assert header[0] == "song_id" and tuple(name for name in header[1:] if name != "tempo") == LIB73


def test_a_sine_has_its_frequency_level_and_crossings():
    frames = features.descriptors(sine(440, amplitude=0.8))
    bin_hz = RATE / 2048
    assert np.abs(inner(frames, "centroid") - 440).max() < bin_hz
    assert np.abs(inner(frames, "rolloff") - 440).max() < 2 * bin_hz
    assert inner(frames, "bandwidth").max() < 2 * bin_hz
    np.testing.assert_allclose(inner(frames, "rms"), 0.8 / np.sqrt(2), rtol=2e-3)
    assert inner(frames, "flatness").max() < 1e-5
    assert (inner(frames, "chroma").argmax(1) == 9).all()  # A
    assert inner(features.descriptors(sine(1000)), "zcr").mean() == pytest.approx(2000 / 22_050, rel=5e-3)


def test_a_change_of_gain_moves_what_it_should():
    mono = chord()
    loud, quiet = features.descriptors(mono), features.descriptors(mono * np.float32(0.5012))
    np.testing.assert_allclose(quiet.values["rms"], loud.values["rms"] * 0.5012, rtol=1e-5)
    # −6 dB on each of 128 bands is −6·√128 on the first coefficient of an orthonormal transform
    np.testing.assert_allclose(loud.values["mfcc1"] - quiet.values["mfcc1"], 6 * np.sqrt(128), atol=0.05)
    for name in ("mfcc2", "centroid", "rolloff", "contrast", "chroma", "tonnetz1", "zcr"):
        np.testing.assert_allclose(quiet.values[name], loud.values[name], atol=2e-3, rtol=1e-4)


def test_white_noise_is_flat_and_spread():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    frames = features.descriptors(noise)
    # power of noise is exponential: geometric over arithmetic mean is exp(−γ) = 0.5615
    assert inner(frames, "flatness").mean() == pytest.approx(0.5615, abs=0.01)
    assert inner(frames, "centroid").mean() == pytest.approx(RATE / 4, rel=0.01)
    assert inner(frames, "rolloff").mean() == pytest.approx(0.85 * RATE / 2, rel=0.01)


def test_the_tonnetz_of_one_note_lies_on_its_circles():
    frames = features.descriptors(sine(261.63, 4.0))  # C stands at angle 0: sines 0, cosines at the radius
    means = [np.median(frames.values[f"tonnetz{i}"][30:-30]) for i in range(1, 7)]
    np.testing.assert_allclose(means, [0, 1, 0, 1, 0, 0.5], atol=0.1)  # less what neighbours receive


def test_median_agrees_with_scipy_at_every_length():
    from scipy.ndimage import median_filter

    rng = np.random.default_rng(0)
    for length in (1, 5, 15, 16, 17, 31, 32, 33, 100, 131):
        values = rng.normal(size=(length, 3)).astype(np.float32)
        expected = median_filter(values, size=(31, 1), mode="reflect")
        np.testing.assert_array_equal(spectra.median31(torch.from_numpy(values)).numpy(), expected)


def test_filter_banks_agree_with_librosa():
    from librosa import filters

    np.testing.assert_allclose(spectra.mel_bank(22_050, 2048), filters.mel(sr=22_050, n_fft=2048), atol=1e-7)
    np.testing.assert_allclose(spectra.mel_bank(16_000, 2048), filters.mel(sr=16_000, n_fft=2048), atol=1e-7)
    for tuning in (-0.5, 0.0, 0.31):
        theirs = filters.chroma(sr=22_050, n_fft=2048, tuning=tuning)
        np.testing.assert_allclose(spectra.chroma_bank(tuning), theirs, atol=1e-6)


def check_against_librosa(mono, tonnetz_frames, tonnetz_statistics):
    """All but tonnetz: 1e-3 of the descriptor's deviation over the clip in every statistic (measured: 3e-4)."""
    ours, theirs = features.descriptors(mono), reference().through_librosa(mono)
    pooled = features.pool(ours, [0.0], np.inf)[0].reshape(41, 4)
    for name, (mean, deviation, low, high) in zip(DESCRIPTORS, pooled, strict=True):
        expected = theirs[name].T
        assert ours.values[name].shape == expected.shape, name
        scale = expected.std()
        apart = np.array([mean, deviation, low, high])
        apart = np.abs(apart - [expected.mean(), expected.std(), expected.min(), expected.max()])
        if not name.startswith("tonnetz"):
            assert apart.max() <= 1e-3 * scale + 1e-6, name
            continue
        assert np.median(np.abs(ours.values[name] - expected)) < tonnetz_frames, name
        assert apart[:2].max() < tonnetz_statistics, name


def test_a_chord_agrees_with_librosa():
    check_against_librosa(chord(), 0.005, 0.005)


CLIPS = ("Kevin_MacLeod_-_Vibe_Ace.ogg", "orchestra.wav", "piano.wav", "sax-phrase.wav", "5703-47212-0000.ogg")


@needs_data
@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_agree_with_librosa(name):
    clip = audio.decode(paths.data() / "clips" / name)
    mono = audio.resample(clip.mono(), clip.sample_rate_hz, RATE)[: 10 * RATE]
    check_against_librosa(mono, 0.01, 0.01)


def test_delta_of_a_ramp_is_its_slope_also_at_the_ends():
    ramp = torch.arange(20.0).view(1, 20, 1) * 3
    np.testing.assert_allclose(features._slope(ramp), 3, rtol=1e-5)
    np.testing.assert_allclose(features._slope(ramp[:, :4]), 3, rtol=1e-5)
    np.testing.assert_array_equal(features._slope(ramp[:, :2]), 0)


def test_pool_is_numpy_over_the_frames_of_each_window():
    frames = features.descriptors(chord())
    starts = np.array([0.0, 0.5, 1.0])
    pooled = features.pool(frames, starts, 2.0).reshape(3, 41, 4)
    for start, row in zip(starts, pooled, strict=True):
        inside = (frames.times_s >= start) & (frames.times_s <= start + 2)
        for name, found in zip(DESCRIPTORS, row, strict=True):
            part = frames.values[name][inside].astype(float)
            np.testing.assert_allclose(found, [part.mean(), part.std(), part.min(), part.max()], rtol=1e-4, atol=1e-5)


def test_a_window_shorter_than_a_frame_takes_one_frame():
    frames = features.descriptors(sine(440))
    pooled = features.pool(frames, [0.005, 1.999], 0.001).reshape(2, 41, 4)
    assert np.isfinite(pooled).all()
    place = DESCRIPTORS.index("rms")
    np.testing.assert_array_equal(pooled[:, place, 0], pooled[:, place, 2])
    assert (pooled[:, place, 1] < 1e-7 * pooled[:, place, 0]).all()  # not every processor rounds it to 0


def test_lib164_is_descriptors_and_pool_over_everything():
    windows = np.stack([chord()[:RATE], sine(300, 1.0), np.zeros(RATE, np.float32)])
    batch = features.lib164(windows)
    assert batch.shape == (3, 164) and batch.dtype == np.float32 and np.isfinite(batch).all()
    for row, mono in zip(batch, windows, strict=True):
        alone = features.pool(features.descriptors(mono), [0.0], np.inf)[0]
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-4)
    assert features.lib164(np.zeros((0, RATE), np.float32)).shape == (0, 164)


@pytest.mark.parametrize("samples", [1, 700, 2205])
def test_the_shortest_clips_have_all_numbers(samples):
    assert np.isfinite(features.lib164(chord()[None, :samples])).all()


def test_logmel_agrees_with_librosa_and_counts_its_frames():
    import librosa

    windows = np.stack([chord()[: 3 * 16_000], np.random.default_rng(0).normal(0, 0.1, 48_000)]).astype(np.float32)
    made = features.logmel(windows)
    assert made.shape == (2, 128, 94) and made.dtype == np.float32
    for picture, mono in zip(made, windows, strict=True):
        power = librosa.feature.melspectrogram(y=mono, sr=16_000, n_fft=2048, hop_length=512, n_mels=128)
        level = librosa.power_to_db(power, ref=np.max)
        np.testing.assert_allclose(picture, (level - level.mean()) / (level.std() + 1e-8), atol=2e-4)
    assert not features.logmel(np.zeros((1, 16_000), np.float32)).any()


def test_spectrogram_shows_a_tone_where_and_when_it_sounds():
    mono = np.concatenate([np.zeros(44_100), sine(1000, 1.0, rate=44_100)])
    level, frequencies_hz, times_s = features.spectrogram_db(mono, 44_100, 200, 96)
    assert level.shape == (96, 200) and level.dtype == np.float32 and level.max() == 0 and level.min() == -80
    assert frequencies_hz[0] == pytest.approx(50) and frequencies_hz[-1] == pytest.approx(10_000)
    assert frequencies_hz[level[:, 150].argmax()] == pytest.approx(1000, rel=0.03)
    loudest = level.max(0)
    assert (loudest[times_s < 0.9] == -80).all() and (loudest[(times_s > 1.1) & (times_s < 1.9)] > -1).all()
    assert (features.spectrogram_db(np.zeros(4410), 44_100, 50, 20)[0] == -80).all()
    assert features.spectrogram_db(sine(500, 0.1, rate=8000), 8000, 900, 96)[1][-1] == pytest.approx(4000)
