"""IRMAS: small folders written here in its real layout, and every published name where EARSHOT_DATA has the lists."""

import ast
import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core import catalogue, datacheck, datasets, shelf
from core.balance import class_weights
from core.datasets import IRMAS_CLASSES, _irmas, irmas, splits

LISTS = Path(os.environ.get("EARSHOT_DATA", "")) / "irmas"
needs_lists = pytest.mark.skipif(
    not os.environ.get("EARSHOT_DATA") or not (LISTS / "train_with_tonality.csv").exists(),
    reason="EARSHOT_DATA has no lists of IRMAS's files",
)
OFFICIAL = {"cel": 388, "cla": 505, "flu": 451, "gac": 637, "gel": 760, "org": 682, "pia": 721, "sax": 626, "tru": 577,
            "vio": 580, "voi": 778}  # fmt: skip
RATE_HZ = 16_000
LABELS = {
    "IRMAS-TestingData-Part1/Part1/01 - A Song-1": "gel\t\nvoi\t\n",  # as published: a tab after each label
    "IRMAS-TestingData-Part1/Part1/01 - A Song-12": "gel\t\n",
    "IRMAS-TestingData-Part2/Part2/01 - A Song-13": "voi\t\npia\t\ngel\t\n",
    "IRMAS-TestingData-Part2/Part2/B-side": "cel\t\n",
    "IRMAS-TestingData-Part3/Part3/song é-7": "sax\t\ntru\t\n",
}


def tone(path: Path, seconds: float, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (220 + 40 * number) * times_s), RATE_HZ)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """An IRMAS of three songs a class, two clips each, and five test excerpts of three songs."""
    place = tmp_path / "data" / "irmas"
    for kind, code in enumerate(IRMAS_CLASSES):
        for song in range(3):
            tags = f"[{code}][cla]" if song else f"01{song}__[{code}][nod][cla]"
            for clip in (1, 2):
                name = f"{tags}{10 * kind + song + 1:04d}__{clip}.wav"
                tone(place / "IRMAS-TrainingData" / code / name, 3.0, 6 * kind + 2 * song + clip)
    for number, (stem, text) in enumerate(LABELS.items()):
        tone(place / f"{stem}.wav", 6.0, 70 + number)
        (place / f"{stem}.txt").write_bytes(text.encode())
    monkeypatch.setattr(_irmas, "CLIPS", dict.fromkeys(IRMAS_CLASSES, 6))
    monkeypatch.setattr(_irmas, "EXCERPTS", {1: 2, 2: 2, 3: 1})
    monkeypatch.setenv("EARSHOT_DATA", str(place.parent))
    return place


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """Every published name as an empty file, the test excerpts dealt to the three parts, with their labels."""
    place = tmp_path_factory.mktemp("published") / "irmas"
    for row in rows_of("train_with_tonality.csv"):
        relative = Path(row["path"])
        file = place / "IRMAS-TrainingData" / relative.parent.name / relative.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    parts = [part for part, wanted in _irmas.EXCERPTS.items() for _ in range(wanted)]
    for part, row in zip(parts, rows_of("test_with_tonality.csv"), strict=True):
        file = place / f"IRMAS-TestingData-Part{part}" / f"Part{part}" / Path(row["path"]).name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        file.with_suffix(".txt").write_text("".join(f"{code}\t\n" for code in ast.literal_eval(row["instruments"])))
    found = _irmas.scan(place)
    assert not (found.short or found.left_out or found.unlabelled)
    return irmas._dataset(found)  # as load makes it, once for all tests: reading so many names takes a second


