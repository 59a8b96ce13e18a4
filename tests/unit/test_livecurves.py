"""Runs followed while they are under way: what a log says, read bit by bit, and what is drawn of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import charts, livecurves
from core.livecurves import Curve, Follower
from pages import palette


def write(folder: Path, *events: dict[str, Any], mode: str = "a") -> None:
    with (folder / "events.jsonl").open(mode) as log:
        log.writelines(json.dumps({"n": 1, "t": 0.0, **event}) + "\n" for event in events)


def numbers(step: int, **values: float) -> dict[str, Any]:
    told = {name.replace("_", "/", 1): value for name, value in values.items()}
    return {"kind": "metrics", "step": step, "epoch": step / 10, "values": told}


def read(follower: Follower, name: str) -> list[tuple[int, float]]:
    curve = follower.curves[name]
    return list(zip(curve.steps, curve.values, strict=True))


def test_each_look_takes_what_is_new(tmp_path: Path) -> None:
    write(tmp_path, numbers(1, train_loss=3.0))
    follower = Follower(tmp_path)
    assert follower.look() and not follower.look()
    write(tmp_path, numbers(2, train_loss=2.0))
    with (tmp_path / "events.jsonl").open("a") as log:
        log.write('{"n": 3, "t": 0.0, "kind": "metr')  # its writer is in the middle of a line
    assert follower.look()
    assert read(follower, "train/loss") == [(1, 3.0), (2, 2.0)]
    with (tmp_path / "events.jsonl").open("a") as log:
        log.write('ics", "step": 3, "epoch": 0.3, "values": {"train/loss": 1.0}}\n')
    assert follower.look()
    assert read(follower, "train/loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert follower.newest("train/loss") == 1.0 and follower.newest("validation/loss") is None


def test_what_a_run_went_back_behind_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, *(numbers(step, train_loss=float(step)) for step in range(1, 6)))
    write(tmp_path, {"kind": "rewound", "to_step": 2}, numbers(3, train_loss=30.0))
    follower = Follower(tmp_path)
    follower.look()
    assert read(follower, "train/loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_log_that_is_another_one_is_read_from_its_start(tmp_path: Path) -> None:
    write(tmp_path, *(numbers(step, train_loss=1.0) for step in range(9)))
    follower = Follower(tmp_path)
    follower.look()
    write(tmp_path, numbers(1, train_loss=7.0), mode="w")
    assert follower.look()
    assert read(follower, "train/loss") == [(1, 7.0)] and follower.points == 1


def test_the_last_word_on_a_step_counts_and_late_ones_find_their_place() -> None:
    curve = Curve()
    for step, value in ((1, 1.0), (5, 5.0), (5, 50.0), (3, 3.0)):
        curve.add(step, step / 10, value)
    assert list(curve.steps) == [1, 3, 5] and list(curve.values) == [1.0, 3.0, 50.0]


def test_the_panels_are_those_of_the_index(tmp_path: Path) -> None:
    """The same lines, ends and values as `charts.live_table` draws from the index's rows."""
    import pandas as pd

    write(tmp_path, *(numbers(step, train_loss=step + 0.5, optim_learning_rate=0.1) for step in range(1, 40)))
    write(tmp_path, *(numbers(step, train_loss=1.0, validation_loss=2.0, validation_f1=0.5) for step in (40, 80)))
    follower = Follower(tmp_path)
    follower.look()
    rows = [
        (step, epoch, name, value)
        for name, curve in follower.curves.items()
        for step, epoch, value in zip(curve.steps, curve.epochs, curve.values, strict=True)
    ]
    wanted = charts.live_table(pd.DataFrame(rows, columns=["step", "epoch", "name", "value"]), "f1")
    found = follower.panels("f1")
    assert {title: list(lines) for title, lines in found.items()} == {
        title: list(lines) for title, lines in wanted.items()
    }
    for title, lines in wanted.items():
        for name, frame in lines.items():
            assert found[title][name][["epoch", "value"]].to_numpy().tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("last", [100, 1000])
def test_of_the_newest_steps_every_point_is_drawn(tmp_path: Path, last: int) -> None:
    write(tmp_path, *(numbers(step, train_loss=float(step)) for step in range(1, 3001)))
    follower = Follower(tmp_path)
    follower.look()
    lines = livecurves.newest(follower.panels("f1"), last)["Loss"]
    option = livecurves.together("Loss", {"a": lines}, palette.ROLES["light"], {"a": "#2b6cb0"})
    assert [value for _, value in option["series"][0]["data"]] == list(range(3001 - last, 3001))


def test_runs_together_keep_their_colours_and_the_dash_of_validation(tmp_path: Path) -> None:
    write(tmp_path, numbers(1, train_loss=1.0), numbers(2, train_loss=1.0, validation_loss=2.0))
    follower = Follower(tmp_path)
    follower.look()
    lines = follower.panels("f1")["Loss"]
    colours = {"a": "#2b6cb0", "b": "#b8500c"}
    option = livecurves.together("Loss", {"a": lines, "b": lines}, palette.ROLES["dark"], colours)
    drawn = {(line["name"], line["lineStyle"]["type"], line["lineStyle"]["color"]) for line in option["series"]}
    assert drawn == {(name, kind, colour) for name, colour in colours.items() for kind in ("solid", "dashed")}
    assert option["legend"]["data"] == ["a", "b"]


def test_a_gap_is_no_extreme_and_a_growing_curve_keeps_its_points() -> None:
    steps = np.arange(10_000)
    values = 5 + np.sin(steps / 7.0 + 1)  # all above 0: a gap that counted as 0 would be the lowest
    values[4_321], values[4_322] = np.nan, 3.5
    kept_steps, kept = charts.thin(steps, values)
    assert len(kept) <= charts.POINTS_PER_CURVE and np.nanmin(kept) == 3.5
    before, _ = charts.thin(steps[:-5], values[:-5])
    assert set(before[:-3]) <= set(kept_steps)


def test_lines_are_counted_as_they_are_written(tmp_path: Path) -> None:
    assert livecurves.lines(tmp_path) == 0
    write(tmp_path, *(numbers(step, train_loss=1.0) for step in range(1, 8)))
    with (tmp_path / "events.jsonl").open("a") as log:
        log.write('{"n": 8')  # a line that is not over is none yet
    assert livecurves.lines(tmp_path) == 7


def test_longer_runs_are_drawn_less_often() -> None:
    paces = [livecurves.pace(points) for points in (0, 1_000, 1_001, 5_000, 5_001, 10**7)]
    assert paces == [(1.0, 1.0), (1.0, 1.0), (2.0, 5.0), (2.0, 5.0), (2.0, 10.0), (2.0, 10.0)]
