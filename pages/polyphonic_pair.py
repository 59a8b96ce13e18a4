"""Two runs on the same polyphonic items, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import polycharts, polyreports, rundir
from core.polyreports import Settings
from core.store import Store
from pages import drawing, palette, polyphonic_work, runnames, shared
from pages.dataset_views import download

UNSET = "no other run"


def against(index: Store, spec: rundir.Spec, report: dict[str, Any], data: str, settings: Settings) -> None:
    """A choice of another run; its own evaluation where it lacks one; then both, class by class."""
    known = index.runs(limit=500)
    others = known[(known["task"] == spec.task) & (known["run"] != spec.id) & (known["state"] == "done")]
    st.markdown("**Set beside another run**")
    if others.empty:
        st.caption("Once another run for instruments is done, the two can be compared class by class here.")
        return
    names = {row["run"]: f"{runnames.listed(row)} · {row['run']}" for row in others.to_dict("records")}
    other = _other(names)
    if other == UNSET or not polyphonic_work.is_at_rest(other, data, settings):
        return
    theirs = polyreports.find(other, data, settings)
    if theirs is None:
        st.caption("The other run has not been evaluated with these settings yet.")
        st.button(
            "Evaluate it as well",
            icon=":material/play_arrow:",
            on_click=polyphonic_work.start,
            args=[other, data, settings],
        )
        return
    try:
        compared = _compared(report, theirs, (report["made_at"], theirs["made_at"], spec.id, other, str(settings)))
    except ValueError as error:
        shared.failed(error)
        return
    if apart := polyreports.taught(report, theirs):
        st.caption(f":material/info: {shared.plain(apart)}")
    ends = spec.id, other
    drawing.draw(
        polycharts.difference_drawing, polycharts.difference_table(compared), *ends, palette.ROLES[shared.theme()]
    )
    st.caption(
        f"{polycharts.READING['difference']} p is adjusted over the classes (Holm); that of the two totals is not."
    )
    with st.expander("All numbers of the comparison"):
        shown = compared.assign(label=[polycharts.name(label) for label in compared["label"]])
        shown = shown.rename(
            columns={"label": "class", "first": "this run", "second": "the other", "p_holm": "p, Holm"}
        )
        three = {str(column): st.column_config.NumberColumn(str(column), format="%.3f") for column in shown.columns[2:]}
        st.dataframe(shown, hide_index=True, column_config=three, placeholder="—", height="content")
        download(shown, f"{ends[0]}-against-{ends[1]}")


def _other(names: Mapping[str, str]) -> str:
    """The run to compare with; the address has its id, where a bound widget would write the words it is shown by."""
    key, asked = "against.chosen", st.query_params.get("against")
    if asked in names or st.session_state.get(key) not in names:
        st.session_state[key] = asked if asked in names else UNSET
    return str(
        st.selectbox(
            "Other run",
            [UNSET, *names],
            key=key,
            format_func=lambda run: names.get(run, run),
            on_change=lambda: st.query_params.update(against=st.session_state[key]),
            label_visibility="collapsed",
        )
    )


@st.cache_data(show_spinner="Comparing …", max_entries=50)
def _compared(_first: dict[str, Any], _second: dict[str, Any], key: tuple[Any, ...]) -> pd.DataFrame:
    return polyreports.compare(_first, _second)
