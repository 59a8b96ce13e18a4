"""Rating in a real browser: a trace on the clock of the sound, by mouse and by keys, and nothing lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from core import audio, library, ratings
from core.takes import Take
from tests.conftest import eventually
from tests.e2e.conftest import IS_SAME, PROJECT, WATCH, at_fraction, attribute, serving, time_of, wait_past

pytestmark = pytest.mark.slow
SECONDS, RATE_HZ = 12.0, 22_050
SCRIPT_RESTS = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with one clip and no run."""
    folder = tmp_path_factory.mktemp("rate").resolve()
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}):
        os.environ.pop("EARSHOT_DATA", None)
        t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
        library.keep(audio.wav_bytes((0.2 * np.sin(2 * np.pi * 220 * t)).astype(np.float32), RATE_HZ), "hum.wav")
        yield folder


@pytest.fixture(scope="module")
def address(cache: Path) -> Iterator[str]:
    with serving(PROJECT / "app.py", cache / "streamlit.log") as found:
        yield found


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """open(rater) -> the Rate page with its player drawn; at the end no page may have thrown an error."""
    contexts, errors = [], []

    def open_page(rater: str) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1360, "height": 1200}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/rate?rater={rater}")
        page.wait_for_selector('[data-testid="deck"][data-plot]')
        page.wait_for_selector(SCRIPT_RESTS)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def takes(rater: str) -> tuple[Take, ...]:
    (clip,) = [path.name for path in ratings.folder().iterdir() if len(path.name) == 64] or [""]
    return ratings.read(clip, rater).takes if clip else ()


def on_plane(page: Any, valence: float, arousal: float) -> tuple[float, float]:
    """Where on the page that point is: the margins are those of plane.js."""
    box = page.get_by_test_id("deck-plane").bounding_box()
    left, top, right = 38, 22, 10
    side = int(box["width"]) - left - right
    return box["x"] + left + (valence - 1) / 8 * side, box["y"] + top + (9 - arousal) / 8 * side


def record(page: Any) -> None:
    page.get_by_role("button", name="Record a trace").click()
    page.wait_for_selector('[data-testid="deck"][data-recording="true"][data-playing="true"]')


