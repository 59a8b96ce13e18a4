"""Where validation holds single instruments and the test mixes, every page that shows both scores says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import rundir
from tests import made_runs
from tests.contract.test_pages import empty, opened, words
from tests.unit.test_itemwords import report

__all__ = ["empty"]
TOLD = "a validation item has 1.0 instruments on average, a test item 2.2"
COUNTED = "Accuracy counts only items with exactly one label: 2 of 8 test items."


@pytest.fixture
def run(empty: Path) -> str:
    """A finished run for instruments that was scored on single validation items and on mixes."""
    folder = made_runs.instruments()
    (path,) = (folder / "evaluations").glob("*.json")
    rundir.write_json(path, report() | {"split": rundir.read_spec(folder).split})
    return folder.name


@pytest.mark.parametrize(
    ("page", "place", "sentences"),
    [
        ("run", {}, [TOLD]),
        ("run", {"view": "Scores"}, [TOLD, COUNTED]),
        ("leaderboard", {"task": "instruments"}, [TOLD, COUNTED]),
        ("train", {}, [TOLD]),
    ],
)
def test_it_is_said(run: str, page: str, place: dict[str, str], sentences: list[str]) -> None:
    app = opened(f"pages/{page}.py", **({} if page == "leaderboard" else {"run": run}), **place)
    said = " ".join(words(app)).replace("\\", "")
    assert all(sentence in said for sentence in sentences)
    if place.get("view"):
        table = next(frame.value for frame in app.dataframe if "n" in frame.value)
        assert set(table["n"]) == {4} or set(table["n"]) == {2, 8}
