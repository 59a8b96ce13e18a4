"""Laws through curves whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from core import curves

X = np.arange(1.0, 101.0)


def noisy(y: np.ndarray, sd: float, seed: int = 0) -> np.ndarray:
    return y + sd * np.random.default_rng(seed).standard_normal(len(y))


def test_a_logarithm_is_found_with_its_slope() -> None:
    found = curves.fit(X, noisy(-382.0 - 64.0 * np.log(X), 0.3))
    assert found.best.law == curves.LOGARITHM and found.has_no_limit and found.best.limit is None
    assert found.best.parameters["b"] == pytest.approx(64.0, abs=0.2)
    assert found.best.residual_sd == pytest.approx(0.3, rel=0.25)
    assert "logarithmic, no limit" in found.sentence


def test_a_power_law_is_found_with_its_limit() -> None:
    found = curves.fit(X, noisy(2.0 + 3.0 * X**-0.8, 0.005))
    assert found.best.law == curves.POWER_LIMIT and not found.has_no_limit
    assert found.best.parameters["c"] == pytest.approx(0.8, abs=0.03)
    assert found.best.limit == pytest.approx(2.0, abs=0.02)


def test_an_exponential_is_found_with_its_limit() -> None:
    found = curves.fit(X, noisy(0.5 + 2.0 * np.exp(-0.07 * X), 0.01))
    assert found.best.law == curves.EXPONENTIAL
    assert found.best.parameters["c"] == pytest.approx(0.07, rel=0.05)
    assert found.best.limit == pytest.approx(0.5, abs=0.01)
    assert np.allclose(found.best.at(X), 0.5 + 2.0 * np.exp(-0.07 * X), atol=0.02)


def test_a_limit_farther_off_than_the_curve_has_come_is_none_to_count_on() -> None:
    """1 − e^(−t/200) has come to 0.39 after 100 epochs: an exponential without doubt, its limit a guess."""
    found = curves.fit(X, noisy(1 - np.exp(-0.005 * X), 1e-4))
    assert found.best.law == curves.EXPONENTIAL and found.has_no_limit
    assert "out of sight" in found.sentence and "logarithmic" not in found.sentence


def test_a_power_law_without_a_limit_is_found() -> None:
    found = curves.fit(X, noisy(5.0 * X**-0.5, 0.01))
    assert found.best.law == curves.POWER
    assert found.best.parameters == pytest.approx({"b": -5.0, "c": 0.5}, rel=0.02)


def test_laws_without_noise_are_exact() -> None:
    found = curves.fit(X, 1.0 - 4.0 * X**-1.5)
    assert found.best.law == curves.POWER_LIMIT
    assert found.best.parameters == pytest.approx({"a": 1.0, "b": 4.0, "c": 1.5}, rel=1e-4)


def test_which_law_wins_is_right_nearly_always() -> None:
    """40 curves of each kind: noise of 1 % of the improvement decides no case the wrong way round."""
    right = {"log": 0, "exponential": 0}
    for seed in range(40):
        right["log"] += curves.fit(X, noisy(-np.log(X), 0.046, seed)).has_no_limit
        right["exponential"] += not curves.fit(X, noisy(np.exp(-X / 15), 0.01, seed)).has_no_limit
    assert right["exponential"] == 40
    assert right["log"] >= 32  # AICc lets one superfluous parameter in about one time in eight


def test_aicc_is_as_in_the_book() -> None:
    """n·ln(RSS/n) + 2k + 2k(k+1)/(n−k−1), k = 3 with the variance, worked by hand from numpy's own fit."""
    y = noisy(-2.0 * np.log(X), 0.2)
    coefficients = np.polyfit(np.log(X), y, 1)
    rss = float(((y - np.polyval(coefficients, np.log(X))) ** 2).sum())
    expected = 100 * np.log(rss / 100) + 6 + 24 / 96
    assert curves.fit(X, y).of(curves.LOGARITHM).aicc == pytest.approx(expected, abs=1e-6)


def test_slope_against_log_agrees_with_scipy() -> None:
    from scipy.stats import linregress, t

    y = noisy(-520.0 - 64.0 * np.log(X), 0.5)
    found, known = curves.slope_against_log(X, y, 20, 100), linregress(np.log(X[19:]), y[19:])
    assert found.slope == pytest.approx(known.slope)
    assert found.high - found.slope == pytest.approx(known.stderr * t.ppf(0.975, 79))
    assert found.low < -64 < found.high and found.n == 81


@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_points_are_said(n: int) -> None:
    with pytest.raises(ValueError, match="at least 6 points"):
        curves.fit(X[:n], X[:n])


def test_what_is_not_finite_is_left_out() -> None:
    y = -3.0 * np.log(X)
    y[[4, 50]] = np.nan, np.inf
    assert curves.fit(np.r_[0.0, X], np.r_[9.0, y]).best.parameters["b"] == pytest.approx(3.0)


def test_a_constant_curve_breaks_nothing() -> None:
    found = curves.fit(X, np.full(100, 3.0))
    assert np.isfinite([one.aicc for one in found.all]).all()


def test_a_limit_farther_away_than_the_curve_has_come_is_none_in_sight() -> None:
    """5700·x^−0.012 − 6000 falls by 300 in 100 epochs and has 5,400 to go; e^(−x/15) is nearly there."""
    x = np.arange(1.0, 101.0)
    bent = curves.fit(x, 5700 * x**-0.012 - 6000)
    assert bent.best.law == curves.POWER_LIMIT and bent.has_no_limit
    assert not curves.fit(x, np.exp(-x / 15)).has_no_limit


def test_a_straight_curve_is_a_line_without_a_limit() -> None:
    found = curves.fit(X, noisy(0.1 + 0.004 * X, 0.002))
    assert found.best.law == curves.LINE and found.has_no_limit and found.best.limit is None
    assert found.best.parameters["b"] == pytest.approx(-0.004, rel=0.02)
    assert found.best.at(np.array([1000.0])) == pytest.approx([4.1], rel=0.02)
    assert "a straight line, no limit: it rises by 0.004 each time x grows by 1" in found.sentence
