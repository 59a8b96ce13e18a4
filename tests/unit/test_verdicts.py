"""What all checks decide in the same way: runs that did not finish, configurations by themselves, signs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import studyruns, verdicts
from core.verdicts import Interval, Runs


def runs(states: list[str], rates: list[float]) -> Runs:
    n = len(states)
    results = pd.DataFrame(
        {"run": [f"r{i}" for i in range(n)], "stage": "main", "cell": [sorted(set(rates)).index(r) for r in rates],
         "seed": range(n), "state": states, "diverged": [s == "diverged" for s in states], "learning_rate": rates}
    )  # fmt: skip
    return Runs(results, lambda metric: pd.DataFrame(), ("learning_rate",))


def test_what_diverged_and_what_failed_is_kept_beside_what_finished() -> None:
    some = runs(["done", "diverged", "failed", "done", "diverged"], [0.1, 0.1, 0.1, 0.2, 0.2])
    assert some.main.only(learning_rate=0.1).losses() == ("Of 3 runs 1 diverged and 1 failed and is to be run again. ")
    assert some.main.losses() == (
        "Of 5 runs 2 diverged (1 at learning rate 0.1, 1 at learning rate 0.2) and 1 failed and is to be run again. "
    )
    assert len(some.main.diverged) == 2 and some.only(learning_rate=0.3).losses() == ""
    assert len(some.only(unknown=1)) == 0 and some.only(unknown=1).losses() == ""


def test_what_is_missing_is_said_with_what_diverged() -> None:
    said = verdicts.too_few(runs(["done", "done", "diverged", "diverged"], [0.1, 0.1, 0.2, 0.2]).main, 2)
    assert said.startswith("Of 4 runs 2 diverged (2 at learning rate 0.2). 1 of the 2 cells")


def test_configurations_are_no_replicates_of_one_number() -> None:
    """Half at 0.88 and half at 1.12: the pooled interval, [0.92, 1.08], holds none of them."""
    values = [0.879, 0.88, 0.881, 1.119, 1.12, 1.121]
    of = runs(["done"] * 6, [0.1] * 3 + [0.2] * 3).main
    parts = verdicts.by_cell(of, pd.Series(values, [f"r{i}" for i in range(6)]))
    assert verdicts.interval(values * 2).where(0.9, 1.1) == "inside"
    assert parts["learning rate 0.1"].mean == pytest.approx(0.88) and parts["learning rate 0.1"].n == 3
    assert verdicts.where_all(parts, 0.9, 1.1) == "outside"
    assert verdicts.where_all(parts, 0.8, 1.2) == "inside" and verdicts.where_all({}, 0, 1) == "across"
    assert verdicts.where_all(parts, 0.88, 1.2) == "across"
    assert verdicts.over_cells(parts, 0.9, 1.2, ".2f") == (
        "0.88 to 1.12 over 2 configurations (n = 6 runs), at learning rate 0.1: 0.88 [0.88, 0.88], n = 3"
    )


def test_one_of_many_is_outside_by_chance_more_easily() -> None:
    """3 normal values each in 8 configurations whose mean is the margin: 1 study in 20 says outside, not 1 in 6."""
    drawn = np.random.default_rng(1).normal(size=(400, 8, 3))
    told = [{str(i): verdicts.interval(values) for i, values in enumerate(study)} for study in drawn]
    naive = np.mean([any(part.where(0, np.inf) == "outside" for part in parts.values()) for parts in told])
    kept = np.mean([verdicts.where_all(parts, 0, np.inf) == "outside" for parts in told])
    assert naive > 0.12 and kept < 0.05
    low = Interval(0.5, 0.1, 0.9, 3)
    assert "may be chance in one of 2" in verdicts.over_cells({"a": low, "b": Interval(2, 1.5, 2.5, 3)}, 1, 3)
    assert low.among(1) == pytest.approx(low)
    ends = low.among(4)
    assert ends.high - 0.5 == pytest.approx(0.4 * 8.8604 / 4.30265, rel=1e-3)  # t with 2 degrees, 0.99375 and 0.975


def test_intervals_have_minus_signs_and_their_ends_in_order() -> None:
    found = Interval(1.05, 1.02, 1.08, 12).times(-1)
    assert found.text(".2f") == "−1.05 [−1.08, −1.02], n = 12"
    assert found.times(-100) == Interval(105, 102, 108, 12)
    assert Interval(np.nan, np.nan, np.nan, 0).times(-1).n == 0
    assert Interval(-0.0123, -0.02, 0.004, 3).text(".1%") == "−1.2 % [−2.0 %, 0.4 %], n = 3"


def test_a_failure_hides_no_outcome_of_the_same_seed() -> None:
    """A run that diverged and was then made again on a full disk has diverged."""
    rows = [
        {"run": f"{state}{seed}", "stage": "main", "cell": 0, "seed": seed, "state": state, "together": False,
         "created_at": f"2026-01-0{day}"}
        for seed, states in ((1, ("diverged", "failed")), (2, ("done", "diverged")), (3, ("done", "failed")))
        for day, state in enumerate(states, 1)
    ]  # fmt: skip
    assert studyruns._one_per_seed(pd.DataFrame(rows))["run"].tolist() == ["diverged1", "done2", "done3"]
