"""Charts: what the tables hold, and every drawing once from nothing and once from plenty."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from core import charts
from pages import palette

THEMES = ("light", "dark")


def metric_rows(epochs: int, steps_per_epoch: int = 4) -> pd.DataFrame:
    """What the index gives for one run: a loss each step, the epoch's mean and the scores with its last step."""
    rows: list[tuple[int, float, str, float]] = []
    for step in range(1, epochs * steps_per_epoch + 1):
        epoch = step / steps_per_epoch
        rows.append((step, epoch, "train/loss", 100.0 + step))
        rows.append((step, epoch, "optim/learning_rate", 0.1))
        if step % steps_per_epoch == 0:
            rows += [(step, epoch, "validation/loss", 10 + epoch), (step, epoch, "validation/ccc_mean", epoch / 1000)]
    return pd.DataFrame(rows, columns=["step", "epoch", "name", "value"])


def board(n: int) -> pd.DataFrame:
    """A board as core/boards.py gives it: `n` configurations, the second without a test score, and a baseline."""
    names = [f"ridge (alpha {number}) <b>'; DROP TABLE runs;--" for number in range(n)]
    rows = pd.DataFrame({"kind": "configuration", "name": names, "n": 3, "validation": np.linspace(0.9, 0.1, n)})
    rows["test"] = np.where(np.arange(n) == 1, np.nan, np.linspace(0.8, 0.0, n))
    for part in ("validation", "test"):
        rows[f"{part}_low"], rows[f"{part}_high"] = rows[part] - 0.1, rows[part] + 0.1
    extra = pd.DataFrame({"kind": ["baseline"], "name": ["baseline: predict the mean"], "n": [None], "test": [0.0]})
    return pd.concat([rows, extra], ignore_index=True)


def strict_json(drawing: Any) -> str:
    """The drawing as text; ValueError where it holds NaN or infinity, which no browser can parse."""
    if isinstance(drawing, dict):
        return json.dumps(drawing, allow_nan=False)
    with alt.data_transformers.disable_max_rows():  # Streamlit sends the rows as Arrow, and has no such limit
        return json.dumps(drawing.to_dict(), allow_nan=False)


# ---- tables ----


def test_a_thinned_curve_keeps_its_ends_and_its_extremes() -> None:
    steps = np.arange(100_000)
    values = np.sin(steps / 70.0 + 1)  # several waves a stretch: neither end is an extreme
    values[12_345], values[77_777] = 50.0, -40.0  # one-step spikes
    kept_steps, kept = charts.thin(steps, values, most=200)
    assert len(kept) <= 202
    assert (kept_steps[0], kept_steps[-1]) == (0, 99_999)
    assert (kept.max(), kept.min()) == (50.0, -40.0)
    assert kept_steps[kept.argmax()] == 12_345
    assert (np.diff(kept_steps) > 0).all()
    assert (values[kept_steps] == kept).all()
    assert np.diff(kept_steps).max() <= 2 * 100_000 / 100  # no stretch is left out


def test_a_short_curve_stays_as_it_is() -> None:
    steps, values = np.arange(7), np.array([1.0, np.nan, 3, 4, 5, 6, 7])
    kept_steps, kept = charts.thin(steps, values, most=7)
    assert kept_steps is steps and kept is values


def test_a_thinned_curve_with_gaps_keeps_the_numbers() -> None:
    values = np.full(10_000, np.nan)
    values[5_000] = 3.0
    _, kept = charts.thin(np.arange(10_000), values, most=100)
    assert np.nanmax(kept) == 3.0


def test_live_losses_per_step_and_per_epoch_are_two_lines() -> None:
    panels = charts.live_table(metric_rows(epochs=3), "ccc_mean")
    assert list(panels) == ["Loss", "ccc_mean", "Learning rate"]  # nothing reported a gradient norm
    loss = panels["Loss"]
    assert list(loss) == ["train, per step", "train", "validation"]
    assert loss["train, per step"]["value"].tolist() == [101, 102, 103, 105, 106, 107, 109, 110, 111]
    assert loss["train"]["value"].tolist() == [104, 108, 112]
    assert loss["train"]["epoch"].tolist() == loss["validation"]["epoch"].tolist() == [1, 2, 3]
    assert list(panels["ccc_mean"]) == ["validation"]


