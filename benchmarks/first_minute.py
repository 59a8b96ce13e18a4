"""A newcomer's first minute, in seconds: from `streamlit run` to Listen, and from an upload to its predictions.

    python benchmarks/first_minute.py [--rounds 3]

Each round has an empty cache, the starter runs, a new server and a new browser (headless Chromium). "Listen" is the
player with curves on it; "upload" is a 45 s stereo clip at 44.1 kHz that no round has seen before, until the player
shows it with new curves and its instruments. It is uploaded once the server rests, its imports done (`--at-once`: while
they are under way). Processor seconds are the server's; the load of the machine says what the times are worth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from playwright.sync_api import sync_playwright

from core import audio
from tests.e2e.conftest import CHROMIUM, FLAGS, PROJECT, serving

RATE_HZ, SECONDS = 44_100, 45.0
DECK = '[data-testid="deck"]'


def clip(seed: int) -> bytes:
    """45 s of chords and noise in stereo, different for every seed."""
    random = np.random.default_rng(seed)
    t = np.arange(int(RATE_HZ * SECONDS)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * f * t) for f in random.uniform(100, 900, 4)) / 8
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(1, 3) * t)
    noise = 0.02 * random.standard_normal((2, len(t)))
    return audio.wav_bytes((chord * beat + noise).astype(np.float32), RATE_HZ)


def used_s() -> float:
    """Processor seconds of the server, which is a child of this process, and of its own children."""
    servers = [one for one in psutil.Process().children() if "streamlit" in one.cmdline()]
    return sum(sum(one.cpu_times()[:4]) for one in servers)


def rest() -> None:
    """Wait until the server has not worked for a second: its imports are done."""
    before, now = -1.0, used_s()
    while now - before > 0.1:
        time.sleep(1.0)
        before, now = now, used_s()


def one_round(number: int, is_at_once: bool) -> tuple[float, float, float, float]:
    """Seconds to Listen and the server's processor seconds; the same from upload to predictions."""
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as driver:
        os.environ["EARSHOT_CACHE"] = cache
        os.environ.pop("EARSHOT_DATA", None)
        sound = Path(cache) / f"clip-{number}.wav"
        sound.write_bytes(clip(number))
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        started = time.monotonic()
        with serving(PROJECT / "app.py", Path(cache) / "log") as address:
            page.goto(address)
            page.locator(DECK).wait_for(timeout=120_000)
            to_listen, listen_cpu = time.monotonic() - started, used_s()
            if not is_at_once:
                time.sleep(2.0)  # the imports begin a second after the page
                rest()
            page.get_by_role("button", name="Upload").click()
            page.locator('input[type="file"]').first.set_input_files(str(sound))
            uploaded, before = time.monotonic(), used_s()
            page.get_by_text(f"clip-{number}").locator("visible=true").first.wait_for(timeout=120_000)
            script = f"""() => [...document.querySelectorAll('*')].some(e => e.shadowRoot &&
                e.shadowRoot.querySelector('.deck')?.innerText.includes('clip-{number}'))"""
            page.wait_for_function(script, timeout=120_000)
            to_predictions, upload_cpu = time.monotonic() - uploaded, used_s() - before
            browser.close()
    return to_listen, listen_cpu, to_predictions, upload_cpu


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", action="store_true")
    words = parser.parse_args()
    rounds = [one_round(number, words.at_once) for number in range(words.rounds)]
    names = ("streamlit run → Listen", "  processor", "upload of 45 s → predictions", "  processor")
    for name, values in zip(names, zip(*rounds, strict=True), strict=True):
        told = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name}: median {statistics.median(values):.1f} s of n = {len(values)} ({told})")
    print("load over 1, 5, 15 minutes:", ", ".join(f"{value:.1f}" for value in os.getloadavg()))


if __name__ == "__main__":
    main()
