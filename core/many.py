"""One process, many runs: `python -m core.many RUN_DIRECTORY …`.

Drives a trainer's `fit_many` as core/runner.py drives `fit`; every run has its own log, wishes, checkpoints and scores.
What ends one (a stop, a loss that is no number, a full disk) freezes only that one. Started again after a kill, all go
on together from the last epoch that every one of them has on the disk.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from core import checkpoints, datasets, rundir, runner, sweepflags
from core.datasets import splits
from core.events import Changes, Checkpoint, Done, Event, Freeze, Metrics
from core.runner import Run
from core.steering import POLL_S, Stopped

BEFORE = "before.previous"
"""The checkpoint before the last, kept while the group writes: a kill finds some runs an epoch behind the others."""

LOOK_AT_FLAG_S = 0.25


class Terminated(BaseException):
    """SIGTERM: all of them stop. No Exception, so that it is never taken for the end of one run."""


def main(folders: list[Path]) -> int:
    """Run these runs to their ends; returns the exit status (0 all done or stopped, 1 some failed or diverged)."""
    signal.signal(signal.SIGTERM, _on_terminate)
    group = Group()
    try:
        for folder in folders:
            group.join(folder)
        group.go()
    except Terminated:
        group.leave_all(Stopped("Stopped by the user before its next step."))
    except Exception as error:  # of the data, or of the trainer: it ends them all
        group.leave_all(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        group.close()
    return 0 if group.is_well else 1


class Group:
    """Runs of one trainer on the same data and split, in one process; `runs` are those that are still at it."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.size = 0
        self.is_well = True
        self.flag_seen_at = 0.0
        self.stopped: dict[str, Exception] = {}  # asked for while the group was held
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def join(self, folder: Path) -> None:
        """Take a run in; one that another process owns, or that cannot be read, stays out."""
        try:
            writer = rundir.Writer(folder)
        except (ValueError, OSError) as error:
            print(error, file=sys.stderr)
            self.is_well = False
            return
        try:
            run = Run(folder, writer)
            if self.runs:
                _check_alike(self.runs[0], run)
        except Exception as error:
            self.is_well = False
            runner.end(writer, None, runner.outcome_of(error))
            return
        with self._lock:
            self.runs.append(run)
            self.size += 1

    def go(self) -> None:
        """Load, fit, score."""
        if not self.runs:
            return
        spec = self.runs[0].spec
        self.dataset = datasets.load(spec.data, spec.task, self.note)
        self.assignment = splits.assign(self.dataset, spec.split)
        splits.check_for_training(self.dataset, self.assignment, self.runs[0].trainer.MONITOR)
        self.data = self.runs[0].fit_data(self.dataset, self.assignment)
        for run in list(self.runs[1:]):
            self.guarded(run, lambda run=run: run.tell_data(self.data, self.dataset, self.assignment))
        while self.runs:
            saved = self.checkpoints()
            steps = {run.folder.name: _step(saved[run.folder.name]) for run in self.runs}
            lowest = min(steps.values(), default=0)
            behind = [run for run in self.runs if steps[run.folder.name] == lowest]
            others = [step for step in steps.values() if step > lowest]
            self.train(behind, saved, until=min(others, default=None))

    def checkpoints(self) -> dict[str, dict[str, Any] | None]:
        """What every run goes on from. Where a kill came between two runs' checkpoints of one epoch, those that have
        it go back to the one before: trained in other company their last digits could differ."""
        saved: dict[str, dict[str, Any] | None] = {}
        for run in list(self.runs):
            self.guarded(run, lambda run=run: saved.__setitem__(run.folder.name, run.newest_checkpoint()))
        lowest = min((_step(one) for one in saved.values()), default=-1)
        for run in self.runs:
            before = run.folder / "checkpoints" / BEFORE
            if _step(saved[run.folder.name]) > lowest and before.exists():
                with contextlib.suppress(checkpoints.Damaged):
                    earlier = checkpoints.load_state(before)
                    if _step(earlier) == lowest:
                        saved[run.folder.name] = earlier
            elif lowest == -1 and _step(saved[run.folder.name]) > lowest and _is_first(run):
                saved[run.folder.name] = None  # it alone has its first checkpoint
        return saved

    def train(self, runs: list[Run], saved: dict[str, dict[str, Any] | None], until: int | None) -> None:
        """Train these together: to their ends, or until all have a checkpoint at step `until`, where others wait."""
        began = [run.begin(saved[run.folder.name]) for run in runs]
        for run in runs:
            run.writer.set(state="running", note="", device=run.spec.device)
            run.started = time.monotonic()
        states = [state for state, _ in began]
        steps = runs[0].trainer.fit_many(
            self.data,
            [run.config for run in runs],
            generators=[np.random.default_rng(run.spec.seed) for run in runs],
            device=runs[0].spec.device,
            states=None if states[0] is None else states,
        )
        left = set(range(len(runs)))
        answer: dict[int, Changes | Freeze] | None = None
        try:
            while left:
                place, event = steps.send(answer)
                answer = None
                if place in left:
                    reply = self.take(runs[place], event, until)
                    answer = None if reply is None else {place: reply}
                    if isinstance(reply, Freeze) or isinstance(event, Done):
                        left.discard(place)
                else:
                    answer = {place: Freeze()}
                self.hold()
        except StopIteration:
            raise RuntimeError(f"{runs[0].spec.trainer} ended without saying Done for {len(left)} runs.") from None
        finally:
            steps.close()

    def take(self, run: Run, event: Event, until: int | None) -> Changes | Freeze | None:
        """Write one event of one run; what it is to be answered. Whatever goes wrong ends this run only."""
        try:
            if run.folder.name in self.stopped:
                raise self.stopped.pop(run.folder.name)
            if isinstance(event, Done):
                run.finish(event, self.data, self.dataset, self.assignment, together=self.size)
                self.leave(run, {"state": "done", "reason": event.reason, "fraction": 1.0})
                return None
            if isinstance(event, Checkpoint):
                _keep_before(run)
            run.take(event, self.data)
            assert run.steering is not None
            changes = run.steering.look(run.step, run.epoch, may_change=isinstance(event, Metrics))
            if run.steering.is_paused:  # it alone: the others cannot wait, so it goes on later, from its checkpoint
                self.leave(run, {"state": "paused", "reason": "It left its group; resumed, it goes on.", "pid": 0})
                return Freeze()
            if until is not None and isinstance(event, Checkpoint) and run.step >= until:
                return Freeze()
            return changes or None
        except Exception as error:
            self.leave(run, runner.outcome_of(error))
            return Freeze()

    def guarded(self, run: Run, work: Any) -> None:
        """Do something for one run; where it fails the others go on without that one."""
        try:
            work()
        except Exception as error:
            self.leave(run, runner.outcome_of(error))

    def leave(self, run: Run, outcome: dict[str, Any]) -> None:
        """A run ends, and its log is closed."""
        self.is_well = self.is_well and outcome["state"] not in ("failed", "diverged")
        with self._lock:  # no beat may follow its last word
            self.runs.remove(run)
        (run.folder / "checkpoints" / BEFORE).unlink(missing_ok=True)
        runner.end(run.writer, run, outcome)

    def leave_all(self, error: Exception) -> None:
        """All that are left end for the same reason."""
        outcome = runner.outcome_of(error)
        for run in list(self.runs):
            self.leave(run, outcome)

    def close(self) -> None:
        """End the heart's thread."""
        self._ended.set()
        self._heart.join()

    def hold(self) -> None:
        """Wait while the sweep is paused; stops are obeyed meanwhile."""
        if time.monotonic() - self.flag_seen_at < LOOK_AT_FLAG_S or not self.runs:
            return
        self.flag_seen_at = time.monotonic()
        sweep = self.runs[0].spec.sweep
        if not sweepflags.has(sweep, "paused"):
            return
        runs = [run for run in self.runs if run.steering is not None]
        for run in runs:
            run.steering.hold(True, run.step, run.epoch)  # type: ignore[union-attr]
        began = time.monotonic()
        while sweepflags.has(sweep, "paused") and len(self.stopped) < len(runs):
            time.sleep(POLL_S)
            for run in runs:
                if run.folder.name not in self.stopped:
                    try:
                        run.steering.take(run.step, run.epoch, False)  # type: ignore[union-attr]
                    except Stopped as stop:
                        self.stopped[run.folder.name] = stop
        for run in runs:
            run.steering.paused_s += time.monotonic() - began  # type: ignore[union-attr]
            run.steering.hold(False, run.step, run.epoch)  # type: ignore[union-attr]

    def note(self, fraction: float, sentence: str) -> None:
        """Progress of something slow before training, for whoever watches any of them."""
        if time.monotonic() - self.flag_seen_at > LOOK_AT_FLAG_S:
            self.flag_seen_at = time.monotonic()
            for run in self.runs:
                run.writer.set(note=sentence, fraction=fraction)

    def _beat(self) -> None:
        while not self._ended.wait(max(runner.BEAT_S, self.size / 100)):
            for run in list(self.runs):
                with self._lock, contextlib.suppress(OSError):  # a full disk may have room again at the next beat
                    if run in self.runs:
                        run.writer.beat()


def _check_alike(first: Run, other: Run) -> None:
    for name in ("trainer", "data", "task", "split", "device"):
        one, two = getattr(first.spec, name), getattr(other.spec, name)
        if one != two:
            raise ValueError(f"Runs that train together have one {name}; this one has {two}, its group {one}.")


def _step(saved: dict[str, Any] | None) -> int:
    return -1 if saved is None else int(saved["step"])


def _is_first(run: Run) -> bool:
    """Whether its only checkpoint is the first it ever wrote."""
    return not any((run.folder / "checkpoints").glob(BEFORE)) and len(checkpoints.stored(run.folder)) == 1


def _keep_before(run: Run) -> None:
    last = run.folder / "checkpoints" / "last.safetensors"
    if last.exists():
        rundir.share(last, last.with_name(BEFORE))


def _on_terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
