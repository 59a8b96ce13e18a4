"""DEAM's layout: tiny folders written here in its real form, and the real files where EARSHOT_DATA has them."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from core import datacheck, datasets, metrics
from core.datasets import _deam, deam_audio, splits
from core.datasets.deam_opensmile import read_feature_csv

SONGS = (*range(2, 14), 2001, 2002)
REAL = Path(os.environ.get("EARSHOT_DATA", "")) / "deam"
needs_deam = pytest.mark.skipif(
    not os.environ.get("EARSHOT_DATA") or not (REAL / "annotations").is_dir(), reason="EARSHOT_DATA has no deam"
)
LATE = (
    "song_id, valence_mean, valence_std, valence_ max_mean, valence_max_std, valence_min_mean, valence_min_std, "
    "arousal_mean, arousal_std, arousal_max_mean, arousal_max_std, arousal_min_mean, arousal_min_std"
)


def write(folder: Path, relative: str, lines: list[str]) -> Path:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)
    return path


def valence(song: int) -> float:
    return 1 + song % 8 + 0.1


def arousal(song: int) -> float:
    return 8.9 - song % 7


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A DEAM of fourteen songs: leading blanks, 13 columns in the second file, dynamic rows of unequal length."""
    deam = tmp_path / "deam"
    early, late = [s for s in SONGS if s <= 2000], [s for s in SONGS if s > 2000]
    files = list(_deam.FILES.values())
    write(deam, files[0], ["song_id, valence_mean, valence_std, arousal_mean, arousal_std"]
          + [f"{s},{valence(s)},0.94,{arousal(s)},0.63" for s in early])  # fmt: skip
    write(deam, files[1], [LATE] + [f"{s},{valence(s)},1,9,1,1,1,{arousal(s)},1,9,1,1,1" for s in late])
    write(deam, files[2], ["workerID, SongId, Valence, Arousal"]
          + [f"{w}a5d9,{s},{2 + s % 6 + w},{8 - s % 6 - w}" for s in early for w in (0, 1)])  # fmt: skip
    write(deam, files[3], ["SongId, WorkerId, Arousal_Average, Valence_Average, Arousal_Maximum, Valence_Maximum"]
          + [f"{s},b{w},{3 + w},{6 + w},8,7" for s in late for w in (0, 1)])  # fmt: skip
    times = [15000, 15500, 16000]
    for file, step in ((files[4], 0.1), (files[5], -0.2)):
        header = "song_id," + ",".join(f"sample_{t}ms" for t in times)
        rows = [f"{s}," + ",".join(f"{step * k + 0:g}" for k in range(2 if s == 3 else 3)) for s in SONGS]
        write(deam, file, [header, *rows])
    write(deam, "librosa74_song_level_1802.csv.gz", ["song_id,mfcc1_mean,mfcc1_std,zcr_mean,tempo"]
          + [f"{s},{-100 - s},{s},0.1,120" for s in reversed(SONGS)])  # fmt: skip
    write(deam, "opensmile_song_level_1050.csv.gz",
          ["song_id,n_frames,F0final_sma_stddev__mean,F0final_sma_amean__mean,F0final_sma_stddev__std"]
          + [f"{s},{88 if s % 2 else 449},{s},{s / 2},1" for s in early])  # fmt: skip
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path))
    return deam


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_song_has_its_own_label_and_row(tiny):
    data = datasets.load("deam")
    assert data.items.tolist() == [str(s) for s in SONGS] and data.labels == ("valence", "arousal")
    assert data.targets == pytest.approx(np.array([[valence(s), arousal(s)] for s in SONGS]))
    assert data.columns["lib73"] == ("mfcc1_mean", "mfcc1_std", "zcr_mean")  # tempo cannot be made from any upload
    part = data.rows("lib73", [13, 0], 0.0, datasets.no_progress)
    assert part.items.tolist() == ["2002", "2"] and part.inputs[:, 0] == pytest.approx([-2102, -102])
    assert part.targets == pytest.approx(data.targets[[13, 0]]) and part.times_s.tolist() == [22.5, 22.5]
    assert data.window_s == {"lib73": 45.0} and not data.has_groups and (data.groups == data.items).all()
    with pytest.raises(ValueError, match=r"no input 'pixels'; it offers lib73"):
        data.rows("pixels", [0], 0.0, datasets.no_progress)


def test_labels_over_time_go_from_plus_minus_one_to_one_to_nine(tiny):
    traces = datasets.load("deam").traces
    times_s, values = traces["2"]
    assert times_s.tolist() == [15.0, 15.5, 16.0]
    assert values == pytest.approx(np.array([[5, 5], [5.4, 4.2], [5.8, 3.4]]))
    assert len(traces["3"][0]) == 2  # its row is shorter


def test_raters_of_both_files_stand_in_one_table(tiny):
    raters = datasets.load("deam").raters
    assert list(raters.columns) == ["item", "rater", "valence", "arousal"] and len(raters) == 2 * len(SONGS)
    late = raters[raters["item"] == "2001"]
    assert late["rater"].tolist() == ["b0", "b1"] and late["valence"].tolist() == [6, 7]
    assert late["arousal"].tolist() == [3, 4]


