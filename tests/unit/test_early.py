"""What predicts the end, on runs whose end is known to be foretold by one thing or another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from core import early

EPOCHS = np.arange(1.0, 31.0)


def curves(rule, n: int = 24, seed: int = 0) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """n runs over three learning rates; rule(level, talent, epoch, noise) is a run's curve [epochs]."""
    noise = np.random.default_rng(seed)
    frames, finals, knobs = [], {}, []
    for i in range(n):
        level, talent = i % 3, float(noise.standard_normal())
        value = rule(level, talent, EPOCHS, noise)
        frames.append(pd.DataFrame({"run": f"r{i}", "epoch": EPOCHS, "value": value}))
        finals[f"r{i}"], _ = float(value[-1]), knobs.append({"learning_rate": 0.1**level, "width": i % 2})
    return pd.concat(frames), pd.Series(finals), pd.DataFrame(knobs, index=list(finals))


def by_rate(level: int, talent: float, epoch: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Only the learning rate counts: all else is noise anew each epoch."""
    return 10.0 * level + 0.5 * noise.standard_normal(len(epoch))


def late(level: int, talent: float, epoch: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """What a run is good for shows from epoch 15 on."""
    return talent * (epoch >= 15) + 0.05 * noise.standard_normal(len(epoch))


def test_rho_is_scipys_where_there_are_no_levels() -> None:
    frame, finals, knobs = curves(late)
    found = early.predict(frame, finals, knobs)
    at = frame[frame["epoch"] == 12].set_index("run")["value"]
    known = spearmanr(at, finals.loc[at.index]).statistic
    row = found.table[(found.table["predictor"] == early.EARLY) & (found.table["epoch"] == 12)]
    assert row["rho"].item() == pytest.approx(known)
    assert row["low"].item() <= known <= row["high"].item()


def test_it_finds_from_when_on_the_end_is_foretold() -> None:
    found = early.predict(*curves(late))
    assert found.enough_from == 15.0 and found.better_from in (15.0, 14.0)
    assert found.knobs_rho < 0.5 and "more than the hyper-parameters" in found.sentence


def test_across_learning_rates_the_learning_rate_alone_predicts() -> None:
    found = early.predict(*curves(by_rate))
    assert found.knobs_rho > 0.7
    assert found.table.loc[found.table["predictor"] == early.EARLY, "rho"].iloc[0] > 0.8
    assert np.isnan(found.better_from) and np.isnan(found.enough_from)
    assert "no epoch before the last tenth tells clearly more" in found.sentence


def test_within_a_learning_rate_it_predicts_nothing_any_more() -> None:
    found = early.predict(*curves(by_rate), within="learning_rate")
    before = found.table[(found.table["predictor"] == early.EARLY) & (found.table["epoch"] < 29)]
    assert before["rho"].abs().max() < 0.65 and abs(before["rho"].mean()) < 0.2
    assert found.knobs_rho < 0.5 and "within learning rate" in found.sentence


def test_knobs_without_information_say_nothing_and_not_the_opposite() -> None:
    _, finals, knobs = curves(late)
    assert early.from_knobs(knobs.assign(width=1, learning_rate=1), finals.to_numpy(), np.zeros(24, dtype=int)) == 0.0


def test_knobs_that_only_act_together_are_known_by_the_other_seeds() -> None:
    """End = ±1 by rate and width together, nothing by either: the configuration alone fixes the order."""
    noise = np.random.default_rng(3)
    knobs = pd.DataFrame([(a, b) for a in (0, 1) for b in (0, 1) for _ in range(4)], columns=["rate", "width"])
    end = np.where(knobs["rate"] == knobs["width"], 1.0, -1.0) + 0.01 * noise.standard_normal(16)
    assert early.from_knobs(knobs, end, np.zeros(16, dtype=int)) > 0.5
    assert early.from_knobs(knobs, noise.standard_normal(16), np.zeros(16, dtype=int)) < 0.5


def test_seeds_of_one_configuration_are_drawn_together() -> None:
    """Eight configurations, three seeds alike in each: the interval is that of 8 points, not of 24."""
    noise = np.random.default_rng(4)
    first, end = noise.standard_normal(8), noise.standard_normal(8)
    runs = [f"r{i}" for i in range(24)]
    frame = pd.DataFrame(
        [(run, epoch, first[i // 3] + 1e-6 * i + 1e-9 * epoch) for i, run in enumerate(runs) for epoch in EPOCHS],
        columns=["run", "epoch", "value"],
    )
    finals = pd.Series(np.repeat(end, 3) + 1e-6 * np.arange(24), index=runs)
    together = early.predict(frame, finals, pd.DataFrame({"cell": np.repeat(range(8), 3)}, index=runs)).table
    apart = early.predict(frame, finals, pd.DataFrame({"cell": range(24)}, index=runs)).table
    wide, narrow = (t[t["predictor"] == early.EARLY].iloc[5][["low", "high"]] for t in (together, apart))
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_the_last_value_of_the_judged_metric_is_a_baseline_of_its_own() -> None:
    frame, finals, knobs = curves(late)
    loss = frame.assign(value=-frame["value"])
    found = early.predict(loss, finals, knobs, judged=frame)
    both = found.table.pivot_table(index="epoch", columns="predictor", values="rho")
    assert np.allclose(both[early.EARLY], both[early.LAST])  # the sign of a loss is turned


def test_a_run_that_ended_early_keeps_its_last_value() -> None:
    frame, finals, knobs = curves(late)
    frame = frame[(frame["run"] != "r0") | (frame["epoch"] <= 20)]
    assert early.predict(frame, finals, knobs).table["n"].dropna().eq(24).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """ρ of a bivariate normal with r = .8 is 6/π·asin(.4) = .786."""
    truth, held = 6 / np.pi * np.arcsin(0.4), 0
    for seed in range(60):
        noise = np.random.default_rng(seed)
        end = noise.standard_normal(60)
        at = 0.8 * end + 0.6 * noise.standard_normal(60)
        names = [f"r{i}" for i in range(60)]
        frame = pd.DataFrame({"run": names, "epoch": 1.0, "value": at})
        knobs = pd.DataFrame({"width": 1}, index=names)
        row = early.predict(frame, pd.Series(end, names), knobs, n_resamples=200).table.iloc[0]
        held += bool(row["low"] <= truth <= row["high"])
    assert 50 <= held <= 60


def test_too_few_runs_are_said() -> None:
    with pytest.raises(ValueError, match="takes 5 finished runs"):
        early.predict(*curves(late, n=4))
