"""Power against Cohen's tables, closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import FTestAnovaPower, TTestIndPower

from core import power


@pytest.mark.parametrize(("d", "n"), [(0.2, 393), (0.5, 64), (0.8, 26)])
def test_cohens_two_groups(d: float, n: int) -> None:
    # Cohen 1992, table 2: n for power .80 at α = .05, two-sided
    assert power.seeds_needed(d) in (n, n + 1)
    assert power.t_power(d, n) == pytest.approx(0.80, abs=0.01)
    assert power.t_power(d, n) == pytest.approx(TTestIndPower().power(d, n, 0.05), abs=1e-9)


@pytest.mark.parametrize(
    ("effect", "groups", "n"), [(0.1, 3, 322), (0.25, 3, 52), (0.4, 3, 21), (0.1, 4, 274), (0.25, 4, 45), (0.4, 4, 18)]
)
def test_cohens_analysis_of_variance(effect: float, groups: int, n: int) -> None:
    assert power.groups_power(effect, groups, n) == pytest.approx(0.80, abs=0.012)
    theirs = FTestAnovaPower().power(effect, groups * n, 0.05, groups)
    assert power.groups_power(effect, groups, n) == pytest.approx(theirs, abs=1e-9)


def test_no_effect_is_seen_as_often_as_alpha() -> None:
    assert power.t_power(0.0, 5) == pytest.approx(0.05) and power.f_power(0.0, 3, 14) == pytest.approx(0.05)
    assert power.t_power(300.0, 3) == 1.0


@pytest.mark.parametrize("n", [2, 3, 5, 50])
def test_detectable_is_the_inverse(n: int) -> None:
    d = power.detectable(n)
    assert power.t_power(d, n) == pytest.approx(0.8) and power.detectable(n, df=100) <= d
    assert power.t_power(d * 0.99, n) < 0.8 and power.seeds_needed(d * 1.000001) == n


def test_interaction_power_is_that_of_groups_where_they_are_the_same() -> None:
    # 2 × 2 with an interaction of ±δ: λ = 4nδ² / σ²
    means = np.array([[0.5, -0.5], [-0.5, 0.5]]) + np.array([[1.0], [3.0]]) + np.array([[10.0, -7.0]])
    assert power.interaction_power(means, 2.0, 6, is_blocked=False) == pytest.approx(
        power.f_power(4 * 6 * 0.25 / 4, 1, 20)
    )
    assert power.interaction_power(means, 2.0, 6) == pytest.approx(power.f_power(1.5, 1, 15))


def sweep(n_seeds: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [(o, lr, s) for o in "ab" for lr in (1, 2, 3, 4) for s in range(n_seeds)]
    frame = pd.DataFrame(rows, columns=["o", "lr", "seed"])
    return frame.assign(score=generator.normal(0, 2.0, size=len(frame)) + 10 * frame["seed"])


def test_a_sweep_says_what_it_can_see() -> None:
    told = power.sweep_power(sweep(3), "score", ["o", "lr"])
    assert (
        told.n == 3 and told.d == pytest.approx(power.detectable(3, df=14)) and told.sd == pytest.approx(2.0, rel=0.4)
    )
    assert told.difference == pytest.approx(told.d * told.sd)
    assert "With n = 3 seeds you can see differences" in told.sentence and "power of 80 %" in told.sentence
    assert power.t_power(1.0, told.seeds_for_one, df=7 * (told.seeds_for_one - 1)) >= 0.8
    assert power.t_power(1.0, told.seeds_for_one - 1, df=7 * (told.seeds_for_one - 2)) < 0.8
    assert told.seeds_for_half > told.seeds_for_one


def test_what_a_sweep_cannot_say() -> None:
    one = power.sweep_power(sweep(1), "score", ["o", "lr"])
    assert "One seed per cell" in one.sentence and np.isnan(one.d)
    ragged = sweep(2).drop(index=[0])
    assert "Some configuration has one seed" in power.sweep_power(ragged, "score", ["o", "lr"]).sentence
    with pytest.raises(ValueError, match="cannot be planned"):
        power.seeds_needed(0.0)
    assert power.seeds_needed(1e-9) == power.MOST_SEEDS
