"""The app in a real browser: upload and listen, train and watch, come back by the address, stop, compare."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil
import pytest

from core import audio, rundir, sweeps
from tests import made_runs
from tests.conftest import eventually, processes_of
from tests.e2e.conftest import (
    IS_SAME,
    PROJECT,
    WATCH,
    at_fraction,
    attribute,
    never_back,
    rest_of,
    serving,
    time_of,
    wait_past,
)

pytestmark = pytest.mark.slow
SECONDS, RATE_HZ = 12.0, 22_050
SCRIPT_RESTS = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with one small model for the curves and one for the strip."""
    folder = tmp_path_factory.mktemp("app").resolve()
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}):
        os.environ.pop("EARSHOT_DATA", None)
        made_runs.emotion()
        made_runs.instruments()
        yield folder
    left = processes_of(folder)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=30)


@pytest.fixture(scope="module")
def address(cache: Path) -> Iterator[str]:
    with serving(PROJECT / "app.py", cache / "streamlit.log") as found:
        yield found


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """open(path) -> a page whose script has run; at the end none failed, logged an error or asked another server."""
    context = browser.new_context(viewport={"width": 1360, "height": 1100})
    errors: list[str] = []

    def note(message: Any) -> None:
        # Streamlit looks for its own server below the page's path first, and finds it one higher.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            errors.append(f"{message.text} ({message.location})")

    def open_page(path: str = "") -> Any:
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: is_local(request.url) or errors.append(f"asked {request.url}"))
        page.goto(f"{address}/{path}")
        page.wait_for_selector(SCRIPT_RESTS)
        page.locator("h1").wait_for()
        return page

    yield open_page
    shown = [text for page in context.pages for text in page.get_by_test_id("stException").all_inner_texts()]
    context.close()
    assert shown == []
    assert errors == []


def is_local(url: str) -> bool:
    return urlsplit(url).hostname == "127.0.0.1" or url.startswith(("data:", "blob:"))


