"""Listen: a clip, and what the stored models hear in it, moving with the sound."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core import background, evaluation, library, listening, pins, pitch, rundir
from core.datasets import INSTRUMENT_NAMES
from core.longclip import LongClip
from pages import address, clips, heard_instruments, microphone, retrain, shared, waiting
from pages.deck import Point, Series, deck

# ---- the models ----


def _name(run: str) -> str:
    spec = rundir.read_spec(listening.folder_of(run))
    is_dated = re.match(r"\d{8}-\d{6}-", run)
    when = f"{run[:4]}-{run[4:6]}-{run[6:8]} {run[9:11]}:{run[11:13]} UTC" if is_dated else "shipped"
    return f"{shared.data_name(spec.data)}: {spec.trainer}, seed {spec.seed}{_moment(run)} ({when})"


def _namer(runs: Sequence[str]) -> Callable[[str], str]:
    """Names for these runs, no two of them alike: Streamlit knows an option again by its label."""
    plain = {run: _name(run) for run in runs}
    several = {name for name, n in Counter(plain.values()).items() if n > 1}
    told = {run: f"{name} {run.rpartition('-')[2]}" if name in several else name for run, name in plain.items()}
    return lambda run: told.get(run) or _name(run)


def _moment(run: str) -> str:
    """What is added to a run's name where it is heard as it was at some moment: ", epoch 7"."""
    moment = run.partition("@")[2]
    return f", epoch {moment}" if moment.isdecimal() else f", {moment}" if moment else ""


def _choose_runs(task: str, label: str, most: int, help_text: str) -> list[str]:
    """Runs for one task, from the address, else pinned, else the best of each board."""
    offered = listening.choices(shared.store(), task)
    asked = [run for run in st.query_params.get_all(task) if run in offered or _is_moment(run, task)]
    default = list(dict.fromkeys([*asked, *offered]))[: max(most, min(len(asked), 2))]
    before = [run for run in st.session_state.get(f"moments.{task}", []) if _is_moment(run, task)]
    offered = list(dict.fromkeys([*asked, *before, *offered]))
    address.tell_missing(task, "the run", {*offered, *filter(rundir.exists, st.query_params.get_all(task))})
    st.session_state[f"moments.{task}"] = [run for run in offered if "@" in run]
    key = f"runs.{task}"
    if key not in st.session_state or not set(st.session_state[key]) <= set(offered):
        st.session_state[key] = default
    chosen = st.multiselect(
        label, offered, key=key, format_func=_namer(offered), help=help_text, placeholder="No run chosen"
    )
    st.query_params[task] = chosen
    _pinned(task, offered)
    return chosen


def _pinned(task: str, offered: list[str]) -> None:
    """That a run of the user's choice comes first on Listen, with the way back."""
    first = next((run for run in pins.own(task) if run in offered), None)
    if first is None:
        return
    st.caption(shared.plain(f"{_namer(offered)(first)} comes first here and in the terminal: it was put on Listen."))
    if st.button("Back to the default", key=f"unpin.{task}", icon=":material/undo:", type="tertiary"):
        pins.unpin(task)
        st.session_state.pop(f"runs.{task}", None)
        st.query_params.pop(task, None)
        st.rerun()


def _is_moment(name: str, task: str) -> bool:
    """Whether this is a moment, "RUN@7", of a run of this task, which may still be training."""
    run, _, moment = name.partition("@")
    try:
        folder = rundir.find(run)
        return moment.isalnum() and folder.name == run and rundir.read_spec(folder).task == task
    except ValueError:
        return False


@st.cache_resource(max_entries=16, show_spinner=False)
def _model(run: str, modified_ns: int) -> evaluation.Model:
    return listening.load(run)


def _models(runs: list[str]) -> list[evaluation.Model]:
    """The models of these runs; of one that has none it is said why."""
    found = []
    for run in runs:
        try:
            files = (listening.folder_of(run) / "checkpoints").glob("*.safetensors")
            found.append(_model(run, max((file.stat().st_mtime_ns for file in files), default=0)))
        except ValueError as error:
            shared.failed(error)
    return found


def _hear(clip: clips.Clip, runs: list[str], window_s: float | None, hop_s: float) -> list[listening.Heard]:
    """What the runs hear; of a long clip it is nothing until the work beside the page has it, which it shows."""
    models = _models(runs)
    if isinstance(clip, LongClip):
        before = [listening.heard_before(clip, one, window_s=window_s, hop_s=hop_s) for one in models]
        if None not in before:
            return [one for one in before if one is not None]
        found = _hear_long(clip, models, window_s, hop_s)
    else:
        with st.spinner("Listening …"):
            found = listening.listen_all(clip, models, window_s=window_s, hop_s=hop_s)
    heard = []
    for one in found:
        if isinstance(one, ValueError):
            shared.failed(one)
        else:
            heard.append(one)
    return heard


