"""Charts of a sweep's runs: a table function and a drawing function each, as in `charts`.

Colours come from the caller (the roles of the palette). Level names are texts, as in `usable`. READING says how each is
read; every drawing carries its description for screen readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from core import effects, wording
from core.usable import mark, numbers, ordered_levels, usable

READING = {
    "axis": "Each small dot is a run; the large one is the mean over the other knobs with its 95 % interval. Dots far "
    "from their neighbours at one level are seeds or other knobs, not this one.",
    "interaction": "One line per level of the second knob. Parallel lines: the knobs act on their own. Lines that "
    "cross or fan out: what one does depends on the other.",
    "heat": "Each cell is the mean over runs with these two levels, written in it. Look for a ridge that runs aslant: "
    "there the knobs must be moved together. Empty cells have no usable run.",
    "points": "Each dot is a configuration, where its two levels lie; its colour is its mean. Look for a region of one "
    "colour, and for places where no configuration was tried: nothing is known there.",
    "parallel": "One line per configuration, from knob to knob to its result. Drag along an axis to keep only the "
    "configurations that pass there.",
}
LOG_FROM, LOG_LEAST = 50.0, 5.0
"""Two levels, and results, are drawn on a logarithmic axis where the largest is so many times the smallest as the first
says; three levels and more from the second on, where they are spread as on one."""
MOST_DOTS = 4000
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 4], [6, 2, 2, 2])


def is_log(values: Sequence[float] | np.ndarray) -> bool:
    """Whether these levels belong on a logarithmic axis: all above 0, and spread as on one.

    Of three levels and more: whether those between the ends are likelier where the logarithm is uniform than where the
    level itself is.
    """
    levels = np.unique(np.asarray(values, dtype=float))
    if len(levels) < 3 or not is_wide(levels, LOG_LEAST):
        return is_wide(levels)
    low, high, between = levels[0], levels[-1], levels[1:-1]
    return bool(np.log((high - low) / (between * np.log(high / low))).sum() > 0)


def is_wide(values: np.ndarray, times: float = LOG_FROM) -> bool:
    """Whether all are above 0, and the largest is so many times the smallest."""
    return bool(len(values) and np.isfinite(values).all() and values.min() > 0 and values.max() >= times * values.min())


def few(table: pd.DataFrame, most: int = MOST_DOTS) -> pd.DataFrame:
    """At most `most` rows, evenly chosen: a browser draws no more, and nobody sees more."""
    return table if len(table) <= most else table.iloc[np.linspace(0, len(table) - 1, most).astype(int)]


def positions(levels: pd.Series) -> pd.Series:
    """Levels (texts) as numbers; all NaN unless every one of them is a number."""
    found = pd.to_numeric(levels, errors="coerce").astype(float)
    return found if len(found) and np.isfinite(found).all() else pd.Series(np.nan, index=levels.index)


# ---- one knob ----


def axis_table(results: pd.DataFrame, response: str, factors: Sequence[str], of: str) -> pd.DataFrame:
    """Runs and means along one knob: kind ("run" or "mean"), level, at (number or NaN), value, low, high, n, name."""
    columns = ["kind", "level", "at", "value", "low", "high", "n", "name"]
    data = usable(results, response, factors)
    if of not in data.levels:
        return pd.DataFrame(columns=columns)
    place, cells = data.factors.index(of), data.cell_names
    runs = pd.DataFrame({"level": [data.levels[of][code] for code in data.codes[:, place]], "value": data.values})
    runs["name"] = [
        f"{cells[cell]}, {mark(data.unit)} {seed}" for cell, seed in zip(data.cell_of, data.seeds, strict=True)
    ]
    means = effects.marginal_means(results, response, factors, of).table
    means = (
        means[["level", "mean", "low", "high", "n"]].rename(columns={"mean": "value"}).assign(kind="mean", name="mean")
    )
    table = pd.concat([runs.assign(kind="run", n=1), means], ignore_index=True)
    return table.assign(at=positions(table["level"])).reindex(columns=columns)


def axis_drawing(
    table: pd.DataFrame, of: str, response: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Dots of runs, mean and interval over each level of a knob."""
    runs, means = table[table["kind"] == "run"], table[table["kind"] == "mean"]
    tooltip = ["name:N", "level:N", alt.Tooltip("value:Q", format=".4~g")]
    value = alt.Y("value:Q", title=wording.words(response), scale=alt.Scale(zero=False))
    dots = alt.Chart(few(runs)).mark_point(filled=True, size=28, opacity=0.45, color=colours["real"])
    bars = alt.Chart(means).mark_rule(strokeWidth=2.5, color=colours["train"])
    points = alt.Chart(means).mark_point(filled=True, size=110, opacity=1, color=colours["train"])
    x = _level_axis(table, of)
    told = [*tooltip, alt.Tooltip("low:Q", format=".4~g"), alt.Tooltip("high:Q", format=".4~g"), "n:Q"]
    layers = [
        dots.encode(x=x, y=value, tooltip=tooltip),
        bars.encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        points.encode(x=x, y=value, tooltip=told),
    ]
    title = f"{wording.sentence_case(wording.words(response))} by {wording.words(of)}"
    description = f"{title}: {len(runs)} runs at {len(means)} levels, with means and 95 % intervals."
    return alt.layer(*layers).properties(height=280, title=title, description=description)


