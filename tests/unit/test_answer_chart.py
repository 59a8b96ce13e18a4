"""What an answer is drawn by, and that it can be drawn from nothing and from plenty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import charts

COLOURS = ["#2b6cb0", "#b8500c"]


def test_the_last_number_goes_up_and_few_names_colour() -> None:
    frame = pd.DataFrame({"run": [f"r{k}" for k in range(20)], "kind": ["a", "b"] * 10, "step": range(20), "loss": 1.5})
    assert charts.answer_choice(frame) == ("step", "loss", "kind")
    assert charts.answer_choice(frame[["run", "kind", "loss"]]) == ("run", "loss", "kind")
    assert charts.answer_choice(frame[["run"]]) == ("", "", "")
    assert charts.answer_choice(frame.head(0)) == ("", "", "")


def test_rare_names_become_other_and_marks_stay_few() -> None:
    names = [f"name-{k % 12}" for k in range(12_000)]
    frame = pd.DataFrame({"x": range(12_000), "y": np.where(np.arange(12_000) % 2, 1.0, np.nan), "who": names})
    table = charts.answer_table(frame, "x", "y", "who")
    assert len(table) == 6000 and table["y"].notna().all()
    assert len(charts.answer_marks(table)) <= charts.MOST_MARKS
    assert table["colour"].nunique() <= charts.MOST_COLOURS and "other" in set(table["colour"])


@pytest.mark.parametrize("colour", ["", "who"])
@pytest.mark.parametrize("x", ["x", "who"])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_every_answer_can_be_drawn(colour: str, x: str, n: int) -> None:
    frame = pd.DataFrame({"x": np.arange(n, dtype=float), "y": np.arange(n) / 7, "who": ["a.b[c]:d"] * n})
    drawn = charts.answer_drawing(charts.answer_table(frame, x, "y", colour), (x, "y", colour), COLOURS).to_dict()
    # Several rows of one name are points: stacked bars would show their sum.
    assert drawn["mark"]["type"] == ("bar" if x == "who" and n == 1 else "point") or n == 0
    assert drawn["encoding"]["y"]["title"] == "y"


def test_points_stand_over_their_name_and_inside_the_frame() -> None:
    frame = pd.DataFrame({"who": ["a", "a", "b", "c"], "on": ["x", "x", "y", "x"], "y": [0.1, 0.2, 0.5, 0.9]})
    titles = ("who", "y", "on")
    points = charts.answer_drawing(charts.answer_table(frame, *titles), titles, COLOURS).to_dict()
    assert points["mark"]["type"] == "point" and "xOffset" not in points["encoding"]
    assert points["encoding"]["y"]["scale"] == {"zero": False, "padding": 12}
    assert points["encoding"]["x"]["axis"]["labelAngle"] == 0
    alone = charts.answer_drawing(charts.answer_table(frame[1:], *titles), titles, COLOURS).to_dict()
    assert alone["mark"]["type"] == "bar" and "xOffset" not in alone["encoding"]
    pairs = frame.assign(on=["x", "y", "x", "x"])
    beside = charts.answer_drawing(charts.answer_table(pairs, *titles), titles, COLOURS).to_dict()
    assert beside["mark"]["type"] == "bar" and beside["encoding"]["xOffset"]["field"] == "colour"
    long = frame.assign(who=[f"a name of many letters, number {n}, and more" for n in range(4)])
    slanted = charts.answer_drawing(charts.answer_table(long, *titles), titles, COLOURS).to_dict()
    assert slanted["encoding"]["x"]["axis"]["labelAngle"] == -35


def test_of_many_rows_the_peaks_are_drawn_in_their_order() -> None:
    y = np.sin(np.arange(20_000) / 700.0)
    y[[7_003, 15_001]] = 9.0, -9.0
    table = charts.answer_table(pd.DataFrame({"x": np.arange(20_000), "y": y}), "x", "y", "")
    marks = charts.answer_marks(table)
    assert len(table) == 20_000 and 900 <= len(marks) <= charts.MOST_MARKS
    assert {7_003, 15_001} <= set(marks["x"]) and marks["x"].is_monotonic_increasing
    three = pd.DataFrame(
        {"x": np.arange(3600) // 3, "y": np.tile([1.0, 2.0, 3.0], 1200), "who": ["a", "b", "c"] * 1200}
    )
    thinned = charts.answer_marks(charts.answer_table(three, "x", "y", "who"))
    assert (
        thinned["colour"].value_counts().min() > 100 and len(thinned) <= charts.MOST_MARKS
    )  # none lies between others
    few = table.head(charts.MOST_MARKS)
    assert charts.answer_marks(few) is few
