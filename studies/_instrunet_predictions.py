"""Checks of InstruNet's claims that need what was predicted for each excerpt: confusions, polyphony, the leak.

`polyphonic_scores` is the one place that knows where scores of excerpts with several instruments come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core import metrics, stats
from core.datasets import INSTRUMENT_NAMES
from core.verdicts import NOT_REPRODUCED, REPRODUCED, Interval, Runs, Verdict, interval, unknown
from studies._instrunet_arms import (
    BOTH,
    PLAIN,
    SCORED,
    arm,
    by_gap,
    dots,
    framed,
    gap,
    means,
    p_text,
    pooled,
    short_of,
)

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


def scored(runs: Runs) -> list[str]:
    """The runs that have a score: those of which predictions can be expected."""
    values = runs.column(SCORED)
    return [str(run) for run in values.index[np.isfinite(values)]]


# ---- polyphony ----


def polyphonic_scores(runs: Runs, average: str = "micro") -> tuple[pd.Series, int]:
    """F1 at .5 by run over the test excerpts with two instruments or more, and how many of these there are (at least).

    Empty where no run was tested on any. This is what stored predictions tell; a report of a polyphonic evaluation with
    windows and thresholds of its own belongs here, once runs keep one.
    """
    score = metrics.micro_f1 if average == "micro" else metrics.macro_f1
    values, counts = {}, []
    for run in scored(runs):
        found = predicted(runs, run)
        several = found.where(found.truth.sum(axis=1) >= 2) if len(found.items) else found
        if len(several.items):
            values[run] = score(several.truth, several.prediction)
            counts.append(len(several.items))
    return pd.Series(values, dtype=float), min(counts, default=0)


def polyphonic_micro_f1(runs: Runs) -> pd.Series:
    """Micro F1 over test excerpts with several instruments, by run."""
    return polyphonic_scores(runs)[0]


def polyphonic_macro_f1(runs: Runs) -> pd.Series:
    """Macro F1 over test excerpts with several instruments, by run."""
    return polyphonic_scores(runs, "macro")[0]


def wins_on_polyphonic_music(runs: Runs, least: float = 0.02, fewest: int = 20, seeds: int = 3) -> Verdict:
    """Claim: the network with head dropout and L2 is also better on polyphonic music than the one with neither.

    By micro F1 at a threshold of .5 over test excerpts that have two instruments or more (`fewest` of them): those of
    the stage that trains on single instruments and is tested on the polyphonic set, else those that the test part of
    the grid happens to hold. The interval is over training seeds, on the same excerpts.
    """
    for of in (runs.only(stage="polyphonic"), pooled(runs)):
        values, n = polyphonic_scores(of)
        if len(values):
            break
    else:
        why = "No finished run was tested on excerpts with several instruments (a data set with a polyphonic test set"
        return unknown(f"{pooled(runs).losses()}{why}, and the stage polyphonic, have them).")
    frame = framed(of, values)
    name = "polyphonic micro F1"
    table, chart = means(frame, name), dots(frame, "Micro F1 on polyphonic excerpts, every run", name)
    if n < fewest:
        why = f"The test part has {n} excerpts with several instruments: too few to tell anything of polyphonic music."
        return unknown(f"{of.losses()}{why}", table, chart)
    if lacking := short_of(of, frame, (BOTH, PLAIN), seeds):
        return unknown(lacking, table, chart)
    found = gap(frame, BOTH, PLAIN)
    said = f"{of.losses()}On {n} excerpts with several instruments micro F1 of {BOTH} less that of {PLAIN} is"
    return by_gap(found, f"{said} {found.text()}", least, table, chart)


# ---- confusions ----


def one_is_taken_for(
    runs: Runs, truth: str = "sax", taken_for: str = "tru", least: float = 0.02, fewest: int = 10, seeds: int = 3
) -> Verdict:
    """Claim: the regularised network takes saxophone for trumpet.

    Over validation and test excerpts of the one instrument alone (`fewest` or more): the share whose highest score is
    the other's, less the mean share of the remaining wrong classes. More than 0 (interval over seeds) is reproduced;
    less than `least` is not, for then it is one error among others.
    """
    of = pooled(runs).only(batch_norm=True)
    names = INSTRUMENT_NAMES[truth], INSTRUMENT_NAMES[taken_for]
    is_both = {str(row["run"]) for row in of.results.to_dict("records") if arm(row) == BOTH}
    shares, counts = {}, []
    for run in scored(of):
        found = predicted(of, run, ("validation", "test")) if run in is_both else NO_ITEMS
        if truth not in found.labels or taken_for not in found.labels:
            continue
        alone = found.where((found.truth.sum(axis=1) == 1) & (found.truth[:, found.labels.index(truth)] > 0))
        counts.append(len(alone.items))
        if counts[-1]:
            answers = np.bincount(alone.prediction.argmax(axis=1), minlength=len(found.labels)) / counts[-1]
            shares[run] = pd.Series(answers, list(found.labels))
    if len(shares) < seeds:
        why = f"It takes {seeds} finished seeds of the network with batch norm, {BOTH}, and their predictions for"
        return unknown(f"{of.losses()}{why} excerpts of {names[0]} alone; there are {len(shares)}. {KEPT}.")
    table = pd.DataFrame(shares)
    evidence = table.mean(axis=1).rename("share").rename_axis("answer").reset_index().sort_values("share")[::-1]
    if min(counts) < fewest:
        return unknown(f"{of.losses()}There are {min(counts)} excerpts of {names[0]} alone: too few.", evidence)
    others = [label for label in table.index if label not in (truth, taken_for)]
    more = interval(table.loc[taken_for] - table.loc[others].mean())
    said = (
        f"{of.losses()}{table.loc[taken_for].mean():.0%} of {min(counts)} excerpts of {names[0]} are taken for "
        f"{names[1]}, {table.loc[others].mean().mean():.0%} for another wrong class on average; the difference is "
        f"{more.times(100).text('+.0f')} seeds, points"
    )
    if more.low > 0:
        return Verdict(REPRODUCED, f"{said}.", evidence)
    if more.high < least:
        return Verdict(NOT_REPRODUCED, f"{said}.", evidence)
    return unknown(f"{said}: that cannot be told.", evidence)


# ---- the leak ----


class Side(NamedTuple):
    """One split: scores by seed, what their mean varies with other test songs (s.e.), numbers of items and groups."""

    scores: np.ndarray
    song_error: float
    n_items: int
    n_groups: int


def random_files_flatter(runs: Runs, stage: str = "leak", least: float = 0.02, seeds: int = 3) -> Verdict:
    """Ours: a split that draws files, so that one song lies on both sides, flatters.

    Macro F1 on the test part of a random file split less that of the split by song, for one and the same network. The
    two are tested on different files, so the interval holds both: the scatter of seeds, and that of the test songs
    (bootstrap of whole songs, seeds averaged). Source of the degrees of freedom: Satterthwaite 1946, Biometrics 2(6).
    """
    leaky = runs.only(stage=stage)
    kinds = {(arm(row), bool(row.get("batch_norm", True))) for row in leaky.results.to_dict("records")}
    honest = pooled(runs)
    alike = [
        str(row["run"])
        for row in honest.results.to_dict("records")
        if (arm(row), bool(row.get("batch_norm", True))) in kinds
    ]
    honest = honest.only(run=tuple(alike))
    sides = {"random files": _side(leaky), "by song": _side(honest)}
    table = pd.DataFrame(
        [
            {"split": name, "macro F1": one.scores.mean() if len(one.scores) else np.nan, "n": len(one.scores),
             "test files": one.n_items, "test songs": one.n_groups, "s.e. of songs": one.song_error}
            for name, one in sides.items()
        ]
    )  # fmt: skip
    if min(len(one.scores) for one in sides.values()) < seeds:
        told = ", ".join(f"{len(one.scores)} {name}" for name, one in sides.items())
        why = f"It takes {seeds} finished seeds with predictions of each split; there are {told}. {KEPT}."
        return unknown(f"{leaky.losses()}{honest.losses()}{why}", table)
    random, grouped = sides["random files"], sides["by song"]
    if grouped.n_groups >= grouped.n_items:
        return unknown("Every file is a song of its own here, as far as is known: a random split leaks nothing.", table)
    more, p = _difference(random, grouped)
    said = (
        f"{leaky.losses()}{honest.losses()}Macro F1 is {random.scores.mean():.3f} where files were drawn and "
        f"{grouped.scores.mean():.3f} where songs were: {more.text('+.3f')} seeds, {p_text(p)} over seeds and songs "
        f"({random.n_groups} and {grouped.n_groups} test songs)"
    )
    if more.low > 0:
        return Verdict(REPRODUCED, f"{said}.", table)
    if more.high < least:
        return Verdict(NOT_REPRODUCED, f"{said}.", table)
    return unknown(f"{said}: that cannot be told.", table)


def _side(runs: Runs) -> Side:
    """The test scores of these runs of one configuration, and how their mean moves with the songs."""
    values, drawn, n_items, n_groups = [], [], 0, 0
    for run in scored(runs):
        found = predicted(runs, run)
        if not len(found.items):
            continue
        values.append(metrics.macro_f1(found.truth, found.prediction))
        resampled = stats.resampled_scores(
            "instruments", found.truth, found.prediction, found.labels, found.items, found.groups, N_RESAMPLES
        )
        drawn.append(resampled.get("macro_f1", np.full(N_RESAMPLES, np.nan)))
        n_items, n_groups = len(found.items), len(set(found.groups))
    error = float(np.nanstd(np.mean(drawn, axis=0), ddof=1)) if drawn and np.isfinite(drawn).any() else float("nan")
    return Side(np.array(values), error, n_items, n_groups)


def _difference(a: Side, b: Side) -> tuple[Interval, float]:
    """Mean of a less that of b with the interval over seeds and songs, and p of no difference."""
    from scipy.stats import t

    parts = []
    for side in (a, b):
        parts.append((float(side.scores.var(ddof=1)) / len(side.scores), len(side.scores) - 1))
        parts.append((side.song_error**2, side.n_groups - 1))
    variance = sum(part for part, _ in parts)
    difference, n = float(a.scores.mean() - b.scores.mean()), min(len(a.scores), len(b.scores))
    if not np.isfinite(variance):
        return Interval(difference, float("nan"), float("nan"), n), float("nan")
    if variance == 0:
        return Interval(difference, difference, difference, n), float(difference == 0)
    freedom = variance**2 / sum(part**2 / max(df, 1) for part, df in parts)
    error = float(np.sqrt(variance))
    half = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(difference) / error, freedom))
    return Interval(difference, difference - half, difference + half, n), p
