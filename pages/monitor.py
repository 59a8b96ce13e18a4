"""Runs as they happen: state, progress, curves, log, and what can be done with them.

Everything ticks once a second while curves are short, less often later (`livecurves.PACES`); the newest loss stands in
words above the curves. `benchmarks/live.py` says what watching costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from core import charts, itemwords, livecurves, machine, metrics, rundir, runview, supervisor
from core.livecurves import Follower
from core.store import Store
from pages import actions, losses, palette, shared

LOG_LINES, LOG_BYTES = 30, 16_000
MOST_TOGETHER = 6
STRETCHES = {"all of it": 0, "the last 1,000 steps": charts.POINTS_PER_CURVE, "the last 100": 100}


def monitor(run: str) -> None:
    """Show a run until it has ended; ticks while it is under way."""
    try:
        folder = rundir.find(run)
        spec = rundir.read_spec(folder)
    except ValueError as error:
        shared.failed(error)
        return
    follower = _followers([folder])[0]
    said_s, drawn_s = _pace([folder], [follower])
    with st.container(key="monitor"):
        st.fragment(_watch, run_every=said_s)(folder, spec, follower)
        st.fragment(_inside, run_every=drawn_s)(folder, spec, follower)


def together(runs: list[str]) -> None:
    """Show several runs on the same axes until all have ended."""
    known: dict[str, tuple[Path, rundir.Spec]] = {}
    for run in dict.fromkeys(runs[:MOST_TOGETHER]):
        try:
            folder = rundir.find(run)
            known[folder.name] = (folder, rundir.read_spec(folder))
        except ValueError as error:
            shared.failed(error)
    if len(runs) > MOST_TOGETHER:
        st.caption(f"The first {MOST_TOGETHER} of {len(runs)} runs are drawn.")
    folders, specs = [folder for folder, _ in known.values()], [spec for _, spec in known.values()]
    followers = _followers(folders)
    said_s, drawn_s = _pace(folders, followers)
    with st.container(key="monitor"):
        st.fragment(_watch_all, run_every=said_s)(folders, specs, followers)
        with st.container(horizontal=True):
            for folder, name in zip(folders, _names(specs), strict=True):
                st.page_link("pages/train.py", label=f"{name} alone", query_params={"run": folder.name})
        st.fragment(_curves_of_all, run_every=drawn_s)(specs, followers)


def _pace(folders: list[Path], followers: list[Follower]) -> tuple[float | None, float | None]:
    """Seconds from tick to tick of what is said and of what is drawn; None where all is over."""
    st.session_state["monitor.shown"] = _sign(folders, followers)
    if all(rundir.read_status(folder).is_finished for folder in folders):
        return None, None
    return _pace_now(followers)


def _pace_now(followers: list[Follower]) -> tuple[float, float]:
    return livecurves.pace(max(follower.points for follower in followers))


def _followers(folders: list[Path]) -> list[Follower]:
    """What this tab has read of these runs' logs; each tick reads only what is new in them."""
    kept: dict[str, Follower] = st.session_state.setdefault("monitor.followers", {})
    is_known = all(str(folder) in kept for folder in folders)
    found = [kept.get(str(folder)) or Follower(folder) for folder in folders]
    if is_known:
        for follower in found:
            follower.look()
    else:
        with st.spinner("Reading the log …"):
            for follower in found:
                follower.look()
    st.session_state["monitor.followers"] = {str(follower.folder): follower for follower in found}
    return found


def _sign(folders: list[Path], followers: list[Follower]) -> list[Any]:
    """What buttons and pace depend on; where it moves the whole page is drawn again."""
    asked = [[rundir.is_asked(folder, kind) for kind in ("stop", "pause")] for folder in folders]
    return [_pace_now(followers), asked, *(rundir.read_status(folder).state for folder in folders)]


def _stay(folders: list[Path], followers: list[Follower]) -> None:
    for follower in followers:
        follower.look()
    if st.session_state.get("monitor.shown") != _sign(folders, followers):
        st.rerun()  # the whole page, once: the buttons change, and where it is over the ticking ends


def _watch(folder: Path, spec: rundir.Spec, follower: Follower) -> None:
    _stay([folder], [follower])
    _head(folder, spec, rundir.read_status(folder), follower)


def _inside(folder: Path, spec: rundir.Spec, follower: Follower) -> None:
    follower.look()
    status = rundir.read_status(folder)
    panels = follower.panels(metrics.primary(spec.task))
    _curves(livecurves.newest(panels, _stretch(follower)), spec, _marks(follower.told))
    if "Loss" in panels:
        losses.caption(spec.trainer)
    if not panels and not status.is_finished:
        st.info(shared.plain(status.note or "Its first numbers will be drawn here."), icon=":material/hourglass_empty:")
    if status.state == "done":
        _scores(shared.store(folder), spec)
    current = dict(spec.config)
    for event in follower.told:
        if event["kind"] == "changed":
            current |= {name: new for name, (_, new) in event["values"].items()}
    actions.actions(folder, spec, status, current)
    with st.expander("Log"):
        lines = runview.log_tail(folder, LOG_BYTES)[0].splitlines()
        st.code("\n".join(lines[-LOG_LINES:]) or "Nothing was printed.", language=None)


