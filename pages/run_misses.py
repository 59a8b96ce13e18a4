"""What a run gets most wrong, class by class, to be heard; and what it changed its mind about between two epochs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from core import background, datasets, library, misses, rundir, soundpicture
from core.audio import Clip, wav_bytes
from core.datasets import INSTRUMENT_NAMES, Dataset
from core.longclip import LongClip
from core.misses import Move
from core.scored import Scored
from core.soundpicture import Picture
from pages import drawing, shared, waiting

LONGEST_PLAYED_S = 60.0
HOW_TO_READ = (
    "A spectrogram shows low tones at the bottom and high ones at the top; bright is loud, in dB below its loudest "
    "place. What the class has in common with what the model took it for can often be seen there."
)


def misses_view(folder: Path, spec: rundir.Spec) -> None:
    """The worst misses of each class, and what moved between two epochs, on the part that is chosen."""
    part = st.segmented_control(
        "Part", misses.PARTS, default=misses.PARTS[0], required=True, key="part", bind="query-params",
        help="Validation items steered the training a little; test items were never seen.",
    )  # fmt: skip
    try:
        with st.spinner("Reading the data set …"):
            dataset = _dataset(spec.data, spec.task, datasets.stamp(spec.data), os.environ.get("EARSHOT_CACHE", ""))
    except (ValueError, OSError) as error:
        dataset = None
        shared.failed(error)
    try:
        found = _final(folder, spec, dataset, part)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    if found is not None:
        _worst(found, dataset)
    if dataset is not None:
        st.divider()
        _moved(folder, spec, dataset, part)


@st.cache_resource(show_spinner=False, ttl=600, max_entries=4)
def _dataset(name: str, task: str, stamp: str, cache: str) -> Dataset:
    return datasets.load(name, task)


# ---- the finished model ----


def _final(folder: Path, spec: rundir.Spec, dataset: Dataset | None, part: str) -> Scored | None:
    """What the final model says about the part; None where it is still to be asked, which is said."""
    found = misses.stored(folder, part)
    if found is not None:
        return found
    status = rundir.read_status(folder)
    if not status.is_finished or not (folder / "checkpoints" / "final.safetensors").exists():
        st.info(
            "The clips that this run gets most wrong will be heard here, class by class, with their spectrograms; it "
            "has not been scored yet. Two epochs of it can be compared below once two are kept.",
            icon=":material/hearing:",
        )
        return None
    if dataset is None:
        return None
    model = misses.model(folder, None)
    before = misses.asked_before(model, dataset, spec.split, part)
    if before is not None:
        return before
    key = ("misses", folder.name, model.stamp, part)
    if background.find(key) is None:
        st.info(
            "The clips that this run gets most wrong will be heard here, class by class, with their spectrograms. Its "
            f"predictions were not kept, so the model has to be asked again. {_cost(spec)}",
            icon=":material/hearing:",
        )
        if not st.button("Ask the model", type="primary", icon=":material/psychology:", key="misses.ask"):
            return None
    return _result(key, lambda tell: misses.ask(model, dataset, spec.split, part, tell), "Asking the model")


def _cost(spec: rundir.Spec) -> str:
    is_ready = getattr(datasets.module(spec.data), "is_ready", lambda task: True)
    return "" if is_ready(spec.task) else datasets.first_use(spec.data)


def _result(key: tuple[object, ...], work: Callable[[background.Tell], Any], title: str) -> Any:
    """What background work returned; None while it goes on, was ended or failed, which is shown."""
    job = background.start(key, work)
    if not waiting.ended(job, title, key=str(key[0])):
        return None
    try:
        return job.result()
    except background.Cancelled:
        st.info("It was ended; what had been read from the sound is kept for the next time.", icon=":material/cancel:")
    except (ValueError, OSError) as error:
        shared.failed(error)
    st.button("Try again", icon=":material/refresh:", on_click=background.forget, args=[key], key=f"again.{key[0]}")
    return None


def _worst(found: Scored, dataset: Dataset | None) -> None:
    st.subheader("The worst misses", anchor=False)
    labels = {_name(label): label for label in found.labels}  # the address has the option itself: a name, no code
    label = labels[st.selectbox("Class", list(labels), key="class", bind="query-params", width=320)]
    there = int((found.truth[:, found.labels.index(label)] > 0).sum())
    st.caption(f"Of {len(found):,} items {there:,} have {_name(label)}. {HOW_TO_READ}")
    left, right = st.columns(2, gap="large")
    for column, title, rows, empty in (
        (left, f"Missed: {_name(label)} is there, and scored lowest", misses.missed(found, label), "No item has it."),
        (right, f"False alarms: no {_name(label)}, and scored highest", misses.false_alarms(found, label),
         "Every item has it."),
    ):  # fmt: skip
        with column:
            st.markdown(f"**{title}**")
            if not rows:
                st.caption(empty)
            for row in rows:
                score = float(found.scores[row, found.labels.index(label)])
                _item(found, dataset, row, f"{_name(label)} {score:.2f}")


# ---- two epochs ----


def _moved(folder: Path, spec: rundir.Spec, dataset: Dataset, part: str) -> None:
    st.subheader("What changed between two epochs", anchor=False)
    kept = misses.epochs(folder)
    if len(kept) < 2:
        few = "none is" if not kept else f"only epoch {kept[0]} is"
        st.info(
            "The clips about which the model changed its mind most between two epochs will be heard here. That needs "
            f"the weights of two epochs, and {few} kept of this run.",
            icon=":material/compare_arrows:",
        )
        return
    first, second = _pair(kept)
    if first == second:
        st.caption("Choose two different epochs.")
        return
    st.caption(
        "The change of an item is that of the class whose score moved furthest. One run and one pair of epochs: what "
        "moved back and forth in between is not seen."
    )
    try:
        models = [misses.model(folder, epoch) for epoch in (first, second)]
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    before = [misses.asked_before(one, dataset, spec.split, part) for one in models]
    pair: tuple[Scored, Scored] | None = None
    if before[0] is not None and before[1] is not None:
        pair = before[0], before[1]
    else:
        key = ("moved", folder.name, models[0].stamp, models[1].stamp, part)
        cost = _cost(spec)
        if cost:
            st.caption(cost)
        if background.find(key) is not None or st.button(
            "Compare", type="primary", icon=":material/compare_arrows:", key="moved.ask"
        ):
            pair = _result(
                key, lambda tell: misses.ask_both(folder, (first, second), dataset, part, tell), "Asking both epochs"
            )
    if pair is not None:
        _moves(pair, dataset, (first, second))


def _pair(kept: list[int]) -> tuple[int, int]:
    """Two epochs from the address, else the first and the last that are kept."""
    left, right, _ = st.columns([1, 1, 3])
    with left:
        first = st.selectbox("From epoch", kept, index=0, key="first", bind="query-params")
    with right:
        second = st.selectbox("to epoch", kept, index=len(kept) - 1, key="second", bind="query-params")
    return first, second


def _moves(pair: tuple[Scored, Scored], dataset: Dataset, epochs: tuple[int, int]) -> None:
    first, second = pair
    every = misses.moves(first, second, len(first))
    if not every:
        st.caption("No score of any item changed.")
        return
    better = sum(move.is_better for move in every)
    far = sum(abs(move.change) >= 0.1 for move in every)
    st.markdown(
        f"Of {len(first):,} items {far:,} moved by 0.1 or more; the largest change of an item went towards the truth "
        f"in {better:,} of {len(every):,}."
    )
    for column, title, ways in zip(
        st.columns(2, gap="large"),
        ("Furthest towards the truth", "Furthest away from it"),
        ([move for move in every if move.is_better], [move for move in every if not move.is_better]),
        strict=True,
    ):
        with column:
            st.markdown(f"**{title}**")
            if not ways:
                st.caption("No item.")
            for move in ways[: misses.MOST]:
                _item(second, dataset, move.row, _told(move), (first, second), epochs)


def _told(move: Move) -> str:
    truth = "which is there" if move.is_there else "which is not there"
    return f"{_name(move.label)}, {truth}: {move.before:.2f} → {move.after:.2f}"


# ---- one item ----


def _item(
    found: Scored,
    dataset: Dataset | None,
    row: int,
    what: str,
    both: tuple[Scored, ...] = (),
    epochs: tuple[int, ...] = (),
) -> None:
    """One item: what is said of it, its spectrogram, its sound, and the scores of each epoch."""
    item = str(found.items[row])
    st.markdown(f"{shared.plain(what)} · {shared.plain(item)}")
    there = ", ".join(map(_name, misses.true_labels(found, row))) or "none of the classes"
    told = [f"There: {there}."]
    for one, epoch in zip(both, epochs, strict=True):
        told.append(f"Epoch {epoch}: {_scores(one, row)}.")
    if not both:
        told.append(f"Highest scores: {_scores(found, row)}.")
    st.caption(shared.plain(" ".join(told)))
    if dataset is not None:
        _hear(dataset, item)


def _scores(one: Scored, row: int) -> str:
    return ", ".join(f"{_name(label)} {score:.2f}" for label, score in misses.best_labels(one, row))


def _name(label: str) -> str:
    return INSTRUMENT_NAMES.get(label, label)


def _hear(dataset: Dataset, item: str) -> None:
    """The spectrogram and the player of an item; where it cannot be heard, why."""
    where = (dataset.items == item).nonzero()[0]
    if dataset.audio is None or not len(where):
        st.caption("This data set has no sound here." if dataset.audio is None else "It is in the data set no longer.")
        return
    is_ready = getattr(datasets.module(dataset.name), "is_ready", lambda task: True)
    if not is_ready(dataset.task):
        st.caption("Its sound is rendered when a run or a check first needs it.")
        return
    try:
        path = dataset.audio(int(where[0]))
        with st.spinner("Reading the recording …"):
            shown, sound = _sound(str(path), path.stat().st_mtime_ns)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    drawing.draw(soundpicture.drawing, shown, item)
    st.audio(sound, format="audio/wav")


@st.cache_resource(max_entries=48, show_spinner=False)
def _sound(path: str, modified_ns: int) -> tuple[Picture, bytes]:
    """The picture and a WAV of the first minute of a recording, read in a child."""
    clip = library.opened(Path(path))
    most = int(LONGEST_PLAYED_S * clip.sample_rate_hz)
    here = clip.part(0, most) if isinstance(clip, LongClip) else clip
    assert isinstance(here, Clip)
    mono = here.mono()[:most]
    return soundpicture.picture(mono, here.sample_rate_hz), wav_bytes(here.samples[:2, :most], here.sample_rate_hz)