# ---- two knobs ----


def pair_table(results: pd.DataFrame, response: str, factors: Sequence[str], x: str, other: str) -> pd.DataFrame:
    """Means of the combinations of two knobs: level, at, other, mean, low, high, n, in the order of the levels."""
    columns = ["level", "at", "other", "mean", "low", "high", "n"]
    data = usable(results, response, factors)
    if x == other or x not in data.levels or other not in data.levels:
        return pd.DataFrame(columns=columns)
    means = effects.marginal_means(results, response, factors, [x, other]).table
    table = pd.DataFrame(
        {"level": means[x], "other": means[other]} | {c: means[c] for c in ("mean", "low", "high", "n")}
    )
    return table.assign(at=positions(table["level"])).reindex(columns=columns)


def interaction_drawing(
    table: pd.DataFrame, x: str, other: str, response: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """A line per level of the second knob, told apart by colour, dash and shape."""
    names = ordered_levels(table["other"])
    range_ = [colours["runs"][k % len(colours["runs"])] for k in range(len(names))]
    told: dict[str, Any] = {"sort": names, "title": wording.words(other), "legend": alt.Legend(symbolStrokeWidth=1)}
    colour = alt.Color("other:N", scale=alt.Scale(domain=names, range=range_), **told)
    dash_scale = alt.Scale(domain=names, range=[DASHES[k % len(DASHES)] for k in range(len(names))])
    dash = alt.StrokeDash("other:N", scale=dash_scale, **told)
    axis = _level_axis(table, x)
    value = alt.Y("mean:Q", title=f"mean {wording.words(response)}", scale=alt.Scale(zero=False))
    base = alt.Chart(table)
    tooltip = ["level:N", "other:N", *(alt.Tooltip(f"{c}:Q", format=".4~g") for c in ("mean", "low", "high")), "n:Q"]
    shape = alt.Shape("other:N", scale=alt.Scale(domain=names), **told)
    layers = [
        base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(x=axis, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2).encode(x=axis, y=value, color=colour, strokeDash=dash),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=axis, y=value, color=colour, shape=shape, tooltip=tooltip
        ),
    ]
    title = f"{wording.sentence_case(wording.words(x))} × {wording.words(other)}"  # it stands in half a page's width
    description = f"{title}: mean {wording.words(response)}, {len(table)} means in {len(names)} lines."
    return alt.layer(*layers).properties(height=280, title=title, description=description)


def heat_drawing(table: pd.DataFrame, x: str, other: str, response: str) -> alt.LayerChart | alt.FacetChart:
    """The means of two knobs as coloured cells with the number in them; levels evenly spaced, as they were chosen."""
    xs, ys = ordered_levels(table["level"]), ordered_levels(table["other"])
    shown = table.assign(text=[wording.number_text(v) for v in table["mean"]])
    middle = float(table["mean"].min() + table["mean"].max()) / 2 if len(table) else 0.0
    base = alt.Chart(shown).encode(
        x=alt.X("level:N", sort=xs, title=wording.words(x), axis=alt.Axis(labelAngle=0, labelLimit=120)),
        y=alt.Y("other:N", sort=ys[::-1], title=wording.words(other), axis=alt.Axis(labelLimit=120)),
    )
    colour = alt.Color("mean:Q", title=wording.words(response), scale=alt.Scale(scheme="viridis"))
    cells = base.mark_rect().encode(
        color=colour, tooltip=["level:N", "other:N", alt.Tooltip("mean:Q", format=".4~g"), "n:Q"]
    )
    ink = alt.condition(alt.datum.mean < middle, alt.value("white"), alt.value("black"))
    text = base.mark_text(fontSize=12).encode(text="text:N", color=ink)
    title = f"{wording.sentence_case(wording.words(response))} by {wording.words(x)} and {wording.words(other)}"
    description = f"{title}: {len(table)} of {len(xs) * len(ys)} cells have runs."
    return alt.layer(cells, text).properties(height=alt.Step(44), title=title, description=description)


