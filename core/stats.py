"""Intervals and ceilings: how far a number would move with other seeds or other songs, and how good it could get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.classmetrics import THRESHOLD, one_hot
from core.metrics import ONE_CLASS_TASKS, per_item

if TYPE_CHECKING:
    import pandas as pd

Score = Callable[[np.ndarray], float]
_CHUNK = 128  # resamples at a time: bounds memory at 128 × items


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of n independent values and its Student t interval: (mean, low, high); low and high are NaN for n = 1.

    Values that are not finite are left out. Source: Student 1908, Biometrika 6(1), 1–25.
    """
    from scipy.stats import t

    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 2:
        return (float(finite[0]) if len(finite) else float("nan")), float("nan"), float("nan")
    half = t.ppf(0.5 + level / 2, len(finite) - 1) * finite.std(ddof=1) / np.sqrt(len(finite))
    return float(finite.mean()), float(finite.mean() - half), float(finite.mean() + half)


def bootstrap_by_group(
    score: Score, groups: Sequence[str] | np.ndarray, n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval (low, high) of `score` over resampled groups (songs), drawn with replacement.

    `score` takes row indices (with repetitions) and gives a number; resamples where it is NaN are left out. One
    group alone gives NaN. Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    values = [score(rows) for rows in _resampled_rows(groups, n_resamples, seed)]
    return _percentiles(np.asarray(values, dtype=float), level)


def paired_bootstrap(
    score_a: Score,
    score_b: Score,
    groups: Sequence[str] | np.ndarray,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float, float, float]:
    """Whether A and B differ on the same songs: (a − b, low, high, p), both scored on the same resamples.

    p is two-sided: twice the smaller share of resamples on either side of zero, with one added to both counts, so
    it is never below 2 / (n_resamples + 1). Source: Efron & Tibshirani 1993, ch. 15–16.
    """
    everything = np.arange(len(groups))
    difference = float(score_a(everything) - score_b(everything))
    values = np.array([score_a(rows) - score_b(rows) for rows in _resampled_rows(groups, n_resamples, seed)])
    low, high = _percentiles(values, level)
    return difference, low, high, two_sided_p(values)


def two_sided_p(differences: np.ndarray) -> float:
    """p of no difference from bootstrapped differences [n_resamples], as in `paired_bootstrap`; NaN where none."""
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return float("nan")
    smaller = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(finite) + 1))


