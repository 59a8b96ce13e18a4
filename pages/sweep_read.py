"""What a sweep found, one view per question."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core import rates
from core.sweeprecord import Record
from core.wording import count_text
from pages import (
    shared,
    sweep_curves,
    sweep_early,
    sweep_effects,
    sweep_knobs,
    sweep_rates,
    sweep_report,
    sweep_results,
    sweep_trade,
)
from pages.sweep_found import Look, choices, choose_response

_VIEWS: dict[str, Callable[[Look, str], None]] = {
    "Results": sweep_results.show,
    "Knobs": sweep_knobs.show,
    "Effects": sweep_effects.show,
    "Curves": sweep_curves.show,
    "Early": sweep_early.show,
    "Trade-offs": sweep_trade.show,
    "Report": sweep_report.show,
}
VIEWS: tuple[str, ...] = tuple(_VIEWS)
EMPTY = {
    "Results": "Configurations will be ranked here, with means and intervals over seeds",
    "Knobs": "What each knob does to the result will be drawn here",
    "Effects": "Which knobs matter, and how sure that is, will stand here",
    "Curves": "All curves, with medians, and how each of them ended will be drawn here",
    "Early": "Whether an early epoch foretells the end will be drawn here",
    "Trade-offs": "Configurations that no other beats on two goals at once will be drawn here",
    "Report": "The whole analysis as one file can be taken from here",
}


def view(name: str, record: Record) -> None:
    """Draw the view of this name."""
    look = Look.at(record)
    found = look.found
    if not choices(look):
        _nothing(name, look)
        return
    left = len(found.results) - found.n_finished
    if left:
        ago = f" of {shared.duration(look.age_s)} ago" if look.age_s >= 1 else ""
        coming = "; the next click shows a newer one" if look.is_next_coming else ""
        not_ended = f"{count_text(left, 'run')} of {len(found.results):,} have not ended"
        st.caption(f"{not_ended}; this is a look half-way{ago}{coming}.")
        st.button("Look again", icon=":material/refresh:", on_click=Look.again, args=(record,))
    response = choose_response(look)
    try:
        if response == rates.DIVERGENCE and name in sweep_rates.VIEWS:
            sweep_rates.show(name, look)
        elif response == rates.DIVERGENCE and name != "Curves":
            st.info(f"{name}: this view reads a number of each run; choose one above.", icon=":material/query_stats:")
        else:
            _VIEWS[name](look, response)
    except ValueError as error:
        shared.failed(error)


def _nothing(name: str, look: Look) -> None:
    """Why there is nothing to read yet, and the way to where that can be changed."""
    results = look.found.results
    if len(results) and look.found.n_finished == len(results):
        counts = ", ".join(f"{n} {state}" for state, n in results["state"].value_counts().items())
        why = f"none of its {count_text(len(results), 'run')} ended with a number ({counts})"
    else:
        why = "no run has told a number yet"
    st.info(f"{EMPTY[name]}; {why}.", icon=":material/query_stats:")
    st.page_link(
        "pages/sweeps.py",
        label="See its runs",
        icon=":material/grid_view:",
        query_params={"sweep": look.record.id, "view": "Progress"},
    )
