"""Windows put together: hand-made curves whose mean, maximum and share of the largest are known."""

from __future__ import annotations

import numpy as np
import pytest

from core.aggregation import AGGREGATES, PROTOCOLS, aggregate

NAN = float("nan")
CURVES = np.array([[0.2, 0.4], [0.6, 0.0], [NAN, NAN], [0.1, 0.3], [NAN, NAN]])
COUNTS = np.array([2, 2, 1])  # the second item is silent in its first window, the third altogether


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("mean", [[0.4, 0.2], [0.1, 0.3], [0.0, 0.0]]),
        ("max", [[0.6, 0.4], [0.1, 0.3], [0.0, 0.0]]),
        ("sum-max", [[1.0, 0.5], [1 / 3, 1.0], [0.0, 0.0]]),
    ],
)
def test_each_aggregate_of_known_curves(how: str, wanted: list[list[float]]) -> None:
    assert aggregate(CURVES, COUNTS, how) == pytest.approx(np.array(wanted))


def test_one_window_is_itself_by_mean_and_max() -> None:
    values = np.random.default_rng(1).random((7, 3))
    for how in ("mean", "max"):
        assert aggregate(values, np.ones(7, int), how) == pytest.approx(values)
    assert aggregate(values, np.ones(7, int), "sum-max").max(axis=1) == pytest.approx(1.0)


def test_no_item_and_no_such_aggregate() -> None:
    for how in AGGREGATES:
        assert aggregate(np.zeros((0, 3)), np.zeros(0, int), how).shape == (0, 3)
    with pytest.raises(ValueError, match="no aggregate 'median'; there are mean, max, sum-max"):
        aggregate(CURVES, COUNTS, "median")


def test_the_protocols_are_those_published() -> None:
    assert PROTOCOLS == {"published": (3.0, 1.5), "han": (1.0, 0.5)}
