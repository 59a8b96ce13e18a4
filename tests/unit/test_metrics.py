"""Metrics against closed forms, hand counts and the reference library."""

import numpy as np
import pytest

from core import classmetrics, metrics

LABELS = ("valence", "arousal")


def normal(n: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 1.2, size=n)


def test_ccc_of_a_shifted_and_scaled_copy_is_the_closed_form():
    truth = normal()
    for scale, shift in ((1.0, 0.7), (0.5, 0.0), (1.8, -1.1)):
        prediction = scale * truth + shift
        sigma, sigma_p = truth.std(), scale * truth.std()
        gap = prediction.mean() - truth.mean()
        assert metrics.ccc(truth, prediction) == pytest.approx(2 * sigma * sigma_p / (sigma**2 + sigma_p**2 + gap**2))
        assert metrics.r(truth, prediction) == pytest.approx(1)


def test_ccc_of_itself_is_one_and_of_its_mirror_minus_one():
    truth = normal()
    assert metrics.ccc(truth, truth) == pytest.approx(1)
    assert metrics.ccc(truth, 2 * truth.mean() - truth) == pytest.approx(-1)


def test_ccc_is_never_above_the_correlation():
    for seed in range(20):
        truth, prediction = normal(40, seed), normal(40, seed + 100) + 0.5 * normal(40, seed)
        assert abs(metrics.ccc(truth, prediction)) <= abs(metrics.r(truth, prediction)) + 1e-12


def test_predicting_the_mean_explains_nothing():
    truth = np.column_stack([normal(), normal(seed=1)])
    scores = metrics.score("emotion", truth, metrics.baseline("emotion", truth, len(truth)), LABELS)
    assert scores["r2"] == pytest.approx(0, abs=1e-12) and scores["ccc"] == pytest.approx(0, abs=1e-12)
    assert scores["rmse_valence"] == pytest.approx(truth[:, 0].std())
    assert "r_valence" not in scores  # a constant correlates with nothing: left out, not zero


def test_emotion_means_are_over_labels():
    truth = np.column_stack([normal(), normal(seed=1)])
    scores = metrics.score("emotion", truth, truth + np.array([0.0, 1.0]), LABELS)
    assert scores["ccc_valence"] == pytest.approx(1)
    assert scores["r2_arousal"] == pytest.approx(1 - 1 / truth[:, 1].var())
    assert scores["ccc"] == pytest.approx((1 + scores["ccc_arousal"]) / 2)
    assert scores["rmse_arousal"] == pytest.approx(1)


def test_rows_of_one_item_are_averaged_before_scoring():
    song_truth = normal(30)
    truth = np.repeat(song_truth, 4)[:, None]
    wobble = np.tile([3.0, -3.0, 1.0, -1.0], 30)[:, None]  # cancels within every song
    items = np.repeat([f"song {i}" for i in range(30)], 4)
    shuffled = np.random.default_rng(0).permutation(len(truth))
    scores = metrics.score("emotion", truth[shuffled], (truth + wobble)[shuffled], ("valence",), items[shuffled])
    assert scores["ccc_valence"] == pytest.approx(1)


