"""A few rounds of the campaign that `make soak` runs for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.killer import Campaign


@pytest.mark.usefixtures("warm")
def test_nothing_is_lost_to_a_few_kills(cache: Path) -> None:
    report = Campaign("toy", seed=5).go(6)
    assert report.losses == []
    assert report.rounds == 6 and report.acknowledged_bytes > 0
    assert set(report.kills) == {"runner", "app", "supervisor"}
