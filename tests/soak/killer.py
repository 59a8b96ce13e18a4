"""SIGKILL, over and over: runners, supervisors, and a process that ingests and asks as the app does.

    python -m tests.soak.killer --rounds 200 [--trainer instrunet] [--seed 0]

A round starts the victims, waits for a random moment or for a write to be under way, kills, and looks: is everything
that was acknowledged still there, does a reader see the truth, and, when the run is through, has it become what an
undisturbed one becomes, bit for bit? Prints one JSON object; exit status 1 where anything was lost or wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import mmap
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import trainers
from core import checkpoints, datasets, liveness, rundir, runner, supervisor
from core.datasets import Dataset
from core.executors import local
from core.store import default_store, memory_store
from tests import made_runs
from tests.soak.forked import Forked, in_child, until
from tests.soak.undisturbed import arrays, undisturbed

KINDS = ("random", "checkpoint", "control", "asker", "ingest", "supervisor")
KNOBS: dict[str, dict[str, Any]] = {
    "toy": {"epochs": 8, "dropout": 0.3, "seconds_per_step": 0.004},
    "instrunet": {"width": 4, "kernel": 3, "epochs": 5, "batch_size": 8},
}
MOST_KILLS_PER_RUN = 6
MUST_HIT = ("checkpoint", "control", "ingest", "claim")
FROM_ROUNDS = 200
"""A campaign this long that never hit one of them has not tested it."""


@dataclass
class Report:
    """What a campaign found. `hits` counts the deaths that fell on a write of that kind: a file half-written, a
    transaction open, a place in the queue given up; and those of a runner that a wish was waiting for."""

    rounds: int = 0
    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    acknowledged_bytes: int = 0
    longest_wrong_state_s: float = 0.0
    seconds: float = 0.0


def data_of(trainer: str) -> Dataset:
    """What it trains on: the toy's planted line, or random log-mels that stand in for a data set."""
    if trainer == "toy":
        return datasets.load("toy", "emotion")
    return made_runs.stand_in("cues", "instruments", "logmel", 3.0, n=24)


