"""Whether a study's data are here: asked on every run of the page, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from core import datasets, verdicts
from pages import study_reading


def forget() -> None:
    study_reading._find.clear()
    study_reading._absent.clear()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception | None]]:
    """What each call of `datasets.load` meets, in turn; all are gone once all were used."""
    forget()
    meets: list[Exception | None] = []

    def load(name: str) -> None:
        error = meets.pop(0)
        if error is not None:
            raise error

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(datasets, "is_made_here", lambda data: False)
    yield meets
    forget()


def lacking() -> Any:
    """A reading of a study that lacks runs."""
    return SimpleNamespace(files={verdicts.MAIN: SimpleNamespace(data="mnist")}, missing=lambda: ["a run"])


def test_data_that_are_missing_are_looked_for_again_until_they_are_here(loads: list[Exception | None]) -> None:
    loads += [datasets.Missing("mnist is not\n here."), None]
    assert study_reading.absent(lacking()) == study_reading.absent(lacking()) == "mnist is not here."
    study_reading._absent.clear()  # a minute later
    assert study_reading.absent(lacking()) == ""
    study_reading._absent.clear()
    assert study_reading.absent(lacking()) == "" and loads == [], "loaded once"


def test_data_that_are_wrong_are_here(loads: list[Exception | None]) -> None:
    loads.append(ValueError("a damaged file"))
    assert study_reading.absent(lacking()) == "" and loads == []
