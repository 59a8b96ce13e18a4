"""You, the model and the crowd: how far a listener agrees with others, on one clip and over clips; training on it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

import trainers
from core import agreement, library, listening, pins, ratings, rundir
from core.datasets import EMOTION_LABELS, Missing, rated
from core.longclip import LongClip
from pages import forms, shared
from pages.deck import Point, Series


@dataclass(frozen=True)
class Views:
    """What others say about one clip, as the player draws it."""

    series: list[Series]
    points: list[Point]


def pinned() -> str | None:
    """The run whose emotion curves stand first on Listen; None where no run can listen."""
    offered = listening.choices(shared.store(), "emotion")
    asked = [run for run in st.query_params.get_all("emotion") if run in offered]
    return next(iter([*asked, *offered]), None)


@st.cache_resource(max_entries=4, show_spinner=False)
def _model(run: str, modified: float) -> Any:
    return listening.load(run)


@st.cache_data(max_entries=500, show_spinner=False)
def _heard(sha256: str, path: str, run: str, modified: float) -> tuple[agreement.Pair, np.ndarray, np.ndarray]:
    """A model's value for the clip, and its curve: times_s [t] and values [t, 2]."""
    clip, model = library.opened(Path(path)), _model(run, modified)
    if isinstance(clip, LongClip) and listening.heard_before(clip, model) is None:
        raise ValueError(f"{clip.name} is a long clip; open it on Listen first, where the models hear it.")
    heard = listening.listen(clip, model)
    order = [heard.prediction.labels.index(label) for label in EMOTION_LABELS]
    song = heard.song["valence"], heard.song["arousal"]
    return song, heard.prediction.times_s, heard.prediction.values[:, order]


def _modified(run: str) -> float:
    return (rundir.find(run) / "status.json").stat().st_mtime


def run_name(run: str) -> str:
    """A run in a few words."""
    spec = rundir.read_spec(rundir.find(run))
    return f"{spec.trainer} on {shared.data_name(spec.data)}"


def _others(sha256: str, path: Path, name: str) -> tuple[dict[str, agreement.Pair], dict[str, agreement.Trace]]:
    """Who says what about one clip, but for `name`: values for the song, and traces."""
    songs: dict[str, agreement.Pair] = {}
    traces: dict[str, agreement.Trace] = {}
    for rater, rating in ratings.ratings_of(sha256).items():
        if rater == ratings.rater_id(name):
            continue
        if rating.song is not None:
            songs[f"rater {rating.rater}"] = rating.song
        if take := rating.newest("trace"):
            traces[f"rater {rating.rater}"] = np.array(take.times_s), np.column_stack([take.valence, take.arousal])
    if len(songs) > 1:
        songs["mean of the others"] = agreement.mean_of({who: {sha256: song} for who, song in songs.items()})[sha256]
    if run := pinned():
        song, times_s, values = _heard(sha256, str(path), run, _modified(run))
        if np.isfinite(song).all():
            songs[f"model {run_name(run)}"] = song
        traces[f"model {run_name(run)}"] = times_s, values
    if known := agreement.known_labels(path):
        songs[f"crowd of {known.source}"] = known.song
        if known.trace is not None:
            traces[f"crowd of {known.source}"] = known.trace
    return songs, traces


def teaser(entry: library.Entry, sha256: str) -> None:
    """Who rated a clip, and the way to rate it: for the page where it is heard."""
    raters = [rating.rater for rating in ratings.ratings_of(sha256).values() if rating.song is not None]
    if raters:  # what they said would lead whoever rates it next
        st.markdown(f"Rated by {shared.plain(', '.join(raters))}.")
    st.caption("Say what you hear yourself, and see how far you, the model and the crowd agree.")
    st.page_link("pages/rate.py", label="Rate this clip", icon=":material/adjust:", query_params={"clip": entry.key})


def of_clip(sha256: str, path: Path, name: str) -> Views:
    """What others say about one clip, for the player."""
    with st.spinner("Asking the others …"):
        try:
            songs, traces = _others(sha256, path, name)
        except ValueError as error:
            shared.failed(error)
            return Views([], [])
    series = [Series(who, times_s, values[:, 0], values[:, 1]) for who, (times_s, values) in traces.items()]
    points = [Point(f"{who}, whole song" if who in traces else who, *song) for who, song in songs.items()]
    return Views(series, points)


