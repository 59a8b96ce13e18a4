"""A newcomer's first minute, in seconds: from `streamlit run` to Listen, and from an upload to its predictions.

    python benchmarks/first_minute.py [--rounds 3]

Each round has an empty cache, the starter runs, a new server and a new browser (headless Chromium). "Listen" is the
player with curves on it; "upload" is a 45 s stereo clip at 44.1 kHz that no round has seen before, until the player
shows it with new curves and its instruments.
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


def one_round(number: int) -> tuple[float, float]:
    """Seconds to Listen and from upload to predictions."""
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
            to_listen = time.monotonic() - started
            page.get_by_role("button", name="Upload").click()
            page.locator('input[type="file"]').first.set_input_files(str(sound))
            uploaded = time.monotonic()
            page.get_by_text(f"clip-{number}").locator("visible=true").first.wait_for(timeout=120_000)
            script = f"""() => [...document.querySelectorAll('*')].some(e => e.shadowRoot &&
                e.shadowRoot.querySelector('.deck')?.innerText.includes('clip-{number}'))"""
            page.wait_for_function(script, timeout=120_000)
            to_predictions = time.monotonic() - uploaded
            browser.close()
    return to_listen, to_predictions


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = [one_round(number) for number in range(parser.parse_args().rounds)]
    for name, values in zip(
        ("streamlit run → Listen", "upload of 45 s → predictions"), zip(*rounds, strict=True), strict=True
    ):
        told = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name}: median {statistics.median(values):.1f} s of n = {len(values)} ({told})")


if __name__ == "__main__":
    main()
