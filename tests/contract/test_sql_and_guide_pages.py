"""The SQL page asks what its address says; the Guide finds what its address says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import paths, sqlbox
from core.sql_examples import EXAMPLES
from tests.unit.test_store import finished

HOSTILE = "<b>x</b>'; DROP TABLE runs;--[a](javascript:b)"


@pytest.fixture
def filled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    st.cache_resource.clear()
    finished("run-a", 0.5, 0.4, config={"learning_rate": 0.1})
    finished("run-b", 0.6, 0.5, config={"learning_rate": 0.2}, trainer=HOSTILE)
    yield cache
    st.cache_resource.clear()


def opened(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(paths.PROJECT / "app.py"), default_timeout=60).run().switch_page(page)
    app.query_params = {name: [value] for name, value in query.items()}
    app.run()
    assert [box.message for box in app.exception] == []
    return app


def test_a_link_is_a_question_with_its_answer(filled: Path) -> None:
    app = opened("pages/sql.py", sql="SELECT run, seed FROM runs ORDER BY run")
    assert app.dataframe[0].value["run"].tolist() == ["run-a", "run-b"]
    assert any("2 rows × 2 columns" in caption.value for caption in app.caption)


def test_an_example_fills_the_box_and_the_chart(filled: Path) -> None:
    app = opened("pages/sql.py")
    assert app.text_area[0].value == EXAMPLES[0].statement
    example = EXAMPLES[1]
    app.selectbox(key="example").set_value(example.question).run()
    assert app.text_area[0].value == example.statement
    assert [app.selectbox(key=key).value for key in ("x", "y", "colour")] == [example.x, example.y, example.colour]
    assert sorted(app.dataframe[0].value["learning_rate"]) == [0.1, 0.2]
    assert [box.message for box in app.exception] == []


@pytest.mark.parametrize(
    "statement", ["DROP TABLE runs", "SELECT", f"SELECT '{HOSTILE}", "FROM '/etc/passwd'", "SELECT 1; SELECT 2"]
)
def test_a_refusal_is_one_sentence_and_the_next_question_is_answered(filled: Path, statement: str) -> None:
    app = opened("pages/sql.py", sql=statement)
    (told,) = app.error
    assert "<b>" not in told.value.replace("\\<b\\>", "") and "\n" not in told.value
    app.text_area[0].set_value("SELECT count(*) AS n FROM runs").run()
    assert not app.error and app.dataframe[0].value["n"].tolist() == [2]


def test_columns_named_like_markup_are_text(filled: Path) -> None:
    app = opened("pages/sql.py", sql='SELECT run, 1.5 AS "<b>[a](b)</b>" FROM runs')
    assert [box.message for box in app.exception] == []
    assert all("<b>" not in heading.value.replace("\\<b\\>", "") for heading in app.subheader)


def test_the_guide_searches_by_its_address(filled: Path) -> None:
    app = opened("pages/guide.py", q="concordance")
    assert "ccc" in [heading.value for heading in app.subheader]
    nothing = opened("pages/guide.py", q=HOSTILE)
    assert not nothing.subheader and any("Nothing has these words" in caption.value for caption in nothing.caption)
    metrics = opened("pages/guide.py", section="Metrics")
    assert {"ccc", "lrap", "loss"} <= {heading.value for heading in metrics.subheader}


def test_files_of_an_answer_are_made_when_they_are_asked_for(filled: Path) -> None:
    with mock.patch.object(sqlbox, "as_csv") as csv, mock.patch.object(sqlbox, "as_parquet") as parquet:
        app = opened("pages/sql.py")
        assert len(app.get("download_button")) == 2
    csv.assert_not_called()
    parquet.assert_not_called()
