"""The charts of a study's table: what was published beside what our runs measured. Tables, drawings, still pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.svg import Axis, Layer, plot
from core.sweepfigures import COLOURS, GREY

PUBLISHED, OURS = "published ± s.d.", "ours, 95 % interval"
READING = {
    "beside": "Per cell, the diamond is the published mean with ± its standard deviation, the dot ours "
    "with its 95 % interval over seeds (none for one seed). Bars that do not meet are numbers that did not come again.",
    "in sd": "How far our mean and its 95 % interval lie from the published mean, in published standard deviations. "
    "Inside the band of ± 1: no further than the published runs from each other. A deviation printed smaller than half "
    "the last digit counts as that half. Cells without a printed deviation are left out.",
}
ROW = alt.Step(34, **{"for": "position"})  # pixels a cell, both marks of it
MOST_SD = 50.0
"""Beyond this many standard deviations a scale of their own would flatten all the others: it becomes symmetric-log."""


def beside_table(rows: pd.DataFrame, factors: Sequence[str], digit: float) -> pd.DataFrame:
    """One metric of `studies.compare` for drawing: name ("sgd · 0.1"), published, published_low, published_high (± its
    sd, or half the `digit` printed last where that is more; NaN where none is printed), measured, low, high, n, in_sd,
    in_sd_low, in_sd_high (NaN without a printed sd)."""
    names = [" · ".join(_level(row[name]) for name in factors) for _, row in rows.iterrows()]
    sd = rows["published_sd"].astype(float).clip(lower=digit / 2)  # NaN stays
    published = rows["published"].astype(float)
    table = pd.DataFrame({"name": names, "published": published})
    table = table.assign(published_low=published - sd, published_high=published + sd)
    for name in ("measured", "low", "high"):
        table[name] = rows[name].astype(float)
        table["in_sd" if name == "measured" else f"in_sd_{name}"] = (rows[name] - published) / sd
    return table.assign(n=rows["n"].astype(int)).reset_index(drop=True)


def _level(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def _title(metric: str) -> str:
    return f"{wording.sentence_case(wording.words(metric))}, published and ours"


def _told(table: pd.DataFrame, metric: str) -> str:
    """The description for who cannot see it: each cell's two numbers."""
    parts = [
        f"{row.name}: published {wording.number_text(row.published)}, ours "
        + (wording.number_text(row.measured) if row.n else "not run")
        for row in table.itertuples(index=False)
    ]
    return f"{_title(metric)}. {'; '.join(parts)}."


