"""Switching pages with many runs in the store: click on a page's link until the page stands still, in Chromium.

    python benchmarks/pages.py [--runs 10000] [--rounds 5] [--port 8791] [--cache FOLDER]

A cache of finished runs is made (or taken from `--cache`, made there the first time), the app is started on it, and all
pages are gone through in turn. A switch ends when the page shows its title, no element is stale and the app says that
its script has ended. The first round (imports, first looks) is told apart. The target is 0.5 s at the 95th percentile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import index as index_benchmark
from core.store import default_store

ROOT = Path(__file__).resolve().parent.parent
TARGET_S = 0.5
QUIET = """name => {
    const app = document.querySelector('[data-testid="stApp"]');
    if (app?.getAttribute('data-test-script-state') !== 'notRunning' || !document.title.startsWith(name)) return false;
    const main = document.querySelector('[data-testid="stMain"]');
    return !main.querySelector('[data-stale="true"]')
        && [...main.querySelectorAll('h1')].some(h => h.textContent.trim() !== '');
}"""
"""Streamlit keeps the old page's elements, marked as stale, until the script of the new one has ended.

Asked with each frame: what costs the browser something comes last.
"""


def start(cache: Path, port: int) -> subprocess.Popen[bytes]:
    """The app on this cache, answering; its output goes to `app.log` there."""
    environment = {**os.environ, "EARSHOT_CACHE": str(cache), "EARSHOT_STARTER": str(cache / "no-starter")}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    command += ["--server.headless", "true"]
    with (cache / "app.log").open("wb") as log:
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    for _ in range(600):
        try:
            urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
            return app
        except OSError:
            time.sleep(0.1)
    app.kill()
    raise SystemExit(f"The app did not start; {cache / 'app.log'} says why.")


def switches(port: int, rounds: int, pid: int) -> dict[str, list[tuple[float, float]]]:
    """Of each switch to a page the wall seconds and the CPU seconds of the app (process `pid`), by the page's name.

    `rounds` + 1 each, the first one cold. CPU time is what a busy machine changes least.
    """
    from playwright.sync_api import sync_playwright

    times: dict[str, list[tuple[float, float]]] = {}
    app = psutil.Process(pid)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.goto(f"http://127.0.0.1:{port}")
        links = page.locator('[data-testid="stSidebarNavLink"]')
        page.wait_for_function(QUIET, arg="", timeout=240_000)  # before the first script the links are others
        names = [name.strip().splitlines()[-1] for name in links.all_inner_texts()]
        for _ in range(rounds + 1):
            for place in [*range(1, len(names)), 0]:
                began, cpu = time.perf_counter(), sum(app.cpu_times()[:2])
                links.nth(place).click()
                page.wait_for_function(QUIET, arg=names[place], timeout=120_000)
                taken = time.perf_counter() - began, sum(app.cpu_times()[:2]) - cpu
                times.setdefault(names[place], []).append(taken)
                _settle(page)
        browser.close()
    return times


def _settle(page: Any) -> None:
    page.wait_for_timeout(300)  # a person looks at a page before the next click; nothing measured waits for this


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8791)
    parser.add_argument("--cache", type=Path)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="earshot-pages-") as name:
        cache = chosen.cache or Path(name)
        os.environ |= {"EARSHOT_CACHE": str(cache), "EARSHOT_STARTER": str(cache / "no-starter")}
        if not (cache / "runs").is_dir():
            index_benchmark.make_runs(chosen.runs)
        store = default_store()
        store.sync()
        n_runs = int(store.query("SELECT count(*) FROM runs").iloc[0, 0])
        store.close()
        app = start(cache, chosen.port)
        try:
            times = switches(chosen.port, chosen.rounds, app.pid)
        finally:
            app.terminate()
            app.wait(30)
    print(f"{n_runs:,} runs, {os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} after")
    print(f"{'page':14} {'first':>8} {'median':>8} {'p95':>8} {'app CPU':>8} {'n':>3}")
    for page, taken in times.items():
        _tell(page, taken[0][0], np.array(taken[1:]))
    warm = np.concatenate([np.array(taken[1:]) for taken in times.values()])
    _tell("all", max(taken[0][0] for taken in times.values()), warm)
    print(f"target {TARGET_S} s at the 95th percentile: ratio {TARGET_S / np.quantile(warm[:, 0], 0.95):.2f}")


def _tell(page: str, first: float, warm: np.ndarray) -> None:
    median, late, cpu = np.median(warm[:, 0]), np.quantile(warm[:, 0], 0.95), np.median(warm[:, 1])
    print(f"{page:14} {first:6.2f} s {median:6.2f} s {late:6.2f} s {cpu:6.2f} s {len(warm):3}")


if __name__ == "__main__":
    main()