def test_live_panels_of_nothing_are_none() -> None:
    assert charts.live_table(metric_rows(0), "ccc_mean") == {}


def test_the_interval_table_has_a_row_per_part_that_has_a_score() -> None:
    table = charts.interval_table(board(3))
    assert table["part"].tolist() == ["validation"] * 3 + ["test"] * 2
    assert not table["name"].str.startswith("baseline").any()
    assert table["order"].tolist() == [0, 1, 2, 0, 2]
    assert table["low"].tolist() == pytest.approx((table["value"] - 0.1).tolist())
    assert charts.interval_table(board(0)).empty


def test_overlaid_curves_know_their_configuration() -> None:
    curves = pd.concat([metric_rows(2).assign(run=run) for run in ("a", "b", "c")])
    curves = curves[curves["name"] == "validation/loss"]
    table = charts.overlay_table(curves, {"a": "ridge", "b": "ridge"})
    assert table.groupby("name")["run"].unique().map(list).to_dict() == {"c": ["c"], "ridge": ["a", "b"]}
    assert table.loc[table["run"] == "b", "value"].tolist() == [11, 12]
    assert list(charts.overlay_table(curves.iloc[:0], {}).columns) == list(table.columns)


# ---- drawings ----


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("epochs", [0, 1, 3000])
def test_live_drawings(theme: str, epochs: int) -> None:
    rows = metric_rows(epochs)
    rows.loc[rows.index % 7 == 3, "value"] = np.nan  # numbers that a diverging run leaves
    rows.loc[rows.index % 11 == 5, "value"] = np.inf
    panels = charts.live_table(rows, "ccc_mean")
    for title, series in panels.items() if epochs else [("Loss", {})]:
        option = charts.live_drawing(title, series, palette.ROLES[theme])
        assert "Infinity" not in strict_json(option)
        assert option["xAxis"]["name"] == "epoch"
        assert len(option["series"]) == len(series)
        assert all(len(line["data"]) <= charts.POINTS_PER_CURVE + 2 for line in option["series"])


def test_a_live_drawing_tells_lines_apart_without_colour() -> None:
    panels = charts.live_table(metric_rows(3), "ccc_mean")
    lines = charts.live_drawing("Loss", panels["Loss"], palette.ROLES["light"])["series"]
    styles = {line["name"]: (line["lineStyle"]["type"], line["lineStyle"]["width"]) for line in lines}
    assert len(set(styles.values())) == 3
    assert styles["train"] == ("solid", 2) and styles["validation"] == ("dashed", 2)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("n", [0, 1, 60])
@pytest.mark.parametrize("anchors", [{}, {"baseline": 0.0, "ceiling": 0.8}])
def test_interval_drawings(theme: str, n: int, anchors: dict[str, float]) -> None:
    rows = board(n)
    rows.loc[rows.index % 3 == 2, ["validation_low", "validation_high"]] = np.nan  # a stopped run has no interval
    drawing = charts.interval_drawing(charts.interval_table(rows), anchors, "ccc_mean", palette.ROLES[theme])
    text = strict_json(drawing)
    assert all(json.dumps(name)[1:-1] in text for name in rows["name"][:n])
    assert len(json.loads(text)["layer"]) == (4 if anchors else 2)
    assert "ccc_mean" in text


