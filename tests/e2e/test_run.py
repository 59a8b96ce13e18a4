"""One run in a real browser: its epochs heard and compared, deleted and brought back; agreement, and the difference
that a listener's ratings made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import trainers
from core import audio, library, ratings, rundir, runner, supervisor, trash
from tests import made_runs
from tests.conftest import eventually
from tests.e2e.conftest import PROJECT, attribute, serving, wait_past

pytestmark = pytest.mark.slow
SECONDS, RATE_HZ = 6.0, 22_050
SCRIPT_RESTS = '[data-testid="stApp"][data-test-script-state="notRunning"]'
ROW_PX = 35
"""Height of a row of a table, and of its head."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of three epochs that can listen, four clips that two people rated, and a run bent towards one of them."""
    folder = tmp_path_factory.mktemp("run").resolve()
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}):
        os.environ.pop("EARSHOT_DATA", None)
        made_runs.finished("toy", made_runs.stand_in("cues-small", "emotion", "lib164", 3.0), {"epochs": 3})
        base = made_runs.emotion()
        for number in range(4):
            t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
            sound = (0.2 * np.sin(2 * np.pi * 220 * (1 + number) * t)).astype(np.float32)
            entry, clip = library.keep(audio.wav_bytes(sound, RATE_HZ), f"tone {number}.wav")
            ratings.keep_clip(entry.path, clip.sha256, entry.title, SECONDS)
            for rater, shift in (("Anna", 0.0), ("Bob", 1.0)):
                song = {"kind": "song", "times_s": [], "valence": [2.0 + number + shift], "arousal": [7.0 - number]}
                ratings.put(clip.sha256, rater, [{"id": f"{rater.lower()}{number:08d}", **song}])
        spec = supervisor.new_spec(
            trainers.load("personal"), {"base": base.name}, data="rated:anna", split="grouped:0", device="cpu"
        )
        assert runner.main(rundir.create(spec)) == 0
        yield folder


@pytest.fixture(scope="module")
def address(cache: Path) -> Iterator[str]:
    with serving(PROJECT / "app.py", cache / "streamlit.log") as found:
        yield found


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[[str], Any]]:
    """open(path) -> a page whose script has run; at the end none may have failed."""
    context = browser.new_context(viewport={"width": 1360, "height": 1300})
    context.set_default_timeout(90_000)  # other tests may keep both cores busy
    errors: list[str] = []

    def open_page(path: str) -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/{path}")
        page.locator("h1").wait_for()
        page.wait_for_selector(SCRIPT_RESTS)
        return page

    yield open_page
    shown = [text for page in context.pages for text in page.get_by_test_id("stException").all_inner_texts()]
    context.close()
    assert shown == [] and errors == []


def run_of(trainer: str) -> Path:
    (folder,) = (one for one in rundir.directories() if rundir.read_spec(one).trainer == trainer)
    return folder


def tick(page: Any, row: int) -> None:
    """Select or unselect a row (from 0) of the page's table."""
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 16, box["y"] + ROW_PX * (row + 1.5))
    page.wait_for_selector(SCRIPT_RESTS)


def asked(page: Any, name: str) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get(name, [])


def test_an_epoch_is_heard_and_two_are_compared_on_one_clip(opened: Callable[[str], Any], cache: Path) -> None:
    run = run_of("toy").name
    page = opened(f"run?run={run}&view=Checkpoints")
    tick(page, 0)  # the newest stands first
    page.get_by_role("link", name="Listen to epoch 3").wait_for()
    tick(page, 2)
    page.get_by_role("link", name="Hear epoch 1 and epoch 3 on one clip").click()
    page.get_by_role("heading", name="Listen", level=1).wait_for()
    page.wait_for_selector('[data-testid="deck"][data-plot]')
    assert asked(page, "emotion") == [f"{run}@1", f"{run}@3"]
    deck = page.get_by_test_id("deck")
    for name in ("epoch 1", "epoch 3"):
        deck.get_by_text(name).first.wait_for()
    # Both are read at the playhead of one sound: there is one player, and so one loudness.
    assert page.get_by_test_id("deck-play").count() == 1 and page.locator("audio").count() <= 1
    page.get_by_test_id("deck-play").click()
    wait_past(page, 0.3)
    assert attribute(page, "playing") == "true"


def test_a_run_is_deleted_and_brought_back_by_mouse(opened: Callable[[str], Any], cache: Path) -> None:
    folder = run_of("toy")
    page = opened(f"run?run={folder.name}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("is in the trash.").wait_for()
    eventually(lambda: [path.name for path in trash.trashed()] == [folder.name])
    assert not folder.exists() and asked(page, "run") == []
    page.get_by_text("Choose a run").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="toy, seed 0").wait_for()
    assert folder.is_dir() and trash.trashed() == []
    eventually(lambda: asked(page, "run") == [folder.name])
    assert page.get_by_text("is in the trash.").count() == 0


def test_agreement_is_told_and_the_difference_heard(opened: Callable[[str], Any], cache: Path) -> None:
    page = opened("rate?rater=Anna")
    page.get_by_text("Over the 4 clips you rated").wait_for()
    cells = page.get_by_test_id("stDataFrame").last.locator("td")
    cells.filter(has_text="rater Bob").first.wait_for(state="attached")
    said = cells.all_inner_texts()
    row = said.index("rater Bob")
    # Bob hears every clip one point more pleasant; of four clips that is all that can be told.
    assert said[row + 1 : row + 6] == ["valence", "4", "—", "—", "−1.00"]
    page.get_by_role("button", name="Hear the difference").click()
    page.get_by_role("heading", name="Listen", level=1).wait_for()
    page.wait_for_selector('[data-testid="deck"][data-plot]')
    assert asked(page, "emotion") == [run_of("personal").name, run_of("ridge").name]
    table = page.get_by_test_id("deck").inner_text()
    assert "personal" in table and "ridge" in table


def test_a_link_to_the_page_itself_changes_the_address(opened: Callable[[str], Any]) -> None:
    page = opened("run")
    page.locator(f'[data-testid="stMain"] a[href*="run={run_of("toy").name}"]').first.click()
    page.get_by_text("Another run").wait_for()
    eventually(lambda: parse_qs(urlsplit(page.url).query).get("run") == [run_of("toy").name])
    page.get_by_test_id("stMain").get_by_text("Scores", exact=True).click()
    page.get_by_test_id("stMain").get_by_text("Another run").click()
    page.get_by_text("Choose a run").wait_for()
    eventually(lambda: "run" not in parse_qs(urlsplit(page.url).query))
    assert not page.get_by_text("Another run").count()
