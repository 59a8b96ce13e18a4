"""Metrics of classes: one function each, described as those of core/metrics.py are.

Truth is [n, classes] of 0 and 1, scores [n, classes]; those of one class take [n] and [n]. A class is present where its
score reaches the threshold. What is undefined (a class without items) is NaN, never an exception.
"""

from __future__ import annotations

import numpy as np

THRESHOLD = 0.5
UNDEFINED = float("nan")


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of single-label items whose highest score is on the right class.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn accuracy_score on the argmax; items with several labels are left out
    """
    single = truth.sum(axis=1) == 1
    if not single.any() or not np.isfinite(scores[single]).all():
        return UNDEFINED
    return float(np.mean(truth[single].argmax(axis=1) == scores[single].argmax(axis=1)))


def log_loss(truth: np.ndarray, scores: np.ndarray) -> float:
    """Surprise at the right class of single-label items: minus the logarithm of its probability, on average.

    Range: 0 to ∞. Unit: nats. Better: lower.
    Source: scikit-learn log_loss; scores become shares of their sum and at least 1e-12
    """
    single = truth.sum(axis=1) == 1
    chosen = np.asarray(scores, dtype=float)[single]
    if not single.any() or not np.isfinite(chosen).all() or (chosen < 0).any() or not chosen.sum(axis=1).all():
        return UNDEFINED
    right = chosen[np.arange(len(chosen)), truth[single].argmax(axis=1)] / chosen.sum(axis=1)
    return float(-np.mean(np.log(np.maximum(right, 1e-12))))


def one_hot(scores: np.ndarray) -> np.ndarray:
    """1 for the highest score of each row of [n, classes] (the first of equals), 0 for the rest."""
    return np.eye(scores.shape[1])[np.asarray(scores).argmax(axis=1)]


def _of_classes(kind: str, truth: np.ndarray, scores: np.ndarray, average: str, threshold: float) -> float:
    """F1, precision or recall: `average` "micro", or "macro" over the classes that the truth holds.

    Counted here because scikit-learn's checks cost a hundred times the counting, once per class and epoch.
    """
    if not np.isfinite(scores).all() or not truth.any():
        return UNDEFINED
    present, said = truth > 0, scores >= threshold
    hits, wanted, given = (np.sum(where, axis=0).astype(float) for where in (present & said, present, said))
    if average == "micro":
        hits, wanted, given = hits.sum(keepdims=True), wanted.sum(keepdims=True), given.sum(keepdims=True)
    top, bottom = {"f1": (2 * hits, wanted + given), "precision": (hits, given), "recall": (hits, wanted)}[kind]
    return float(np.mean((top / np.maximum(bottom, 1))[wanted > 0]))


def f1(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """F1 of one class: the harmonic mean of precision and recall; 0 where nothing was found.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: van Rijsbergen 1979, Information Retrieval, ch. 7 (scikit-learn f1_score)
    """
    return _of_classes("f1", truth.reshape(-1, 1), scores.reshape(-1, 1), "macro", threshold)


def precision(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Of the items said to be of the class, the share that is; 0 where none was said to be.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn precision_score
    """
    return _of_classes("precision", truth.reshape(-1, 1), scores.reshape(-1, 1), "macro", threshold)


def recall(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Of the items of the class, the share that was found.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn recall_score
    """
    return _of_classes("recall", truth.reshape(-1, 1), scores.reshape(-1, 1), "macro", threshold)


def micro_f1(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """F1 over all decisions pooled: common classes weigh more.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn f1_score, average="micro"
    """
    return _of_classes("f1", truth, scores, "micro", threshold)


def macro_f1(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Mean F1 over the classes that occur: a rare class counts as much as a common one.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn f1_score, average="macro" over the classes present
    """
    return _of_classes("f1", truth, scores, "macro", threshold)


def micro_precision(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Of all labels given, the share that is right.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn precision_score, average="micro"
    """
    return _of_classes("precision", truth, scores, "micro", threshold)


def macro_precision(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Mean precision over the classes that occur.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn precision_score, average="macro" over the classes present
    """
    return _of_classes("precision", truth, scores, "macro", threshold)


def micro_recall(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Of all true labels, the share that was found.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn recall_score, average="micro"
    """
    return _of_classes("recall", truth, scores, "micro", threshold)


def macro_recall(truth: np.ndarray, scores: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Mean recall over the classes that occur.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn recall_score, average="macro" over the classes present
    """
    return _of_classes("recall", truth, scores, "macro", threshold)


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Chance that a random item of the class scores above a random item without it; 0.5 is guessing.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: Hanley & McNeil 1982, Radiology 143(1), 29–36 (scikit-learn roc_auc_score)
    """
    from sklearn.metrics import roc_auc_score

    truth, scores = np.asarray(truth).ravel() > 0, np.asarray(scores).ravel()
    if truth.all() or not truth.any() or not np.isfinite(scores).all():
        return UNDEFINED
    return float(roc_auc_score(truth, scores))


def micro_roc_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """ROC-AUC over all decisions pooled, one threshold for every class.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn roc_auc_score, average="micro"
    """
    return roc_auc(truth, scores)


def macro_roc_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean ROC-AUC over the classes that some items have and others have not.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: scikit-learn roc_auc_score, average="macro" over the classes where it is defined
    """
    values = [roc_auc(truth[:, c], scores[:, c]) for c in range(truth.shape[1])]
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined and np.isfinite(scores).all() else UNDEFINED


def lrap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Label-ranking average precision: how near the top an item's true labels are ranked; 1 is all of them first.

    Range: 0 to 1. Unit: none. Better: higher.
    Source: Tsoumakas, Katakis & Vlahavas 2010 (scikit-learn label_ranking_average_precision_score); items without
        a label are left out
    """
    from sklearn.metrics import label_ranking_average_precision_score

    labelled = truth.any(axis=1)
    if not labelled.any() or truth.shape[1] < 2 or not np.isfinite(scores).all():
        return UNDEFINED
    return float(label_ranking_average_precision_score(truth[labelled] > 0, scores[labelled]))


def threshold_f1(truth: np.ndarray, scores: np.ndarray) -> float:
    """The one threshold for all classes with the best micro F1 on these items: choose it on validation data.

    A class is present where score >= threshold. Thresholds lie half-way between neighbouring scores; 0.5 where the
    truth has no label at all or a score is not finite.
    """
    order = np.argsort(-np.asarray(scores, dtype=float).ravel(), kind="stable")
    sorted_scores, hits = np.asarray(scores, dtype=float).ravel()[order], np.asarray(truth).ravel()[order] > 0
    if not hits.any() or not np.isfinite(sorted_scores).all():
        return THRESHOLD
    taken = np.arange(1, len(hits) + 1)
    f1_values = 2 * np.cumsum(hits) / (taken + hits.sum())
    ends = np.append(sorted_scores[:-1] > sorted_scores[1:], True)  # a threshold cannot part equal scores
    best = int(np.flatnonzero(ends)[np.argmax(f1_values[ends])])
    return float(sorted_scores[best] if best == len(hits) - 1 else (sorted_scores[best] + sorted_scores[best + 1]) / 2)