def _hear_long(
    clip: LongClip, models: list[evaluation.Model], window_s: float | None, hop_s: float
) -> list[listening.Heard | ValueError]:
    key = ("hear", clip.sha256, tuple((one.run, one.stamp) for one in models), window_s, hop_s)

    def work(tell: background.Tell) -> list[listening.Heard | ValueError]:
        def told(share: float) -> None:
            tell(share, f"{share * clip.seconds / 60:.0f} of {clip.seconds / 60:.0f} min")

        return listening.listen_all(clip, models, window_s=window_s, hop_s=hop_s, tell=told)

    job = background.start(key, work)
    if not waiting.ended(job, "Listening", key="hear"):
        return []
    again = partial(
        st.button, "Try again", icon=":material/refresh:", on_click=background.forget, args=[key], key="hear.again"
    )
    try:
        found = job.result()
        if any(isinstance(one, ValueError) for one in found):
            again()
        return found
    except background.Cancelled:
        st.info("Listening was ended; what was heard so far is kept for the next time.", icon=":material/cancel:")
        st.button("Go on listening", on_click=background.forget, args=[key])
    except (ValueError, OSError) as error:
        shared.failed(error)
        again()
    return []


def _window_controls() -> tuple[float | None, float]:
    lengths = ["as trained", 1.0, 2.0, 3.0, 5.0, 10.0]
    length = st.select_slider(
        "Window (s)",
        lengths,
        key="window",
        help="How much sound a model hears for one value. Models of whole songs keep the length they learned from.",
    )
    hop = st.select_slider("Hop (s)", [0.1, 0.25, 0.5, 1.0, 2.0], value=0.5, key="hop", help="A value every … seconds.")
    return (None if length == "as trained" else float(length)), float(hop)


# ---- what is shown ----


def _series(heard: list[listening.Heard]) -> list[Series]:
    drawn = []
    for number, one in enumerate(heard):
        labels, values = one.prediction.labels, one.prediction.values
        valence, arousal = values[:, labels.index("valence")], values[:, labels.index("arousal")]
        name = f"{one.model.trainer} on {shared.data_name(one.model.data)}{_moment(one.model.run)}"
        drawn.append(Series(name, one.prediction.times_s, valence, arousal, is_primary=number == 0))
    return drawn


def _points(heard: list[listening.Heard]) -> list[Point]:
    """Song-level crosses; where the curve is the song's value all along, a cross would only hide it."""
    moving = [one for one in heard if one.window_s < listening.LONG_WINDOW_S]
    return [
        Point(
            f"{one.model.trainer} on {shared.data_name(one.model.data)}{_moment(one.model.run)}, whole clip",
            one.song["valence"],
            one.song["arousal"],
        )
        for one in moving
    ]


def _song_level(
    emotion: list[listening.Heard], instruments: list[listening.Heard], name: Callable[[str], str], has_pitch: bool
) -> None:
    rows = []
    for one in emotion:
        unit = "whole song" if one.window_s >= listening.LONG_WINDOW_S else f"mean of {one.window_s:g} s windows"
        rows.append(
            f"| {shared.plain(name(one.model.run))} | {_value(one, 'valence')} | {_value(one, 'arousal')} | {unit} |"
        )
    if rows:  # in words: a data frame would have the browser load a megabyte of scripts before the page rests
        head = "| run | valence (1–9) | arousal (1–9) | from |\n|:--|--:|--:|:--|"
        st.markdown("\n".join([head, *rows]))
    heard_instruments.whole_clip(instruments, name, has_pitch)


def _value(one: listening.Heard, label: str) -> str:
    """A value for the whole clip; a dash where it is silent."""
    return f"{one.song[label]:.2f}" if math.isfinite(one.song[label]) else "—"


def _exports(report: dict[str, Any], emotion: list[listening.Heard], instruments: list[listening.Heard]) -> None:
    stem = Path(report["clip"]).stem
    st.download_button("CSV", _csv([*emotion, *instruments]), f"{stem}.csv", "text/csv", icon=":material/download:")
    st.download_button("JSON", json.dumps(report), f"{stem}.json", "application/json", icon=":material/download:")


def _csv(heard: list[listening.Heard]) -> str:
    """One row per time, one column per run and label, named in words."""
    table = io.StringIO()
    writer = csv.writer(table)
    columns = [
        (f"{INSTRUMENT_NAMES.get(label, label)} ({one.model.run})", one.prediction.values[:, number])
        for one in heard
        for number, label in enumerate(one.prediction.labels)
    ]
    writer.writerow(["time_s", *(name for name, _ in columns)])
    times_s = heard[0].prediction.times_s if heard else []
    for row, time_s in enumerate(times_s):
        cells = [values[row] for _, values in columns]
        writer.writerow([f"{time_s:.3f}", *("" if cell != cell else f"{cell:.4f}" for cell in cells)])
    return table.getvalue()


