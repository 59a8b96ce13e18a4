"""Charts: a table function and a drawing function each. The table is what is tested; the drawing is Altair or ECharts.

Colours come from the caller (a page knows the theme); no chart relies on colour alone.
"""

from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

POINTS_PER_CURVE = 1000
"""More points than pixels help nobody: longer curves are drawn by the extremes of equal stretches."""


def thin(steps: np.ndarray, values: np.ndarray, most: int = POINTS_PER_CURVE) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points of a curve (4 at least), ends kept, and in each stretch its lowest and highest value.

    What is not finite is no extreme. A stretch is a power of two long, so that a curve that grows is drawn by the same
    points as before, and does not shimmer, until stretches double.
    """
    if len(steps) <= most:
        return steps, values
    width = 1 << math.ceil(math.log2(len(steps) / max((most - 2) // 2, 1)))
    starts = np.arange(0, len(steps), width)
    places = np.minimum(starts[:, None] + np.arange(width), len(steps) - 1)  # the last stretch repeats its last point
    stretches = values[places]
    is_finite = np.isfinite(stretches)
    lowest = np.where(is_finite, stretches, np.inf).argmin(axis=1)
    highest = np.where(is_finite, stretches, -np.inf).argmax(axis=1)
    order = np.unique(np.concatenate([[0, len(steps) - 1], starts + lowest, starts + highest]))
    return steps[order], values[order]


def live_table(metrics: pd.DataFrame, primary: str) -> dict[str, dict[str, pd.DataFrame]]:
    """The four live panels of one run: panel title → series name → frame (epoch, value).

    `metrics` has step, epoch, name, value. Per-step losses and per-epoch ones are told apart: the line "train" is
    the mean of each epoch, "train, per step" the raw values.
    """
    of_epochs = set(metrics.loc[metrics["name"].str.startswith("validation/"), "step"])
    train = metrics[metrics["name"] == "train/loss"]
    by_name = {str(name): rows[["epoch", "value"]] for name, rows in metrics.groupby("name")}
    empty = pd.DataFrame({"epoch": [], "value": []})
    panels = {
        "Loss": {
            "train, per step": train.loc[~train["step"].isin(of_epochs), ["epoch", "value"]],
            "train": train.loc[train["step"].isin(of_epochs), ["epoch", "value"]],
            "validation": by_name.get("validation/loss", empty),
        },
        primary: {
            "train": by_name.get(f"train/{primary}", empty),
            "validation": by_name.get(f"validation/{primary}", empty),
        },
        "Learning rate": {"learning rate": by_name.get("optim/learning_rate", empty)},
        "Gradient norm": {"gradient norm": by_name.get("optim/gradient_norm", empty)},
    }
    kept = {title: {name: rows for name, rows in series.items() if len(rows)} for title, series in panels.items()}
    return {title: series for title, series in kept.items() if series}


ABBREVIATIONS = {"ap": "AP", "auc": "AUC", "ccc": "CCC", "f1": "F1", "fid": "FID", "mae": "MAE", "r2": "R²"}


def heading(name: str) -> str:
    """A panel's name as a heading: "ccc" is "CCC", "macro_f1" is "Macro F1"; "train/x", as logged, stays."""
    if "/" in name:
        return name
    words = " ".join(ABBREVIATIONS.get(word, word) for word in name.replace("_", " ").split())
    return words[:1].upper() + words[1:]