def test_official_split_is_by_id(tiny):
    parts = splits.assign(datasets.load("deam"), "official")
    assert parts[-2:].tolist() == ["test", "test"] and "test" not in parts[:-2]
    with pytest.raises(ValueError, match="has no official split"):
        splits.assign(datasets.load("deam-opensmile"), "official")  # none of its songs is a test song


def test_opensmile_marks_songs_with_features_of_the_excerpt(tiny):
    data = datasets.load("deam-opensmile")
    odd = np.array([int(item) % 2 == 1 for item in data.items])
    assert ((data.sources == "excerpt-only") == odd).all()
    assert len(data.columns["opensmile260"]) == 3 and data.window_s["opensmile260"] == 0
    only = datasets.load("deam-opensmile-405")
    assert (only.items == data.items[odd]).all() and only.version != data.version
    part = only.rows("opensmile260", [1], 0.0, datasets.no_progress)
    assert part.items.tolist() == ["5"] and part.inputs.tolist() == [[5, 2.5, 1]]


def test_files_may_lie_directly_in_the_data_folder(tiny, monkeypatch):
    version = datasets.load("deam").version
    monkeypatch.setenv("EARSHOT_DATA", str(tiny))
    assert datasets.load("deam").version == version  # what they hold counts, not where they lie


def test_another_label_is_another_version(tiny):
    before = datasets.load("deam").version
    edit(tiny / _deam.FILES["songs 1–2000"], "2,3.1,0.94", "2,3.2,0.94")
    changed = datasets.load("deam")
    assert changed.version != before and changed.targets[0, 0] == 3.2


@pytest.mark.parametrize("name", ["deam", "deam-opensmile", "deam-opensmile-405", "deam-audio"])
def test_without_a_data_folder_it_says_how_to_get_one(name, monkeypatch, tmp_path):
    for value in ("", str(tmp_path)):
        monkeypatch.setenv("EARSHOT_DATA", value)
        with pytest.raises(datasets.Missing) as missing:
            datasets.load(name)
        text = str(missing.value)
        assert _deam.ADDRESS in text and "non-commercial" in text and (" MB" in text or " GB" in text)
        assert (value or "set EARSHOT_DATA") in text


@pytest.mark.parametrize("key", list(_deam.FILES))
def test_half_present_names_the_file_that_is_missing(tiny, key):
    path = tiny / _deam.FILES[key]
    path.unlink()
    with pytest.raises(datasets.Missing) as missing:
        datasets.load("deam")
    assert str(path) in str(missing.value) and key in str(missing.value)


