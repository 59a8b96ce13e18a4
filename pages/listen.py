"""Listen: a clip, and what the stored models hear in it, moving with the sound."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

import trainers
from core import audio, config, datasets, library, listening, rundir, supervisor
from core.datasets import INSTRUMENT_NAMES
from pages import forms, microphone, shared
from pages.deck import Point, Series, Strip, deck

SPECTROGRAM = (900, 96)
UNSURE_BELOW = 0.3
"""Where every instrument scores less than this, saying nothing is more honest than naming the best."""


# ---- the clip ----


def _choose_clip() -> library.Entry | None:
    place, upload, record = st.columns([4, 1.1, 1.1], vertical_alignment="bottom")
    with upload, st.popover("Upload", icon=":material/upload:", width="stretch"):
        files = st.file_uploader(
            "Audio files",
            type=["wav", "flac", "ogg", "mp3"],
            accept_multiple_files=True,
            key="uploads",
            help="Up to 300 MB each.",
        )
    with record, st.popover("Record", icon=":material/mic:", width="stretch"):
        take = st.audio_input("Record with this browser's microphone", sample_rate=44100, key="take")
    uploads = [*files, *([take] if take else [])]
    if any(file.file_id not in st.session_state.get("kept", {}) for file in uploads):
        st.session_state["unread"] = {}  # what an earlier batch said has been read
    for file in uploads:
        _keep_once(file)
    there = {file.file_id for file in uploads}
    for file_id, text in st.session_state.get("unread", {}).items():
        if file_id in there:
            st.error(shared.plain(text), icon=":material/error:")
    entries = library.entries()
    if not entries:
        st.info(
            "Upload or record a clip; it will be played here with what the models hear in it.",
            icon=":material/hearing:",
        )
        return None
    keys = [entry.key for entry in entries]
    by_key = dict(zip(keys, entries, strict=True))
    if st.session_state.get("clip") not in keys:
        asked = st.query_params.get("clip")
        st.session_state["clip"] = (
            asked if asked in keys else next((e.key for e in entries if e.shelf != "yours"), keys[0])
        )
    with place:
        chosen = st.selectbox(
            "Clip", keys, key="clip", format_func=lambda key: f"{by_key[key].title} ({by_key[key].shelf})"
        )
    st.query_params["clip"] = chosen
    return by_key[chosen]


def _keep_once(file: Any) -> None:
    """Take an upload into the library, once per file, and choose it; say in one sentence if it cannot be read."""
    known = st.session_state.setdefault("kept", {})
    if file.file_id not in known:
        try:
            with st.spinner(f"Reading {shared.plain(file.name)} …"):
                entry, _ = library.keep(file.getvalue(), file.name)
            known[file.file_id] = None
            st.session_state["clip"] = entry.key
        except ValueError as error:
            known[file.file_id] = None
            st.session_state.setdefault("unread", {})[file.file_id] = str(error)


@st.cache_resource(max_entries=4, show_spinner="Reading the clip …")
def _clip(path: str, modified: float) -> tuple[audio.Clip, dict[str, Any]]:
    """A clip and how it is drawn and played; kept by path and time of change."""
    from core.spectra import spectrogram_db

    clip = audio.decode(Path(path))
    mono = clip.mono()
    rate = min(clip.sample_rate_hz, 44_100 if clip.seconds < 90 else 22_050)
    sound = audio.resample(mono, clip.sample_rate_hz, rate) if rate != clip.sample_rate_hz else mono
    levels, frequencies_hz, _ = spectrogram_db(mono, clip.sample_rate_hz, *SPECTROGRAM)
    view = {
        "audio": audio.wav_bytes(sound, rate),
        "seconds": clip.seconds,
        "peaks": audio.peaks(mono, 1200),
        "spectrogram_db": levels,
        "spectrogram_hz": frequencies_hz,
    }
    return clip, view


# ---- the models ----


def _name(run: str) -> str:
    spec = rundir.read_spec(rundir.find(run))
    is_dated = re.match(r"\d{8}-\d{6}-", run)
    when = f"{run[:4]}-{run[4:6]}-{run[6:8]} {run[9:11]}:{run[11:13]} UTC" if is_dated else "shipped"
    return f"{spec.data}: {spec.trainer}, seed {spec.seed} ({when})"


def _choose_runs(task: str, label: str, most: int, help_text: str) -> list[str]:
    """Runs for one task, from the address, else pinned, else the best of each board."""
    offered = listening.choices(shared.store(), task)
    asked = [run for run in st.query_params.get_all(task) if run in offered]
    default = list(dict.fromkeys([*asked, *offered]))[:most] if offered else []
    key = f"runs.{task}"
    if key not in st.session_state or not set(st.session_state[key]) <= set(offered):
        st.session_state[key] = default
    chosen = st.multiselect(label, offered, key=key, format_func=_name, help=help_text, placeholder="No run chosen")
    st.query_params[task] = chosen
    return chosen


@st.cache_resource(max_entries=16, show_spinner=False)
def _model(run: str, modified: float) -> Any:
    return listening.load(run)


def _hear(clip: audio.Clip, runs: list[str], window_s: float | None, hop_s: float) -> list[listening.Heard]:
    heard = []
    for run in runs:
        try:
            modified = (rundir.find(run) / "status.json").stat().st_mtime
            heard.append(listening.listen(clip, _model(run, modified), window_s=window_s, hop_s=hop_s))
        except ValueError as error:
            shared.failed(error)
    return heard


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
        name = f"{one.model.trainer} on {one.model.data}"
        drawn.append(Series(name, one.prediction.times_s, valence, arousal, is_primary=number == 0))
    return drawn


def _strip(heard: list[listening.Heard]) -> Strip | None:
    if not heard:
        return None
    prediction = heard[0].prediction
    names = [INSTRUMENT_NAMES.get(label, label) for label in prediction.labels]
    return Strip(prediction.labels, names, prediction.times_s, np.nan_to_num(prediction.values))


def _points(heard: list[listening.Heard]) -> list[Point]:
    """Song-level crosses; where the curve is the song's value all along, a cross would only hide it."""
    moving = [one for one in heard if one.window_s < listening.LONG_WINDOW_S]
    return [
        Point(f"{one.model.trainer} on {one.model.data}, whole clip", one.song["valence"], one.song["arousal"])
        for one in moving
    ]


