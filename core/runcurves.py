"""The curves of one run, as its page draws them: smoothed beside the raw line, the gap, and what happened when."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from core import charts, metrics

PER_STEP, TRAIN, VALIDATION = "train, per step", "train", "validation"
SAME_SCORE = 1e-5
"""How near a logged score must be to the final one to be the same: single precision rounds in the seventh digit."""

PANEL_PIXELS, LABEL_PIXELS = 440, 6
"""Width of a panel's axis and of a letter on it, near enough to say which labels would touch."""
AS_SET = ("learning rate",)
"""Lines of what was set, not measured: their steps are no noise."""


class Mark(NamedTuple):
    """Something that happened at a moment of training. `kind` is an event's, or "scored"."""

    kind: str
    step: int
    epoch: float
    text: str


# ---- tables ----


def smooth(x: np.ndarray, values: np.ndarray, strength: float) -> np.ndarray:
    """The running mean of a curve in which each point weighs `strength` times the one after it; 0 leaves it as it is.

    The weights of what has been seen add up to 1 from the first point on, so that a curve does not start from 0.
    Where points lie further apart than is usual on this curve the older ones weigh less accordingly. What is not
    finite is passed over and stays as it is. x and values [n], 0 ≤ strength < 1. Source: Kingma & Ba 2015, Adam,
    section 3 (bias correction of an exponential moving average).
    """
    assert 0 <= strength < 1 and len(x) == len(values), (strength, len(x), len(values))
    finite = np.flatnonzero(np.isfinite(values))
    result = np.array(values, dtype=float)
    if strength == 0 or len(finite) < 2:
        return result
    gaps = np.diff(x[finite].astype(float))
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    kept = strength ** np.maximum(gaps / usual, 0.0)
    total = weight = 0.0
    for place, keep in zip(finite, [0.0, *kept.tolist()], strict=True):
        total, weight = keep * total + values[place], keep * weight + 1.0
        result[place] = total / weight
    return result


def panels(
    rows: pd.DataFrame, primary: str, more: Iterable[str] = (), *, x: str = "epoch"
) -> dict[str, dict[str, pd.DataFrame]]:
    """Panel title → line → frame (epoch, value): loss, the metric runs are ranked by, the gaps, the optimiser, `more`.

    `rows` has step, epoch, name, value. `more` are further metrics without their part ("r2_valence"). With x "step"
    the column epoch holds steps.
    """
    rows = rows.assign(epoch=rows[x].astype(float))
    found = charts.live_table(rows, primary)
    drawn = {"Loss": found.pop("Loss", {}), primary: found.pop(primary, {})}
    for name in ("loss", primary):
        gap = gap_table(rows, name)
        if len(gap):
            drawn[f"Gap of {name}"] = {f"gap of {name}": gap}
    for name in more:
        lines = {part: rows.loc[rows["name"] == f"{part}/{name}", ["epoch", "value"]] for part in (TRAIN, VALIDATION)}
        drawn[name] = {part: line for part, line in lines.items() if len(line)}
    return {title: lines for title, lines in (drawn | found).items() if lines}


