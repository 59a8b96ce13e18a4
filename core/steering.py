"""What the user asks of a run that trains, as its runner takes it: changes, pause, resume, stop.

The asking side is core/control.py. A change is in the log before it acts, and the log names the wish it came from:
killed in between, a run neither loses a change nor makes it twice.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from core import config, rundir
from core.events import Changes

POLL_S = 0.1
LOOK_S = 0.02
"""Wishes are looked for this often at most: a look is up to 0.2 ms, as much as a small network's step."""


class Stopped(Exception):
    """The user asked this run to stop."""


def changes_of(events: list[dict[str, Any]]) -> list[tuple[int, Changes]]:
    """The hot knobs that were changed, as (step, new values), in the order in which they act."""
    found = [(e["step"], {k: new for k, (_, new) in e["values"].items()}) for e in events if e["kind"] == "changed"]
    return sorted(found, key=lambda change: change[0])  # by step: a run may have been rewound in between


def knobs_at(spec: rundir.Spec, events: list[dict[str, Any]], step: int) -> dict[str, Any]:
    """The configuration in force at a checkpoint: what the run began with, and every change up to `step`."""
    values = dict(spec.config)
    for at, changes in changes_of(events):
        if at <= step:
            values |= changes
    return values


class Steering:
    """Hands a run's trainer what was asked; keeps the run waiting while it is paused."""

    def __init__(
        self, writer: rundir.Writer, config_class: type, spec: rundir.Spec, events: list[dict[str, Any]], to_step: int
    ) -> None:
        """`events` is the log so far, `to_step` the step of the checkpoint that the run goes on from (-1: none)."""
        self.folder, self.writer, self.config_class = writer.folder, writer, config_class
        self.values = knobs_at(spec, events, to_step)
        self.replay = [change for change in changes_of(events) if change[0] > to_step]
        self.taken = {event.get("wish") for event in events}
        self.is_paused, self.paused_s, self.looked_s = False, 0.0, -math.inf

    def obey(self, step: int, epoch: float, *, may_change: bool = True) -> Changes | None:
        """What the user asked since the last yield, to be sent into `fit`; returns only when the run may go on.

        A change that came in right after a checkpoint would be neither in it nor after its step: with `may_change`
        False it waits for the next yield. Raises Stopped.
        """
        changes = self.look(step, epoch, may_change=may_change)
        began = time.monotonic()
        while self.is_paused:
            time.sleep(POLL_S)
            changes |= self.take(step, epoch, may_change)
            self.paused_s += time.monotonic() - began
            began = time.monotonic()
        return changes or None

    def look(self, step: int, epoch: float, *, may_change: bool = True) -> Changes:
        """The same without waiting where it is to pause: `is_paused` says so. Raises Stopped."""
        changes: Changes = {}
        while may_change and self.replay and self.replay[0][0] <= step:
            changes |= self.replay.pop(0)[1]
        self.values |= changes
        return changes | self.take(step, epoch, may_change)

    def take(self, step: int, epoch: float, may_change: bool) -> Changes:
        """Take the wishes that wait; returns the changes among them."""
        changes: Changes = {}
        if time.monotonic() - self.looked_s < LOOK_S:
            return changes
        wishes = rundir.wishes(self.folder)
        self.looked_s = time.monotonic()
        for path, wish in wishes:
            if path.name in self.taken:  # it was killed between the log and this
                path.unlink()
            elif wish["kind"] == "stop":
                path.unlink()
                raise Stopped(str(wish.get("reason") or f"Stopped by the user at epoch {rundir.epoch_text(epoch)}."))
            elif wish["kind"] == "changes":
                if may_change:
                    changes |= self.change(path, wish.get("values", {}), step, epoch)
            else:
                self.hold(wish["kind"] == "pause", step, epoch)
                path.unlink()
        return changes

    def change(self, path: Path, asked: dict[str, Any], step: int, epoch: float) -> Changes:
        """Log one wish for other knobs; returns those that really differ."""
        try:
            wanted = config.hot_changes(self.config_class, asked)
        except ValueError as error:  # a wish that cannot be granted is no reason to end a run
            self.writer.event("refused", step=step, reason=str(error), wish=path.name)
            wanted = {}
        moved = {name: value for name, value in wanted.items() if value != self.values.get(name)}
        if moved:
            values = {name: [self.values.get(name), value] for name, value in moved.items()}
            self.writer.event("changed", step=step, epoch=epoch, values=values, wish=path.name)
            self.values |= moved
        path.unlink()
        return moved

    def hold(self, is_paused: bool, step: int, epoch: float) -> None:
        """Pause or go on; told in the log and synced, since a pause may outlive the process."""
        if is_paused == self.is_paused:
            return
        self.is_paused = is_paused
        self.writer.event("paused" if is_paused else "resumed", step=step, epoch=epoch)
        note = f"Paused at epoch {rundir.epoch_text(epoch)}" if is_paused else ""
        self.writer.set(state="paused" if is_paused else "running", step=step, epoch=epoch, note=note)
