"""Checks of InstruNet's claims that need what was said of each excerpt: polyphony, confusions, the leak.

`polyphonic_scores` is the one place that knows where scores of excerpts with several instruments come from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from core import classmetrics
from core.datasets import INSTRUMENT_NAMES, Progress, no_progress
from core.verdicts import Runs, Verdict, difference, unknown
from studies import _instrunet_arms as arms
from studies._instrunet_arms import BOTH, PLAIN, Gap
from studies._instrunet_items import (
    KEPT,
    NO_ITEMS,
    Items,
    Score,
    heard,
    macro_f1,
    micro_f1,
    over_seeds,
    predicted,
    resampled,
    scored,
    widened,
    with_songs,
)

POLYPHONIC = "polyphonic"


# ---- polyphony ----


def polyphonic_scores(runs: Runs, average: str = "micro") -> tuple[pd.Series, int]:
    """F1 by run over the excerpts of its polyphonic evaluation, and how many of these have two instruments or more.

    Each excerpt was heard in windows, and what is said of it decided by a threshold that was chosen on mixtures of the
    run's training clips. Empty where no run has such an evaluation.
    """
    score = classmetrics.micro_f1 if average == "micro" else classmetrics.macro_f1
    values, counts = {}, []
    for run in scored(runs):
        found = heard(runs, run)
        if len(found.items):
            values[run] = score(found.truth, found.prediction)
            counts.append(int((found.truth.sum(axis=1) >= 2).sum()))
    return pd.Series(values, dtype=float), min(counts, default=0)


def polyphonic_micro_f1(runs: Runs) -> pd.Series:
    """Micro F1 of polyphonic evaluations, by run."""
    return polyphonic_scores(runs)[0]


def polyphonic_macro_f1(runs: Runs) -> pd.Series:
    """Macro F1 of polyphonic evaluations, by run."""
    return polyphonic_scores(runs, "macro")[0]


def _unheard(runs: Runs) -> list[str]:
    return [run for run in scored(runs.only(stage=POLYPHONIC)) if runs.polyphonic(run) is None]


def incomplete(runs: Runs) -> str:
    """What `complete` would make, in a sentence; empty where all is there."""
    missing = _unheard(runs)
    return f"{_lacking(len(missing), runs.only(stage=POLYPHONIC))}, by which a claim is judged." if missing else ""


def _lacking(n: int, of: Runs) -> str:
    return (
        f"{n} of {len(scored(of))} finished runs that are tested on polyphonic music have no polyphonic evaluation yet"
    )


def complete(runs: Runs, progress: Progress = no_progress) -> int:
    """Evaluate the finished runs of the polyphonic stage that have not been; returns how many these were.

    Where some cannot be the others are; then raises ValueError with the first reason.
    """
    from core import polyphonic

    missing, failed = _unheard(runs), {}
    for number, run in enumerate(missing):

        def tell(fraction: float, sentence: str, number: int = number) -> None:
            progress((number + fraction) / len(missing), f"Run {number + 1} of {len(missing)}: {sentence}")

        try:
            polyphonic.evaluate(run, progress=tell)
        except ValueError as error:
            failed[run] = str(error)
    if failed:
        run, why = next(iter(failed.items()))
        others = f" So it is with {len(failed) - 1} more." if len(failed) > 1 else ""
        raise ValueError(f"{run} cannot be evaluated: {why}{others}")
    return len(missing)


def wins_on_polyphonic_music(runs: Runs, least: float = 0.02, fewest: int = 20, seeds: int = 3) -> Verdict:
    """Claim: the network with head dropout and L2 is also better on polyphonic music than the one with neither.

    In micro and in macro F1, as the write-up says, by the polyphonic evaluations of the stage that trains on single
    instruments, else by those that the runs of the grid happen to have. They need `fewest` excerpts with two
    instruments or more. Over training seeds and over the songs.
    """
    for of in (runs.only(stage=POLYPHONIC), arms.pooled(runs)):
        micro, n = polyphonic_scores(of)
        if len(micro):
            break
    else:
        return unknown(_not_evaluated(runs))
    scores = {"micro F1": (micro, micro_f1), "macro F1": (polyphonic_macro_f1(of), macro_f1)}
    frame, macro = arms.framed(of, micro), arms.framed(of, scores["macro F1"][0])
    table = arms.means(frame, "polyphonic micro F1").assign(macro_f1=arms.means(macro, "mean")["mean"])
    chart = arms.dots(frame, "Micro F1 on polyphonic excerpts, every run", "polyphonic micro F1")
    if n < fewest:
        why = f"The test part has {n} excerpts with several instruments: too few to tell anything of polyphonic music."
        return unknown(f"{of.losses()}{why}", table, chart)
    if lacking := arms.short_of(of, frame, (BOTH, PLAIN), seeds):
        return unknown(f"{lacking} {_still_missing(of)}".strip(), table, chart)
    found = {}
    for name, (values, score) in scores.items():
        own = arms.framed(of, values)
        found[name] = widened(of, arms.gap(own, BOTH, PLAIN), arms.shares(own, BOTH, PLAIN), score, heard)
    told = "; ".join(f"{name} {one.text()}" for name, one in found.items())
    said = f"{of.losses()}On polyphonic excerpts ({n} with several instruments) {BOTH} less {PLAIN}: {told}"
    return arms.by_all(found, said, least, table, chart)


def _not_evaluated(runs: Runs) -> str:
    stage = runs.only(stage=POLYPHONIC)
    if not scored(stage):
        return f"{stage.losses()}No run of the stage that is tested on polyphonic music has finished."
    return f"{stage.losses()}{_still_missing(stage)}"


def _still_missing(of: Runs) -> str:
    missing = [run for run in scored(of) if not len(heard(of, run).items)]
    if not missing:
        return ""
    return (
        f"{_lacking(len(missing), of)}: `lab.py study instrunet --run` makes them, and so does a button of the study's "
        "page, or the Polyphonic view of a run."
    )


# ---- confusions ----


def one_is_taken_for(
    runs: Runs, truth: str = "sax", taken_for: str = "tru", least: float = 0.02, fewest: int = 10, seeds: int = 3
) -> Verdict:
    """Claim: the regularised network takes saxophone for trumpet.

    Over validation and test excerpts of the one instrument alone (`fewest` or more): the share whose highest score is
    the other's, less the mean share of the remaining wrong classes. More than 0 (over seeds and songs) is reproduced;
    less than `least` is not, for then it is one error among others.
    """
    of = arms.pooled(runs).only(batch_norm=True)
    names = INSTRUMENT_NAMES[truth], INSTRUMENT_NAMES[taken_for]
    is_both = {str(row["run"]) for row in of.results.to_dict("records") if arms.arm(row) == BOTH}
    shares, counts = {}, []
    for run in scored(of):
        alone = _alone(of, run, truth) if run in is_both else NO_ITEMS
        if taken_for not in alone.labels:
            continue
        counts.append(len(alone.items))
        if counts[-1]:
            answers = np.bincount(alone.prediction.argmax(axis=1), minlength=len(alone.labels)) / counts[-1]
            shares[run] = pd.Series(answers, list(alone.labels))
    if len(shares) < seeds:
        why = f"It takes {seeds} finished seeds of the network with batch norm, {BOTH}, and their predictions for"
        return unknown(f"{of.losses()}{why} excerpts of {names[0]} alone; there are {len(shares)}. {KEPT}.")
    table = pd.DataFrame(shares)
    evidence = table.mean(axis=1).rename("share").rename_axis("answer").reset_index().sort_values("share")[::-1]
    if min(counts) < fewest:
        return unknown(f"{of.losses()}There are {min(counts)} excerpts of {names[0]} alone: too few.", evidence)
    others = [label for label in table.index if label not in (truth, taken_for)]
    more = over_seeds(table.loc[taken_for] - table.loc[others].mean())
    equal = dict.fromkeys(shares, 1 / len(shares))
    more = widened(of, more, equal, _taken_more(truth, taken_for), lambda runs, run: _alone(runs, run, truth))
    said = (
        f"{of.losses()}{table.loc[taken_for].mean():.0%} of {min(counts)} excerpts of {names[0]} are taken for "
        f"{names[1]}, {table.loc[others].mean().mean():.0%} for another wrong class on average; the difference is "
        f"{more.interval.times(100).text('+.0f')} {more.over}, points"
    )
    return arms.by_gap(more, said, least, evidence)


def _alone(runs: Runs, run: str, truth: str) -> Items:
    """The validation and test excerpts of a run that have this class and no other."""
    found = predicted(runs, run, ("validation", "test"))
    if truth not in found.labels:
        return NO_ITEMS
    return found.where((found.truth.sum(axis=1) == 1) & (found.truth[:, found.labels.index(truth)] > 0))


def _taken_more(truth: str, taken_for: str) -> Score:
    """The share of excerpts whose highest score is `taken_for`, less the mean share of the remaining wrong classes."""

    def score(items: Items, weights: np.ndarray) -> np.ndarray:
        answers = np.eye(len(items.labels))[items.prediction.argmax(axis=1)]
        shares = weights @ answers / weights.sum(axis=1, keepdims=True)
        others = [k for k, label in enumerate(items.labels) if label not in (truth, taken_for)]
        return shares[:, items.labels.index(taken_for)] - shares[:, others].mean(axis=1)

    return score


# ---- the leak ----


class Side(NamedTuple):
    """One split: scores by seed, the variance of their mean with other test songs, numbers of items and groups."""

    scores: np.ndarray
    by_songs: float
    n_items: int
    n_groups: int


def random_files_flatter(runs: Runs, stage: str = "leak", least: float = 0.02, seeds: int = 3) -> Verdict:
    """Ours: a split that draws files, so that one song lies on both sides, flatters.

    Macro F1 on the test part of a random file split less that of the split by song, for one and the same network. The
    two are tested on different files, so the interval holds both: the scatter of seeds, and that of the test songs of
    each (seeds averaged). One division of each kind was made.
    """
    leaky = runs.only(stage=stage)
    kinds = {(arms.arm(row), bool(row.get("batch_norm", True))) for row in leaky.results.to_dict("records")}
    honest = arms.pooled(runs)
    alike = [
        str(row["run"])
        for row in honest.results.to_dict("records")
        if (arms.arm(row), bool(row.get("batch_norm", True))) in kinds
    ]
    honest = honest.only(run=tuple(alike))
    sides = {"random files": _side(leaky), "by song": _side(honest)}
    table = pd.DataFrame(
        [
            {"split": name, "macro F1": one.scores.mean() if len(one.scores) else np.nan, "n": len(one.scores),
             "test files": one.n_items, "test songs": one.n_groups, "s.e. of songs": one.by_songs**0.5}
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
    more = _difference(random, grouped)
    said = (
        f"{leaky.losses()}{honest.losses()}Macro F1 is {random.scores.mean():.3f} where files were drawn and "
        f"{grouped.scores.mean():.3f} where songs were: {more.text()} ({random.n_groups} and {grouped.n_groups} songs)"
    )
    return arms.by_gap(more, said, least, table)


def _side(runs: Runs) -> Side:
    """The test scores of these runs of one configuration, and how their mean moves with the songs."""
    values, drawn, n_items, n_groups = [], [], 0, 0
    for run in scored(runs):
        found = predicted(runs, run)
        if not len(found.items):
            continue
        values.append(classmetrics.macro_f1(found.truth, found.prediction))
        n_items, n_groups = len(found.items), len(set(found.groups))
        drawn.append(resampled(found, macro_f1) if n_groups > 1 else np.full(1, np.nan))
    by_songs = float(np.var(np.mean(drawn, axis=0), ddof=1)) if drawn and n_groups > 1 else float("nan")
    return Side(np.array(values), by_songs, n_items, n_groups)


def _difference(a: Side, b: Side) -> Gap:
    """Mean of a less that of b, over seeds (Welch) and over the songs of both."""
    from scipy.stats import ttest_ind

    seeds, p, freedom = difference(a.scores, b.scores), float("nan"), 1.0
    if a.scores.var() + b.scores.var() > 0:
        welch = ttest_ind(a.scores, b.scores, equal_var=False)
        p, freedom = float(welch.pvalue), float(welch.df)
    return with_songs(Gap(seeds, p, freedom), a.by_songs + b.by_songs, min(a.n_groups, b.n_groups))


__all__ = ["complete", "incomplete", "one_is_taken_for", "polyphonic_macro_f1", "polyphonic_micro_f1",
           "polyphonic_scores", "random_files_flatter", "wins_on_polyphonic_music"]  # fmt: skip
