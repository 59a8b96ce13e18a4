"""Curves of one run: the running mean in closed form, the raw line under it, the gap, marks, the scored epoch."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from core import charts, runcurves
from core.runcurves import Mark

COLOURS = {"train": "#111111", "validation": "#222222", "real": "#333333"}


def rows(**curves: list[float]) -> pd.DataFrame:
    """Numbers of a run: one per epoch of ten steps, by name (train__loss is train/loss)."""
    table = [
        {"run": "r", "step": 10 * k, "epoch": float(k), "t": 0.0, "name": name.replace("__", "/"), "value": value}
        for name, values in curves.items()
        for k, value in enumerate(values)
    ]
    return pd.DataFrame(table)


def test_a_step_is_smoothed_as_the_formula_says() -> None:
    x, s = np.arange(8.0), 0.8
    values = np.array([0.0, 0, 0, 1, 1, 1, 1, 1])
    weights = [s ** np.arange(n, -1.0, -1.0) for n in range(8)]
    expected = [float(w @ values[: len(w)] / w.sum()) for w in weights]
    assert runcurves.smooth(x, values, s) == pytest.approx(expected)
    assert runcurves.smooth(x, np.full(8, 3.0), 0.99) == pytest.approx(np.full(8, 3.0))  # no start from 0
    assert (runcurves.smooth(x, values, 0.0) == values).all()


def test_what_is_far_apart_or_not_finite_weighs_accordingly() -> None:
    dense = np.array([0.0, 1, 2, 3])
    far = runcurves.smooth(np.array([0.0, 1, 2, 5]), np.array([0.0, 0, 0, 1]), 0.5)
    weight = 0.5**3  # three usual gaps back
    assert far[-1] == pytest.approx(1 / (1 + weight * (1 + 0.5 + 0.25)))
    holed = runcurves.smooth(dense, np.array([1.0, np.nan, np.inf, 3.0]), 0.5)
    assert np.isnan(holed[1]) and np.isinf(holed[2]) and holed[3] == pytest.approx((3 + 0.5 * 1) / 1.5)


def test_the_raw_line_stays_under_the_smoothed_one() -> None:
    noise = np.random.default_rng(0).standard_normal(20_000)
    noise[12_345] = 9.0
    line = {"validation": pd.DataFrame({"epoch": np.arange(20_000.0), "value": noise})}
    raw, over = runcurves.curve_drawing("Loss", line, COLOURS, smoothing=0.95)["series"]
    alone = runcurves.curve_drawing("Loss", line, COLOURS)["series"]
    assert raw["data"] == alone[0]["data"] and len(alone) == 1
    assert max(point[1] for point in raw["data"]) == 9.0 and len(raw["data"]) <= charts.POINTS_PER_CURVE + 2
    assert raw["lineStyle"]["width"] < over["lineStyle"]["width"] and raw["lineStyle"]["opacity"] < 1
    assert max(point[1] for point in over["data"]) < 2


def test_what_was_set_is_not_smoothed() -> None:
    line = {
        "learning rate": pd.DataFrame({"epoch": np.arange(100.0), "value": np.where(np.arange(100) < 50, 0.1, 0.01)})
    }
    one, alone = (runcurves.curve_drawing("Learning rate", line, COLOURS, smoothing=by)["series"] for by in (0.95, 0.0))
    assert one == alone and len(one) == 1


def test_a_zoom_shows_every_number_of_its_stretch() -> None:
    line = {"validation": pd.DataFrame({"epoch": np.arange(20_000.0), "value": np.arange(20_000.0) % 7})}
    option = runcurves.curve_drawing("Loss", line, COLOURS, span=(500.0, 899.0), smoothing=0.5)
    raw, over = option["series"]
    assert [point[0] for point in raw["data"]] == list(range(500, 900))
    whole = runcurves.smooth(np.arange(20_000.0), np.arange(20_000.0) % 7, 0.5)
    assert over["data"][0][1] == pytest.approx(whole[500], rel=1e-4)  # its past counts
    assert (option["xAxis"]["min"], option["xAxis"]["max"]) == (500.0, 899.0)


def test_logarithmic_axes_leave_out_what_they_cannot_show() -> None:
    line = {"train": pd.DataFrame({"epoch": [0.0, 1.0, 2.0], "value": [1.0, -1.0, 0.5]})}
    marked = [(0.0, "branched", "1"), (1.5, "changed", "2")]
    option = runcurves.curve_drawing("Loss", line, COLOURS, log=(True, True), marked=marked)
    assert option["series"][0]["data"] == [[2.0, 0.5]]
    assert (option["xAxis"]["type"], option["yAxis"]["type"], "min" in option["xAxis"]) == ("log", "log", False)
    assert [mark["name"] for mark in option["series"][0]["markLine"]["data"]] == ["2"]


def test_the_gap_is_how_much_better_training_is() -> None:
    table = rows(train__loss=[1.0, 0.5], validation__loss=[1.0, 0.8], train__ccc=[0.1, 0.9], validation__ccc=[0.1, 0.6])
    assert runcurves.gap_table(table, "loss")["value"].tolist() == pytest.approx([0.0, 0.3])
    assert runcurves.gap_table(table, "ccc")["value"].tolist() == pytest.approx([0.0, 0.3])
    assert set(runcurves.panels(table, "ccc")) == {"Loss", "ccc", "Gap of loss", "Gap of ccc"}
    assert runcurves.panels(rows(train__loss=[1.0]).iloc[:0], "ccc") == {}
    by_step = runcurves.panels(table, "ccc", x="step")["Loss"]["validation"]
    assert by_step["epoch"].tolist() == [0, 10]


def test_the_scored_epoch_is_the_one_with_the_same_scores() -> None:
    table = rows(validation__ccc=[0.1, 0.5, 0.5, 0.4], validation__r2_valence=[0.0, 0.2, 0.3, 0.3])
    final = pd.DataFrame({"metric": ["ccc", "r2_valence", "macro_f1"], "value": [0.5, 0.3000001, 0.9]})
    found = runcurves.scored_moment(table, final)
    assert found is not None and (found.step, found.epoch) == (20, 2.0)
    assert runcurves.scored_moment(table, final.assign(value=0.45)) is None
    assert runcurves.scored_moment(table, final.iloc[:0]) is None


def test_what_happened_is_told_in_words() -> None:
    told = [
        (1, 5.0, "branched", 30, {"parent": "p", "epoch": 3.0, "values": {"dropout": [0.0, 0.5]}}),
        (2, 6.0, "changed", 40, {"epoch": 4.0, "values": {"learning_rate": [0.1, 0.05]}}),
        (3, 7.0, "paused", 50, {"epoch": 5.0}),
        (4, 19.0, "resumed", 50, {"epoch": 5.0}),
        (5, 20.0, "rewound", None, {"to_step": 20}),
        (6, 21.0, "rewound", None, {"to_step": -1}),
        (7, 22.0, "changed", 60, {"epoch": "six", "values": "torn"}),
    ]
    events = pd.DataFrame(
        [(n, t, kind, step, json.dumps(detail)) for n, t, kind, step, detail in told],
        columns=["n", "t", "kind", "step", "detail"],
    )
    assert runcurves.marks(events, rows(train__loss=[1.0] * 7)) == [
        Mark("branched", 30, 3.0, "branch of p: dropout 0 → 0.5"),
        Mark("changed", 40, 4.0, "learning_rate 0.1 → 0.05"),
        Mark("paused", 50, 5.0, "paused for 12 s"),
        Mark("rewound", 20, 2.0, "resumed from its checkpoint of step 20"),
        Mark("rewound", 0, 0.0, "resumed from the beginning"),
        Mark("changed", 60, 6.0, ""),
    ]


def test_the_csv_holds_every_number() -> None:
    table = rows(train__loss=[1.0, 0.1234567890123], validation__loss=[2.0])
    back = pd.read_csv(io.StringIO(runcurves.csv(table)))
    assert back["train/loss"].tolist() == [1.0, 0.1234567890123] and back["epoch"].tolist() == [0, 1]
    assert back["validation/loss"].isna().tolist() == [False, True]
    assert runcurves.csv(table.iloc[:0]) == "step,epoch\n"


def test_labels_of_neighbours_are_told_apart() -> None:
    lines = {"train": pd.DataFrame({"epoch": np.linspace(0, 10, 11), "value": np.ones(11)})}
    colours = dict.fromkeys(("train", "validation", "real"), "#000000")
    marked = [(9.0, "changed", "3"), (1.0, "changed", "1"), (1.05, "changed", "2")]
    option = runcurves.curve_drawing("Loss", lines, colours, marked=marked)
    drawn = {line["xAxis"]: line["name"] for line in option["series"][0]["markLine"]["data"]}
    assert drawn == {1.0: "1, 2", 1.05: "", 9.0: "3"}
    option = runcurves.curve_drawing("Loss", lines, colours, marked=marked, span=(0.9, 1.2))
    assert [line["name"] for line in option["series"][0]["markLine"]["data"]] == ["1", "2"]  # there is room
