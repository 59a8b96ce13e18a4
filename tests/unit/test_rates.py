"""Shares of diverged runs: Wilson's interval against scipy's and his table, counts, and what counts for nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from core import rates
from pages import palette


@pytest.mark.parametrize(("k", "n"), [(0, 3), (3, 3), (1, 3), (7, 20), (0, 1), (99, 100)])
def test_the_interval_is_scipys(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    low, high = rates.wilson(np.array([k]), np.array([n]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_of_nothing_is_unknown() -> None:
    low, high = rates.wilson(np.array([0]), np.array([0]))
    assert np.isnan(low[0]) and np.isnan(high[0])


def sweep() -> pd.DataFrame:
    """Two knobs, 3 seeds: at rate 100 all diverge; one of the others was stopped, one failed, one waits."""
    rows = [(rate, size, seed) for rate in (0.1, 9.0, 100.0) for size in (1, 2) for seed in (1, 2, 3)]
    frame = pd.DataFrame(rows, columns=["rate", "size", "seed"])
    state = np.where(frame["rate"] == 100, "diverged", "done").astype(object)
    state[[0, 4, 8]] = "stopped", "failed", "queued"
    return frame.assign(run=[f"r{k}" for k in range(len(frame))], state=state, diverged=state == "diverged")


def test_runs_that_did_not_end_by_themselves_count_for_nothing() -> None:
    found = rates.rates(sweep(), ("rate", "size")).set_index("name")
    assert found["text"].to_dict() == {
        "0.1 · 1": "0 of 2", "0.1 · 2": "0 of 2", "9 · 1": "0 of 2", "9 · 2": "0 of 3", "100 · 1": "3 of 3",
        "100 · 2": "3 of 3",
    }  # fmt: skip
    assert list(found["rate"]) == [0, 0, 0, 0, 1, 1] and found.loc["9 · 2", "high"] == pytest.approx(0.5615, abs=1e-4)
    said = rates.sentence(sweep())
    assert (
        said.startswith("6 of 15 runs diverged: 40 %, 95 % interval 20 % to 64 % (Wilson).")
        and "3 runs stopped" in said
    )
    assert "nothing is known" in rates.sentence(sweep().assign(state="queued"))
    by_level = rates.rates(sweep(), ("rate",))
    assert list(by_level["name"]) == ["0.1", "9", "100"] and list(by_level["n"]) == [4, 5, 6]


def test_divergence_goes_with_the_rate_and_not_with_the_size() -> None:
    assert rates.with_factor(sweep(), "rate").p < 0.001
    assert "is not shown to go with size" in rates.with_factor(sweep(), "size").sentence


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chart_says_its_counts(theme: str) -> None:
    drawn = rates.drawing(rates.rates(sweep(), ("rate",)), "rate", palette.ROLES[theme]).to_dict()
    assert drawn["description"] == "Divergence rate by rate: 0.1 0 of 4; 9 0 of 5; 100 6 of 6."
    pair = rates.pair(sweep(), "rate", "size")
    assert list(pair["at"]) == [0.1, 0.1, 9, 9, 100, 100] and list(pair["mean"]) == [0, 0, 0, 0, 1, 1]
