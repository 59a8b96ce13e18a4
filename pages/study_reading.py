"""What the Studies page shows, read once for each state of the runs: studies, their runs, verdicts, plans, sweeps."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import datasets, polyreports, shelf, studies, studyfaults, sweeps, verdicts
from core.store import Store
from core.studies import Judged, Runs, Study
from core.sweepfile import SweepFile
from core.sweepplan import Plan

Key = tuple[int, int, int, str]
"""Last change of the study's file or of any polyphonic evaluation, number of its trainer's runs, fingerprint of their
states, the other data chosen."""

MOST_ELSEWHERE = 6
ABSENT_S, HERE_S = 60.0, 600.0
"""How long it counts that a data set is not here, and that it is: to find it means to load it."""


@dataclass(frozen=True)
class Reading:
    """A study with its runs as they are now: `files` its sweeps by stage, `coverage` as core.studies gives it."""

    study: Study
    is_quick: bool
    key: Key
    runs: Runs
    files: dict[str, SweepFile]
    coverage: pd.DataFrame

    def missing(self, stage: str | None = None) -> int:
        """Runs that are not there, of one stage or of all."""
        table = self.coverage if stage is None else self.coverage[self.coverage["stage"] == stage]
        return int(table["missing"].map(len).sum())

    def wanted(self, stage: str | None = None) -> int:
        """Runs that it asks for, of one stage or of all."""
        table = self.coverage if stage is None else self.coverage[self.coverage["stage"] == stage]
        return int(table["wanted"].sum())


def place(name: str) -> Path:
    """The file of a study."""
    return studies.folder() / f"{name}.toml"


def study(name: str, data: str = "") -> Study:
    """A study by its name, on other `data` where that is named; ValueError in one sentence, with its line where a file
    is broken."""
    try:
        changed = place(name).stat().st_mtime_ns if name in studies.names() else 0
        return _study(name, changed, data)
    except ValueError as error:
        raise ValueError(_short(str(error))) from None


def _short(text: str) -> str:
    return " ".join(text.replace(f"{studies.folder().parent}/", "").split())


@st.cache_resource(max_entries=100, show_spinner="Reading the study …")
def _study(name: str, changed: int, data: str) -> Study:
    return studies.load(name, data)


def reading(found: Study, is_quick: bool, index: Store) -> Reading:
    """The study's runs as the index has them; ValueError for a file that was edited into something wrong."""
    changed = max(place(found.name).stat().st_mtime_ns, polyreports.changed_ns())
    key = (changed, *_fingerprint(index, found.file.trainer), found.data)
    try:
        return _reading(found.name, is_quick, key, found, index)
    except ValueError as error:
        raise ValueError(_short(str(error))) from None


def _fingerprint(index: Store, trainer: str) -> tuple[int, int]:
    told = index.query(
        """SELECT count(*) AS n, coalesce(bit_xor(hash(run, state, coalesce(steered, false), ended_at)), 0) AS states
           FROM runs WHERE trainer = ?""",
        [trainer],
    )
    return int(told["n"].iloc[0]), int(told["states"].iloc[0])


@st.cache_resource(max_entries=20, show_spinner="Looking for its runs …")
def _reading(name: str, is_quick: bool, key: Key, _study: Study, _index: Store) -> Reading:
    runs = studies.runs_of(_index, _study, quick=is_quick)
    files = studies.variants(_study, quick=is_quick)
    return Reading(_study, is_quick, key, runs, files, studies.coverage(_study, runs, quick=is_quick))


def first(found: Study, index: Store) -> Reading:
    """The variant that has runs: the full one, else the quick one where only that was run."""
    whole = reading(found, False, index)
    if len(whole.runs) or not found.file.quick:
        return whole
    quick = reading(found, True, index)
    return quick if len(quick.runs) else whole


def anywhere(found: Study, index: Store) -> Reading:
    """As `first`; of a study without any run where it says, on other data of which its trainer has runs that count."""
    own = first(found, index)
    if len(own.runs):
        return own
    told = index.query(
        "SELECT data FROM runs WHERE trainer = ? GROUP BY data ORDER BY count(*) DESC, data LIMIT ?",
        [found.file.trainer, MOST_ELSEWHERE],
    )
    for data in told["data"]:
        try:
            other = first(study(found.name, str(data)), index)
        except ValueError:  # a data set that is gone, or made for another task
            continue
        if len(other.runs):
            return other
    return own


