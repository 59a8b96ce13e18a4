"""The curves of one run: smoothed beside the raw line, on the stretch that is looked at, with what happened marked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import livecurves, metrics, runcurves, rundir, runview
from core.runcurves import Mark
from pages import losses, palette, shared

TICK_S = 2.0
"""Seconds from one drawing to the next while a run is short; later `livecurves.pace` says it."""
MOST_MARKS_NAMED = 30
HOW_TO_READ = (
    "Training is solid, validation dashed. The thin line is always the raw one; smoothing draws a running mean over "
    "what is measured. A validation loss that rises while the training loss falls is over-fitting; the gap shows by "
    "how much training is better (below zero: it was measured while dropout, mixing or noise made it harder). Vertical "
    "lines are named below."
)


def curves(folder: Path, spec: rundir.Spec) -> None:
    """Controls and panels; while the run trains they are drawn again every two to ten seconds, by its length."""
    every_s = _every_s(folder)
    st.fragment(_curves, run_every=every_s)(folder, spec, every_s)


def _every_s(folder: Path) -> float | None:
    """Seconds from one drawing to the next, None where the run is over."""
    if rundir.read_status(folder).is_finished:
        return None
    return max(TICK_S, livecurves.pace(livecurves.lines(folder))[1])


def _curves(folder: Path, spec: rundir.Spec, every_s: float | None) -> None:
    if every_s is not None and _every_s(folder) != every_s:
        st.rerun()  # the whole page, once: it is over, which its head should say, too, or it has become long
    index = shared.store(folder)
    rows = index.curves([spec.id])
    if rows.empty:
        st.info(
            "Its loss, score, learning rate and gradient norm will be drawn here; it has logged no number yet.",
            icon=":material/monitoring:",
        )
        return
    primary = metrics.primary(spec.task)
    wanted = _controls(rows, primary)
    found = marks(index, spec, rows)
    panels = runcurves.panels(rows, primary, wanted["more"], x=wanted["x"])
    _panels(spec, panels, found, wanted)
    _told(rows, found)
    # Written when it is asked for: with 10,000 steps it was half the cost of every drawing.
    st.download_button(
        "Curves as CSV",
        lambda: runcurves.csv(rows),
        f"{spec.id}-curves.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
    )


def marks(index: Any, spec: rundir.Spec, rows: pd.DataFrame) -> list[Mark]:
    """What happened in the run, by epoch, and the epoch whose model was scored."""
    scores = runview.score_table(index, spec.id)
    own = scores[(scores["data"] == spec.data) & (scores["split"] == spec.split) & (scores["part"] == "validation")]
    scored = runcurves.scored_moment(rows, own)
    happened = runcurves.marks(runview.events(index, spec.id), rows)
    return sorted([*happened, *([scored] if scored else [])], key=lambda mark: mark.step)


def _controls(rows: pd.DataFrame, primary: str) -> dict[str, Any]:
    last = float(rows["epoch"].max())
    smoothing, axis, logs, first, end = st.columns([3, 1.5, 2.2, 1.2, 1.2])
    strength = smoothing.slider(
        "Smoothing",
        0.0,
        0.99,
        0.0,
        0.01,
        key="smooth",
        bind="query-params",
        help="How much each point weighs against the one after it in the running mean; 0 draws the raw line alone.",
    )
    x = axis.selectbox("Across", ["epoch", "step"], key="x", bind="query-params", help="Epochs, or parameter updates.")
    log = logs.pills(
        "Logarithmic",
        ["x", "loss"],
        selection_mode="multi",
        key="log",
        bind="query-params",
        help="What is not above 0 has no place on a logarithmic axis and is left out.",
    )
    begin = first.number_input(
        f"From {x}", value=None, min_value=0.0, key="from", bind="query-params", placeholder="0", help="Zoom in."
    )
    stop = end.number_input(
        f"To {x}",
        value=None,
        min_value=0.0,
        key="to",
        bind="query-params",
        placeholder=f"{math.ceil(last) if x == 'epoch' else rows['step'].max():g}",
        help="The stretch is drawn anew from all numbers, at most 1,000 points a curve with its extremes.",
    )
    more = st.multiselect(
        "Further metrics", runcurves.further(rows, primary), key="more", bind="query-params", placeholder="none"
    )
    return {"smooth": float(strength), "x": x, "log": log or [], "span": (begin, stop), "more": more}


def _panels(
    spec: rundir.Spec, panels: dict[str, dict[str, pd.DataFrame]], found: list[Mark], wanted: dict[str, Any]
) -> None:
    span = wanted["span"]
    if None not in span and span[0] >= span[1]:
        st.warning(f"Nothing lies between {span[0]:g} and {span[1]:g}: the stretch must begin before it ends.")
        return
    st.caption(HOW_TO_READ)
    losses.caption(spec.trainer)
    colours = palette.ROLES[shared.theme()]
    axis = wanted["x"]
    lines = _lines(found, axis)
    for place, (title, series) in enumerate(panels.items()):
        if place % 2 == 0:
            columns = st.columns(2)
        is_log_y = "loss" in wanted["log"] and title == "Loss"
        option = runcurves.curve_drawing(
            title,
            series,
            colours,
            smoothing=wanted["smooth"],
            span=span,
            marked=lines,
            x_title=axis,
            log=("x" in wanted["log"], is_log_y),
        )
        alt = f"{title} by {axis} of run {spec.id}" + "".join(
            f"; {mark.text} at {axis} {getattr(mark, axis):g}" for mark in found[:MOST_MARKS_NAMED]
        )
        columns[place % 2].echarts_chart(option, height=270, key=f"curves-{spec.id}-{title}", alt=alt)


def _lines(found: list[Mark], axis: str) -> list[tuple[float, str, str]]:
    """A line for each place where something happened, under the numbers of all that happened there."""
    lines: dict[float, tuple[str, list[str]]] = {}
    for number, mark in enumerate(found[:MOST_MARKS_NAMED], 1):
        _, names = lines.setdefault(float(getattr(mark, axis)), (mark.kind, []))
        names.append("scored" if mark.kind == "scored" else str(number))
    return [(x, kind, ", ".join(names)) for x, (kind, names) in lines.items()]


def _told(rows: pd.DataFrame, found: list[Mark]) -> None:
    """The numbered lines in words, and what could not be drawn."""
    for number, mark in enumerate(found[:MOST_MARKS_NAMED], 1):
        name = "scored" if mark.kind == "scored" else str(number)
        st.caption(
            f"**{name}** · epoch {rundir.epoch_text(mark.epoch)}, step {mark.step:,}: {shared.plain(mark.text)}."
        )
    if len(found) > MOST_MARKS_NAMED:
        st.caption(f"And {len(found) - MOST_MARKS_NAMED} more; the log has them all.")
    left_out = int(rows["value"].isna().sum())
    if left_out:
        st.caption(f"{left_out} of {len(rows):,} values were not finite numbers: they are gaps in the curves.")