class Campaign:
    """One cache, one run at a time, killed in every way until it is through; then the next."""

    def __init__(self, trainer: str, seed: int) -> None:
        self.trainer, self.moment = trainer, random.Random(seed)
        self.dataset = data_of(trainer)
        self.report = Report()
        self.folder, self.acknowledged, self.asked, self.kills = Path(), b"", 0, 0
        self.flag = mmap.mmap(-1, 1)  # shared with children: 1 while the app's stand-in has a transaction open

    def go(self, rounds: int) -> Report:
        """That many rounds, and then the last run to its end."""
        began = time.monotonic()
        self.begin()
        for name in in_child(self.modules):  # a fork has what this process has; importing it anew takes seconds
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        self.begin()
        for number in range(rounds):
            kind = KINDS[number % len(KINDS)]
            try:
                if getattr(self, kind)():
                    self.end()
            except (TimeoutError, AssertionError, ValueError, OSError) as error:
                self.lost(f"round {number} ({kind}): {type(error).__name__} {error}")
                self.begin()
            self.report.rounds += 1
        self.end()
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    # ---- one run ----

    def begin(self) -> None:
        """A new run that waits for its first runner."""
        name = "toy" if self.trainer == "toy" else "cues-small"
        spec = supervisor.new_spec(
            trainers.load(self.trainer), KNOBS[self.trainer], data=name, seed=self.report.runs, device="cpu"
        )
        about = {"data": self.dataset.name, "task": self.dataset.task, "split": "grouped:0"}
        self.folder = rundir.create(rundir.Spec(**(vars(spec) | about)))
        self.acknowledged, self.asked, self.kills = b"", 0, 0
        self.report.runs += 1

    def end(self) -> None:
        """Let the run finish, and compare it with one that nobody touched; then begin the next."""
        if rundir.read_status(self.folder).state != "done":
            code = Forked(self.run).wait()
            if code:
                self.lost(f"{self.folder.name} ended with {code}: {rundir.read_status(self.folder).reason}")
        self.look("at the end", ("done",))
        numbers, weights = in_child(lambda: undisturbed(self.folder, self.dataset))
        frame = memory_store().curves([self.folder.name])
        frame = frame[~frame["name"].str.startswith("test/")]
        told = dict(zip(zip(frame["step"], frame["name"], strict=True), frame["value"], strict=True))
        if told != numbers:
            wrong = {key for key in told.keys() | numbers.keys() if told.get(key) != numbers.get(key)}
            self.lost(f"{self.folder.name}: {len(wrong)} numbers differ, first {min(wrong)}")
        final = arrays(checkpoints.load_state(self.folder / "checkpoints" / "final.safetensors")["model"])
        same = final.keys() == weights.keys() and all(final[k].tobytes() == weights[k].tobytes() for k in final)
        if not same:
            self.lost(f"{self.folder.name}: the weights differ")
        events, _ = rundir.read_events(self.folder)
        if [event["n"] for event in events] != list(range(1, len(events) + 1)):
            self.lost(f"{self.folder.name}: events are not numbered 1 to {len(events)}")
        taken = [event["wish"] for event in events if event["kind"] == "changed"]
        if len(taken) != len(set(taken)):
            self.lost(f"{self.folder.name}: a change was made twice")
        left = [path.name for path in self.folder.rglob("*") if path.name[0] == "." and path.parent.name != "control"]
        if left:
            self.lost(f"{self.folder.name}: left behind: {left}")
        self.begin()

    def run(self) -> int:
        """What a runner's process does; in a child."""
        real = datasets.load
        with mock.patch.object(
            datasets, "load", lambda name, *rest: self.dataset if self.trainer != "toy" else real(name, *rest)
        ):
            return runner.main(self.folder)

    def modules(self) -> list[str]:
        """What a whole run, its reference and the index import; in a child."""
        self.run()
        undisturbed(self.folder, self.dataset)
        compare_index()
        return [name for name in sys.modules if name != "__main__"]

    def lost(self, what: str) -> None:
        """Write a failure down, and go on."""
        self.report.losses.append(what)

    def read_log(self) -> bytes:
        """The log up to its last newline: what is acknowledged."""
        blob = (self.folder / "events.jsonl").read_bytes()
        return blob[: blob.rfind(b"\n") + 1]

    def look(self, when: str, states: tuple[str, ...]) -> None:
        """After a death: the log begins with what was acknowledged before it, and a reader soon sees the truth."""
        log = self.read_log()
        if not log.startswith(self.acknowledged):
            self.lost(f"{self.folder.name}, {when}: acknowledged events are gone")
        self.report.acknowledged_bytes += len(self.acknowledged)
        self.acknowledged = log
        since = time.monotonic()
        try:
            until(lambda: rundir.read_status(self.folder).state in states, rundir.LOST_AFTER_S)
        except TimeoutError:
            self.lost(f"{self.folder.name}, {when}: it says {rundir.read_status(self.folder)}")
        wrong_s = time.monotonic() - since
        self.report.longest_wrong_state_s = max(self.report.longest_wrong_state_s, round(wrong_s, 3))

    def slay(self, child: Forked, kind: str, states: tuple[str, ...] = ("lost", "done")) -> bool:
        """Kill a runner, count what the death fell on; True where the run has had enough of it."""
        self.acknowledged = self.read_log()  # what a reader had in hand at the moment before
        child.kill()
        self.report.kills["runner"] += 1
        self.kills += 1
        places = {"checkpoint": "checkpoints", "snapshot": "snapshots", "report": "evaluations", "status": ""}
        for what, place in places.items():
            names = [name for name in os.listdir(self.folder / place) if name[0] == "." and name != ".spare"]
            self.report.hits[what] += bool(names)
        blob = (self.folder / "events.jsonl").read_bytes()
        self.report.hits["log line"] += not blob.endswith(b"\n") and bool(blob)
        self.report.hits["wish waiting"] += bool(rundir.wishes(self.folder))  # asked, and not taken yet
        self.look(kind, states if blob else (*states, "queued"))
        return self.kills >= MOST_KILLS_PER_RUN or rundir.read_status(self.folder).state == "done"

    # ---- ways to die ----

    def random(self) -> bool:
        """A runner, at any moment."""
        child = Forked(self.run)
        time.sleep(self.moment.uniform(0.0, 0.35))
        return self.slay(child, "random")

    def checkpoint(self) -> bool:
        """A runner, while it writes a checkpoint."""
        child, place, skip = Forked(self.run), self.folder / "checkpoints", self.moment.randrange(6)
        seen = ""

        def is_writing() -> bool:
            nonlocal seen, skip
            now = next((name for name in os.listdir(place) if name[0] == "."), "")
            if now and now != seen:
                skip -= 1
            seen = now
            return skip < 0 or child.poll() is not None

        until(is_writing, pause_s=0.0003)
        return self.slay(child, "checkpoint")

    def control(self) -> bool:
        """A runner, while it takes a change."""
        child = Forked(self.run)
        until(lambda: b'"running"' in self.read_log() or child.poll() is not None)
        time.sleep(self.moment.uniform(0.0, 0.05))
        before = len(self.read_log())
        self.wish()
        if self.moment.random() < 0.5:  # while it is asked, else while it is taken
            until(lambda: len(self.read_log()) != before or child.poll() is not None, pause_s=0.0003)
        return self.slay(child, "control")

    def wish(self) -> None:
        self.asked += 1
        rundir.ask(self.folder, "changes", values={"learning_rate": round(self.moment.uniform(0.001, 0.02), 6)})

    def asker(self) -> bool:
        """Whoever asks, while the wish is written; its runner lives, and is killed afterwards."""
        child = Forked(self.run)

        def ask_on() -> None:
            while True:
                self.wish()

        app, place = Forked(ask_on), self.folder / "control"
        until(lambda: any(name[0] == "." for name in os.listdir(place)) or app.poll() is not None, pause_s=0.0003)
        app.kill()
        self.report.kills["app"] += 1
        self.report.hits["control"] += any(name[0] == "." for name in os.listdir(place))
        for path, wish in rundir.wishes(self.folder):
            if wish.get("kind") != "changes" or "learning_rate" not in wish["values"]:
                self.lost(f"{path.name} is half a wish")
        time.sleep(self.moment.uniform(0.0, 0.2))
        return self.slay(child, "asker")

    def ingest(self) -> bool:
        """The process that owns the index, while it takes in what a live runner writes; then the runner."""
        child = Forked(self.run)

        def sync_on() -> None:
            store = default_store()
            opened = store._transaction

            @contextlib.contextmanager
            def flagged() -> Iterator[None]:
                with opened():
                    self.flag[0] = 1
                    yield
                self.flag[0] = 0

            store._transaction = flagged  # type: ignore[method-assign]
            while True:
                store.sync()

        app = Forked(sync_on)
        wal = Path(os.environ["EARSHOT_CACHE"]) / "index.duckdb.wal"
        size = wal.stat().st_size if wal.exists() else 0
        until(lambda: (wal.exists() and wal.stat().st_size != size) or app.poll() is not None, pause_s=0.0003)
        time.sleep(self.moment.uniform(0.0, 0.05))
        if self.moment.random() < 0.7:
            until(lambda: self.flag[0] or child.poll() is not None, pause_s=0.0003)
        app.kill()
        self.report.kills["app"] += 1
        self.report.hits["ingest"] += self.flag[0]
        self.flag[0] = 0
        enough = self.slay(child, "ingest")
        for what in in_child(compare_index):
            self.lost(what)
        return enough

    def supervisor(self) -> bool:
        """The supervisor, around the moment in which it takes a run out of the queue; another one takes over."""
        with mock.patch.object(local, "start_supervisor"):
            supervisor.enqueue(self.folder)
        queue = supervisor.queue()

        def supervise() -> None:
            local.start = lambda folder, data_folder="", threads=0: Forked(self.run)
            supervisor.main()

        first = Forked(supervise)
        if self.moment.random() < 0.7:
            until(lambda: not os.listdir(queue), pause_s=0.0003)
        else:
            time.sleep(self.moment.uniform(0.0, 0.3))
        first.kill()
        self.report.kills["supervisor"] += 1
        status = rundir.read_status(self.folder)
        self.report.hits["claim"] += not os.listdir(queue) and status.state in ("queued", "starting")
        if status.state == "queued" and not os.listdir(queue):  # nobody will start it: that must be told in time
            self.look("supervisor", ("lost", "starting", "running", "done"))
        elif status.state == "starting" and not status.pid:  # its runner may be on its way, or there is none
            moved = ("running", "done", "failed")
            with_runner = time.monotonic() + 3.0
            until(lambda: rundir.read_status(self.folder).state in moved or time.monotonic() > with_runner)
        second = Forked(supervise)
        try:
            until(lambda: rundir.read_status(self.folder).state not in ("queued", "starting") or not os.listdir(queue))
            now = rundir.read_status(self.folder)
            if now.state == "starting" and not now.pid:  # killed between its word and its deed: lost after a while
                waited = now.heartbeat - rundir.START_WITHIN_S - 1
                rundir.set_status(self.folder, rundir.Status("starting", heartbeat=waited))
                liveness._seen.clear()  # that was no beat
                self.report.hits["start"] += 1
            until(lambda: rundir.read_status(self.folder).state not in ("queued", "starting", "running"))
        finally:
            second.kill()
        self.look("supervisor", ("done", "lost"))
        return rundir.read_status(self.folder).state == "done"


