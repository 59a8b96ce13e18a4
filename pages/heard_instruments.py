"""What is shown of the instruments on Listen: the strip with its threshold, and the words for the whole clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from core import certainty, heardwords, listening
from core.datasets import INSTRUMENT_NAMES
from core.heardwords import Said
from pages import shared
from pages.deck import Strip

SHOWN = "listen.strip"


def in_strip(heard: list[listening.Heard]) -> listening.Heard | None:
    """The run whose strip was asked for, else the first; None where there is none."""
    asked = st.session_state.get(SHOWN)
    return next((one for one in heard if one.model.run == asked), heard[0] if heard else None)


def choose_strip(heard: list[listening.Heard], name: Callable[[str], str]) -> None:
    """Where several runs were heard, which of them the strip shows: it changes while the sound goes on."""
    if len(heard) < 2:
        return
    runs = [one.model.run for one in heard]
    if st.session_state.get(SHOWN) not in runs:
        st.session_state[SHOWN] = runs[0]
    st.segmented_control(
        "The strip shows", runs, required=True, key=SHOWN, format_func=lambda run: shared.plain(name(run))
    )


def strip(one: listening.Heard | None, has_pitch: bool = True) -> Strip | None:
    """The strip of a run, its classes always in the order of the model; where nothing in the clip has a pitch, none of
    them is said to be heard."""
    if one is None:
        return None
    labels = one.prediction.labels
    names = [INSTRUMENT_NAMES.get(label, label) for label in labels]
    known, _ = certainty.of(one.model)
    threshold = heardwords.LEAST_SCORE if known is None else known.named_from_score
    return Strip(
        labels,
        names,
        one.prediction.times_s,
        one.prediction.values,
        threshold=threshold if threshold is not None and has_pitch else 1.0,  # None: no score says anything
        calibration=(known.scale, known.shift) if known is not None and known.is_fitted and has_pitch else None,
        word="probability" if known is not None and not known.is_fitted and has_pitch else "score",
    )


def whole_clip(heard: list[listening.Heard], name: Callable[[str], str], has_pitch: bool = True) -> None:
    """For each run the best three in words and how many more, or that it is none of them, and every class with its
    numbers."""
    for one in heard:
        said = heardwords.of(one.model, one.song, has_pitch)
        words = said.words[:1].upper() + said.words[1:]
        st.markdown(f"**Instruments** ({shared.plain(name(one.model.run))}): {shared.plain(words)}")
        brief = heardwords.for_a_while(said, one.prediction.labels, one.prediction.values)
        if brief:
            st.markdown(shared.plain(heardwords.while_words(brief, bool(said.named))))
        if not said.note:  # of silence there is nothing to trust
            continue
        st.caption(shared.plain(" ".join(filter(None, (heardwords.made_of(one.model), said.note)))))
        if measured := heardwords.on_other_data(one.model):
            st.caption(shared.plain(measured))
        elif one.model.data.startswith("cues"):
            st.caption(
                "It learned instruments from a sound font: on real recordings it is wrong more often than right, and "
                "in mixes it rarely finds all (figures in the README)."
            )
    if shown := in_strip(heard):
        with st.expander("Every instrument over the whole clip", icon=":material/format_list_bulleted:"):
            st.markdown(table(heardwords.of(shown.model, shown.song, has_pitch)))


def table(said: Said) -> str:
    """Every class as Markdown, in the order of the strip: mean score, probability where that is another number, and
    whether it is named."""
    named, shown = said.named, said.probability or said.scores
    is_other = said.probability is not None and not np.allclose(list(shown.values()), list(said.scores.values()))
    rows = []
    for label, number in shown.items():
        cells = [shared.plain(INSTRUMENT_NAMES.get(label, label)), *([_number(said.scores[label])] if is_other else [])]
        cells += [_probability(number) if said.probability else _number(number)]
        rows.append(f"| {' | '.join(cells)} | {'●' if label in named else ''} |")
    kinds = [*(["mean score"] if is_other else []), "probability" if said.probability else "mean score"]
    head = f"| instrument | {' | '.join(kinds)} | from {said.threshold:.2f} on |"
    return "\n".join([head, f"|:--|{'--:|' * len(kinds)}:-:|", *rows])


def _probability(value: float) -> str:
    """Two digits; nothing is known so well that it is 0 or 1."""
    return "under 0.01" if value < 0.005 else "over 0.99" if value >= 0.995 else _number(value)


def _number(value: float) -> str:
    return "—" if value != value else f"{value:.2f}"
