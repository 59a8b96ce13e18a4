"""What browser tests share: Streamlit on a free port, Chromium, and where things are on the player."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--autoplay-policy=no-user-gesture-required"]
DECK = "document.querySelector('.stBidiComponent [data-testid]').shadowRoot.querySelector('.deck')"
"""The player in a page, for JavaScript."""
WATCH = """() => {
    const deck = DECK;
    window.seen = [];
    window.element = deck;
    new MutationObserver(() => window.seen.push([Number(deck.dataset.time), deck.dataset.playing]))
        .observe(deck, { attributes: true, attributeFilter: ['data-time', 'data-playing'] });
}""".replace("DECK", DECK)
"""Note from now on every time and state of the player in `window.seen`."""
IS_SAME = f"{DECK} === window.element"
"""Whether the player is still the one that WATCH saw."""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(script: Path, log: Path, **environment: str) -> Iterator[str]:
    """The address of a Streamlit that runs `script` until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)
    assert "not a valid config option" not in log.read_text()


@pytest.fixture(scope="module")
def browser():
    """Chromium; the test is skipped where it, or playwright, is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def attribute(page, name: str) -> str:
    """A data attribute of the player."""
    return page.get_by_test_id("deck").get_attribute(f"data-{name}")


def time_of(page) -> float:
    """Where the playhead is, in seconds."""
    return float(attribute(page, "time"))


def rest_of(page) -> float:
    """Where the playhead came to rest, in seconds; the browser tells the player of a pause a moment after the click."""
    page.wait_for_selector('[data-testid="deck"][data-playing="false"]')
    return time_of(page)


def at_fraction(page, fraction: float) -> tuple[float, float]:
    """Where on the page that share of the clip is, in the middle of the time panels."""
    box = page.get_by_test_id("deck-canvas-time").bounding_box()
    left, right = map(float, attribute(page, "plot").split(","))
    return box["x"] + left + (right - left) * fraction, box["y"] + box["height"] / 2


def wait_past(page, seconds: float) -> None:
    """Wait until the playhead has passed that second."""
    page.wait_for_function(f"Number({DECK}.dataset.time) > {seconds}")


def never_back(times_s: list[float]) -> bool:
    """Whether the playhead never jumped back. A starved browser's audio clock wavers: 86 ms were seen."""
    return all(later > earlier - 0.3 for earlier, later in pairwise(times_s))