def test_instruments_of_one_item_are_its_windows_together():
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    scores = np.array([[0.9, 0.2, 0.0], [0.3, 0.8, 0.0], [0.0, 0.0, 1.0]])
    got_truth, got_scores, first = metrics.per_item("instruments", truth, scores, ["a", "a", "b"])
    assert got_truth.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert got_scores == pytest.approx(np.array([[0.6, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert first.tolist() == [0, 2]


def test_f1_by_hand():
    # class a: 2 hits, 1 false alarm, 1 miss → F1 4/6; class b: 1 hit, 0, 1 → 2/3 … pooled 3 hits of 4 said, 5 true
    truth = np.array([[1, 0], [1, 1], [1, 0], [0, 1], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.7], [0.2, 0.1], [0.1, 0.3], [0.6, 0.2]])
    got = metrics.score("instruments", truth, scores, ("a", "b"))
    assert got["precision_a"] == pytest.approx(2 / 3) and got["recall_a"] == pytest.approx(2 / 3)
    assert got["precision_b"] == pytest.approx(1) and got["recall_b"] == pytest.approx(1 / 2)
    assert got["f1_a"] == pytest.approx(2 / 3) and got["f1_b"] == pytest.approx(2 / 3)
    assert got["micro_precision"] == pytest.approx(3 / 4) and got["micro_recall"] == pytest.approx(3 / 5)
    assert got["micro_f1"] == pytest.approx(2 * 3 / (4 + 5))
    assert got["macro_f1"] == pytest.approx(2 / 3)
    # single-label rows 0, 2 and 3: the argmax is right on all three
    assert got["accuracy"] == pytest.approx(1)


def test_macro_f1_counts_the_classes_that_occur_and_leaves_the_others_out():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    scores = np.array([[0.9, 0.0, 0.8], [0.0, 0.9, 0.0], [0.9, 0.0, 0.0]])
    got = metrics.score("instruments", truth, scores, ("a", "b", "c"))
    assert got["macro_f1"] == pytest.approx(1)
    assert "f1_c" not in got and "recall_c" not in got and "roc_auc_c" not in got
    assert got["micro_f1"] == pytest.approx(6 / 7)  # the false alarm on c still counts here


def test_against_the_reference_library():
    from sklearn.metrics import (
        f1_score,
        label_ranking_average_precision_score,
        precision_score,
        r2_score,
        recall_score,
        roc_auc_score,
    )

    rng = np.random.default_rng(0)
    truth, scores = (rng.random((200, 4)) < 0.3).astype(int), rng.random((200, 4))
    truth = truth[truth.any(axis=1)]
    scores = scores[: len(truth)]
    got = metrics.score("instruments", truth, scores, tuple("abcd"))
    assert got["macro_f1"] == pytest.approx(f1_score(truth, scores >= 0.5, average="macro"))
    assert got["micro_f1"] == pytest.approx(f1_score(truth, scores >= 0.5, average="micro"))
    assert got["macro_precision"] == pytest.approx(precision_score(truth, scores >= 0.5, average="macro"))
    assert got["micro_recall"] == pytest.approx(recall_score(truth, scores >= 0.5, average="micro"))
    assert got["recall_c"] == pytest.approx(recall_score(truth[:, 2], scores[:, 2] >= 0.5))
    assert got["macro_roc_auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert got["micro_roc_auc"] == pytest.approx(roc_auc_score(truth, scores, average="micro"))
    assert got["lrap"] == pytest.approx(label_ranking_average_precision_score(truth, scores))
    assert metrics.r2(normal(), normal(seed=1)) == pytest.approx(r2_score(normal(), normal(seed=1)))


def test_lrap_by_hand():
    # true label ranked first → 1; ranked third → 1/3
    truth = np.array([[1, 0, 0], [0, 0, 1]])
    assert classmetrics.lrap(truth, np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])) == pytest.approx((1 + 1 / 3) / 2)


def test_roc_auc_is_one_half_for_equal_scores_and_the_pair_count_otherwise():
    truth = np.array([1, 0, 1, 0, 0])
    assert classmetrics.roc_auc(truth, np.full(5, 0.3)) == pytest.approx(0.5)
    # of 6 pairs (2 × 3) the item at 0.9 wins 3 and the item at 0.4 wins 1
    assert classmetrics.roc_auc(truth, np.array([0.9, 0.5, 0.4, 0.6, 0.1])) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    "truth",
    [np.full((5, 2), 4.0), np.zeros((0, 2)), np.ones((1, 2)), np.full((5, 2), np.nan)],
    ids=["constant", "empty", "one item", "NaN"],
)
def test_undefined_emotion_scores_are_left_out(truth):
    got = metrics.score("emotion", truth, truth + 0.5, LABELS)
    assert not {"ccc", "r2", "ccc_valence", "r_arousal"} & set(got)
    assert all(np.isfinite(value) for value in got.values())


@pytest.mark.parametrize(
    ("truth", "scores"),
    [
        (np.zeros((4, 3)), np.full((4, 3), 0.5)),
        (np.ones((4, 3)), np.full((4, 3), 0.5)),
        (np.eye(3), np.full((3, 3), np.nan)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ],
    ids=["no labels", "all labels", "NaN scores", "empty"],
)
def test_undefined_instrument_scores_are_left_out(truth, scores):
    got = metrics.score("instruments", truth, scores, tuple("abc"))
    assert "macro_roc_auc" not in got and all(np.isfinite(value) for value in got.values())


def test_a_diverged_model_has_no_emotion_score():
    truth = np.column_stack([normal(), normal(seed=1)])
    prediction = truth.copy()
    prediction[3, 0] = np.nan
    got = metrics.score("emotion", truth, prediction, LABELS)
    assert "ccc_valence" not in got and "ccc" not in got and got["ccc_arousal"] == pytest.approx(1)


def test_baseline_of_classes_is_the_base_rate():
    truth = np.eye(3)[[0, 0, 0, 1]]
    assert metrics.baseline("instruments", truth, 2).tolist() == [[0.75, 0.25, 0], [0.75, 0.25, 0]]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("validation/ccc_valence", "ccc"),
        ("test/f1_pia", "f1"),
        ("train/loss", "loss"),
        ("optim/learning_rate", "learning_rate"),
        ("optim/gradient_norm", "gradient_norm"),
        ("validation/macro_f1", "macro_f1"),
        ("train/rmse_arousal", "rmse"),
        ("test/r_valence", "r"),
        ("test/r2_valence", "r2"),
        ("test/roc_auc_gel", "roc_auc"),
        ("ccc", "ccc"),
    ],
)
def test_logged_names_have_a_metric(name, metric):
    assert metrics.about(name).name == metric


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"train/loveliness.*ccc"):
        metrics.about("train/loveliness")