@pytest.mark.parametrize("n_runs, epochs", [(0, 0), (1, 1), (8, 3000)])
def test_overlay_drawings(n_runs: int, epochs: int) -> None:
    curves = pd.concat([metric_rows(epochs, 1).assign(run=f"run-{number}") for number in range(n_runs)] or [EMPTY])
    names = {f"run-{number}": f"configuration {number // 2}" for number in range(n_runs)}
    colours = {name: palette.run_colour(name) for name in names.values()}
    table = charts.overlay_table(curves[curves["name"] == "validation/loss"], names)
    drawing = charts.overlay_drawing(table, "validation loss", colours)
    about = json.loads(strict_json(drawing))["encoding"]
    assert (about["x"]["title"], about["y"]["title"]) == ("epoch", "validation loss")
    assert about["strokeDash"]["field"] == about["color"]["field"] == "name"


EMPTY = metric_rows(0).assign(run="")


def test_two_rows_of_one_name_have_a_row_of_the_chart_each() -> None:
    names, notes = ["ridge", "ridge", "ridge", "svr"], ["", "steered", "steered", "starter"]
    board = pd.DataFrame({"kind": "configuration", "name": names, "note": notes, "n": 1})
    for part in ("validation", "test"):
        board = board.assign(**{part: [0.4, 0.3, 0.2, 0.1], f"{part}_low": 0.0, f"{part}_high": 1.0})
    drawn = charts.interval_table(board)
    assert drawn["name"].tolist()[:4] == ["ridge", "ridge · steered", "ridge · steered · no. 2", "svr"]


def test_an_answer_with_several_rows_of_one_name_is_not_summed() -> None:
    single = pd.DataFrame({"x": ["a", "b"], "y": [0.5, 0.6], "colour": ["k", "k"]})
    double = pd.DataFrame({"x": ["a", "a"], "y": [0.5, 0.6], "colour": ["k", "k"]})
    for table, mark in ((single, "bar"), (double, "point"), (double.drop(columns="colour"), "point")):
        assert charts.answer_drawing(table, ("x", "y", "c"), ["#000000"]).to_dict()["mark"]["type"] == mark


def test_headings_are_written_as_headings() -> None:
    names = {"ccc": "CCC", "macro_f1": "Macro F1", "Gap of ccc": "Gap of CCC", "Loss": "Loss", "test/r2": "test/r2"}
    assert {name: charts.heading(name) for name in names} == names


def test_losses_per_step_are_pale_only_behind_those_per_epoch() -> None:
    rows = pd.DataFrame({"epoch": [1.0, 2.0], "value": [3.0, 2.0]})
    both, alone = {"train, per step": rows, "train": rows}, {"train, per step": rows}
    behind, alone = (
        charts.live_drawing("Loss", lines, palette.ROLES["light"])["series"][0]["lineStyle"] for lines in (both, alone)
    )
    assert behind["opacity"] < 0.5 and behind["color"] == alone["color"]
    assert alone.get("opacity", 1) == 1 and alone["width"] > behind["width"]


def test_configurations_of_one_trainer_are_told_by_their_knobs() -> None:
    table = charts.interval_table(board(3))
    spec = charts.interval_drawing(table, {}, "ccc_mean", palette.ROLES["light"]).to_dict()
    assert spec["title"] == "CCC mean by configuration of ridge"
    axis = next(layer["encoding"]["y"]["axis"] for layer in spec["layer"])
    assert axis["labelExpr"] == "replace(replace(datum.label, \"ridge (\", ''), ')', '')"
    mixed = table.assign(name=table["name"].str.replace("ridge (alpha 0", "svr (c 0", regex=False))
    spec = charts.interval_drawing(mixed, {}, "ccc_mean", palette.ROLES["light"]).to_dict()
    assert spec["title"] == "CCC mean by configuration"
    assert "labelExpr" not in spec["layer"][0]["encoding"]["y"]["axis"]


def test_a_legend_names_only_the_parts_that_have_a_score() -> None:
    table = charts.interval_table(board(3))
    spec = charts.interval_drawing(table[table["part"] == "test"], {}, "ccc", palette.ROLES["light"]).to_dict()
    assert [layer["encoding"]["color"]["scale"]["domain"] for layer in spec["layer"]] == [["test"], ["test"]]
