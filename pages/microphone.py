"""Live microphone, a part of Listen: what the microphone of this machine hears now, and what models say about it."""

from __future__ import annotations

import platform
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from core import evaluation, library, listening, live, microphone
from core.datasets import INSTRUMENT_NAMES
from pages import palette, shared

TICK_S = 0.4
HERE = Path(__file__).parent
SCRIPTS = ("deck/draw.js", "deck/strip.js", "deck/plane.js", "live/live.js")
HOW_TO_READ = (
    "The bar is the loudness (RMS) of the last 0.4 s, the lines its highest sample and that of the last 2 s. A value "
    "of a model speaks about the window of sound that had just ended; the trail and the strip show 30 s, the newest "
    "darkest and at the right. Of silence nothing is said, and no instrument is scored where nothing has a pitch."
)


def _register() -> Any:
    return st.components.v2.component(
        "earshot_live",
        html=(HERE / "live" / "live.html").read_text(encoding="utf-8"),
        css=(HERE / "live" / "live.css").read_text(encoding="utf-8"),
        js="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
    )


_MOUNT = _register()


def open_kept() -> None:
    """Choose the take that was just kept for Listen; to be called before its widgets are made."""
    if key := st.session_state.pop("microphone.kept", None):
        st.session_state["clip"] = key
        st.session_state["live"] = False


def switch() -> bool:
    """The toggle between clips and the microphone, kept in the address; turned off, it gives the device back."""
    if "live" not in st.session_state:
        st.session_state["live"] = st.query_params.get("live") == "1"
    is_live = st.toggle(
        "Live microphone",
        key="live",
        on_change=_turned,
        help="What the microphone of the machine the app runs on hears, and what the models say about it, now.",
    )
    if is_live:
        st.query_params["live"] = "1"
    else:
        st.query_params.pop("live", None)
    return is_live


def _turned() -> None:
    session = microphone.current()
    if session is not None and not st.session_state["live"]:
        session.close()


def panel(models: list[evaluation.Model]) -> None:
    """Device, level, latency, and what `models` say now; the first model of each task leads."""
    st.subheader("Live microphone", anchor=False)
    session = microphone.current()
    try:
        found = microphone.devices()
    except ValueError as error:
        st.info(str(error), icon=":material/mic_off:")
        return
    if session is not None:
        session.follow(models)
    else:
        _choose(found, models)
    newest = microphone.newest()
    if newest is None:
        if found:
            st.info(
                "Once it is started, the level, the valence–arousal plane and the instruments move here with what the "
                "microphone hears. Nothing is stored unless you keep the take.",
                icon=":material/mic:",
            )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if session is not None and st.button("Stop", icon=":material/stop:", key="microphone.stop"):
            session.close()
            st.rerun()
        _keep_button(newest)
    st.fragment(_watch, run_every=TICK_S if session else None)(is_open=session is not None)
    st.caption(HOW_TO_READ)


def _choose(found: list[microphone.Device], models: list[evaluation.Model]) -> None:
    """The device and the start; without any device, one sentence and a look again."""
    if not found:
        st.info(microphone.NO_DEVICE, icon=":material/mic_off:")
        if st.button("Look again", icon=":material/refresh:"):
            microphone.devices(is_looked_up_again=True)
            st.rerun()
        return
    names = [f"{one.name} ({one.system})" for one in found]
    by_name = dict(zip(names, found, strict=True))
    asked = st.query_params.get("microphone")
    if st.session_state.get("microphone.device") not in names:
        st.session_state["microphone.device"] = asked if asked in names else names[0]
    place, start, again = st.columns([4, 1.1, 1.1], vertical_alignment="bottom")
    chosen = place.selectbox(f"Microphone of {platform.node() or 'this machine'}", names, key="microphone.device")
    st.query_params["microphone"] = chosen
    if again.button("Look again", icon=":material/refresh:", width="stretch", help="Finds what was just plugged in."):
        microphone.devices(is_looked_up_again=True)
        st.rerun()
    if start.button("Start", icon=":material/mic:", type="primary", width="stretch"):
        try:
            microphone.start(by_name[chosen]).follow(models)
        except ValueError as error:
            shared.failed(error)
            return
        st.rerun()


