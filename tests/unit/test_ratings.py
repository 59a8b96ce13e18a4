"""Ratings on the disk: kept apart by rater, undone and redone, never shortened, whole whatever the browser sends."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from core import audio, ratings

SHA = "a" * 64


def trace(name: str, moments: int, valence: float = 6.0) -> dict[str, object]:
    times_s = [(i + 1) / 2 for i in range(moments)]
    return {"id": name, "kind": "trace", "times_s": times_s, "valence": [valence] * moments, "arousal": [4.0] * moments}


def song(name: str, valence: float, arousal: float) -> dict[str, object]:
    return {"id": name, "kind": "song", "times_s": [], "valence": [valence], "arousal": [arousal]}


def standing(rater: str = "Anna") -> list[str]:
    return [take.id for take in ratings.read(SHA, rater).takes]


def test_raters_are_kept_apart_and_known_by_their_names(cache: Path) -> None:
    ratings.put(SHA, "Anna", [song("one", 7, 3)])
    ratings.put(SHA, "Jörg / ..", [song("two", 2, 8)])
    assert ratings.read(SHA, " anna ").song == (7.0, 3.0)
    assert ratings.read(SHA, "Jörg / ..").song == (2.0, 8.0)
    assert {rating.rater for rating in ratings.ratings_of(SHA).values()} == {"Anna", "Jörg / .."}
    assert all(path.parent.name == SHA for path in ratings.folder().rglob("*.json"))


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b", "a\u202eb"])
def test_a_name_that_cannot_be_one_is_refused(cache: Path, name: str) -> None:
    with pytest.raises(ValueError, match="1 to 40 printable"):
        ratings.put(SHA, name, [song("one", 5, 5)])


def test_names_that_are_files_or_everyone_get_a_file_of_their_own(cache: Path) -> None:
    ids = [ratings.rater_id(name) for name in ("about", "everyone", "../../x", "a b", "a-b", "Ab", "ab")]
    assert len(set(ids)) == 6 and ids[-1] == ids[-2] == "ab"
    assert not {"about", "everyone"} & set(ids) and not any("/" in one or "." in one for one in ids)


def test_undo_and_redo_walk_through_every_step(cache: Path) -> None:
    ratings.put(SHA, "Anna", [trace("one", 4)])
    ratings.put(SHA, "Anna", [song("two", 8, 2)])
    ratings.set_instruments(SHA, "Anna", ["voi", "pia"])
    ratings.delete_take(SHA, "Anna", "one")
    assert (standing(), ratings.read(SHA, "Anna").instruments) == (["two"], ("pia", "voi"))
    seen = []
    while ratings.read(SHA, "Anna").can_undo:
        ratings.undo(SHA, "Anna")
        seen.append((standing(), ratings.read(SHA, "Anna").instruments))
    assert seen == [(["one", "two"], ("pia", "voi")), (["one", "two"], None), (["one"], None), ([], None)]
    ratings.redo(SHA, "Anna")
    ratings.redo(SHA, "Anna")
    assert standing() == ["one", "two"]
    ratings.put(SHA, "Anna", [song("three", 1, 1)])
    assert not ratings.read(SHA, "Anna").can_redo  # another way was taken


def test_what_counts_is_the_newest_and_a_trace_counts_by_its_mean(cache: Path) -> None:
    growing = trace("one", 3) | {"valence": [4.0, 5.0, 9.0]}
    ratings.put(SHA, "Anna", [growing])
    assert ratings.read(SHA, "Anna").song == (6.0, 4.0)
    ratings.put(SHA, "Anna", [song("two", 8, 2), song("three", 3, 3)])
    assert ratings.read(SHA, "Anna").song == (3.0, 3.0)
    newest = ratings.read(SHA, "Anna").newest("trace")
    assert newest is not None and newest.times_s == (0.5, 1.0, 1.5)


def test_a_trace_grows_and_is_never_shortened_or_brought_back(cache: Path) -> None:
    for moments in (2, 6, 4):  # the last message was overtaken
        ratings.put(SHA, "Anna", [trace("one", moments)])
    assert ratings.saved_moments(SHA, "Anna") == {"one": 6}
    ratings.undo(SHA, "Anna")
    ratings.put(SHA, "Anna", [trace("one", 8)])
    assert standing() == [] and ratings.saved_moments(SHA, "Anna") == {"one": 8}
    ratings.redo(SHA, "Anna")
    assert len(ratings.read(SHA, "Anna").takes[0].times_s) == 8


BAD = [
    {"kind": "dance"},
    {"id": "../one"},
    {"id": None},
    {"valence": [6.0]},
    {"times_s": [0.5, 0.5, 1.0]},
    {"times_s": [0.5, 1.0, float("nan")]},
    {"times_s": [-0.5, 1.0, 1.5]},
    {"times_s": [0.5, 1.0, 99.0]},
    {"valence": [6.0, 6.0, 9.1]},
    {"arousal": [float("nan")] * 3},
    {"arousal": "high"},
    {"times_s": [], "valence": [], "arousal": []},
    {"kind": "song"},
    {"valence": [10**400] * 3},
]


@pytest.mark.parametrize("wrong", BAD)
def test_what_is_no_take_is_refused_and_nothing_of_the_message_kept(cache: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ratings.put(SHA, "Anna", [song("good", 5, 5), trace("one", 3) | wrong], seconds=12.0)
    assert ratings.read(SHA, "Anna").takes == ()


def test_instruments_said_none_differs_from_not_said(cache: Path) -> None:
    assert ratings.read(SHA, "Anna").instruments is None
    ratings.set_instruments(SHA, "Anna", [])
    assert ratings.read(SHA, "Anna").instruments == ()
    with pytest.raises(ValueError, match="no instrument 'kazoo'"):
        ratings.set_instruments(SHA, "Anna", ["kazoo"])


def test_two_tabs_lose_nothing_of_each_other(cache: Path) -> None:
    def work(tab: str) -> None:
        for i in range(20):
            ratings.put(SHA, "Anna", [song(f"{tab}-{i}", 5, 5)])

    tabs = [threading.Thread(target=work, args=(tab,)) for tab in ("a", "b", "c")]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(standing()) == 60


@pytest.mark.parametrize(
    "damage", [b"", b'{"format": 1', b"\xff\xfe", b"[]", b'{"now": {"takes": ["x"]}, "takes": {}}']
)
def test_a_damaged_file_is_put_aside_and_rating_goes_on(cache: Path, damage: bytes) -> None:
    ratings.put(SHA, "Anna", [song("one", 5, 5)])
    path = ratings.folder() / SHA / "anna.json"
    path.write_bytes(damage)
    assert ratings.read(SHA, "Anna").takes == () and ratings.ratings_of(SHA) == {}
    ratings.put(SHA, "Anna", [song("two", 5, 5)])
    assert standing() == ["two"]
    (aside,) = path.parent.glob("anna.damaged-*")
    assert aside.read_bytes() == damage


def test_the_clip_is_kept_and_outlives_its_source(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "tone.wav"
    source.write_bytes(audio.wav_bytes(np.sin(np.arange(8000) / 9).astype(np.float32), 8000))
    sha256 = audio.file_hash(source)
    ratings.keep_clip(source, sha256, "A tone", 1.0)
    assert ratings.clips() == []  # nobody has rated it yet
    ratings.put(sha256, "Anna", [song("one", 5, 5)])
    source.unlink()
    (clip,) = ratings.clips()
    assert (clip.title, clip.seconds, audio.file_hash(clip.path)) == ("A tone", 1.0, sha256)
    assert ratings.raters() == {"anna": "Anna"}
    stored = json.loads((clip.path.parent / "anna.json").read_text())
    assert stored["format"] == ratings.FORMAT


def test_a_place_outside_the_ratings_is_refused(cache: Path) -> None:
    with pytest.raises(ValueError, match="is no clip"):
        ratings.put("../../runs", "Anna", [song("one", 5, 5)])
