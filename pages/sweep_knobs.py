"""What each knob does: along one axis, two together, all at once."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from core import contours, effects, sweepcharts
from core.sweepcharts import READING
from pages import shared
from pages.sweep_found import Look, chart, choose, colours_in, computed, drawn, named, warn

MOST_PAIR_LEVELS = 400
"""Combinations of two knobs that a heat map can still be read with."""


def show(look: Look, response: str) -> None:
    """Axis plots, interaction, heat map, lines of equal value and parallel coordinates."""
    factors = look.varied
    if not factors:
        st.info("This sweep varies no knob: its runs differ in their seeds alone.", icon=":material/tune:")
        return
    note = look.effects(response)[1]
    warn([note] if note else [])
    first, second = st.columns(2)
    with first:
        x = choose("Knob", factors, "knob")
    others = [name for name in factors if name != x]
    with second:
        other = choose("Second knob", others, "second") if others else ""
    left, right = st.columns(2)
    with left:
        _axis(look, response, x)
    if not other:
        st.caption("A second knob would show here whether one depends on the other.")
        return
    points = computed(_points, look, response, x, other)
    is_scattered = sweepcharts.is_scattered(points)
    table = computed(_pair, look, response, x, other)
    with right:
        if table.empty:
            st.caption("No finished runs share levels of these two knobs.")
        elif is_scattered and table["other"].is_unique:
            st.caption(
                f"No level of {named(other)} comes back: this design has one configuration a level, so there are no "
                "lines to compare. The dots below show the two together."
            )
        else:
            of = (table, x, other, response, look.colours)
            drawn(READING["interaction"], sweepcharts.interaction_drawing, *of)
            said = computed(_aliased, look, response, (x,))
            warn(w for w in computed(_aliased, look, response, (x, other)) if w not in said)
    if is_scattered:
        drawn(READING["points"], sweepcharts.points_drawing, points, x, other, response, look.colours)
    if 0 < len(table) <= MOST_PAIR_LEVELS:
        if not is_scattered:
            drawn(READING["heat"], sweepcharts.heat_drawing, table, x, other, response)
        if computed(_has_lines, look, response, x, other):
            drawn(contours.READING, contours.drawing, table, x, other, response, look.colours)
    _parallel(look, response)


def _axis(look: Look, response: str, x: str) -> None:
    table = computed(_axis_table, look, response, x)
    if table.empty:
        st.caption("No two levels of this knob have finished runs.")
        return
    drawn(READING["axis"], sweepcharts.axis_drawing, table, x, response, look.colours)
    warn(computed(_aliased, look, response, (x,)))


def _axis_table(look: Look, response: str, x: str) -> pd.DataFrame:
    results = look.effects(response)[0]
    return sweepcharts.axis_table(results, response, look.found.factors, x)


def _aliased(look: Look, response: str, of: tuple[str, ...]) -> tuple[str, ...]:
    return effects.aliased(look.effects(response)[0], response, look.found.factors, of)


def _pair(look: Look, response: str, x: str, other: str) -> pd.DataFrame:
    results = look.effects(response)[0]
    return sweepcharts.pair_table(results, response, look.found.factors, x, other)


def _points(look: Look, response: str, x: str, other: str) -> pd.DataFrame:
    return sweepcharts.points_table(look.found.results, response, look.found.factors, x, other)


def _has_lines(look: Look, response: str, x: str, other: str) -> bool:
    return len(contours.table(computed(_pair, look, response, x, other))) > 0


def _parallel(look: Look, response: str) -> None:
    option: dict[str, Any] = computed(_parallel_option, look, response, shared.theme())
    if not option:
        return
    told = option["aria"]["description"]
    chart(option, READING["parallel"], height=380, key=f"parallel.{look.record.id}.{response}", alt=told)


def _parallel_option(look: Look, response: str, theme: str) -> dict[str, Any]:
    table = sweepcharts.parallel_table(look.found.results, [response], look.found.factors)
    return sweepcharts.parallel_drawing(table, [response], colours_in(theme)) if len(table) else {}