def bootstrap_scores(
    task: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: Sequence[str],
    items: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals (low, high) by metric name, over resampled groups; see `resampled_scores`.

    Metrics without a finite interval (one group alone, an undefined score) are left out.
    """
    values = resampled_scores(task, truth, prediction, labels, items, groups, n_resamples, seed)
    intervals = {name: _percentiles(value, level) for name, value in values.items()}
    return {name: interval for name, interval in intervals.items() if np.isfinite(interval).all()}


def resampled_scores(
    task: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: Sequence[str],
    items: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores [n_resamples] by metric name on resampled groups, rows of one item averaged first.

    truth and prediction are [n, labels]. "emotion" gives ccc, r2, and ccc_, r2_, rmse_ of each label; "instruments"
    accuracy, micro_f1, macro_f1; "digits" and "images" accuracy, macro_f1. A resample is a weight per item, so each
    metric is a few matrix products. Two models scored on the same items with the same seed see the same resamples:
    their difference is paired.
    """
    truth, prediction, first = per_item(task, truth, prediction, items)
    assert len(groups) == len(items) and truth.shape[1] == len(labels), (len(groups), len(items), truth.shape)
    of = {"emotion": _weighted_emotion, "instruments": _weighted_instruments}.get(task)
    of = _weighted_one_class if task in ONE_CLASS_TASKS else of
    group_of_item = np.asarray(groups, dtype=str)[first]
    if of is None or len(set(group_of_item)) < 2:
        return {}
    chunks = [of(truth, prediction, labels, w) for w in resampled_weights(group_of_item, n_resamples, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def rater_ceiling(raters: pd.DataFrame) -> dict[str, float]:
    """The best scores that the raters' disagreement allows, per label column beside `item` and `rater`.

    `r2_<label>` is the reliability of the mean rating, ICC(1,k): variance of the songs' true means over the variance
    of the means of the ratings; with k ratings everywhere (MS_between − MS_within) / MS_between, with unequal k the
    harmonic mean of k stands for k. `ccc_<label>` is its root, the largest correlation any prediction can have;
    `r2` and `ccc` are means over labels. Labels without two rated items, or without an item rated twice, are left
    out. Source: Shrout & Fleiss 1979, Psychological Bulletin 86(2), 420–428; unequal k: Searle, Casella & McCulloch
    1992, Variance Components, ch. 3.
    """
    ceiling: dict[str, float] = {}
    for label in (column for column in raters.columns if column not in ("item", "rater")):
        reliability = _reliability(raters["item"].to_numpy(), raters[label].to_numpy(dtype=float))
        if np.isfinite(reliability):
            ceiling |= {f"r2_{label}": reliability, f"ccc_{label}": float(np.sqrt(reliability))}
    for name in ("r2", "ccc"):
        values = [value for key, value in ceiling.items() if key.startswith(f"{name}_")]
        ceiling |= {name: float(np.mean(values))} if values else {}
    return ceiling


def _reliability(items: np.ndarray, ratings: np.ndarray) -> float:
    rated = np.isfinite(ratings)
    _, which, k = np.unique(items[rated], return_inverse=True, return_counts=True)
    n, total = len(k), int(k.sum())
    if n < 2 or total <= n:
        return float("nan")
    ratings = ratings[rated]
    means = np.bincount(which, ratings) / k
    within = float(((ratings - means[which]) ** 2).sum()) / (total - n)
    between = float((k * (means - ratings.mean()) ** 2).sum()) / (n - 1)
    k_effective = (total - float((k**2).sum()) / total) / (n - 1)
    true_variance = max(0.0, (between - within) / k_effective)
    noise_variance = within * float(np.mean(1 / k))
    return true_variance / (true_variance + noise_variance) if true_variance + noise_variance > 0 else float("nan")


def _weighted_emotion(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[str], weights: np.ndarray
) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}
    share = weights / weights.sum(axis=1, keepdims=True)
    centre = truth.mean(axis=0)  # sums of squares far from zero lose digits
    t, p = truth - centre, prediction - centre
    t_mean, p_mean = share @ t, share @ p
    t_var, p_var = share @ t**2 - t_mean**2, share @ p**2 - p_mean**2
    covariance = share @ (t * p) - t_mean * p_mean
    squared_error = share @ (t - p) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        varies = t_var > 1e-12
        ccc = np.where(varies, 2 * covariance / (t_var + p_var + (t_mean - p_mean) ** 2), np.nan)
        r2 = np.where(varies, 1 - squared_error / t_var, np.nan)
    for k, label in enumerate(labels):
        values |= {f"ccc_{label}": ccc[:, k], f"r2_{label}": r2[:, k], f"rmse_{label}": np.sqrt(squared_error[:, k])}
    return values | {"ccc": ccc.mean(axis=1), "r2": r2.mean(axis=1)}


def _weighted_one_class(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[str], weights: np.ndarray
) -> dict[str, np.ndarray]:
    found = _weighted_instruments(truth, one_hot(prediction), labels, weights)
    return {name: found[name] for name in ("accuracy", "macro_f1")}


def _weighted_instruments(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[str], weights: np.ndarray
) -> dict[str, np.ndarray]:
    present, said = truth > 0, prediction >= THRESHOLD
    hits, wanted, given = weights @ (present & said), weights @ present, weights @ said
    single = truth.sum(axis=1) == 1
    right = single & (truth.argmax(axis=1) == prediction.argmax(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(wanted > 0, 2 * hits / (wanted + given), np.nan)
        occurs = np.isfinite(f1)
        macro = np.where(occurs, f1, 0).sum(axis=1) / occurs.sum(axis=1)
        micro = 2 * hits.sum(axis=1) / (wanted.sum(axis=1) + given.sum(axis=1))
        accuracy = (weights @ right) / (weights @ single)
    return {"accuracy": accuracy, "micro_f1": micro, "macro_f1": macro}


def resampled_weights(groups: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks [resamples, items] of how often each item is drawn when groups are drawn with replacement."""
    names, which = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    for start in range(0, n_resamples, _CHUNK):
        size = min(_CHUNK, n_resamples - start)
        drawn = generator.integers(len(names), size=(size, len(names))) + np.arange(size)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=size * len(names)).reshape(size, len(names))
        yield counts[:, which].astype(float)


def _resampled_rows(groups: Sequence[str] | np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    groups = np.asarray(groups, dtype=str)
    if len(set(groups)) < 2:
        return
    for weights in resampled_weights(groups, n_resamples, seed):
        for row in weights.astype(int):
            yield np.repeat(np.arange(len(groups)), row)


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
