"""Pages under test show what happened at once, on however slow a machine."""

from __future__ import annotations

import math

import pytest

from pages import shared


@pytest.fixture(autouse=True)
def no_look_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "DEAR_S", math.inf)
