"""The figures of a sweep's report as static pictures: the tables of the charts, drawn by `svg`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core import sweepboard, wording
from core.svg import DASHES, Axis, Layer, plot
from core.sweepcharts import few, is_log

COLOURS = ("#3b82c4", "#c8641e", "#8f6bd0", "#3f8f4f", "#cc4d80", "#8a7a1a", "#1f8f96", "#7a8288")
"""Each keeps a contrast of 3 on white and on near-black: a file cannot know where it is read."""
GREY = "#7a8288"
MOST_ROWS, MOST_LINES, MOST_DOTS = 40, 8, 600


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)


def _intervals(
    title: str, names: Sequence[str], value: np.ndarray, spans: Sequence[tuple[np.ndarray, np.ndarray, float]],
    x: Axis, rule: float | None = None,
) -> str:  # fmt: skip
    """Dots with one horizontal interval or more, (low, high, width), a row per name."""
    at = np.arange(len(names), dtype=float)
    layers = [Layer("rules", low, at, high, at, COLOURS[0], size=width) for low, high, width in spans]
    if rule is not None and len(names):
        x_rule, top, bottom = np.array([rule]), np.array([-0.5]), np.array([len(names) - 0.5])
        layers.append(Layer("rules", x_rule, top, x_rule, bottom, GREY, size=1, dash="4 4"))
    told = [f"{name}: {wording.number_text(v)}" for name, v in zip(names, value, strict=True)]
    layers.append(Layer("dots", value, at, colour=COLOURS[0], size=4.5, titles=told))
    return plot(title, layers, x, Axis("", "names", [str(name) for name in names]))


def board(table: pd.DataFrame, response: str) -> str:
    """The best 40 configurations of a board: mean and interval over seeds."""
    rows = table[table["n"] > 0].head(MOST_ROWS)
    title = f"{wording.sentence_case(wording.words(response))} by {sweepboard.named_by(table)}"
    span = (_numbers(rows["low"]), _numbers(rows["high"]), 2.5)
    return _intervals(title, list(rows["name"]), _numbers(rows["mean"]), [span], Axis(wording.words(response)))


def knob(table: pd.DataFrame, of: str, response: str) -> str:
    """`sweepcharts.axis_table`: runs, and means with intervals, along one knob."""
    runs, means = few(table[table["kind"] == "run"], MOST_DOTS), table[table["kind"] == "mean"]
    at = _numbers(table["at"]) if len(table) else np.array([])
    if len(at) and np.isfinite(at).all():
        x = Axis(wording.words(of), "log" if is_log(at) else "linear")
        places = {level: float(value) for level, value in zip(table["level"], at, strict=True)}
    else:
        names = list(dict.fromkeys(means["level"]))
        x, places = Axis(wording.words(of), "names", names), {name: float(k) for k, name in enumerate(names)}
    here, there = (_numbers(rows["level"].map(places)) for rows in (runs, means))
    low, high = _numbers(means["low"]), _numbers(means["high"])
    layers = [
        Layer("dots", here, _numbers(runs["value"]), colour=GREY, size=2.5, opacity=0.6, titles=list(runs["name"])),
        Layer("rules", there, low, there, high, COLOURS[0], size=2.5),
        Layer("dots", there, _numbers(means["value"]), colour=COLOURS[0], size=5.0),
    ]
    title = f"{wording.sentence_case(wording.words(response))} by {wording.words(of)}"
    return plot(title, layers, x, Axis(wording.words(response)))


def effects(table: pd.DataFrame, response: str) -> str:
    """`effectcharts.effects_table`: partial ω² of each term with its interval."""
    title = f"What moves the {wording.words(response)}"
    span = (_numbers(table["low"]), _numbers(table["high"]), 2.5)
    axis = Axis("partial ω² (dot) and its 95 % interval", ends=(0.0, 1.0))
    return _intervals(title, list(table["term"]), _numbers(table["value"]), [span], axis)


def correlations(table: pd.DataFrame, response: str) -> str:
    """`effectcharts.correlations_table`: rank correlation of each numeric knob with its interval."""
    span = (_numbers(table["low"]), _numbers(table["high"]), 2.5)
    axis = Axis("Spearman's ρ (dot) and its 95 % interval", ends=(-1.0, 1.0))
    title = f"What goes with the {wording.words(response)}"
    return _intervals(title, list(table["knob"]), _numbers(table["value"]), [span], axis, 0.0)


def pairs(table: pd.DataFrame, response: str) -> str:
    """`effectcharts.pairs_table`: differences with their interval alone (thick) and together (thin)."""
    rows = table.head(MOST_ROWS)
    spans = [
        (_numbers(rows["low_together"]), _numbers(rows["high_together"]), 1.0),
        (_numbers(rows["low"]), _numbers(rows["high"]), 3.0),
    ]
    name = wording.words(response)
    axis = Axis(f"difference in {name}")
    return _intervals(f"Differences in {name}", list(rows["pair"]), _numbers(rows["difference"]), spans, axis, 0.0)


def residuals(table: pd.DataFrame) -> str:
    """`effectcharts.residual_table`: standardised residuals against fitted values."""
    rows = few(table, MOST_DOTS)
    layers = [
        Layer("dots", _numbers(part["fitted"]), _numbers(part["standardised"]), colour=colour, size=3.5, opacity=0.8,
              titles=list(part["name"]))
        for part, colour in ((rows[~rows["is_far"]], COLOURS[0]), (rows[rows["is_far"]], COLOURS[1]))
    ]  # fmt: skip
    return plot(
        "Residuals against what was expected", layers, Axis("fitted"), Axis("standardised residual"), height=260
    )


def curves(table: pd.DataFrame, of: str, metric: str) -> str:
    """`sweepcurves.curves_table`: the median of each level and its middle half; single runs are left out."""
    levels = [str(level) for level in dict.fromkeys(table.loc[table["kind"] == "level", "level"])]
    layers = []
    for k, level in enumerate(levels[:MOST_LINES]):
        rows = table[(table["kind"] == "level") & (table["level"] == level)]
        x, colour = _numbers(rows["epoch"]), COLOURS[k % len(COLOURS)]
        layers.append(Layer("band", x, _numbers(rows["low"]), None, _numbers(rows["high"]), colour, opacity=0.15))
        layers.append(Layer("line", x, _numbers(rows["value"]), colour=colour, name=level, size=2.0,
                            dash=DASHES[k % len(DASHES)]))  # fmt: skip
    title = f"{wording.sentence_case(wording.words(metric))}, medians by {wording.words(of)}"
    if len(levels) > MOST_LINES:
        title += f" (the first {MOST_LINES} of {len(levels)} levels)"
    return plot(title, layers, Axis("epoch"), Axis(wording.words(metric)))


def early(table: pd.DataFrame, response: str) -> str:
    """`early.predict`'s table: rank correlation with the end against the epoch."""
    layers = []
    for k, (name, rows) in enumerate(table.groupby("predictor", sort=False)):
        x, colour = _numbers(rows["epoch"]), COLOURS[k % len(COLOURS)]
        layers.append(Layer("band", x, _numbers(rows["low"]), None, _numbers(rows["high"]), colour, opacity=0.15))
        layers.append(Layer("line", x, _numbers(rows["rho"]), colour=colour, name=str(name), size=2.0, dash=DASHES[k]))
    title = f"Does an epoch foretell the {wording.words(response)} at the end?"
    return plot(title, layers, Axis("epoch"), Axis("Spearman's ρ with the end", ends=(-1.0, 1.0)))


