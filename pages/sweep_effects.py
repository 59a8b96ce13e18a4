"""Which knobs matter, by how much, how sure that is, and whether the analysis may be believed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import (
    anova,
    assumptions,
    correlations,
    effectcharts,
    effects,
    equivalence,
    power,
    ranks,
    sweepboard,
    wording,
)
from core.assumptions import Assumptions
from core.correlations import Correlations
from core.effectcharts import READING
from core.power import SweepPower
from core.ranks import RankTests
from core.usable import ordered_levels
from pages.sweep_found import Look, choose, computed, drawn, named, quote, table, warn

KINDS = {"III": "type III", "II": "type II"}
SHOWN = ("term", "df", "f", "p", "partial_eta2", "partial_omega2", "low", "high", "omega2")
ERRORS = {"classical": "one scatter for all cells", "HC3": "each run its own (HC3)"}
MOST_PAIRS_DRAWN = 60


def show(look: Look, response: str) -> None:
    """Analysis of variance, marginal means and pairs, equivalence, power, and whether to believe it."""
    if not look.varied:
        st.info("This sweep varies no knob, so there is no effect to test.", icon=":material/tune:")
        return
    note = look.effects(response)[1]
    if computed(_never_back, look, response):
        _correlations(look, response)
        if not note:
            return
    left, right = st.columns(2)
    kind = left.segmented_control(
        "Sums of squares",
        list(KINDS),
        default="III",
        required=True,
        key="ss",
        bind="query-params",
        format_func=KINDS.__getitem__,
        help="III: each term given all others. II: each given those that do not contain it. With as many runs in every "
        "cell both are the same. Factors are sum coded, so that type III is sound.",
    )
    errors = right.segmented_control(
        "Scatter between seeds",
        list(ERRORS),
        default="classical",
        required=True,
        key="errors",
        bind="query-params",
        format_func=ERRORS.__getitem__,
        help="HC3 holds where cells scatter differently, but with few seeds it finds less.",
    )
    analysis = computed(_anova, look, response, str(kind))
    st.subheader("Analysis of variance", anchor=False)
    quote(analysis.sentence_hc3 if errors == "HC3" and analysis.sentence_hc3 else analysis.sentence)
    warn([note, *analysis.warnings] if note else analysis.warnings)
    if analysis.table.empty:
        return
    _table(analysis, str(errors))
    table_of = effectcharts.effects_table(analysis)
    drawn(READING["effects"], effectcharts.effects_drawing, table_of, response, look.colours)
    _levels(look, response, list(analysis.factors), analysis.warnings)
    if not note:
        _equivalence(look, response, list(analysis.factors))
    _trust(look, response, analysis)


def _correlations(look: Look, response: str) -> None:
    found = computed(_correlated, look, response)
    st.subheader("Rank correlations", anchor=False)
    quote(found.sentence)
    warn(found.warnings)
    if found.table.empty:
        return
    p = {name: [wording.p_text(value) for value in found.table[name].astype(float)] for name in ("p", "p_holm")}
    table(found.table.assign(**p))
    rows = effectcharts.correlations_table(found)
    drawn(READING["correlations"], effectcharts.correlations_drawing, rows, response, look.colours)


def _never_back(look: Look, response: str) -> tuple[str, ...]:
    return correlations.never_back(look.found.results, response, look.found.factors, look.record.design)


def _correlated(look: Look, response: str) -> Correlations:
    results, factors = look.found.results, look.found.factors
    return correlations.correlations(results, response, factors, design=look.record.design)


def _anova(look: Look, response: str, kind: str) -> anova.Anova:
    return anova.anova(look.effects(response)[0], response, look.found.factors, kind=kind)


def _table(analysis: anova.Anova, errors: str) -> None:
    shown = analysis.table
    if errors == "HC3":
        shown = shown.assign(f=shown["f_hc3"], p=shown["p_hc3"])
    names = {"partial_eta2": "partial η²", "partial_omega2": "partial ω²", "low": "partial ω² from",
             "high": "partial ω² to", "omega2": "ω²", "f": "F"}  # fmt: skip
    p = [wording.p_text(value) if value == value else "–" for value in shown["p"].astype(float)]
    shown = shown.assign(p=p)[list(SHOWN)].rename(columns=names)
    table(shown, {"term": st.column_config.Column(width=min(60 + 7 * int(shown["term"].str.len().max()), 320))})
    how = "F and p by HC3; the shares of variance are the classical ones. " if errors == "HC3" else ""
    block = "Seeds are taken out as a block. " if analysis.is_blocked else ""
    st.caption(
        f"{how}{block}Type {analysis.kind}, {analysis.df_error} degrees of freedom for the error. {anova.METHOD}"
    )
    with st.expander("All columns"):
        table(analysis.table)


def _levels(look: Look, response: str, factors: list[str], already: tuple[str, ...]) -> None:
    st.subheader("Levels", anchor=False)
    of = st.multiselect(
        "Means of",
        factors,
        default=factors[:1],
        key=f"of.{look.record.id}",
        format_func=named,
        help="Several knobs: the means of their combinations.",
    )
    if not of:
        st.caption("Choose a knob to compare its levels.")
        return
    means = computed(_means, look, response, tuple(of))
    quote(means.sentence)
    warn(w for w in means.warnings if w not in already)
    if means.table.empty:
        return
    table(means.table.drop(columns=[*of, "df"]))
    st.caption(f"Averages over the other knobs, every cell alike. 95 % interval: {means.method}.")
    compared = computed(_pairs, look, response, tuple(of))
    quote(compared.sentence)
    warn(w for w in compared.warnings if w not in (*already, *means.warnings))
    if compared.table.empty:
        return
    largest = compared.table["difference"].abs().sort_values(ascending=False).index[:MOST_PAIRS_DRAWN].sort_values()
    pairs = effectcharts.pairs_table(compared).loc[largest].dropna(subset=["difference"])
    drawn(READING["pairs"], effectcharts.pairs_drawing, pairs, response, look.colours)
    if len(compared.table) > MOST_PAIRS_DRAWN:
        st.caption(f"The {MOST_PAIRS_DRAWN} largest of {len(compared.table):,} differences are drawn.")
    with st.expander("All pairs, with Holm's p and Hedges' g"):
        table(compared.table)


def _means(look: Look, response: str, of: tuple[str, ...]) -> effects.Means:
    return effects.marginal_means(look.effects(response)[0], response, look.found.factors, list(of))


def _pairs(look: Look, response: str, of: tuple[str, ...]) -> effects.Comparisons:
    return effects.pairwise(look.effects(response)[0], response, look.found.factors, list(of))


# ---- as good as each other ----


def _equivalence(look: Look, response: str, factors: list[str]) -> None:
    st.subheader("As good as each other?", anchor=False)
    st.caption(
        "That no difference was found is no sign of equality. Choose the largest difference that would not matter to "
        "you, before you look; then an interval inside it is evidence."
    )
    knob, one, two, what, size = st.columns([2, 2, 2, 3, 2])
    with knob:
        factor = choose("Of", factors, "equal")
    levels = ordered_levels(look.found.results[factor])
    a = one.selectbox("Is", levels, key=f"a.{factor}")
    b = two.selectbox("as good as", levels, index=min(1, len(levels) - 1), key=f"b.{factor}")
    claim = what.segmented_control("Claim", equivalence.CLAIMS, default="equivalent", required=True, key="claim")
    margin = size.number_input("Margin", 0.0, value=None, format="%g", key="margin", bind="query-params")
    direction = sweepboard.better(response)
    if a == b or not margin:
        st.caption("Choose two levels and a margin above 0, in the unit of the number judged by.")
        return
    if claim == "not worse" and direction == "neither":
        st.caption(f"Of {named(response)} neither direction is better, so nothing can be worse.")
        return
    asked = (response, factor, str(a), str(b), float(margin), str(claim))
    found = computed(_equal, look, *asked)
    quote(found.sentence)
    warn(found.warnings)
    how = "paired by seed" if found.is_paired else "not paired (Welch)"
    st.caption(
        f"Two one-sided t tests, {how}, means over the cells of the other knobs that both have; the interval is the "
        "90 % one that they use."
    )


def _equal(
    look: Look, response: str, factor: str, a: str, b: str, margin: float, claim: str
) -> equivalence.Equivalence:
    factors, results = list(look.found.factors), look.found.results
    direction = sweepboard.better(response)
    names = (f"{wording.words(factor)} {a}", f"{wording.words(factor)} {b}")
    better = "lower" if direction == "lower" else "higher"
    sides = {factor: a}, {factor: b}
    return equivalence.levels(results, response, factors, *sides, margin, claim=claim, better=better, names=names)


# ---- whether to believe it ----


def _trust(look: Look, response: str, analysis: anova.Anova) -> None:
    st.subheader("How much could be seen, and whether to believe it", anchor=False)
    seen = computed(_power, look, response)
    quote(seen.sentence)
    warn(w for w in seen.warnings if w not in analysis.warnings)
    checked = computed(_check, look, response, analysis.kind)
    quote(checked.sentence)
    residuals = effectcharts.residual_table(checked)
    if len(residuals.dropna(subset=["standardised"])):
        left, right = st.columns(2)
        with left:
            drawn(READING["residuals"], effectcharts.residual_drawing, residuals, response, look.colours)
        with right:
            drawn(READING["normal"], effectcharts.normal_drawing, residuals, look.colours)
    if checked.holds and not st.toggle("Rank-based test, too", key="ranks", bind="query-params"):
        return
    if not checked.holds:
        warn([checked.advice])
    ranked = computed(_ranks, look, response)
    quote(ranked.sentence)
    if not ranked.table.empty:
        p = [wording.p_text(float(value)) for value in ranked.table["p"]]
        table(ranked.table.assign(p=p).rename(columns={"effect": ranked.effect_name}))
    st.caption(f"{ranked.why}")


def _power(look: Look, response: str) -> SweepPower:
    return power.sweep_power(look.effects(response)[0], response, look.found.factors)


def _check(look: Look, response: str, kind: str) -> Assumptions:
    return assumptions.check(computed(_anova, look, response, kind))


def _ranks(look: Look, response: str) -> RankTests:
    results: pd.DataFrame = look.effects(response)[0]
    return ranks.rank_tests(results, response, look.found.factors)
