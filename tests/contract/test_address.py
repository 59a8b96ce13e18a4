"""Addresses that ask for what is not there: the page opens with something else, and says so once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import library, paths
from tests.contract.test_pages import APP, opened, seen

ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a clip": ("pages/listen.py", {"clip": "no such [clip]"}, "the clip “no such [clip]”"),
    "a run": ("pages/listen.py", {"emotion": ["starter-deam-ridge", "gone"]}, "the run “gone”"),
    "a trainer": ("pages/train.py", {"trainer": "nothing"}, "the trainer “nothing”"),
    "a trainer of other data": (
        "pages/train.py",
        {"data": "deam", "trainer": "implicit_em"},
        "the trainer “implicit_em”",
    ),
    "a data set": ("pages/train.py", {"data": "nothing"}, "the data set “nothing”"),
}


@pytest.fixture(autouse=True)
def with_what_ships(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shipped clips and runs, in a new cache that the app does not take for the one before."""
    monkeypatch.setenv("EARSHOT_STARTER", str(paths.PROJECT / "starter"))
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def by_link(asked: dict[str, Any]) -> AppTest:
    """The first page, of a visit that begins with this address."""
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params = {name: value if isinstance(value, list) else [value] for name, value in asked.items()}
    return seen(app.run())


@pytest.mark.parametrize("what", ASKED)
def test_what_is_not_there_is_said_once(what: str) -> None:
    page, asked, said = ASKED[what]
    app = by_link(asked) if page == "pages/listen.py" else opened(page, **asked)
    (toast,) = [one.value.replace("\\", "") for one in app.toast]
    assert toast == f"The address asks for {said}, which cannot be had here."
    assert not app.run().toast


def test_what_is_there_is_not_spoken_of() -> None:
    clip = library.entries()[-1].key
    assert not by_link({"emotion": ["starter-deam-ridge"], "clip": clip}).toast
    assert not opened("pages/train.py", data="cues-small", trainer="instrunet").toast
