"""Scores of items with several labels each: per class, over classes, with intervals, and what is taken for what.

Arrays are [items, classes]: `truth` and `said` of 0 and 1, `scores` of 0 or more. Intervals draw groups (songs) again,
on the same resamples as the rest of the lab, so that two models on the same items compare in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core import classmetrics, metrics, stats

RESAMPLES = 1000
LEVEL = 0.95
AVERAGED = ("f1", "precision", "recall")


def values(truth: np.ndarray, said: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Metrics over classes by name (micro_f1, macro_recall, macro_roc_auc, lrap …); what is undefined is left out."""
    found = {of.__name__: of(truth, said) for of in metrics.OVER_CLASSES}
    found |= {of.__name__: of(truth, scores) for of in metrics.RANKING}
    single, right = _single(truth > 0, scores)
    found["accuracy"] = float(right[single].mean()) if single.any() else classmetrics.UNDEFINED
    return {name: value for name, value in found.items() if np.isfinite(value)}


def resampled(
    truth: np.ndarray,
    said: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The same metrics, and f1_K, precision_K, recall_K and roc_auc_K of each class number K, on resampled groups.

    Arrays [n_resamples] by name, NaN where a resample leaves a metric undefined; {} with one group alone. Source of
    the bootstrap: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    groups = np.asarray(groups, dtype=str)
    if len(set(groups)) < 2:
        return {}
    chunks = [
        _weighted(truth > 0, said > 0, scores, weights)
        for weights in stats.resampled_weights(groups, n_resamples, seed)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def interval(resamples: np.ndarray | None) -> tuple[float | None, float | None]:
    """The 95 % percentile interval of resampled values, (None, None) where none is finite."""
    finite = np.array([]) if resamples is None else resamples[np.isfinite(resamples)]
    if not len(finite):
        return None, None
    low, high = np.quantile(finite, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def class_rows(
    truth: np.ndarray,
    said: np.ndarray,
    scores: np.ndarray,
    labels: Sequence[str],
    thresholds: np.ndarray,
    resamples: dict[str, np.ndarray],
) -> list[dict[str, object]]:
    """A row per class: label, n (items that have it), n_said, hits, threshold, f1 with low and high, precision, recall,
    roc_auc, and in words what makes its numbers special ("never predicted"). None is a number that does not exist."""
    present, given = truth > 0, said > 0
    rows: list[dict[str, object]] = []
    for k, label in enumerate(labels):
        n, n_said, hits = int(present[:, k].sum()), int(given[:, k].sum()), int((present & given)[:, k].sum())
        low, high = interval(resamples.get(f"f1_{k}")) if n else (None, None)
        auc = classmetrics.roc_auc(truth[:, k], scores[:, k])
        rows.append(
            {
                "label": label,
                "n": n,
                "n_said": n_said,
                "hits": hits,
                "threshold": float(thresholds[k]),
                "f1": 2 * hits / (n + n_said) if n else None,
                "low": low,
                "high": high,
                "precision": hits / n_said if n_said else None,
                "recall": hits / n if n else None,
                "roc_auc": auc if np.isfinite(auc) else None,
                "note": _note(n, n_said, hits),
            }
        )
    return rows


def _note(n: int, n_said: int, hits: int) -> str:
    if n == 0:
        return f"in no item; predicted {n_said} times" if n_said else "in no item, never predicted"
    if n_said == 0:
        return "never predicted"
    return "never predicted where it is" if hits == 0 else ""


def confusion(truth: np.ndarray, scores: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Counts [classes, classes] of items with exactly one label: its row, and as column the class that scores highest.

    Items that are not `heard` (bool [items]: silence has no highest score) are left out.
    """
    single = (truth.sum(axis=1) == 1) & heard
    counts = np.zeros((truth.shape[1], truth.shape[1]), dtype=int)
    np.add.at(counts, (truth[single].argmax(axis=1), scores[single].argmax(axis=1)), 1)
    return counts


def missed(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is said in place of a class that is there and missed.

    Returns n [classes], items where the class is present and not said; counts [classes, classes], of these how many
    have each class said that is not there (several may be); and none [classes], how many have no such class.
    """
    is_missed = ((truth > 0) & ~(said > 0)).astype(int)
    is_wrong = (~(truth > 0) & (said > 0)).astype(int)
    nothing = (is_wrong.sum(axis=1) == 0).astype(int)
    return is_missed.sum(axis=0), is_missed.T @ is_wrong, is_missed.T @ nothing


def differences(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], names: Sequence[str]
) -> dict[str, tuple[float | None, float | None, float]]:
    """First less second on the same resamples by name: (low, high, p), p two-sided (see stats.two_sided_p)."""
    found = {}
    for name in names:
        apart = first[name] - second[name] if name in first and name in second else np.array([np.nan])
        low, high = interval(apart)
        found[name] = (low, high, stats.two_sided_p(apart))
    return found


def ranking_precision(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Label-ranking average precision of each item [items]: of the classes that score at least as high as a true one
    the share that is true, averaged over the true ones; NaN for an item without labels."""
    is_true = np.asarray(truth) > 0
    at_least = scores[:, None, :] >= scores[:, :, None]  # [items, of this class, the classes not below it]
    share = (at_least & is_true[:, None, :]).sum(axis=2) / at_least.sum(axis=2)
    n = is_true.sum(axis=1)
    return np.where(n > 0, np.where(is_true, share, 0).sum(axis=1) / np.maximum(n, 1), np.nan)


def weighted_auc(is_there: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ROC-AUC [resamples] of decisions `is_there` [n] by `scores` [n], with `weights` [resamples, n] of each.

    The share of pairs (there, not there) in which the first scores higher, ties half. NaN where a side has no weight.
    """
    order = np.argsort(scores, kind="stable")
    there, weights = is_there[order], weights[:, order].astype(float)
    edges = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))  # where each run of equal scores begins
    of_there = np.add.reduceat(weights * there, edges, axis=1)
    of_others = np.add.reduceat(weights * ~there, edges, axis=1)
    below = np.cumsum(of_others, axis=1) - of_others / 2
    pairs = of_there.sum(axis=1) * of_others.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (of_there * below).sum(axis=1) / pairs, np.nan)


def _weighted(present: np.ndarray, given: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics on some resamples, `weights` [resamples, items]."""
    hits, wanted, said = (weights @ where for where in (present & given, present, given))
    found: dict[str, np.ndarray] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        tops = {"f1": (2 * hits, wanted + said), "precision": (hits, said), "recall": (hits, wanted)}
        for name, (top, bottom) in tops.items():
            found[f"micro_{name}"] = top.sum(axis=1) / np.maximum(bottom.sum(axis=1), 1)
            of_class = np.where(wanted > 0, top / np.maximum(bottom, 1), np.nan)
            found[f"macro_{name}"] = _mean(of_class)
            found |= {f"{name}_{k}": of_class[:, k] for k in range(present.shape[1])}
        single, right = _single(present, scores)
        found["accuracy"] = (weights @ right) / (weights @ single)
        ranked = ranking_precision(present, scores)
        known = np.isfinite(ranked)
        found["lrap"] = (weights[:, known] @ ranked[known]) / weights[:, known].sum(axis=1)
    areas = [weighted_auc(present[:, k], scores[:, k], weights) for k in range(present.shape[1])]
    found |= {f"roc_auc_{k}": area for k, area in enumerate(areas)}
    found["macro_roc_auc"] = _mean(np.stack(areas, axis=1))
    repeated = np.repeat(weights, present.shape[1], axis=1)
    found["micro_roc_auc"] = weighted_auc(present.ravel(), scores.ravel(), repeated)
    return found


def _single(present: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether an item has exactly one label, and whether that one scores highest; of silence nothing does."""
    single = present.sum(axis=1) == 1
    return single, single & scores.any(axis=1) & (present.argmax(axis=1) == scores.argmax(axis=1))


def _mean(of_class: np.ndarray) -> np.ndarray:
    """Mean over the classes that are defined, [resamples]; NaN where none is."""
    defined = np.isfinite(of_class)
    n = defined.sum(axis=1)
    return np.where(n > 0, np.where(defined, of_class, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def to_frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Rows of classes as a table; None becomes NaN."""
    frame = pd.DataFrame(list(rows))
    numbers = [name for name in frame if name not in ("label", "note")]
    return frame.astype(dict.fromkeys(numbers, float))