def chords() -> bytes:
    """Four chords of three seconds, each higher and louder than the one before."""
    t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    part = (t // 3).astype(int)
    root_hz = 220 * 2 ** (np.array([0, 3, 5, 8])[part] / 12)
    sound = sum(np.sin(2 * np.pi * root_hz * ratio * t) for ratio in (1, 5 / 4, 3 / 2))
    return audio.wav_bytes((0.05 * (1 + part) * sound).astype(np.float32), RATE_HZ)


def upload(page: Any, name: str, data: bytes, answer: str) -> None:
    """Upload a file, and wait for the element that answers."""
    page.get_by_role("button", name="Upload").first.click()
    file = {"name": name, "mimeType": "audio/wav", "buffer": data}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files([file])
    page.get_by_test_id(answer).wait_for()  # its box must stay open while it travels
    page.keyboard.press("Escape")


def move_the_hop(page: Any, cache: Path, key: str) -> None:
    """Another hop makes the script run again, with other predictions."""
    before = len(predictions(cache))
    slider = page.get_by_role("slider", name="Hop")
    slider.focus()
    page.keyboard.press(key)
    eventually(lambda: len(predictions(cache)) >= before + 2)
    page.wait_for_selector(SCRIPT_RESTS)


def predictions(cache: Path) -> list[Path]:
    return list((cache / "predictions").rglob("*.json"))


def test_upload_listen_seek_and_move_a_control(opened: Callable[..., Any], cache: Path) -> None:
    page = opened()
    page.get_by_text("Upload or record a clip").wait_for()
    upload(page, "chords.wav", chords(), answer="deck")
    page.wait_for_selector('[data-testid="deck"][data-plot]')
    deck = page.get_by_test_id("deck")
    assert deck.locator(".title").inner_text() == "chords.wav"
    assert page.get_by_test_id("deck-time").inner_text() == "0:00.0 / 0:12.0"
    valence, arousal = map(float, attribute(page, "point").split(","))  # the curves are there
    assert 1 <= valence <= 9 and 1 <= arousal <= 9
    slider = page.get_by_role("slider", name="Position in the clip")
    said = slider.get_attribute("aria-valuetext").rsplit(", ", 1)[1]  # and so is the strip
    assert said.rsplit(" ", 1)[0] in made_names()

    page.get_by_test_id("deck-play").click()
    wait_past(page, 0.3)
    page.mouse.click(*at_fraction(page, 0.25))
    arrived = time_of(page)
    assert 3.0 - 0.03 <= arrived < 6.0
    wait_past(page, arrived + 0.2)

    page.evaluate(WATCH)
    before = time_of(page)
    move_the_hop(page, cache, "ArrowRight")
    wait_past(page, time_of(page) + 0.3)
    assert page.evaluate(IS_SAME)
    seen = page.evaluate("window.seen")
    assert never_back([before, *(time_s for time_s, _ in seen)])
    assert {state for _, state in seen} == {"true"}
    page.get_by_test_id("deck-play").click()
    rested = rest_of(page)

    upload(page, "broken.wav", b"These are words, not sound. " * 99, answer="stAlert")
    alert = page.get_by_test_id("stAlert")
    assert alert.count() == 1
    (sentence,) = alert.get_by_test_id("stMarkdownContainer").all_inner_texts()
    assert sentence.startswith("broken.wav holds text, not sound")
    page.wait_for_selector(SCRIPT_RESTS)
    assert (attribute(page, "playing"), time_of(page)) == ("false", rested)
    assert deck.locator(".title").inner_text() == "chords.wav"


def made_names() -> list[str]:
    from pages.deck import INSTRUMENT_NAMES

    return list(INSTRUMENT_NAMES.values())


def run_of(page: Any) -> str:
    return parse_qs(urlsplit(page.url).query).get("run", [""])[0]


def test_train_watch_come_back_stop_and_compare(opened: Callable[..., Any], cache: Path) -> None:
    page = opened("train?trainer=toy&data=toy&toy.seconds_per_step=0.05&toy.epochs=5000")
    monitor = page.locator(".st-key-monitor")
    assert monitor.count() == 0
    page.get_by_role("button", name="Start").click()
    monitor.get_by_text("running", exact=True).wait_for(timeout=90_000)
    run = run_of(page)
    folder = rundir.find(run)
    assert rundir.read_status(folder).state == "running"
    chart = monitor.locator("canvas").first
    chart.wait_for(timeout=30_000)

    page.reload()  # as after closing the tab: only the address is left
    monitor.get_by_text("running", exact=True).wait_for(timeout=30_000)
    assert run_of(page) == run
    chart.wait_for(timeout=30_000)
    step = rundir.read_status(folder).step
    eventually(lambda: rundir.read_status(folder).step > step)  # it went on all the while
    assert len([one for one in rundir.directories() if rundir.read_spec(one).trainer == "toy"]) == 1

    monitor.get_by_role("button", name="Stop").click()
    monitor.get_by_text("stopped", exact=True).wait_for(timeout=30_000)
    assert rundir.read_status(folder).state == "stopped"
    monitor.get_by_role("link", name="See it on the leaderboard").click()
    page.get_by_role("heading", name="Leaderboard").wait_for()
    table = page.get_by_test_id("stDataFrame").first
    table.locator("td", has_text="toy").first.wait_for(state="attached")
    assert parse_qs(urlsplit(page.url).query)["data"] == ["toy"]


def test_a_sweep_with_a_name_of_its_own_starts_once_and_opens(opened: Callable[..., Any], cache: Path) -> None:
    """The form's choices stand in the address, which leads to the sweep from then on."""
    page = opened("sweeps")
    name = page.get_by_role("textbox", name="Name")
    name.fill("lrmom")
    name.press("Enter")
    page.wait_for_url("**name=lrmom*")
    page.wait_for_selector(SCRIPT_RESTS)
    page.get_by_role("button", name="Start 18 runs").click()
    page.wait_for_url("**sweep=*")
    page.get_by_role("button", name="Pause").wait_for(timeout=30_000)
    (sweep,) = sweeps.listing()
    assert parse_qs(urlsplit(page.url).query) == {"sweep": [sweep.id]} and sweep.name == "lrmom"
    sweeps.cancel(sweep.id)


def test_page_links_lead_to_their_pages(opened: Callable[..., Any]) -> None:
    page = opened()
    links = page.get_by_test_id("stSidebarNavLink")
    names = [text.splitlines()[-1] for text in links.all_inner_texts()]
    assert len(names) >= 3
    for number, name in [*enumerate(names), (0, names[0])]:
        links.nth(number).click()
        page.get_by_role("heading", name=name, exact=True, level=1).wait_for()
        page.wait_for_selector(SCRIPT_RESTS)
        assert page.get_by_role("heading", level=1).count() == 1
