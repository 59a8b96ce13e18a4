"""Listening: windows, the cache of predictions, the report's contract, and which runs are offered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import audio, background, checkpoints, evaluation, listening, longclip, pins, rundir
from core.store import memory_store
from tests import made_runs
from trainers import ridge

SECONDS, RATE_HZ = 8.0, 22_050
N = 16  # hops of 0.5 s; there is one value more


def rising() -> audio.Clip:
    """A tone that is silent, then ever louder: any window knows from its loudness where it lies."""
    t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    return audio.decode(audio.wav_bytes((0.9 * t / SECONDS * np.sin(2 * np.pi * 440 * t)).astype(np.float32), RATE_HZ))


def write_loudness_model(input: str = "lib164", window_s: float = 3.0, data: str = "cues-small") -> str:
    """A run whose valence is 1 + 8 × the mean RMS of a window, and whose arousal is 5: known in closed form."""
    from core import features

    columns = list(features.LIB164)
    weights = np.zeros((len(columns), 2))
    weights[columns.index("rms_mean"), 0] = 8.0
    about = {"input": input, "columns": columns, "labels": ["valence", "arousal"], "unit": "1–9"}
    model = about | {"weights": weights, "bias": np.array([1.0, 5.0])}
    model |= {"mean": np.zeros(len(columns)), "sd": np.ones(len(columns))}
    spec = rundir.Spec(rundir.new_id("ridge"), "ridge", {"alpha": 1.0}, data, "emotion", "grouped:0", 0, "cpu")
    folder = rundir.create(spec, "done")
    saved = {"model": model, "input": input, "window_s": window_s, "columns": columns}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return spec.id


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a ridge was asked."""
    asked = []
    predict = ridge.predict
    monkeypatch.setattr(ridge, "predict", lambda *words, **more: asked.append(1) or predict(*words, **more))
    return lambda: len(asked)


def rms_of(start_s: float, end_s: float) -> float:
    """The mean over time of the ramp's RMS: its amplitude in the middle of the window, over √2."""
    return 0.9 * (start_s + end_s) / 2 / SECONDS / np.sqrt(2)


def test_each_value_is_what_its_window_holds(cache: Path) -> None:
    model = listening.load(write_loudness_model(window_s=3.0))
    heard = listening.listen(rising(), model)
    times_s = heard.prediction.times_s
    assert times_s.tolist() == [0.5 * number for number in range(N + 1)]
    starts = np.clip(times_s - 1.5, 0, SECONDS - 3)
    expected = [1 + 8 * rms_of(start, start + 3) for start in starts]
    assert heard.prediction.values[:, 0] == pytest.approx(expected, abs=0.06)
    assert heard.prediction.values[:, 1] == pytest.approx(5.0)
    assert heard.song == {"valence": pytest.approx(np.mean(expected), abs=0.06), "arousal": pytest.approx(5.0)}


def test_a_shorter_window_is_used(cache: Path) -> None:
    model = listening.load(write_loudness_model(window_s=3.0))
    short = listening.listen(rising(), model, window_s=1.0, hop_s=1.0)
    assert (short.window_s, len(short.prediction.times_s)) == (1.0, 9)
    expected = [1 + 8 * rms_of(start, start + 1) for start in np.clip(np.arange(9) - 0.5, 0, 7)]
    assert short.prediction.values[:, 0] == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("window_s", [None, 1.0, 10.0])
def test_a_model_of_whole_songs_is_never_given_shorter_windows(cache: Path, window_s: float | None) -> None:
    model = listening.load(write_loudness_model(window_s=45.0))
    heard = listening.listen(rising(), model, window_s=window_s)
    assert heard.window_s == 45.0
    assert np.ptp(heard.prediction.values[:, 0]) == 0  # the whole clip, each time
    assert heard.prediction.values[0, 0] == pytest.approx(1 + 8 * rms_of(0, SECONDS), abs=0.06)
    assert (
        "cues-small: ridge learned from 45 s at a time; a clip of 8.0 s is less than it expects."
        in heard.prediction.warnings
    )


def test_the_second_time_is_read_from_the_cache(cache: Path, count: Callable[[], int]) -> None:
    run = write_loudness_model()
    model, clip = listening.load(run), rising()
    first = listening.listen(clip, model)
    again = listening.listen(rising(), listening.load(run))
    assert count() == 1
    assert (again.prediction.values == first.prediction.values).all()
    assert again.prediction.times_s.dtype == first.prediction.times_s.dtype
    assert again.prediction.labels == first.prediction.labels
    assert again.prediction.warnings == first.prediction.warnings
    listening.listen(clip, model, hop_s=1.0)
    listening.listen(clip, model, window_s=1.0)
    assert count() == 3  # other numbers
    listening.listen(clip, listening.load(write_loudness_model(data="other")))
    assert count() == 4  # another run


