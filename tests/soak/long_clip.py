"""A clip of hours and an upload of 300 MB through the real app and a real browser: memory, progress, cancel.

    python -m tests.soak.long_clip [--seconds 10800] [--kind flac|wav] [--file PATH] [--listen SECONDS] [--port 8655]

Makes the file, starts the app on an empty cache, uploads, waits until it is unpacked and heard, ends the listening once
and takes it up again. Samples the memory of the app and its children together (proportional: a page that several of
them share counts once). `--listen` ends the listening for good after that long, since its memory does not grow with the
clip. Prints one JSON object; exit status 1 where it passed 1.5 GB or the curves did not come.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

DECK = "document.querySelector('.stBidiComponent [data-testid]')?.shadowRoot.querySelector('.deck')"
PROJECT = Path(__file__).resolve().parents[2]
MOST_BYTES = 1.5e9
PATIENCE_S = 3600.0
RATE_HZ = 44_100


def make(path: Path, seconds: int, kind: str) -> None:
    """Stereo chords that change every ten seconds, with a little noise."""
    t, random = np.arange(RATE_HZ * 10) / RATE_HZ, np.random.default_rng(0)
    blocks = []
    for number, hz in enumerate((220, 247, 262, 294, 330, 349, 392, 440)):
        beat = 1 + 0.5 * np.sin(2 * np.pi * (1 + number % 5) * t)
        chord = sum(np.sin(2 * np.pi * hz * part * t) for part in (1, 1.5, 2)) * beat
        one = (0.03 + 0.02 * number) * chord / 3 + random.normal(0, 5e-5, len(t))
        blocks.append(np.rint(np.stack([one, one], 1) * 32767).astype(np.int16))
    with soundfile.SoundFile(str(path), "w", RATE_HZ, 2, "PCM_16", format=kind.upper()) as file:
        for number in range(seconds // 10):
            file.write(blocks[number * 5 % 8])


class Watch:
    """The most memory that a process and its children held together, sampled ten times a second."""

    def __init__(self, pid: int) -> None:
        self.peak, self.peak_by_stage = 0, {}  # type: int, dict[str, int]
        self.stage = "start"
        self._process, self._over = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            total = 0
            for one in [self._process, *self._children()]:
                try:
                    total += one.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
            self.peak_by_stage[self.stage] = max(self.peak_by_stage.get(self.stage, 0), total)

    def _children(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.Error:
            return []

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def _serve(port: int, cache: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if k != "EARSHOT_DATA"} | {"EARSHOT_CACHE": str(cache)}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = (cache / "server.log").open("wb")
    server = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
        except OSError:
            time.sleep(0.2)
            continue
        time.sleep(1)
        if server.poll() is not None:
            raise SystemExit(f"Something else answers at port {port}; choose another with --port.")
        return server
    server.kill()
    raise SystemExit("The app did not start.")


def _use(page: Any, port: int, sound: Path, watch: Watch, listen_s: float | None) -> dict[str, Any]:
    """Upload, see the progress, end the listening, take it up again, see the curves; seconds each step took."""
    took: dict[str, Any] = {}
    patience_ms = PATIENCE_S * 1000
    page.goto(f"http://127.0.0.1:{port}/", timeout=120_000)
    page.get_by_test_id("deck").wait_for(timeout=patience_ms)
    begun = time.monotonic()

    def step(name: str) -> None:
        nonlocal begun
        took[name] = round(time.monotonic() - begun, 1)
        begun, watch.stage = time.monotonic(), f"after {name}"

    step("first page")
    page.get_by_text("The whole clip", exact=True).wait_for(
        timeout=patience_ms
    )  # the script is through: a rerun closes the menu
    page.get_by_role("button", name="Upload").first.click()
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(str(sound), timeout=patience_ms)
    page.get_by_text("Reading ").first.wait_for(timeout=patience_ms)
    step("uploaded")
    page.get_by_text("Listening:").first.wait_for(timeout=patience_ms)
    step("unpacked, player there")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Go on listening").click(timeout=patience_ms)
    step("ended and taken up again")
    if listen_s:
        page.wait_for_timeout(1000 * listen_s)
        took["listened to"] = page.get_by_text("Listening:").first.inner_text()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Go on listening").wait_for(timeout=patience_ms)
    there = "true" if listen_s else f"{DECK}?.dataset.point"
    page.wait_for_function(f"{there} && !document.body.innerText.includes('Listening:')", timeout=patience_ms)
    step("heard for that long" if listen_s else "heard")
    page.get_by_test_id("deck-play").click()
    page.wait_for_function(f"Number({DECK}?.dataset.time) > 1", timeout=60_000)
    step("plays")
    return took


def measure(
    seconds: int,
    kind: str,
    port: int,
    file: Path | None = None,
    listen_s: float | None = None,
    shot: Path | None = None,
) -> dict[str, Any]:
    """The whole campaign on `file`, or on one made here."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="earshot-long-") as place:
        sound, cache = file or Path(place) / f"night.{kind}", Path(place) / "cache"
        cache.mkdir()
        if file is None:
            make(sound, seconds, kind)
        server = _serve(port, cache)
        watch = Watch(server.pid)
        try:
            with sync_playwright() as player:
                path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
                browser = player.chromium.launch(executable_path=path, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1360, "height": 1000})
                took = _use(page, port, sound, watch, listen_s)
                if shot:
                    page.screenshot(path=str(shot), full_page=True)
                browser.close()
        finally:
            watch.end()
            server.kill()
            server.wait()
        return {
            "seconds": round(soundfile.info(str(sound)).duration),
            "kind": sound.suffix[1:],
            "file_mb": round(sound.stat().st_size / 1e6, 1),
            "peak_mb": round(watch.peak / 1e6),
            "peak_mb_by_stage": {name: round(peak / 1e6) for name, peak in watch.peak_by_stage.items()},
            "took_s": took,
            "load": [round(one, 1) for one in os.getloadavg()],
        }


def main() -> int:
    """The campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3 * 3600)
    parser.add_argument("--kind", choices=["flac", "wav"], default="flac")
    parser.add_argument("--port", type=int, default=8655)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--listen", type=float)
    parser.add_argument("--shot", type=Path)
    given = parser.parse_args()
    report = measure(given.seconds, given.kind, given.port, given.file, given.listen, given.shot)
    print(json.dumps(report, indent=1))
    return 1 if report["peak_mb"] > MOST_BYTES / 1e6 else 0


if __name__ == "__main__":
    sys.exit(main())
