"""A run as it happens: state, progress, curves, log, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from core import charts, metrics, rundir, supervisor
from core.store import Store
from pages import actions, palette, shared

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
    told = _told(folder)
    _curves(curves, spec, _marks(told))
    if curves.empty and not status.is_finished:
        st.info(shared.plain(status.note or "Its first numbers will be drawn here."), icon=":material/hourglass_empty:")
    if status.state == "done":
        _scores(index, spec)
    current = dict(spec.config)
    for event in told:
        if event["kind"] == "changed":
            current |= {name: new for name, (_, new) in event["values"].items()}
    actions.actions(folder, spec, status, current)
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
    elapsed = status.trained_s
    text = f"epoch {status.epoch:.3g}, step {status.step:,}, {shared.duration(elapsed)} so far"
    if status.fraction > 0.02:
        text += f", {shared.duration(elapsed * (1 - status.fraction) / status.fraction)} left"
    return text


def _curves(curves: object, spec: rundir.Spec, marks: list[tuple[float, str]]) -> None:
    panels = charts.live_table(curves, metrics.primary(spec.task))  # type: ignore[arg-type]
    colours = palette.ROLES[shared.theme()]
    for number, (title, series) in enumerate(panels.items()):
        if number % 2 == 0:
            columns = st.columns(2)
        with columns[number % 2]:
            option = marked(charts.live_drawing(title, series, colours), marks, colours["real"])
            st.echarts_chart(
                option,
                height=250,
                key=f"live-{spec.id}-{title}",
                alt=f"{title} by epoch of run {spec.id}" + "".join(f"; at epoch {e:.3g} {text}" for e, text in marks),
            )


def _told(folder: Path) -> list[dict[str, Any]]:
    """The changes and the beginning of a branch in the log; each tick reads only what is new in it."""
    kept = st.session_state.setdefault(f"monitor.told.{folder}", {"offset": 0, "events": []})
    events, kept["offset"] = rundir.read_events(folder, kept["offset"])
    kept["events"] += [event for event in events if event["kind"] in ("changed", "branched")]
    return list(kept["events"])


def _marks(told: list[dict[str, Any]]) -> list[tuple[float, str]]:
    """Epoch and text of every line to draw: "learning_rate 0.1 → 0.05"."""
    found = []
    for event in told:
        moved = [f"{name} {_short(old)} → {_short(new)}" for name, (old, new) in event["values"].items()]
        found.append((float(event["epoch"]), ", ".join(["branch", *moved] if event["kind"] == "branched" else moved)))
    return found


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def marked(option: dict[str, Any], marks: list[tuple[float, str]], colour: str) -> dict[str, Any]:
    """The drawing of a panel with a dotted line at each of `marks` (epoch, text), which says what was changed there."""
    if not marks or not option["series"]:
        return option
    lines = [{"xAxis": epoch, "name": text} for epoch, text in marks]
    is_named = option["title"]["text"] == "Loss"  # once is enough: the text is as long as a panel is high
    label = {"show": is_named, "formatter": "{b}", "position": "insideEndTop", "fontSize": 9, "color": colour}
    drawn = {"silent": True, "symbol": "none", "data": lines, "label": label}
    drawn["lineStyle"] = {"type": "dotted", "width": 1.5, "color": colour}
    first, *rest = option["series"]
    return {**option, "series": [{**first, "markLine": drawn}, *rest]}


def _log(folder: Path) -> str:
    path = folder / "stdout.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:]) if path.exists() else ""
