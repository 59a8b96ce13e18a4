"""A folder in which everything is wrong: each thing is found once, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core import catalogue, datacheck, datajobs, datasets, soundcheck
from core.datasets import folder
from tests.conftest import eventually
from tests.unit.test_likeness import RATE, encoded, take


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve takes, a copy, a cut copy encoded again, and one of everything else."""
    place = tmp_path_factory.mktemp("spoilt")
    rows = [("path", "label", "group")]
    sounds = {f"{n:02d}.wav": take(n, 3.0) for n in range(12)}
    sounds |= {"again.wav": sounds["00.wav"], "cut.wav": 0.5 * encoded(sounds["01.wav"][4000:], "OGG", "VORBIS", 0.5)}
    sounds |= {"silent.wav": np.zeros(RATE), "loud.wav": np.clip(9 * take(40, 3.0), -1, 1)}
    sounds["nan.wav"] = np.where(np.arange(RATE) < 9, np.nan, take(41, 1.0))
    sounds["blink.wav"] = take(42, 0.3)
    sounds["unlisted.wav"] = take(43, 1.0)
    for number, (name, sound) in enumerate(sounds.items()):
        soundfile.write(place / name, sound, RATE, subtype="FLOAT")
        if name != "unlisted.wav":
            rows.append((name, ("pia", "gac")[number % 2], "twice" if name in ("02.wav", "03.wav") else ""))
    (place / "text.wav").write_text("no sound at all, only a sentence\n" * 3)
    rows += [("text.wav", "pia", ""), ("gone.wav", "pia", ""), ("04.wav", "cel", ""), ("../up.wav", "pia", "")]
    soundfile.write(place / "kazoo.wav", take(44, 1.0), RATE)
    rows.append(("kazoo.wav", "kazoo", ""))
    (place / "manifest.csv").write_text("\n".join(",".join(row) for row in rows))
    return place


def test_everything_that_is_wrong_is_found_and_nothing_else(cache: Path, spoilt: Path) -> None:
    report = datacheck.check(f"folder:{spoilt}", split="random:0")
    about = {(one.kind, one.item) for one in report.findings}
    assert about == {
        ("missing", "gone.wav"), ("missing", "../up.wav"), ("wrong label", "kazoo.wav"), ("listed twice", "04.wav"),
        ("no label", "unlisted.wav"), ("unreadable", "text.wav"), ("silent", "silent.wav"), ("clipped", "loud.wav"),
        ("not numbers", "nan.wav"), ("too short", "blink.wav"), ("duplicate", "00.wav"), ("near duplicate", "01.wav"),
        ("group of one", ""), *(("absent class", "") for _ in range(1)),
    }  # fmt: skip
    by_kind = {one.kind: one for one in report.findings}
    assert by_kind["duplicate"].other == "again.wav" and by_kind["near duplicate"].other == "cut.wav"
    assert by_kind["not numbers"].evidence == 9 and by_kind["silent"].severity == "serious"
    assert [one.severity for one in report.findings] == sorted(
        (one.severity for one in report.findings), key=("serious", "warning", "note").index
    )
    assert all(one.what.endswith(".") and one.remedy.endswith(".") for one in report.findings)
    assert report.items == 19 and report.recordings == 18
    assert "cut.wav" not in {one.item for one in report.findings}, "a pair is told once"


