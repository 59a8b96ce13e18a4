"""The whole of a polyphonic evaluation, on tones that a known model hears: scores, refusals, reports, comparisons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import datasets, evaluation, listening, mixtures, paths, polyphonic, polyreports, rundir, trash
from core.background import Cancelled
from core.datasets import IRMAS_CLASSES, _irmas, splits
from core.polyreports import Settings
from core.store import memory_store
from tests import tones

SHORT = Settings(1.0, 0.5)


def pieces() -> dict[str, tuple[str, np.ndarray]]:
    """Six items: two and three tones at once, one alone, one after the other, silence, and less than a window."""
    wave = tones.wave
    return {
        "two": ("cel|cla", wave(["cel", "cla"], 4)),
        "three": ("cel|flu|gac", wave(["cel", "flu", "gac"], 3)),
        "one": ("flu", wave(["flu"], 3)),
        "turns": ("cla|gac", np.concatenate([wave(["cla"], 3), wave(["gac"], 3)])),
        "silence": ("cel", np.zeros(3 * tones.RATE_HZ)),
        "short": ("gac", wave(["gac"], 0.4)),
    }


@pytest.fixture
def hear(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the model of `tones` the one that runs listen with; called again, another."""

    def of(**how: Any) -> None:
        monkeypatch.setattr(listening, "load_trainer", tones.hearing(**how))

    of()
    monkeypatch.setattr(mixtures.plan, "__defaults__", (24, 0))
    monkeypatch.setattr(mixtures, "LENGTH_S", 4.0)
    return of


@pytest.fixture
def run(cache: Path, tmp_path: Path, hear: Any) -> str:
    return tones.run(tones.training(tmp_path / "train"))


@pytest.fixture
def music(tmp_path: Path) -> str:
    return tones.polyphonic(tmp_path / "music", pieces())


def row(report: dict[str, Any], label: str) -> dict[str, Any]:
    return next(one for one in report["classes"] if one["label"] == label)


