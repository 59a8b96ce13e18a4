"""Does an early epoch foretell the end?"""

from __future__ import annotations

import streamlit as st

from core import curvecharts, sweepends, wording
from core.early import Prediction
from pages import shared
from pages.sweep_found import Look, chart, choose, computed, named, quote, table, warn

HOW = (
    "How well the ranking of runs at an epoch is their ranking at the end (Spearman's ρ, 95 % by drawing runs again); "
    "1 is the same order. What lies below the hyper-parameters alone is no news: the knobs said it before "
    "training began."
)


def show(look: Look, response: str) -> None:
    """Rank correlation with the end by epoch, beside the two baselines."""
    found = look.found
    if not found.curves:
        st.info(
            "Foresight will be judged here; no run has logged a number at two moments yet.", icon=":material/timeline:"
        )
        return
    left, right = st.columns(2)
    with left:
        preferred = [m for m in (response, "validation/loss", "train/loss") if m in found.curves][:1]
        metric = choose("Foretold by", dict.fromkeys([*preferred, *found.curves]), "early")
    with right:
        within = choose(
            "Within levels of",
            ["", *look.varied],
            "within",
            help="Runs are then ranked among those with the same level, so that this knob cannot foretell anything.",
        )
    st.caption(shared.plain(f"What is foretold: {named(response)} at the end."))
    try:
        told = computed(_told, look, response, metric, within)
    except ValueError as error:
        st.info(shared.plain(str(error)), icon=":material/timeline:")
        return
    quote(told.sentence)
    warn(told.warnings)
    title = f"Does {wording.words(metric)} at an epoch foretell the {wording.words(response)} at the end?"
    chart(curvecharts.early(told.table, title=title).properties(height=340), HOW)
    with st.expander("The numbers"):
        table(told.table)


def _told(look: Look, response: str, metric: str, within: str) -> Prediction:
    judged = look.curves(response) if response in look.found.curves and response != metric else None
    return sweepends.foretold(look.found, look.curves(metric), response, judged=judged, within=within or None)