def live_drawing(
    title: str, series: dict[str, pd.DataFrame], colours: dict[str, Any], *, log: bool = False
) -> dict[str, Any]:
    """One live panel as an ECharts option: training solid, validation dashed, raw steps thin."""
    styles = {
        "train, per step": {"color": colours["train"], "width": 1, "opacity": 0.35, "type": "solid"},
        "train": {"color": colours["train"], "width": 2, "type": "solid"},
        "validation": {"color": colours["validation"], "width": 2, "type": "dashed"},
    }
    if "train" not in series:  # then it is no raw line behind another, and as pale as one it is hardly seen
        styles["train, per step"] = styles["train"] | {"width": 1.5}
    plain = {"color": colours["real"], "width": 2, "type": "solid"}
    lines = []
    for name, rows in series.items():
        epochs, values = thin(rows["epoch"].to_numpy(float), rows["value"].to_numpy(float))
        style = styles.get(name, plain)
        points = [[float(f"{e:.5g}"), float(f"{v:.5g}")] for e, v in zip(epochs, values, strict=True) if np.isfinite(v)]
        lines.append(
            {
                "name": name,
                "type": "line",
                "data": points,
                "showSymbol": len(points) < 40 and name != "train, per step",
                "symbolSize": 5,
                "lineStyle": style,
                "itemStyle": {"color": style["color"]},
            }
        )
    is_named = list(series) != [title.lower()]
    return {
        "animation": False,
        "title": {"text": heading(title), "textStyle": {"fontSize": 13, "fontWeight": 600}, "left": 0, "top": 4},
        "legend": {
            "show": is_named,
            "left": 0,
            "top": 24,
            "itemWidth": 18,
            "itemGap": 6,
            "textStyle": {"fontSize": 11},
        },
        "grid": {"left": 46, "right": 10, "top": 54, "bottom": 40},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "value", "name": "epoch", "nameLocation": "middle", "nameGap": 24, "min": 0},
        "yAxis": {"type": "log" if log else "value", "scale": True},
        "series": lines,
    }


def interval_table(board: pd.DataFrame) -> pd.DataFrame:
    """A board's configurations as rows (name, part, value, low, high, n, order), validation and test each."""
    rows = board[board["kind"] == "configuration"]
    rows = rows.assign(name=_told_apart(rows["name"], rows.get("note")))
    frames = []
    for part in ("validation", "test"):
        columns = {part: "value", f"{part}_low": "low", f"{part}_high": "high"}
        frame = rows[["name", "n", *columns]].rename(columns=columns)
        frames.append(frame.assign(part=part, order=range(len(rows))))
    return pd.concat(frames, ignore_index=True).dropna(subset=["value"])


def _told_apart(names: pd.Series, notes: pd.Series | None) -> list[str]:
    """Names for an axis, where two of one name would share a row: a steered run is called like the one it came from."""
    told: list[str] = []
    is_double = names.duplicated(keep=False)
    for name, double, note in zip(names, is_double, names if notes is None else notes, strict=True):
        full = f"{name} · {note}" if double and notes is not None and note and not pd.isna(note) else str(name)
        number = 2
        while full in told:
            full, number = f"{full.partition(' · no. ')[0]} · no. {number}", number + 1
        told.append(full)
    return told


