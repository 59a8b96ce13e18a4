"""The checkpoints of one run: listen to any, compare two, branch from those that kept their full state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import checkpoints, metrics, rundir, runview
from pages import actions, run_curves, shared

COLUMNS = {
    "epoch": st.column_config.NumberColumn("epoch", format="%g", width=70),
    "step": st.column_config.NumberColumn("step", format="localized", width=80),
    "note": st.column_config.Column("note", width=200),
    "branch": st.column_config.CheckboxColumn(
        "full state", width=80, help="A branch can begin here; of the others only the weights are left."
    ),
}


def table(folder: Path, spec: rundir.Spec, current: dict[str, Any]) -> None:
    """All moments on the disk, and what can be done with those selected."""
    stored = _stored(str(folder), actions.checkpoints_changed_at(folder))
    if broken := checkpoints.broken_states(folder):
        st.warning(shared.plain(f"Found damaged and moved aside: {', '.join(broken)}."), icon=":material/warning:")
    if not stored:
        st.info(_why_none(folder), icon=":material/save:")
        return
    index = shared.store(folder)
    rows, primary = index.curves([spec.id]), metrics.primary(spec.task)
    scored = next((mark.step for mark in run_curves.marks(index, spec, rows) if mark.kind == "scored"), None)
    found = runview.checkpoint_table(stored, rows, primary, scored).iloc[::-1].reset_index(drop=True)
    st.caption(
        "Select one row to listen to that epoch or to branch from it, two rows to compare them. "
        "The weights of epochs in between are thinned, log-spaced, once they fill 200 MB."
    )
    numbers = {c: st.column_config.NumberColumn(c, format=_digits(found[c])) for c in found.columns if " " in c}
    event = st.dataframe(
        found.dropna(axis="columns", how="all"),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"checkpoints.{spec.id}",
        column_config=COLUMNS | numbers,
        width="stretch",
        alt=f"Checkpoints of run {spec.id}",
    )
    chosen = found.iloc[sorted(event["selection"]["rows"], reverse=True)]
    if len(chosen) == 1:
        _one(folder, spec, current, chosen.iloc[0])
    elif len(chosen) == 2:
        _two(folder, spec, rows, chosen)
    elif len(chosen) > 2:
        st.caption("Two at a time can be compared.")


def _digits(values: pd.Series) -> str:
    """Four decimals for scores; of what is far larger, as some losses are, four digits."""
    return "%.4f" if not values.abs().max() >= 100 else "%.4g"


def _one(folder: Path, spec: rundir.Spec, current: dict[str, Any], row: pd.Series) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        _listen(folder, spec, [row], f"Listen to epoch {row['epoch']:g}")
        actions.branch(folder, spec, current, begin=f"epoch {row['epoch']:g}")


def _two(folder: Path, spec: rundir.Spec, rows: pd.DataFrame, chosen: pd.DataFrame) -> None:
    first, second = (row for _, row in chosen.iterrows())
    names = f"epoch {first['epoch']:g}", f"epoch {second['epoch']:g}"
    _listen(folder, spec, [first, second], f"Hear {names[0]} and {names[1]} on one clip")
    sides = runview.two_moments(rows, int(first["step"]), int(second["step"]))
    if sides.empty:
        st.caption("These two moments logged no validation score in common.")
        return
    st.caption(f"Validation at {names[0]} and {names[1]}; one run, so the difference has no interval.")
    sides = sides.rename(columns={"first": names[0], "second": names[1]})
    three_digits = {c: st.column_config.NumberColumn(c, format="%.4f") for c in sides.columns[1:]}
    st.dataframe(sides, hide_index=True, column_config=three_digits)


def _listen(folder: Path, spec: rundir.Spec, chosen: list[pd.Series], label: str) -> None:
    """A link to Listen with these moments; where they cannot be heard, why."""
    names = [f"{spec.id}@{round(row['epoch'])}" for row in chosen]
    if why := actions.why_not_heard(folder, names[0]):
        st.caption(shared.plain(why))
        return
    st.page_link("pages/listen.py", label=label, icon=":material/hearing:", query_params={spec.task: names})


@st.cache_data(max_entries=50, show_spinner=False)
def _stored(place: str, changed_at: int) -> list[checkpoints.Stored]:
    return checkpoints.stored(Path(place))


def _why_none(folder: Path) -> str:
    if (folder / "checkpoints" / "final.safetensors").exists():
        return "Only the final model of this run is kept: it has no epochs to listen to or to branch from."
    return "Its checkpoints will be listed here; it has written none yet."
