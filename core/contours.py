"""Lines of equal value through a rectangle of means: which settings of two knobs do as well as each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.sweepcharts import is_log, positions

READING = (
    "Every line joins settings with the same mean, interpolated between the dots, which are the combinations that ran. "
    "Lines close together: a small step changes much. Lines that run aslant: the two knobs must be moved together."
)
Chart = alt.LayerChart | alt.FacetChart
FEWEST_LEVELS = 3
"""Of each knob: two make a plane, which has nothing to show that the cells do not."""
WANTED_LINES = 7
NAMES_ACROSS = (20.0, 18.0)
"""Names of lines that would fit beside each other, and above each other, on the chart."""


def segments(x: np.ndarray, y: np.ndarray, z: np.ndarray, level: float) -> np.ndarray:
    """Pieces [n, 4] (x, y, x2, y2) of the line z = level; x [m] and y [k] ascending, z [k, m], NaN where unknown.

    Marching squares: straight between the places where the four sides of a cell cross the level, which are linearly
    interpolated; a saddle is cut as its middle says. Cells with a NaN are left out. Source: Lorensen & Cline 1987,
    SIGGRAPH 21(4), in two dimensions.
    """
    found: list[tuple[float, float, float, float]] = []
    for row in range(len(y) - 1):
        for column in range(len(x) - 1):
            corners = z[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]  # around the cell
            if np.isfinite(corners).all():
                xs, ys = x[[column, column + 1, column + 1, column]], y[[row, row, row + 1, row + 1]]
                found += _through(xs, ys, corners - level)
    return np.array(found).reshape(-1, 4)


def _through(xs: np.ndarray, ys: np.ndarray, above: np.ndarray) -> list[tuple[float, float, float, float]]:
    """The pieces within one cell, from its corners in turn and how far each lies above the level."""
    crossings = []
    for side in range(4):
        a, b = above[side], above[(side + 1) % 4]
        if (a < 0) != (b < 0):
            share = a / (a - b)
            end = (side + 1) % 4
            crossings.append((xs[side] + share * (xs[end] - xs[side]), ys[side] + share * (ys[end] - ys[side])))
    if len(crossings) == 4 and (above.mean() < 0) != (above[0] < 0):
        crossings = crossings[1:] + crossings[:1]  # the first corner is cut off from the middle, and so the third
    return [(*crossings[k], *crossings[k + 1]) for k in range(0, len(crossings) - 1, 2)]


def levels_between(low: float, high: float, wanted: int = WANTED_LINES) -> np.ndarray:
    """About so many round values (multiples of 1, 2 or 5 · 10^k) strictly between low and high."""
    if not low < high:
        return np.array([])
    rough = (high - low) / (wanted + 1)
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = np.floor(low / step) + 1, np.ceil(high / step) - 1
    return step * np.arange(first, last + 1)


def table(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pieces of all lines, x, y, x2, y2, value, from `sweepcharts.pair_table`; empty where these knobs have none.

    Both need three numeric levels or more. Levels on a logarithmic axis are interpolated there, as they are drawn.
    """
    empty = pd.DataFrame(columns=["x", "y", "x2", "y2", "value"])
    across, along = pairs["at"].astype(float), positions(pairs["other"])
    if not len(pairs) or across.isna().any() or along.isna().any():
        return empty
    grid = pairs.assign(x=across, y=along).pivot_table(index="y", columns="x", values="mean", aggfunc="mean")
    if min(grid.shape) < FEWEST_LEVELS:
        return empty
    x, y = grid.columns.to_numpy(float), grid.index.to_numpy(float)
    forth = [np.log10 if is_log(axis) else np.asarray for axis in (x, y)]
    back = [(lambda v: 10.0**v) if is_log(axis) else np.asarray for axis in (x, y)]
    values = grid.to_numpy(float)
    found = []
    for level in levels_between(float(np.nanmin(values)), float(np.nanmax(values))):
        pieces = segments(forth[0](x), forth[1](y), values, level)
        ends = [back[k % 2](pieces[:, k]) for k in range(4)]
        found.append(pd.DataFrame(dict(zip(["x", "y", "x2", "y2"], ends, strict=True)) | {"value": level}))
    return pd.concat(found, ignore_index=True) if found else empty