def _stretch(*followers: Follower) -> int:
    """How many of the newest steps are drawn, 0 for all; asked only where there are more than the shorter choice."""
    if max((follower.points for follower in followers), default=0) <= min(filter(None, STRETCHES.values())):
        return 0
    words = st.segmented_control(
        "Draw",
        list(STRETCHES),
        default="all of it",
        required=True,
        key="stretch",
        bind="query-params",
        help="At most 1,000 points a curve, always with its extremes; of the last 1,000 steps every one. The Run page "
        "draws any stretch.",
    )
    return STRETCHES[str(words)]


# ---- several runs ----


def _watch_all(folders: list[Path], specs: list[rundir.Spec], followers: list[Follower]) -> None:
    _stay(folders, followers)
    for folder, name, follower in zip(folders, _names(specs), followers, strict=True):
        status = rundir.read_status(folder)
        told = shared.plain(status.reason) if status.is_finished else _progress_text(status, follower)
        st.progress(min(max(status.fraction, 0.0), 1.0), text=f"**{shared.plain(name)}**, {status.state}: {told}")


def _curves_of_all(specs: list[rundir.Spec], followers: list[Follower]) -> None:
    for follower in followers:
        follower.look()
    last, names = _stretch(*followers), _names(specs)
    by_run = {
        name: livecurves.newest(follower.panels(metrics.primary(spec.task)), last)
        for name, spec, follower in zip(names, specs, followers, strict=True)
    }
    of_run: dict[str, str] = {}
    for name, spec in zip(names, specs, strict=True):
        of_run[name] = palette.run_colour(spec.id, of_run.values(), shared.theme())
    titles = list(dict.fromkeys(title for panels in by_run.values() for title in panels))
    if not titles:
        st.info("Their first numbers will be drawn here.", icon=":material/hourglass_empty:")
        return
    st.caption("Training is solid (thin: each step), validation dashed; a run has the same colour in every panel.")
    columns = st.columns(2)
    for number, title in enumerate(titles):
        lines = {name: panels[title] for name, panels in by_run.items() if title in panels}
        option = livecurves.together(title, lines, palette.ROLES[shared.theme()], of_run)
        alt = f"{title} by epoch of {', '.join(lines)}"
        columns[number % 2].echarts_chart(option, height=270, key=f"together-{title}", alt=alt)


def _names(specs: list[rundir.Spec]) -> list[str]:
    """A short name for each run; with the end of its id where two would share one."""
    short = [f"{spec.trainer}, seed {spec.seed}" for spec in specs]
    return [
        name if short.count(name) == 1 else f"{name} ({spec.id[-4:]})" for name, spec in zip(short, specs, strict=True)
    ]


# ---- one run ----


def _head(folder: Path, spec: rundir.Spec, status: rundir.Status, follower: Follower) -> None:
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        st.markdown(f"**{shared.plain(spec.trainer)}** on **{shared.plain(spec.data)}**, seed {spec.seed}")
        st.caption(shared.plain(spec.id))
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        shared.badge(status.state)
    if status.state == "queued":
        before = supervisor.position(folder)
        st.caption(f"Waiting for {spec.device}: {before} before it in the queue." if before else _next(spec.device))
    elif not status.is_finished:
        st.progress(min(max(status.fraction, 0.0), 1.0), text=_progress_text(status, follower))
    elif status.reason:
        tell = st.caption if status.state == "done" else st.warning
        tell(shared.plain(status.reason))


def _next(device: str) -> str:
    """That a run is the next one, and why it may wait longer than for the one before it."""
    is_short = device == "cpu" and machine.free_memory() < supervisor.MEMORY_TO_SPARE
    if is_short and any(rundir.read_status(folder).state == "paused" for folder in shared.under_way()):
        return f"Next on {device}. A paused run keeps its place: less than a quarter of the memory is free."
    return f"Next on {device}."


def _scores(index: Store, spec: rundir.Spec) -> None:
    """What it scored in the end, on the part that chose it and on the part that did not."""
    name = metrics.primary(spec.task)
    rows = index.scores([spec.id])
    of_own = rows[(rows["data"] == spec.data) & (rows["split"] == spec.split)]
    rows = of_own[of_own["metric"] == name]
    if rows.empty:
        return
    for column, row in zip(
        st.columns(len(rows)), rows.sort_values("part", ascending=False).to_dict("records"), strict=True
    ):
        interval = "" if row["low"] != row["low"] else f"{row['low']:.3f} to {row['high']:.3f}"
        column.metric(
            shared.plain(f"{row['part']} {name}"), f"{row['value']:.3f}", help=metrics.about(f"test/{name}").sentence
        )
        column.caption(
            f"95 % interval {interval}, n = {row['n_items']:,} items" if interval else f"n = {row['n_items']:,}"
        )
    if different := itemwords.unlike(itemwords.of_scores(of_own), spec.task):
        st.caption(f":material/info: {shared.plain(different)}")


def _progress_text(status: rundir.Status, follower: Follower) -> str:
    if status.note:
        return shared.plain(status.note)
    if not status.started_at:
        return "Starting …"
    elapsed = status.trained_s
    text = f"epoch {rundir.epoch_text(status.epoch)}, step {status.step:,}, {shared.duration(elapsed)} so far"
    if status.fraction > 0.02:
        text += f", {shared.duration(elapsed * (1 - status.fraction) / status.fraction)} left"
    loss = follower.newest("train/loss")
    return text if loss is None else f"{text}, loss {loss:.3g}"


def _curves(panels: dict[str, dict[str, Any]], spec: rundir.Spec, marks: list[tuple[float, str]]) -> None:
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
                alt=f"{title} by epoch of run {spec.id}"
                + "".join(f"; at epoch {rundir.epoch_text(e)} {text}" for e, text in marks),
            )


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