def judged(found: Reading) -> list[Judged]:
    """Each claim's verdict; of a study without runs none is asked for one. Shows how far it is, where it is called."""
    claims = found.study.claims
    if not len(found.runs):
        return [Judged(claim, verdicts.unknown("It was not run yet.")) for claim in claims]
    known: set[object] = st.session_state.setdefault("studies.judged", set())
    is_known = (found.study.name, found.is_quick, found.key) in known
    results, progress = [], st.empty()
    for number, claim in enumerate(claims):
        if not is_known:
            progress.progress(number / len(claims), text=f"Judging claim {number + 1} of {len(claims)} …")
        results.append(_judged(found.study.name, found.is_quick, claim.id, found.key, found))
    progress.empty()
    known.add((found.study.name, found.is_quick, found.key))
    return results


@st.cache_resource(max_entries=400, show_spinner=False)
def _judged(name: str, is_quick: bool, claim: str, key: Key, _found: Reading) -> Judged:
    only = next(one for one in _found.study.claims if one.id == claim)
    (result,) = studies.judge(replace(_found.study, claims=(only,)), _found.runs)
    return result


@st.cache_resource(max_entries=20, show_spinner="Comparing with the published table …")
def _compared(name: str, is_quick: bool, key: Key, _found: Reading) -> pd.DataFrame:
    return studies.compare(_found.study, _found.runs)


def compared(found: Reading) -> pd.DataFrame:
    """Published beside measured, as core.studies has it."""
    return _compared(found.study.name, found.is_quick, found.key, found)


@st.cache_resource(max_entries=20, show_spinner="Drawing …")
def _figure(name: str, is_quick: bool, key: Key, figure: str, _found: Reading) -> Any:
    try:
        return _found.study.function(figure)(_found.runs)
    except Exception as error:  # a study's functions are a file that anybody may write; the rest of the page goes on
        return f"The figure {figure} cannot be drawn: {studyfaults.sentence(error)}"


def figure(found: Reading, function: str) -> Any:
    """One of the study's own figures; a sentence where its function fell over."""
    return _figure(found.study.name, found.is_quick, found.key, function, found)


@st.cache_resource(max_entries=20, show_spinner="Counting …")
def _plans(name: str, is_quick: bool, key: Key, _found: Reading) -> dict[str, Plan | str]:
    made: dict[str, Plan | str] = {}
    for stage, file in _found.files.items():
        try:
            made[stage] = sweeps.plan(file)
        except ValueError as error:
            made[stage] = str(error)
    return made


def plans(found: Reading) -> dict[str, Plan | str]:
    """What each of its sweeps would mean, by stage; a sentence where one cannot be planned, or has no data here."""
    if said := absent(found):
        return dict.fromkeys(found.files, said)
    return _plans(found.study.name, found.is_quick, found.key, found)


def absent(found: Reading) -> str:
    """Why none of its missing runs can be made: their data is not here, and how to get it. Empty where it is, or where
    no run is missing."""
    data = found.files[verdicts.MAIN].data
    if not found.missing() or datasets.is_made_here(data):
        return ""
    added = "\n".join(f"{name} {folder}" for name, folder in sorted(shelf.added().items()))
    return _absent(data, os.environ.get("EARSHOT_DATA", ""), added)


@st.cache_data(max_entries=20, show_spinner="Looking for the data …", ttl=ABSENT_S)
def _absent(data: str, root: str, added: str) -> str:
    try:
        _find(data, root, added)
    except datasets.Missing as error:
        return " ".join(str(error).split())
    return ""


@st.cache_data(max_entries=20, show_spinner="Looking for the data …", ttl=HERE_S)
def _find(data: str, root: str, added: str) -> None:
    """Load it, which may take seconds. Raises `Missing`, which is not kept."""
    try:
        datasets.load(data)
    except datasets.Missing:
        raise
    except (ValueError, OSError):  # it is there, and wrong: whoever starts a run is told by the run's own task
        return


def is_short_of(found: Reading, result: Judged) -> list[str]:
    """The stages in which a claim that cannot be told lacks runs."""
    claim, verdict = result
    if verdict.word != verdicts.CANNOT_TELL:
        return []
    return [stage for stage in claim.needs if found.missing(stage)]