def test_a_report_is_kept_until_the_data_change(cache: Path, spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = spoilt.parent / f"small-{cache.parent.name}"
    small.mkdir()
    for n in range(3):
        soundfile.write(small / f"{n}.wav", take(n, 1.0), RATE)
    (small / "labels.csv").write_text("path,valence,arousal\n0.wav,2,3\n1.wav,4,5\n2.wav,6,7")
    listened: list[int] = []

    def here(files: list[Path], place: Path, *more: object) -> list[soundcheck.Sound]:
        listened.append(1)
        return [soundcheck.examine(file, place / f"{n}.npy") for n, file in enumerate(files)]

    monkeypatch.setattr(soundcheck, "examine_all", here)
    name = f"folder:{small}"
    first = datacheck.check(name)
    assert datacheck.check(name) == first == datajobs.read_report(name, "emotion", "grouped:0") and len(listened) == 1
    assert first.content == datacheck.content_now(name, "emotion", "grouped:0")
    (small / "labels.csv").write_text("path,valence,arousal\n0.wav,2,3\n1.wav,4,5\n2.wav,6,8")
    assert datacheck.check(name).content != first.content and len(listened) == 2
    datacheck.check(name, is_fresh=True)
    assert len(listened) == 3


@pytest.mark.slow
def test_a_check_in_a_process_of_its_own_tells_its_progress_and_its_end(cache: Path, spoilt: Path) -> None:
    name = f"folder:{spoilt}"
    assert datajobs.read_job(name, "instruments", "grouped:0") is None
    datajobs.start(name, "instruments", "grouped:0")
    job = eventually(lambda: (j := datajobs.read_job(name, "instruments", "grouped:0")) and not j.is_active and j, 120)
    assert job.state == "done", job.note
    report = datajobs.read_report(name, "instruments", "grouped:0")
    assert report is not None and report.count("serious") >= 5
    datajobs._file(name, "instruments", "grouped:0", "stop").touch()  # as Cancel does while it runs
    with pytest.raises(soundcheck.Cancelled):
        datacheck.check(
            name, split="grouped:0", is_fresh=True,
            is_cancelled=lambda: datajobs.is_stop_asked(name, "instruments", "grouped:0"),
        )  # fmt: skip


def test_a_check_whose_process_died_has_failed(cache: Path) -> None:
    datajobs.write_job("toy", "emotion", "grouped:0", datajobs.Job("running", 0.4, "", pid=2**22 + 1))
    job = datajobs.read_job("toy", "emotion", "grouped:0")
    assert job is not None and job.state == "failed" and "without a result" in job.note


def test_a_damaged_report_is_no_report(cache: Path) -> None:
    for text in ("", "{", "[]", '{"data": 1}', '{"findings": 3}'):
        datajobs._file("toy", "emotion", "all", "json").write_text(text)
        assert datajobs.read_report("toy", "emotion", "all") is None


def test_a_table_without_sound_says_what_was_not_checked(cache: Path) -> None:
    report = datacheck.check("toy")
    assert report.recordings == 0 and any("No sound" in sentence for sentence in report.not_checked)
    assert report.count("serious") == 0


# ---- adding ----


def test_a_folder_is_a_data_set_under_its_name(cache: Path, spoilt: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", take(1, 1.0), RATE)
    (tmp_path / "m.csv").write_text("path,label\na.wav,pia")
    card = catalogue.add("mine", str(tmp_path))
    assert card.state == "here" and card.tasks[0].items == 1 and "mine" in datasets.names()
    assert datasets.load("mine").items.tolist() == ["a.wav"]
    assert datasets.settled("mine") == datasets.load("mine").name == f"folder:{tmp_path}"
    from core.evaluation import may_share_items

    assert may_share_items("mine", f"folder:{tmp_path}") and not may_share_items("mine", "toy")
    assert catalogue.remove("mine") == tmp_path and (tmp_path / "a.wav").exists()
    with pytest.raises(ValueError, match="There is no data set 'mine'"):
        datasets.load("mine")
    assert datasets.load(f"folder:{tmp_path}").items.tolist() == ["a.wav"]  # a run on it can still be made again


def test_every_mistake_of_a_folder_is_told_before_it_is_added(cache: Path, spoilt: Path) -> None:
    problems = catalogue.problems_with("mine", str(spoilt))
    assert len(problems) == 4 and all("\n" not in text and text.endswith((".", ")")) for text in problems)
    for part in ("'04.wav' more than once", "lies outside", "1 of 22 files that are not there", "class 'kazoo'"):
        assert sum(part in text for text in problems) == 1, part
    with pytest.raises(ValueError, match="kazoo"):
        catalogue.add("mine", str(spoilt))
    assert "mine" not in datasets.names()
    assert folder.mistakes(str(spoilt / "nowhere"))[0].startswith("There is no folder")


def test_names_of_the_lab_are_refused_and_known_sets_need_their_files(cache: Path, tmp_path: Path) -> None:
    assert "is made by the lab itself" in catalogue.problems_with("toy", str(tmp_path))[0]
    assert "is a data set of the lab" in catalogue.problems_with("deam-audio", str(tmp_path))[0]
    assert len(catalogue.problems_with("deam", str(tmp_path))) == 6
    (lacking,) = catalogue.problems_with("irmas", str(tmp_path))  # the testing files are not needed to train
    assert "6,705 files of training excerpts" in lacking and "folder:PATH" in lacking
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    (batches / "test_batch").touch()
    assert catalogue.problems_with("cifar10", str(tmp_path)) == []  # one of its parts is enough to say where it lies
    card = catalogue.add("cifar10", str(tmp_path))
    assert card.state == "known" and [p["files"] for p in card.parts] == [0, 1]
    assert "cifar10" not in datasets.names()


def test_every_data_set_has_a_card_that_json_takes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    cards = {name: catalogue.card(name) for name in catalogue.names()}
    assert json.loads(json.dumps([card.as_dict() for card in cards.values()]))
    for name, card in cards.items():
        assert card.about and card.tasks, name
        if card.state in ("missing", "known"):
            assert card.homepage.startswith("http") and card.size and card.licence and card.layout and card.sentence
    assert cards["deam"].state == cards["mnist"].state == "missing" and cards["cifar10"].state == "known"
    for name in ("cues-small", "toy"):
        for task in cards[name].tasks:
            made = datasets.load(name, task.task)
            assert (task.items, task.groups) == (len(made.items), len(set(made.groups)))
