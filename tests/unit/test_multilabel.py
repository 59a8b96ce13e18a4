"""Scores of items with several labels: scikit-learn on the same arrays, and tables counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from core import multilabel, stats
from core.datasets import IRMAS_CLASSES

RANDOM = np.random.default_rng(11)
N, CLASSES = 80, 5
LABELS = IRMAS_CLASSES[:CLASSES]
TRUTH = (RANDOM.random((N, CLASSES)) < [0.5, 0.3, 0.3, 0.2, 0.1]).astype(int)
TRUTH[0] = 0  # an item without labels
SCORES = np.round(np.clip(0.25 * TRUTH + 0.75 * RANDOM.random((N, CLASSES)), 0, 1), 2)  # many ties
LIMITS = np.array([0.4, 0.5, 0.5, 0.6, 2.0])  # the last class is never said
SAID = (SCORES >= LIMITS).astype(int)
GROUPS = np.array([f"g{i // 2:02d}" for i in range(N)])


def test_values_are_those_of_scikit_learn() -> None:
    found = multilabel.values(TRUTH, SAID, SCORES)
    for average in ("micro", "macro"):
        for name in ("f1", "precision", "recall"):
            wanted = getattr(reference, f"{name}_score")(TRUTH, SAID, average=average, zero_division=0)
            assert found[f"{average}_{name}"] == pytest.approx(wanted)
        assert found[f"{average}_roc_auc"] == pytest.approx(reference.roc_auc_score(TRUTH, SCORES, average=average))
    labelled = TRUTH.any(axis=1)
    wanted = reference.label_ranking_average_precision_score(TRUTH[labelled], SCORES[labelled])
    assert found["lrap"] == pytest.approx(wanted)
    single = TRUTH.sum(axis=1) == 1
    assert found["accuracy"] == pytest.approx((TRUTH[single].argmax(1) == SCORES[single].argmax(1)).mean())


def test_a_resample_in_which_everything_is_once_is_the_score() -> None:
    once = multilabel._weighted(TRUTH > 0, SAID > 0, SCORES, np.ones((1, N)))
    found = multilabel.values(TRUTH, SAID, SCORES)
    assert {name: once[name][0] for name in found} == pytest.approx(found)
    rows = multilabel.class_rows(TRUTH, SAID, SCORES, LABELS, LIMITS, {})
    for k, row in enumerate(rows):
        assert once[f"f1_{k}"][0] == pytest.approx(row["f1"])
        assert once[f"recall_{k}"][0] == pytest.approx(row["recall"])
        assert once[f"roc_auc_{k}"][0] == pytest.approx(row["roc_auc"])


def test_weights_stand_for_repetitions() -> None:
    weights = RANDOM.integers(0, 4, size=(3, N)).astype(float)
    found = multilabel._weighted(TRUTH > 0, SAID > 0, SCORES, weights)
    for number, times in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(N), times)
        wanted = multilabel.values(TRUTH[rows], SAID[rows], SCORES[rows])
        assert {name: found[name][number] for name in wanted} == pytest.approx(wanted)


def test_intervals_are_those_of_the_lab() -> None:
    """The same resamples as `stats.bootstrap_scores`, which knows one threshold of 0.5."""
    drawn = multilabel.resampled(TRUTH, SAID, SCORES, GROUPS, 200, seed=4)
    items = [f"{i:03d}" for i in range(N)]
    wanted = stats.bootstrap_scores("instruments", TRUTH, SAID, LABELS, items, GROUPS, 200, seed=4)
    for name in ("micro_f1", "macro_f1"):
        assert multilabel.interval(drawn[name]) == pytest.approx(wanted[name])
    assert multilabel.resampled(TRUTH, SAID, SCORES, ["one"] * N) == {}
    assert multilabel.interval(None) == (None, None)
    assert multilabel.interval(np.array([np.nan])) == (None, None)


def test_auc_with_ties_and_one_side_only() -> None:
    weights = RANDOM.integers(0, 3, size=(4, N)).astype(float)
    area = multilabel.weighted_auc(TRUTH[:, 1] > 0, SCORES[:, 1], weights)
    for number in range(4):
        assert area[number] == pytest.approx(
            reference.roc_auc_score(TRUTH[:, 1], SCORES[:, 1], sample_weight=weights[number])
        )
    assert np.isnan(multilabel.weighted_auc(np.ones(3, bool), np.arange(3.0), np.ones((2, 3)))).all()
    assert multilabel.weighted_auc(np.array([True, False]), np.array([0.3, 0.3]), np.ones((1, 2))) == [0.5]


def test_ranking_precision_of_each_item() -> None:
    found = multilabel.ranking_precision(TRUTH, SCORES)
    assert np.isnan(found[0]) and np.isfinite(found[TRUTH.any(axis=1)]).all()
    for item in np.flatnonzero(TRUTH.any(axis=1)):
        wanted = reference.label_ranking_average_precision_score(TRUTH[[item]], SCORES[[item]])
        assert found[item] == pytest.approx(wanted)


def test_what_is_special_about_a_class_is_said() -> None:
    truth = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 0, 0]])
    said = np.array([[1, 0, 1, 0, 0], [1, 0, 0, 0, 1]])
    rows = multilabel.class_rows(truth, said, said.astype(float), LABELS, np.full(5, 0.5), {})
    assert [row["note"] for row in rows] == [
        "",
        "never predicted",
        "in no item; predicted 1 times",
        "in no item, never predicted",
        "never predicted where it is",
    ]
    assert [(row["n"], row["n_said"], row["hits"]) for row in rows] == [
        (2, 2, 2),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 0),
        (1, 1, 0),
    ]
    assert [row["f1"] for row in rows] == [1.0, 0.0, None, None, 0.0]
    assert [row["precision"] for row in rows] == [1.0, None, 0.0, None, 0.0]
    assert [row["recall"] for row in rows] == [1.0, 0.0, None, None, 0.0]
    frame = multilabel.to_frame(rows)
    assert np.isnan(frame.loc[2, "f1"]) and frame["f1"].dtype == float


def test_what_is_taken_for_what() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.3], [0.0, 0.4, 0.1], [0.0, 0.0, 0.0], [0.9, 0.8, 0.0]])
    heard = np.array([True, True, True, False, True])  # the fourth is silent
    assert multilabel.confusion(truth, scores, heard).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    single = multilabel.values(truth, scores >= 0.5, scores)["accuracy"]
    assert single == pytest.approx(2 / 4)  # nothing is right about silence


def test_what_is_said_where_a_class_is_missed() -> None:
    truth = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    said = np.array([[0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]])
    n, counts, none = multilabel.missed(truth, said)
    assert n.tolist() == [2, 1, 0, 0]
    # of the first class: one item with the third and fourth said, one with nothing; what is there is no mistake
    assert counts.tolist() == [[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert none.tolist() == [1, 0, 0, 0]


def test_two_models_in_pairs() -> None:
    drawn = multilabel.resampled(TRUTH, SAID, SCORES, GROUPS, 300)
    low, high, p = multilabel.differences(drawn, drawn, ["micro_f1"])["micro_f1"]
    assert (low, high, p) == (0.0, 0.0, 1.0)
    better = multilabel.resampled(TRUTH, TRUTH, TRUTH.astype(float), GROUPS, 300)
    low, high, p = multilabel.differences(better, drawn, ["micro_f1"])["micro_f1"]
    assert low is not None and low > 0 and p == pytest.approx(2 / 301)
    wide = multilabel.interval(drawn["micro_f1"])
    assert high - low == pytest.approx(wide[1] - wide[0])  # all of it is the second's: the first is always 1
    assert multilabel.differences({}, {}, ["f1_0"])["f1_0"][:2] == (None, None)
