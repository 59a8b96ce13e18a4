"""Run: one run, all there is: curves, checkpoints to listen to, scores, relatives, and the way to make it again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from core import ancestors, boards, guide, itemwords, metrics, rundir, runview
from core.store import Store
from pages import (
    actions,
    run_about,
    run_checkpoints,
    run_curves,
    run_misses,
    run_polyphonic,
    run_scores,
    runnames,
    shared,
)

VIEWS = ("Curves", "Checkpoints", "Scores", "Family", "Snapshots", "Log", "About")
OF_INSTRUMENTS = ("Polyphonic", "Misses")
"""Views that only runs for instruments have; they stand after the scores."""

FOLLOW_S = 3.0
NEWEST = 200
LISTED = 20


def _choose(known: pd.DataFrame) -> None:
    """The newest runs, as links: the user's own, then what ships, music before the rest."""
    if known.empty:
        st.info(
            "Everything about one run will be here: its curves, its checkpoints to listen to, its scores and its "
            "family. There is no run yet; train one first.",
            icon=":material/monitoring:",
        )
        st.page_link("pages/train.py", label="Train a first run", icon=":material/tune:")
        return
    st.info("Choose a run: here are your newest and then what ships; every run on the leaderboard leads here, too.")
    known = known.assign(is_other=~known["task"].isin(boards.MUSIC))
    known = known.sort_values(["starter", "is_other"], kind="stable")
    rows = known.head(LISTED).to_dict("records")
    for row, label in zip(rows, runnames.in_a_list(rows), strict=True):
        place = {"run": row["run"]}
        st.page_link("pages/run.py", label=label, help=shared.plain(row["run"]), query_params=place)
    if len(known) > LISTED:
        st.page_link("pages/leaderboard.py", label="All runs, by board", icon=":material/leaderboard:")


def _head(index: Store, folder: Path, spec: rundir.Spec, status: rundir.Status) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(shared.plain(f"{spec.trainer}, seed {spec.seed}"), anchor=False, width="content")
        shared.badge(status.state)
        if rundir.is_starter(folder):
            st.badge("starter", color="gray")
    words = [shared.plain(spec.id), shared.ago(spec.created_at)]
    data, about = shared.plain(shared.data_name(spec.data)), " · ".join(filter(None, words))
    st.markdown(f"on **{data}**, split {shared.plain(spec.split)} · {about}")
    if spec.format > rundir.VERSION:
        st.warning(
            f"A newer version of the lab wrote this run (format {spec.format}, this one knows {rundir.VERSION}): "
            "what it does not know is left out. Update to see all of it."
        )
    if not status.is_finished:
        st.fragment(_under_way, run_every=FOLLOW_S)(folder, status.state)
    if not status.is_finished and status.state != "queued":
        st.page_link(
            "pages/train.py", label="Watch it live", icon=":material/monitoring:", query_params={"run": spec.id}
        )
    elif status.reason:
        tell = st.caption if status.state == "done" else st.warning
        tell(shared.plain(status.reason))
    _figures(index, spec)


def _under_way(folder: Path, shown: str) -> None:
    """How far the run is; the page is drawn anew once its state is no longer the one it shows: what can be done with
    the run depends on it, and a run takes up a wish at its next step."""
    status = rundir.read_status(folder)
    if status.state != shown:
        st.rerun(scope="app")
    if status.state != "queued":
        words = status.note or f"epoch {rundir.epoch_text(status.epoch)}"
        st.progress(min(max(status.fraction, 0.0), 1.0), text=shared.plain(words))


