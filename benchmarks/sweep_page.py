"""Looking at a large sweep while it trains: from a click on one of its views until the page stands still, in Chromium.

    python benchmarks/sweep_page.py [--runs 1000] [--epochs 100] [--rounds 4] [--port 8792]

A sweep of toy runs is started in a cache of its own, and its page opened; all views are clicked in turn, `--rounds`
times while the runs train, and as often once they are done. The first click on each view is told apart: what it needs
is imported and computed then. The target is 1 s for each of the others.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import start
from core import sweepfile, sweeps
from tests.soak.sweeps import CELLS, GIVEN_UP_S, PATIENCE_S, TEXT, processes

TARGET_S = 1.0
LOOKED_AT_S = 1.0
RESTS = """() => document.querySelector('[data-testid="stApp"]').getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid="stMain"] [data-stale="true"]')"""

Times = dict[str, list[tuple[float, float]]]
"""View → (wall seconds, processor seconds of the app) of each click."""


def clicks(page: Any, app: psutil.Process, rounds: int, sweep: str = "") -> tuple[Times, int]:
    """Click through the views; how long each took, and how many clicks fell into the training of `sweep`."""
    group = page.get_by_test_id("stMain").get_by_test_id("stButtonGroup").first
    names = [name.strip() for name in group.get_by_role("radio").all_inner_texts()]
    times: Times = {}
    n_training = 0
    for _ in range(rounds):
        for name in [*names[1:], names[0]]:
            began, cpu = time.perf_counter(), sum(app.cpu_times()[:2])
            group.get_by_text(name, exact=True).click()
            page.wait_for_timeout(50)  # the browser says that the script runs a frame or two after the click
            page.wait_for_function(RESTS, timeout=120_000)
            times.setdefault(name, []).append((time.perf_counter() - began, sum(app.cpu_times()[:2]) - cpu))
            n_training += bool(sweep) and sweeps.summary(sweep).state != "done"
            page.wait_for_timeout(LOOKED_AT_S * 1000)
    return times, n_training


def _ended(sweep: str) -> None:
    began = time.monotonic()
    while (state := sweeps.summary(sweep).state) != "done":
        if state != "running" or time.monotonic() - began > PATIENCE_S:
            raise SystemExit(f"After {PATIENCE_S:.0f} s the sweep is {state}.")
        time.sleep(1.0)


def tell(times: Times, title: str) -> None:
    """Print a table, and what share of the clicks but the first on each view is below the target."""
    print(f"{title}\n{'view':14} {'first':>8} {'median':>8} {'slowest':>8} {'app CPU':>8} {'n':>3}")
    for name, taken in times.items():
        warm = np.array(taken[1:])
        told = (f"{value:6.2f} s" for value in (np.median(warm[:, 0]), warm[:, 0].max(), np.median(warm[:, 1])))
        print(f"{name:14} {taken[0][0]:6.2f} s {' '.join(told)} {len(warm):3}")
    wall = np.concatenate([np.array(taken[1:])[:, 0] for taken in times.values()])
    median, late = np.median(wall), np.quantile(wall, 0.95)
    print(f"all: median {median:.2f} s, p95 {late:.2f} s, slowest {wall.max():.2f} s, n = {len(wall)}")
    print(f"target {TARGET_S:g} s each: {np.mean(wall < TARGET_S):.0%} below it")


def main() -> None:
    """Start the sweep, click, print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=4, help="2 or more")
    parser.add_argument("--port", type=int, default=8792)
    given = parser.parse_args()
    if given.rounds < 2:
        parser.error("The first round is told apart; at least 2 are needed.")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="earshot-sweep-") as folder, sync_playwright() as playwright:
        cache = Path(folder).resolve()
        os.environ |= {"EARSHOT_CACHE": str(cache), "EARSHOT_STARTER": str(cache / "no-starter")}
        text = TEXT.format(seeds=list(range(given.runs // CELLS)), together="true", epochs=given.epochs)
        sweep = sweeps.start(sweepfile.parse(text))
        app = start(cache, given.port)
        try:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(f"http://127.0.0.1:{given.port}/sweeps?sweep={sweep}")
            page.get_by_test_id("stMain").get_by_text("Progress", exact=True).first.wait_for(timeout=GIVEN_UP_S * 2000)
            page.wait_for_function(RESTS, timeout=120_000)
            watched = psutil.Process(app.pid)
            training, n_training = clicks(page, watched, given.rounds, sweep)
            _ended(sweep)
            at_rest, _ = clicks(page, watched, given.rounds)
            browser.close()
        finally:
            app.kill()
            for module in ("core.supervisor", "core.many"):  # the supervisor first, or it starts them again
                for process in processes(module):
                    process.kill()
            app.wait()
    n_clicks = sum(map(len, training.values()))
    print(f"{given.runs:,} runs, {os.cpu_count()} cores, load {load:.1f} before")
    tell(training, f"while they train ({n_training} of {n_clicks} clicks fell into it)")
    tell(at_rest, "once they are done")


if __name__ == "__main__":
    main()