def panel(sha256: str, path: Path, name: str, shows_others: bool) -> None:
    """How far `name` agrees with everyone else, on this clip and over all rated clips, and what can be trained.

    Without `shows_others` nothing is told that somebody else says of this very clip.
    """
    st.subheader("You, the model and the crowd", anchor=False)
    rated_clips = [clip for clip in ratings.clips() if ratings.read(clip.sha256, name).song is not None]
    if not rated_clips:
        st.info(
            "How far you agree with other raters, with the model that Listen uses and with published labels will stand "
            "here, once you have rated a clip.",
            icon=":material/group:",
        )
        return
    try:
        _this_clip(sha256, path, name, shows_others)
        _all_clips(rated_clips, name)
    except (ValueError, OSError) as error:
        shared.failed(error)
    _retrain(name)


def _this_clip(sha256: str, path: Path, name: str, shows_others: bool) -> None:
    rating = ratings.read(sha256, name)
    if rating.song is None or not shows_others:
        until = "once you have rated it" if rating.song is None else "where you switch on Show what others say, above"
        st.caption(f":material/visibility_off: What the model and the others say of this clip is told {until}.")
        return
    with st.spinner("Asking the others …"):
        songs, traces = _others(sha256, path, name)
    st.markdown("**This clip, as a whole**")
    mine = dict(zip(EMOTION_LABELS, rating.song, strict=True))
    mine_is = "your value for the whole song" if rating.newest("song") else "the mean of your trace"
    rows = [{"who": f"you, {shared.plain(name)}: {mine_is}", **mine}] + [
        {"who": who, **dict(zip(EMOTION_LABELS, s, strict=True))} for who, s in songs.items()
    ]
    config = {label: st.column_config.NumberColumn(f"{label} (1–9)", format="%.2f") for label in EMOTION_LABELS}
    st.dataframe(rows, hide_index=True, column_config=config)
    if take := rating.newest("trace"):
        trace = np.array(take.times_s), np.column_stack([take.valence, take.arousal])
        if traces:
            st.markdown("**This clip, moment by moment**")
            _table(agreement.over_moments(trace, traces), "moments")
            st.caption(
                "Your trace against theirs at your moments. Neighbouring moments are alike, so their number says "
                "little about how sure this is, and no interval is given. Listeners answer a few seconds late; models "
                "do not."
            )


def _all_clips(clips: list[ratings.RatedClip], name: str) -> None:
    me = ratings.rater_id(name)
    mine = {clip.sha256: song for clip in clips if (song := ratings.read(clip.sha256, name).song) is not None}
    raters: dict[str, dict[str, agreement.Pair]] = {}
    model: dict[str, agreement.Pair] = {}
    crowd: dict[str, agreement.Pair] = {}
    run, progress, begun = pinned(), st.empty(), time.monotonic()
    for number, clip in enumerate(clips):
        if time.monotonic() - begun > 0.2:  # what was heard before is there at once
            progress.progress(number / len(clips), text=f"Listening to rated clip {number + 1} of {len(clips)}")
        for rater, rating in ratings.ratings_of(clip.sha256).items():
            if rater != me and rating.song is not None:
                raters.setdefault(f"rater {rating.rater}", {})[clip.sha256] = rating.song
        if run:
            with contextlib.suppress(ValueError):  # a long clip that nobody has listened to yet
                song, _, _ = _heard(clip.sha256, str(clip.path), run, _modified(run))
                if np.isfinite(song).all():
                    model[clip.sha256] = song
        if known := agreement.known_labels(clip.path):
            crowd[clip.sha256] = known.song
    progress.empty()
    others = dict(raters)
    if len(raters) > 1:
        others["mean of the others"] = agreement.mean_of(raters)
    if run:
        others[f"model {run_name(run)}"] = model
    if crowd:
        others["crowd"] = crowd
    st.markdown(f"**Over the {len(clips)} clips you rated**" if len(clips) > 1 else "**Over clips**")
    if len(clips) < agreement.FEWEST_CLIPS:
        need = agreement.FEWEST_CLIPS - len(clips)
        st.info(
            f"From {len(clips)} rated clip{'s' if len(clips) > 1 else ''} nothing can be told about agreement: rate "
            f"{need} more.",
            icon=":material/hourglass_empty:",
        )
    else:
        _table(agreement.over_clips(mine, others), "clips")
        st.caption(
            "Yours is the value you kept for the whole song, or where you kept none the mean of your trace. n counts "
            "the clips that both rated. r: do you rise and fall together; CCC: do you also say the same numbers; last "
            "your value minus theirs. In brackets 95 % intervals over clips, from five clips on."
        )
        if len(clips) < agreement.FEWEST_FOR_CORRELATION:
            st.caption(
                f"No correlation yet: r and CCC are told from {agreement.FEWEST_FOR_CORRELATION} clips on. Of three "
                "clips r is beyond ±.9 in 29 of 100 cases where two people have nothing in common."
            )
    if run and rundir.read_spec(rundir.find(run)).data.startswith("rated"):
        st.caption(":material/warning: This model learned from rated clips: where it agrees on them, that flatters it.")
    r = agreement.ONE_LISTENER_R
    st.caption(
        f"For comparison: in DEAM one listener reaches r = {_r(r['valence'])} (valence) and {_r(r['arousal'])} "
        "(arousal) with the mean of all listeners of a song. People hear differently: nobody agrees with you fully."
    )


