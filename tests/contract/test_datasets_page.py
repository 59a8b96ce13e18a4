"""The page Datasets: what is missing says how to get it; adding, undoing, removing; each view; user text as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamlit.testing.v1 import AppTest

from core import datajobs, datasets, shelf
from core.findings import Finding, Report
from tests.contract.test_pages import HOSTILE, assert_text, empty, opened, seen, words
from tests.unit.test_likeness import RATE, take

PAGE = "pages/datasets.py"
__all__ = ["empty"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Twelve recordings in six groups, with names and groups full of markup."""
    place = tmp_path / "mine"
    place.mkdir()
    rows = ["path,label,group,source"]
    for n in range(12):
        soundfile.write(place / f"{n} *b* `c`.wav", take(n, 1.0), RATE)
        rows.append(f"{n} *b* `c`.wav,{('pia', 'gac')[n % 2]},[g](x){n // 2},:red[s]")
    (place / "manifest.csv").write_text("\n".join(rows))
    return place


def plain(app: AppTest) -> str:
    return " ".join(words(app)).replace("\\", "")


def press(app: AppTest, label: str) -> AppTest:
    return seen(next(button for button in app.button if button.label == label).click().run())


def test_what_is_missing_says_where_to_get_it_and_how_it_should_lie(empty: Path) -> None:
    app = opened(PAGE, data="deam-audio")
    assert "https://cvml.unige.ch/databases/DEAM/" in plain(app) and "1.3 GB" in plain(app)
    assert any("MEMD_audio" in block.value for block in app.code)
    app = opened(PAGE, data="irmas")
    assert "CC BY-NC-SA 3.0" in plain(app) and any("IRMAS-TrainingData" in block.value for block in app.code)
    assert any("6705" in str(frame.value.to_numpy()) for frame in app.dataframe)


def test_a_folder_is_added_removed_and_both_undone(empty: Path, mine: Path) -> None:
    app = opened(PAGE)
    assert "None has been added yet" in plain(app)
    for value, label in (("mine", "Name"), (str(mine), "Folder")):
        next(box for box in app.text_input if box.label == label).set_value(value)
    press(app, "Add")
    assert shelf.added() == {"mine": mine} and app.query_params["data"] == "mine" and "mine was added." in plain(app)
    press(app, "Undo")
    assert shelf.added() == {}
    shelf.remember("mine", mine)
    app = opened(PAGE, data="mine")
    press(app, "Remove from the list")
    assert shelf.added() == {} and mine.is_dir() and "stays as it is" in plain(app)
    press(app, "Undo")
    assert shelf.added() == {"mine": mine}


def test_each_mistake_of_a_folder_is_one_sentence(empty: Path, mine: Path) -> None:
    (mine / "manifest.csv").write_text("path,label\nnowhere.wav,pia\n0 *b* `c`.wav,kazoo")
    app = opened(PAGE)
    next(box for box in app.text_input if box.label == "Name").set_value("mine")
    next(box for box in app.text_input if box.label == "Folder").set_value(str(mine))
    press(app, "Add")
    told = [box.value.replace("\\", "") for box in app.error]
    assert len(told) == 2 and "1 of 2 files" in told[0] and "kazoo" in told[1] and shelf.added() == {}
    assert_text(app)


@pytest.mark.parametrize("view", ["labels", "split", "raters", "listen", "check"])
@pytest.mark.parametrize("data", ["mine", "toy", "cues-small"])
def test_every_view_opens(empty: Path, mine: Path, data: str, view: str) -> None:
    shelf.remember("mine", mine)
    app = opened(PAGE, data=data, view=view)
    assert [box.value for box in app.error] == [] and app.query_params["view"] == view
    assert "Licence:" in plain(app)
    assert_text(app)


def test_a_split_is_shown_with_its_proof_or_with_the_leak(empty: Path) -> None:
    app = opened(PAGE, data="toy", view="split", split="grouped:3")
    assert "No group crosses: " in plain(app) and "= 80 groups" in plain(app)
    app = opened(PAGE, data="toy", view="split", split="random:0")
    assert "lie on more than one side" in plain(app)
    app = opened(PAGE, data="toy", view="split", split=HOSTILE)
    assert len(app.error) == 1 and "There is no split" in app.error[0].value
    assert_text(app)


def test_an_item_is_found_by_search_and_heard(empty: Path, mine: Path) -> None:
    shelf.remember("mine", mine)
    app = opened(PAGE, data="mine", view="listen")
    seen(next(box for box in app.text_input if box.label == "Search").set_value("11 *b*").run())
    assert "1 of 12 items." in plain(app) and "1 s, 22,050 Hz, 1 channels" in plain(app)
    seen(next(box for box in app.text_input if box.label == "Search").set_value("nothing has this name").run())
    assert "0 of 12 items." in plain(app)


def test_a_check_is_started_watched_cancelled_and_read(
    empty: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.remember("mine", mine)
    name, task, split = "mine", "instruments", "grouped:0"
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(datajobs, "start", lambda *words: started.append(words))
    app = opened(PAGE, data="mine", view="check")
    assert "has not been checked" in plain(app)
    press(app, "Check")
    assert started == [(name, task, split)]
    datajobs.write_job(name, task, split, datajobs.Job("starting", 0.4, "Listening: 5 of 12 recordings"))
    app = opened(PAGE, data="mine", view="check")
    press(app, "Cancel")
    assert datajobs.is_stop_asked(name, task, split)
    finding = Finding("duplicate", HOSTILE, "serious", f"{HOSTILE}.", 1, "correlation", "Delete one.", HOSTILE)
    report = Report(datasets.settled(name), task, split, "x", "2026-01-01T00:00:00+00:00", 9.0, 12, 6, 12, [finding])
    datajobs.write_report(report)
    datajobs.write_job(name, task, split, datajobs.Job("failed", 0, f"It broke: {HOSTILE}."))
    app = opened(PAGE, data="mine", view="check")
    assert "12 recordings read" in plain(app) and "It broke" in app.error[0].value
    assert any("DROP" in str(frame.value.to_numpy()) for frame in app.dataframe)
    (remedies,) = [text.value for text in app.markdown if text.value.startswith("**What to do**")]
    assert remedies.count("- **duplicate** ") == 1 and remedies.endswith("Delete one\\.")
    assert_text(app)


def test_a_corrected_table_is_read_at_once(empty: Path, mine: Path) -> None:
    shelf.remember("mine", mine)
    right = (mine / "manifest.csv").read_text()
    (mine / "manifest.csv").write_text(right.replace("0 *b*", "nowhere", 1))
    app = opened(PAGE, data="mine")
    assert "nowhere" in " ".join(box.value for box in app.error)
    (mine / "manifest.csv").write_text(right)
    app = seen(app.run())
    assert not app.error and "12" in [one.value for one in app.metric]


def test_a_long_item_is_played_from_its_beginning(empty: Path, tmp_path: Path) -> None:
    place = tmp_path / "long"
    place.mkdir()
    soundfile.write(place / "long.wav", np.resize(take(0, 1.0), 31 * 60 * 2000), 2000)
    (place / "labels.csv").write_text("path,valence,arousal\nlong.wav,2,3\n")
    app = opened(PAGE, data=f"folder:{place}", view="listen")
    assert not app.error, app.error
    assert "The first two minutes are played." in plain(app) and "1860 s, " in plain(app)
