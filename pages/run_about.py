"""What one run is: knobs, surroundings, the command that makes it again, its card; what it showed and printed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

import trainers
from core import cards, datasets, evaluation, run_sql, rundir, runview, snapshots
from core.store import Store
from pages import palette, shared
from pages.drawing import finished

MOST_SNAPSHOTS = 24


def about(folder: Path, spec: rundir.Spec, told: pd.DataFrame) -> None:
    """Knobs, command, surroundings and model card."""
    module = _module(spec)
    now = runview.knobs_now(spec, told)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _command(module, spec, told, now)
        st.markdown("**Knobs**")
        st.dataframe(runview.knob_table(module, spec, now), hide_index=True, placeholder="—", width="stretch")
    with right:
        _surroundings(spec)
    _card(folder, spec)


def _module(spec: rundir.Spec) -> ModuleType | None:
    try:
        return trainers.load(spec.trainer)
    except ValueError:  # said where its actions would stand
        return None


def _command(module: ModuleType | None, spec: rundir.Spec, told: pd.DataFrame, now: dict[str, Any]) -> None:
    st.markdown("**Make it again**")
    if module is None:
        st.caption(f"There is no trainer {shared.plain(spec.trainer)} here, so no command makes it again.")
        return
    began = told[told["kind"] == "branched"]
    branched = runview.read_detail(began["detail"].iloc[0]) if len(began) else None
    try:
        st.code(runview.command(module, spec, branched), language="bash", wrap_lines=True)
    except ValueError as error:
        shared.failed(error)
        return
    notes = ["The same numbers come from the same seed, data and versions."]
    if now != spec.config:
        notes.append("Knobs moved while it trained (below); those changes are not in the command.")
    if spec.parent is not None:
        notes.append("It is a branch: its parent must still be there.")
    st.caption(" ".join(notes))


def _surroundings(spec: rundir.Spec) -> None:
    st.markdown("**Where it was made**")
    rows = {
        "data": spec.data,
        "split": spec.split,
        "seed": str(spec.seed),
        "device": spec.device,
        "created (UTC)": spec.created_at.partition("+")[0].replace("T", " "),
        "revision": spec.revision or "not known",
    }
    st.dataframe(pd.DataFrame({"what": list(rows), "value": list(rows.values())}), hide_index=True, width="stretch")
    st.dataframe(runview.surroundings(spec), hide_index=True, width="stretch")


# ---- the card ----


def _card(folder: Path, spec: rundir.Spec) -> None:
    st.markdown("**Model card**")
    shipped = folder / "card.md"
    key = f"card.{spec.id}"
    if shipped.is_file():
        st.session_state[key] = shipped.read_text(encoding="utf-8", errors="replace")
    elif rundir.read_status(folder).state != "done":
        st.caption("A card can be written once the run is done: it states what the final model scored.")
        return
    elif st.button("Write the card", icon=":material/badge:", help="What it learned from, how good it is, its limits."):
        try:
            with st.spinner("Reading the data set …"):
                dataset = datasets.load(spec.data, spec.task)
                st.session_state[key] = cards.card(folder, dataset, evaluation.load_model(folder))
        except ValueError as error:
            shared.failed(error)
    if text := st.session_state.get(key):
        st.code(text, language="markdown", wrap_lines=True, height=420)
        st.download_button("Card as Markdown", text, f"{spec.id}-card.md", "text/markdown", icon=":material/download:")


# ---- what it showed ----


def gallery(index: Store, folder: Path, spec: rundir.Spec) -> None:
    """The newest snapshots, newest first."""
    found = index.query(run_sql.SNAPSHOTS, [spec.id])
    if found.empty:
        st.info(
            "Pictures, sounds and histograms that a trainer makes while it learns will hang here; "
            f"{shared.plain(spec.trainer)} made none in this run.",
            icon=":material/photo_library:",
        )
        return
    names = sorted(found["name"].unique())
    name = st.selectbox("Snapshot", names, key="snapshot", bind="query-params") if len(names) > 1 else names[0]
    rows = found[found["name"] == name].iloc[::-1]
    st.caption(f"{len(rows)} of this kind; the newest {min(len(rows), MOST_SNAPSHOTS)} are shown.")
    columns = st.columns(3)
    for number, row in enumerate(rows.head(MOST_SNAPSHOTS).to_dict("records")):
        with columns[number % 3], st.container(key=f"snapshot-{spec.id}-{row['n']}"):
            st.caption(f"{shared.plain(name)}, step {0 if pd.isna(row['step']) else int(row['step']):,}")
            _snapshot(folder, row["file"])


def _snapshot(folder: Path, file: str) -> None:
    try:
        shown = snapshots.read(folder, file)
        if shown.kind == "image":
            st.image(shown.data, width="stretch")
        elif shown.kind == "audio":
            st.audio(shown.data, format="audio/wav")
        elif shown.kind == "table":
            st.dataframe(shown.data, hide_index=True, width="stretch")
        else:
            _histogram(shown.data)
    except (ValueError, OSError) as error:
        shared.failed(error)


def _histogram(frame: pd.DataFrame) -> None:
    colour = palette.ROLES[shared.theme()]["real"]
    chart = alt.Chart(frame).mark_bar(color=colour)
    x = alt.X("low:Q", title="value", scale=alt.Scale(zero=False))
    drawn = chart.encode(x=x, x2="high:Q", y=alt.Y("count:Q", title="count"))
    st.altair_chart(finished(drawn.properties(height=180, description=f"Histogram of {len(frame)} bins")))


# ---- what it said ----


def log(folder: Path, told: pd.DataFrame) -> None:
    """The end of what it printed, and what happened, newest first."""
    text, has_more = runview.log_tail(folder)
    st.markdown("**What it printed**" + (" (the end of it)" if has_more else ""))
    st.code(text or "Nothing was printed.", language=None, height=260 if text.count("\n") > 10 else "content")
    st.markdown("**What happened**")
    rows = runview.happened(told)
    stamp = [datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S") if 0 < t < 4e9 else "" for t in rows["t"]]
    shown = pd.DataFrame({"UTC": stamp, "what": rows["what"], "step": rows["step"], "about": rows["about"]})
    wide = {"about": st.column_config.Column("about", width=700)}
    st.dataframe(shown, hide_index=True, column_config=wide, placeholder="—")
    st.caption(f"Progress notes are left out; as of {time.strftime('%H:%M:%S', time.gmtime())} UTC.")
