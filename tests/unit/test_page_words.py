"""Times as pages say them."""

from __future__ import annotations

import pytest

from pages import shared


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (float("nan"), "—"),
        (9.94, "9.9 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5400, "1.5 h"),
        (47.9 * 3600, "47.9 h"),
        (60 * 3600, "2.5 days"),
        (7819.3 * 3600, "325.8 days"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_a_person_would_take(seconds: float | None, text: str) -> None:
    assert shared.duration(seconds) == text
