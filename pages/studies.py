"""Studies: published experiments put to the test. Run one, see its table beside ours, and what became of each claim."""

from __future__ import annotations

import streamlit as st

from core import studies, sweeps
from core.studies import Study
from core.sweeps import Summary
from pages import shared, study_claims, study_data, study_reading, study_report, study_run, study_table
from pages.study_reading import Reading

VARIANTS = ("full", "quick")
PANEL = "studies.panel"


def _card(name: str, listing: list[Summary]) -> bool:
    """Draw the card of a study; whether any run of it is here."""
    with st.container(border=True):
        try:
            study = study_reading.study(name)
            found = study_reading.anywhere(study, shared.store())
            study = found.study
        except ValueError as error:
            st.markdown(f"**{shared.plain(name)}**")
            shared.failed(error)
            return False
        file = study.file
        st.subheader(shared.plain(file.title or name), anchor=False)
        if file.source:
            st.caption(shared.plain(file.source))
        if file.about:
            st.markdown(shared.plain(_first_sentence(file.about)))
        newest = studies.sweeps_of(found.study, listing, quick=found.is_quick)
        _state(found, newest)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(
                "pages/studies.py",
                label="Open",
                icon=":material/open_in_full:",
                query_params={"study": name}
                | ({"variant": "quick"} if found.is_quick else {})
                | ({"data": study.data} if study.data else {}),
            )
            st.button("Run …", key=f"panel.{name}", icon=":material/play_arrow:", on_click=_toggle, args=[name])
        if st.session_state.get(PANEL) == name:
            quick = bool(file.quick) and _choose_variant(study, f"card.{name}", VARIANTS[0]) == "quick"
            _run_panel(
                found if quick == found.is_quick else study_reading.reading(study, quick, shared.store()), listing
            )
        return bool(len(found.runs))


def _toggle(name: str) -> None:
    st.session_state[PANEL] = None if st.session_state.get(PANEL) == name else name


def _first_sentence(text: str) -> str:
    head, stop, _ = " ".join(text.split()).partition(". ")
    return head + stop.strip()


def _state(found: Reading, newest: dict[str, Summary]) -> None:
    """Where a study stands: never run, running, how many of its runs are there; what its claims came to."""
    there = found.wanted() - found.missing()
    n_claims = sum(claim.whose == "published" for claim in found.study.claims)
    variant = " (quick)" if found.is_quick else ""
    variant += f" on {found.runs.data}" if studies.elsewhere(found.study, found.runs) else ""
    results = study_reading.judged(found)  # not within the row below, where its progress would stand beside words
    with st.container(horizontal=True, vertical_alignment="center"):
        running = sum(one.state == "running" for one in newest.values())
        if running:
            st.badge("running", color="blue", icon=":material/progress_activity:")
        elif not len(found.runs):
            st.badge("never run", color="gray", icon=":material/hourglass_empty:")
        of_all = f", {len(found.files)} stages in all" if len(found.files) > 1 else ""
        here = f"{there} of {found.wanted()} runs are here{variant}{of_all}"
        st.caption(shared.plain(f"{n_claims} published claim{'s' * (n_claims != 1)} · {here}"))
        if len(found.runs):
            study_claims.tally(results, is_run=True)
    if len(found.runs):
        study_claims.tally_of_ours(results)
    study_run.under_way(list(newest.values()))


def _choose_variant(study: Study, key: str, default: str) -> str:
    """Full or quick; in the address where the page shows one study."""
    chosen = st.segmented_control(
        "Variant",
        VARIANTS,
        default=default,
        required=True,
        key=key,
        bind="query-params" if key == "variant" else None,
        label_visibility="collapsed",
        help="The quick variant trains less and cannot tell everything.",
    )
    if chosen == "quick":
        st.caption(
            shared.plain(f"Quick: {study_report.quick_sentence(study)}. Claims about more cannot be told by it.")
        )
    return str(chosen)


