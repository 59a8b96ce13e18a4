"""The instruments on Listen and in the terminal: whose they are, their order, their words, and when there are none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import audio, certainty, checkpoints, heardwords, library, listening, paths, pins, rundir
from core.datasets import IRMAS_CLASSES
from pages import deck as listen_deck
from pages import heard_instruments
from starter import make
from tests import made_runs
from tests.contract.test_pages import opened
from tests.unit.test_certainty import planted, run_with


def flat(folder: Path, score: float) -> listening.Heard:
    """The run made to say `score` of every class, whatever it hears."""
    path = folder / "checkpoints" / "final.safetensors"
    saved = checkpoints.load_state(path)
    weights = saved["model"]["weights"]
    weights["dense.weight"] = np.zeros_like(weights["dense.weight"])
    weights["dense.bias"] = np.full_like(weights["dense.bias"], np.log(score / (1 - score)))
    checkpoints.save_state(path, saved)
    os.utime(folder / "predictions.parquet")
    return listening.load(folder.name)


def sound(seconds: float = 4.0) -> bytes:
    t = np.arange(int(seconds * 8000)) / 8000
    return audio.wav_bytes(0.3 * np.sin(2 * np.pi * 330 * t), 8000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two instrument runs, and a clip."""
    folder = tmp_path_factory.mktemp("made")
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}):
        made_runs.instruments("cues")
        made_runs.instruments("cues-small")
        library.keep(sound(), "tone.wav")
    return folder


@pytest.fixture
def filled(cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    shutil.copytree(made, cache, dirs_exist_ok=True)
    st.cache_resource.clear()
    yield cache
    st.cache_resource.clear()


def told(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption]).replace("\\", "")


def heard(app: AppTest) -> list[str]:
    (box,) = [box for box in app.multiselect if box.label == "Instruments from"]
    return box.value


def test_the_pinned_run_is_heard_else_the_best_of_its_board(filled: Path) -> None:
    from core.store import memory_store

    first, second = listening.choices(memory_store(), "instruments")
    assert heard(opened("pages/listen.py")) == [first]
    pins.pin("instruments", second)
    app = opened("pages/listen.py")
    assert heard(app) == [second] and f"({rundir.read_spec(rundir.find(second)).data}: instrunet" in told(app)
    assert "comes first here and in the terminal: it was put on Listen" in told(app)
    (back,) = [button for button in app.button if button.label == "Back to the default"]
    app = back.click().run()
    assert heard(app) == [first] and "it was put on Listen" not in told(app)
    assert pins.own("instruments") == []


def test_runs_of_one_minute_can_be_told_apart_and_chosen(filled: Path) -> None:
    """Names have minutes; here both runs were made at the same one, with the same seed on the same data."""
    from core.store import memory_store

    first = listening.choices(memory_store(), "instruments")[0]
    folder = rundir.find(first)
    twin = f"{first.rpartition('-')[0]}-ffffffff"
    shutil.copytree(folder, folder.with_name(twin))
    spec = json.loads((folder / "spec.json").read_text())
    (folder.with_name(twin) / "spec.json").write_text(json.dumps(spec | {"id": twin}))
    app = opened("pages/listen.py")
    (box,) = [box for box in app.multiselect if box.label == "Instruments from"]
    assert len(box.options) == len(set(box.options)) == 3
    for run in (twin, first):
        (box,) = [box for box in app.multiselect if box.label == "Instruments from"]
        app = box.set_value([run]).run()
        assert heard(app) == [run] and app.query_params["instruments"] in (run, [run])


def test_of_two_runs_either_fills_the_strip(filled: Path) -> None:
    from core.store import memory_store

    both = list(listening.choices(memory_store(), "instruments"))
    for run, score in zip(both, (0.4, 0.7), strict=True):
        flat(rundir.find(run), score)
    strips: list[heard_instruments.Strip | None] = []
    with mock.patch.object(listen_deck, "deck", lambda *, strip, **_: strips.append(strip)):
        app = opened("pages/listen.py")
        assert not [one for one in app.segmented_control if one.label == "The strip shows"]  # of one there is no choice
        (box,) = [box for box in app.multiselect if box.label == "Instruments from"]
        app = box.set_value(both).run()
        (chooser,) = [one for one in app.segmented_control if one.label == "The strip shows"]
        assert chooser.value == both[0] and chooser.options[0] != chooser.options[1]
        app = chooser.set_value(both[1]).run()
        assert "from 0.30 on |" in told(app) and "| cello | 0.70 | ● |" in told(app)
    assert [strip and strip.scores[0, 0] for strip in strips[-2:]] == pytest.approx([0.4, 0.7], abs=1e-6)


