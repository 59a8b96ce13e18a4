"""One data set looked at: its labels, a split, its raters, its sound. Each takes (name, dataset)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import audio, datacharts, datasets, library
from core.datasets import INSTRUMENT_NAMES, Dataset, splits
from pages import drawing, palette, shared

LONGEST_PLAYED_S = 120.0


def _colours() -> dict[str, Any]:
    return palette.ROLES[shared.theme()]


def _title(text: str, how_to_read: str) -> None:
    st.markdown(f"**{shared.plain(text)}**")
    st.caption(how_to_read)


# ---- labels ----


def labels(name: str, dataset: Dataset) -> None:
    """Counts, and where the labels lie: bars of classes, or the plane."""
    groups = len(set(dataset.groups))
    numbers = {
        "items": f"{len(dataset.items):,}",
        "groups": f"{groups:,}" if dataset.has_groups else "none named",
        "labels": f"{dataset.targets.shape[1]}",
        "ratings": f"{len(dataset.raters):,}" if dataset.raters is not None else "—",
        "labels over time": f"{len(dataset.traces):,}" if dataset.traces else "—",
    }
    for column, (what, number) in zip(st.columns(len(numbers)), numbers.items(), strict=True):
        column.metric(what, number)
    if dataset.task == "emotion":
        _plane(dataset)
        return
    table = datacharts.balance_table(dataset)
    _title(
        "Items per class",
        "A long bar beside a short one means that accuracy mostly measures the long one; read macro F1.",
    )
    drawing.draw(datacharts.balance_drawing, table, _colours()["train"])
    download(table, f"{name}-classes")


def _plane(dataset: Dataset) -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        _title(
            "Where the labels lie on the plane",
            "Each square is half a point wide; bright means many items, an empty square none: there a model has "
            "nothing to learn from, and will lean to the middle.",
        )
        table = datacharts.coverage_table(dataset.targets)
        drawing.draw(datacharts.coverage_drawing, table, _colours()["real"], width="content")
        download(table, f"{dataset.name}-coverage")
    with right:
        corners = datacharts.thin_quadrants(dataset.targets)
        _title("The four corners", "Split at 5, the middle of the scale; the emptiest first.")
        shown = corners.assign(share=[f"{share:.1%}" for share in corners["share"]])
        st.dataframe(shown, hide_index=True, width="stretch")


def download(table: pd.DataFrame, name: str) -> None:
    """A button that gives the table as a CSV file called `name`, with what no file may be called left out."""
    file = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    st.download_button(
        "Export CSV",
        lambda: table.to_csv(index=False),
        f"{file}.csv",
        "text/csv",
        icon=":material/download:",
        key=f"csv.{file}",
    )


# ---- split ----


def chosen_split(name: str, dataset: Dataset) -> str:
    """The split that stands in the field, or in the address; ValueError for one that does not exist."""
    key = f"split.{name}.{dataset.task}"
    if key not in st.session_state:
        st.session_state[key] = st.query_params.get("split") or dataset.default_split
    text = st.text_input(
        "Split",
        key=key,
        help=f"{splits.CHOICES}. S is the seed: another one is another split of the same kind.",
    )
    st.query_params["split"] = text
    return splits.parse(text or dataset.default_split).name


def split(name: str, dataset: Dataset) -> None:
    """Items and groups on each side of a split, and the proof that no group lies on two."""
    st.caption(shared.plain("Offered: " + ", ".join(splits.offered(dataset))))
    chosen = chosen_split(name, dataset)
    st.caption(splits.meaning(chosen))
    assignment = splits.assign(dataset, chosen)
    table = datacharts.split_table(dataset, assignment)
    shown = table.assign(share=[f"{share:.1%}" for share in table["share"]])
    means = {name: st.column_config.NumberColumn(name, format="%.2f") for name in shown if name.startswith("mean ")}
    st.dataframe(shown, hide_index=True, column_config=means, width="stretch", placeholder="—")
    shared_groups = splits.shared_groups(dataset, assignment)
    counts = {row["part"]: row["groups"] for row in table.to_dict("records") if row["part"] != "left out"}
    total = len(set(dataset.groups[assignment != ""]))
    if shared_groups:
        st.warning(
            shared.plain(
                f"{len(shared_groups):,} of {total:,} groups lie on more than one side, the first is "
                f"{shared_groups[0]}: scores on this split flatter, and are not ranked."
            ),
            icon=":material/warning:",
        )
    else:
        added = " + ".join(f"{counts.get(part, 0):,}" for part in splits.PARTS)
        st.success(f"No group crosses: {added} = {total:,} groups, each on one side.", icon=":material/check:")
    if lacking := splits.unlearned(dataset, assignment):
        st.warning(
            shared.plain(
                f"No training item of {', '.join(INSTRUMENT_NAMES.get(one, one) for one in lacking)}: what is never "
                "learned cannot be told, and macro F1 counts it as 0. Choose another split, or read the score so."
            ),
            icon=":material/warning:",
        )
    if not dataset.has_groups:
        st.caption(
            "No item of this data set names a group, so each is its own: two cuts of one song would not be seen."
        )


# ---- raters ----


def raters(name: str, dataset: Dataset) -> None:
    """How far people agree, and so how well any model can do."""
    table = datacharts.rater_summary(dataset)
    if table.empty:
        st.info("The agreement of raters will be shown here. This data set has no ratings of single people.")
        return
    _title(
        "Agreement of the raters",
        "Spread: how far the ratings of one item lie apart, in points. The ceiling is the best score that this "
        "disagreement leaves to any model (the reliability of the mean rating); near it there is no more to learn.",
    )
    shown = table.rename(columns=lambda column: column.replace("_", " "))
    st.dataframe(shown.round(3), hide_index=True, width="stretch", placeholder="—")
    distances = datacharts.distance_table(dataset)
    if distances.empty:
        return
    far = int(distances["far"].sum())
    _title(
        "How far each rater lies from the others",
        f"{len(distances):,} raters with at least ten ratings; {far} far from the rest or against it. A lone bar on "
        "the right is a rater who used the scale in another way, or did not listen.",
    )
    colours = _colours()
    drawing.draw(datacharts.distance_drawing, distances, colours["real"], colours["arousal"])
    st.dataframe(distances.head(20).round(3), hide_index=True, width="stretch", placeholder="—")
    download(distances, f"{name}-raters")


# ---- listen ----


def _label_columns(dataset: Dataset) -> dict[str, Any]:
    if dataset.task == "emotion":
        return {label: dataset.targets[:, k].round(2) for k, label in enumerate(dataset.labels)}
    names = [INSTRUMENT_NAMES.get(label, label) for label in dataset.labels]
    texts = [", ".join(name for name, value in zip(names, row, strict=True) if value > 0) for row in dataset.targets]
    return {"label": texts}


def _items(dataset: Dataset) -> pd.DataFrame:
    columns = {"item": dataset.items, "group": dataset.groups, **_label_columns(dataset)}
    if dataset.sources is not None and any(dataset.sources):
        columns["source"] = dataset.sources
    return pd.DataFrame(columns)


def listen(name: str, dataset: Dataset) -> None:
    """All items with a search, and a player for the chosen one."""
    table = _items(dataset)
    search = st.text_input("Search", key="search", placeholder="part of a name, group, source or label")
    if search:
        words = table.astype(str).agg(" ".join, axis=1).str.lower()
        table = table[words.str.contains(search.lower(), regex=False)]
    st.caption(f"{len(table):,} of {len(dataset.items):,} items. Choose a row to hear it.")
    player = st.container(key="player")
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"items.{search}",
        height=300,
        width="stretch",
    )
    is_ready = getattr(datasets.module(name), "is_ready", lambda task: True)
    if dataset.audio is None:
        st.info("This data set has no sound here: it is a table of numbers, so its items can be read but not heard.")
        return
    if not is_ready(dataset.task):
        st.info("Its sound is rendered when a run or a check first needs it. Start a check to have it made.")
        return
    rows = event["selection"]["rows"]
    index = int(table.index[rows[0]]) if rows and rows[0] < len(table) else int(table.index[0]) if len(table) else None
    if index is not None:
        with player:
            _play(dataset, index)


def _play(dataset: Dataset, index: int) -> None:
    assert dataset.audio is not None
    path = dataset.audio(index)
    st.markdown(f"**{shared.plain(str(dataset.items[index]))}**")
    try:
        with st.spinner("Reading the recording …"):
            sound, sentences = _sound(str(path), path.stat().st_mtime)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    st.audio(io.BytesIO(sound), format="audio/wav")
    for sentence in sentences:
        st.caption(shared.plain(sentence))


@st.cache_resource(max_entries=8, show_spinner=False)
def _sound(path: str, modified: float) -> tuple[bytes, list[str]]:
    """A WAV file of at most two minutes, read in a child, and sentences about it."""
    clip = library.opened(Path(path))  # from its path: a long one comes too, and is never whole in memory
    most = int(LONGEST_PLAYED_S * clip.sample_rate_hz)
    here = clip if isinstance(clip, audio.Clip) else clip.part(0, most)  # hours are not taken into memory
    about = f"{clip.seconds:.4g} s, {here.sample_rate_hz:,} Hz, {here.samples.shape[0]} channels"
    level = f"mean level {audio.loudness_db(here.mono()):.3g} dB of full scale"
    more = ["The first two minutes are played."] if clip.seconds > LONGEST_PLAYED_S else []
    return audio.wav_bytes(here.samples[:2, :most], here.sample_rate_hz), [f"{about}; {level}.", *more, *clip.warnings]
