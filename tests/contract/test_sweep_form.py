"""The form of a new sweep and the one that adds to it: mistakes are one sentence, and nothing typed is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from core import sweepfile, sweeps
from core.executors import local
from tests.contract.test_pages import opened, seen
from tests.contract.test_sweep_commands import TEXT


@pytest.fixture(autouse=True)
def quiet(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def test_what_is_typed_as_seeds_is_read_or_refused_in_a_sentence() -> None:
    app = opened("pages/sweeps.py")
    for wrong in ("1-3", "1, 1, x"):
        app = seen(app.text_input(key="seeds").set_value(wrong).run())
        (box,) = app.error
        assert box.value.replace("\\", "").startswith("Seeds are whole numbers, such as 4, 5, 6; '")
        assert not [button for button in app.button if button.label.startswith("Start")]
    app = seen(app.text_input(key="seeds").set_value("5 7").run())
    assert not app.error and "seeds = [5, 7]" in app.code[0].value
    app = seen(app.text_input(key="seeds").set_value("3, 3").run())
    assert "line" not in app.error[0].value


def test_nothing_is_added_where_no_level_is_named() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    app = opened("pages/sweeps.py", sweep=sweep)
    (button,) = [button for button in app.button if button.label == "Add levels"]
    app = seen(button.click().run())
    assert [box.value.replace("\\", "") for box in app.error] == ["Say which levels of momentum, such as 0.3, 1."]
    assert not app.success and len(sweeps.read(sweep).cells) == 2


def test_a_search_begins_around_the_defaults() -> None:
    """A whole legal range, as of learning rates from 0.000001 to 100, is no place to search."""
    app = opened("pages/sweeps.py")
    app = seen(app.selectbox(key="design").set_value("random").run())
    app = seen(app.multiselect(key="factors.toy").set_value(["learning_rate", "batch_size", "dropout"]).run())
    assert not app.error, app.error[0].value
    file = sweepfile.parse(app.code[0].value)
    assert {name: (one.low, one.high) for name, one in file.factors.items()} == {
        "learning_rate": (0.01, 1.0), "batch_size": (6, 640), "dropout": (0.0, 0.95),
    }  # fmt: skip