def test_a_model_that_says_little_everywhere_names_nothing(filled: Path) -> None:
    for folder in rundir.directories():
        flat(folder, 0.15)
    app = opened("pages/listen.py")
    assert "None of the eleven, or not music (highest: cello 0.15)" in told(app)
    assert "Scores, not calibrated: its validation part has only" in told(app)
    rows = [row.split(" | ") for row in told(app).splitlines() if row.endswith(" |  |") and "0.15" in row]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "cello", "clarinet", "flute", "acoustic guitar", "electric guitar", "organ", "piano", "saxophone", "trumpet",
        "violin", "voice",
    ]  # fmt: skip


def test_a_calibrated_model_states_probabilities(filled: Path) -> None:
    for folder in rundir.directories():
        flat(folder, 0.15)
    (run,) = heard(opened("pages/listen.py"))
    truth, scores = planted(2.0, 4.0, n=300)
    shutil.copy(rundir.find(run_with(truth, scores).run) / "predictions.parquet", rundir.find(run))
    os.utime(rundir.find(run) / "predictions.parquet")
    known, _ = certainty.of(listening.load(run))
    assert known is not None
    app = opened("pages/listen.py")
    p = float(known.probability(0.15))
    assert p > 0.5 and f"Cello {p:.2f}, clarinet {p:.2f}, flute {p:.2f}" in told(app)
    assert "Probabilities, calibrated on 300 validation items of" in told(app)
    assert f"| cello | 0.15 | {p:.2f} | ● |" in told(app)


def test_the_strip_has_the_models_order_its_threshold_and_gaps(cache: Path) -> None:
    truth, scores = planted(0.8, -0.2, n=300)
    model = run_with(truth, scores)
    values = np.array([np.linspace(0, 1, 11), np.linspace(1, 0, 11), np.full(11, np.nan)])
    prediction = listening.Prediction(np.arange(3.0), values, IRMAS_CLASSES, "probability", [])
    strip = heard_instruments.strip(listening.Heard(model, 3.0, prediction, 3.0))
    known, _ = certainty.of(model)
    assert strip is not None and known is not None
    assert list(strip.labels) == list(IRMAS_CLASSES) and strip.names[0] == "cello"
    assert (strip.threshold, strip.calibration) == (known.named_from_score, (known.scale, known.shift))
    np.testing.assert_array_equal(strip.scores, values)
    lost = run_with(np.eye(11)[np.arange(110) % 11], np.full((110, 11), 0.15))
    strip = heard_instruments.strip(listening.Heard(lost, 3.0, prediction, 3.0))
    assert strip is not None and (strip.threshold, strip.word) == (1.0, "score")
    as_they_are = certainty.Certainty(model.run, "d", "all", 1.0, 0.0, 0.3, 397, 4, 0.21, 0.22, "recordings")
    with mock.patch.object(certainty, "of", lambda model: (as_they_are, "")):
        heard = listening.Heard(model, 3.0, prediction, 3.0)
        strips = [heard_instruments.strip(heard, has_pitch) for has_pitch in (True, False)]
    told = [strip and (strip.threshold, strip.calibration, strip.word) for strip in strips]
    assert told == [(pytest.approx(0.3), None, "probability"), (1.0, None, "score")]
    assert heard_instruments.strip(None) is None


def test_what_is_heard_for_a_while_is_told_beside_the_words() -> None:
    """By hand: of 10 windows that can be heard cello reaches 0.3 in all, flute in 2, piano in 1; voice in none."""
    values = np.full((12, 4), 0.1)
    values[:, 0], values[:2, 1], values[2, 2] = 0.9, 0.3, 0.8
    values[10:] = np.nan
    labels = ("cel", "flu", "pia", "voi")
    song = dict(zip(labels, np.nanmean(values, axis=0), strict=True))
    said = heardwords.say(song, None)
    brief = heardwords.for_a_while(said, labels, values)
    assert said.named == ["cel"] and brief == {"flu": 0.2, "pia": 0.1}
    assert heardwords.while_words(brief) == "Heard in some of its windows: flute (20 %), piano (10 %)."
    assert heardwords.while_words({"flu": 0.004, "pia": 0.999}).endswith("flute (under 1 %), piano (99 %).")
    assert heardwords.while_words({}) == "" == heardwords.while_words({}, is_any_named=False)
    five = heardwords.while_words(dict.fromkeys(("cel", "cla", "flu", "gac", "gel"), 0.5), is_any_named=False)
    assert five == (
        "That is of the whole clip; in some of its windows it hears: cello (50 %), clarinet (50 %), flute (50 %), "
        "and 2 more."
    )
    assert heardwords.for_a_while(heardwords.say(song, None, has_pitch=False), labels, values) == {}
    assert heardwords.for_a_while(said, labels, np.full((3, 4), np.nan)) == {}


