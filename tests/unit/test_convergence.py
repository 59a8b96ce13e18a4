"""Classes of curves that were made to be of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import convergence
from core.convergence import Surroundings, classify

X = np.arange(1.0, 101.0)
FLAT = 0.4 + 2.0 * np.exp(-X / 8)


def noise(sd: float, seed: int = 0) -> np.ndarray:
    return sd * np.random.default_rng(seed).standard_normal(len(X))


def test_a_curve_with_a_limit_that_it_reached_is_stable() -> None:
    kinds = [classify(X, FLAT + noise(0.01, seed)).kind for seed in range(100)]
    assert kinds.count("stable") >= 96  # its slope is tested at 1 %


def test_a_logarithm_still_improves_and_has_no_limit() -> None:
    found = classify(X, -382.0 - 64.0 * np.log(X) + noise(0.3))
    assert found.kind == "still improving" and found.is_unlimited
    assert "logarithmic, no limit" in found.sentence
    # The slope K/95 over 99 epochs, in total improvements of K·ln 100.
    assert found.evidence["still"] == pytest.approx(99 / 95 / np.log(100), rel=0.1)
    assert (found.first, found.last) == (91.0, 100.0)


def test_a_slow_exponential_still_improves_towards_a_limit() -> None:
    found = classify(X, np.exp(-X / 60) + noise(0.001))
    assert found.kind == "still improving" and not found.is_unlimited


def test_nan_and_a_rise_are_diverged_and_say_where() -> None:
    y = FLAT.copy()
    y[60:] = np.nan
    assert classify(X, y).kind == "diverged" and classify(X, y).first == 61.0
    assert classify(X, 1.0 + X).kind == "diverged"
    assert classify(X, 1.0 + X, better="higher").kind != "diverged"


@pytest.mark.filterwarnings("error")
def test_numbers_whose_squares_are_none_are_diverged() -> None:
    huge = np.where(X < 30, FLAT, 1e160)
    assert (classify(X, huge).kind, classify(X, huge).first) == ("diverged", 30.0)
    assert classify(X, huge).sentence == "It is beyond 1e100 from epoch 30 on."
    assert classify(X, 1e200 * FLAT, better="higher").kind == "diverged"
    runs = {"huge": huge, "good": FLAT, "high": 1e200 * FLAT}
    frame = pd.concat([pd.DataFrame({"run": run, "epoch": X, "value": y}) for run, y in runs.items()])
    for better in ("lower", "higher"):
        kinds = convergence.classify_all(frame, better=better).set_index("run")["kind"]
        assert kinds[["huge", "high"]].tolist() == ["diverged"] * 2
        assert kinds["good"] == ("stable" if better == "lower" else "diverged"), "judged by the runs that have numbers"


def test_a_plateau_counts_where_it_reaches_the_end_however_long_another_was() -> None:
    y = np.where((X <= 30) | (X > 90), 0.6931, 0.3)
    found = classify(X, y, beside=Surroundings(prior=0.6931))
    assert (found.kind, found.first, found.last) == ("prior plateau", 91.0, 100.0)


def test_eleven_labels_at_their_base_rate_are_a_prior_plateau() -> None:
    """Seen in a published instrument study: loss .3046 = H(1/11), binary accuracy 10/11, for 20 epochs."""
    found = classify(X[:20], np.full(20, 0.3046) + noise(1e-4)[:20], beside=Surroundings(prior=0.30464))
    assert found.kind == "prior plateau" and (found.first, found.last) == (1.0, 20.0)
    left = np.r_[np.full(20, 0.3046), 0.3 * np.exp(-np.arange(80) / 5.0)]
    assert classify(X, left, beside=Surroundings(prior=0.30464)).kind == "stable"


def test_a_zigzag_is_oscillatory_and_a_slow_drift_is_not() -> None:
    zigzag = FLAT + 0.3 * np.where(np.arange(100) % 2, 1, -1)
    assert classify(X, zigzag).kind == "oscillatory"
    drift = FLAT + 0.3 * np.sin(X / 4)
    assert classify(X, drift).kind != "oscillatory"
    score = 0.7 + 0.1 * np.where(np.arange(100) % 2, 1, -1) * (X > 10) + 0.0 * X
    score[0] = 0.1
    assert classify(X, score, better="higher").kind == "oscillatory"


def test_flat_but_far_behind_its_sweep_is_premature() -> None:
    others = Surroundings(best=0.1, finals=(0.1, 0.11, 0.12, 0.13, 0.4), dead=0.25)
    found = classify(X, FLAT, beside=others)
    assert found.kind == "premature" and "25 % of its units are dead" in found.sentence
    assert classify(X, FLAT - 0.28, beside=others).kind == "stable"


def test_a_curve_that_hardly_moved_is_measured_on_its_sweep() -> None:
    """Its own range would be its noise, and noise always seems to swing."""
    slow = 2.4 - 0.0002 * X + noise(0.0025)
    assert classify(X, slow).kind == "oscillatory"
    assert classify(X, slow, beside=Surroundings(best=0.4)).kind in ("stable", "still improving")


@pytest.mark.parametrize("n", [0, 1, 7])
def test_few_points_are_too_short(n: int) -> None:
    assert classify(X[:n], FLAT[:n]).kind == "too short"


def test_the_scale_of_a_curve_does_not_matter() -> None:
    for y in (FLAT, -64.0 * np.log(X), FLAT + 0.3 * np.where(np.arange(100) % 2, 1, -1)):
        assert classify(X, y).kind == classify(X, 1000.0 * y - 7e4).kind == classify(X, -y, better="higher").kind


def sweep(n: int) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    curves = [-(40 + 40 * generator.random()) * np.log(X) + 0.3 * generator.standard_normal(100) for _ in range(n)]
    return pd.concat([pd.DataFrame({"run": f"r{i}", "epoch": X, "value": y}) for i, y in enumerate(curves)])


def test_a_sweep_is_classified_run_by_run_and_counted_by_level() -> None:
    frame = pd.concat([sweep(6), pd.DataFrame({"run": "bad", "epoch": X, "value": np.where(X > 9, np.nan, 1.0)})])
    found = convergence.classify_all(frame, diverged=["r0"])
    assert list(found["run"]) == [f"r{i}" for i in range(6)] + ["bad"]
    assert list(found["kind"]) == ["diverged"] + ["still improving"] * 5 + ["diverged"]
    levels = pd.Series({"r0": 1.0, "r1": 1.0, "bad": 1.0}, name="learning_rate").reindex(found["run"]).fillna(0.1)
    table = convergence.contingency(found, levels)
    assert table.loc[1.0].to_dict() == {"diverged": 2, "still improving": 1}
    assert table.loc[0.1].to_dict() == {"diverged": 0, "still improving": 4}
