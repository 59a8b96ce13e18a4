"""Runs that exploded have a number, which no analysis can compare with the others."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from core import anova, effects, equivalence, pareto, power, ranks, sweepcharts
from core.usable import NO_DIGITS, too_large, usable

FACTORS = ["learning_rate", "momentum"]


def exploded() -> pd.DataFrame:
    """Six rates, two momenta, three seeds; at the two largest rates the loss has left all bounds, but not float64."""
    generator = np.random.default_rng(4)
    rows = [
        (rate, momentum, seed, rate + momentum + generator.normal(0, 0.1), "done")
        for rate in (0.01, 0.1, 0.5, 2.0, 50.0, 90.0)
        for momentum in (0.0, 0.9)
        for seed in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows, columns=[*FACTORS, "seed", "loss", "state"])
    large = frame["learning_rate"] > 10
    frame.loc[large, "loss"] = 10 ** generator.uniform(144, 168.3, int(large.sum()))
    return frame


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_runs_that_exploded_are_left_out_and_counted_in_every_analysis() -> None:
    frame = exploded()
    rest = frame[frame["learning_rate"] < 10]
    told, alone = (anova.anova(one, "loss", FACTORS) for one in (frame, rest))
    assert told.n == 24 and told.sentence == alone.sentence and "∞" not in told.sentence
    assert re.match(r"12 runs of 36 left out: taken as diverged, with a loss beyond 6\.71e\+07", told.warnings[0])
    means = effects.marginal_means(frame, "loss", FACTORS, "learning_rate")
    assert means.table["level"].tolist() == ["0.01", "0.1", "0.5", "2"] and means.table["mean"].max() < 10
    pairs = effects.pairwise(frame, "loss", FACTORS, "learning_rate")
    assert len(pairs.table) == 6 and np.isfinite(pairs.table[["t", "g"]].to_numpy(float)).all()
    assert any("50 6 of 6 and 90 6 of 6" in warning for warning in pairs.warnings)
    assert (
        "∞"
        not in ranks.rank_tests(frame, "loss", FACTORS).sentence + power.sweep_power(frame, "loss", FACTORS).sentence
    )
    axis = sweepcharts.axis_table(frame, "loss", FACTORS, "learning_rate")
    assert axis["value"].max() < 10
    sides: list[dict[str, object]] = [{"learning_rate": 0.1}, {"learning_rate": 90}]
    asked = equivalence.levels(frame, "loss", FACTORS, sides[0], sides[1], 0.1)
    small = equivalence.levels(frame, "loss", FACTORS, {"learning_rate": 0.1}, {"learning_rate": 2.0}, 0.05)
    said = r"differ by more than 0\.0500 .*p = 1\.000 for equivalence,"
    assert small.verdict == "different" and re.search(said, small.sentence)
    assert asked.verdict == "cannot be told" and "6 of 6 runs of b" in asked.sentence


def test_a_trade_off_has_no_place_for_what_exploded() -> None:
    frame = exploded().assign(seconds=np.arange(36.0))
    told = pareto.front(frame, {"seconds": "lower", "loss": "lower"}, FACTORS)
    assert len(told.table) == 8 and told.table["loss_high"].max() < 10
    assert told.warnings[:2] == (
        "12 runs taken as diverged: beyond comparing in loss.",
        "12 runs of 36 left out: diverged.",
    )
    one = exploded().query("learning_rate < 10").assign(seconds=1.0)
    one.loc[one.index[0], "loss"] = 1e160
    lost = pareto.front(one, {"seconds": "lower", "loss": "lower"}, FACTORS).table.iloc[0]
    assert (lost["n"], lost["diverged"]) == (2, 1)  # as an outcome of its configuration


def test_the_limit_is_where_squares_lose_the_others_digits() -> None:
    assert (2 * NO_DIGITS) ** 2 + 1.0 == (2 * NO_DIGITS) ** 2 and (NO_DIGITS / 2) ** 2 + 1.0 > (NO_DIGITS / 2) ** 2
    assert too_large(np.array([1e6, 2e6, 3e6, 1e12])) == pytest.approx(NO_DIGITS * 1e6)  # counts are large by nature
    assert too_large(np.array([1e-20, 1e-18, 0.3])) == NO_DIGITS  # a perfect fit makes no other run an explosion
    assert too_large(np.array([])) == too_large(np.array([np.nan, 0.0])) == NO_DIGITS
    assert too_large(np.full(4, 1e200)) < 1e39  # all of them exploded
    assert not usable(exploded().assign(loss=1e200), "loss", FACTORS).values.size
    assert usable(exploded().assign(loss=np.arange(36) * 1e9), "loss", FACTORS).values.size == 36


def test_a_front_takes_no_run_as_diverged_that_has_not_ended() -> None:
    rows = [(level, seed, 0.5 + 0.1 * level, 1.0) for level in (0, 1) for seed in (1, 2, 3)]
    frame = pd.DataFrame(rows, columns=["knob", "seed", "test/ccc", "train/loss"]).assign(state="done")
    frame.loc[0, ["state", "train/loss"]] = "diverged", 1e30
    frame.loc[1, ["state", "train/loss"]] = "running", 1e30
    goals = {"test/ccc": "higher", "train/loss": "lower"}
    told = pareto.front(frame, goals, ["knob"])
    assert not [warning for warning in told.warnings if "taken as diverged" in warning]
    assert told.table["diverged"].tolist() == [1, 0]
    frame.loc[2, "train/loss"] = 1e30
    frame = pd.concat([frame, frame.iloc[3:].assign(seed=frame["seed"].iloc[3:] + 3)])
    frame.loc[len(frame) + 9] = [0, 9, 0.5, 1.0, "done"]
    (one,) = [w for w in pareto.front(frame, goals, ["knob"]).warnings if "taken as diverged" in w]
    assert one.startswith("1 run taken as diverged")
