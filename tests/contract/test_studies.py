"""Every study and every claim: verdicts are computed, so synthetic runs in which a claim is false must change them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from core import studies
from core.verdicts import ARTEFACT, CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, Runs

EXPECTED = {
    "true": {REPRODUCED},
    "false": {NOT_REPRODUCED, ARTEFACT},
    "artefact": {ARTEFACT},
    "underpowered": {CANNOT_TELL},  # all that it asks for is there, but it scatters
    "lacking": {CANNOT_TELL},
}
WIDEST_TITLE = 50
"""Characters that find room over a chart in the right half of a claim's card."""
CLAIMS = [(name, claim) for name in studies.names() for claim in studies.load(name).claims]


def cases(study: str) -> dict[str, dict[str, Runs]]:
    return importlib.import_module(f"tests.synthetic.{study}").CASES


def verdict_of(name: str, claim: Any, runs: Runs) -> Any:
    return studies.load(name).function(claim.check)(runs, **claim.args)


def test_there_are_studies() -> None:
    assert "implicit_em" in studies.names() and CLAIMS


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=lambda value: getattr(value, "id", value))
def test_every_claim_is_judged_by_its_runs(name: str, claim: Any) -> None:
    worlds = cases(name).get(claim.id, {})
    assert {"true", "false", "underpowered"} <= set(worlds), f"claim {claim.id} has no synthetic runs of each kind"
    for kind, runs in worlds.items():
        found = verdict_of(name, claim, runs)
        assert found.verdict in EXPECTED[kind], f"{kind}: {found.verdict}. {found.sentence}"
        assert found.sentence.endswith(".") and len(found.sentence) > 20
        assert isinstance(found.evidence, pd.DataFrame) and found.evidence.columns.is_unique
        if found.chart is not None:
            assert isinstance(found.chart, alt.TopLevelMixin) and found.chart.to_dict()["description"]
            assert len(found.chart.to_dict()["title"]) <= WIDEST_TITLE, "it is cut off beside the claim"
            assert claim.read.endswith("."), f"claim {claim.id} has a chart and nothing says what to look for in it"


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=lambda value: getattr(value, "id", value))
def test_no_check_falls_over_nothing_or_damage(name: str, claim: Any) -> None:
    """No runs, all diverged, metrics that are not there or not numbers: cannot be told, never an error."""
    full = next(iter(cases(name).values()))["true"]
    nothing = replace(full, results=full.results[:0], curves=lambda metric: full.curves(metric)[:0])
    metrics = ["seconds", "epoch_seconds", *(column for column in full.results if "/" in column)]
    bare = replace(full, results=full.results.drop(columns=metrics), curves=lambda metric: full.curves(metric)[:0])
    blank = replace(
        full,
        results=full.results.assign(**dict.fromkeys(metrics, np.nan)),
        curves=lambda metric: full.curves(metric).assign(value=np.nan),
    )
    for runs in (nothing, bare, blank):
        assert verdict_of(name, claim, runs).verdict == CANNOT_TELL
    dead = replace(full, results=full.results.assign(state="diverged", diverged=True))
    assert verdict_of(name, claim, dead).verdict in (CANNOT_TELL, NOT_REPRODUCED)


@pytest.mark.parametrize("name", studies.names())
def test_figures_draw_from_nothing_and_from_plenty(name: str) -> None:
    study, full = studies.load(name), next(iter(cases(name).values()))["true"]
    nothing = replace(full, results=full.results[:0], curves=lambda metric: full.curves(metric)[:0])
    for figure in study.published.figures.values() if study.published else ():
        for runs in (nothing, full):
            assert study.function(figure)(runs).to_dict()["title"]


@pytest.mark.parametrize("name", studies.names())
def test_every_study_has_a_quick_variant_and_a_published_table(name: str) -> None:
    study = studies.load(name)
    quick, full = studies.variants(study, quick=True), studies.variants(study)
    assert list(quick) == list(full) == ["main", *study.file.stage_names]
    assert study.published is not None and len(study.published.frame)
    assert study.file.title and study.file.source