def test_where_scores_are_the_probabilities_they_are_told_once() -> None:
    as_they_are = certainty.Certainty("r", "d", "all", 1.0, 0.0, 0.3, 397, 4, 0.21, 0.22, "recordings")
    song = dict(zip(IRMAS_CLASSES, np.linspace(0.001, 0.9, 11), strict=True))
    text = heard_instruments.table(heardwords.say(song, as_they_are))
    assert "| instrument | probability | from 0.30 on |" in text and "mean score" not in text
    assert "| cello | under 0.01 |" in text and "| voice | 0.90 | ● |" in text
    fitted = replace(as_they_are, scale=0.5)
    assert "| instrument | mean score | probability |" in heard_instruments.table(heardwords.say(song, fitted))


def test_the_terminal_tells_what_every_run_hears(filled: Path, lab: Callable, tmp_path: Path) -> None:
    first, second = sorted(folder.name for folder in rundir.directories())[:2]
    flat(rundir.find(first), 0.4)
    flat(rundir.find(second), 0.7)
    (tmp_path / "tone.wav").write_bytes(sound())
    found = lab("predict", str(tmp_path / "tone.wav"), "--run", first, "--run", second)
    lines = [line.strip() for line in found.stdout.splitlines() if "instruments:" in line]
    assert lines[0].startswith("instruments: cello 0.40") and lines[0].endswith(f"heard by {first}")
    assert lines[1].startswith("instruments: cello 0.70") and lines[1].endswith(f"heard by {second}")
    told = json.loads(lab("predict", str(tmp_path / "tone.wav"), "--run", first, "--run", second, "--json").stdout)
    assert list(told["song"]["instruments_by_run"]) == [first, second]
    assert told["song"]["instruments"] == told["song"]["instruments_by_run"][first]["instruments"]


def test_silence_has_no_value_in_the_terminal(filled: Path, lab: Callable, tmp_path: Path) -> None:
    made_runs.emotion()
    (tmp_path / "silence.wav").write_bytes(audio.wav_bytes(np.zeros(4 * 8000), 8000))
    found = lab("predict", str(tmp_path / "silence.wav"))
    assert found.returncode == 0, found.stderr
    assert "valence —, arousal — (1–9)" in found.stdout and "instruments: it is silent" in found.stdout
    assert "right in this share" not in found.stdout and "A class is named" not in found.stdout


def test_the_terminal_says_the_same(filled: Path, lab: Callable, tmp_path: Path) -> None:
    folder = next(iter(rundir.directories()))
    flat(folder, 0.15)
    (tmp_path / "tone.wav").write_bytes(sound())
    found = lab("predict", str(tmp_path / "tone.wav"), "--run", folder.name)
    assert found.returncode == 0, found.stderr
    assert "instruments: none of the eleven, or not music (highest: cello 0.15)" in found.stdout
    assert "Scores, not calibrated: its validation part has only" in found.stdout
    song = json.loads(lab("predict", str(tmp_path / "tone.wav"), "--run", folder.name, "--json").stdout)["song"]
    assert song["instruments_words"] == "none of the eleven, or not music (highest: cello 0.15)"
    assert song["instruments_probability"] is None and song["instruments_threshold"] == 0.3
    assert song["instruments"] == dict.fromkeys(IRMAS_CLASSES, 0.15)