def test_a_drag_while_it_plays_is_two_moments_a_second_at_their_times(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("dora")
    page.mouse.click(*on_plane(page, 3.0, 7.0))
    assert [float(x) for x in attribute(page, "rating").split(",")] == pytest.approx([3, 7], abs=0.05)
    assert attribute(page, "recording") == "false" and takes("dora") == ()
    record(page)
    assert page.get_by_test_id("deck-rate-state").inner_text().startswith("Recording")
    wait_past(page, 2.2)
    page.mouse.move(*on_plane(page, 3.0, 7.0))
    page.mouse.down()
    before = time_of(page)
    page.mouse.move(*on_plane(page, 8.0, 2.0))
    after = time_of(page)
    page.mouse.up()
    wait_past(page, 5.2)
    page.get_by_role("button", name="Stop recording").click()
    stopped = time_of(page)
    eventually(lambda: takes("dora") and takes("dora")[0].times_s[-1] > stopped - 0.55)
    (take,) = takes("dora")
    assert take.kind == "trace"
    assert list(take.times_s) == [i / 2 for i in range(1, len(take.times_s) + 1)]
    assert take.times_s[-1] <= stopped + 0.02
    for time_s, valence, arousal in zip(take.times_s, take.valence, take.arousal, strict=True):
        if time_s < before - 0.1:
            assert (valence, arousal) == pytest.approx((3, 7), abs=0.06), time_s
        if time_s > after + 0.1:
            assert (valence, arousal) == pytest.approx((8, 2), abs=0.06), time_s
    assert {round(value) for value in take.valence} == {3, 8}


def test_a_rerun_in_the_middle_loses_nothing(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("rita")
    page.mouse.click(*on_plane(page, 6.0, 6.0))
    record(page)
    wait_past(page, 1.2)
    page.evaluate(WATCH)
    page.get_by_text("voice", exact=True).click()  # another part of the page makes the script run
    wait_past(page, 4.5)  # and the trace so far is sent meanwhile, which makes it run again
    eventually(lambda: any(len(take.times_s) >= 4 for take in takes("rita")))
    assert page.evaluate(IS_SAME) and attribute(page, "recording") == "true"
    wait_past(page, 7.2)
    page.get_by_test_id("deck-play").click()  # pausing sends at once
    paused = time_of(page)
    eventually(lambda: takes("rita")[0].times_s[-1] > paused - 0.55)
    (take,) = takes("rita")
    assert list(take.times_s) == [i / 2 for i in range(1, len(take.times_s) + 1)]
    (clip,) = ratings.clips()
    assert ratings.read(clip.sha256, "rita").instruments == ("voi",)


def test_what_the_server_never_heard_is_sent_after_a_reload(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("olga")
    page.mouse.click(*on_plane(page, 2.0, 2.0))
    page.evaluate("() => { window.WebSocket.prototype.send = () => undefined; }")  # the line is dead
    record(page)
    wait_past(page, 1.7)
    page.get_by_role("button", name="Stop recording").click()
    assert "saving" in page.get_by_test_id("deck-rate-state").inner_text()
    assert takes("olga") == ()
    page.reload()
    page.wait_for_selector('[data-testid="deck"][data-plot]')
    eventually(lambda: takes("olga"))
    assert takes("olga")[0].times_s[:3] == (0.5, 1.0, 1.5)
    page.wait_for_function("() => !JSON.stringify({...localStorage}).includes('olga')")


def test_keys_move_the_rating_and_say_where_it_is(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("kim")
    plane = page.get_by_role("slider", name="Your rating")
    plane.focus()
    assert "not placed yet" in plane.get_attribute("aria-valuetext")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    assert plane.get_attribute("aria-valuetext") == "valence 5.2, arousal 5.4"
    assert time_of(page) == 0.0  # they did not seek
    page.get_by_role("button", name="Keep for the song").click()
    eventually(lambda: takes("kim"))
    (take,) = takes("kim")
    assert (take.kind, take.valence, take.arousal) == ("song", (5.2,), (5.4,))
    assert page.get_by_test_id("deck-rate-said").inner_text() == "Kept for the whole song."
    record(page)
    assert page.evaluate("() => document.activeElement.shadowRoot.activeElement.dataset.testid") == "deck-plane"
    wait_past(page, 0.7)
    for _ in range(9):
        page.keyboard.press("Shift+ArrowLeft")
    wait_past(page, time_of(page) + 0.6)
    page.keyboard.press("Space")
    eventually(lambda: len(takes("kim")) == 2 and takes("kim")[1].valence[-1] == 1.0)  # the edge holds
    assert takes("kim")[1].valence[0] == 5.2


def test_seeking_leaves_a_gap_and_the_end_keeps_the_take(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("gil")
    page.mouse.click(*on_plane(page, 4.0, 4.0))
    record(page)
    wait_past(page, 1.1)
    page.mouse.click(*at_fraction(page, 0.9))
    page.wait_for_selector('[data-testid="deck"][data-recording="false"]', timeout=20_000)
    eventually(lambda: takes("gil") and takes("gil")[0].times_s[-1] >= 11.5)
    times_s = takes("gil")[0].times_s
    assert times_s[:2] == (0.5, 1.0) and not [t for t in times_s if 3 < t <= 10.5]
    assert {11.0, 11.5} <= set(times_s)


def test_undo_delete_and_raters_on_the_page(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("una")
    page.mouse.click(*on_plane(page, 4.0, 4.0))
    for count in (1, 2):
        page.get_by_role("button", name="Keep for the song").click()
        eventually(lambda count=count: len(takes("una")) == count)
        page.wait_for_selector(SCRIPT_RESTS)
    first, second = (take.id for take in takes("una"))
    page.get_by_role("button", name="Delete").last.click()  # the oldest stands last
    eventually(lambda: [take.id for take in takes("una")] == [second])
    page.get_by_role("button", name="Undo").click()
    eventually(lambda: [take.id for take in takes("una")] == [first, second])
    page.get_by_role("button", name="Redo").click()
    eventually(lambda: [take.id for take in takes("una")] == [second])
    name = page.get_by_role("textbox", name="Rater")
    name.fill("somebody else")
    name.press("Enter")
    page.get_by_text("None yet. Press Record").wait_for()
    assert page.get_by_test_id("deck-rate-said").inner_text() == ""  # una kept her song, somebody else did not
    assert [take.id for take in takes("una")] == [second] and takes("somebody else") == ()