def rows_of(name: str) -> list[dict[str, str]]:
    with (LISTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refusal(kind: type[ValueError] = ValueError) -> str:
    with pytest.raises(kind) as refused:
        datasets.load("irmas")
    text = str(refused.value)
    assert "\n" not in text and text.endswith(".")
    return text


def codes(data: datasets.Dataset) -> dict[str, list[str]]:
    return {
        str(item): [IRMAS_CLASSES[k] for k in np.flatnonzero(row)]
        for item, row in zip(data.items, data.targets, strict=True)
    }


# ---- a small folder ----


def test_clips_have_one_label_and_excerpts_as_many_as_are_named(small: Path) -> None:
    data = datasets.load("irmas")
    assert data.task == "instruments" and data.labels == IRMAS_CLASSES and len(data.items) == 66 + 5
    heard = codes(data)
    assert heard["cel/010__[cel][nod][cla]0001__2.wav"] == ["cel"]
    assert all(len(found) == 1 for item, found in heard.items() if not item.startswith("Part"))
    assert {item: found for item, found in heard.items() if item.startswith("Part")} == {
        "Part1/01 - A Song-1.wav": ["gel", "voi"],
        "Part1/01 - A Song-12.wav": ["gel"],
        "Part2/01 - A Song-13.wav": ["gel", "pia", "voi"],
        "Part2/B-side.wav": ["cel"],
        "Part3/song é-7.wav": ["sax", "tru"],
    }
    assert [data.audio(i).name for i in (0, 70)] == ["010__[cel][nod][cla]0001__1.wav", "song é-7.wav"]
    assert "5 test excerpts from 3 recordings" in data.about and data.licence == "CC BY-NC-SA 3.0"


def test_the_test_set_is_test_or_nothing(small: Path) -> None:
    data = datasets.load("irmas")
    is_test = np.char.startswith(data.items, "Part")
    assert data.default_split == "official"
    for name in ("official", "whole"):
        assert np.array_equal(splits.assign(data, name) == "test", is_test)
    for name in ("grouped:0", "cv10:3.2", "random:1"):
        parts = splits.assign(data, name)
        assert set(parts[is_test]) == {""} and set(parts[~is_test]) == set(splits.PARTS), name
    assert set(splits.assign(data, "all")) == {"test"}
    for name in splits.offered(data):
        splits.assign(data, name)


@pytest.mark.parametrize(
    "text",
    [
        b"gel\t\nvoi\t\n", b"gel\nvoi\n", b"gel\nvoi", b"gel\r\nvoi\r\n", b"gel\t\r\nvoi\t\r\n", b"gel\rvoi\r",
        b"gel \t \nvoi  \n", b"  gel\n\tvoi\n", b"\n\ngel\n\n\nvoi\n\n", b"gel\nvoi\n \t \n", b"gel\ngel\nvoi\ngel\n",
        b"voi\ngel\n", b"GEL\nVoi\n", b"\xef\xbb\xbfgel\nvoi\n", b"gel\tvoi\n", b"gel voi", "gel\u00a0\nvoi\n".encode(),
    ],
)  # fmt: skip
def test_every_way_to_write_two_labels_is_two_labels(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    assert _irmas.read_labels(tmp_path / "a.txt") == ("gel", "voi")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"gel\nkazoo\n", "a.txt has the unknown class 'kazoo'; IRMAS has cel, cla"),
        (b"gel,voi\n", "unknown class 'gel,voi'"),
        (b"gelvoi\n", "unknown class 'gelvoi'"),
        (b"", "a.txt names no instrument"),
        (b" \t\r\n\n", "a.txt names no instrument"),
        (b"\xff\xfeg\0e\0l\0", "unknown class"),
    ],
)
def test_labels_that_cannot_be_read_are_one_sentence(tmp_path: Path, text: bytes, sentence: str) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    with pytest.raises(ValueError) as refused:
        _irmas.read_labels(tmp_path / "a.txt")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_not_whole_is_refused_with_its_numbers(small: Path) -> None:
    clip = next((small / "IRMAS-TrainingData" / "flu").iterdir())
    clip.unlink()
    assert "IRMAS-TrainingData/flu has 5 of 6 clips" in refusal(datasets.Missing)
    for file in (small / "IRMAS-TrainingData" / "voi").iterdir():
        file.unlink()
    (small / "IRMAS-TrainingData" / "voi").rmdir()
    text = refusal(datasets.Missing)
    assert "flu has 5 of 6 clips; IRMAS-TrainingData/voi has 0 of 6 clips" in text and "10.5281/zenodo.1290750" in text
    (small / "IRMAS-TrainingData").rename(small / "elsewhere")
    assert f"there is no {small / 'IRMAS-TrainingData'}. Get it from https://www.upf.edu" in refusal(datasets.Missing)


