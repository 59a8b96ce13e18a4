"""The page Rate: takes and ticks of each rater, what can be told from how many clips, and the way to Train."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import audio, library, ratings, rundir
from tests import made_runs
from tests.contract.test_pages import HOSTILE, assert_text, empty, opened, seen, words

PAGE = "pages/rate.py"
HOSTILE_RATER = "<b>x</b> [a](b) *c* `d` $e$ :red[f]"
__all__ = ["empty"]


def clip(number: int, title: str = "") -> tuple[str, str]:
    """Key and SHA-256 of a kept tone of 2 s."""
    t = np.arange(2 * 8000) / 8000
    sound = audio.wav_bytes((0.3 * np.sin(2 * np.pi * 110 * (number + 1) * t)).astype(np.float32), 8000)
    entry, kept = library.keep(sound, f"{title or f'tone {number}'}.wav")
    return entry.key, kept.sha256


def rate(number: int, rater: str, valence: float, arousal: float = 5.0, title: str = "") -> tuple[str, str]:
    key, sha256 = clip(number, title)
    path = library.folder() / key
    ratings.keep_clip(path, sha256, title or f"tone {number}", 2.0)
    take = {"id": f"take-{number}", "kind": "song", "times_s": [], "valence": [valence], "arousal": [arousal]}
    ratings.put(sha256, rater, [take])
    return key, sha256


def said(app: AppTest) -> str:
    return " ".join([*words(app), *(element.value for element in app.markdown)]).replace("\\", "")


def table(app: AppTest, column: str) -> Any:
    return next(frame.value for frame in app.dataframe if column in frame.value)


def press(app: AppTest, label: str) -> AppTest:
    return seen(next(button for button in app.button if button.label == label).click().run())


def test_takes_can_be_deleted_undone_and_made_again(empty: Path) -> None:
    key, sha256 = rate(0, "Anna", 7.0)
    app = opened(PAGE, clip=key, rater="Anna")
    assert "valence 7.0, arousal 5.0" in said(app)
    app = press(app, "Delete")
    assert ratings.read(sha256, "Anna").takes == () and "None yet" in said(app)
    app = press(app, "Undo")
    assert len(ratings.read(sha256, "Anna").takes) == 1
    press(app, "Redo")
    assert ratings.read(sha256, "Anna").takes == ()


def test_a_full_disk_is_said_and_the_page_stays(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*about: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    key, sha256 = rate(0, "Anna", 7.0)
    app = opened(PAGE, clip=key, rater="Anna")
    monkeypatch.setattr("core.disk.replace", full)
    sentence = "That could not be kept: The disk is full: free some space, then try again."
    assert sentence in said(press(app, "Delete"))
    assert sentence in said(seen(app.get("button_group")[0].set_value(["pia"]).run()))
    assert len(ratings.read(sha256, "Anna").takes) == 1


def test_ticks_are_kept_follow_undo_and_keep_the_clip(empty: Path) -> None:
    key, sha256 = clip(0)
    app = opened(PAGE, clip=key, rater="Anna")
    (ticks,) = app.get("button_group")
    app = seen(ticks.set_value(["pia", "voi"]).run())
    assert ratings.read(sha256, "Anna").instruments == ("pia", "voi") and ratings.audio_of(sha256) is not None
    none = next(box for box in app.checkbox if box.label == "None of these plays")
    app = seen(none.check().run())
    assert ratings.read(sha256, "Anna").instruments == ()
    app = press(app, "Undo")
    assert app.get("button_group")[0].value == ["pia", "voi"]
    assert ratings.read(sha256, "Bob").instruments is None


@pytest.mark.parametrize("n, tells", [(1, False), (2, False), (3, True)])
def test_below_three_clips_nothing_is_told(empty: Path, n: int, tells: bool) -> None:
    for number in range(n):
        key, _ = rate(number, "Anna", 2.0 + number)
        rate(number, "Bob", 3.0 + number)
    app = opened(PAGE, clip=key, rater="Anna")
    assert (f"rate {3 - n} more" in said(app)) is not tells
    assert "r = .51 (valence) and .57 (arousal)" in said(app)
    if tells:
        rows = table(app, "n (clips)").set_index(["with", "of"])
        assert rows.loc[("rater Bob", "valence"), ["n (clips)", "r", "yours − theirs (points)"]].tolist() == [
            3, "—", "−1.00",
        ]  # fmt: skip
    assert ("No correlation yet: r and CCC are told from 10 clips on" in said(app)) is tells


def test_nothing_of_others_is_told_before_the_clip_is_rated_and_the_switch_is_on(empty: Path) -> None:
    made_runs.emotion("cues", "lib164", 3.0)
    for number in range(4):  # three clips that Anna rated, and one that she did not
        key, sha256 = rate(number, "Bob", 8.7, 1.3)
        if number < 3:
            rate(number, "Anna", 2.0 + number)

    def told_of_it(app: AppTest) -> bool:
        return any("who" in frame.value for frame in app.dataframe)

    app = opened(PAGE, clip=key, rater="Anna")
    (switch,) = app.toggle
    assert switch.disabled and not told_of_it(app) and "is told once you have rated it" in said(app)
    ratings.put(sha256, "Anna", [{"id": "mine", "kind": "song", "times_s": [], "valence": [4.0], "arousal": [5.0]}])
    app = seen(app.run())
    (switch,) = app.toggle
    assert not switch.disabled and not switch.value and not told_of_it(app)
    assert "is told where you switch on Show what others say" in said(app)
    app = seen(switch.set_value(True).run())
    who = table(app, "who")["who"].tolist()
    assert who[0] == "you, Anna: your value for the whole song" and set(who[1:]) == {"rater Bob", "model ridge on cues"}
    other, _ = clip(0)
    app = seen(app.selectbox(key="clip").set_value(other).run())
    assert not app.toggle[0].value and not told_of_it(app)  # off again for each clip


def test_listen_says_who_rated_a_clip_but_not_what(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(sha256: str) -> None:
        from types import SimpleNamespace

        from pages import agreement

        agreement.teaser(SimpleNamespace(key="clip"), sha256)  # type: ignore[arg-type]

    _, sha256 = rate(0, "Bob", 8.7, 1.3)
    monkeypatch.setattr("streamlit.page_link", lambda *about, **more: None)  # there are no pages here
    told = said(seen(AppTest.from_function(page, kwargs={"sha256": sha256}).run()))
    assert "Rated by Bob." in told and "8.7" not in told and "1.3" not in told


def test_the_model_stands_beside_the_raters_and_on_top_of_it_is_a_link(empty: Path) -> None:
    run = made_runs.emotion("cues", "lib164", 3.0).name
    for number in range(3):
        key, _ = rate(number, "Anna", 2.0 + number)
    app = opened(PAGE, clip=key, rater="Anna")
    rows = table(app, "n (clips)")
    assert set(rows["with"]) == {"model ridge on cues"} and rows["n (clips)"].tolist() == [3, 3]
    app = press(app, "On top of ridge on cues")
    chosen = {box.label: box.value for box in app.selectbox}
    assert (chosen["Data set"], chosen["Rater"], chosen["Trainer"]) == ("rated", "anna", "personal")
    assert chosen["Base"] == run
    assert any(f"--data rated:anna --seed 0 --set base={run}" in block.value for block in app.code)
    assert "3 clips rated here by Anna" in said(app)


def test_retrain_on_my_ratings_fills_the_form(empty: Path) -> None:
    for number in range(3):
        key, _ = rate(number, "Anna", 2.0 + number)
        rate(number, "Bob", 4.0)
    app = press(opened(PAGE, clip=key, rater="bob"), "Retrain on my ratings")
    chosen = {box.label: box.value for box in app.selectbox}
    assert (chosen["Data set"], chosen["Rater"], chosen["Trainer"]) == ("rated", "bob", "ridge")
    assert not any(rundir.directories())  # the user starts it


def test_rated_without_ratings_says_how_to_get_some(empty: Path) -> None:
    app = opened("pages/train.py", data="rated")
    assert "choose a clip on the page Rate" in said(app)


def test_names_are_shown_as_text(empty: Path) -> None:
    key, _ = rate(0, HOSTILE_RATER, 3.0, title=HOSTILE)
    rate(0, "Anna", 4.0, title=HOSTILE)
    for number in (1, 2):
        rate(number, HOSTILE_RATER, 5.0 + number)
    app = opened(PAGE, clip=key, rater=HOSTILE_RATER)
    assert_text(app)
    assert [box.value for box in app.error] == []
    assert_text(press(app, "Retrain on my ratings"))


@pytest.mark.parametrize("rater", ["", "x" * 99, "\x00"])
def test_a_rater_that_cannot_be_one_is_a_sentence(empty: Path, rater: str) -> None:
    key, _ = clip(0)
    app = opened(PAGE, clip=key, rater=rater)
    assert len(app.error) == (0 if len(rater) > 40 else 1)  # a long one is cut
