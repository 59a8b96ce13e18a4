"""Calibration of drawn probabilities: none, one whose size an integral gives, and the interval against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from core import calibration

N = 200_000


def drawn(power: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores p, uniform, of decisions that come true with probability p^power."""
    random = np.random.default_rng(5)
    scores = random.random(N)
    return (random.random(N) < scores**power).astype(int), scores


def test_probabilities_are_calibrated() -> None:
    table = calibration.curve(*drawn(1))
    assert calibration.error(table) < 0.005 and abs(calibration.bias(table)) < 0.005
    assert table["n"].sum() == N and len(table) == 10
    assert table["score"].to_numpy() == pytest.approx(np.arange(10) / 10 + 0.05, abs=0.002)
    inside = (table["share_low"] <= table["score"]) & (table["score"] <= table["share_high"])
    assert inside.sum() >= 8


def test_too_sure_by_a_sixth() -> None:
    """Given p and true with p²: the mean distance is ∫ p − p² = 1/6, all of it in one direction."""
    table = calibration.curve(*drawn(2))
    assert calibration.error(table) == pytest.approx(1 / 6, abs=0.004)
    assert calibration.bias(table) == pytest.approx(1 / 6, abs=0.004)
    shy = calibration.curve(*drawn(0.5))  # ∫ √p − p = 1/6
    assert calibration.bias(shy) == pytest.approx(-1 / 6, abs=0.004)


def test_too_sure_here_and_not_sure_enough_there() -> None:
    """Given p and true with 1 − p: ∫ |2p − 1| = 1/2, bin by bin the same, and no bias at all."""
    random = np.random.default_rng(6)
    scores = random.random(N)
    table = calibration.curve(random.random(N) < 1 - scores, scores)
    assert calibration.error(table) == pytest.approx(0.5, abs=0.004)
    assert calibration.bias(table) == pytest.approx(0.0, abs=0.004)


def test_edges_empty_bins_and_nothing() -> None:
    table = calibration.curve(np.array([[1, 0], [1, 0]]), np.array([[1.0, 0.0], [0.95, 0.0]]))
    assert table["low"].tolist() == [0.0, 0.9] and table["n"].tolist() == [2, 2]
    assert table["share"].tolist() == [0.0, 1.0]
    expected = binomtest(2, 2).proportion_ci(0.95, method="wilson")
    assert table.loc[1, ["share_low", "share_high"]].tolist() == pytest.approx([expected.low, expected.high])
    nothing = calibration.curve(np.zeros((0, 3)), np.zeros((0, 3)))
    assert nothing.empty and np.isnan(calibration.error(nothing)) and np.isnan(calibration.bias(nothing))