def _song_level(emotion: list[listening.Heard], instruments: list[listening.Heard]) -> None:
    rows = []
    for one in emotion:
        unit = "whole song" if one.window_s >= listening.LONG_WINDOW_S else f"mean of {one.window_s:g} s windows"
        rows.append(
            {"run": _name(one.model.run), "valence": one.song["valence"], "arousal": one.song["arousal"], "from": unit}
        )
    if rows:
        st.dataframe(
            rows,
            hide_index=True,
            column_config={
                "valence": st.column_config.NumberColumn("valence (1–9)", format="%.2f"),
                "arousal": st.column_config.NumberColumn("arousal (1–9)", format="%.2f"),
            },
        )
    for one in instruments:
        if not all(np.isfinite(list(one.song.values()))):
            st.markdown("**Instruments**: it is silent.")
            continue
        best = sorted(one.song.items(), key=lambda pair: -pair[1])[:3]
        words = ", ".join(f"{INSTRUMENT_NAMES.get(label, label)} {score:.2f}" for label, score in best)
        text = words if best[0][1] >= UNSURE_BELOW else f"None of the eleven with confidence (highest: {words})."
        st.markdown(f"**Instruments** ({shared.plain(_name(one.model.run))}): {text}")
        if one.model.data.startswith("cues"):
            st.caption(
                "It learned instruments from a sound font: on real recordings it is wrong more often than right, and "
                "in mixes it rarely finds all (figures in the README)."
            )


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


# ---- retrain ----


