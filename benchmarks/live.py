"""What watching costs: the share of one core that app and browser take while runs train before one's eyes.

    python benchmarks/live.py [--runs 4] [--points 10000] [--seconds 60]

As many processes as there are runs write one event a second to run directories that already hold that many steps of
four numbers each, as a runner does: heartbeat, status and all. They do not train, and what they use is not counted. The
app's Train page shows all of them in headless Chromium; then the Run page shows one; last a page that says
`st.write("hello")`, for what an idle Streamlit page takes. Each is left alone for 15 s, and longer while the app still
imports in the background; then processor seconds of the server's and of the browser's processes are counted.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from core import rundir

STEPS_PER_EPOCH, EPOCHS = 100, 200
SETTLE_S = 15.0
IMPORTING_SHARE = 0.3
HELLO = 'import streamlit as st\n\nst.write("hello")\n'


# ---- a run that is under way ----


def values_at(step: int, noise: random.Random) -> dict[str, float]:
    """The numbers of one step: curves that fall with noise, and scores with the last step of an epoch."""
    loss = 0.3 + 2.0 * math.exp(-step / 4000) + noise.gauss(0, 0.05)
    told = {"train/loss": loss, "optim/loss": loss + 0.1, "optim/learning_rate": 0.01 * 0.5 ** (step // 2500)}
    told["optim/gradient_norm"] = abs(noise.gauss(1.0, 0.3))
    if step % STEPS_PER_EPOCH == 0:
        told |= {"validation/loss": loss + 0.1, "validation/macro_f1": 1 - math.exp(-step / 5000)}
    return told


def write(folder: Path, points: int) -> None:
    """Be the process of a run: `points` steps at once, then one a second, until killed."""
    writer, noise, step = rundir.Writer(folder), random.Random(folder.name), 0
    writer.set(state="running", device="cpu")

    def one() -> None:
        epoch = step / STEPS_PER_EPOCH
        writer.event("metrics", step=step, epoch=epoch, values=values_at(step, noise))

    for step in range(1, points + 1):  # noqa: B007 (`one` writes it)
        one()
    print("ready", flush=True)
    threading.Thread(target=_beat, args=(writer,), daemon=True).start()
    while True:
        time.sleep(1.0)
        step += 1
        one()
        epoch = step / STEPS_PER_EPOCH
        writer.set(step=step, epoch=epoch, fraction=min(epoch / EPOCHS, 1.0), trained_s=float(step))


def _beat(writer: rundir.Writer) -> None:
    while True:
        time.sleep(1.0)
        writer.beat()


def start_runs(count: int, points: int) -> tuple[list[str], list[subprocess.Popen[bytes]]]:
    """That many runs under way, by name, and their processes."""
    names, processes = [], []
    for seed in range(count):
        spec = rundir.Spec(
            rundir.new_id("instrunet"), "instrunet", {"epochs": EPOCHS}, "cues-small", "instruments", "official", seed,
            "cpu", created_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        folder = rundir.create(spec)
        command = [sys.executable, __file__, "--write", str(folder), "--points", str(points)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        names.append(spec.id)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    return names, processes


# ---- who watches ----


def used_s() -> tuple[float, float]:
    """Processor seconds of the server and of the browser, with all their processes."""
    server = browser = 0.0
    for one in psutil.Process().children(recursive=True):
        try:
            words, spent = " ".join(one.cmdline()), sum(one.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
        server += spent if "streamlit" in words and "run" in words else 0.0
        browser += spent if "chrom" in one.name() else 0.0
    return server, browser


def settle() -> None:
    """Wait until what the app imports in the background, a core for some seconds, is there."""
    time.sleep(SETTLE_S)
    share = 1.0
    while share > IMPORTING_SHARE:
        before = used_s()[0]
        time.sleep(5.0)
        share = (used_s()[0] - before) / 5.0


def watched(script: Path, path: str, see: str, seconds: float, shot: str = "") -> tuple[float, float]:
    """Share of one core of server and browser while a page is looked at; `see` must be on it."""
    from playwright.sync_api import sync_playwright

    from tests.e2e.conftest import CHROMIUM, FLAGS, serving

    log = Path(os.environ["EARSHOT_CACHE"]) / "app.log"
    with sync_playwright() as driver, serving(script, log) as address:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        page.goto(address + path)
        page.locator(see).first.wait_for(timeout=300_000)
        settle()
        before, started = used_s(), time.monotonic()
        time.sleep(seconds)
        after, took_s = used_s(), time.monotonic() - started
        if shot:
            page.screenshot(path=shot, full_page=True)
        browser.close()
    return (after[0] - before[0]) / took_s, (after[1] - before[1]) / took_s


def main() -> None:
    """Look at each page in turn and print its shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=("train", "run", "hello"))
    parser.add_argument("--shots", default="", help="a folder for a picture of each page")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.write:
        return write(words.write, words.points)
    os.environ.pop("EARSHOT_DATA", None)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["EARSHOT_CACHE"] = cache
        hello = Path(cache) / "hello.py"
        hello.write_text(HELLO)
        runs, processes = start_runs(words.runs, words.points)
        app = Path(__file__).resolve().parents[1] / "app.py"
        chart = '[data-testid="stEChartsChart"]'
        pages = {
            "train": (f"Train page, {words.runs} runs × {words.points:,} points", app, f"/train?{_query(runs)}", chart),
            "run": (f"Run page, 1 run × {words.points:,} points", app, f"/run?{_query(runs[:1])}", chart),
            "hello": ("a page that says hello", hello, "/", "text=hello"),
        }
        try:
            for name, (title, script, path, see) in pages.items():
                if words.only in (None, name):
                    shot = f"{words.shots}/{name}.png" if words.shots else ""
                    server, browser = watched(script, path, see, words.seconds, shot)
                    told = f"{server + browser:.1%} of one core (app {server:.1%}, browser {browser:.1%})"
                    print(f"{title}: {told} over {words.seconds:g} s", flush=True)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    print("load over 1, 5, 15 minutes:", ", ".join(f"{value:.1f}" for value in os.getloadavg()))


def _query(runs: list[str]) -> str:
    return "&".join(f"run={run}" for run in runs)


if __name__ == "__main__":
    main()