def front(table: pd.DataFrame, x: str, y: str) -> str:
    """`effectcharts.front_table`: configurations by two goals, those beaten by none joined."""
    best, others = table[table["is_on_front"]].sort_values("x"), few(table[~table["is_on_front"]], MOST_DOTS)
    bars = few(table, MOST_DOTS)
    at = {name: _numbers(bars[name]) for name in ("x", "y", "x_low", "x_high", "y_low", "y_high")}
    layers = [
        Layer("rules", at["x_low"], at["y"], at["x_high"], at["y"], GREY, size=1, opacity=0.6),
        Layer("rules", at["x"], at["y_low"], at["x"], at["y_high"], GREY, size=1, opacity=0.6),
        Layer("line", _numbers(best["x"]), _numbers(best["y"]), colour=COLOURS[0], size=1.5, dash="5 3"),
        Layer("dots", _numbers(others["x"]), _numbers(others["y"]), colour=GREY, titles=list(others["cell"])),
        Layer("dots", _numbers(best["x"]), _numbers(best["y"]), colour=COLOURS[0], size=5, titles=list(best["cell"])),
    ]
    title = f"{wording.sentence_case(wording.words(y))} against {wording.words(x)}"
    return plot(title, layers, Axis(wording.words(x)), Axis(wording.words(y)))