def interval_drawing(
    table: pd.DataFrame, anchors: dict[str, float], metric: str, colours: dict[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Dot and 95 % interval per configuration, best on top; rules for baseline and ceiling (`anchors`, by name)."""
    kinds = {"validation": (colours["validation"], "circle"), "test": (colours["train"], "diamond")}
    parts = [part for part in kinds if (table["part"] == part).any()]  # a legend of what is drawn
    scale = alt.Scale(domain=parts, range=[kinds[part][0] for part in parts])
    names = table.sort_values("order")["name"].drop_duplicates().tolist()
    trainer = _shared_trainer(names)
    y = alt.Y("name:N", sort=names, title=None, axis=_axis_of_configurations(trainer))
    base = alt.Chart(table).encode(y=y, yOffset=alt.YOffset("part:N", sort=["validation", "test"]))
    # Channels in full: what Altair makes of a bare "name:N" it looks up among all its classes, each time some 10 ms.
    numbers = (alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high"))
    tooltip = [alt.Tooltip("name:N"), alt.Tooltip("part:N"), *numbers, alt.Tooltip("n:Q")]
    x = alt.X("value:Q", title=f"{metric} (dot: mean, bar: 95 % interval)", scale=alt.Scale(zero=False))
    colour = alt.Color("part:N", scale=scale, title=None, legend=alt.Legend(orient="top"))
    shape = alt.Shape("part:N", scale=alt.Scale(domain=parts, range=[kinds[part][1] for part in parts]), title=None)
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=colour)
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(x=x, color=colour, shape=shape, tooltip=tooltip)
    layers = [bars, dots]
    if anchors:
        frame = pd.DataFrame({"anchor": list(anchors), "value": list(anchors.values())})
        rules = alt.Chart(frame).encode(x=alt.X("value:Q"))
        layers.append(rules.mark_rule(strokeDash=[4, 4], color=colours["real"]))
        text = rules.mark_text(align="left", dx=4, dy=-2, baseline="bottom", color=colours["real"])
        layers.append(text.encode(y=alt.YValue(0), text=alt.Text("anchor:N")))
    title = f"{heading(metric)} by configuration" + (f" of {trainer}" if trainer else "")
    description = f"{title}: {len(names)} configurations" + (f", {names[0]} first." if names else ".")
    return alt.layer(*layers).properties(height=alt.Step(22), title=title, description=description)


def _shared_trainer(names: list[str]) -> str:
    """The trainer that all of several configurations "trainer (knob value, …)" have, else ""."""
    first = names[0].partition(" (")[0] if len(names) > 1 else ""
    return first if first and all(name.startswith(f"{first} (") for name in names) else ""


def _axis_of_configurations(trainer: str) -> alt.Axis:
    """Names of configurations; of a trainer that all share, which the title tells, the knobs alone: they differ."""
    if not trainer:
        return alt.Axis(labelLimit=420)
    knobs = f"replace(replace(datum.label, {json.dumps(trainer + ' (')}, ''), ')', '')"
    return alt.Axis(labelLimit=420, labelExpr=knobs)


def overlay_table(curves: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Curves of several runs for one chart: run, configuration (from `names`), epoch, value, thinned."""
    frames = []
    for run, rows in curves.groupby("run"):
        epochs, values = thin(rows["epoch"].to_numpy(float), rows["value"].to_numpy(float))
        frames.append(
            pd.DataFrame({"run": run, "name": names.get(str(run), str(run)), "epoch": epochs, "value": values})
        )
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame({"run": [], "name": [], "epoch": [], "value": []})
    )


def overlay_drawing(table: pd.DataFrame, metric: str, colours: dict[str, str]) -> alt.Chart:
    """One line per run, one colour and dash per configuration (`colours`: configuration → colour)."""
    names = list(colours)
    return (
        alt.Chart(table)
        .mark_line(point=len(table) < 400)
        .encode(
            x=alt.X("epoch:Q", title="epoch"),
            y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)),
            color=alt.Color("name:N", scale=alt.Scale(domain=names, range=list(colours.values())), title=None),
            strokeDash=alt.StrokeDash("name:N", legend=None, sort=names),
            detail=alt.Detail("run:N"),
            tooltip=[
                alt.Tooltip("name:N"),
                alt.Tooltip("run:N"),
                alt.Tooltip("epoch:Q", format=".3g"),
                alt.Tooltip("value:Q", format=".4f"),
            ],
        )
        .properties(height=320)
    )


CHARACTERS_ACROSS = 110
MOST_COLOURS = 8
"""Names that are told apart by colour; more make a legend nobody reads."""
MOST_MARKS = 1000
"""Rows of an answer that are drawn: a browser draws more of them slowly, one over the other."""


def answer_choice(frame: pd.DataFrame) -> tuple[str, str, str]:
    """What a table is best drawn by: (x, y, colour) as column names, "" where nothing fits.

    y is the last column of numbers, x the first column of numbers before it, else the first with names; colour the
    first column with 2 to MOST_COLOURS different names that is not x.
    """
    numbers = [str(name) for name in frame.columns if _is_number(frame[name])]
    words = [str(name) for name in frame.columns if frame[name].dtype == object or str(frame[name].dtype) == "str"]
    if not numbers or not len(frame):
        return "", "", ""
    y = numbers[-1]
    x = next((name for name in [*numbers[:-1], *words]), "")
    few = [name for name in words if name != x and 2 <= frame[name].astype(str).nunique() <= MOST_COLOURS]
    return x, y, few[0] if few else ""


