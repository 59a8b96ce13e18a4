"""Windows by hand, at the ends, and the inputs of models; the cache of frames."""

import numpy as np
import pytest

from core import audio, features, windows


def clip(seconds=5.0, rate=22_050, seed=0):
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * 330 * np.arange(round(seconds * rate)) / rate) * 0.2
    samples = (tone + rng.normal(0, 0.01, len(tone)))[None].astype(np.float32)
    return audio.Clip(samples, rate, "test.wav", audio.file_hash(samples.tobytes()), [])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EARSHOT_CACHE", str(tmp_path))
    return tmp_path / "features"


@pytest.mark.parametrize(
    ("seconds", "hop_s", "times"),
    [(2.0, 0.5, [0, 0.5, 1, 1.5, 2]), (1.9, 0.5, [0, 0.5, 1, 1.5]), (0.2, 0.5, [0]), (0.3, 0.1, [0, 0.1, 0.2, 0.3])],
)
def test_grid(seconds, hop_s, times):
    np.testing.assert_allclose(windows.grid(seconds, hop_s), times)


def test_bounds_by_hand():
    starts, ends = windows.bounds(np.array([0, 1, 1.5, 5, 9, 10]), 3.0, 10.0)
    np.testing.assert_allclose(starts, [0, 0, 0, 3.5, 7, 7])
    np.testing.assert_allclose(ends, [3, 3, 3, 6.5, 10, 10])


def test_a_clip_shorter_than_the_window_is_taken_whole():
    starts, ends = windows.bounds(np.array([0, 0.5, 1.2]), 3.0, 1.2)
    np.testing.assert_allclose((starts, ends), [[0, 0, 0], [1.2, 1.2, 1.2]])


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_lengths_must_be_positive(wrong):
    with pytest.raises(ValueError, match="a length above 0 s"):
        windows.grid(1, wrong)
    with pytest.raises(ValueError, match="a length above 0 s"):
        windows.bounds(np.zeros(1), wrong, 1)


@pytest.mark.parametrize(
    ("name", "shape"), [("lib164", (164,)), ("lib73", (73,)), ("logmel", (128, 94)), ("wave16k", (48_000,))]
)
@pytest.mark.parametrize("seconds", [5.0, 1.0])
def test_inputs_have_the_shape_a_model_expects(name, shape, seconds):
    times_s = windows.grid(seconds, 0.5)
    made = windows.inputs(clip(seconds), name, times_s, 3.0)
    assert made.name == name and made.values.shape == (len(times_s), *shape) and made.values.dtype == np.float32
    assert np.isfinite(made.values).all()
    np.testing.assert_array_equal(made.times_s, times_s)


def test_each_window_hears_its_own_seconds():
    """A click at 4 s is in the windows that reach it, and in no other."""
    quiet = clip(8.0)
    quiet.samples[0, 4 * 22_050] = 1.0
    times_s = windows.grid(8.0, 0.5)
    starts, ends = windows.bounds(times_s, 2.0, 8.0)
    reaches = (starts <= 4.0) & (ends >= 4.0)
    loudest = windows.inputs(quiet, "lib164", times_s, 2.0).values[:, features.LIB164.index("onset_max")]
    assert reaches.sum() == 5
    # the rise stands two frames (46 ms) after the click; windows that touch it with their last frame may miss it
    inner = (starts < 3.9) & (ends > 4.1)
    outer = ~((starts < 4.2) & (ends > 3.9))
    assert loudest[inner].min() > loudest[outer].max() + 3
    picture = windows.inputs(quiet, "logmel", times_s, 2.0).values[:, 120]  # 7 kHz: noise but for the click
    assert (picture.max(1)[inner] > picture.max(1)[outer].max() + 0.5).all()


def test_logmel_of_a_short_clip_ends_in_zeros():
    picture = windows.inputs(clip(1.0), "logmel", np.zeros(1), 3.0).values[0]
    assert picture[:, 40:].std() == pytest.approx(0, abs=1e-6) and picture[:, :25].std() > 0.3


def test_waves_are_the_seconds_meant_at_16_khz():
    """1 kHz in the first half and 3 kHz in the second, stereo, become those tones of one channel."""
    rate, half = 44_100, 2 * 44_100
    time_s = np.arange(2 * half) / rate
    left = 0.5 * np.sin(2 * np.pi * np.where(time_s < 2, 1000, 3000) * time_s)
    sound = audio.Clip(np.stack([left, np.zeros_like(left)]).astype(np.float32), rate, "test.wav", "0", [])
    made = windows.inputs(sound, "wave16k", np.array([0.5, 3.5]), 1.0).values
    assert made.shape == (2, 16_000) and made.dtype == np.float32
    time_s = np.arange(16_000) / 16_000
    for row, hertz in zip(made, (1000, 3000), strict=True):  # whole periods before each window: phase 0
        np.testing.assert_allclose(row[200:-200], 0.25 * np.sin(2 * np.pi * hertz * time_s)[200:-200], atol=2e-3)
    short = windows.inputs(clip(1.0), "wave16k", np.zeros(1), 3.0).values[0]
    assert short[:15_900].std() > 0.1 and not short[16_100:].any()


@pytest.mark.parametrize(("name", "words"), [("opensmile260", "openSMILE"), ("pixels", "no such representation")])
def test_unknown_inputs_name_the_choices(name, words):
    with pytest.raises(ValueError, match=f"{words}.*lib164, lib73, logmel"):
        windows.inputs(clip(1.0), name, np.zeros(1), 3.0)


def test_frames_are_kept_and_read_again(cache, monkeypatch):
    sound = clip(1.0)
    first = windows.frames(sound)
    assert len(list(cache.iterdir())) == 1

    def never(*_):
        raise AssertionError("computed twice")

    monkeypatch.setattr(features, "descriptors", never)
    again = windows.frames(sound)
    assert again.values.keys() == first.values.keys()
    for name, values in first.values.items():
        np.testing.assert_array_equal(again.values[name], values)
    with pytest.raises(AssertionError):
        windows.frames(clip(1.0, seed=1))


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_a_damaged_cache_file_is_made_again(cache, damage):
    sound = clip(1.0)
    first = windows.frames(sound)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    again = windows.frames(sound)
    np.testing.assert_array_equal(again.values["mfcc1"], first.values["mfcc1"])
    assert path.read_bytes() == whole and len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_costs_no_result(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert len(windows.frames(clip(1.0), tmp_path / "file" / "features").times_s) == 44