def _r(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".")


def _table(rows: pd.DataFrame, unit: str) -> None:
    shown = pd.DataFrame({"with": rows["with"], "of": rows["label"], f"n ({unit})": rows["n"]})
    for key, title in (("r", "r"), ("ccc", "CCC"), ("difference", "yours − theirs (points)")):
        cells = zip(rows[key], rows[f"{key}_low"], rows[f"{key}_high"], strict=True)
        shown[title] = [_cell(*cell, signed=key == "difference") for cell in cells]
    st.dataframe(shown, hide_index=True)


def _cell(value: float, low: float, high: float, signed: bool) -> str:
    form = "{:+.2f}" if signed else "{:.2f}"
    if pd.isna(value):
        return "—"
    text = form.format(value)
    return (text if pd.isna(low) else f"{text} [{form.format(low)}, {form.format(high)}]").replace("-", "−")


# ---- train on it ----


def _retrain(name: str) -> None:
    st.subheader("Train on your ratings", anchor=False)
    place = ratings.rater_id(name)
    try:
        st.caption(shared.plain(rated.load("emotion", lambda *_: None, place).about))
    except Missing as error:
        st.caption(shared.plain(str(error)))
        return
    base = pinned()
    with st.container(horizontal=True):
        if st.button("Retrain on my ratings", type="primary", icon=":material/model_training:"):
            _to_train("ridge", place, {})
        if base and st.button(f"On top of {shared.plain(run_name(base))}", icon=":material/layers:"):
            _to_train("personal", place, {"base": base})
        new = _newest_run(place)
        if new and st.button("Hear the difference", icon=":material/hearing:"):
            spec = rundir.read_spec(rundir.find(new))
            beside = spec.inputs.get("base") or next((run for run in [base] if run != new), None)
            pins.pin("emotion", new)
            runs = [new, *([beside] if beside else [])]
            st.session_state["runs.emotion"] = runs  # Listen keeps its choice of an earlier visit otherwise
            st.switch_page("pages/listen.py", query_params={"emotion": runs})
    st.caption(
        "Alone, a model hears your clips only. On top of a run, that run's answers are bent towards yours by as much "
        "as your clips can show, which with few of them is little or nothing."
    )


def _to_train(trainer: str, place: str, values: dict[str, Any]) -> None:
    link = forms.link(trainer, "rated", "grouped:0", values, trainers.load(trainer).Config)
    # A selectbox bound to the address finds its option there by the words it shows.
    st.switch_page("pages/train.py", query_params=link | {"rater": rated.choices().get(place, place)})


def _newest_run(place: str) -> str | None:
    """The newest finished run that learned emotion from this rater's clips."""
    frame = shared.store().runs(limit=1000)
    if frame.empty:
        return None
    is_mine = (
        frame["data"].str.startswith((f"rated:{place}@",)) & (frame["state"] == "done") & (frame["task"] == "emotion")
    )
    return next(iter(frame[is_mine]["run"]), None)