def test_a_damaged_prediction_is_computed_again(cache: Path, count: Callable[[], int]) -> None:
    model, clip = listening.load(write_loudness_model()), rising()
    first = listening.listen(clip, model)
    (path,) = (cache / "predictions").rglob("*.json")
    for broken in (path.read_text()[:100], "{}", '{"times_s": [0], "values": [[1, 2, 3]], "labels": ["valence"]}'):
        path.write_text(broken)
        assert (listening.listen(clip, model).prediction.values == first.prediction.values).all()
    assert count() == 4


def test_new_weights_of_a_resumed_run_are_heard(cache: Path) -> None:
    run = write_loudness_model()
    before = listening.listen(rising(), listening.load(run))
    path = rundir.find(run) / "checkpoints" / "final.safetensors"
    saved = checkpoints.load_state(path)
    saved["model"]["bias"] = np.array([2.0, 6.0])
    checkpoints.save_state(path, saved)
    after = listening.listen(rising(), listening.load(run))
    assert after.prediction.values[:, 1] == pytest.approx(before.prediction.values[:, 1] + 1)


@pytest.mark.parametrize("loud_s, told", [(0.0, 0), (8.0, 1)])
def test_of_silence_only_the_silence_is_told(cache: Path, loud_s: float, told: int) -> None:
    run = write_loudness_model(window_s=1.0)
    path = rundir.find(run) / "checkpoints" / "final.safetensors"
    saved = checkpoints.load_state(path)
    saved["model"]["bias"] = np.array([-20.0, 5.0])  # below the scale, whatever it hears
    checkpoints.save_state(path, saved)
    loud = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(loud_s * RATE_HZ)) / RATE_HZ)
    sound = np.concatenate([np.zeros(4 * RATE_HZ), loud]).astype(np.float32)
    heard = listening.listen(audio.decode(audio.wav_bytes(sound, RATE_HZ)), listening.load(run)).prediction
    assert [text for text in heard.warnings if "silent" in text] == [
        "Where it is silent (below -70 dBFS) there is no prediction."
    ]
    clipped = [text for text in heard.warnings if "clipped" in text]
    assert len(clipped) == told
    n_heard = int(np.isfinite(heard.values[:, 0]).sum())
    assert (n_heard > 0) == (told > 0) and np.isnan(heard.values[heard.times_s <= 3.0]).all()


@pytest.mark.parametrize("words", [{"hop_s": 0.0}, {"hop_s": -1.0}, {"window_s": 0.0}])
def test_a_window_or_hop_of_nothing_is_refused(cache: Path, words: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="longer than 0 s"):
        listening.listen(rising(), listening.load(write_loudness_model()), **words)


# ---- the report ----

KEYS = ["clip", "seconds", "unit", "window_s", "times_s", "valence", "arousal", "instruments", "song", "models"]


def heard_by(run: str, labels: tuple[str, ...], values: np.ndarray) -> listening.Heard:
    """What a model said, written down."""
    from core.events import Prediction

    model = evaluation.Model(run, "some", "any", "any", "lib164", 3.0, {}, "final")
    times_s = 0.5 * np.arange(len(values))
    return listening.Heard(model, 3.0, Prediction(times_s, values, labels, "1–9", ["Far away."]), 0.5 * len(values))


def test_the_report_keeps_its_contract(cache: Path) -> None:
    clip = rising()
    emotion = listening.listen(clip, listening.load(write_loudness_model()))
    slow = listening.listen(clip, listening.load(write_loudness_model(window_s=45.0, data="deam")))
    scores = np.tile(np.linspace(0, 1, 11), (N + 1, 1))
    instruments = heard_by("i", listening.IRMAS_CLASSES, scores)
    found = listening.report(clip, [emotion, slow], [instruments])
    assert list(found) == [*KEYS, "warnings"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["seconds"], found["unit"], found["window_s"]) == (8.0, "1–9", 3.0)
    assert len(found["times_s"]) == len(found["valence"]) == len(found["arousal"]) == N + 1
    assert found["valence"] == pytest.approx(emotion.prediction.values[:, 0], abs=1e-4)  # the first, not the slow one
    assert list(found["instruments"]) == ["labels", "scores"]
    assert found["instruments"]["labels"] == list(listening.IRMAS_CLASSES)
    assert np.shape(found["instruments"]["scores"]) == (N + 1, 11)
    different = found["valence"][3:-3]  # the four windows at each end are the same three seconds
    assert found["song"]["valence"] == pytest.approx(np.mean(different), abs=1e-3)
    assert list(found["song"]["by_run"]) == [emotion.model.run, slow.model.run]
    assert found["song"]["instruments"]["voi"] == 1.0
    assert [model["run"] for model in found["models"]["emotion"]] == [emotion.model.run, slow.model.run]
    assert found["models"]["instruments"]["run"] == "i"
    assert found["warnings"].count("Far away.") == 1


