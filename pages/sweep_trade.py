"""Trade-offs: configurations that no other beats on two goals at once, and how sure that is."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import effectcharts, pareto, sweepboard
from core.pareto import Front
from pages.sweep_found import Look, chart, computed, named, quote, table, warn

MOST_ROWS = 300


def show(look: Look, response: str) -> None:
    """The front of two chosen numbers."""
    _, names = computed(_goals, look)
    others = [name for name in names if name != response]
    if not others:
        st.info("A trade-off needs a second number; these runs have logged one.", icon=":material/balance:")
        return
    bare = response.rpartition("/")[2]
    kinds = ["seconds", "gap"]
    others.sort(key=lambda name: (name.partition("/")[0] not in kinds, name.rpartition("/")[2] == bare))
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        against = st.selectbox(
            "Against",
            others,
            key="against",
            bind="query-params",
            format_func=named,
            help="gap: train and validation apart (generalisation); spread: a run from its configuration's mean "
            "(stability); knob: a numeric knob (capacity, time).",
        )
    with right:
        directions = {name: _direction(name) for name in (response, str(against))}
    found = computed(_front, look, response, str(against), tuple(directions.items()))
    quote(found.sentence)
    warn([*found.warnings, *sweepboard.cautions((response, str(against)))])
    if found.table.empty:
        return
    drawn = effectcharts.front_table(found, str(against), response)
    goals = {str(against): directions[str(against)], response: directions[response]}
    drawing = effectcharts.front_drawing(drawn, str(against), response, goals, look.colours)
    chart(drawing, effectcharts.READING["front"])
    order = found.table.sort_values(["is_on_front", "probability"], ascending=False, kind="stable")
    first = ["cell", "is_on_front", "probability", "n", "diverged"]  # what the page is about, before it is cut off
    numbers = [name for name in order if name not in (*first, *look.found.factors)]
    names = {"is_on_front": "on the front", "probability": "in redrawn sweeps"}
    table(order[[*first, *numbers]].head(MOST_ROWS).rename(columns=names))
    st.download_button(
        "All configurations as CSV",
        lambda: order.to_csv(index=False),
        f"{look.record.id}-trade-off.csv",
        "text/csv",
        icon=":material/download:",
    )


def _goals(look: Look) -> tuple[pd.DataFrame, tuple[str, ...]]:
    return sweepboard.with_goals(look.found)


def _direction(name: str) -> str:
    """What is better, as the metric says; asked for where it does not say."""
    known = sweepboard.better(name)
    if known != "neither":
        return known
    label = f"Better: {named(name)}"
    return str(st.segmented_control(label, ["lower", "higher"], default="lower", required=True, key=f"better.{name}"))


def _front(look: Look, response: str, against: str, directions: tuple[tuple[str, str], ...]) -> Front:
    results, _ = computed(_goals, look)
    better = dict(directions)
    return pareto.front(results, {against: better[against], response: better[response]}, look.found.factors)