@pytest.mark.parametrize(
    ("key", "old", "new", "sentences"),
    [
        ("songs 1–2000", "valence_mean,", "happy,", ("expected the columns song_id, valence_mean", "happy")),
        ("songs 1–2000", "2,3.1,", "2,11.5,", ("song 2 has valence_mean 11.5, outside 1 to 9",)),
        ("songs 2001–2058", "2001,2.1,", "2001,nan,", ("song 2001 has valence_mean nan",)),
        ("songs 1–2000", "\n3,", "\n2,", ("song 2 has song-level labels twice",)),
        ("songs 1–2000", "2,3.1,", "2,much,", ("valence_mean holds 'much' in data row 1, not a number",)),
        ("raters of songs 1–2000", "SongId", "Song", ("expected the columns SongId, workerID", "Song")),
        ("raters of songs 1–2000", "0a5d9,2,4", "0a5d9,2,12", ("song 2 has valence 12",)),
        ("raters of songs 2001–2058", "Valence_Average", "V", ("Valence_Average",)),
        ("valence over time", "sample_15500ms", "later", ("sample_15000ms", "later")),
        ("arousal over time", "2,0,-0.2", "2,0,-1.2", ("song 2 has a label -1.2, outside −1 to 1",)),
        ("arousal over time", "\n2,0,", "\n2,0,1,1,1,1,1,", ("a row has more values than the header",)),
        ("arousal over time", "\n4,0,", "\n4,0,1,1,1,1,1,", ("cannot be read as a table",)),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_it(tiny, key, old, new, sentences):
    path = tiny / _deam.FILES[key]
    edit(path, old, new)
    with pytest.raises(ValueError) as refused:
        datasets.load("deam")
    text = str(refused.value)
    assert path.parent.name in text and "\n" not in text
    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize("content", [b"", b"not gzip at all", gzip.compress(b"song_id,tempo\n1,2\n", mtime=0)])
def test_a_broken_feature_table_is_one_sentence(tiny, content):
    (tiny / "librosa74_song_level_1802.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match="librosa74_song_level_1802"):
        datasets.load("deam")


def test_a_feature_that_is_no_number_names_the_song(tiny):
    write(tiny, "librosa74_song_level_1802.csv.gz", ["song_id,mfcc1_mean,mfcc1_std,zcr_mean,tempo", "7,1,,0,1"])
    with pytest.raises(ValueError, match="song 7 has a feature that is not a finite number"):
        datasets.load("deam")


@pytest.mark.parametrize("inner", deam_audio.FOLDERS)
def test_songs_as_audio(tiny, inner):
    for song in SONGS:
        write(tiny, f"{inner}/{song}.mp3", ["audio"])
    data = datasets.load("deam-audio")
    assert data.audio(0) == tiny / inner / "2.mp3" and set(data.inputs) == {"lib164", "lib73", "logmel"}
    assert "2" in data.traces and len(data.items) == len(SONGS)
    (tiny / inner / "5.mp3").unlink()
    with pytest.raises(datasets.Missing, match=r"1 of DEAM's 14 songs have no audio file in .*song 5: expected 5.mp3"):
        datasets.load("deam-audio")
    write(tiny, f"{inner}/4711.mp3", ["audio"])
    seen = deam_audio.survey("")
    assert [(item, kind) for item, kind, _ in seen.left_out] == [("5", "missing")]
    assert seen.unlisted == ["4711.mp3"] and seen.dataset is not None
    assert set(seen.dataset.items) == {str(song) for song in SONGS} - {"5"}
    assert seen.dataset.audio(0) == tiny / inner / "2.mp3" and seen.dataset.version != data.version


def test_missing_songs_are_listed_by_the_check(tiny, cache):
    tone = np.sin(np.arange(22_050) / 9.0)
    for number, song in enumerate(SONGS[1:]):
        (tiny / "MEMD_audio").mkdir(exist_ok=True)
        soundfile.write(tiny / "MEMD_audio" / f"{song}.wav", tone * (number + 1) / 99, 22_050)
    report = datacheck.check("deam-audio")
    assert [one.item for one in report.findings if one.kind == "missing"] == [str(SONGS[0])]
    assert report.recordings == len(SONGS) - 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a header frameTime"),
        ("frame,a,b\n0,1,2\n", "expected a header frameTime"),
        ("frameTime;a;b\n0;1\n", "line 2 has 2 values where the header has 3"),
        ("frameTime;a;b\n0;1;x\n", "a cell is no number"),
    ],
)
def test_a_wrong_feature_file_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "1.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_feature_csv(path)


@needs_deam
def test_the_released_feature_files_are_what_the_table_averages():
    table = pd.read_csv(REAL / "opensmile_song_level_1050.csv.gz").set_index("song_id")
    files = sorted((REAL / "features").glob("*.csv"))
    assert len(files) == 6
    for file in files:
        times_s, values, names = read_feature_csv(file)
        assert values.shape == (88, 260) and len(set(names)) == 260
        assert times_s == pytest.approx(np.arange(88) / 2)
        if int(file.stem) in table.index:
            expected = table.loc[int(file.stem), [f"{name}__mean" for name in names]].to_numpy(dtype=float)
            assert values.mean(axis=0) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@needs_deam
def test_real_songs_have_the_published_moments():
    data = datasets.load("deam")
    assert data.targets.shape == (1802, 2) and len(data.columns["lib73"]) == 73
    assert data.targets.mean(axis=0) == pytest.approx([4.90, 4.81], abs=0.006)
    assert data.targets.std(axis=0) == pytest.approx([1.17, 1.28], abs=0.006)
    parts = splits.assign(data, "official")
    assert [int((parts == part).sum()) for part in splits.PARTS] == [1550, 194, 58]
    assert len(data.traces) == 1802 and min(times[0] for times, _ in data.traces.values()) == 15.0


@needs_deam
def test_real_raters_average_to_the_labels_and_cap_the_scores():
    data = datasets.load("deam")
    means = data.raters.groupby("item")[["valence", "arousal"]].mean().loc[data.items].to_numpy()
    assert np.median(np.abs(means - data.targets)) < 0.01
    assert metrics.ccc(data.targets[:, 0], means[:, 0]) > 0.999
    # Songs up to id 2000 have ten raters: with equal k the classical formula holds, from pandas' own sums of squares.
    # (.82 and .86, often quoted, divide the raters' squares by k instead of k − 1 and so flatter the ceiling.)
    ten = data.raters[data.raters["item"].astype(int) <= 2000]
    for label, quoted in (("valence", 0.80), ("arousal", 0.85)):
        by_song = ten.groupby("item")[label]
        between = 10 * by_song.mean().var()
        within = by_song.var().mean()
        assert (between - within) / between == pytest.approx(quoted, abs=0.005)
        assert data.ceiling[f"r2_{label}"] == pytest.approx((between - within) / between, abs=0.01)


@needs_deam
def test_real_opensmile_has_its_405_excerpt_songs():
    data, only = datasets.load("deam-opensmile"), datasets.load("deam-opensmile-405")
    assert len(data.items) == 1050 and len(data.columns["opensmile260"]) == 520
    assert len(only.items) == 405 == (data.sources == "excerpt-only").sum()
