"""Charts of a polyphonic evaluation: classes, calibration, what is taken for what, two runs. Tables and drawings.

Colours come from the caller. Every drawing carries its title and its description for screen readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.datasets import INSTRUMENT_NAMES

NONE = "nothing"
TOTALS = {"micro_f1": "all, pooled (micro)", "macro_f1": "all, mean of classes (macro)"}
READING = {
    "classes": "F1 of each class and its 95 % interval (other songs, drawn by group). Beside it stands in how many "
    "items it is and how often it is said: far fewer said than there are is a class the model has no ear for here.",
    "calibration": "On the dotted line a score is a probability: of all that was given .7, seven tenths are there. "
    "Below it the scores promise too much, above it too little. Bars are 95 % intervals (Wilson), larger dots hold "
    "more decisions.",
    "confusion": "Items with exactly one label: its row, and as column the class with the highest score. Colour and "
    "number are shares of the row, n the row's items; the diagonal is right.",
    "missed": "Where the class of a row is there and not said: how often each other class is said that is not there. "
    "Shares of the row; several can be said of one item, so a row may add up to more than 1. The last column is where "
    "nothing wrong was said: the class was merely not heard.",
    "difference": "F1 of the first run less that of the second, and its 95 % interval from a paired bootstrap on the "
    "same items. Left of 0 the second is better; an interval that holds 0 shows no difference.",
}  # fmt: skip


def name(label: str) -> str:
    """A class, or a total, in words."""
    return TOTALS.get(label, INSTRUMENT_NAMES.get(label, label))


# ---- classes ----


def class_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """A row per class: name, value (F1), low, high, text ("in 40, said 12×"); NaN where undefined."""
    rows = [
        {
            "name": name(row["label"]),
            "value": row["f1"],
            "low": row["low"],
            "high": row["high"],
            "text": f"in {row['n']:,}, " + (row["note"] or f"said {row['n_said']:,}×"),
        }
        for row in report["classes"]
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("value", "low", "high"), float))


def class_drawing(table: pd.DataFrame, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """F1 with its interval, a row a class, what makes it special in words."""
    unit = alt.Scale(domain=[0, 1])
    tooltip = [alt.Tooltip("name:N"), *_numbers("value", "low", "high")]
    base = alt.Chart(_rows(table)).encode(y=_y(table), tooltip=tooltip)
    ends = base.transform_filter("isValid(datum.low)")
    layers = [
        ends.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(
            x=alt.X("low:Q", scale=unit), x2=alt.X2("high:Q")
        ),
        base.transform_filter("isValid(datum.value)")
        .mark_point(filled=True, size=80, opacity=1, color=colours["train"])
        .encode(x=alt.X("value:Q", scale=unit, title="F1 (dot) and its 95 % interval")),
    ]
    title = "How well each instrument is found"
    told = "; ".join(f"{row.name} {wording.share_text(row.value)}, {row.text}" for row in table.itertuples(index=False))
    return alt.layer(*layers).properties(height=alt.Step(24), title=title, description=f"{title}, F1: {told}.")


# ---- calibration ----


def calibration_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """The bins of both sides: part ("validation", "polyphonic"), score, share, low, high, n."""
    frames = []
    for part, side in (("validation", report["mono"]), ("polyphonic", report["polyphonic"])):
        bins = pd.DataFrame(side["calibration"]["bins"], columns=["score", "share", "share_low", "share_high", "n"])
        frames.append(bins.rename(columns={"share_low": "low", "share_high": "high"}).assign(part=part))
    joined = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    return joined.astype(dict.fromkeys(("score", "share", "low", "high", "n"), float))


def calibration_drawing(table: pd.DataFrame, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Share that is there over mean score, with the diagonal; validation dashed and square."""
    parts = [part for part in ("validation", "polyphonic") if part in set(table["part"])]
    role = {"validation": colours["validation"], "polyphonic": colours["train"]}
    unit = alt.Scale(domain=[0, 1])
    line = alt.Chart(pd.DataFrame({"score": [0.0, 1.0], "share": [0.0, 1.0]}))
    base = alt.Chart(table).encode(
        x=alt.X("score:Q", scale=unit, title="score given"),
        color=alt.Color("part:N", scale=alt.Scale(domain=parts, range=[role[part] for part in parts]), title=None,
                        legend=alt.Legend(orient="top")),
        tooltip=[alt.Tooltip("part:N"), *_numbers("score", "share", "low", "high"), alt.Tooltip("n:Q", format=",.0f")],
    )  # fmt: skip
    y = alt.Y("share:Q", scale=unit, title="share that is there")
    dashes = alt.Scale(domain=parts, range=[[5, 4] if part == "validation" else [1, 0] for part in parts])
    shapes = alt.Scale(domain=parts, range=["square" if part == "validation" else "circle" for part in parts])
    layers = [
        line.mark_line(strokeDash=[2, 4], color=colours["real"]).encode(x=alt.X("score:Q"), y=alt.Y("share:Q")),
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", scale=unit), y2=alt.Y2("high:Q")),
        base.mark_line().encode(y=y, strokeDash=alt.StrokeDash("part:N", scale=dashes, legend=None)),
        base.mark_point(filled=True, opacity=1).encode(
            y=y,
            size=alt.Size("n:Q", scale=alt.Scale(range=[40, 260]), legend=None),
            shape=alt.Shape("part:N", scale=shapes, legend=None),
        ),
    ]
    title = "Whether scores are probabilities"
    told = "; ".join(
        f"{row.part} {wording.share_text(row.score)} given, {wording.share_text(row.share)} there"
        for row in table.itertuples()
    )
    return alt.layer(*layers).properties(height=340, title=title, description=f"{title}: {told}.")