def test_a_test_part_is_whole_or_absent(small: Path) -> None:
    full = datasets.load("irmas")
    inner = small / "IRMAS-TestingData-Part2"
    inner.rename(small / "kept")
    data = datasets.load("irmas")
    assert len(data.items) == 66 + 3 and data.version != full.version and data.default_split == "official"
    assert "Of the test parts 2 is not here" in data.about and "Of the test parts" not in full.about
    (small / "kept").rename(inner)
    (inner / "Part2" / "B-side.txt").unlink()
    text = refusal(datasets.Missing)
    assert "IRMAS-TestingData-Part2 has 1 of 2 labelled excerpts; Part2/B-side.wav has no label file" in text
    for part in (1, 2, 3):
        (small / f"IRMAS-TestingData-Part{part}").rename(small / f"kept {part}")
    data = datasets.load("irmas")
    assert len(data.items) == 66 and data.default_split == "grouped:0" and "official" not in splits.offered(data)
    with pytest.raises(ValueError, match="irmas has no official split; use grouped:0"):
        splits.assign(data, "official")


def test_labels_without_sound_are_refused_and_a_readme_is_no_label_file(small: Path) -> None:
    part = small / "IRMAS-TestingData-Part3" / "Part3"
    (part / "README.txt").write_text("Excerpts of the third part.\n")
    (part / "gone-1.txt").write_text("pia\t\n")
    assert "gone-1.txt holds labels, and there is no gone-1.wav" in refusal(datasets.Missing)
    (part / "gone-1.txt").unlink()
    assert len(datasets.load("irmas").items) == 71


def test_what_macos_leaves_behind_is_not_looked_at(small: Path) -> None:
    for name in ("IRMAS-TrainingData/cel/._[cel][cla]0002__1.wav", "IRMAS-TestingData-Part1/__MACOSX/Part1/x-1.wav",
                 "IRMAS-TestingData-Part1/Part1/._01 - A Song-1.txt", "IRMAS-TrainingData/.cache/a.wav"):  # fmt: skip
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(b"\0\5\26\7")
    assert len(datasets.load("irmas").items) == 71


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("IRMAS-TrainingData/kazoo/[kazoo][cla]0001__1.wav", "has the unknown class 'kazoo'"),
        ("IRMAS-TrainingData/cel/[cla][cla]0001__3.wav", "lies in the folder cel, and its name says [cla]"),
        ("IRMAS-TrainingData/cel/take two.wav", "'take two' is no name of a training clip"),
    ],
)
def test_a_clip_in_the_wrong_place_is_refused(small: Path, name: str, sentence: str) -> None:
    tone(small / name, 3.0)
    text = refusal()
    assert sentence in text and "data check irmas" in text


def test_an_unknown_class_in_a_label_file_is_refused(small: Path) -> None:
    (small / "IRMAS-TestingData-Part2" / "Part2" / "B-side.txt").write_bytes(b"cel\r\nkaz\r\n")
    assert "B-side.txt has the unknown class 'kaz'" in refusal()


def test_a_name_in_capitals_is_read(small: Path) -> None:
    for path in list((small / "IRMAS-TrainingData" / "pia").iterdir()):
        path.rename(path.with_name(path.name.upper()))
    assert codes(datasets.load("irmas"))["pia/[PIA][CLA]0062__1.WAV"] == ["pia"]


def test_another_label_or_recording_is_another_version(small: Path, tmp_path: Path) -> None:
    versions = [datasets.load("irmas").version]
    (small / "IRMAS-TestingData-Part2" / "Part2" / "B-side.txt").write_text("cel\nvio\n")
    versions.append(datasets.load("irmas").version)
    tone(small / "IRMAS-TestingData-Part2" / "Part2" / "B-side.wav", 5.0)
    versions.append(datasets.load("irmas").version)
    assert len(set(versions)) == 3
    small.rename(tmp_path / "moved")
    shelf.remember("irmas", tmp_path / "moved")
    assert datasets.load("irmas").version == versions[-1]


