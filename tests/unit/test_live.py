"""Live listening: the ring of samples, and that a live window is heard exactly as a clip of the same samples is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from core import audio, checkpoints, evaluation, listening, live, rundir
from core.ring import Ring
from tests import made_runs
from tests.conftest import eventually

RATE_HZ = 16_000


def counting(first: int, n: int) -> np.ndarray:
    """Samples [2, n] that say where they stand: k on the left, −k on the right."""
    k = np.arange(first, first + n, dtype=np.float32)
    return np.stack([k, -k])


def music(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A chord with noise that swells, [2, n]."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = 0.05 * np.random.default_rng(3).standard_normal(len(t))
    tone = sum(np.sin(2 * np.pi * hertz * t) for hertz in (220, 277.2, 329.6))
    left = (0.1 * (1 + np.sin(t)) * tone + noise).astype(np.float32)
    return np.stack([left, 0.5 * left])


@pytest.mark.parametrize("block", [1, 7, 64, 100, 333])
def test_a_ring_holds_the_newest_samples_in_order(block: int) -> None:
    ring, written = Ring(2, keep=100, slack=40), 0
    for _ in range(50):
        ring.write(counting(written, block))
        written += block
        kept, end = ring.last(1000)
        assert end == written
        assert np.array_equal(kept, counting(max(0, written - 100), min(100, written)))
        assert np.array_equal(ring.last(13)[0], counting(max(0, written - 13), min(13, written)))


def test_a_reader_beside_a_writer_never_sees_torn_sound() -> None:
    ring, stop = Ring(2, keep=4000, slack=800), threading.Event()

    def write() -> None:
        written = 0
        while not stop.is_set() and written < 2**23:  # beyond 2^24 a float32 no longer counts by ones
            ring.write(counting(written, 50))
            written += 50

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            seen, end = ring.last(4000)
            assert np.array_equal(seen, counting(end - seen.shape[1], seen.shape[1]))
    finally:
        stop.set()
        writer.join()


def linear(input: str) -> evaluation.Model:
    """A run whose valence follows the first MFCC and whose arousal follows the zero crossings, within 1-9."""
    from core import features

    columns = list(features.LIB73 if input == "lib73" else features.LIB164)
    weights = np.zeros((len(columns), 2))
    weights[columns.index("mfcc1_mean"), 0], weights[columns.index("zcr_mean"), 1] = 0.01, 5.0
    model = {"input": input, "columns": columns, "labels": ["valence", "arousal"], "unit": "1–9"}
    model |= {"weights": weights, "bias": np.array([5.0, 2.0])}
    model |= {"mean": np.zeros(len(columns)), "sd": np.ones(len(columns))}
    spec = rundir.Spec(rundir.new_id("ridge"), "ridge", {"alpha": 1.0}, "cues", "emotion", "grouped:0", 0, "cpu")
    saved = {"model": model, "input": input, "window_s": 3.0, "columns": columns}
    checkpoints.save_state(rundir.create(spec, "done") / "checkpoints" / "final.safetensors", saved)
    return listening.load(spec.id)


def test_a_reader_that_was_overtaken_copies_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, late = Ring(2, keep=100, slack=40), [counting(140, 90)]
    ring.write(counting(0, 140))
    join = np.concatenate

    def slowly(parts: list[np.ndarray], axis: int) -> np.ndarray:
        if late:
            ring.write(late.pop())
        return join(parts, axis=axis)

    monkeypatch.setattr(np, "concatenate", slowly)
    kept, end = ring.last(100)
    assert end == 230 and np.array_equal(kept, counting(130, 100))


@pytest.mark.parametrize("input", ["lib164", "lib73", "logmel"])
def test_a_live_window_is_heard_like_a_clip_of_its_samples(cache: Path, input: str) -> None:
    model = listening.load(made_runs.instruments().name) if input == "logmel" else linear(input)
    ring = Ring(2, keep=10 * RATE_HZ, slack=RATE_HZ)
    analyst = live.Analyst(ring, RATE_HZ, [model])
    sound = music(3.4)
    ring.write(sound)
    assert analyst.step()
    (moment,) = analyst.moments()
    clip = audio.Clip(sound[:, -3 * RATE_HZ :], RATE_HZ, "same", "0" * 64)
    expected = listening.listen(clip, model).prediction.values
    assert np.allclose(moment.values[0], expected[len(expected) // 2], rtol=0, atol=1e-6)
    assert np.ptp(moment.values[0]) > 0 and moment.end_s == pytest.approx(3.4)


def test_silence_has_no_prediction_and_live_windows_leave_no_files(cache: Path) -> None:
    model = listening.load(made_runs.emotion().name)
    before = sorted(cache.rglob("*"))
    assert np.isnan(live.hear(np.zeros((1, 3 * RATE_HZ), np.float32), RATE_HZ, [model])[0]).all()
    assert np.isfinite(live.hear(music(3.0), RATE_HZ, [model])[0]).all()
    assert sorted(cache.rglob("*")) == before


def test_where_nothing_has_a_pitch_no_instrument_is_scored_and_what_comes_after_is(cache: Path) -> None:
    model = listening.load(made_runs.instruments().name)
    hiss = np.random.default_rng(0).standard_normal((1, 3 * RATE_HZ)).astype(np.float32)
    assert np.isnan(live.hear(0.1 * hiss, RATE_HZ, [model])[0]).all()
    assert np.isfinite(live.hear(music(3.0), RATE_HZ, [model])[0]).all(), "no window is taken for another"
    assert np.isfinite(live.hear(0.1 * hiss, RATE_HZ, [linear("lib73")])[0]).all()


def test_a_model_is_asked_at_least_twice_per_second_of_sound(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "hear", lambda samples, rate_hz, models: (np.zeros(2),))
    model = listening.load(made_runs.emotion().name)
    ring = Ring(1, keep=20 * RATE_HZ, slack=RATE_HZ)
    analyst = live.Analyst(ring, RATE_HZ, [model])
    asked_at = []
    for block in range(1000):  # 10 s in blocks of 10 ms
        ring.write(np.ones((1, RATE_HZ // 100), np.float32))
        if analyst.step():
            asked_at.append((block + 1) / 100)
    assert asked_at[0] == 3.0  # its own window, whole
    assert len(asked_at) >= 2 * (10 - 3)
    assert np.diff(asked_at).max() <= 0.5
    assert [moment.end_s for moment in analyst.moments()] == pytest.approx(asked_at)
    assert analyst.skipped == 0
    assert analyst.per_second == pytest.approx(2.5)


def test_a_slow_model_skips_and_hears_the_newest(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = listening.load(made_runs.emotion().name)
    ring = Ring(1, keep=20 * RATE_HZ, slack=RATE_HZ)
    analyst = live.Analyst(ring, RATE_HZ, [model])
    second = np.ones((1, RATE_HZ), np.float32)
    ring.write(np.tile(second, (1, 3)))

    def slow(samples: np.ndarray, rate_hz: int, models: list) -> tuple[np.ndarray, ...]:
        ring.write(second)  # while it thinks, a second of sound comes: more than two hops of 0.4 s
        return (np.zeros(2),)

    monkeypatch.setattr(live, "hear", slow)
    ends_s = []
    for _ in range(5):
        while not analyst.step():
            ring.write(second[:, : RATE_HZ // 10])
        ends_s.append(analyst.moments()[-1].end_s)
    came_s = ring.written / RATE_HZ
    assert came_s - ends_s[-1] == pytest.approx(1.0)  # no further behind than one analysis takes
    assert analyst.skipped >= 4  # of two hops and a half at each of the later four, at least one each
    assert analyst.skipped + len(ends_s) <= (ends_s[-1] - 3.0) / live.HOP_S + 1  # a hop is asked or skipped, once


def test_history_is_the_last_half_minute(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "hear", lambda samples, rate_hz, models: (np.zeros(2),))
    ring = Ring(1, keep=10 * RATE_HZ, slack=RATE_HZ)
    analyst = live.Analyst(ring, RATE_HZ, [listening.load(made_runs.emotion().name)])
    for _ in range(100):
        ring.write(np.ones((1, RATE_HZ // 2), np.float32))
        analyst.step()
    ends_s = [moment.end_s for moment in analyst.moments()]
    assert ends_s[-1] - ends_s[0] <= live.HISTORY_S < ends_s[-1] - ends_s[0] + 2 * live.HOP_S


def test_models_that_eat_the_same_share_an_analyst(cache: Path) -> None:
    first, second = (listening.load(made_runs.emotion(alpha=alpha).name) for alpha in (1.0, 2.0))
    song = listening.load(made_runs.emotion("deam", "lib73", 45.0).name)
    ring = Ring(1, keep=60 * RATE_HZ, slack=RATE_HZ)
    found = live.analysts(ring, RATE_HZ, [first, song, second])
    assert [[model.run for model in one.models] for one in found] == [[first.run, second.run], [song.run]]
    assert [one.window_s for one in found] == [3.0, 45.0]
    assert found[1].hop_s == 4.5


def test_a_model_that_fails_says_so_and_ends(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object) -> None:
        raise RuntimeError("broken weights")

    monkeypatch.setattr(live, "hear", fail)
    ring = Ring(1, keep=10 * RATE_HZ, slack=RATE_HZ)
    analyst = live.Analyst(ring, RATE_HZ, [listening.load(made_runs.emotion().name)])
    ring.write(np.ones((1, 4 * RATE_HZ), np.float32))
    analyst.start()
    assert eventually(lambda: analyst.problem) == "RuntimeError: broken weights"
