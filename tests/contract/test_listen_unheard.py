"""Listen without predictions: no model chosen, or one that has not heard the clip; it says which of the two it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import background, library, listening, longclip
from tests import made_runs
from tests.contract.test_listen_instruments import sound
from tests.contract.test_pages import empty, opened, words

__all__ = ["empty"]


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the player was given last."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("pages.deck.deck", lambda **about: given.update(about))
    return given


@pytest.fixture
def clip(empty: Path) -> str:
    return library.keep(sound(), "night.wav")[0].key


def below(app: AppTest) -> list[str]:
    return [text for text in words(app) if "of the clip as a whole" in text]


def test_without_any_model_the_whole_clip_says_what_is_missing(clip: str, mounted: dict[str, Any]) -> None:
    (said,) = below(opened("pages/listen.py", clip=clip))
    assert said.endswith("will stand here: choose a run under Models, in the sidebar.")
    assert mounted["unheard"] == [] and mounted["strip"] is None


@pytest.fixture
def long(clip: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same clip, taken for one of hours, and two models that may hear it."""
    made_runs.emotion()
    made_runs.instruments()
    path = library.folder() / clip
    longclip.unpack(path, path.name, longclip.root())
    monkeypatch.setattr(longclip, "FROM_S", 1.0)
    return clip


def ends(error: Exception) -> Callable[..., Any]:
    def hear(*about: Any, **more: Any) -> None:
        raise error

    return hear


@pytest.mark.parametrize("error", [background.Cancelled(), ValueError("Too little room.")])
def test_a_hearing_that_ended_is_not_taken_for_no_model(
    long: str, mounted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(listening, "listen_all", ends(error))
    app = opened("pages/listen.py", clip=long)
    assert any(button.label in ("Go on listening", "Try again") for button in app.button)
    assert mounted["unheard"] == ["emotion", "instruments"]
    (said,) = below(app)
    assert said.endswith("will stand here: once they have heard it.")


def test_what_was_heard_is_not_unheard(long: str, mounted: dict[str, Any]) -> None:
    app = opened("pages/listen.py", clip=long)
    for _ in range(50):
        if mounted["series"]:
            break
        app.run()
    assert mounted["unheard"] == [] and mounted["series"] and mounted["strip"] is not None
    assert below(app) == []