def compare_index() -> list[str]:
    """What the index on the disk says otherwise than one made anew; in a child, since one process owns it."""
    kept, fresh = default_store(), memory_store()
    kept.sync()
    found = [f"the index: {kept.note}"] if kept.note else []
    for table, what in {"metrics": "run, step, name, value", "events": "run, n, kind", "runs": "run, state"}.items():
        both = [store.query(f"SELECT {what} FROM {table} ORDER BY ALL") for store in (kept, fresh)]
        if not both[0].equals(both[1]):
            found.append(f"the index: {table} has {len(both[0])} rows, and {len(both[1])} when made anew")
    kept.close()
    return found


def main() -> int:
    """The campaign from the command line, in a cache of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--trainer", choices=tuple(KNOBS), default="toy")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earshot-soak-") as folder:
        os.environ |= {"EARSHOT_CACHE": folder, "EARSHOT_STARTER": f"{folder}/no-starter"}
        report = Campaign(given.trainer, given.seed).go(given.rounds)
    missed = [what for what in MUST_HIT if given.rounds >= FROM_ROUNDS and not report.hits[what]]
    report.losses += [f"no death fell on {what}: run more rounds" for what in missed]
    print(json.dumps({"trainer": given.trainer, "seed": given.seed, **vars(report)}, indent=1))
    return 1 if report.losses else 0


if __name__ == "__main__":
    sys.exit(main())