def _retrain(heard: list[listening.Heard]) -> None:
    """Slide, retrain, and hear the new run beside the old one."""
    by_run = {one.model.run: one.model for one in heard}
    run = st.selectbox("Start from", list(by_run), format_func=_name, key="retrain.from")
    spec = rundir.read_spec(rundir.find(run))
    module = trainers.load(spec.trainer)
    data = _retrain_on(spec)
    settings = forms.knob_form(
        spec.trainer, module.Config, module.PRESETS, prefix=f"retrain.{run}.", initial=spec.config, is_linked=False
    )
    if st.button("Retrain with these values", type="primary", icon=":material/model_training:"):
        try:
            values = config.different_from_default(settings)
            new = supervisor.new_spec(module, values, data=data, split=spec.split, seed=spec.seed)
            supervisor.submit(new)
            st.session_state["retrained"] = new.id
        except ValueError as error:
            shared.failed(error)
    if st.session_state.get("retrained"):
        st.fragment(_watch_retraining, run_every=1.0)(st.session_state["retrained"], spec.task)


def _retrain_on(spec: rundir.Spec) -> str:
    """The data to retrain on: the run's own, or the small corpus where the large one would take long to make."""
    if spec.data != "cues":
        return spec.data
    data = st.selectbox("Train on", ["cues-small", "cues"], key=f"retrain.data.{spec.id}")
    st.caption(datasets.first_use(data))
    return str(data)


def _watch_retraining(run: str, task: str) -> None:
    status = rundir.read_status(rundir.find(run))
    if status.state == "done":
        st.session_state["retrained"] = None
        st.session_state["hear"] = (task, run)
        st.rerun()
    elif status.is_finished:
        st.error(f"It ended {status.state}: {shared.plain(status.reason)}")
        st.page_link("pages/train.py", label="See the run", query_params={"run": run})
    else:
        st.progress(min(max(status.fraction, 0.0), 1.0), text=shared.plain(status.note or status.state))


def _hear_new_run() -> None:
    """A run that was retrained here goes first, the one it came from stays beside it."""
    if new := st.session_state.pop("hear", None):
        task, run = new
        listening.pin(task, run)
        st.session_state[f"runs.{task}"] = [run, *st.session_state.get(f"runs.{task}", [])][:2]
        st.toast("The new run is drawn solid, the old one dashed.")


# ---- the page ----


def _page() -> None:
    entry = _choose_clip()
    if entry is None:
        return
    try:
        clip, view = _clip(str(entry.path), entry.path.stat().st_mtime)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    _hear_new_run()
    with st.sidebar:
        st.subheader("Models", anchor=False)
        emotion_runs = _choose_runs(
            "emotion", "Valence and arousal from", 2, "The first is drawn solid, others dashed."
        )
        instrument_runs = _choose_runs("instruments", "Instruments from", 1, "The first fills the strip.")
        window_s, hop_s = _window_controls()
    with st.spinner("Listening …"):
        emotion = _hear(clip, emotion_runs, window_s, hop_s)
        instruments = _hear(clip, instrument_runs, window_s, hop_s)
    report = listening.report(clip, emotion, instruments[0] if instruments else None)
    # Straight on the page, in no container: there its key keeps it, whatever appears above it.
    deck(
        key="listen",
        series=_series(emotion),
        strip=_strip(instruments),
        song=_points(emotion),
        title=entry.title,
        **view,
    )
    for warning in report["warnings"]:
        st.caption(f":material/info: {shared.plain(warning)}")
    st.subheader("The whole clip", anchor=False)
    _song_level(emotion, instruments)
    _provenance(entry, emotion)
    with st.container(horizontal=True):
        _exports(report, emotion, instruments)
    if emotion or instruments:
        with st.expander("Retrain and hear the difference", icon=":material/model_training:"):
            _retrain([*emotion, *instruments])


def _live() -> None:
    """The microphone in place of a clip, heard by the same models."""
    with st.sidebar:
        st.subheader("Models", anchor=False)
        runs = _choose_runs("emotion", "Valence and arousal from", 2, "The first is drawn solid, others hollow.")
        runs += _choose_runs("instruments", "Instruments from", 1, "The first fills the strip.")
    models = []
    for run in runs:
        try:
            models.append(_model(run, (rundir.find(run) / "status.json").stat().st_mtime))
        except ValueError as error:
            shared.failed(error)
    microphone.panel(models)


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
