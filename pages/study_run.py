"""Starting a study: each of its sweeps with what is there, what it would cost, and one button; what is under way."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import background, paths, studies, sweepplan, sweeps
from core.sweepplan import Plan
from core.verdicts import MAIN
from pages import shared, study_reading, waiting
from pages.study_reading import Reading

EVERY_S = 3.0
TOLD = "studies.told"
BESIDE_RUNS = "That takes minutes a run, in this app: it ends with it, and other long work of the app waits meanwhile."


def stage_name(stage: str) -> str:
    """A sweep of a study in words: "the main grid", "stage width"."""
    return "the main grid" if stage == MAIN else f"stage {stage}"


def told() -> None:
    """What the last click did."""
    if TOLD in st.session_state:
        st.success(shared.plain(st.session_state.pop(TOLD)), icon=":material/check:")


def under_way(listing: Sequence[sweeps.Summary]) -> None:
    """A bar for each of these sweeps that runs, ticking, and the way to it."""
    moving = [one.id for one in listing if one.state == "running"]
    if moving:
        st.fragment(_ticking, run_every=EVERY_S)(moving)
    for one in listing:
        if one.state in ("paused", "incomplete"):
            st.page_link(
                "pages/sweeps.py",
                label=f"{stage_name(one.stage or MAIN).capitalize()} is {one.state}: see its sweep",
                icon=":material/grid_view:",
                query_params={"sweep": one.id},
            )


def _ticking(moving: list[str]) -> None:
    left = False
    for sweep in moving:
        try:
            one = sweeps.summary(sweep)
        except ValueError:  # deleted while it ran
            continue
        left = left or one.state == "running"
        time = f", {sweepplan.humanised(one.eta_s)} left" if one.eta_s else ""
        done = one.counts.get("done", 0) + one.counts.get("diverged", 0)
        text = f"{stage_name(one.stage or MAIN).capitalize()} is running: {done} of {one.n_runs} runs finished{time}"
        bar, link = st.columns([6, 1], vertical_alignment="center")
        bar.progress(min(max(one.fraction, 0.0), 1.0), text=shared.plain(text))
        link.page_link("pages/sweeps.py", label="Watch it", icon=":material/grid_view:", query_params={"sweep": sweep})
    if not left:
        st.rerun(scope="app")  # its runs are all here: judge them


def panel(found: Reading, newest: dict[str, sweeps.Summary], where: str) -> None:
    """Every sweep of the variant: the main grid first, the stages behind it. `where` keeps keys of two panels apart."""
    plans = study_reading.plans(found)
    if absent := study_reading.absent(found):
        there = f"{found.wanted() - found.missing()} of {found.wanted()} runs are here."
        st.info(shared.plain(f"{there} {absent}"), icon=":material/database:")
        data = next(iter(found.files.values())).data
        label = f"How to get {data}, on the Datasets page"
        st.page_link(
            "pages/datasets.py", label=shared.plain(label), icon=":material/database:", query_params={"data": data}
        )
        return
    _row(found, MAIN, plans[MAIN], newest.get(MAIN), where)
    further = [stage for stage in found.files if stage != MAIN]
    if not further:
        return
    short = sum(found.missing(stage) > 0 for stage in further)
    with st.expander(f"Further stages ({short} of {len(further)} lack runs)", icon=":material/playlist_add:"):
        for stage in further:
            _row(found, stage, plans[stage], newest.get(stage), where)
        if short > 1 and not any(one.state in studies.UNDER_WAY for one in newest.values()):
            _everything(found, plans, where)


def completion(found: Reading) -> None:
    """What claims need beside the runs, where some of it is lacking: said, with the button that makes it in the
    background."""
    key, name = ("study", str(paths.cache()), found.study.name, found.is_quick, found.study.data), found.study.name
    job = background.find(key)
    if job is not None and not waiting.ended(job, "Making what is lacking", key=f"complete.{name}"):
        return
    lacking = studies.incomplete(found.study, found.runs)
    if job is not None and (job.has_result or not lacking):
        background.forget(key)
        st.rerun()  # `found` was read before the work ended
    if not lacking:
        return
    if job is not None:
        waiting.tell_end(job, "It was ended; what was made so far is kept.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/hourglass_empty: {shared.plain(f'{lacking} {BESIDE_RUNS}')}")
        if st.button("Make what is lacking", key=f"complete.{name}", icon=":material/play_arrow:"):
            background.forget(key)  # one that ended
            background.start(key, lambda tell: studies.complete(found.study, found.runs, tell))
            st.rerun()


def _row(found: Reading, stage: str, plan: Plan | str, sweep: sweeps.Summary | None, where: str) -> None:
    file = found.files[stage]
    about, action = st.columns([5, 2], vertical_alignment="center")
    with about:
        title = f": {file.title}" if stage != MAIN and file.title else ""
        there = f"{found.wanted(stage) - found.missing(stage)} of {found.wanted(stage)} runs are here"
        st.markdown(f"**{shared.plain(stage_name(stage).capitalize())}**{shared.plain(title)} · {there}")
        if found.missing(stage):
            st.caption(shared.plain(plan if isinstance(plan, str) else plan.sentence))
            # Of a stage nobody needs to hear what its lines in the study's file are short of: it is meant so.
            meant = file.warnings if stage != MAIN else ()
            for warning in () if isinstance(plan, str) else [one for one in plan.warnings if one not in meant]:
                st.caption(f":material/warning: {shared.plain(warning)}")
            if 0 < found.missing(stage) < found.wanted(stage):
                st.caption(f"Only the {found.missing(stage)} that are missing are made.")
    start_button(found, stage, plan, sweep, where, action, st.container(), is_primary=stage == MAIN)


def start_button(
    found: Reading,
    stage: str,
    plan: Plan | str,
    sweep: sweeps.Summary | None,
    where: str,
    action: DeltaGenerator,
    below: DeltaGenerator,
    *,
    is_primary: bool = False,
) -> None:
    """In `action` the button that starts one of the sweeps; the way to it where it is under way, nothing to do where
    all is there. What went wrong stands `below`, which is as wide as the page.

    Where the plan says what cannot be, there is no button: its sentence stands beside it.
    """
    with action:
        is_clicked = _is_clicked(found, stage, plan, sweep, where, is_primary)
    if is_clicked:
        with below:
            _start(found, stage)


def _is_clicked(
    found: Reading, stage: str, plan: Plan | str, sweep: sweeps.Summary | None, where: str, is_primary: bool
) -> bool:
    if not found.missing(stage):
        st.caption(":material/check: All runs are here.")
        return False
    if sweep is not None and sweep.state in studies.UNDER_WAY:
        label = f"{stage_name(stage).capitalize()} is {sweep.state}"
        st.page_link("pages/sweeps.py", label=label, icon=":material/grid_view:", query_params={"sweep": sweep.id})
        return False
    if isinstance(plan, str):
        return False
    confirmed = not plan.asks or st.checkbox(shared.plain(plan.asks), key=f"yes.{where}.{found.study.name}.{stage}")
    return st.button(
        f"Run {stage_name(stage)}{' (quick)' if found.is_quick else ''}",
        key=f"run.{where}.{found.study.name}.{stage}",
        type="primary" if is_primary else "secondary",
        icon=":material/play_arrow:",
        width="stretch" if is_primary else "content",
        disabled=not confirmed,
    )


def _start(found: Reading, stage: str) -> None:
    try:
        with st.spinner(f"Making {found.missing(stage):,} run directories …"):
            started = studies.start(found.study, found.runs, quick=found.is_quick, stages=[stage], confirmed=True)
    except ValueError as error:
        shared.failed(error)
        return
    sweep, runs = ", ".join(started), found.missing(stage)
    told = f"Started {stage_name(stage)}: {runs} runs, sweep {sweep}. It goes on by itself."
    st.session_state[TOLD] = told if started else f"{stage_name(stage).capitalize()} is under way already."
    st.rerun()


def _everything(found: Reading, plans: dict[str, Plan | str], where: str) -> None:
    wanted = [plan for stage, plan in plans.items() if found.missing(stage) and isinstance(plan, Plan)]
    seconds = [plan.seconds for plan in wanted]
    known = sum(one for one in seconds if one is not None)
    unknown = "time unknown: of some of their kind (alone or together, on this device) no run was made yet"
    time = unknown if None in seconds else f"about {sweepplan.humanised(known)}"
    runs = sum(found.missing(stage) for stage, plan in plans.items() if isinstance(plan, Plan))
    st.caption(f"All that is missing: {runs} runs in {len(wanted)} sweeps, {time}.")
    if any(plan.asks for plan in wanted):
        return
    key = f"all.{where}.{found.study.name}"
    if not st.button("Run all that is missing", key=key, icon=":material/playlist_play:"):
        return
    try:
        with st.spinner(f"Making {runs:,} run directories …"):
            started = studies.start(found.study, found.runs, quick=found.is_quick)
    except ValueError as error:
        shared.failed(error)
        return
    told = f"Started {len(started)} sweeps with {runs} runs in all. They go on by themselves."
    st.session_state[TOLD] = told if started else "All of it is under way already."
    st.rerun()


def needs(found: Reading, stage: str, plan: Plan | str) -> str:
    """What a claim still needs of a stage: "It needs stage width: 6 runs, about 4 min."."""
    time = "" if isinstance(plan, str) or plan.seconds is None else f", about {sweepplan.humanised(plan.seconds)}"
    some = f"{found.missing(stage)} of its {found.wanted(stage)} runs are missing"
    n = found.missing(stage)
    runs = f"{n} run{'s' * (n != 1)}" if n == found.wanted(stage) else some
    said = f"It needs {stage_name(stage)}: {runs}{time}."
    if not found.is_quick:
        return said
    return f"{said[:-1]} of the quick variant, which may not be enough: it trains less than the full one."
