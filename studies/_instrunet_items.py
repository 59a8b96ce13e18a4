"""What InstruNet's runs said of single excerpts, and how far scores of that move with other songs.

The runs of a study are tested on the same excerpts, so the scatter of their seeds says nothing of other music. Songs
are drawn again, whole, the same ones for every run: what a difference of runs then does is its error from the songs,
which joins that of the seeds. Sources: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13; for the
degrees of freedom of the sum, Satterthwaite 1946, Biometrics Bulletin 2(6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core import classmetrics, metrics, stats
from core.verdicts import Interval, Runs, interval
from studies._instrunet_arms import SCORED, Gap

N_RESAMPLES = 400
KEPT = "Runs keep what they predicted for validation and test when they end"


class Items(NamedTuple):
    """One row per excerpt, its windows averaged: items [n], groups [n], truth and prediction [n, labels]."""

    items: np.ndarray
    groups: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    labels: tuple[str, ...]

    def where(self, keep: np.ndarray) -> Items:
        """Some of them."""
        return Items(self.items[keep], self.groups[keep], self.truth[keep], self.prediction[keep], self.labels)


NO_ITEMS = Items(np.array([]), np.array([]), np.zeros((0, 0)), np.zeros((0, 0)), ())

Take = Callable[[Runs, str], Items]
Score = Callable[[Items, np.ndarray], np.ndarray]
"""Excerpts and weights [resamples, n] of each to scores [resamples]."""


def scored(runs: Runs) -> list[str]:
    """The runs that have a score: those of which predictions can be expected."""
    values = runs.column(SCORED)
    return [str(run) for run in values.index[np.isfinite(values)]]


def predicted(runs: Runs, run: str, parts: Sequence[str] = ("test",)) -> Items:
    """What a run that was scored predicted for these parts; no row where that was not kept, or has no such form."""
    table = runs.predictions(run)
    rows = table[table["part"].isin(list(parts))]
    labels = tuple(dict.fromkeys(rows["label"]))
    if not labels or len(rows) % len(labels):
        return NO_ITEMS
    shape = (-1, len(labels))
    if (rows["label"].to_numpy().reshape(shape) != np.array(labels)).any():
        return NO_ITEMS
    of_window, groups = rows["item"].to_numpy(str)[:: len(labels)], rows["group"].to_numpy(str)[:: len(labels)]
    asked, given = (rows[name].to_numpy(float).reshape(shape) for name in ("truth", "prediction"))
    truth, prediction, first = metrics.per_item("instruments", asked, given, of_window)
    return Items(of_window[first], groups[first], truth, prediction, tuple(map(str, labels)))


def heard(runs: Runs, run: str) -> Items:
    """What a run's polyphonic evaluation says is there (1) and not (0), by thresholds chosen on mixtures of its
    training clips; no row where there is none."""
    report = runs.polyphonic(run)
    if report is None:
        return NO_ITEMS
    items = report["items"]
    truth, said = (np.array(items[name], dtype=float) for name in ("truth", "said"))
    return Items(np.array(items["item"], dtype=str), np.array(items["group"], dtype=str), truth, said,
                 tuple(report["labels"]))  # fmt: skip


# ---- scores of resampled excerpts ----


def _counts(items: Items, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class [resamples, classes]: right answers, where it is, where it was said to be."""
    present, said = items.truth > 0, items.prediction >= classmetrics.THRESHOLD
    return weights @ (present & said), weights @ present, weights @ said


def micro_f1(items: Items, weights: np.ndarray) -> np.ndarray:
    """As `classmetrics.micro_f1`."""
    hits, wanted, said = (count.sum(axis=1) for count in _counts(items, weights))
    return 2 * hits / np.maximum(wanted + said, 1)


def macro_f1(items: Items, weights: np.ndarray) -> np.ndarray:
    """As `classmetrics.macro_f1`: over the classes that occur."""
    hits, wanted, said = _counts(items, weights)
    return _over_present(2 * hits / np.maximum(wanted + said, 1), wanted)


def recall_of(label: str) -> Score:
    """The recall of one class; NaN in a resample without it, or where the model does not know it."""

    def score(items: Items, weights: np.ndarray) -> np.ndarray:
        if label not in items.labels:
            return np.full(len(weights), np.nan)
        hits, wanted, _ = (count[:, items.labels.index(label)] for count in _counts(items, weights))
        return np.where(wanted > 0, hits / np.maximum(wanted, 1), np.nan)

    return score


def precise_share(above: float) -> Score:
    """The share of the classes that occur whose precision is above `above`; 0 where one is never said."""

    def score(items: Items, weights: np.ndarray) -> np.ndarray:
        hits, wanted, said = _counts(items, weights)
        return _over_present((hits / np.maximum(said, 1) > above).astype(float), wanted)

    return score


def _over_present(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    is_there = wanted > 0
    return np.where(is_there, values, 0.0).sum(axis=1) / np.maximum(is_there.sum(axis=1), 1)


# ---- intervals ----


def over_seeds(values: pd.Series | np.ndarray) -> Gap:
    """The mean of a number per seed: Student's interval, and p of 0."""
    from scipy.stats import ttest_1samp

    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    varies = len(finite) > 1 and float(np.ptp(finite)) > 0
    p = float(ttest_1samp(finite, 0.0).pvalue) if varies else float("nan")
    return Gap(interval(finite), p, float(len(finite) - 1))


def widened(runs: Runs, found: Gap, shares: Mapping[str, float], score: Score, take: Take = predicted) -> Gap:
    """The difference `found`, over seeds, with the error that it has from the songs; as it is where that is unknown.

    It is the sum of the runs' scores times `shares`. They must have answered the same excerpts, of two songs or more.
    """
    taken = [take(runs, run) for run in shares]
    first = taken[0] if taken else NO_ITEMS
    n_songs = len(set(first.groups))
    if n_songs < 2 or any(not np.array_equal(one.items, first.items) for one in taken):
        return found
    moved = sum(share * resampled(one, score) for share, one in zip(shares.values(), taken, strict=True))
    return with_songs(found, float(np.nanvar(moved, ddof=1)), n_songs)


def resampled(items: Items, score: Score) -> np.ndarray:
    """Scores [N_RESAMPLES] on songs drawn again; for the same excerpts always the same draws, so that runs pair."""
    draws = stats.resampled_weights(np.asarray(items.groups, dtype=str), N_RESAMPLES, 0)
    return np.concatenate([score(items, weights) for weights in draws])


def with_songs(found: Gap, variance: float, n_songs: int) -> Gap:
    """A difference over seeds with the variance that it has from this many songs."""
    from scipy.stats import t

    mean, low, high, n = found.interval
    if not np.isfinite([low, high, variance, found.df]).all() or found.df <= 0:
        return found
    parts = ((high - low) / 2 / float(t.ppf(0.975, found.df))) ** 2, variance
    total = sum(parts)
    over = f"seeds and {n_songs} songs"
    if total == 0:
        return Gap(found.interval, float(mean == 0), found.df, over)
    freedom = total**2 / (parts[0] ** 2 / found.df + parts[1] ** 2 / (n_songs - 1))
    half = float(t.ppf(0.975, freedom) * np.sqrt(total))
    p = float(2 * t.sf(abs(mean) / np.sqrt(total), freedom))
    return Gap(Interval(mean, mean - half, mean + half, n), p, float(freedom), over)
