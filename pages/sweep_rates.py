"""The views of a sweep where it is judged by the share of its runs that diverged."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import effectcharts, rates, sweepcharts, wording
from core.contingency import Contingency
from pages.sweep_found import Look, chart, choose, computed, quote, table, warn

MOST_ROWS = 300
VIEWS = ("Results", "Knobs", "Effects")
COLUMNS = {
    "n": st.column_config.NumberColumn("runs (n)", help="Runs that are done or diverged."),
    "diverged": st.column_config.NumberColumn("diverged", help="Runs that diverged."),
    "rate": st.column_config.NumberColumn("rate", format="percent"),
    "low": st.column_config.NumberColumn("95 % from", format="percent", help="Wilson's interval."),
    "high": st.column_config.NumberColumn("95 % to", format="percent", help="Wilson's interval."),
}


def show(name: str, look: Look) -> None:
    """The view of this name, one of VIEWS."""
    quote(computed(_sentence, look))
    {"Results": _results, "Knobs": _knobs, "Effects": _effects}[name](look)


def _results(look: Look) -> None:
    found = computed(_rates, look, tuple(look.found.factors))
    order = found.sort_values(["rate", "name"], ascending=[False, True], kind="stable", na_position="last")
    if (order["n"] > 0).any():
        chart(rates.drawing(order, "configuration", look.colours), _how(order))
    csv = _shown(order, look.found.factors)
    name = f"{look.record.id}-divergence.csv"
    st.download_button("As CSV", lambda: csv.to_csv(index=False), name, "text/csv", icon=":material/download:")


def _how(table: pd.DataFrame) -> str:
    n, most = int((table["n"] > 0).sum()), rates.MOST_ROWS
    return rates.READING + (f" The first {most} of {n:,} are drawn." if n > most else "")


def _shown(found: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The table as it is shown, which is the one to take away."""
    levels = {name: found["levels"].str[k] for k, name in enumerate(by) if name not in COLUMNS}
    shown = pd.DataFrame(levels | {name: found[name] for name in COLUMNS})
    table(shown.head(MOST_ROWS), COLUMNS)
    return shown


def _knobs(look: Look) -> None:
    if not look.varied:
        st.info("This sweep varies no knob: its runs differ in their seeds alone.", icon=":material/tune:")
        return
    left, right = st.columns(2)
    with left:
        x = choose("Knob", look.varied, "knob")
    others = [name for name in look.varied if name != x]
    with right:
        other = choose("Second knob", others, "second") if others else ""
    found = computed(_rates, look, (x,))
    pair = computed(_pair, look, x, other) if other else pd.DataFrame()
    first, second = st.columns(2)
    with first:
        chart(rates.drawing(found, wording.words(x), look.colours), _how(found))
    if len(pair):
        with second:
            drawing = sweepcharts.interaction_drawing(pair, x, other, rates.DIVERGENCE, look.colours)
            chart(drawing, sweepcharts.READING["interaction"])
        chart(sweepcharts.heat_drawing(pair, x, other, rates.DIVERGENCE), sweepcharts.READING["heat"])
    _shown(found, (x,))


def _effects(look: Look) -> None:
    if not look.varied:
        st.info("This sweep varies no knob, so there is no effect to test.", icon=":material/tune:")
        return
    st.caption("A share is no mean with a normal scatter, so it is tested by counts, one knob at a time.")
    for factor in look.varied:
        found = computed(_with, look, factor)
        quote(found.sentence)
        warn(found.warnings)
        if len(found.counts) > 1:
            drawn = effectcharts.classes_table(found)
            chart(effectcharts.classes_drawing(drawn, "divergence", factor), effectcharts.READING["classes"])


def _sentence(look: Look) -> str:
    return rates.sentence(look.found.results)


def _rates(look: Look, by: tuple[str, ...]) -> pd.DataFrame:
    return rates.rates(look.found.results, by)


def _pair(look: Look, x: str, other: str) -> pd.DataFrame:
    return rates.pair(look.found.results, x, other)


def _with(look: Look, factor: str) -> Contingency:
    return rates.with_factor(look.found.results, factor)
