"""What a study needs beside its runs, from its page: said, made in the background, and gone once it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import background, datasets, paths
from core.verdicts import Runs
from tests import made_runs
from tests.contract.test_studies_page import CLAIM, TOY, app, checks, folder, loss_is, seen, words

__all__ = ["app", "folder"]  # fixtures

LACKING = "One finished run was not listened to yet."


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_lacking_is_made_by_a_click(
    app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    made: list[int] = []

    def complete(runs: Runs, progress: Any) -> int:
        progress(0.5, "Run 1 of 1")
        if fails:
            raise ValueError("Its clips are gone; add them.")
        made.append(1)
        return 1

    (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Low.", 1e9))
    checks(
        monkeypatch, "toy_study", loss_is=loss_is, complete=complete, incomplete=lambda runs: "" if made else LACKING
    )
    made_runs.finished("toy", datasets.load("toy"), {"epochs": 3, "learning_rate": 0.05})
    page = app(study="toy_study")
    assert LACKING.replace(".", "\\.") in words(page)
    page.button(key="complete.toy_study").click().run()
    job = background.find(("study", str(paths.cache()), "toy_study", False, ""))
    assert job is not None and job.wait(60)
    seen(page.run())
    assert (LACKING.replace(".", "\\.") in words(page)) == fails
    assert [box.value.replace("\\", "") for box in page.error] == (["Its clips are gone; add them."] if fails else [])
    assert ("complete.toy_study" in {button.key for button in page.button}) == fails, "it can be asked for again"