def test_windows_of_clips_follow_each_other_and_those_of_excerpts_overlap(small: Path, cache: Path) -> None:
    data = datasets.load("irmas")
    clips = data.rows("logmel", [3, 1], 3.0, datasets.no_progress)
    assert clips.items.tolist() == data.items[[3, 1]].tolist() and clips.times_s.tolist() == [1.5, 1.5]
    assert clips.targets.tolist() == data.targets[[3, 1]].tolist()
    kept = [path.name for path in (cache / "features").iterdir()]
    assert len(kept) == 1 and kept[0].startswith("irmas-train-")  # the test set was not read
    both = data.rows("logmel", [70, 0, 66], 3.0, datasets.no_progress)
    assert both.items.tolist() == [data.items[70]] * 3 + [data.items[0]] + [data.items[66]] * 3
    assert both.times_s.tolist() == [1.5, 3.0, 4.5, 1.5, 1.5, 3.0, 4.5]  # 3 s every 1.5 s, the published protocol
    assert both.groups.tolist() == [data.groups[70]] * 3 + [data.groups[0]] + [data.groups[66]] * 3
    alone = data.rows("logmel", [0], 3.0, datasets.no_progress)
    np.testing.assert_array_equal(both.inputs[3], alone.inputs[0])
    assert len(data.rows("logmel", [], 3.0, datasets.no_progress)) == 0
    with pytest.raises(ValueError, match="irmas has no input 'opensmile260'; it offers logmel"):
        data.rows("opensmile260", [0], 3.0, datasets.no_progress)


