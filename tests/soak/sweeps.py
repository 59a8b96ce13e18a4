"""A sweep of many toy runs while its supervisor and two of its processes are killed: is any run lost?

    python -m tests.soak.sweeps --runs 1000 [--apart 40] [--seed 0]

`--runs` train in groups, `--apart` more in a process each. Prints one JSON object: seconds from start to end, the share
of a core that the supervisor used (its own, by /proc), and whatever went wrong; exit status 1 where something did.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from core import paths, rundir, sweepfile, sweeps
from core.store import memory_store

TEXT = """name = "soak"
trainer = "toy"
data = "toy"
seeds = {seeds}
together = {together}
[set]
epochs = {epochs}
[factors]
learning_rate = [0.01, 0.02, 0.05, 0.1, 0.2]
momentum = [0.0, 0.9]
"""
CELLS = 10
PATIENCE_S = 1800.0


def processes(module: str) -> list[psutil.Process]:
    """The processes of this cache that run a module of ours."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = module in process.cmdline() and process.environ().get("EARSHOT_CACHE") == str(paths.cache())
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


class Watch:
    """The processor time of every supervisor there was, and how long they were watched."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[float, float]] = {}
        self.used_s = self.watched_s = 0.0

    def look(self) -> None:
        """Add what was used since the last look; what a supervisor needs to start is not counted."""
        for process in processes("core.supervisor"):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            now, used = time.monotonic(), times.user + times.system
            if process.pid in self.last:
                before, used_before = self.last[process.pid]
                self.used_s, self.watched_s = self.used_s + used - used_before, self.watched_s + now - before
            self.last[process.pid] = now, used


def go(
    n_runs: int, n_apart: int, seed: int = 0, epochs: int = 3, *, n_kills: int = 2, n_supervisors: int = 1
) -> dict[str, Any]:
    """Start both sweeps, kill the supervisor and `n_kills` of their processes, mend, and look at what came."""
    moment, began, watch = random.Random(seed), time.monotonic(), Watch()
    started = []
    for count, together in ((n_apart, "false"), (n_runs, "true")):
        if count:
            text = TEXT.format(seeds=list(range(max(count // CELLS, 1))), together=together, epochs=epochs)
            started.append(sweeps.start(sweepfile.parse(text)))
    made_s = time.monotonic() - began
    victims = [("core.supervisor", n_supervisors), ("core.many", n_kills if not n_apart else max(n_kills - 1, 0))]
    victims += [("core.runner", 1)] if n_apart and n_kills else []
    order = [module for module, n in victims for _ in range(n)]
    moment.shuffle(order)
    kill_at, killed, reruns = time.monotonic() + moment.uniform(1.0, 3.0), [], 0
    while time.monotonic() - began < PATIENCE_S:
        watch.look()
        summaries = [sweeps.summary(sweep) for sweep in started]
        there = {module: processes(module) for module in order} if order and time.monotonic() > kill_at else {}
        victim = next((module for module, found in there.items() if found), None)  # runners end before groups begin
        if victim is not None:
            moment.choice(there[victim]).kill()
            killed.append(victim)
            order.remove(victim)
            kill_at = time.monotonic() + moment.uniform(0.5, 3.0)
        elif not order and all(summary.state == "done" for summary in summaries):
            break
        for summary in summaries:
            if summary.counts.get("lost") or summary.counts.get("failed"):
                sweeps.rerun_failed(summary.id)
                reruns += 1
        sweeps.supervisor.ensure()
        time.sleep(0.3)
    seconds = time.monotonic() - began
    return {
        "runs": n_runs + n_apart,
        "made_s": round(made_s, 2),
        "seconds": round(seconds, 1),
        "killed": killed,
        "reruns": reruns,
        "supervisor_share": round(watch.used_s / watch.watched_s, 4) if watch.watched_s else None,
        "supervisor_watched_s": round(watch.watched_s, 1),
        "wrong": wrong(started, n_runs + n_apart),
        "load": os.getloadavg()[0],
    }


def wrong(started: list[str], expected: int) -> list[str]:
    """What should not be: runs that are not done, are missing, have two results or none, or gaps in their log."""
    found, store, total = [], memory_store(), 0
    for sweep in started:
        frame = sweeps.results(store, sweep)
        total += len(frame)
        found += [f"{row.run} is {row.state}" for row in frame.itertuples() if row.state != "done"]
        found += [f"{run} has no score" for run in frame.loc[frame["test/ccc"].isna(), "run"]]
        for run in frame["run"]:
            events, _ = rundir.read_events(paths.runs() / run)
            if [event["n"] for event in events] != list(range(1, len(events) + 1)):
                found.append(f"{run}: its events are not numbered 1 to {len(events)}")
    if total != expected:
        found.append(f"{total} runs of {expected}")
    return found


def main() -> int:
    """The campaign, in a cache of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--apart", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EARSHOT_CACHE"] = str(Path(folder).resolve())
        report = go(given.runs, given.apart, given.seed, given.epochs, n_kills=given.kills)
        for module in ("core.supervisor", "core.many", "core.runner"):
            for process in processes(module):
                process.kill()
        time.sleep(0.5)
    print(json.dumps(report, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