def gap_table(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """How much better training is than validation, by epoch: frame (epoch, value), above 0 where it is better.

    A loss is lower where it is better, most scores are higher. Only moments that have both count, so a training loss
    logged per batch does not.
    """
    wide = {
        part: rows.loc[rows["name"] == f"{part}/{name}"].set_index("step")[["epoch", "value"]]
        for part in (TRAIN, VALIDATION)
    }
    both = wide[VALIDATION].join(wide[TRAIN], how="inner", rsuffix="_train")
    sign = -1.0 if metrics.about(name).better == "lower" else 1.0
    return pd.DataFrame({"epoch": both["epoch"], "value": sign * (both["value_train"] - both["value"])})


def further(rows: pd.DataFrame, primary: str) -> list[str]:
    """Validation metrics that have no panel of their own, by name."""
    names = {name.removeprefix("validation/") for name in rows["name"].unique() if name.startswith("validation/")}
    return sorted(names - {"loss", primary})


def visible(lines: dict[str, pd.DataFrame], first: float | None, last: float | None) -> dict[str, pd.DataFrame]:
    """What of a panel's lines lies between `first` and `last` on the x axis; None is no limit."""
    low, high = -np.inf if first is None else first, np.inf if last is None else last
    return {name: rows[(rows["epoch"] >= low) & (rows["epoch"] <= high)] for name, rows in lines.items()}


def scored_moment(rows: pd.DataFrame, scores: pd.DataFrame) -> Mark | None:
    """The epoch whose model was kept and scored: its logged validation scores are those of the evaluation.

    `scores` has metric and value of the validation part. None where no epoch has the same (weights were averaged,
    say), or nothing was scored.
    """
    final = {f"validation/{m}": v for m, v in zip(scores["metric"], scores["value"], strict=True) if np.isfinite(v)}
    told = rows[rows["name"].isin(list(final))]
    if told.empty:
        return None
    off = (told["value"] - told["name"].map(final)).abs() / (1.0 + told["name"].map(final).abs())
    worst = off.fillna(np.inf).groupby(told["step"]).max()
    if worst.min() > SAME_SCORE:
        return None
    step = int(worst[worst <= SAME_SCORE].index[0])
    epoch = float(told.loc[told["step"] == step, "epoch"].iloc[0])
    return Mark("scored", step, epoch, "this epoch's model was kept and scored")


def marks(events: pd.DataFrame, rows: pd.DataFrame) -> list[Mark]:
    """What happened while it trained and is not a number: changes of knobs, pauses, resumes, where a branch began.

    `events` has n, t, kind, step and detail (JSON); `rows` is looked up for the epoch of a step.
    """
    found: list[Mark] = []
    paused_at = 0.0
    for event in events.to_dict("records"):
        kind, detail = event["kind"], read_detail(event["detail"])
        step = 0 if pd.isna(event["step"]) else int(event["step"])
        epoch = number(detail.get("epoch"), _epoch_of(rows, step))
        if kind in ("changed", "branched"):
            text = moved_text(detail.get("values"))
            text = (
                f"branch of {detail.get('parent', '?')}" + (f": {text}" if text else "") if kind == "branched" else text
            )
            found.append(Mark(kind, step, epoch, text))
        elif kind == "rewound":
            to_step = int(number(detail.get("to_step"), 0.0))
            where = f"from its checkpoint of step {to_step:,}" if to_step >= 0 else "from the beginning"
            found.append(Mark(kind, max(to_step, 0), _epoch_of(rows, to_step), f"resumed {where}"))
        elif kind == "paused":
            paused_at = float(event["t"])
            found.append(Mark(kind, step, epoch, "paused"))
        elif kind == "resumed" and found and found[-1].kind == "paused":
            found[-1] = found[-1]._replace(text=f"paused for {max(float(event['t']) - paused_at, 0.0):.0f} s")
    return found


def moved_text(values: Any) -> str:
    """Changed knobs (name → [old, new]) in words: "learning_rate 0.1 → 0.05"."""
    pairs = values.items() if isinstance(values, dict) else ()
    return ", ".join(
        f"{name} {_short(pair[0])} → {_short(pair[1])}"
        for name, pair in pairs
        if isinstance(pair, list) and len(pair) == 2
    )


def csv(rows: pd.DataFrame) -> str:
    """All numbers of a run as CSV: one row per step, one column per name, not thinned and not smoothed."""
    if rows.empty:
        return "step,epoch\n"
    wide = rows.pivot_table(index="step", columns="name", values="value", aggfunc="last", dropna=False)
    wide.insert(0, "epoch", rows.groupby("step")["epoch"].max())
    return wide.reset_index().to_csv(index=False)


def read_detail(text: Any) -> dict[str, Any]:
    """The rest of an event, as the index keeps it; empty where it is damaged."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def number(value: Any, otherwise: float) -> float:
    """A finite number of a file that anybody may have written, else `otherwise`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if is_number else otherwise


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _epoch_of(rows: pd.DataFrame, step: int) -> float:
    before = rows.loc[rows["step"] <= step, "epoch"]
    return float(before.max()) if len(before) else 0.0


# ---- drawing ----


def curve_drawing(
    title: str,
    lines: dict[str, pd.DataFrame],
    colours: dict[str, Any],
    *,
    smoothing: float = 0.0,
    span: tuple[float | None, float | None] = (None, None),
    marked: list[tuple[float, str, str]] | None = None,
    x_title: str = "epoch",
    log: tuple[bool, bool] = (False, False),
) -> dict[str, Any]:
    """One panel as an ECharts option: the raw line always, thin where a smoothed one is drawn over it.

    `span` is the stretch of the x axis that is shown, `log` says which of x and y is logarithmic (what is not above 0
    is not on such an axis), `marked` are lines at (x, kind, label). `AS_SET` is not smoothed.
    """
    smoothed = {}
    if smoothing > 0:  # over all of it, then cut: at the left edge of a stretch its past counts, too
        for name in [name for name in lines if name not in AS_SET and not (name == TRAIN and PER_STEP in lines)]:
            frame = lines[name]
            values = smooth(frame["epoch"].to_numpy(float), frame["value"].to_numpy(float), smoothing)
            smoothed[f"{name}, smoothed"] = pd.DataFrame({"epoch": frame["epoch"], "value": values})
    raw = {name: _on_axes(frame, log) for name, frame in visible(lines, *span).items()}
    option = charts.live_drawing(title, raw, colours, log=log[1])
    if smoothed:
        option["series"] = [_thin_line(line) for line in option["series"]]
        over = {name: _on_axes(frame, log) for name, frame in visible(smoothed, *span).items()}
        option["series"] += [
            _strong_line(line, colours) for line in charts.live_drawing(title, over, colours)["series"]
        ]
        option["legend"]["data"] = list(raw)  # the smoothed ones have the same colours
    option["xAxis"] = _x_axis(option["xAxis"], x_title, span, log[0])
    inside = [(x, kind, text) for x, kind, text in marked or [] if _is_inside(x, span) and (x > 0 or not log[0])]
    return _with_marks(option, _apart(inside, _ends(option, span), log[0]), colours["real"])


def _on_axes(frame: pd.DataFrame, log: tuple[bool, bool]) -> pd.DataFrame:
    for is_log, column in zip(log, ("epoch", "value"), strict=True):
        frame = frame[frame[column] > 0] if is_log else frame
    return frame


def _thin_line(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "lineStyle": {**line["lineStyle"], "width": 1, "opacity": 0.4}, "showSymbol": False}


def _strong_line(line: dict[str, Any], colours: dict[str, Any]) -> dict[str, Any]:
    name = line["name"].removesuffix(", smoothed")
    part = TRAIN if name == PER_STEP else name
    style = {"color": colours.get(part, colours["real"]), "width": 2.5}
    style["type"] = "dashed" if part == VALIDATION else "solid"
    return {**line, "lineStyle": style, "itemStyle": {"color": style["color"]}, "showSymbol": False}


def _x_axis(axis: dict[str, Any], title: str, span: tuple[float | None, float | None], is_log: bool) -> dict[str, Any]:
    ends = {name: end for name, end in zip(("min", "max"), span, strict=True) if end is not None}
    axis = {**axis, "name": title, **ends}
    if is_log:  # 0 has no place on it
        axis = {key: value for key, value in axis.items() if not (key == "min" and value <= 0)} | {"type": "log"}
    return axis


def _is_inside(x: float, span: tuple[float | None, float | None]) -> bool:
    return (span[0] is None or x >= span[0]) and (span[1] is None or x <= span[1])


def _ends(option: dict[str, Any], span: tuple[float | None, float | None]) -> tuple[float, float]:
    """Where the x axis begins and ends."""
    drawn = [point[0] for line in option["series"] for point in line["data"]] or [0.0]
    return (min(drawn) if span[0] is None else span[0], max(drawn) if span[1] is None else span[1])


def _apart(
    marked: list[tuple[float, str, str]], ends: tuple[float, float], is_log: bool
) -> list[tuple[float, str, str]]:
    """The same lines; where labels would run into each other, "1" and "2" into "12", the first says both: "1, 2"."""
    place = (lambda x: math.log(max(x, 1e-9))) if is_log else float
    width = max(place(ends[1]) - place(ends[0]), 1e-12)
    found: list[tuple[float, str, str]] = []
    labelled = -1
    for x, kind, text in sorted(marked):
        if labelled >= 0:
            before_x, before_kind, before = found[labelled]
            if (place(x) - place(before_x)) / width * PANEL_PIXELS < LABEL_PIXELS * (len(before) + len(text) + 2) / 2:
                found[labelled] = (before_x, before_kind, f"{before}, {text}")
                found.append((x, kind, ""))
                continue
        labelled = len(found)
        found.append((x, kind, text))
    return found


def _with_marks(option: dict[str, Any], marked: list[tuple[float, str, str]], colour: str) -> dict[str, Any]:
    if not marked or not option["series"]:
        return option
    styles = {"scored": "solid", "rewound": "dashed", "paused": "dashed"}
    lines = [
        {"xAxis": x, "name": text, "lineStyle": {"type": styles.get(kind, "dotted"), "width": 1.3, "color": colour}}
        for x, kind, text in marked
    ]
    label = {"show": True, "formatter": "{b}", "position": "end", "distance": 2, "fontSize": 10, "color": colour}
    drawn = {"silent": True, "symbol": "none", "data": lines, "label": label}
    first, *rest = option["series"]
    return {**option, "series": [{**first, "markLine": drawn}, *rest]}