def test_where_nothing_has_a_pitch_no_instrument_counts(cache: Path) -> None:
    """Four seconds of a chord, four of noise; a model that is sure of a cello in the noise alone."""
    t = np.arange(4 * 16_000) / 16_000
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 275.0, 330.0))
    noise = np.random.default_rng(0).standard_normal(len(t))
    clip = audio.decode(audio.wav_bytes(0.1 * np.concatenate([chord, noise]), 16_000))
    scores = np.zeros((16, 11))
    scores[:, 6], scores[8:, 0] = 0.6, 1.0
    heard = heard_by("i", listening.IRMAS_CLASSES, scores)
    heard = replace(heard, window_s=1.0, model=replace(heard.model, task="instruments"))
    left = listening.pitched(clip, heard)
    is_left = np.isfinite(left.prediction.values).all(axis=1)
    assert is_left[:9].all() and not is_left[10:].any()
    assert left.song["pia"] == pytest.approx(0.6) and left.song["cel"] < 0.15 < heard.song["cel"]
    assert left.prediction.warnings[-1] == "Where nothing has a pitch no instrument is heard."
    assert listening.pitched(clip, left) is left
    song = listening.report(clip, [], [heard])["song"]
    assert song["instruments"]["pia"] == pytest.approx(0.6) and song["instruments"]["cel"] < 0.15
    rain = audio.decode(audio.wav_bytes(0.1 * noise, 16_000))  # none of it: is_in says so, and all scores are shown
    assert listening.pitched(rain, heard) is heard


def test_a_report_without_models_has_the_same_keys(cache: Path) -> None:
    found = listening.report(rising(), [], [])
    assert list(found) == [*KEYS, "warnings"]
    assert found["times_s"] == found["valence"] == found["arousal"] == found["instruments"]["scores"] == []
    assert found["models"] == {"emotion": [], "instruments": None}


def test_what_is_no_number_is_null(cache: Path) -> None:
    heard = heard_by("e", ("valence", "arousal"), np.array([[1.0, np.nan], [2.0, np.inf]]))
    found = listening.report(rising(), [heard], [])
    assert (found["valence"], found["arousal"]) == ([1.0, 2.0], [None, None])
    assert json.dumps(found, allow_nan=False)


# ---- which runs are offered ----


def test_pinned_first_and_only_what_can_listen(cache: Path) -> None:
    short, other = made_runs.emotion(), made_runs.emotion("cues", alpha=1e6)  # so stiff that it predicts the mean
    song = made_runs.emotion("deam", "lib73", 45.0)
    made_runs.finished("toy", made_runs.datasets.load("toy", "emotion"), {"epochs": 1})
    made_runs.emotion("toy")  # a run on the toy data knows nothing of music, whatever it eats
    made_runs.emotion("deam-opensmile", "opensmile260", 45.0)
    empty = made_runs.new("ridge", made_runs.stand_in("cues-small", "emotion", "lib164", 3.0))
    rundir.ask(empty, "stop")
    made_runs.go(empty, made_runs.stand_in("cues-small", "emotion", "lib164", 3.0))  # stopped with no weights
    assert rundir.read_status(empty).state == "stopped"
    store = memory_store()
    assert listening.choices(store, "emotion") == [short.name, other.name, song.name]  # whole songs last
    assert listening.choices(store, "instruments") == []
    for run in (other.name, song.name, "19990101-000000-gone-0000", other.name):
        pins.pin("emotion", run)
    assert listening.choices(store, "emotion") == [other.name, song.name, short.name]
    (cache / "pins.json").write_text("{torn")
    assert listening.choices(store, "emotion")[0] == short.name


