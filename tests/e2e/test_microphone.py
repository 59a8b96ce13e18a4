"""The live microphone in a real browser, with PortAudio reading a fake device: start, see it move, keep the take."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import numpy as np
import pytest

from core import audio
from tests import fake_microphone, made_runs
from tests.conftest import eventually
from tests.e2e.conftest import PROJECT, serving

PATIENCE_MS = 180_000  # a machine that is busy with other tests imports torch for a minute
LIVE = "document.querySelector('.stBidiComponent [data-testid]').shadowRoot.querySelector('.live')"


def chord() -> np.ndarray:
    """Fifteen seconds that swell between −40 and −14 dBFS every 2.5 s: a level meter has to move."""
    t = np.arange(15 * fake_microphone.RATE_HZ) / fake_microphone.RATE_HZ
    tone = sum(np.sin(2 * np.pi * hertz * t) for hertz in (220.0, 277.2, 329.6)) / 3
    return (0.3 * (1.05 - np.cos(2 * np.pi * t / 2.5)) / 2 * tone).astype(np.float32)


@pytest.mark.slow
def test_the_microphone_is_heard_and_its_take_kept(browser, cache: Path, tmp_path: Path) -> None:
    if ctypes.util.find_library("portaudio") is None or not Path("/usr/share/alsa/alsa.conf").exists():
        pytest.skip("PortAudio or ALSA is not installed")
    made_runs.emotion()
    made_runs.instruments()
    with (
        fake_microphone.playing(tmp_path, chord()) as environment,
        serving(PROJECT / "app.py", tmp_path / "log", EARSHOT_CACHE=str(cache), **environment) as url,
    ):
        page = browser.new_page(viewport={"width": 1360, "height": 950})
        page.set_default_timeout(PATIENCE_MS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{url}/?live=1")
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_test_id("live").wait_for()
        page.evaluate(
            f"""() => {{
                const live = {LIVE};
                window.element = live;
                window.levels = new Set();
                new MutationObserver(() => window.levels.add(Number(live.dataset.rms)))
                    .observe(live, {{ attributes: true, attributeFilter: ["data-rms"] }});
            }}"""
        )
        page.wait_for_function(f"{LIVE}.dataset.point !== ''")
        valence, arousal = map(float, page.get_by_test_id("live").get_attribute("data-point").split(","))
        assert 1 <= valence <= 9 and 1 <= arousal <= 9
        page.wait_for_function("window.levels.size >= 5")
        levels_db = page.evaluate("[...window.levels]")
        assert max(levels_db) - min(levels_db) > 6 and -60 < max(levels_db) < -10
        assert page.evaluate(f"{LIVE} === window.element"), "it was drawn anew instead of moving"
        page.get_by_role("button", name="Keep this take").click()
        page.get_by_test_id("deck").wait_for()
        assert "live=1" not in page.url and problems == []
        page.close()
    (path,) = (cache / "clips").glob("*.flac")
    assert "take" in path.name
    kept = audio.decode(path)
    assert kept.seconds > 3 and kept.sample_rate_hz == fake_microphone.RATE_HZ
    assert audio.loudness_db(kept.mono()) == pytest.approx(audio.loudness_db(chord()), abs=2)


@pytest.mark.slow
def test_a_closed_tab_gives_the_device_back(browser, cache: Path, tmp_path: Path) -> None:
    if ctypes.util.find_library("portaudio") is None or not Path("/usr/share/alsa/alsa.conf").exists():
        pytest.skip("PortAudio or ALSA is not installed")
    with (
        fake_microphone.playing(tmp_path, chord()) as environment,
        serving(PROJECT / "app.py", tmp_path / "log", EARSHOT_CACHE=str(cache), **environment) as url,
    ):
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}/?live=1")
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_test_id("live").wait_for()
        assert eventually(lambda: fake_microphone.readers(tmp_path) == 1)
        page.close()
        assert eventually(lambda: fake_microphone.readers(tmp_path) == 0)
