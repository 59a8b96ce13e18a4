"""Intervals against a textbook sample, a published table and the known spread of a correlation."""

import numpy as np
import pandas as pd
import pytest

from core import metrics, stats


def test_t_interval_of_a_textbook_sample():
    # mean 3, s = 1.5811, n = 5, t(.975, 4) = 2.7764 → 3 ± 1.9632
    mean, low, high = stats.t_interval([1, 2, 3, 4, 5])
    assert (mean, low, high) == pytest.approx((3, 1.0368, 4.9632), abs=1e-4)


def test_t_interval_of_one_value_has_no_width_to_give():
    mean, low, high = stats.t_interval([0.7])
    assert mean == 0.7 and np.isnan(low) and np.isnan(high)
    assert np.isnan(stats.t_interval([])).all()


def shrout_and_fleiss() -> pd.DataFrame:
    """Table 2 of Shrout & Fleiss 1979: six targets, four judges."""
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    return pd.DataFrame(
        [(f"target {i}", f"judge {j}", value, value) for i, row in enumerate(table) for j, value in enumerate(row)],
        columns=["item", "rater", "valence", "arousal"],
    )


def test_ceiling_is_the_published_icc():
    ceiling = stats.rater_ceiling(shrout_and_fleiss())
    assert ceiling["r2_valence"] == pytest.approx(0.44, abs=0.005)
    assert ceiling["r2"] == ceiling["r2_arousal"] == ceiling["r2_valence"]
    assert ceiling["ccc_valence"] == pytest.approx(ceiling["r2_valence"] ** 0.5)


def test_ceiling_with_unequal_numbers_of_ratings_finds_the_simulated_one():
    # true sd 1, rating sd 1.5, 4 to 16 ratings: mean noise variance 2.25 × mean(1/k)
    rng = np.random.default_rng(0)
    k = rng.integers(4, 17, size=4000)
    item = np.repeat(np.arange(len(k)), k)
    ratings = rng.normal(size=len(k))[item] + rng.normal(0, 1.5, size=len(item))
    expected = 1 / (1 + 2.25 * np.mean(1 / k))
    got = stats.rater_ceiling(pd.DataFrame({"item": item, "rater": 0, "valence": ratings}))
    assert got["r2_valence"] == pytest.approx(expected, abs=0.015)


def test_ceiling_is_left_out_where_nothing_was_rated_twice():
    assert stats.rater_ceiling(pd.DataFrame({"item": ["a", "b"], "rater": [0, 0], "valence": [1.0, 2.0]})) == {}


def correlated(n: int, rho: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


def test_bootstrap_width_is_that_of_a_correlation():
    # standard error of r is (1 − ρ²) / √n: 0.041 at n = 174, ρ = .68
    truth, prediction = correlated(174, 0.68, seed=1)
    low, high = stats.bootstrap_by_group(lambda rows: metrics.r(truth[rows], prediction[rows]), np.arange(174))
    r = metrics.r(truth, prediction)
    assert low < r < high
    assert high - low == pytest.approx(2 * 1.96 * (1 - r**2) / np.sqrt(174), rel=0.25)


def test_interval_widens_when_rows_come_in_groups():
    truth, prediction = correlated(100, 0.6, seed=2)
    truth, prediction, song = np.repeat(truth, 8), np.repeat(prediction, 8), np.repeat(np.arange(100), 8)

    def width(groups: np.ndarray) -> float:
        low, high = stats.bootstrap_by_group(
            lambda rows: metrics.r(truth[rows], prediction[rows]), groups, n_resamples=400
        )
        return high - low

    # copying every song eight times must not look like eight times the evidence
    assert width(song) > 2 * width(np.arange(800))


@pytest.mark.parametrize("task", ["emotion", "instruments"])
def test_fast_path_is_the_slow_path(task):
    rng = np.random.default_rng(3)
    items = np.array([f"song {i // 2:02d}" for i in range(60)])
    groups = np.array([f"artist {i // 6}" for i in range(60)])
    if task == "emotion":
        labels = ("valence", "arousal")
        truth = np.repeat(rng.normal(5, 1, size=(30, 2)), 2, axis=0)
        prediction = truth + rng.normal(size=truth.shape)
    else:
        labels = ("cel", "pia", "voi")
        truth = np.repeat(np.eye(3)[rng.integers(0, 3, 30)], 2, axis=0)
        prediction = np.clip(truth * 0.5 + rng.random(truth.shape) * 0.7, 0, 1)
    fast = stats.bootstrap_scores(task, truth, prediction, labels, items, groups, n_resamples=40, seed=5)
    item_truth, item_prediction, first = metrics.per_item(task, truth, prediction, items)
    assert fast
    for name, interval in fast.items():
        slow = stats.bootstrap_by_group(
            lambda rows, name=name: metrics.score(task, item_truth[rows], item_prediction[rows], labels)[name],
            groups[first],
            n_resamples=40,
            seed=5,
        )
        assert interval == pytest.approx(slow, abs=1e-9), name


def test_fast_path_names_what_it_promises():
    truth = np.random.default_rng(0).normal(size=(20, 2))
    names = stats.bootstrap_scores("emotion", truth, truth + 1, ("valence", "arousal"), range(20), range(20), 50)
    assert set(names) == {"ccc", "r2"} | {f"{m}_{k}" for m in ("ccc", "r2", "rmse") for k in ("valence", "arousal")}
    assert names["rmse_valence"] == pytest.approx((1, 1))


def test_one_group_alone_has_no_interval():
    truth = np.random.default_rng(0).normal(size=(20, 2))
    assert stats.bootstrap_scores("emotion", truth, truth, ("valence", "arousal"), range(20), ["one"] * 20) == {}
    assert np.isnan(stats.bootstrap_by_group(lambda rows: 1.0, ["one"] * 20)).all()


def test_paired_bootstrap_sees_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=200)
    shared = rng.normal(size=200)
    a, b = truth + shared, truth + 1.15 * shared
    difference, low, high, p = stats.paired_bootstrap(
        lambda rows: -metrics.rmse(truth[rows], a[rows]), lambda rows: -metrics.rmse(truth[rows], b[rows]), range(200)
    )
    assert difference == pytest.approx(0.15 * np.sqrt(np.mean(shared**2)))
    assert 0 < low < difference < high and p < 0.01


def test_a_model_does_not_differ_from_itself():
    truth, prediction = correlated(50, 0.5, seed=0)

    def score(rows: np.ndarray) -> float:
        return metrics.ccc(truth[rows], prediction[rows])

    assert stats.paired_bootstrap(score, score, range(50), n_resamples=100) == (0, 0, 0, 1)


def test_same_seed_same_interval_other_seed_another():
    truth, prediction = correlated(50, 0.5, seed=0)
    again = [
        stats.bootstrap_by_group(lambda rows: metrics.r(truth[rows], prediction[rows]), range(50), 100, seed=s)
        for s in (0, 0, 1)
    ]
    assert again[0] == again[1] != again[2]