def test_every_metric_says_what_it_is():
    for name, metric in metrics.METRICS.items():
        assert metric.name == name and metric.range and metric.unit and metric.sentence.endswith(".")
        assert metric.better in ("higher", "lower", "neither")
        assert metric.source or metric.function is None


def test_every_scored_name_has_a_metric_and_lies_in_its_range():
    rng = np.random.default_rng(0)
    classes = np.eye(3)[rng.integers(0, 3, 50)]
    values = metrics.score("instruments", classes, rng.random((50, 3)), tuple("abc"))
    values |= metrics.score("emotion", rng.normal(size=(50, 2)), rng.normal(size=(50, 2)), LABELS)
    for name, value in values.items():
        low, _, high = metrics.about(name).range.replace("∞", "inf").partition(" to ")
        assert float(low) <= value <= float(high), name


def test_a_board_is_ranked_by_the_tasks_metric():
    assert [metrics.primary(task) for task in ("emotion", "digits", "generation")] == ["ccc", "accuracy", "loss"]


def test_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 5)) < 0.3).astype(int)
    scores = np.round(np.clip(0.3 * truth + rng.random((60, 5)) * 0.6, 0, 1), 2)  # ties on purpose
    best = classmetrics.micro_f1(truth, scores, classmetrics.threshold_f1(truth, scores))
    assert best == pytest.approx(max(classmetrics.micro_f1(truth, scores, t) for t in np.arange(0, 1.005, 0.005)))
    assert classmetrics.threshold_f1(np.zeros((3, 2)), np.ones((3, 2))) == 0.5


def test_the_ends_of_every_metric_are_what_its_range_says() -> None:
    ends = {name: metric.ends for name, metric in metrics.METRICS.items()}
    assert ends["ccc"] == (-1.0, 1.0) and ends["r2"] == (-np.inf, 1.0) and ends["mse"] == (0.0, np.inf)
    assert all(low < high for low, high in ends.values())
