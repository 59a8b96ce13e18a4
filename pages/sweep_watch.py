"""A sweep while it runs: how far it is, its cells filling up, and what can be done to it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from core import sweepcurves, sweepfile, sweepflags, sweepplan, sweeps, wording
from core.sweeprecord import Record
from core.usable import level_text
from core.wording import count_text
from pages import palette, shared
from pages.drawing import finished

EVERY_S = 3.0
MOST_ROWS = 300
"""Cells × seeds that are drawn one by one; of larger sweeps a table of counts says the same."""
BADGES = {"incomplete": "failed", "cancelled": "stopped"}
"""States of a sweep that a run calls otherwise, for the colour."""
ORDER = ("done", "running", "starting", "queued", "paused", "diverged", "failed", "lost", "stopped", "deleted")


def badge(state: str) -> None:
    """A sweep's state in its colour."""
    st.badge(state, color=shared.STATE_COLOURS.get(BADGES.get(state, state), "gray"))


def badge_text(state: str) -> str:
    """The same as part of a text."""
    return shared.badge_text(state, BADGES.get(state))


def variant(is_quick: bool, stage: str) -> str:
    """What part of a study this is: ", quick", ", stage width"."""
    return (", quick" if is_quick else "") + (f", stage {stage}" if stage else "")


def counted(found: sweeps.Summary) -> str:
    """Where a sweep stands, in words: "12 done, 2 running of 24"."""
    parts = [f"{found.counts[state]:,} {state}" for state in ORDER if found.counts.get(state)]
    return f"{', '.join(parts) or 'no run yet'} of {found.n_runs:,}"


def head(record: Record, found: sweeps.Summary) -> None:
    """Name, state and what the sweep is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        name = f"{record.title or record.name}{variant(record.is_quick, record.stage)}"
        st.subheader(shared.plain(name), anchor=False, width="content")
        badge(found.state)
    factors = ", ".join(f"{name} ({_levels(levels)})" for name, levels in record.factors.items()) or "no factors"
    seeds = ", ".join(map(str, record.seeds[:12])) + (" …" if len(record.seeds) > 12 else "")
    st.markdown(
        f"**{shared.plain(record.trainer)}** on **{shared.plain(record.data)}**, split {shared.plain(record.split)} · "
        f"{record.design}: {shared.plain(factors)} · seeds {seeds}"
    )
    for note in record.notes:
        st.caption(shared.plain(note))


def _levels(levels: object) -> str:
    if isinstance(levels, dict):
        return f"{levels['low']:g} to {levels['high']:g}"
    assert isinstance(levels, list)
    return ", ".join(f"{level:g}" if isinstance(level, float) else str(level) for level in levels)


def progress(record: Record, found: sweeps.Summary) -> None:
    """The bar and the grid, ticking while something moves, and the actions."""
    with st.container():  # there also where nothing was told: what is below keeps its place, and stays open
        if "sweep.told" in st.session_state:
            st.success(shared.plain(st.session_state.pop("sweep.told")), icon=":material/check:")
    is_at_rest = not _moves(found)
    st.fragment(_ticking, run_every=None if is_at_rest else EVERY_S)(record, is_at_rest)
    _actions(record, found)
    _enlarge(record)


def _moves(found: sweeps.Summary) -> bool:
    """Whether anything of it changes by itself: paused or cancelled, its runs still have to come to that."""
    to_come = ("starting", "running", "paused") if found.state == "cancelled" else ("starting", "running")
    return found.state == "running" or any(found.counts.get(state) for state in to_come)


def _ticking(record: Record, was_at_rest: bool) -> None:
    frame = sweeps.progress(record.id)
    found = sweeps.summary(record.id, frame)
    left = f" · {sweepplan.humanised(found.eta_s)} left" if found.eta_s else ""
    st.progress(min(max(found.fraction, 0.0), 1.0), text=f"{counted(found)}{left}")
    if len(frame) <= MOST_ROWS:
        table = sweepcurves.cells_table(frame, list(record.factors))
        st.altair_chart(finished(sweepcurves.cells_drawing(table, palette.ROLES[shared.theme()])))
        st.caption("One row per cell, one column per seed. ✓ done, a share while it trains; hover for its state.")
    else:
        st.dataframe(_counts(frame), hide_index=True, width="stretch")
        st.caption(f"{len(frame):,} runs: what each cell has, by state.")
    _failures(frame, record.factors)
    if not was_at_rest and not _moves(found):
        st.rerun(scope="app")  # stop ticking, and let the other views see the end


def _counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells of a large sweep by state, the ones with trouble first."""
    table = pd.crosstab(frame["cell"], frame["state"])
    trouble = [state for state in ("failed", "lost", "diverged", "running") if state in table]
    table = table.sort_values(trouble, ascending=False) if trouble else table
    return table.head(MOST_ROWS).reset_index()


