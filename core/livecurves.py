"""The numbers of runs that are under way, followed in their logs: what a live page draws while they train.

The index answers questions; asked once a second for every number of four long runs it took half a core. Here a look
reads the lines that are new, and a number is kept in eight bytes.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import charts, rundir

TOLD = ("changed", "branched")
"""Kinds of events that are drawn on the curves."""
PACES = ((1_000, 1.0, 1.0), (5_000, 2.0, 5.0), (10**12, 2.0, 10.0))
"""Up to so many lines of numbers: seconds from tick to tick of what is said, and of what is drawn.

Where a second of training is less than a pixel wide, drawing every second shows nothing more."""


def pace(points: int) -> tuple[float, float]:
    """Seconds from tick to tick of what is said and of what is drawn, where the longest run has `points` lines."""
    return next((said_s, drawn_s) for most, said_s, drawn_s in PACES if points <= most)


def lines(folder: Path) -> int:
    """How many lines the log of a run has by now; 0 where there is none. Counted, not read: 3 ms for 10,000."""
    try:
        with (folder / "events.jsonl").open("rb") as log:
            return sum(part.count(b"\n") for part in iter(lambda: log.read(2**20), b""))
    except OSError:
        return 0


class Curve:
    """One number of a run by step, in order of steps: what was told last of a step counts."""

    def __init__(self) -> None:
        self.steps, self.epochs, self.values = array("q"), array("d"), array("d")

    def add(self, step: int, epoch: float, value: float) -> None:
        """Take a number; of a step that is known already it replaces the older one."""
        if not self.steps or step > self.steps[-1]:
            at = len(self.steps)
        else:
            at = bisect_left(self.steps, step)
            if self.steps[at] == step:
                self.epochs[at], self.values[at] = epoch, value
                return
        self.steps.insert(at, step)
        self.epochs.insert(at, epoch)
        self.values.insert(at, value)

    def cut(self, step: int) -> None:
        """Forget what came after `step`: the run went back to it."""
        end = bisect_right(self.steps, step)
        del self.steps[end:], self.epochs[end:], self.values[end:]


class Follower:
    """Reads the log of one run as it grows. Each look costs what is new in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin()

    def _begin(self) -> None:
        self.curves: dict[str, Curve] = {}
        self.told: list[dict[str, Any]] = []
        """The events of the kinds TOLD, oldest first."""
        self.points = 0
        """Lines of numbers read so far."""
        self._offset = 0

    def look(self) -> bool:
        """Read what is new; whether there was anything. A log that became shorter is another one: from its start."""
        try:
            size = os.stat(self.folder / "events.jsonl").st_size
        except OSError:
            return False
        if size == self._offset:
            return False
        if size < self._offset:
            self._begin()
        before = self._offset
        events, self._offset = rundir.read_events(self.folder, self._offset)
        for event in events:
            self._take(event)
        return self._offset > before

    def _take(self, event: dict[str, Any]) -> None:
        if event["kind"] == "metrics":
            self.points += 1
            for name, value in event["values"].items():
                self.curves.setdefault(name, Curve()).add(event["step"], event["epoch"], value)
        elif event["kind"] == "rewound":
            for curve in self.curves.values():
                curve.cut(event["to_step"])
        elif event["kind"] in TOLD:
            self.told.append(event)

    def newest(self, name: str) -> float | None:
        """The number told last under this name, None where there is none."""
        curve = self.curves.get(name)
        return curve.values[-1] if curve and curve.values else None

    def panels(self, primary: str) -> dict[str, dict[str, pd.DataFrame]]:
        """As `charts.live_table` gives them: panel title → line → frame (epoch, value)."""
        scored = [np.array(curve.steps) for name, curve in self.curves.items() if name.startswith("validation/")]
        of_epochs = np.unique(np.concatenate(scored)) if scored else np.array([], int)
        loss = self._frame("train/loss")
        is_epoch = np.isin(loss["step"].to_numpy(), of_epochs)
        found = {
            "Loss": {
                "train, per step": loss[~is_epoch],
                "train": loss[is_epoch],
                "validation": self._frame("validation/loss"),
            },
            primary: {"train": self._frame(f"train/{primary}"), "validation": self._frame(f"validation/{primary}")},
            "Learning rate": {"learning rate": self._frame("optim/learning_rate")},
            "Gradient norm": {"gradient norm": self._frame("optim/gradient_norm")},
        }
        kept = {title: {name: rows for name, rows in lines.items() if len(rows)} for title, lines in found.items()}
        return {title: lines for title, lines in kept.items() if lines}

    def _frame(self, name: str) -> pd.DataFrame:
        curve = self.curves.get(name) or Curve()
        columns = {"step": np.array(curve.steps), "epoch": np.array(curve.epochs), "value": np.array(curve.values)}
        return pd.DataFrame(columns)  # from arrays: of what is no array, pandas takes number by number


def newest(panels: dict[str, dict[str, pd.DataFrame]], last: int) -> dict[str, dict[str, pd.DataFrame]]:
    """The part of the panels that the last `last` steps of the run are; all of it where `last` is 0.

    No curve has more points there than steps, so that up to `charts.POINTS_PER_CURVE` of them are drawn as they are.
    """
    ends = [int(rows["step"].iloc[-1]) for lines in panels.values() for rows in lines.values()]
    if not last or not ends:
        return panels
    first = max(ends) - last
    cut = {title: {name: rows[rows["step"] > first] for name, rows in lines.items()} for title, lines in panels.items()}
    return {title: {name: rows for name, rows in lines.items() if len(rows)} for title, lines in cut.items()}


def together(
    title: str, by_run: dict[str, dict[str, pd.DataFrame]], colours: dict[str, Any], of_run: dict[str, str]
) -> dict[str, Any]:
    """One panel of several runs as an ECharts option. `by_run` is name → lines, `of_run` name → colour.

    Training is solid, per-step values thin, validation dashed; all lines of a run have its colour and go by its name.
    """
    option: dict[str, Any] = charts.live_drawing(title, {}, colours)
    for name, lines in by_run.items():
        for line in charts.live_drawing(title, lines, colours)["series"]:
            style = {**line["lineStyle"], "color": of_run[name]}
            option["series"].append({**line, "name": name, "lineStyle": style, "itemStyle": {"color": of_run[name]}})
    option["legend"] |= {"show": True, "type": "scroll", "data": list(by_run)}
    return option