# ---- what is taken for what ----


def confusion_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """A row per pair of classes with items: row ("cello, n = 12"), column, n, total, share, is_right."""
    counts = np.array(report["confusion"], dtype=float)
    names = [name(label) for label in report["labels"]]
    return _cells(counts, counts.sum(axis=1), names, names, same="is_right")


def missed_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """A row per class that is missed and class that is said instead, or NONE: row, column, n, total, share."""
    told, names = report["missed"], [name(label) for label in report["labels"]]
    counts = np.column_stack([np.array(told["counts"], dtype=float), np.array(told["none"], dtype=float)])
    return _cells(counts, np.array(told["n"], dtype=float), names, [*names, NONE], same="is_same")


def _cells(counts: np.ndarray, totals: np.ndarray, rows: list[str], columns: list[str], same: str) -> pd.DataFrame:
    held = np.flatnonzero(totals > 0)
    cells = [
        {"row": f"{rows[r]}, n = {int(totals[r])}", "column": column, "n": int(counts[r, c]), "total": int(totals[r]),
         "share": counts[r, c] / totals[r], same: rows[r] == column}
        for r in held for c, column in enumerate(columns)
    ]  # fmt: skip
    table = pd.DataFrame(cells, columns=["row", "column", "n", "total", "share", same])
    return table.astype({"share": float, same: bool})


def cells_drawing(
    table: pd.DataFrame, title: str, across: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """A square per pair, its share as colour and number; squares of a class with itself are framed."""
    rows, columns = (table[side].drop_duplicates().tolist() for side in ("row", "column"))
    base = alt.Chart(table).encode(
        x=alt.X(
            "column:N",
            sort=columns,
            title=across,
            axis=alt.Axis(labelAngle=-40, labelLimit=140, labelOverlap=False, orient="top"),
        ),
        y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=[alt.Tooltip("row:N"), alt.Tooltip("column:N"), *_numbers("share"), alt.Tooltip("n:Q")],
    )
    key = alt.Legend(orient="bottom")  # at the side it is cut off where the rows are few
    scale = alt.Scale(scheme="viridis", domain=[0, 1])
    colour = alt.Color("share:Q", scale=scale, title="share of the row", legend=key)
    # on viridis white is readable below a share of a half, black above
    ink = alt.condition("datum.share > 0.55", alt.value("#111111"), alt.value("#ffffff"))
    layers = [base.mark_rect().encode(color=colour)]
    same = "is_right" if "is_right" in table else "is_same"
    frame = base.transform_filter(f"datum.{same}")
    layers.append(frame.mark_rect(filled=False, stroke=colours["real"], strokeWidth=2))
    shown = base.transform_filter("datum.share >= 0.005")
    layers.append(shown.mark_text(fontSize=11).encode(text=alt.Text("share:Q", format=".2f"), color=ink))
    most = table[~table[same].astype(bool)].nlargest(5, "share")
    told = "; ".join(f"{row.row}: {row.column} {wording.share_text(row.share)}" for row in most.itertuples())
    description = f"{title}. Most often: {told}."
    return alt.layer(*layers).properties(height=alt.Step(26), title=title, description=description)


# ---- two runs ----


def difference_table(compared: pd.DataFrame) -> pd.DataFrame:
    """`polyreports.compare` for a chart: name, difference, low, high, text ("n = 40, p = .012")."""
    p = [wording.p_text(value) for value in compared["p_holm"]]
    return pd.DataFrame(
        {
            "name": [name(label) for label in compared["label"]],
            **{column: compared[column].astype(float) for column in ("difference", "low", "high")},
            "text": [f"n = {n:,}" + (f", {told}" if f == f else "") for n, told, f in
                     zip(compared["n"], p, compared["difference"], strict=True)],
        }
    )  # fmt: skip


def difference_drawing(
    table: pd.DataFrame, first: str, second: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Differences with intervals and a rule at 0."""
    tooltip = [alt.Tooltip("name:N"), *_numbers("difference", "low", "high"), alt.Tooltip("text:N")]
    base = alt.Chart(_rows(table)).encode(y=_y(table), tooltip=tooltip)
    known = base.transform_filter("isValid(datum.difference)")
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 4], color=colours["real"])
    layers = [
        zero.encode(x=alt.X("zero:Q")),
        known.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
        known.mark_point(filled=True, size=80, opacity=1, color=colours["train"]).encode(
            x=alt.X("difference:Q", title="difference in F1 (first − second) and its 95 % interval")
        ),
    ]
    title = "Which run finds which instrument better"
    told = "; ".join(f"{row.name} {wording.number_text(row.difference, 2)}" for row in table.itertuples(index=False))
    description = f"{title}: F1 of {first} less that of {second}: {told}."
    return alt.layer(*layers).properties(height=alt.Step(24), title=title, description=description)


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(row=table["name"] + ": " + table["text"])


def _y(table: pd.DataFrame) -> alt.Y:
    """A row per class, called by its name and what is said of it: in the plot it would lie on the marks."""
    return alt.Y("row:N", sort=_rows(table)["row"].tolist(), title=None, axis=alt.Axis(labelLimit=360))


def _numbers(*columns: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{column}:Q", format=".3f") for column in columns]