def test_a_wav_that_cannot_be_decoded_is_named(small: Path) -> None:
    (small / "IRMAS-TrainingData" / "cel" / "[cel][cla]0002__1.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    with pytest.raises(ValueError, match=r"\[cel\]\[cla\]0002__1.wav is cut off or damaged"):
        datasets.load("irmas").rows("logmel", [0, 1], 3.0, datasets.no_progress)


def test_the_check_goes_on_where_loading_stops(small: Path) -> None:
    (small / "IRMAS-TrainingData" / "cel" / "[cel][cla]0002__1.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    next((small / "IRMAS-TrainingData" / "org").iterdir()).unlink()
    part = small / "IRMAS-TestingData-Part2" / "Part2"
    (part / "B-side.txt").write_text("kazoo\n")
    (part / "gone-1.txt").write_text("pia\n")
    tone(part / "unheard.wav", 5.0, 99)
    report = datacheck.check("irmas")
    found = {(one.kind, one.item) for one in report.findings if one.severity == "serious"}
    assert found == {
        ("missing", "IRMAS-TrainingData/org"), ("missing", "Part2/gone-1.wav"), ("wrong label", "Part2/B-side.wav"),
        ("missing", "IRMAS-TestingData-Part2"), ("unreadable", "cel/[cel][cla]0002__1.wav"),
    }  # fmt: skip
    assert [one.item for one in report.findings if one.kind == "no label"] == ["Part2/unheard.wav"]
    remedies = {one.item: one.remedy for one in report.findings if one.kind == "missing"}
    assert (
        remedies["IRMAS-TrainingData/org"].startswith("Get the rest")
        and "Copy the file" in remedies["Part2/gone-1.wav"]
    )
    assert report.recordings == 65 + 4 - 1 and report.split == "official"


def test_it_is_added_where_it_lies(small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EARSHOT_DATA")
    assert "python lab.py data add irmas PATH" in refusal(datasets.Missing)
    monkeypatch.setattr(irmas, "PARTS", (("IRMAS-TrainingData/*/*.wav", 66, "training excerpts"), *irmas.PARTS[1:]))
    missing = catalogue.card("irmas")
    assert missing.state == "missing" and [part["files"] for part in missing.parts] == [0, 0, 0, 0]
    (problem,) = catalogue.problems_with("irmas", str(tmp_path))  # the test parts need not be there
    assert "holds 0 of 66 files of training excerpts" in problem and f"Get the rest from {irmas.HOMEPAGE}." in problem
    assert "list it in a CSV and take it as folder:PATH" in problem
    card = catalogue.add("irmas", str(small))  # its test parts may come later
    assert card.state == "here" and card.tasks[0].items == 71 and card.tasks[0].default_split == "official"
    next((small / "IRMAS-TestingData-Part3" / "Part3").glob("*.wav")).unlink()
    assert catalogue.card("irmas").state == "missing"
    assert catalogue.card("irmas").parts[0]["files"] == 66


# ---- every published name ----


@needs_lists
def test_published_names_give_the_published_numbers(whole: datasets.Dataset) -> None:
    is_test = np.array([whole.official[item] == "test" for item in whole.items])
    assert dict(zip(IRMAS_CLASSES, whole.targets[~is_test].sum(axis=0), strict=True)) == OFFICIAL == irmas.CLIPS
    assert (~is_test).sum() == 6705 and is_test.sum() == 2874
    assert (whole.targets[~is_test].sum(axis=1) == 1).all()
    labels = Counter(whole.targets[is_test].sum(axis=1))
    assert labels == {1: 1236, 2: 1278, 3: 318, 4: 39, 5: 3}  # 57 % have more than one: those a wrong parser loses
    assert "6,705 training clips of 3 s from 2,261 recordings" in whole.about
    assert "2,874 test excerpts from 208 recordings" in whole.about


@needs_lists
def test_clips_of_a_recording_stay_together_however_they_are_spelt(whole: datasets.Dataset) -> None:
    group_of = dict(zip(whole.items.tolist(), whole.groups.tolist(), strict=True))
    spellings = {
        number: {item for item in group_of if item.startswith("cla/") and f"]{number}__" in item}
        for number in ("0150", "0316")
    }
    assert [len(found) for found in spellings.values()] == [4, 6]
    for number, found in spellings.items():
        assert {item.rpartition(number)[0][-15:] for item in found} == {"[cla][nod][cla]", "cla/[cla][cla]"[-15:]}
        assert len({group_of[item] for item in found}) == 1
    clips = [item for item in group_of if not item.startswith("Part")]
    sizes = Counter(Counter(group_of[item] for item in clips).values())
    assert sizes == {3: 2152, 2: 86, 1: 11, 6: 9, 4: 3}


@needs_lists
@pytest.mark.parametrize("name", ["grouped:0", "grouped:1", "grouped:2", "cv10:0.0", "cv10:5.7", "official"])
def test_no_recording_is_on_two_sides_and_every_class_on_each(whole: datasets.Dataset, name: str) -> None:
    parts = splits.assign(whole, name)
    sides = {part: set(whole.groups[parts == part]) for part in splits.PARTS}
    assert not (sides["train"] & sides["validation"] or sides["train"] & sides["test"])
    assert not (sides["validation"] & sides["test"]) and not splits.is_leaky(whole, name)
    is_clip = np.array([whole.official[item] == "train" for item in whole.items])
    for k, code in enumerate(IRMAS_CLASSES):
        mine = is_clip & (whole.targets[:, k] > 0)
        songs = len(set(whole.groups[mine]))
        for part in ("validation",) if name == "official" else ("validation", "test"):
            expected = 1 / 9 if name == "official" else 0.1
            share = (parts[mine] == part).mean()
            # Songs are drawn at random: four standard deviations of a share of so many songs.
            assert abs(share - expected) < 4 * (expected * (1 - expected) / songs) ** 0.5, (code, part, share)


@needs_lists
def test_a_split_by_file_leaks_nearly_every_recording(whole: datasets.Dataset) -> None:
    parts = splits.assign(whole, "random:0")
    assert splits.is_leaky(whole, "random:0")
    tested, trained = whole.groups[parts == "test"], set(whole.groups[parts == "train"])
    seen = np.mean([group in trained for group in tested])
    # A clip's one or two siblings are all outside the training part with probability 0.2² (three clips a recording).
    assert 0.93 < seen < 0.98


@needs_lists
def test_class_weights_on_the_published_counts(whole: datasets.Dataset) -> None:
    clips = whole.targets[[whole.official[item] == "train" for item in whole.items]]
    weights = dict(zip(IRMAS_CLASSES, class_weights(clips, IRMAS_CLASSES), strict=True))
    assert weights == pytest.approx({code: 6705 / (11 * count) for code, count in OFFICIAL.items()})
    assert (weights["cel"], weights["voi"]) == pytest.approx((1.570993, 0.783478), abs=1e-6)
    assert sum(weights[code] * count for code, count in OFFICIAL.items()) == pytest.approx(6705)


def test_a_class_without_any_clip_has_no_weight() -> None:
    targets = np.eye(11)[[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 10]]
    with pytest.raises(ValueError, match="The training part has no item of flu, so no weight can balance it; choose"):
        class_weights(targets, IRMAS_CLASSES)
