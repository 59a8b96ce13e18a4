"""Forked children have what this process has: one whole run in it, so that none of them imports for seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import datasets
from tests import made_runs


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Everything a run, its scoring and the index import."""
    with pytest.MonkeyPatch.context() as patch:
        cache: Path = tmp_path_factory.mktemp("warm")
        patch.setenv("EARSHOT_CACHE", str(cache))
        patch.setenv("EARSHOT_STARTER", str(cache / "no-starter"))
        made_runs.finished("toy", datasets.load("toy", "emotion"), {"epochs": 1})