# ---- the page ----


def _page() -> None:
    entry = clips.choose()
    if entry is None:
        return
    try:
        clip, view = clips.prepared(entry.path)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    retrain.hear_new_run()
    with st.sidebar:
        st.subheader("Models", anchor=False)
        chosen = {
            "emotion": _choose_runs(
                "emotion", "Valence and arousal from", 2, "The first is drawn solid, others dashed."
            ),
            "instruments": _choose_runs("instruments", "Instruments from", 1, "The first fills the strip."),
        }
        window_s, hop_s = _window_controls()
    heard = _hear(clip, [run for runs in chosen.values() for run in runs], window_s, hop_s)
    unheard = [task for task, runs in chosen.items() if runs and task not in {one.model.task for one in heard}]
    emotion = [one for one in heard if one.model.task == "emotion"]
    instruments = [listening.pitched(clip, one) for one in heard if one.model.task == "instruments"]
    name = _namer([one.model.run for one in heard])
    # Straight on the page, in no container: there its key keeps it, whatever appears above it.
    deck(
        key="listen",
        series=_series(emotion),
        strip=heard_instruments.strip(heard_instruments.in_strip(instruments), pitch.is_in(clip)),
        song=_points(emotion),
        title=entry.title,
        unheard=unheard,
        **view,
    )
    heard_instruments.choose_strip(instruments, name)
    _below(entry, clip, emotion, instruments, name, bool(unheard))
    # ---- panels below the player: one call each, from a module of their own ----
    if emotion or instruments:
        _panel(
            "Retrain and hear the difference",
            ":material/model_training:",
            lambda: retrain.panel([*emotion, *instruments], name),
        )
    retrain.watch()
    _panel("Rate this clip", ":material/adjust:", lambda: _rate(entry, clip.sha256))


def _rate(entry: library.Entry, sha256: str) -> None:
    from pages import agreement  # pandas comes with it

    agreement.teaser(entry, sha256)


def _panel(title: str, icon: str, draw: Callable[[], None]) -> None:
    """A panel that is drawn only while it is open, so that what it imports costs nobody who does not open it."""
    box = st.expander(title, icon=icon, on_change="rerun", key=f"panel.{title}")
    if box.open:
        with box:
            draw()


def _below(
    entry: library.Entry,
    clip: clips.Clip,
    emotion: list[listening.Heard],
    instruments: list[listening.Heard],
    name: Callable[[str], str],
    is_waiting: bool,
) -> None:
    """What is said of the whole clip, where it comes from, and the files to take away."""
    report = listening.report(clip, emotion, instruments)
    if entry.shelf == "yours":  # its file begins with the hash of what is in it
        report["clip"] = entry.title
    for warning in report["warnings"]:
        st.caption(f":material/info: {shared.plain(warning)}")
    st.subheader("The whole clip", anchor=False)
    if not emotion and not instruments:
        until = "once they have heard it" if is_waiting else "choose a run under Models, in the sidebar"
        st.caption(f"What the chosen models say of the clip as a whole will stand here: {until}.")
    _song_level(emotion, instruments, name, pitch.is_in(clip))
    _provenance(entry, emotion)
    with st.container(horizontal=True):
        _exports(report, emotion, instruments)


def _live() -> None:
    """The microphone in place of a clip, heard by the same models."""
    with st.sidebar:
        st.subheader("Models", anchor=False)
        runs = _choose_runs("emotion", "Valence and arousal from", 2, "The first is drawn solid, others hollow.")
        runs += _choose_runs("instruments", "Instruments from", 1, "The first fills the strip.")
    microphone.panel(_models(runs))


def _provenance(entry: library.Entry, emotion: list[listening.Heard]) -> None:
    if entry.about:
        st.caption(shared.plain(entry.about))
    if any(one.model.data.startswith("cues") for one in emotion):
        st.caption("Models trained on cues learned from a model of listeners, not from listeners.")
    if any(one.model.data == "deam" for one in emotion):
        st.caption(
            "Models trained on DEAM's table learned from real listeners and know statistics of 45 s only: they give a "
            "value for the song and a slow curve. Their data is for non-commercial research."
        )


st.title("Listen", anchor=False)
st.caption("What the models hear, on one clock with the sound. Space plays, arrow keys move.")
microphone.open_kept()
if microphone.switch():
    _live()
else:
    _page()
