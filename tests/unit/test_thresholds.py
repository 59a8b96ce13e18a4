"""Thresholds: hand-made scores with one best cut, scikit-learn over every cut, and classes without mixtures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from core import thresholds


def test_the_best_cut_of_hand_made_scores() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1]] * 5)
    scores = np.array([[0.9, 0.1], [0.7, 0.05], [0.3, 0.2], [0.1, 0.15]] * 5)
    of_all = thresholds.choose("global", truth, scores)
    assert of_all.of_all == pytest.approx(0.125)  # takes all of 0.9, 0.7, 0.3, 0.2, 0.15: 20 of 25 are right
    assert (of_all.values == of_all.of_all).all() and of_all.floored == ()
    assert of_all.micro_f1 == pytest.approx(2 * 20 / (20 + 25))
    each = thresholds.choose("class", truth, scores)
    assert each.values == pytest.approx([0.5, 0.125])  # half-way between what is there and what is not
    assert each.micro_f1 == 1.0
    assert each.counts.tolist() == [10, 10] and each.n == 20


def test_no_other_cut_is_better() -> None:
    random = np.random.default_rng(3)
    truth = (random.random((60, 4)) < 0.3).astype(int)
    scores = np.clip(0.3 * truth + random.random((60, 4)) * 0.7, 0, 1)
    cuts = np.append(np.unique(scores), 2.0)
    chosen = thresholds.choose("global", truth, scores)
    best = max(f1_score(truth, scores >= cut, average="micro", zero_division=0) for cut in cuts)
    assert chosen.micro_f1 == pytest.approx(best)
    each = thresholds.choose("class", truth, scores)
    for k in range(4):
        best = max(f1_score(truth[:, k], scores[:, k] >= cut, zero_division=0) for cut in cuts)
        assert f1_score(truth[:, k], scores[:, k] >= each.values[k]) == pytest.approx(best)


def test_a_class_in_too_few_mixtures_takes_the_floor() -> None:
    truth, scores = np.zeros((30, 3)), np.zeros((30, 3))
    truth[:15, 0], scores[:15, 0] = 1, 0.2
    truth[:9, 1], scores[:9, 1] = 1, 0.01  # one mixture short of a threshold of its own
    chosen = thresholds.choose("class", truth, scores)
    assert chosen.floored == (1, 2)
    assert chosen.values[1:].tolist() == [0.5, 0.5]
    assert chosen.values[0] == pytest.approx(0.1)
    louder = thresholds.choose("class", truth, np.where(truth > 0, 0.9, 0.5))
    assert louder.of_all == pytest.approx(0.7) and louder.values[2] == pytest.approx(0.7)  # the global one is higher


def test_silence_is_never_said() -> None:
    truth = np.ones((20, 2))
    chosen = thresholds.choose("global", truth, np.zeros((20, 2)))
    assert (chosen.values > 0).all()
    assert not thresholds.said(np.zeros((1, 2)), chosen.values).any()
    assert thresholds.said(np.array([[0.5, 0.4]]), np.array([0.5, 0.5])).tolist() == [[1.0, 0.0]]


def test_no_such_thresholds() -> None:
    with pytest.raises(ValueError, match="no thresholds 'both'; there are global, class"):
        thresholds.choose("both", np.zeros((1, 1)), np.zeros((1, 1)))