def beside_drawing(table: pd.DataFrame, metric: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Per cell the published mean ± sd above ours with its interval, in the metric's own unit."""
    columns = ["value", "low", "high"]
    parts = []
    for who, names in (
        (PUBLISHED, ["published", "published_low", "published_high"]),
        (OURS, ["measured", *columns[1:]]),
    ):
        part = table[["name", "n"]].assign(who=who)
        parts.append(part.assign(**dict(zip(columns, (table[name] for name in names), strict=True))))
    long = pd.concat(parts).dropna(subset=["value"])
    order = [PUBLISHED, OURS]
    scale = alt.Scale(zero=False, padding=16)
    legend = alt.Legend(orient="bottom", symbolStrokeWidth=2)
    told: dict[str, Any] = {"sort": order, "title": None, "legend": legend}
    stroke = alt.Stroke("who:N", scale=alt.Scale(domain=order, range=[colours["real"], colours["train"]]), **told)
    # A scale of its own for what is inside, so that the legend's diamond is as hollow as those of the chart.
    fill = alt.Fill("who:N", scale=alt.Scale(domain=order, range=["transparent", colours["train"]]), **told)
    shape = alt.Shape("who:N", scale=alt.Scale(domain=order, range=["diamond", "circle"]), **told)
    base = alt.Chart(long).encode(
        y=alt.Y("name:N", sort=list(table["name"]), title=None, axis=alt.Axis(labelLimit=220)),
        yOffset=alt.YOffset("who:N", sort=order, scale=alt.Scale(paddingOuter=0.35)),
        stroke=stroke,
        tooltip=["name:N", "who:N", *(alt.Tooltip(f"{name}:Q", format=".5~g") for name in columns), "n:Q"],
    )
    x = alt.X("value:Q", title=wording.words(metric), scale=scale)
    layers = [base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")]
    layers.append(base.mark_point(size=70, strokeWidth=2, opacity=1).encode(x=x, shape=shape, fill=fill))
    return alt.layer(*layers).properties(height=ROW, title=_title(metric), description=_told(table, metric))


def sd_drawing(table: pd.DataFrame, metric: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Our means and intervals as distances from the published means, in published standard deviations."""
    rows = told_in_sd(table)
    order = list(rows["name"])
    far = rows[["in_sd", "in_sd_low", "in_sd_high"]].abs().max(axis=None) if len(rows) else 0.0
    scale = alt.Scale(type="symlog" if far > MOST_SD else "linear", padding=16)
    title = f"{wording.sentence_case(wording.words(metric))}: our difference in published s.d."
    x = alt.X("in_sd:Q", title="(ours − published) / published s.d.", scale=scale)
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=220))
    numbers = [alt.Tooltip(f"{name}:Q", format="+.2~f") for name in ("in_sd", "in_sd_low", "in_sd_high")]
    band = alt.Chart(pd.DataFrame({"a": [-1.0], "b": [1.0]})).mark_rect(color=colours["real"], opacity=0.22)
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 4], color=colours["real"])
    base = alt.Chart(rows).encode(y=y, tooltip=["name:N", *numbers, "n:Q"])
    layers = [
        band.encode(x=alt.X("a:Q", scale=scale), x2="b:Q"),
        zero.encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("in_sd_low:Q"), x2="in_sd_high:Q"),
        base.mark_point(size=80, filled=True, opacity=1, color=colours["train"]).encode(x=x),
    ]
    inside = int((rows["in_sd"].abs() <= 1).sum())
    said = "; ".join(f"{row.name}: {row.in_sd:+.1f}" for row in rows.itertuples(index=False))
    description = f"{title}: {inside} of {len(rows)} means within ± 1. {said}."
    return alt.layer(*layers).properties(height=ROW, title=title, description=description)


def told_in_sd(table: pd.DataFrame) -> pd.DataFrame:
    """The cells that have runs and a printed deviation."""
    return table[table["in_sd"].notna()]


# ---- for a report ----


def beside_figure(table: pd.DataFrame, metric: str) -> str:
    """`beside_drawing` as a still picture."""
    at = np.arange(len(table), dtype=float)
    told = [
        f"{name}: {wording.number_text(value)}" for name, value in zip(table["name"], table["measured"], strict=True)
    ]
    up, down = at - 0.16, at + 0.16
    column = {name: table[name].to_numpy(float) for name in table if name != "name"}
    layers = [
        Layer("rules", column["published_low"], up, column["published_high"], up, GREY, size=2.5),
        Layer("dots", column["published"], up, colour=GREY, size=4.0, name=PUBLISHED),
        Layer("rules", column["low"], down, column["high"], down, COLOURS[0], size=2.5),
        Layer("dots", column["measured"], down, colour=COLOURS[0], size=4.5, name=OURS, titles=told),
    ]
    return plot(_title(metric), layers, Axis(wording.words(metric)), Axis("", "names", list(table["name"])), height=400)


def sd_figure(table: pd.DataFrame, metric: str) -> str:
    """`sd_drawing` as a still picture."""
    rows = told_in_sd(table)
    at, ends = np.arange(len(rows), dtype=float), np.array([-0.5, len(rows) - 0.5])
    column = {name: rows[name].to_numpy(float) for name in ("in_sd", "in_sd_low", "in_sd_high")}
    marks = [
        Layer("rules", np.array([x]), ends[:1], np.array([x]), ends[1:], GREY, size=1, dash="4 4") for x in (-1.0, 0, 1)
    ]
    layers = [
        *marks,
        Layer("rules", column["in_sd_low"], at, column["in_sd_high"], at, COLOURS[0], size=2.5),
        Layer("dots", column["in_sd"], at, colour=COLOURS[0], size=4.5),
    ]
    title = f"{wording.sentence_case(wording.words(metric))}: our difference in published s.d."
    x = Axis("(ours − published) / published s.d.; marked: ± 1")
    return plot(title, layers, x, Axis("", "names", list(rows["name"])))
