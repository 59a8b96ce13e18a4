"""A study on other data than its own, on the Studies page: chosen, in the link, never beside published numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import studies
from core.verdicts import Runs
from pages import study_reading, study_report, study_table
from tests.contract.test_studies_instrunet import run
from tests.contract.test_studies_page import HOSTILE, app, primary, seen, studies_store, words  # noqa: F401
from tests.synthetic import instrunet as worlds


def plain(page: Any) -> str:
    return words(page).replace("\\", "")


def test_its_own_data_is_what_stands_there_first(app: Any) -> None:  # noqa: F811
    page = app(study="instrunet")
    (choice,) = [one for one in page.selectbox if one.label == "Data set"]
    assert choice.value == "irmas" and choice.options[0] == "irmas" and choice.options[-1] == "folder"
    assert "The study itself is on irmas, its quick variant on cues-small." in choice.help
    assert {"cues", "cues-small"} <= set(choice.options) and "mnist" not in choice.options
    assert "instrunet on irmas, split grouped:0" in plain(page)
    assert "6 cells of batch_norm (False, True)" in plain(page)


def test_other_data_is_a_link(app: Any) -> None:  # noqa: F811
    page = app(study="instrunet", data="cues-small")
    assert "instrunet on cues-small, split grouped:0" in plain(page) and primary(page) == ["Run the main grid"]
    page.selectbox(key="data").set_value("cues").run()
    assert "instrunet on cues, split grouped:0" in plain(seen(page))


@pytest.mark.parametrize("how", ["link", "choice", "blank"])
def test_a_folder_without_a_name_is_asked_for_and_nothing_can_be_run(app: Any, how: str) -> None:  # noqa: F811
    page = app(study="instrunet", **({"data": "folder"} if how == "link" else {}))
    if how != "link":
        page.selectbox(key="data").set_value("folder").run()
    if how == "blank":
        page.text_input(key="folder").set_value("  ").run()
    assert "Name a folder of audio" in plain(seen(page)) and "Protocol" not in plain(page)
    assert not [button for button in page.main.button if button.label.startswith("Run")]


@pytest.mark.parametrize("data", ["nothing", HOSTILE, "folder:/no/such/place", "folder", "mnist"])
def test_data_that_cannot_be_is_no_crash(app: Any, data: str) -> None:  # noqa: F811
    page = app(study="instrunet", data=data)
    assert "is it dropout at the head" in plain(page) or page.error


def test_runs_elsewhere_are_judged_and_stand_beside_nothing(
    app: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = replace(worlds.made(), data="cues-small")
    monkeypatch.setattr(studies, "runs_of", lambda *_, **__: runs)
    page = app(study="instrunet", data="cues-small")
    assert any("These runs are on cues-small" in info.value.replace("\\", "") for info in page.info)
    table = page.dataframe[0].value
    assert set(table["n"]) == {0} and set(table["published ±"]) == {study_table.NO_RUN}
    assert "reproduced" in plain(page)
    found = study_reading.reading(study_reading.study("instrunet", "cues-small"), False, studies_store())
    text = study_report.markdown(found, study_reading.judged(found)).replace("\\", "")
    assert "These runs are on cues-small" in text and text.count("<svg") == 0


def test_a_number_that_was_not_printed_is_no_mark(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(studies, "runs_of", lambda *_, **__: worlds.made())
    page = app(study="instrunet", metric="test/macro_f1")
    table = page.dataframe[0].value
    assert table["published"].tolist() == ["0.5168", "—", "0.6573"]
    assert table["our interval"].tolist()[1] == table["published ±"].tolist()[1] == study_table.NO_SD


@pytest.mark.parametrize("name", studies.names())
def test_the_table_is_no_wider_than_its_place(name: str) -> None:
    """890 pixels beside the menu; the columns of ± are left out where none was printed."""
    published = studies.load(name).published
    assert published is not None
    for metric in published.metrics:
        sd = published.frame.get(f"{metric}_sd")
        rows = published.frame.assign(published_sd=float("nan") if sd is None else sd)
        for n in (0, 3):
            told, factors = study_table.columns(rows.assign(n=n), published)
            assert list(factors) == list(published.factors) and min(factors.values()) > 90
            assert sum(factors.values()) + sum(told.values()) <= 890
        assert ("in sd" in told) == (sd is not None and bool(sd.notna().any()))


def test_the_card_finds_the_data_that_was_run(app: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    made, nothing = replace(worlds.made(), data="cues-small"), worlds.made()
    nothing = replace(nothing, results=nothing.results[:0], data="irmas")

    def runs_of(_store: Any, study: studies.Study, *, quick: bool = False) -> Runs:
        return made if study.data == "cues-small" and not quick else nothing

    run(1, {})
    monkeypatch.setattr(studies, "runs_of", runs_of)
    page = app()
    assert "runs are here on cues-small" in plain(page)
