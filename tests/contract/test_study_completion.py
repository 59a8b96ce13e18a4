"""What a study needs beside its runs, from its page: said, made in the background, and gone once it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import background, datasets, paths
from core.verdicts import Runs
from tests import made_runs
from tests.contract.test_studies_page import CLAIM, TOY, app, checks, folder, loss_is, seen, words

__all__ = ["app", "folder"]  # fixtures

LACKING = "One finished run was not listened to yet."


@pytest.fixture
def made() -> list[int]:
    """What was made; where there is something, nothing is lacking."""
    return []


@pytest.fixture
def page(app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, made: list[int]) -> Any:
    """Opens the page of a study that `error` befalls while it makes what is lacking."""

    def opened(error: Exception | None) -> AppTest:
        def complete(runs: Runs, progress: Any) -> int:
            progress(0.5, "Run 1 of 1")
            if error is not None:
                raise error
            made.append(1)
            return 1

        (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Low.", 1e9))
        functions = {"complete": complete, "incomplete": lambda runs: "" if made else LACKING}
        checks(monkeypatch, "toy_study", loss_is=loss_is, **functions)
        made_runs.finished("toy", datasets.load("toy"), {"epochs": 3, "learning_rate": 0.05})
        return app(study="toy_study")

    return opened


def is_lacking(page: AppTest) -> bool:
    """Whether the page says so, and has the button."""
    said = LACKING.replace(".", "\\.") in words(page)
    assert said == ("complete.toy_study" in {button.key for button in page.button})
    return said


def clicked(page: AppTest) -> AppTest:
    page.button(key="complete.toy_study").click().run()
    job = background.find(("study", str(paths.cache()), "toy_study", False, ""))
    assert job is None or job.wait(60)
    return seen(page.run())


def errors(page: AppTest) -> list[str]:
    return [box.value.replace("\\", "") for box in page.error]


def test_what_is_lacking_is_made_by_a_click(page: Any, made: list[int]) -> None:
    opened = page(None)
    assert is_lacking(opened)
    assert not is_lacking(clicked(opened)) and made == [1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Its clips are gone; add them."), "Its clips are gone; add them."),
        (KeyError("lr"), "KeyError: 'lr'."),
    ],
)
def test_what_fails_is_said_until_nothing_is_lacking(page: Any, made: list[int], error: Exception, said: str) -> None:
    opened = clicked(page(error))
    assert errors(opened) == [said] and is_lacking(opened), "it can be asked for again"
    made.append(1)  # elsewhere
    opened = seen(opened.run())
    assert errors(opened) == [] and not is_lacking(opened)
    assert background.find(("study", str(paths.cache()), "toy_study", False, "")) is None