def labels(lines: pd.DataFrame, is_log_by: Mapping[str, bool]) -> pd.DataFrame:
    """Where each line of `table` is named: x, y, value, text, a row per value, in the middle of one of its pieces.

    The piece is the one farthest from the names set before and from the edges, measured in widths and heights of a
    name; the shortest line, which has the least choice, is named first.
    """
    at = {name: _middles(lines, name, is_log_by[name]) for name in "xy"}
    place = np.column_stack(
        [_across(lines, name, size, is_log_by[name]) for name, size in zip("xy", NAMES_ACROSS, strict=True)]
    )
    edges = np.minimum(place, np.array(NAMES_ACROSS) - place).min(axis=1, initial=np.inf)
    chosen: list[int] = []
    values = lines["value"].to_numpy(float)
    for value in sorted(set(values), key=lambda one: int((values == one).sum())):
        rows = np.flatnonzero(values == value)
        apart = [np.abs(place[rows] - place[other]).max(axis=1) for other in chosen]
        free = np.minimum(np.min(apart, axis=0) if apart else np.inf, edges[rows] + 0.5)
        chosen.append(int(rows[np.argmax(free)]))
    found = pd.DataFrame({"x": at["x"][chosen], "y": at["y"][chosen], "value": values[chosen]})
    return found.assign(text=[wording.number_text(value) for value in found["value"]])


def _middles(lines: pd.DataFrame, name: str, is_logarithmic: bool) -> np.ndarray:
    """[n]: the middles of pieces along an axis as it is drawn, in its unit."""
    ends = lines[[name, f"{name}2"]].to_numpy(float)
    return np.exp(np.log(ends).mean(axis=1)) if is_logarithmic else ends.mean(axis=1)


def _across(lines: pd.DataFrame, name: str, size: float, is_logarithmic: bool) -> np.ndarray:
    """[n]: how far along an axis, as it is drawn, the middles of pieces lie, from 0 to `size`."""
    ends, middles = lines[[name, f"{name}2"]].to_numpy(float).ravel(), _middles(lines, name, is_logarithmic)
    if is_logarithmic:
        ends, middles = np.log(ends), np.log(middles)
    low, high = float(ends.min(initial=np.inf)), float(ends.max(initial=-np.inf))
    return size * (middles - low) / (high - low) if high > low else np.full(len(middles), size / 2)


def drawing(pairs: pd.DataFrame, x: str, other: str, response: str, colours: Mapping[str, Any]) -> Chart:
    """The lines of `table`, each with its value, and the combinations that ran as dots."""
    lines = table(pairs)
    dots = pairs.assign(x=pairs["at"].astype(float), y=positions(pairs["other"]))
    axes, is_log_by = {}, {name: is_log(dots[name].to_numpy()) for name in "xy"}
    for name, of in (("x", x), ("y", other)):
        levels = sorted(set(dots[name]))
        scale = alt.Scale(type="log" if is_log_by[name] else "linear", zero=False, padding=20)
        axis = alt.Axis(labelExpr="'' + datum.value", grid=False, values=levels, labelOverlap=True)
        axes[name] = (alt.X if name == "x" else alt.Y)(f"{name}:Q", title=wording.words(of), scale=scale, axis=axis)
    ends = [float(dots["mean"].min()), float(dots["mean"].max())]
    colour = alt.Color("value:Q", title=wording.words(response), scale=alt.Scale(scheme="viridis", domain=ends))
    named = labels(lines, is_log_by)
    tooltip = [alt.Tooltip("level:N", title=wording.words(x)), alt.Tooltip("other:N", title=wording.words(other)),
               alt.Tooltip("mean:Q", format=".4~g"), alt.Tooltip("n:Q")]  # fmt: skip
    layers = [
        alt.Chart(lines).mark_rule(strokeWidth=2.5, strokeCap="round").encode(
            **axes, x2="x2:Q", y2="y2:Q", color=colour, tooltip=[alt.Tooltip("value:Q", format=".4~g")]
        ),
        alt.Chart(dots).mark_point(size=36, strokeWidth=1.5, color=colours["real"]).encode(**axes, tooltip=tooltip),
        # What a label stands on is as the page, so that its line and others do not run through it.
        alt.Chart(named).mark_text(fontSize=11, stroke=colours.get("background", "white"), strokeWidth=5).encode(
            **axes, text="text:N"
        ),
        alt.Chart(named).mark_text(fontSize=11, color=colours["real"]).encode(**axes, text="text:N"),
    ]  # fmt: skip
    title = f"Lines of equal {wording.words(response)} over {wording.words(x)} and {wording.words(other)}"
    told = f"{title}: {len(named)} lines from {wording.number_text(ends[0])} to {wording.number_text(ends[1])}."
    return alt.layer(*layers).properties(height=320, title=title, description=told)
