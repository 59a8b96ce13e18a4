"""All curves of a sweep, and how each of them ended, with the evidence on the curve."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import convergence, curvecharts, curves, effectcharts, metrics, sweepboard, sweepcurves, sweepends, wording
from core.contingency import Contingency
from core.convergence import Surroundings
from core.usable import level_text
from pages import runnames, shared
from pages.sweep_found import Look, chart, choose, computed, named, quote, table, warn

ASK_ABOVE = 400
"""Runs; 1,000 curves take three seconds of a core to judge."""


def show(look: Look, response: str) -> None:
    """All curves by a knob; classes, where they go with a knob; one curve with the laws through it."""
    found = look.found
    if not found.curves:
        st.info("Curves will be drawn here; no run has logged a number at two moments yet.", icon=":material/timeline:")
        return
    left, right, last = st.columns([3, 3, 2], vertical_alignment="bottom")
    with left:
        preferred = [m for m in (response, "validation/loss", "train/loss") if m in found.curves][:1]
        metric = choose("Curves of", dict.fromkeys([*preferred, *found.curves]), "curve")
    with right:
        by = choose("Coloured by", look.varied or ["all runs"], "by")
    is_log = last.toggle("Logarithmic", key="log", bind="query-params", help="What is not above 0 is left out.")
    n_diverged = int((found.results["state"] == "diverged").sum())
    has_diverged = n_diverged > 0 and st.toggle(
        f"With the {n_diverged:,} that diverged", key="diverged", bind="query-params", help="They stretch the axis."
    )
    drawn = computed(_drawn, look, metric, by, has_diverged)
    if drawn.empty:
        st.caption(f"No finite value of {named(metric)} has been logged.")
    else:
        chart(sweepcurves.curves_drawing(drawn, by, metric, look.colours, log=is_log), _how(drawn, look))
    _ends(look, metric, by)


def _how(drawn: pd.DataFrame, look: Look) -> str:
    n = drawn.loc[drawn["kind"] == "run", "run"].nunique()
    all_runs = len(look.found.results)
    some = f" {n} of {all_runs:,} runs are drawn; medians are over all that have the curve." if n < all_runs else ""
    return sweepcurves.READING["curves"] + some


def _drawn(look: Look, metric: str, by: str, has_diverged: bool) -> pd.DataFrame:
    results = look.found.results
    results = results if has_diverged else results[results["state"] != "diverged"]
    levels = results[by].map(level_text) if by in results else pd.Series("all runs", index=results.index)
    if levels.nunique() > 12:  # drawn from a range: a colour for each third is as much as can be told apart
        numeric = pd.to_numeric(results[by], errors="coerce")
        thirds = pd.qcut(numeric.rank(method="first"), 3, labels=["lowest third", "middle third", "highest third"])
        levels = thirds.astype(str)
    order = results.assign(level=levels).sort_values(by if by in results else "cell", kind="stable", key=_sortable)
    level_of = dict(zip(order["run"].astype(str), order["level"], strict=True))
    return sweepcurves.curves_table(look.curves(metric), level_of)


def _sortable(column: pd.Series) -> pd.Series:
    numeric = pd.to_numeric(column, errors="coerce")
    return numeric if numeric.notna().all() else column.astype(str)


# ---- how they ended ----


def _ends(look: Look, metric: str, by: str) -> None:
    st.subheader("How they ended", anchor=False)
    n = len(look.found.results)
    if sweepboard.better(metric) == "neither":
        st.caption(f"Of {named(metric)} neither direction is better; choose a loss or a score to have curves judged.")
        return
    if n > ASK_ABOVE and not st.toggle(f"Judge all {n:,} curves (some seconds)", key="judge", bind="query-params"):
        return
    kinds = computed(_classes, look, metric)
    quote(sweepends.counted(kinds))
    if kinds.empty:
        return
    if by in look.found.factors:
        crossed = computed(_crossed, look, metric, by)
        quote(crossed.sentence)
        if len(crossed.counts):
            drawing = effectcharts.classes_drawing(effectcharts.classes_table(crossed), "convergence", by)
            chart(drawing, effectcharts.READING["classes"])
        warn(crossed.warnings)
    prior = sweepends.prior_of(look.found, metric)
    plateau = "is not looked for here: the loss it would have is not logged."
    if prior is not None:
        plateau = f"lies at {wording.number_text(prior, 4)}, the loss of the training labels' base rates."
    st.caption(
        "Judged on each curve's own range beside the best of the sweep. The plateau of a model that ignores its input "
        + plateau
    )
    _one(look, metric, kinds)
    with st.expander("The class of every run, and why"):
        table(kinds[["run", *look.found.factors, "seed", "kind", "sentence", "law"]].head(1000))


def _classes(look: Look, metric: str) -> pd.DataFrame:
    return sweepends.classes(look.found, look.curves(metric), metric)


def _crossed(look: Look, metric: str, factor: str) -> Contingency:
    return sweepends.by_factor(computed(_classes, look, metric), factor)


def _one(look: Look, metric: str, kinds: pd.DataFrame) -> None:
    """One curve, with the stretch that shows its class, and every law through it."""
    names = [_name(row, look) for row in kinds.to_dict("records")]
    left, right = st.columns([2, 4], vertical_alignment="bottom")
    shown = left.selectbox("Of class", ["any", *dict.fromkeys(kinds["kind"])], key="class", bind="query-params")
    places = [k for k, kind in enumerate(kinds["kind"]) if shown in ("any", kind)]
    place = right.selectbox("Run", places, format_func=names.__getitem__, key=f"one.{look.record.id}.{shown}")
    run = str(kinds["run"].iloc[int(place)])
    rows = look.curves(metric)
    rows = rows[rows["run"] == run].sort_values("epoch")
    x, y = rows["epoch"].to_numpy(float), rows["value"].to_numpy(float)
    verdict = computed(_verdict, look, metric, run)
    quote(str(kinds["sentence"].iloc[int(place)]))
    if not np.isfinite(y).any():
        st.caption("It has no finite value to draw.")
    else:
        how = "Shaded: the stretch that shows it. Dashed: the law that fits best, where it still improves."
        drawing = curvecharts.classified(
            x, y, verdict, title=names[int(place)].rpartition(":")[0], y_title=wording.words(metric)
        )
        first, second = st.columns(2)
        with first:
            chart(drawing.properties(height=260), how)
        with second:
            _laws(x, y, metric)
    runnames.link(run, runnames.of([run])[run])


def _name(row: Mapping[Hashable, Any], look: Look) -> str:
    levels = " · ".join(level_text(row[factor]) for factor in look.found.factors)
    return f"{levels or 'run'}, seed {row['seed']}: {row['kind']}"


def _verdict(look: Look, metric: str, run: str) -> convergence.Verdict:
    rows = look.curves(metric)
    rows = rows[rows["run"] == run].sort_values("epoch")
    results = look.found.results
    finals = pd.to_numeric(results.loc[results["state"] == "done"].get(metric), errors="coerce").dropna()
    better = sweepboard.better(metric)
    best = float(finals.min() if better == "lower" else finals.max()) if len(finals) else None
    beside = Surroundings(best, tuple(finals.tolist()), sweepends.prior_of(look.found, metric))
    x, y = rows["epoch"].to_numpy(float), rows["value"].to_numpy(float)
    found = convergence.classify(x, y, better=better, beside=beside)
    kinds = computed(_classes, look, metric).set_index("run")
    kind = str(kinds.loc[run, "kind"])
    if found.kind == kind:
        return found
    first, last = (float(kinds.loc[run, name]) for name in ("first", "last"))
    return convergence.Verdict(kind, str(kinds.loc[run, "sentence"]), {}, first, last)


def _laws(x: np.ndarray, y: np.ndarray, metric: str) -> None:
    try:
        fits = curves.fit(x, y)
    except ValueError as error:
        st.caption(shared.plain(str(error)))
        return
    drawing = curvecharts.laws(x, y, fits, title="Laws through it", y_title=wording.words(metric))
    chart(drawing.properties(height=330), fits.sentence)  # its legend stands below
    if fits.best.limit is not None and (said := _beyond(fits.best.limit, metric)):
        st.caption(said)


def _beyond(limit: float, metric: str) -> str:
    """What a limit that no value can reach says of its law; empty where the number may have it."""
    try:
        low, high = metrics.about(metric).ends
    except ValueError:  # a trainer's own number
        return ""
    if low <= limit <= high:
        return ""
    return (
        f"No {named(metric)} lies beyond {low if limit < low else high:g}: this law holds for the epochs drawn, "
        "and not for where the curve will end."
    )