def points_table(results: pd.DataFrame, response: str, factors: Sequence[str], x: str, other: str) -> pd.DataFrame:
    """A row per configuration: level and other (texts), at and at_other (numbers or NaN), mean, n, name."""
    columns = ["level", "other", "at", "at_other", "mean", "n", "name"]
    data = usable(results, response, factors)
    if x == other or x not in data.levels or other not in data.levels:
        return pd.DataFrame(columns=columns)
    places = {name: data.cell_codes[:, data.factors.index(of)] for name, of in (("level", x), ("other", other))}
    table = pd.DataFrame(
        {name: [data.levels[of][code] for code in places[name]] for name, of in (("level", x), ("other", other))}
    )
    n = np.bincount(data.cell_of)
    table = table.assign(mean=np.bincount(data.cell_of, data.values) / n, n=n, name=data.cell_names)
    return table.assign(at=positions(table["level"]), at_other=positions(table["other"])).reindex(columns=columns)


def is_scattered(table: pd.DataFrame) -> bool:
    """Whether a knob of a `points_table` has numbers of which none comes back, as a search draws them: a grid of these
    two would be cells that stand alone."""
    alone = [
        table[at].notna().all() and table[level].is_unique for level, at in (("level", "at"), ("other", "at_other"))
    ]
    return len(table) > 2 and any(alone)


