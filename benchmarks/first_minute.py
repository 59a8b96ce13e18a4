"""A newcomer's first minute, in seconds: from `streamlit run` to Listen, and from an upload to its predictions.

    python benchmarks/first_minute.py [--rounds 5] [--start-only] [--at-once]

Each round has an empty cache, the starter runs, a new server and a new browser (headless Chromium), and runs twice:
once the app, once a script that says `st.write("hello")` under the same configuration: what Streamlit itself costs.
"Listen" is the player with its curves on a page whose script is at rest. Python keeps compiled modules between the
rounds, as any installation does after its first start; that first start, in which every module is compiled, is told by
itself. "Upload" is a 45 s stereo clip at 44.1 kHz that no round has seen before, until the player shows it with new
curves and its instruments. It is uploaded once the server rests, its imports done (`--at-once`: while they are under
way). Processor seconds are the server's and the browser's; the load of the machine says what the times are worth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from core import audio
from tests.e2e.conftest import CHROMIUM, FLAGS, PROJECT, serving

RATE_HZ, SECONDS = 44_100, 45.0
DECK = '[data-testid="deck"]'
HELLO = 'import streamlit as st\n\nst.write("hello")\n'
AT_REST = "document.querySelector('[data-test-script-state]')?.dataset.testScriptState === 'notRunning'"
WAIT_MS = 120_000


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


def browser_s() -> float:
    """Processor seconds of every process of the browser."""
    total = 0.0
    for one in psutil.Process().children(recursive=True):
        try:
            total += sum(one.cpu_times()[:2]) if "chrom" in one.name() else 0.0
        except psutil.NoSuchProcess:
            continue
    return total


def rest() -> None:
    """Wait until the server has not worked for a second: its imports are done."""
    before, now = -1.0, used_s()
    while now - before > 0.1:
        time.sleep(1.0)
        before, now = now, used_s()


def upload(page: Page, sound: Path) -> dict[str, float]:
    """Seconds, the server's among them, from an upload to the player that shows its curves."""
    page.get_by_role("button", name="Upload").click()
    page.locator('input[type="file"]').first.set_input_files(str(sound))
    uploaded, before = time.monotonic(), used_s()
    page.get_by_text(sound.stem).locator("visible=true").first.wait_for(timeout=WAIT_MS)
    script = f"""() => [...document.querySelectorAll('*')].some(e => e.shadowRoot &&
        e.shadowRoot.querySelector('.deck')?.innerText.includes('{sound.stem}'))"""
    page.wait_for_function(script, timeout=WAIT_MS)
    return {"upload of 45 s → predictions": time.monotonic() - uploaded, "  its server": used_s() - before}


def one_start(number: int, script: Path | None, words: argparse.Namespace) -> dict[str, float]:
    """The app's seconds where `script` is None, else those of the script that says hello."""
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as driver:
        os.environ["EARSHOT_CACHE"] = cache
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        page.goto("about:blank")
        browser_before, started = browser_s(), time.monotonic()
        with serving(script or PROJECT / "app.py", Path(cache) / "log") as address:
            listening = time.monotonic() - started
            page.goto(address)
            (page.get_by_text("hello") if script else page.locator(DECK)).first.wait_for(timeout=WAIT_MS)
            shown = time.monotonic() - started
            page.wait_for_function(AT_REST, timeout=WAIT_MS)
            found = {
                "seconds": time.monotonic() - started,
                "  to the server's first answer": listening,
                "  to the first sight": shown,
                "  processor, server": used_s(),
                "  processor, browser": browser_s() - browser_before,
            }
            if not script and not words.start_only:
                if not words.at_once:
                    time.sleep(3.0)  # the imports begin some seconds after the page
                    rest()
                sound = Path(cache) / f"clip-{number}.wav"
                sound.write_bytes(clip(number))
                found |= upload(page, sound)
            browser.close()
    return found


def tell(title: str, rounds: list[dict[str, float]]) -> None:
    """Medians, with every value beside them."""
    print(f"{title}, n = {len(rounds)}")
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        print(
            f"  {name}: median {statistics.median(values):.2f} s ({', '.join(f'{v:.2f}' for v in values)})", flush=True
        )


def main() -> None:
    """Run the rounds, app and hello in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--start-only", action="store_true")
    parser.add_argument("--at-once", action="store_true")
    words = parser.parse_args()
    os.environ.pop("EARSHOT_DATA", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it would have every start compile pandas and the others anew
    with tempfile.TemporaryDirectory() as kept:
        os.environ["PYTHONPYCACHEPREFIX"] = f"{kept}/compiled"
        hello = Path(kept) / "hello.py"
        hello.write_text(HELLO)
        scripts: dict[str, Any] = {"Listen": None, "hello": hello}
        quick = argparse.Namespace(**{**vars(words), "start_only": True})
        tell("Listen, nothing compiled", [one_start(words.rounds + 1, None, quick)])
        one_start(words.rounds, None, argparse.Namespace(start_only=False, at_once=False))  # the modules imported later
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in scripts}
        for number in range(words.rounds):
            for name, script in scripts.items():
                rounds[name].append(one_start(number, script, words))
    for name, found in rounds.items():
        tell(name, found)
    ratios = [app["seconds"] / bare["seconds"] for app, bare in zip(*rounds.values(), strict=True)]
    print(f"Listen / hello: median {statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})")
    print("load over 1, 5, 15 minutes:", ", ".join(f"{value:.1f}" for value in os.getloadavg()))


if __name__ == "__main__":
    main()