def answer_table(frame: pd.DataFrame, x: str, y: str, colour: str) -> pd.DataFrame:
    """The rows that can be drawn, columns x, y, colour (a text; rarer ones than the first eight are "other")."""
    table = pd.DataFrame({"x": frame[x], "y": pd.to_numeric(frame[y], errors="coerce")})
    if not _is_number(table["x"]):
        table["x"] = table["x"].astype(str)
    if colour:
        names = frame[colour].astype(str)
        common = names.value_counts().index[: MOST_COLOURS - 1 if names.nunique() > MOST_COLOURS else MOST_COLOURS]
        table["colour"] = names.where(names.isin(common), "other")
    return table.dropna(subset=["x", "y"])


def answer_marks(table: pd.DataFrame) -> pd.DataFrame:
    """Of many rows the lowest and the highest of each part of every colour, in their order, MOST_MARKS at most."""
    if len(table) <= MOST_MARKS:
        return table
    series = [np.arange(len(table))]
    if "colour" in table:
        series = [np.flatnonzero(table["colour"] == name) for name in table["colour"].unique()]
    values, kept = table["y"].to_numpy(float), set[int]()
    for rows in series:
        for part in np.array_split(rows, max(1, MOST_MARKS // 2 // len(series))):
            if len(part):
                kept |= {int(part[values[part].argmin()]), int(part[values[part].argmax()])}
    return table.iloc[sorted(kept)]


def answer_drawing(table: pd.DataFrame, titles: tuple[str, str, str], colours: list[str]) -> alt.Chart:
    """The rows of an answer: a bar per name where every row has a name of its own, else a point per row.

    Bars of one name would be stacked to a sum that nobody asked for.
    """
    is_numeric = _is_number(table["x"])
    is_points = is_numeric or bool(table.duplicated([name for name in ("x", "colour") if name in table]).any())
    encoding: dict[str, Any] = {
        "x": alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False, padding=12))
        if is_numeric
        else alt.X("x:N", title=titles[0], sort=None, axis=_axis_of_names(table["x"])),
        # Marks at the ends stay inside the frame; bars begin at 0, where room below them would be wrong.
        "y": alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False, padding=12) if is_points else alt.Scale()),
        "tooltip": [alt.Tooltip("x", title=titles[0]), alt.Tooltip("y:Q", title=titles[1], format=".4~g")],
    }
    if "colour" in table:
        names = sorted(table["colour"].unique())
        scale = alt.Scale(domain=names, range=[colours[k % len(colours)] for k in range(len(names))])
        encoding["color"] = alt.Color("colour:N", title=titles[2], scale=scale)
        encoding["tooltip"].append(alt.Tooltip("colour:N", title=titles[2]))
        if is_points:
            encoding["shape"] = alt.Shape("colour:N", title=titles[2])
        elif table["x"].duplicated().any():  # bars of one name stand side by side; points stand over their name
            encoding["xOffset"] = alt.XOffset("colour:N", sort=names)
    base = alt.Chart(table)
    plain: dict[str, Any] = {} if "colour" in table else {"color": colours[0]}
    drawn = base.mark_point(size=55, filled=True, opacity=0.8, **plain) if is_points else base.mark_bar(**plain)
    description = f"{titles[1]} by {titles[0]}, {len(table)} rows"
    return drawn.encode(**encoding).properties(height=340, description=description)


def _axis_of_names(names: pd.Series) -> alt.Axis:
    """Names in a line where there is room for them, else slanted: upright ones are read with the head on a shoulder."""
    different = names.unique()
    is_roomy = sum(len(str(name)) for name in different) + 2 * len(different) <= CHARACTERS_ACROSS
    return alt.Axis(labelLimit=160, labelAngle=0 if is_roomy else -35, labelOverlap=False)


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values)) and not pd.api.types.is_bool_dtype(values)