def points_drawing(
    table: pd.DataFrame, x: str, other: str, response: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Configurations where their levels of two knobs lie, coloured by their mean."""
    shown = few(table)
    colour = alt.Color("mean:Q", title=wording.words(response), scale=alt.Scale(scheme="viridis"))
    numeric = [alt.Tooltip("mean:Q", format=".4~g"), "n:Q"]
    tooltip = [alt.Tooltip("level:N", title=wording.words(x)), alt.Tooltip("other:N", title=wording.words(other))]
    y = table.assign(level=table["other"], at=table["at_other"])
    across = _scattered_axis(alt.X, table, "level", "at", x)
    dots = (
        alt.Chart(shown)
        .mark_point(filled=True, size=130, opacity=1, stroke=colours["real"], strokeWidth=0.5)
        .encode(x=across, y=_scattered_axis(alt.Y, y, "other", "at_other", other), color=colour)
        .encode(tooltip=[*tooltip, *numeric])
    )
    title = f"{wording.sentence_case(wording.words(response))} over {wording.words(x)} and {wording.words(other)}"
    description = f"{title}: {wording.count_text(len(table), 'configuration')}."
    return alt.layer(dots).properties(height=320, title=title, description=description)


# ---- all knobs ----


def parallel_table(results: pd.DataFrame, responses: Sequence[str], factors: Sequence[str]) -> pd.DataFrame:
    """A row per configuration: a column per factor (text) and per response (mean of its usable runs), and `n`."""
    if not responses:
        raise ValueError("Parallel coordinates need a result to end at; choose one metric or more.")
    data = usable(results, responses[-1], factors)
    names = list(data.factors)
    frame = pd.DataFrame({f: [data.levels[f][c] for c in data.codes[:, k]] for k, f in enumerate(names)})
    for response in responses:
        frame[response] = numbers(results, response)[data.rows]
    frame["cell"] = data.cell_of
    means = frame.groupby("cell", sort=True).agg({**dict.fromkeys(names, "first"), **dict.fromkeys(responses, "mean")})
    return means.assign(n=np.bincount(data.cell_of) if len(frame) else []).reset_index(drop=True)


def parallel_drawing(table: pd.DataFrame, responses: Sequence[str], colours: Mapping[str, Any]) -> dict[str, Any]:
    """Parallel coordinates as an ECharts option: logarithmic axes where levels ask for it, coloured by the last one."""
    columns = [column for column in table.columns if column != "n"]
    axes: list[dict[str, Any]] = []
    for k, column in enumerate(columns):
        is_result, at = column in responses, positions(table[column].astype(str))
        numeric = bool(is_result or at.notna().any())
        axis: dict[str, Any] = {"dim": k, "name": wording.words(column), "type": "value" if numeric else "category"}
        if not numeric:
            axis["data"] = list(dict.fromkeys(table[column]))
        elif is_wide(at.to_numpy()) if is_result else is_log(at.to_numpy()):
            axis |= {"type": "log", "min": float(at.min()), "max": float(at.max())}
            if is_result:  # its ends are no round numbers, and would be written with all digits
                axis["axisLabel"] = {"showMinLabel": False, "showMaxLabel": False}
        else:
            axis["scale"] = True
        # Lines run through the labels: each stands on a patch of the page.
        label = {"backgroundColor": colours.get("background", "transparent"), "padding": [1, 3], "margin": 6}
        axis["axisLabel"] = label | axis.get("axisLabel", {})
        axes.append(axis | {"nameTextStyle": {"fontSize": 11}, "axisTick": {"show": False}})
    lines = [
        [_coordinate(value, axis) for value, axis in zip(row, axes, strict=True)] for row in table[columns].to_numpy()
    ]
    last = table[responses[-1]].astype(float)
    finite = last[np.isfinite(last)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    viridis = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]
    title = f"{len(table)} configurations, knob by knob"
    return {
        "animation": False,
        "title": {"text": title, "textStyle": {"fontSize": 13, "fontWeight": 600}, "left": 0, "top": 4},
        "aria": {"enabled": True, "description": f"Parallel coordinates, {title}: {wording.words(responses[-1])}."},
        "tooltip": {"show": False},  # it would show names as HTML
        "parallel": {"left": 60, "right": 120, "top": 70, "bottom": 30},
        "parallelAxis": axes,
        "visualMap": {
            "show": True, "dimension": len(columns) - 1, "min": ends[0], "max": ends[1], "right": 0, "top": "middle",
            "inRange": {"color": colours.get("ramp", viridis)}, "precision": 3, "textStyle": {"color": colours["real"]},
            "text": [wording.number_text(ends[1]), wording.number_text(ends[0])],
        },
        "series": [{"type": "parallel", "lineStyle": {"width": 1.5, "opacity": 0.85}, "data": lines}],
    }  # fmt: skip


def _coordinate(value: Any, axis: Mapping[str, Any]) -> Any:
    if axis["type"] == "category":
        return str(value)
    number = float(value)
    return number if np.isfinite(number) else None


def _level_axis(table: pd.DataFrame, of: str) -> alt.X:
    at = table["at"].to_numpy(dtype=float)
    if len(at) and np.isfinite(at).all():
        kind: Literal["log", "linear"] = "log" if is_log(at) else "linear"
        values = sorted(set(at)) if len(set(at)) <= 10 else alt.Undefined
        axis = alt.Axis(format="~g", grid=False, values=values, labelOverlap=True)
        return alt.X("at:Q", title=wording.words(of), axis=axis, scale=alt.Scale(type=kind, zero=False, padding=24))
    names = list(dict.fromkeys(table["level"]))
    return alt.X("level:N", sort=names, title=wording.words(of), axis=alt.Axis(labelAngle=0, labelLimit=140))


def _scattered_axis(channel: Any, table: pd.DataFrame, level: str, at: str, of: str) -> Any:
    """An axis with round numbers of its own, since levels that were drawn are none; names where these are none."""
    places = table["at"].to_numpy(dtype=float)
    if len(places) and np.isfinite(places).all():
        kind: Literal["log", "linear"] = "log" if is_log(places) else "linear"
        scale = alt.Scale(type=kind, zero=False, padding=16)
        axis = alt.Axis(format="~g", grid=True, tickCount=6, labelOverlap=True)
        return channel(f"{at}:Q", title=wording.words(of), axis=axis, scale=scale)
    sort = ordered_levels(table["level"])
    return channel(f"{level}:N", sort=sort, title=wording.words(of), axis=alt.Axis(labelAngle=0, labelLimit=140))
