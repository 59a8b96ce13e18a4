"""Claims as cards: what was published, the verdict in a word and a sign, the numbers, and the chart that decides it."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import streamlit as st

from core import studyquick, studytally, sweeps
from core.verdicts import ARTEFACT, CANNOT_TELL, CHECK_FAILED, NOT_REPRODUCED, REPRODUCED
from pages import shared, study_reading, study_run, study_table
from pages.drawing import finished
from pages.study_reading import Judged, Reading

Colour = Literal["green", "red", "orange", "gray", "violet"]
MARKS: dict[str, tuple[Colour, str]] = {
    REPRODUCED: ("green", ":material/check_circle:"),
    NOT_REPRODUCED: ("red", ":material/cancel:"),
    ARTEFACT: ("orange", ":material/straighten:"),
    CANNOT_TELL: ("gray", ":material/help:"),
    CHECK_FAILED: ("violet", ":material/bug_report:"),
}
"""Colour and sign of each verdict, and of a check that failed, which is none; the word always stands beside them."""

MEANINGS = {
    REPRODUCED: "our runs say the same, and their interval excludes that it is not so",
    NOT_REPRODUCED: "our runs exclude it",
    ARTEFACT: "the number comes again, but it is the measure's, not the network's",
    CANNOT_TELL: "runs are missing, or their interval holds both",
    CHECK_FAILED: "the study's own function fell over, which says nothing about the claim",
}
HEADINGS = {"published": "What was claimed", "ours": "What explains the numbers"}


def badge(verdict: str, n: int | None = None, *, is_run: bool = True) -> None:
    """A verdict as word, sign and colour, with how many claims have it."""
    colour, icon = MARKS[verdict]
    several = studytally.PLURALS.get(verdict, verdict) if n is not None and n != 1 else verdict
    label = several if is_run else f"{verdict} yet"
    st.badge(label if n is None else f"{n} {label}", color=colour, icon=icon)


def tally(results: list[Judged], *, is_run: bool) -> None:
    """How many published claims have which verdict, side by side."""
    for verdict, n in studytally.counts(results).items():
        badge(verdict, n, is_run=is_run)


def tally_of_ours(results: list[Judged]) -> None:
    """What became of the lab's own explanations, in a plain line: no badge of theirs is a published claim."""
    if said := studytally.ours(results):
        st.caption(shared.plain(said))


def cards(found: Reading, results: list[Judged], newest: dict[str, sweeps.Summary]) -> None:
    """All claims, the published ones first."""
    for whose, heading in HEADINGS.items():
        of = [one for one in results if one.claim.whose == whose]
        if not of:
            continue
        st.subheader(heading, anchor=False)
        if whose == "published":
            words = [word for word in MEANINGS if word != CHECK_FAILED or any(v.has_failed for _, v in results)]
            st.caption("; ".join(f"**{word}**: {MEANINGS[word]}" for word in words) + ".")
        places = [st.container()] if len(found.runs) else st.columns(2)  # without numbers they need half the width
        for at, one in enumerate(of):
            with places[at % len(places)]:
                _card(found, one, newest)


def _card(found: Reading, one: Judged, newest: dict[str, sweeps.Summary]) -> None:
    claim, verdict = one
    is_run = len(found.runs) > 0
    with st.container(border=True):
        chart = verdict.chart if verdict.chart is not None else _own_chart(found, one)
        has_chart = is_run and chart is not None
        text, picture = st.columns([4, 5], gap="medium") if has_chart else (st.container(), None)
        with text:
            badge(verdict.word, is_run=is_run)
            st.markdown(f"**{shared.plain(claim.text)}**")
            if is_run:
                st.markdown(shared.plain(verdict.sentence))
            _missing(found, one, newest)
            _decided(found, one)
        if picture is not None:
            with picture:
                drawing(chart, read=claim.read)


def _missing(found: Reading, one: Judged, newest: dict[str, sweeps.Summary]) -> None:
    """What a claim that cannot be told still needs, with the button that starts it; or that more of this variant
    would be of no use."""
    if found.is_quick and one.verdict.word == CANNOT_TELL and (why := studyquick.too_short(found.study, one.claim)):
        st.caption(f":material/block: {shared.plain(why)}")
        data = {"data": found.study.data} if found.study.data else {}
        st.page_link(
            "pages/studies.py",
            label="See the full variant",
            icon=":material/open_in_full:",
            query_params={"study": found.study.name, "variant": "full"} | data,
        )
        return
    short = study_reading.is_short_of(found, one)
    plans = study_reading.plans(found) if short else {}
    for stage in short:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/hourglass_empty: {shared.plain(study_run.needs(found, stage, plans[stage]))}")
            action = st.container(width="content")
        if len(found.runs):  # before, the one button above starts it
            study_run.start_button(found, stage, plans[stage], newest.get(stage), one.claim.id, action, st.container())


def _decided(found: Reading, one: Judged) -> None:
    claim, verdict = one
    with st.expander("How it is decided, and by what numbers", icon=":material/table:"):
        for part in how(found, one).split("\n\n"):
            st.caption(shared.plain(part))
        if len(verdict.evidence):
            study_table.numbers(verdict.evidence, f"Evidence for the claim: {claim.text}")


def how(found: Reading, one: Judged) -> str:
    """How the check decides, in its own words, and with which values."""
    check = found.study.function(one.claim.check)
    said = [" ".join(part.split()) for part in (inspect.getdoc(check) or "").split("\n\n")]
    values = ", ".join(f"{name} = {_value(value)}" for name, value in one.claim.args.items())
    return "\n\n".join([*filter(None, said), f"Check {one.claim.check}({values})."])


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _own_chart(found: Reading, one: Judged) -> Any:
    """The chart that the claim names where its check drew none."""
    return study_reading.figure(found, one.claim.chart) if one.claim.chart and len(found.runs) else None


def drawing(chart: Any, height: int = 300, read: str = "") -> None:
    """A chart, and under it what to look for (where nothing is said, its alt text); or why there is none."""
    if isinstance(chart, str):
        st.error(shared.plain(chart), icon=":material/bug_report:")
        return
    st.altair_chart(finished(chart), height=height)
    if read:
        st.caption(shared.plain(f"How to read it: {read}"))
        return
    title, about = getattr(chart, "title", ""), getattr(chart, "description", "")
    if isinstance(about, str):
        read = about.removeprefix(title).lstrip(". ") if isinstance(title, str) else about
        st.caption(shared.plain(f"How to read it: {read.replace('_', ' ')}"))
