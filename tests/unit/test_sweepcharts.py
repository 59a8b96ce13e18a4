"""Charts of sweeps: tables by hand counts, every drawing from nothing and from plenty."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from core import anova, assumptions, contingency, correlations, effectcharts, effects, pareto, sweepcharts, sweepcurves
from pages.palette import ROLES

COLOURS = ROLES["dark"]
FACTORS = ["optimizer", "learning_rate", "<b>k</b>"]


def sweep(n_rates: int = 4, n_seeds: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [
        (o, 10.0**-k, w, s, f"r{o}{k}{w}{s}")
        for o in ("sgd", "adam", "a'; DROP")
        for k in range(n_rates)
        for w in (32, 64)
        for s in range(n_seeds)
    ]
    frame = pd.DataFrame(rows, columns=[*FACTORS, "seed", "run"])
    frame["train/loss"] = np.log10(frame["learning_rate"]) * 10 + generator.normal(size=len(frame))
    frame["test/accuracy"] = generator.random(len(frame))
    frame["class"] = np.where(frame["train/loss"] > -10, "diverged", "stable")
    return frame.assign(cell=frame.groupby(FACTORS).ngroup(), state="done", fraction=1.0)


def charts(frame: pd.DataFrame) -> dict[str, Any]:
    loss, goals = "train/loss", {"train/loss": "lower", "test/accuracy": "higher"}
    analysis = anova.anova(frame, loss, FACTORS)
    pairs = effects.pairwise(frame, loss, FACTORS, "learning_rate")
    residuals = effectcharts.residual_table(assumptions.check(analysis))
    both = sweepcharts.pair_table(frame, loss, FACTORS, "learning_rate", "optimizer")
    curves = frame.loc[frame.index.repeat(5), ["run", "train/loss"]].rename(columns={"train/loss": "value"})
    curves["epoch"] = np.tile(np.arange(5.0), len(frame))
    levels = dict(zip(frame["run"], frame["optimizer"], strict=True))
    front = effectcharts.front_table(pareto.front(frame, goals, FACTORS), loss, "test/accuracy")
    classes = effectcharts.classes_table(contingency.contingency(frame, "class", "learning_rate"))
    return {
        "axis": sweepcharts.axis_drawing(
            sweepcharts.axis_table(frame, loss, FACTORS, "learning_rate"), "learning_rate", loss, COLOURS
        ),
        "interaction": sweepcharts.interaction_drawing(both, "learning_rate", "optimizer", loss, COLOURS),
        "heat": sweepcharts.heat_drawing(both, "learning_rate", "optimizer", loss),
        "points": sweepcharts.points_drawing(
            sweepcharts.points_table(frame, loss, FACTORS, "learning_rate", "optimizer"),
            "learning_rate",
            "optimizer",
            loss,
            COLOURS,
        ),
        "curves": sweepcurves.curves_drawing(sweepcurves.curves_table(curves, levels), "optimizer", loss, COLOURS),
        "cells": sweepcurves.cells_drawing(sweepcurves.cells_table(frame, FACTORS), COLOURS),
        "effects": effectcharts.effects_drawing(effectcharts.effects_table(analysis), loss, COLOURS),
        "correlations": effectcharts.correlations_drawing(
            effectcharts.correlations_table(correlations.correlations(frame, loss, FACTORS)), loss, COLOURS
        ),
        "pairs": effectcharts.pairs_drawing(effectcharts.pairs_table(pairs), loss, COLOURS),
        "residuals": effectcharts.residual_drawing(residuals, loss, COLOURS),
        "normal": effectcharts.normal_drawing(residuals, COLOURS),
        "front": effectcharts.front_drawing(front, loss, "test/accuracy", goals, COLOURS),
        "classes": effectcharts.classes_drawing(classes, "class", "learning_rate"),
    }


@pytest.mark.parametrize("make", [lambda: sweep().iloc[:0], lambda: sweep(7, 3), lambda: sweep(2, 1)])
def test_every_chart_from_nothing_and_from_plenty(make: Callable[[], pd.DataFrame]) -> None:
    drawn = charts(make())
    assert set(drawn) | {"parallel"} == {*sweepcharts.READING, *sweepcurves.READING, *effectcharts.READING}
    for name, chart in drawn.items():
        told = chart.to_dict()
        assert told["title"] and told["description"].endswith(".") and "nan" not in told["description"], name
    option = sweepcharts.parallel_drawing(
        sweepcharts.parallel_table(make(), ["test/accuracy", "train/loss"], FACTORS),
        ["test/accuracy", "train/loss"],
        COLOURS,
    )
    assert json.loads(json.dumps(option, allow_nan=False))["aria"]["description"] and not option["tooltip"]["show"]


def test_log_knobs_have_log_axes() -> None:
    assert sweepcharts.is_log([1e-4, 1e-1]) and not sweepcharts.is_log([32, 64]) and not sweepcharts.is_log([0, 1, 100])
    assert sweepcharts.is_log([0.01, 0.03, 0.1]) and sweepcharts.is_log([0.01, 0.02, 0.05, 0.1, 0.2])
    assert not sweepcharts.is_log([10, 50, 100]) and not sweepcharts.is_log([0.1, 0.2, 0.3, 0.4, 0.5])
    random = np.random.default_rng(0)
    drawn = [random.uniform(0.0, 0.5, (200, 36)), np.exp(random.uniform(np.log(1e-3), np.log(0.5), (200, 36)))]
    shares = [np.mean([sweepcharts.is_log(levels) for levels in of]) for of in drawn]
    assert shares[0] < 0.05 and shares[1] > 0.95
    table = sweepcharts.axis_table(sweep(), "train/loss", FACTORS, "learning_rate")
    told = sweepcharts.axis_drawing(table, "learning_rate", "train/loss", COLOURS).to_dict()
    scales = [layer["encoding"]["x"]["scale"]["type"] for layer in told["layer"]]
    assert scales == ["log"] * 3
    table = sweepcharts.parallel_table(sweep(), ["train/loss"], FACTORS)
    axes = sweepcharts.parallel_drawing(table, ["train/loss"], COLOURS)["parallelAxis"]
    assert [axis["type"] for axis in axes] == ["category", "log", "value", "value"]


def test_axis_and_pair_tables_count_what_is_there() -> None:
    frame = sweep()
    frame.loc[0, "train/loss"] = np.nan
    table = sweepcharts.axis_table(frame, "train/loss", FACTORS, "learning_rate")
    assert (table["kind"] == "run").sum() == 71 and (table["kind"] == "mean").sum() == 4
    means = table[table["kind"] == "mean"].set_index("level")
    assert means["n"].to_dict() == {"0.001": 18, "0.01": 18, "0.1": 18, "1": 17}
    by_hand = frame[frame["learning_rate"] == 0.1].groupby(FACTORS)["train/loss"].mean().mean()
    assert means["value"]["0.1"] == pytest.approx(by_hand) and means["at"]["0.1"] == 0.1
    both = sweepcharts.pair_table(frame, "train/loss", FACTORS, "learning_rate", "optimizer")
    assert len(both) == 12 and both["n"].sum() == 71
    assert sweepcharts.axis_table(frame.assign(learning_rate=1), "train/loss", FACTORS, "learning_rate").empty
    assert sweepcharts.pair_table(frame, "train/loss", FACTORS, "optimizer", "optimizer").empty


def test_medians_and_bands_of_curves() -> None:
    epochs = np.arange(11.0)
    lines = {"a": epochs, "b": epochs + 2, "c": epochs + 10}
    curves = pd.concat([pd.DataFrame({"run": run, "epoch": epochs, "value": values}) for run, values in lines.items()])
    curves = pd.concat(
        [
            curves[(curves["run"] != "c") | (curves["epoch"] <= 5)],
            pd.DataFrame({"run": ["x"], "epoch": [1.0], "value": [1.0]}),
        ]
    )
    table = sweepcurves.curves_table(curves, dict.fromkeys("abc", "one"))
    level = table[table["kind"] == "level"].set_index("epoch")
    assert level["value"][0.0] == 2 and level["low"][0.0] == 1 and level["high"][0.0] == 6
    assert level["value"][10.0] == 11  # the third has ended
    assert table.loc[(table["kind"] == "run") & (table["run"] == "c"), "epoch"].max() <= 5 and "x" not in set(
        table["run"]
    )


def test_a_browser_gets_no_more_than_it_can_draw() -> None:
    table = pd.DataFrame({"at": np.arange(9999)})
    thin = sweepcharts.few(table)
    assert len(thin) == sweepcharts.MOST_DOTS and thin["at"].iloc[[0, -1]].tolist() == [0, 9998]
    runs = [f"r{k}" for k in range(500)]
    curves = pd.DataFrame({"run": np.repeat(runs, 2), "epoch": [0.0, 1.0] * 500, "value": 1.0})
    assert len(sweepcurves.curves_table(curves, dict.fromkeys(runs, "one"))) <= 5000


def test_cells_say_their_state_without_colour() -> None:
    progress = pd.DataFrame(
        {"cell": [0, 0, 1, 1], "lr": [0.1, 0.1, 1.0, 1.0], "seed": [1, 2, 1, 2],
         "state": ["done", "running", "failed", "odd"], "fraction": [1.0, 0.4, np.nan, 0.0]}
    )  # fmt: skip
    table = sweepcurves.cells_table(progress, ["lr"])
    assert (
        table["sign"].tolist() == ["✓", "▸ 40 %", "✗", "o"] and table["row"].tolist() == ["lr 0.1"] * 2 + ["lr 1"] * 2
    )
    assert sweepcurves.cells_table(progress, [])["row"].tolist() == ["cell 0"] * 2 + ["cell 1"] * 2
    many = pd.concat([progress.assign(seed=progress["seed"] + 2 * k) for k in range(7)])
    assert set(sweepcurves.cells_table(many, ["lr"])["sign"]) == {"✓", "▸", "✗", "o"}  # no room for numbers
    assert "1 done, 1 running, 1 failed and 1 odd" in sweepcurves.cells_drawing(table, COLOURS).to_dict()["description"]


def test_classes_and_residual_tables() -> None:
    frame = sweep()
    table = effectcharts.classes_table(contingency.contingency(frame, "class", "learning_rate"))
    assert table["n"].sum() == len(frame) and (table["n"] - table["expected"]).sum() == pytest.approx(0)
    residuals = effectcharts.residual_table(assumptions.check(anova.anova(frame, "train/loss", FACTORS)))
    order = residuals["standardised"].to_numpy().argsort()
    assert (np.diff(residuals["normal"].to_numpy()[order]) >= 0).all() and len(residuals) == len(frame)
    assert isinstance(effectcharts.normal_drawing(residuals, COLOURS), alt.LayerChart)


def test_labels_of_a_front_do_not_lie_on_each_other() -> None:
    at = {"x": [0.0, 0.005, 0.01, 1.0], "y": [0.9, 0.9, 0.88, 0.0]}
    ends = {f"{name}_{end}": at[name] for name in ("x", "y") for end in ("low", "high")}
    table = pd.DataFrame(at | ends | {"is_on_front": [True, True, True, False]})
    places = effectcharts.label_places(table, ["100 %", "72 %", "73 %", ""])
    assert places[3] == -1 and len({place for place in places if place >= 0}) == (places >= 0).sum() >= 2
    spread = table.assign(x=[0.0, 0.3, 0.6, 1.0], x_low=0.0, x_high=1.0)
    assert effectcharts.label_places(spread, ["1 %"] * 4).tolist() == [0, 0, 0, 0]


def drawn_at_random(n: int = 12, n_seeds: int = 3) -> pd.DataFrame:
    """A search over two ranges: no level comes back, and the score rises with the learning rate alone."""
    generator = np.random.default_rng(5)
    rates, momenta = 10 ** generator.uniform(-3, 0, n), generator.uniform(0, 0.95, n)
    rows = [(rate, momentum, seed) for rate, momentum in zip(rates, momenta, strict=True) for seed in range(n_seeds)]
    frame = pd.DataFrame(rows, columns=["learning_rate", "momentum", "seed"])
    return frame.assign(score=np.log10(frame["learning_rate"]) + generator.normal(0, 0.01, len(frame)), state="done")


def test_numeric_levels_stand_in_their_order_on_both_axes_of_a_heat_map() -> None:
    frame = drawn_at_random()
    table = sweepcharts.pair_table(frame, "score", ["learning_rate", "momentum"], "learning_rate", "momentum")
    told = sweepcharts.heat_drawing(table, "learning_rate", "momentum", "score").to_dict()
    encoding = told["layer"][0]["encoding"]
    across, up = ([float(level) for level in encoding[axis]["sort"]] for axis in ("x", "y"))
    assert across == sorted(across) and len(across) == 12
    assert up == sorted(up, reverse=True) and len(up) == 12  # the first stands on top
    lines = sweepcharts.interaction_drawing(table, "learning_rate", "momentum", "score", COLOURS).to_dict()
    legend = [float(level) for level in lines["layer"][1]["encoding"]["color"]["scale"]["domain"]]
    assert legend == sorted(legend)


def test_levels_that_never_come_back_are_drawn_as_points() -> None:
    frame, knobs = drawn_at_random(), ["learning_rate", "momentum"]
    table = sweepcharts.points_table(frame, "score", knobs, knobs[0], knobs[1])
    assert sweepcharts.is_scattered(table)
    means = frame.groupby("learning_rate")["score"].mean()
    assert dict(zip(table["at"], table["mean"], strict=True)) == pytest.approx(
        {float(f"{k:.12g}"): v for k, v in means.items()}
    )
    assert sorted(table["at_other"]) == pytest.approx(sorted(frame["momentum"].unique())) and set(table["n"]) == {3}
    encoding = sweepcharts.points_drawing(table, knobs[0], knobs[1], "score", COLOURS).to_dict()["layer"][0]["encoding"]
    assert encoding["x"]["scale"]["type"] == "log" and encoding["y"]["scale"]["type"] == "linear"
    assert encoding["color"]["type"] == "quantitative"
    grid = sweep()
    table = sweepcharts.points_table(grid, "train/loss", FACTORS[:2], "learning_rate", "optimizer")
    assert len(table) == 12 and not sweepcharts.is_scattered(table)