@pytest.mark.parametrize(
    ("name", "words"),
    [("5703-47212-0000.ogg", "none of the eleven, or not music (highest: "),
     ("rain.wav", "none of the eleven, or not music: nothing in it has a pitch")],
)  # fmt: skip
def test_speech_and_rain_are_none_of_the_eleven(
    cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    """To the run that ships, which scores rain as an electric guitar."""
    root = os.environ.get("EARSHOT_DATA")
    if not root:
        pytest.skip("EARSHOT_DATA is not set: the clips of speech and rain lie there")
    monkeypatch.setenv("EARSHOT_STARTER", str(STARTER))
    clip = audio.decode(Path(root) / "clips" / name)
    said = listening.report(clip, [], [listening.listen(clip, listening.load("starter-cues-instrunet-0"))])
    assert said["song"]["instruments_words"].startswith(words)


def test_no_instrument_is_named_where_nothing_has_a_pitch(cache: Path) -> None:
    folder = made_runs.instruments()
    model = flat(folder, 0.9)
    noise = audio.wav_bytes(0.1 * np.random.default_rng(0).standard_normal(4 * 16_000), 16_000)
    heard = [listening.listen(audio.decode(noise), model)]
    song = listening.report(audio.decode(noise), [], heard[:1])["song"]
    none = "none of the eleven, or not music: nothing in it has a pitch"
    assert song["instruments_probability"] is None and song["instruments_named"] == []
    assert "whatever it scores here, no instrument is named" in song["instruments_note"]
    assert song["instruments_words"] == none and heardwords.of(model, heard[0].song, has_pitch=False).named == []
    assert listening.report(audio.decode(sound()), [], heard[:1])["song"]["instruments_words"].startswith("cello 0.90")
    strips = [heard_instruments.strip(heard[0], has_pitch) for has_pitch in (True, False)]
    assert [strip and strip.threshold for strip in strips] == [0.3, 1.0]


def test_how_it_fares_on_other_data_is_read_from_its_evaluations(cache: Path) -> None:
    folder = made_runs.instruments("cues-small")
    model = listening.load(folder.name)
    assert heardwords.on_other_data(model) == ""  # of its own data there is one

    def evaluated(data: str, accuracy: dict[str, float | None] | None) -> None:
        part = {"n_items": 397, "metrics": {} if accuracy is None else {"accuracy": accuracy}}
        (folder / "evaluations" / f"{data.replace('/', '-')}.json").write_text(
            json.dumps({"data": data, "parts": {"test": part}})
        )

    evaluated("cues", {"value": 0.9, "low": 0.8, "high": 1.0})  # the small corpus is cut from it
    evaluated("folder:/somewhere/odd", None)
    (folder / "evaluations" / "torn.json").write_text('{"data": "fol')
    assert heardwords.on_other_data(model) == ""
    evaluated("folder:/somewhere/instruments", {"value": 0.111, "low": 0.079, "high": 0.171})
    evaluated("irmas", {"value": 0.2, "low": None, "high": None})
    assert heardwords.on_other_data(model) == (
        "On data that it did not learn from, its highest score was right in this share of clips: "
        "instruments 0.11 [0.08, 0.17] (n = 397), irmas 0.20 (n = 397)."
    )


def irmas_report() -> dict[str, Any]:
    score = {"value": 0.2, "low": None, "high": None}
    return {"data": "irmas", "parts": {"test": {"n_items": 397, "metrics": {"accuracy": score}}}}


def test_a_run_that_was_made_of_others_says_so(filled: Path) -> None:
    from core.store import memory_store

    both = list(listening.choices(memory_store(), "instruments"))
    model = listening.load(both[0])
    assert heardwords.made_of(model) == ""
    path = rundir.find(both[0]) / "spec.json"
    spec = json.loads(path.read_text())
    path.write_text(
        json.dumps(spec | {"inputs": {"first": both[1], "second": both[1], "third": "20260101-000000-gone"}})
    )
    data = rundir.read_spec(rundir.find(both[1])).data
    words = (
        f"Made of 3 other runs (instrunet on {data}, seeds 0, 0; 20260101-000000-gone, which cannot be read any more)."
    )
    assert heardwords.made_of(model) == words
    rundir.write_json(rundir.find(both[0]) / "evaluations" / "irmas.json", irmas_report())
    assert heardwords.on_other_data(model) == ""  # of one that is gone nobody knows what it learned from
    path.write_text(json.dumps(spec | {"inputs": {"base": both[1]}}))
    assert "irmas 0.20 (n = 397)" in heardwords.on_other_data(model)
    base = rundir.find(both[1]) / "spec.json"
    kept = base.read_text()
    base.write_text(json.dumps(json.loads(kept) | {"data": "irmas"}))
    assert heardwords.on_other_data(model) == ""  # what it stands on learned from it
    base.write_text(kept)
    assert heardwords.made_of(model) == f"Made of 1 other run (instrunet on {data}, seed 0)."
    assert f"Made of 1 other run (instrunet on {data}, seed 0). Scores, not calibrated" in told(
        opened("pages/listen.py")
    )


# ---- what ships ----

STARTER = paths.PROJECT / "starter"


def test_the_shipped_run_ships_its_calibration(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_STARTER", str(STARTER))
    runs = [f for f in (STARTER / "runs").iterdir() if rundir.read_spec(f).task == "instruments"]
    models = [listening.load(folder.name) for folder in runs]
    again = "make it again with `python -m starter.make`"
    assert {path.stem for path in (STARTER / "calibrations").iterdir()} == {one.stamp for one in models}, again
    for model in models:
        known, why = certainty.of(model)
        assert known is not None and known.run == model.run, (why, again)
        assert known.loss_after is not None and known.loss_before is not None
        is_truer = known.loss_after < known.loss_before
        assert known.is_fitted == is_truer, "a calibration makes nothing worse"
        assert bool(known.items) == (model.data == "cues-fonts")
        assert not known.items or (known.data, known.n_items) == (make.RECORDINGS, 397)
    assert not certainty.kept().exists()
