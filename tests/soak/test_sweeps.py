"""A sweep survives the death of its supervisor and its processes, alone and together: a few here, 1,000 in the soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import sweeps


@pytest.mark.slow
def test_no_run_is_lost(cache: Path) -> None:
    report = sweeps.go(20, 10, seed=1, epochs=30, n_both=1)
    assert not report["wrong"]
    assert sorted(report["killed"]) == ["core.many", "core.runner", "core.supervisor", sweeps.BOTH]
    assert report["runs_killed"] >= 3