def _keep_button(session: microphone.Session) -> None:
    text = (
        f"Of what was heard, the newest {session.keep_s / 60:.3g} min are held in memory until the next start; kept, "
        "they become a clip of your library and open here."
    )
    if not st.button("Keep this take", icon=":material/save:", key="microphone.keep", help=text):
        return
    try:
        with st.spinner("Keeping the take …"):
            data = session.take()
            session.close()
            entry, _ = library.keep(data, f"take {datetime.now():%Y-%m-%d %H.%M.%S}.flac")
    except ValueError as error:
        shared.failed(error)
        return
    st.session_state["microphone.kept"] = entry.key
    st.rerun()


def _watch(is_open: bool) -> None:
    """The part that ticks."""
    session = microphone.newest()
    if session is None or session.is_open != is_open:
        st.rerun()  # ended, here or elsewhere: the buttons change
    session.seen()
    if session.ended:
        st.caption(f":material/info: {session.ended}")
    if session.is_stalled:
        st.warning("The microphone delivers no sound any more: was it unplugged? Stop and start again.")
    _MOUNT(key="microphone", data=payload(session))
    st.caption(_state(session))
    for analyst in session.analysts:
        if text := _waiting(analyst, session):
            st.caption(f":material/hourglass_empty: {shared.plain(text)}")


def _state(session: microphone.Session) -> str:
    """Latency, what was lost, and how much is kept, in a line."""
    quick = [one for one in session.analysts if one.hop_s == live.HOP_S]
    took_s = max((one.took_s or 0.0 for one in quick), default=0.0)
    rates = [one.per_second for one in quick if one.per_second is not None]
    rate = f"{min(rates):.1f} predictions a second, " if rates else ""
    total_s = session.latency_s + took_s
    latency = (
        f"latency {total_s * 1000:.0f} ms (device {session.latency_s * 1000:.0f} ms, analysis {took_s * 1000:.0f} ms)"
    )
    skipped = sum(one.skipped for one in session.analysts)
    lost = f"{rate}{session.overruns} overruns, {skipped} analyses skipped"
    kept = f"kept {_clock(session.kept_s)} of at most {_clock(session.keep_s)}"
    return f"{shared.plain(session.device)}, {session.sample_rate_hz:,} Hz · {latency} · {lost} · {kept}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def _waiting(analyst: live.Analyst, session: microphone.Session) -> str:
    """Why models say nothing yet, or no longer; empty where they do."""
    names = ", ".join(_name(model) for model in analyst.models)
    if analyst.problem:
        return f"{names} stopped: {analyst.problem}"
    if analyst.moments() or not session.is_open:
        return ""
    if session.heard_s < analyst.window_s:
        return f"{names} will speak after {analyst.window_s:g} s of sound: {session.heard_s:.0f} s so far."
    return f"{names} is being warmed up."


def _name(model: evaluation.Model) -> str:
    return f"{model.trainer} on {shared.data_name(model.data)}"


def payload(session: microphone.Session) -> dict[str, Any]:
    """What travels to the browser at each tick: the level, a trail per emotion model, the strip of the first other."""
    level, now_s = session.level(), session.heard_s
    trails: list[dict[str, Any]] = []
    strip = None
    for analyst in session.analysts:
        moments = [moment for moment in analyst.moments() if moment.end_s >= now_s - live.HISTORY_S]
        for place, model in enumerate(analyst.models):
            rows = [_rounded(moment.values[place]) for moment in moments]
            times_s = [round(moment.end_s, 2) for moment in moments]
            if model.task == "emotion":
                moving = analyst.window_s < listening.LONG_WINDOW_S
                points = [[time_s, *row] for time_s, row in zip(times_s, rows, strict=True)]
                trails.append({"name": _name(model), "moments": points, "is_moving": moving})
            elif strip is None:
                names = [INSTRUMENT_NAMES.get(label, label) for label in live.LABELS[model.task]]
                strip = {"names": names, "times": times_s, "scores": rows}
    return {
        "level": {
            "rms": round(level.rms_db, 2),
            "peak": round(level.peak_db, 2),
            "hold": round(level.hold_db, 2),
            "clipped": level.is_clipped,
        },
        "now": round(now_s, 2),
        "span": live.HISTORY_S,
        "step": 2 * live.HOP_S,
        "trails": sorted(trails, key=lambda one: not one["is_moving"]),
        "strip": strip,
        "roles": {
            theme: {"valence": roles["valence"], "arousal": roles["arousal"]} for theme, roles in palette.ROLES.items()
        },
    }


def _rounded(values: np.ndarray) -> list[float | None]:
    return [round(float(value), 3) if np.isfinite(value) else None for value in values]
