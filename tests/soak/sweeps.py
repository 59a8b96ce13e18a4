"""A sweep of many toy runs while its supervisor and its processes are killed, alone and together: is any run lost?

Nobody but the supervisors mends anything: a run that was killed once must be done at the end, without being run again.

    python -m tests.soak.sweeps --runs 1000 [--apart 40] [--seed 0]

`--runs` train in groups, `--apart` more in a process each. Prints one JSON object: seconds from start to end, the share
of a core that the supervisor used (its own, by /proc), and whatever went wrong; exit status 1 where something did.
"""

from __future__ import annotations

import argparse
import contextlib
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
GIVEN_UP_S = 60.0
"""A sweep in which nothing has moved for so long, and not all is done, has lost something."""
BOTH = "core.supervisor and its process"


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
    n_runs: int,
    n_apart: int,
    seed: int = 0,
    epochs: int = 3,
    *,
    n_kills: int = 2,
    n_supervisors: int = 1,
    n_both: int = 0,
) -> dict[str, Any]:
    """Start both sweeps, kill the supervisor, `n_kills` of their processes and `n_both` pairs of the two at once, and
    look at what came. No run is killed twice: the supervisor takes each up once."""
    moment, began, watch = random.Random(seed), time.monotonic(), Watch()
    started = []
    for count, together in ((n_apart, "false"), (n_runs, "true")):
        if count:
            text = TEXT.format(seeds=list(range(max(count // CELLS, 1))), together=together, epochs=epochs)
            started.append(sweeps.start(sweepfile.parse(text)))
    made_s = time.monotonic() - began
    victims = [("core.supervisor", n_supervisors), ("core.many", n_kills if not n_apart else max(n_kills - 1, 0))]
    victims += [("core.runner", 1)] if n_apart and n_kills else []
    order = [module for module, n in (*victims, (BOTH, n_both)) for _ in range(n)]
    moment.shuffle(order)
    kill_at, moved_at = time.monotonic() + moment.uniform(1.0, 3.0), time.monotonic()
    killed: list[str] = []
    hit: set[str] = set()
    before: Any = None
    while time.monotonic() - began < PATIENCE_S:
        watch.look()
        summaries = [sweeps.summary(sweep) for sweep in started]
        there = {module: prey(module, hit) for module in order} if order and time.monotonic() > kill_at else {}
        victim = next((module for module, found in there.items() if found), None)  # runners end before groups begin
        if victim is not None:
            hit |= kill(moment.choice(there[victim]))
            killed.append(victim)
            order.remove(victim)
            kill_at = time.monotonic() + moment.uniform(0.5, 3.0)
        elif all(summary.state == "done" for summary in summaries):
            break
        now = [(summary.counts, summary.fraction) for summary in summaries]
        if now != before:
            moved_at, before = time.monotonic(), now
        elif time.monotonic() - moved_at > GIVEN_UP_S and all(summary.state == "incomplete" for summary in summaries):
            break
        sweeps.supervisor.ensure()
        time.sleep(0.3)
    seconds = time.monotonic() - began
    return {
        "runs": n_runs + n_apart,
        "made_s": round(made_s, 2),
        "seconds": round(seconds, 1),
        "killed": killed,
        "runs_killed": len(hit),
        "supervisor_share": round(watch.used_s / watch.watched_s, 4) if watch.watched_s else None,
        "supervisor_watched_s": round(watch.watched_s, 1),
        "wrong": wrong(started, n_runs + n_apart),
        "load": os.getloadavg()[0],
    }


def runs_in(process: psutil.Process) -> set[str]:
    """The runs that a process trains, by its command line; none where it is gone, or a supervisor."""
    try:
        return {Path(one).name for one in process.cmdline() if Path(one).parent == paths.runs()}
    except psutil.NoSuchProcess:
        return set()


def prey(module: str, hit: set[str]) -> list[list[psutil.Process]]:
    """What may be killed at one blow, with no run in `hit`: a process of a module, or supervisor and process (BOTH)."""
    if module == BOTH:
        trained = [*processes("core.runner"), *processes("core.many")]
        return [[boss, one] for boss in processes("core.supervisor") for one in trained if not runs_in(one) & hit]
    return [[one] for one in processes(module) if not runs_in(one) & hit]


def kill(found: list[psutil.Process]) -> set[str]:
    """Kill them at once; the runs that were in them."""
    runs = {run for process in found for run in runs_in(process)}
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return runs


def wrong(started: list[str], expected: int) -> list[str]:
    """What should not be: runs that are not done, are missing, have two results or none, or gaps in their log."""
    found, store, total = [], memory_store(), 0
    for sweep in started:
        frame = sweeps.results(store, sweep)
        total += len(frame)
        found += [f"{row.run} is {row.state}" for row in frame.itertuples() if row.state != "done"]
        again = [run for entry in sweeps.read(sweep).entries for run in entry.before]
        found += [f"{run} had to be run again" for run in again]
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
        report = go(given.runs, given.apart, given.seed, given.epochs, n_kills=given.kills, n_both=1)
        for module in ("core.supervisor", "core.many", "core.runner"):
            for process in processes(module):
                process.kill()
        time.sleep(0.5)
    print(json.dumps(report, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