def _run_panel(found: Reading, listing: list[Summary]) -> None:
    study_run.panel(found, studies.sweeps_of(found.study, listing, quick=found.is_quick), "card")


def _overview(listing: list[Summary]) -> None:
    names = studies.names()
    if not names:
        st.info(
            "Published experiments that you put to the test will stand here, one card each. There is none yet: write "
            "studies/NAME.toml with its grid, its table and its claims, and studies/NAME.py with their checks.",
            icon=":material/science:",
        )
        st.page_link("pages/sweeps.py", label="Run a sweep of your own", icon=":material/grid_view:")
        return
    if not any([_card(name, listing) for name in names]):
        st.info(
            "What we measure will stand here beside what was published, with a verdict on each claim. No run of a "
            "study is here yet: open one to see what it claims, or run its quick variant.",
            icon=":material/science:",
        )


def _one(name: str, listing: list[Summary]) -> None:
    try:
        study = study_reading.study(name)
        _head(study)
        data = study_data.chosen(study)
        if data is None:
            st.page_link("pages/studies.py", label="Another study", icon=":material/list:", query_params={})
            return
        if data:
            study = study_reading.study(name, data)
        default = "quick" if study_reading.first(study, shared.store()).is_quick else "full"
        quick = bool(study.file.quick) and _choose_variant(study, "variant", default) == "quick"
        found = study_reading.reading(study, quick, shared.store())
    except ValueError as error:
        shared.failed(error)
        _overview(listing)
        return
    newest = studies.sweeps_of(found.study, listing, quick=found.is_quick)
    for sentence in study_report.protocol(found):
        st.caption(shared.plain(sentence))
    study_run.under_way(list(newest.values()))
    _start(found, newest)
    study_run.completion(found)
    summary, beside = st.container(horizontal=True, vertical_alignment="center"), st.container()
    study_table.beside(found)
    for number, function in (study.published.figures if study.published else {}).items():
        if len(found.runs):
            chart = study_reading.figure(found, function)
            with st.expander(shared.plain(f"Figure {number}"), icon=":material/show_chart:"):
                study_claims.drawing(chart, 380)
    results = study_reading.judged(found)
    with summary:
        if (n := sum(claim.whose == "published" for claim, _ in results)) and len(found.runs):
            st.markdown(f"**Of {n} published claim{'s' * (n != 1)}:**")
        study_claims.tally(results, is_run=len(found.runs) > 0)
    if len(found.runs):
        with beside:
            study_claims.tally_of_ours(results)
    study_claims.cards(found, results, newest)
    _foot(found, results)


def _head(study: Study) -> None:
    st.subheader(shared.plain(study.file.title or study.name), anchor=False)
    if study.file.source:
        st.caption(shared.plain(f"Source: {study.file.source}"))
    if study.file.about:
        st.markdown(shared.plain(" ".join(study.file.about.split())))


def _start(found: Reading, newest: dict[str, Summary]) -> None:
    if not found.missing():
        st.caption(f":material/check: All {found.wanted()} runs are here.")
        return
    with st.container(border=True):
        study_run.panel(found, newest, "head")


def _foot(found: Reading, results: list[study_reading.Judged]) -> None:
    with st.expander("The study's file", icon=":material/description:"):
        st.code(found.study.file.text, language="toml")

    def export() -> str:  # made when it is asked for
        return study_report.markdown(found, results)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Export as Markdown", export, f"{found.study.name}.md", "text/markdown", icon=":material/download:"
        )
        st.page_link("pages/studies.py", label="Another study", icon=":material/list:", query_params={})


st.title("Studies", anchor=False)
st.caption("Published experiments, run again: their numbers beside ours, and what became of each claim.")
study_run.told()
wanted = st.query_params.get("study")
if wanted:
    _one(wanted, sweeps.listing())
else:
    _overview(sweeps.listing())
