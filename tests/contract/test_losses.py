"""Every trainer says what its loss is and over what, and the pages that draw a loss repeat it."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainers
from core import guide
from tests import made_runs
from tests.contract.test_pages import empty, opened, words

__all__ = ["empty"]


@pytest.mark.parametrize("name", trainers.names())
def test_every_trainer_has_a_sentence(name: str) -> None:
    module = trainers.load(name)
    assert module.LOSS[0].isupper() and module.LOSS.endswith(".") and len(module.LOSS) > 40
    assert module.LOSS in guide.of_knobs(name, module).text


@pytest.mark.parametrize("page", ["run", "train"])
def test_it_stands_below_the_curves(empty: Path, page: str) -> None:
    run = made_runs.emotion()
    said = " ".join(words(opened(f"pages/{page}.py", run=run.name))).replace("\\", "")
    assert f"**Loss** of ridge: {trainers.load('ridge').LOSS}" in said