def test_what_is_heard_is_found(run: str, music: str) -> None:
    report = polyphonic.evaluate(run, music, SHORT)
    side = report["polyphonic"]
    assert (side["n_items"], side["n_groups"], report["n_silent"], report["n_short"]) == (6, 6, 1, 1)
    assert 0.0 < report["chosen"]["of_all"] < 0.45  # between what is not there and a voice 12 dB below the loudest
    assert report["chosen"]["micro_f1"] == 1.0 and report["chosen"]["n"] == 24
    # all nine labels that sound are found and nothing else; silence costs the tenth
    assert side["metrics"]["micro_precision"]["value"] == 1.0
    assert side["metrics"]["micro_recall"]["value"] == pytest.approx(9 / 10)
    assert side["metrics"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert row(report, "cel")["recall"] == pytest.approx(2 / 3) and row(report, "flu")["f1"] == 1.0
    assert row(report, "voi")["note"] == "in no item, never predicted" and row(report, "voi")["f1"] is None
    assert report["missed"]["n"][0] == 1 and report["missed"]["none"][0] == 1
    diagonal = np.diag(report["confusion"])
    assert diagonal.sum() == np.sum(report["confusion"]) == 2
    assert report["mono"]["metrics"]["micro_f1"]["value"] == 1.0 and report["mono"]["labels_per_item"] == 1.0
    own = datasets.load(report["trained_on"], "instruments")
    assert report["mono"]["n_items"] == (splits.assign(own, report["split"]) == "validation").sum()
    assert "1 of 6 items are silent" in " ".join(report["notes"])
    assert "1 of 6 items are shorter than one window of 1 s." in report["notes"]
    # At 0.5 the two that take turns are missed, too: each has 0.9 in half of the windows.
    assert report["usual"]["metrics"]["micro_recall"]["value"] == pytest.approx(7 / 10)
    assert "Recall (1.00 → .70) accounts for −.18, precision (1.00 → 1.00) for +.00." in report["explained"]
    assert "and micro F1 .95 (precision 1.00, recall .90)" in report["explained"]
    scores = np.array(report["items"]["scores"])
    names = report["items"]["item"]
    heard = scores[names.index("two.wav")]
    assert heard[:2] == pytest.approx([0.9, 0.9], abs=0.02) and heard[2:].max() < 0.05
    turns = scores[names.index("turns.wav")]  # each alone in half of the windows; one window in the middle has both
    assert turns[[1, 3]] == pytest.approx([0.45, 0.45], abs=0.06)
    assert not scores[names.index("silence.wav")].any()


def test_aggregates_differ_as_they_should(run: str, music: str) -> None:
    place = {how: polyphonic.evaluate(run, music, replace(SHORT, aggregate=how)) for how in ("max", "sum-max")}
    for how, report in place.items():
        turns = np.array(report["items"]["scores"])[report["items"]["item"].index("turns.wav")]
        assert turns[[1, 3]] == pytest.approx({"max": [0.9, 0.9], "sum-max": [1.0, 1.0]}[how], abs=0.02)
    assert any("no probabilities" in note for note in place["sum-max"]["notes"])


def test_a_class_that_others_drown_is_missed_by_all_measures(run: str, music: str, hear: Any) -> None:
    hear(deaf=["cel"])
    report = polyphonic.evaluate(run, music, replace(SHORT, thresholds="class"))
    cello = row(report, "cel")
    assert (cello["note"], cello["recall"], cello["n"]) == ("never predicted", 0.0, 3)
    assert report["mono"]["metrics"]["micro_recall"]["value"] == 1.0  # alone it is heard
    recall = report["polyphonic"]["metrics"]["micro_recall"]["value"]
    assert recall == pytest.approx(7 / 10)
    assert report["polyphonic"]["calibration"]["bias"] < 0  # there, and given nothing
    assert set(report["chosen"]["floored"]) == set(IRMAS_CLASSES) - set(tones.TAUGHT)


def test_the_run_s_own_test_part_is_scored(cache: Path, tmp_path: Path, hear: Any) -> None:
    place = tmp_path / "own"
    tones.training(place)
    rows = (place / "manifest.csv").read_text().splitlines()
    for number in range(20):
        tones.write(place / f"both{number}.wav", tones.wave(["cel", "flu"], 2))
        rows.append(f"both{number}.wav,cel|flu,both-{number}")
    (place / "manifest.csv").write_text("\n".join(rows))
    run = tones.run(f"folder:{place}")
    report = polyphonic.evaluate(run, settings=SHORT)
    items = set(report["items"]["item"])
    dataset = datasets.load(f"folder:{place}", "instruments")
    parts = splits.assign(dataset, "grouped:0")
    assert items == set(dataset.items[parts == "test"])
    assert report["polyphonic"]["metrics"]["micro_f1"]["value"] == 1.0
    with pytest.raises(ValueError, match="would be a leak"):
        polyphonic.evaluate(run, f"folder:{place}/../own", SHORT)  # all of it, by another name


def test_a_leak_is_refused_before_anything_is_heard(cache: Path, hear: Any) -> None:
    run = tones.run("cues-small", split="grouped:0")  # its training part holds the official test mixes
    with pytest.raises(ValueError, match="would be a leak"):
        polyphonic.evaluate(run)
    assert not (cache / "data").exists()


def test_irmas_as_it_is_distributed(cache: Path, tmp_path: Path, hear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hear(taught=IRMAS_CLASSES)
    place = tmp_path / "data" / "irmas"
    for kind, code in enumerate(IRMAS_CLASSES):
        for song in range(3):
            for clip in (1, 2):
                name = f"[{code}][cla]{10 * kind + song + 1:04d}__{clip}.wav"
                tones.write(place / "IRMAS-TrainingData" / code / name, tones.wave([code], 1.0))
    labels = {"1/Part1/01 - A Song-1": "gel\t\nvoi\t\n", "1/Part1/01 - A Song-12": "gel\r\n", "2/Part2/B": "pia\t\ncel",
              "3/Part3/song é-7": "sax\t\n\ntru\t\npia\n"}  # fmt: skip
    for stem, text in labels.items():
        file = tones.write(place / f"IRMAS-TestingData-Part{stem}.wav", tones.wave(text.split(), 3.0))
        file.with_suffix(".txt").write_bytes(text.encode())
    monkeypatch.setattr(_irmas, "CLIPS", dict.fromkeys(IRMAS_CLASSES, 6))
    monkeypatch.setattr(_irmas, "EXCERPTS", {1: 2, 2: 1, 3: 1})
    monkeypatch.setenv("EARSHOT_DATA", str(place.parent))
    report = polyphonic.evaluate(tones.run("irmas", "official"), settings=SHORT)
    assert report["polyphonic"]["n_items"] == 4 and report["polyphonic"]["n_groups"] == 3  # two of one song
    assert report["polyphonic"]["labels_per_item"] == 2.0
    assert report["polyphonic"]["metrics"]["micro_f1"]["value"] == 1.0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(0.0), "The window must be above 0"),
        (Settings(31.0), "at most 30 s"),
        (Settings(float("nan")), "The window must be"),
        (Settings(3.0, 3.5), "so that nothing stays unheard"),
        (Settings(3.0, 0.0), "The hop must be"),
        (Settings(3.0, 1.5, "median"), "no aggregate 'median'"),
        (Settings(3.0, 1.5, "mean", "both"), "no thresholds 'both'"),
    ],
)
def test_settings_that_cannot_be(run: str, music: str, settings: Settings, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        polyphonic.evaluate(run, music, settings)


def test_runs_and_data_that_cannot_be(run: str, tmp_path: Path) -> None:
    single = tones.training(tmp_path / "single", ["cel", "flu"])
    with pytest.raises(ValueError, match=r"None of the 24 items of folder:.* has more than one label"):
        polyphonic.evaluate(run, single)
    with pytest.raises(ValueError, match="There is no run '1999'"):
        polyphonic.evaluate("1999")
    with pytest.raises(ValueError, match="has no checkpoint"):
        spec = rundir.read_spec(rundir.find(run))
        rundir.create(replace(spec, id="empty"), "done")
        polyphonic.evaluate("empty")
    with pytest.raises(ValueError, match="is for emotion"):
        polyphonic.evaluate(tones.run("toy", task="emotion"))
    damaged = tones.polyphonic(tmp_path / "damaged", {"a": ("cel|flu", tones.wave(["cel"], 1))})
    (tmp_path / "damaged" / "a.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"a\.wav"):
        polyphonic.evaluate(run, damaged, SHORT)


def test_one_class_is_no_mixture(cache: Path, tmp_path: Path, hear: Any, music: str) -> None:
    run = tones.run(tones.training(tmp_path / "alone", ["cel"]))
    with pytest.raises(ValueError, match="only cel of"):
        polyphonic.evaluate(run, music, SHORT)


def test_windows_are_heard_once(run: str, music: str, monkeypatch: pytest.MonkeyPatch) -> None:
    polyphonic.evaluate(run, music, SHORT)

    def deaf(name: str) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(listening, "load_trainer", deaf)
    other = polyphonic.evaluate(run, music, replace(SHORT, aggregate="max", thresholds="class"))
    assert other["polyphonic"]["n_items"] == 6
    with pytest.raises(AssertionError, match="asked again"):
        polyphonic.evaluate(run, music, Settings(1.0, 0.25))
    for kept in (paths.cache() / "predictions").rglob("windows-*.npz"):
        kept.write_bytes(b"damaged")
    assert polyphonic.evaluate(run, music, SHORT)["explained"]  # from what each clip left in the cache
    file = Path(music.removeprefix("folder:")) / "one.wav"
    tones.write(file, tones.wave(["cel"], 3))  # another sound under the same name
    with pytest.raises(AssertionError, match="asked again"):
        polyphonic.evaluate(run, music, SHORT)


def test_progress_rises_and_may_end_it(run: str, music: str) -> None:
    told: list[tuple[float, str]] = []
    polyphonic.evaluate(run, music, SHORT, lambda fraction, sentence: told.append((fraction, sentence)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert any("mixtures of training clips: 20 of 24" in sentence for _, sentence in told)
    assert any("test items: 3 of 6" in sentence for _, sentence in told)

    def stop(fraction: float, sentence: str) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        polyphonic.evaluate(run, music, Settings(1.0, 0.4), stop)
    assert polyreports.find(run, music, Settings(1.0, 0.4)) is None


def test_data_of_another_kind_or_version_is_told(run: str, music: str) -> None:
    folder = rundir.find(run)
    place = evaluation.short_name(rundir.read_spec(folder).data)
    (told,) = [note for note in polyphonic.evaluate(run, music, SHORT)["notes"] if "the data's" in note]
    assert told.startswith(f"Thresholds and validation clips are of {place}, what is scored is of ")
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"n": 10**6, "t": 0.0, "kind": "data", "version": "older"}) + "\n")
    (told,) = [note for note in polyphonic.evaluate(run, music, SHORT)["notes"] if "version" in note]
    here = datasets.load(rundir.read_spec(folder).data, "instruments").version
    assert told == (
        f"The run learned from version older of {place}; mixtures and validation clips are of the one that is here, "
        f"{here}."
    )


def test_a_report_is_found_again_and_the_index_passes_it_by(run: str, music: str) -> None:
    index = memory_store()
    before = index.runs()["run"].tolist()
    report = polyphonic.evaluate(run, music, SHORT)
    assert polyreports.find(run, music, SHORT) == report
    assert json.loads(json.dumps(report)) == report
    assert polyreports.find(run, music, Settings()) is None
    assert polyreports.find(run, "folder:/nowhere/at/all", SHORT) is None
    folder = rundir.find(run)
    (file,) = (folder / "polyphonic").iterdir()
    index.sync()
    assert index.runs()["run"].tolist() == before and index.scores([run]).empty
    trash.delete(folder)
    trash.restore(paths.trash() / run)
    assert polyreports.find(run, music, SHORT) == report
    for text in ("", "[]", "{", '{"version": 1}', json.dumps(report | {"version": 0})):
        file.write_text(text)
        assert polyreports.find(run, music, SHORT) is None


def test_what_ships_stays_as_it_is(
    cache: Path, tmp_path: Path, hear: Any, music: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tones.run(tones.training(tmp_path / "train"))
    shipped = tmp_path / "shipped" / "runs"
    shipped.mkdir(parents=True)
    rundir.find(run).rename(shipped / run)
    monkeypatch.setenv("EARSHOT_STARTER", str(shipped.parent))
    report = polyphonic.evaluate(run, music, SHORT)
    assert not (shipped / run / "polyphonic").exists()
    assert polyreports.find(run, music, SHORT) == report
    assert polyreports.place(run) == cache / "polyphonic" / run
    (kept,) = (cache / "polyphonic" / run).iterdir()
    (shipped / run / "polyphonic").mkdir()
    kept.rename(shipped / run / "polyphonic" / kept.name)  # a report may ship with its run
    assert polyreports.find(run, music, SHORT) == report
    newer = polyreports.write(report | {"made_at": "2030-01-01T00:00:00+00:00"})  # the one made here stands before it
    assert polyreports.find(run, music, SHORT) == newer != report
    polyreports.write(newer | {"stamp": "of weights that shipped before"})
    assert polyreports.find(run, music, SHORT) == report


def test_two_runs_on_the_same_items(run: str, music: str, hear: Any) -> None:
    good = polyphonic.evaluate(run, music, SHORT)
    hear(deaf=["cel", "gac"])
    deaf = tones.run(rundir.read_spec(rundir.find(run)).data)
    bad = polyphonic.evaluate(deaf, music, SHORT)
    table = polyreports.compare(good, bad).set_index("label")
    assert table.index.tolist() == [*IRMAS_CLASSES, "micro_f1", "macro_f1"]
    assert table.loc["cla", "difference"] == 0.0 and table.loc["flu", ["low", "high"]].tolist() == [0.0, 0.0]
    assert table.loc["cel", "difference"] == pytest.approx(row(good, "cel")["f1"])
    assert table.loc["micro_f1", "difference"] > 0 and table.loc["micro_f1", "low"] >= 0
    assert np.isnan(table.loc["voi", "difference"]) and np.isnan(table.loc["voi", "p_holm"])
    assert (table["p_holm"].dropna() >= table["p"].dropna()).all()
    swapped = polyreports.compare(bad, good).set_index("label")
    assert swapped.loc["cel", "low"] == pytest.approx(-table.loc["cel", "high"])
    with pytest.raises(ValueError, match="which are not the same"):
        polyreports.compare(good, bad | {"data_version": "another"})
    assert polyreports.taught(good, good | {"run": "another"}) == ""
    ends = good | {"trained_on": "irmas", "split": "grouped:0"}, good | {"trained_on": "irmas", "split": "random:0"}
    assert polyreports.taught(*ends).startswith("They did not learn from the same clips (irmas, split grouped:0; irmas")


# ---- sound that is made here ----


def test_rendering_is_told_and_ends_when_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set tells how far it is where it makes rows; of these no more is made than its sound."""
    from types import SimpleNamespace

    from core import polywindows

    made: list[str] = []
    is_over = False

    def rows(input: str, indices: Any, window_s: float, progress: Any) -> Any:
        nonlocal is_over
        for number in range(4):
            made.append(f"clip {number}")
            progress(number / 4, f"Rendering: {number} of 4")
        is_over = True
        progress(0.0, "Listening")
        raise AssertionError("went on to make rows")

    monkeypatch.setattr(datasets, "module", lambda name: SimpleNamespace(is_ready=lambda task: is_over))
    data: Any = SimpleNamespace(name="music", task="instruments", inputs=("logmel",), rows=rows)
    told: list[tuple[float, str]] = []
    polywindows.make_sound(data, lambda *words: told.append(words))
    assert [words for _, words in told] == [f"Rendering: {number} of 4" for number in range(4)]
    polywindows.make_sound(data, lambda *words: pytest.fail("there is nothing left to make"))

    def ended(fraction: float, sentence: str) -> None:
        if fraction >= 0.5:
            raise Cancelled

    is_over, made[:] = False, []
    with pytest.raises(Cancelled):
        polywindows.make_sound(data, ended)
    assert made == ["clip 0", "clip 1", "clip 2"] and not polywindows.has_sound(data)


@pytest.mark.parametrize("ends", [False, True])
def test_the_sound_of_both_data_sets_comes_first(
    run: str, music: str, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    from core import polywindows

    waiting = [music, "training"]
    told: list[tuple[float, str]] = []

    def make_sound(dataset: Any, progress: Any) -> None:
        progress(0.5, f"Rendering {dataset.name}")
        waiting.pop()

    def progress(fraction: float, sentence: str) -> None:
        told.append((fraction, sentence))
        if ends:
            raise Cancelled

    monkeypatch.setattr(polywindows, "has_sound", lambda dataset: not waiting)
    monkeypatch.setattr(polywindows, "make_sound", make_sound)
    if ends:
        with pytest.raises(Cancelled):
            polyphonic.evaluate(run, music, SHORT, progress)
        assert len(waiting) == 2
        return
    polyphonic.evaluate(run, music, SHORT, progress)
    fractions = [fraction for fraction, _ in told]
    assert not waiting and fractions[:2] == pytest.approx([0.075, 0.225]) and (np.diff(fractions) > -1e-9).all()
    assert told[0][1].startswith("Rendering") and fractions[2] >= 0.3 and fractions[-1] == 1.0
