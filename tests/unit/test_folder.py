"""A folder of recordings with a CSV: what it reads, where it looks, and one sentence for each thing wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from core import datasets
from core.datasets import IRMAS_CLASSES, splits


def make(folder: Path, csv: str, name: str = "manifest.csv", files: tuple[str, ...] = ("a.wav", "b.wav")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"sound")
    (folder / name).write_text(csv, encoding="utf-8")
    return folder


def refusal(folder: Path, task: str | None = None) -> str:
    with pytest.raises(ValueError) as refused:
        datasets.load(f"folder:{folder}", task)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_classes_groups_sources_and_licences(tmp_path):
    folder = make(
        tmp_path,
        "path,label,group,source,licence\n"
        "a.wav,pia,p1,one,CC0\nsub/b.ogg,pia|voi,,two,CC BY\nc é.wav,tru;cel,p1,one,CC0",
        files=("a.wav", "sub/b.ogg", "c é.wav"),
    )
    data = datasets.load(f"folder:{folder}")
    assert data.task == "instruments" and data.labels == IRMAS_CLASSES
    assert [[IRMAS_CLASSES[k] for k in np.flatnonzero(row)] for row in data.targets] == [
        ["pia"],
        ["pia", "voi"],
        ["cel", "tru"],
    ]
    assert data.items.tolist() == ["a.wav", "sub/b.ogg", "c é.wav"]
    assert data.groups.tolist() == ["p1", "sub/b.ogg", "p1"] and data.has_groups
    assert data.sources.tolist() == ["one", "two", "one"] and data.licence == "CC BY; CC0"
    assert data.audio(1) == folder / "sub" / "b.ogg"


def test_valence_and_arousal_and_a_column_called_file(tmp_path):
    folder = make(tmp_path, "\ufeffFile, Valence, Arousal\na.wav, 1, 9\nb.wav, 4.5, 5", name="labels.csv")
    data = datasets.load(f"folder:{folder}")
    assert data.task == "emotion" and data.targets.tolist() == [[1, 9], [4.5, 5]]
    assert not data.has_groups and data.groups.tolist() == data.items.tolist() == ["a.wav", "b.wav"]
    assert data.licence == "not stated"


def test_a_folder_with_both_kinds_of_label_gives_the_one_asked_for(tmp_path):
    folder = make(tmp_path, "path,label,valence,arousal\na.wav,pia,2,3\nb.wav,cel,4,5", name="any.csv")
    assert datasets.load(f"folder:{folder}").task == "instruments"
    assert datasets.load(f"folder:{folder}", "emotion").targets.tolist() == [[2, 3], [4, 5]]


def test_a_place_is_absolute_or_in_the_data_folder_or_here(tmp_path, monkeypatch):
    make(tmp_path / "data" / "mine", "path,label\na.wav,pia\nb.wav,cel")
    make(tmp_path / "here" / "yours", "path,label\na.wav,sax\nb.wav,cel")
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "here")
    assert datasets.load("folder:mine").audio(0) == tmp_path / "data" / "mine" / "a.wav"
    assert datasets.load("folder:yours").audio(0) == tmp_path / "here" / "yours" / "a.wav"
    relative, absolute = datasets.load("folder:mine"), datasets.load(f"folder:{tmp_path}/data/mine")
    assert relative.version == absolute.version


def test_another_label_or_recording_is_another_version(tmp_path):
    folder = make(tmp_path, "path,label\na.wav,pia\nb.wav,cel")
    versions = [datasets.load(f"folder:{folder}").version]
    make(tmp_path, "path,label\na.wav,pia\nb.wav,sax")
    versions.append(datasets.load(f"folder:{folder}").version)
    (folder / "b.wav").write_bytes(b"another sound")
    versions.append(datasets.load(f"folder:{folder}").version)
    assert len(set(versions)) == 3


def test_no_folder_and_no_csv(tmp_path):
    assert f"There is no folder {tmp_path}/nowhere" in refusal(tmp_path / "nowhere")
    assert "has no CSV of labels; add a manifest.csv" in refusal(tmp_path)
    for name in ("one.csv", "two.csv"):
        make(tmp_path, "path,label\na.wav,pia", name=name)
    assert "has 2 CSV files" in refusal(tmp_path)
    with pytest.raises(ValueError, match="needs a folder: folder:PATH"):
        datasets.load("folder")


@pytest.mark.parametrize(
    ("csv", "sentence"),
    [
        ("", "is empty; it needs the columns path"),
        ("path,label\n", "lists no recording"),
        ("name,label\na.wav,pia", "expected the columns path (or file) and either label, or valence and arousal"),
        ("path,valence\na.wav,3", "and found path, valence"),
        ("path,label\na.wav,pia\nx.wav,cel\ny.wav,cel", "lists 2 of 3 files that are not there; first 'x.wav'"),
        ("path,label\na.wav,pia\na.wav,cel", "lists 'a.wav' more than once"),
        ("path,label\na.wav,kazoo", "'a.wav' has the unknown class 'kazoo'; for now a label is one of cel, cla"),
        ("path,label\na.wav,", "'a.wav' has no label"),
        ("path,label\n../a.wav,pia", "'../a.wav', which lies outside the folder"),
        ("path,valence,arousal\na.wav,0.5,3", "'a.wav' has valence '0.5'; it must be a number from 1 to 9"),
        ("path,valence,arousal\na.wav,5,high", "'a.wav' has arousal 'high'"),
        ("path,valence,arousal\na.wav,5,", "'a.wav' has arousal ''"),
        ("path,valence,arousal\na.wav,5,nan", "'a.wav' has arousal 'nan'"),
        ("path,label\na.wav,pia,p1", "a row has more values than the header"),
        ('path,label\na.wav,"pia', "cannot be read as a table"),
    ],
)
def test_a_wrong_csv_is_one_sentence(tmp_path, csv, sentence):
    assert sentence in refusal(make(tmp_path, csv))


def test_a_label_may_be_said_in_words(tmp_path):
    folder = make(tmp_path, "path,label,group\na.wav,Piano|voi,p1\nb.wav,electric guitar,p2")
    dataset = datasets.load(f"folder:{folder}", "instruments")
    targets = dataset.targets
    heard = [[dataset.labels[k] for k in np.flatnonzero(row)] for row in targets]
    assert heard == [["pia", "voi"], ["gel"]]


def test_two_mistakes_in_a_row_are_both_told(tmp_path):
    folder = make(tmp_path, "path,valence,arousal\na.wav,12,abc\nb.wav,5,5")
    assert refusal(folder).endswith("(And 1 more such mistake.)")
    (left_out,) = datasets.folder.survey(f"{folder}").left_out
    assert left_out[:2] == ("a.wav", "label") and "valence '12'" in left_out[2] and "arousal 'abc'" in left_out[2]


def test_a_task_without_labels_is_refused(tmp_path):
    folder = make(tmp_path, "path,label\na.wav,pia\nb.wav,pia")
    assert "has no labels for emotion: that needs the columns valence and arousal" in refusal(folder, "emotion")


def test_one_class_only_loads_but_does_not_train(tmp_path):
    files = tuple(f"{i}.wav" for i in range(20))
    data = datasets.load(
        f"folder:{make(tmp_path, 'path,label' + ''.join(f'{chr(10)}{f},pia' for f in files), files=files)}"
    )
    with pytest.raises(ValueError, match="has only pia"):
        splits.check_for_training(data, splits.assign(data, data.default_split))


def test_the_real_recordings_work_as_they_are():
    if not (Path(os.environ.get("EARSHOT_DATA", "")) / "instruments" / "manifest.csv").is_file():
        pytest.skip("EARSHOT_DATA has no instruments")
    data = datasets.load("folder:instruments")
    assert len(data.items) == 397 and (data.targets.sum(axis=0) > 0).all()
    parts = splits.assign(data, "leave-source:fsdkaggle2018")
    assert (parts == "test").sum() == 180 and not splits.is_leaky(data, "grouped:0")
    assert splits.is_leaky(data, "random:0")


def test_a_place_means_the_same_folder_to_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("here/mine", "data/theirs"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))
    assert datasets.settled("folder:mine") == f"folder:{tmp_path}/here/mine"  # a runner works elsewhere
    assert datasets.settled("folder:theirs") == "folder:theirs"
    assert datasets.settled("toy") == "toy"
    for nowhere in ("folder:~nobody-of-this-name/x", "folder:" + "x" * 5000):
        with pytest.raises(ValueError, match="There is no folder"):
            datasets.settled(nowhere)