def _failures(frame: pd.DataFrame, factors: Iterable[str]) -> None:
    bad = frame[frame["state"].isin(["failed", "lost", "diverged"])]
    for row in bad.head(5).to_dict("records"):
        where = ", ".join(f"{wording.words(name)} {level_text(row[name])}" for name in factors if name in row)
        label = shared.plain(f"{where or 'No knob varied'}, seed {row['seed']}: {row['state']}")
        st.page_link("pages/run.py", label=label, icon=":material/error:", query_params={"run": row["run"]})
    if len(bad) > 5:
        st.caption(f"And {len(bad) - 5} more.")


def _act(sentence: str) -> None:
    st.session_state["sweep.told"] = sentence
    st.rerun()


def _actions(record: Record, found: sweeps.Summary) -> None:
    is_cancelled = found.state == "cancelled"
    can_go_on = found.state in ("paused", "cancelled") or found.counts.get("lost", 0) > 0
    n_bad = found.counts.get("failed", 0) + found.counts.get("lost", 0)
    n_diverged = found.counts.get("diverged", 0)
    try:
        with st.container(horizontal=True):
            if found.state == "running" and st.button("Pause", icon=":material/pause:"):
                _act(sweeps.pause(record.id))
            if can_go_on and st.button("Resume", icon=":material/play_arrow:", type="primary"):
                _act(sweeps.resume(record.id))
            if found.state in ("running", "paused") and st.button("Cancel", icon=":material/stop:"):
                _act(sweeps.cancel(record.id))
            if n_bad and not is_cancelled and st.button(f"Run the {n_bad} failed again", icon=":material/replay:"):
                _act(sweeps.rerun_failed(record.id))
            if n_diverged and not is_cancelled and st.button(f"Run the {n_diverged} diverged again"):
                _act(sweeps.rerun_failed(record.id, ["diverged"]))
    except ValueError as error:
        shared.failed(error)
    if is_cancelled:
        st.caption(_of_cancelled(found.counts.get("stopped", 0), n_bad + n_diverged))


def _of_cancelled(n_stopped: int, n_others: int) -> str:
    """What can be done with a cancelled sweep: it is resumed, before anything else."""
    told = f"Resume puts its {count_text(n_stopped, 'stopped run')} back into the queue. " if n_stopped else ""
    others = f"the {count_text(n_others, 'run')} that failed or diverged can be run again, and " if n_others else ""
    return f"{told}Once it is resumed, {others}seeds and levels can be added."


def _enlarge(record: Record) -> None:
    if record.design == "bayesian" or sweepflags.has(record.id, "cancelled"):  # it must be resumed first
        return
    with st.expander("Add seeds or levels", icon=":material/add:"):
        st.caption("Every cell gets the same new seeds; a new level is run in all combinations with all seeds.")
        seeds, button = st.columns([4, 1], vertical_alignment="bottom")
        first = max(record.seeds) + 1
        text = seeds.text_input("New seeds", f"{first}, {first + 1}", key=f"seeds.{record.id}.{len(record.seeds)}")
        if button.button("Add seeds", width="stretch"):
            _try_add(lambda: sweeps.add_seeds(record.id, sweepfile.seeds_of(text)))
        if record.design != "grid" or not record.factors:
            return
        factor, levels, more = st.columns([2, 2, 1], vertical_alignment="bottom")
        name = factor.selectbox("Factor", list(record.factors))
        wanted = levels.text_input("New levels", placeholder="0.3, 1", key=f"levels.{record.id}.{name}")
        if more.button("Add levels", width="stretch"):
            values = [part.strip() for part in wanted.split(",") if part.strip()]
            _try_add(lambda: sweeps.add_levels(record.id, str(name), values))


def _try_add(add: object) -> None:
    assert callable(add)
    try:
        told = add()
    except ValueError as error:
        shared.failed(error)
        return
    _act(told)
