"""A run as it happens: state, progress, curves, log, and what can be done with it."""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from core import charts, control, listening, metrics, rundir, supervisor
from core.store import Store
from pages import palette, shared

LOG_LINES = 30


def monitor(run: str) -> None:
    """Show a run until it has ended; ticks once a second while it is under way."""
    try:
        folder = rundir.find(run)
        spec = rundir.read_spec(folder)
    except ValueError as error:
        shared.failed(error)
        return
    is_over = rundir.read_status(folder).is_finished
    with st.container(key="monitor"):
        st.fragment(_watch, run_every=None if is_over else 1.0)(folder, spec, is_over)


def _watch(folder: Path, spec: rundir.Spec, was_over: bool) -> None:
    status = rundir.read_status(folder)
    if status.is_finished and not was_over:
        st.rerun()  # the whole page, once: the ticking ends and the buttons change
    _head(folder, spec, status)
    index = shared.store(folder)  # not all runs, once a second
    curves = index.curves([spec.id])
    _curves(curves, spec)
    if curves.empty and not status.is_finished:
        st.info(shared.plain(status.note or "Its first numbers will be drawn here."), icon=":material/hourglass_empty:")
    if status.state == "done":
        _scores(index, spec)
    _actions(folder, spec, status)
    with st.expander("Log"):
        st.code(_log(folder) or "Nothing was printed.", language=None)


def _head(folder: Path, spec: rundir.Spec, status: rundir.Status) -> None:
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        st.markdown(f"**{shared.plain(spec.trainer)}** on **{shared.plain(spec.data)}**, seed {spec.seed}")
        st.caption(shared.plain(spec.id))
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        shared.badge(status.state)
    if status.state == "queued":
        before = supervisor.position(folder)
        st.caption(
            f"Waiting for {spec.device}: {before} before it in the queue." if before else f"Next on {spec.device}."
        )
    elif not status.is_finished:
        st.progress(min(max(status.fraction, 0.0), 1.0), text=_progress_text(status))
    elif status.reason:
        tell = st.caption if status.state == "done" else st.warning
        tell(shared.plain(status.reason))


def _scores(index: Store, spec: rundir.Spec) -> None:
    """What it scored in the end, on the part that chose it and on the part that did not."""
    name = metrics.primary(spec.task)
    rows = index.scores([spec.id])
    rows = rows[(rows["metric"] == name) & (rows["data"] == spec.data) & (rows["split"] == spec.split)]
    if rows.empty:
        return
    for column, row in zip(
        st.columns(len(rows)), rows.sort_values("part", ascending=False).to_dict("records"), strict=True
    ):
        interval = "" if row["low"] != row["low"] else f"{row['low']:.3f} to {row['high']:.3f}"
        column.metric(f"{row['part']} {name}", f"{row['value']:.3f}", help=metrics.about(f"test/{name}").sentence)
        column.caption(f"95 % interval {interval}, n = {row['n_items']} items" if interval else f"n = {row['n_items']}")


def _progress_text(status: rundir.Status) -> str:
    if status.note:
        return shared.plain(status.note)
    if not status.started_at:
        return "Starting …"
    elapsed = time.time() - status.started_at
    text = f"epoch {status.epoch:.3g}, step {status.step:,}, {shared.duration(elapsed)} so far"
    if status.fraction > 0.02:
        text += f", {shared.duration(elapsed * (1 - status.fraction) / status.fraction)} left"
    return text


def _curves(curves: object, spec: rundir.Spec) -> None:
    panels = charts.live_table(curves, metrics.primary(spec.task))  # type: ignore[arg-type]
    colours = palette.ROLES[shared.theme()]
    for number, (title, series) in enumerate(panels.items()):
        if number % 2 == 0:
            columns = st.columns(2)
        with columns[number % 2]:
            option = charts.live_drawing(title, series, colours)
            st.echarts_chart(
                option, height=250, key=f"live-{spec.id}-{title}", alt=f"{title} by epoch of run {spec.id}"
            )


def _actions(folder: Path, spec: rundir.Spec, status: rundir.Status) -> None:
    with st.container(horizontal=True):
        if not status.is_finished:
            if rundir.stop_asked_at(folder) is not None:
                st.caption("Stopping: it ends at its next step, or by force within ten seconds.")
            elif st.button("Stop", icon=":material/stop:", help="Its last checkpoint stays; it can be resumed."):
                st.toast(control.stop(folder))
            return
        if status.state in ("stopped", "failed", "lost") and st.button("Resume", icon=":material/play_arrow:"):
            try:
                control.resume(folder)
                st.rerun()
            except ValueError as error:  # another tab was faster
                shared.failed(error)
        if _can_listen(folder) and st.button("Use on Listen", icon=":material/hearing:", type="primary"):
            listening.pin(spec.task, spec.id)
            st.switch_page("pages/listen.py", query_params={spec.task: spec.id})
        board = {"task": spec.task, "data": spec.data, "split": spec.split}
        st.page_link("pages/leaderboard.py", label="See it on the leaderboard", query_params=board)


def _can_listen(folder: Path) -> bool:
    try:
        listening.load(folder.name)
        return True
    except ValueError:
        return False


def _log(folder: Path) -> str:
    path = folder / "stdout.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:]) if path.exists() else ""