def test_what_ships_pinned_stands_behind_what_the_user_pins(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("EARSHOT_STARTER", str(tmp_path))
    (tmp_path / "pins.json").write_text('{"instruments": ["ours"]}')
    assert pins.pins() == {"instruments": ["ours"]}
    for run in ("first", "second"):
        pins.pin("instruments", run)
    assert pins.pins() == {"instruments": ["second", "first", "ours"]}
    assert json.loads((cache / "pins.json").read_text()) == {"instruments": ["second", "first"]}
    pins.pin("instruments", "ours")  # the user's own wish now
    assert pins.pins()["instruments"][0] == "ours"


def test_a_run_that_eats_something_else_says_so(cache: Path) -> None:
    run = made_runs.emotion("deam-opensmile", "opensmile260", 45.0).name
    with pytest.raises(ValueError, match="eats opensmile260, which cannot be made from audio here"):
        listening.load(run)


def test_a_cache_that_cannot_be_used_costs_time_only(cache: Path, count: Callable[[], int]) -> None:
    model = listening.load(write_loudness_model())
    (cache / "predictions").write_text("a file where the folder should be")
    for _ in range(2):
        assert len(listening.listen(rising(), model).prediction.values) == N + 1
    assert count() == 2


# ---- several models, and what a prediction is kept under ----


def test_several_models_answer_in_their_order_and_a_failure_stays_its_own(cache: Path) -> None:
    loud, song = listening.load(write_loudness_model()), listening.load(write_loudness_model(window_s=45.0))
    strip, broken = listening.load(made_runs.instruments().name), replace(loud, input="opensmile260")
    heard = listening.listen_all(rising(), [strip, loud, broken, song])
    assert isinstance(heard[2], ValueError) and "opensmile" in str(heard[2])
    for model, found in zip((strip, loud, song), (heard[0], heard[1], heard[3]), strict=True):
        assert isinstance(found, listening.Heard) and found.model is model
        np.testing.assert_array_equal(found.prediction.values, listening.listen(rising(), model).prediction.values)
    assert listening.listen_all(rising(), []) == []


def test_a_prediction_is_kept_under_all_that_it_depends_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = listening.load(write_loudness_model())
    weights = model.model["weights"].copy()
    weights[0, 0] += 1e-9
    others = [
        listening.key("other", model, 3.0, 0.5),
        listening.key("clip", replace(model, model=model.model | {"weights": weights}), 3.0, 0.5),
        listening.key("clip", replace(model, input="lib73"), 3.0, 0.5),
        listening.key("clip", model, 2.0, 0.5),
        listening.key("clip", model, 3.0, 1.0),
    ]
    same = listening.key("clip", model, 3.0, 0.5)
    assert listening.key("clip", listening.load(model.run), 3.0, 0.5) == same  # read again, by content
    monkeypatch.setattr(listening.windows, "FEATURES_VERSION", 999)
    others.append(listening.key("clip", model, 3.0, 0.5))
    assert len({same, *others}) == 7


# ---- clips of hours ----


@pytest.fixture
def long_clip(cache: Path, tmp_path: Path) -> longclip.LongClip:
    """`rising`, treated as a long clip."""
    path = tmp_path / "rising.wav"
    path.write_bytes(audio.wav_bytes(rising().samples, RATE_HZ))
    return longclip.unpack(path, "rising.wav", longclip.root())


def test_a_long_clip_is_heard_block_by_block_as_what_its_windows_hold(
    long_clip: longclip.LongClip, monkeypatch: pytest.MonkeyPatch, count: Callable[[], int]
) -> None:
    monkeypatch.setattr(listening, "LONG_BLOCK_WINDOWS", 4)
    model = listening.load(write_loudness_model(window_s=3.0))
    told: list[float] = []
    heard = listening.listen(long_clip, model, tell=told.append)
    starts = np.clip(heard.prediction.times_s - 1.5, 0, SECONDS - 3)
    assert heard.prediction.values[:, 0] == pytest.approx(
        [1 + 8 * rms_of(start, start + 3) for start in starts], abs=0.06
    )
    assert told == sorted(told) and told[-1] == 1.0 and count() == len(told) == 3  # 11 different windows, 4 at a time
    again = listening.heard_before(long_clip, model)
    assert again is not None and count() == 3
    np.testing.assert_allclose(again.prediction.values, heard.prediction.values)
    assert listening.heard_before(rising(), model) is None  # whole, the clip has numbers of its own


def test_listening_that_is_ended_leaves_no_prediction_and_goes_on(
    long_clip: longclip.LongClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LONG_BLOCK_WINDOWS", 4)
    model = listening.load(write_loudness_model(window_s=3.0))

    def tell(share: float) -> None:
        raise background.Cancelled

    with pytest.raises(background.Cancelled):
        listening.listen_all(long_clip, [model], tell=tell)
    assert listening.heard_before(long_clip, model) is None
    assert len(listening.listen(long_clip, model).prediction.times_s) == N + 1


def test_silence_in_a_long_clip_has_no_prediction(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.wav"
    path.write_bytes(audio.wav_bytes(np.concatenate([np.zeros(4 * RATE_HZ), rising().samples[0]]), RATE_HZ))
    clip = longclip.unpack(path, "half.wav", longclip.root())
    heard = listening.listen(clip, listening.load(write_loudness_model(window_s=1.0))).prediction
    assert np.isnan(heard.values[heard.times_s <= 3.5]).all() and np.isfinite(heard.values[heard.times_s >= 5.5]).all()