def _figures(index: Store, spec: rundir.Spec) -> None:
    """The numbers a person looks for first."""
    primary = metrics.primary(spec.task)
    scores = runview.score_table(index, spec.id)
    of_own = scores[(scores["data"] == spec.data) & (scores["split"] == spec.split)]
    own = of_own[of_own["metric"] == primary]
    shown = []
    for score in own.dropna(subset=["value"]).sort_values("part", ascending=False).to_dict("records"):
        ends = "" if pd.isna(score["low"]) else f"[{score['low']:.3f}, {score['high']:.3f}], "
        about = shared.plain(f"{ends}n = {score['n_items']:,}")
        shown.append((f"{score['part']} {primary}", f"{score['value']:.3f}", about))
    took = runview.figures(index, spec.id)
    if "epochs" in took:
        shown.append(("epochs", rundir.epoch_text(took["epochs"]), ""))
    if "seconds" in took:
        rate = took.get("items_per_s")
        speed = "" if rate is None else f"{rate:,.0f} rows/s" if rate >= 100 else f"{rate:.3g} rows/s"
        shown.append(("training time", shared.duration(took["seconds"]), _behind(index, spec.id) or speed))
    if "peak_memory_mb" in took:
        shown.append(("peak memory", f"{took['peak_memory_mb']:,.0f} MB", ""))
    if shown:
        for column, (name, value, about) in zip(st.columns(len(shown)), shown, strict=True):
            column.metric(shared.plain(name.replace("_", " ")), value)
            column.caption(about)
    if len(own):
        st.caption(
            f"{metrics.about(primary).sentence} In brackets the 95 % interval over n items · "
            f"[{primary.replace('_', ' ')} in the Guide]({guide.link(primary)})"
        )
    if different := itemwords.unlike(itemwords.of_scores(of_own), spec.task):
        st.caption(f":material/info: {shared.plain(different)}")


def _behind(index: Store, run: str) -> str:
    """What the runs that this one stands on took, as far as they are known; "" where it stands on none."""
    try:
        others = [spec.id for spec in ancestors.of(run) if spec.id != run]
    except ValueError:  # one of them is gone for good
        return ""
    seconds = sum(runview.figures(index, one).get("seconds", 0.0) for one in others)
    return f"and {shared.duration(seconds)} of {len(others)} run{'s' * (len(others) != 1)} behind it" if seconds else ""


def _actions(folder: Path, spec: rundir.Spec, status: rundir.Status, told: pd.DataFrame) -> None:
    try:
        actions.actions(folder, spec, status, runview.knobs_now(spec, told))
    except ValueError as error:  # a trainer, or knobs, of another version
        shared.failed(error)


def _view(index: Store, folder: Path, spec: rundir.Spec, told: pd.DataFrame) -> None:
    views = (*VIEWS[:3], *OF_INSTRUMENTS, *VIEWS[3:]) if spec.task == "instruments" else VIEWS
    view = st.segmented_control(
        "View", views, default=VIEWS[0], required=True, key="view", bind="query-params", label_visibility="collapsed"
    )
    if view == "Checkpoints":
        run_checkpoints.table(folder, spec, runview.knobs_now(spec, told))
    elif view == "Scores":
        run_scores.scores(index, spec)
    elif view == "Polyphonic":
        run_polyphonic.polyphonic(index, folder, spec)
    elif view == "Misses":
        run_misses.misses_view(folder, spec)
    elif view == "Family":
        run_scores.family(index, spec)
    elif view == "Snapshots":
        run_about.gallery(index, folder, spec)
    elif view == "Log":
        run_about.log(folder, told)
    elif view == "About":
        run_about.about(folder, spec, told)
    else:
        run_curves.curves(folder, spec)


def _page() -> None:
    index = shared.store()
    actions.undo()
    asked = st.query_params.get("run")
    if not asked:
        _choose(index.runs(limit=NEWEST))
        return
    try:
        folder = rundir.find(asked)
        spec = rundir.read_spec(folder)
    except ValueError as error:
        st.warning(shared.plain(str(error)))
        _choose(index.runs(limit=NEWEST))
        return
    if asked != folder.name:
        st.query_params["run"] = folder.name
    status, told = rundir.read_status(folder), runview.events(index, spec.id)
    _head(index, folder, spec, status)
    _actions(folder, spec, status, told)
    _view(index, folder, spec, told)
    st.page_link("pages/run.py", label="Another run", icon=":material/list:", query_params={})


st.title("Run", anchor=False)
st.caption(
    "One run, all there is: how it learned, what any of its epochs hears, what it scored, and how to make it again."
)
_page()
