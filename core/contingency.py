"""Whether a run's class goes with a knob's level, and whether two numbers rise together.

Tables of a sweep are small and full of zeros, so p comes from the tables with the same margins and not from χ². Seeds
of one configuration tend to end alike: where there are several, whole configurations are shuffled, not runs.
Source: Freeman & Halton 1951, Biometrika 38, 141–149; Cramér 1946, Mathematical Methods of Statistics, §21.9; interval
of V: Smithson 2003, Confidence Intervals, ch. 6; Spearman 1904, American Journal of Psychology 15, 72–101.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import stats, wording
from core.anova import ALPHA
from core.usable import level_text, numbers, ordered_levels

MOST_TABLES = 20_000
N_SIMULATED = 100_000
N_SHUFFLED = 9_999


@dataclass(frozen=True)
class Contingency:
    """Class × level: `counts` (rows classes, columns levels), `expected` if they had nothing to do with each other,
    p with its `method` ("exact", "simulated" or "configurations shuffled"), Cramér's V (0–1) and its interval v_low,
    v_high; `n` runs."""

    counts: pd.DataFrame
    expected: pd.DataFrame
    p: float
    method: str
    v: float
    v_low: float
    v_high: float
    n: int
    sentence: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ with its bootstrap interval; `n` rows, `n_groups` resampled units."""

    rho: float
    low: float
    high: float
    n: int
    n_groups: int
    sentence: str
    warnings: tuple[str, ...]


def contingency(
    frame: pd.DataFrame, classes: str, factor: str, *, groups: str = "cell", seed: int = 0, level: float = 0.95
) -> Contingency:
    """Cross the column `classes` (a run's class) with the levels of `factor`, one row of `frame` per run.

    Rows without a class are left out and counted. p is that of Fisher, Freeman & Halton: the share of tables with
    these margins that are no likelier than this one, counted out where there are 20,000 or fewer of them, else over
    100,000 random ones. Where `groups` is a column and some configuration has several runs, the classes of whole
    configurations change places 9,999 times instead, and the interval of V counts configurations; where each level is
    one configuration, its runs are what can be compared. ValueError for an unknown column.
    """
    for column in (classes, factor):
        if column not in frame:
            choices = wording.list_text(list(frame))
            raise ValueError(f"{column!r} is not a column of these results; there are {choices}.")
    given = frame[frame[classes].notna()]
    rows, columns = given[classes].map(level_text), given[factor].map(level_text)
    counts = pd.crosstab(rows, columns).rename_axis(index=classes, columns=factor)
    counts = counts.reindex(columns=[name for name in ordered_levels(given[factor]) if name in counts])
    warnings = _left_out(len(frame) - len(given), "without a class")
    observed, n = counts.to_numpy(), int(counts.to_numpy().sum())
    nan = float("nan")
    if min(observed.shape, default=0) < 2:
        reason = (
            "All runs are in one class, or at one level: nothing to compare." if n else "There are no runs to classify."
        )
        return Contingency(counts, counts.astype(float), nan, "none", nan, nan, nan, n, reason, tuple(warnings))
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / n
    of = given[groups].astype(str).to_numpy() if groups in given else np.arange(n).astype(str)
    n_groups, unit = len(set(of)), "runs"
    wide = pd.DataFrame(expected, index=counts.index, columns=counts.columns)
    is_one_each = len(set(columns)) == n_groups == len(set(zip(columns, of, strict=True)))  # configurations are levels
    if is_one_each and n_groups == n:
        why = f"Each level of {wording.words(factor)} has one run: nothing can be told of a level."
        return Contingency(counts, wide, nan, "none", nan, nan, nan, n, why, tuple(warnings))
    if is_one_each:
        n_groups = n
    if n_groups == n:
        p, method = freeman_halton(observed, seed)
    else:
        p, method = shuffled(rows.to_numpy(), columns.to_numpy(), of, seed), "configurations shuffled"
        unit = "configurations"
    v, low, high = cramers_v(observed * (n_groups / n), level)
    if (expected * (n_groups / n) < 5).mean() > 0.2:
        warnings.append(f"Many cells expect fewer than five {unit}: p holds, the interval of V is approximate.")
    lead = "goes with" if p < ALPHA else "is not shown to go with"
    sentence = (
        f"{wording.sentence_case(wording.words(classes))} {lead} {wording.words(factor)} (Fisher–Freeman–Halton, "
        f"{method}, {wording.p_text(p)}, Cramér's V {wording.share_text(v)} "
        f"{wording.interval_text(low, high, share=True)}, {wording.count_text(n, 'run')}"
        f"{f' of {n_groups} configurations' if n_groups < n else ''})."
    )
    return Contingency(counts, wide, p, method, v, low, high, n, sentence, tuple(warnings))


def freeman_halton(counts: np.ndarray, seed: int = 0) -> tuple[float, str]:
    """p of no association in counts [rows, columns] without empty margins, and "exact" or "simulated"."""
    from scipy.special import gammaln
    from scipy.stats import random_table

    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    observed = -float(gammaln(counts + 1.0).sum())  # log probability, less what the margins fix
    near = observed + 1e-7  # tables as likely as this one but for rounding
    tables = []
    for table in _tables(rows, columns):
        tables.append(table)
        if len(tables) > MOST_TABLES:
            break
    if len(tables) <= MOST_TABLES:
        logs = -gammaln(np.array(tables) + 1.0).sum(axis=1)
        weights = np.exp(logs - logs.max())
        return float(min(1.0, weights[logs <= near].sum() / weights.sum())), "exact"
    generator = np.random.default_rng(seed)
    as_rare, chunk = 0, max(1, 2_000_000 // counts.size)
    for start in range(0, N_SIMULATED, chunk):
        size = min(chunk, N_SIMULATED - start)
        drawn = random_table(rows, columns).rvs(size, random_state=generator)
        as_rare += int((-gammaln(drawn + 1.0).sum(axis=(1, 2)) <= near).sum())
    return (1 + as_rare) / (1 + N_SIMULATED), "simulated"


def shuffled(classes: np.ndarray, levels: np.ndarray, groups: np.ndarray, seed: int = 0) -> float:
    """p of no association when whole groups (all runs of a configuration) change places; texts [n], one per run.

    The share of 9,999 random assignments, and the real one, whose table is no likelier by Freeman and Halton than the
    real one. A group at two levels is one at each. Source: Anderson & ter Braak 2003, Journal of Statistical
    Computation and Simulation 73, 85–113 (whole units permute).
    """
    from scipy.special import gammaln

    keys = np.char.add(np.char.add(groups.astype(str), "\0"), levels.astype(str))
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    kinds, kind = np.unique(classes.astype(str), return_inverse=True)
    blocks = np.zeros((len(first), len(kinds)))  # [groups, classes]
    np.add.at(blocks, (unit, kind), 1)
    at = levels[first]
    places = (at[:, None] == np.unique(at)[None, :]).astype(float)  # [groups, levels]

    def log_probability(tables: np.ndarray) -> np.ndarray:
        margins = gammaln(tables.sum(axis=-1) + 1).sum(axis=-1) + gammaln(tables.sum(axis=-2) + 1).sum(axis=-1)
        return np.asarray(margins - gammaln(tables + 1).sum(axis=(-2, -1)))

    near = log_probability(places.T @ blocks) + 1e-7
    generator, as_rare = np.random.default_rng(seed), 0
    chunk = max(1, 2_000_000 // blocks.size)
    for start in range(0, N_SHUFFLED, chunk):
        order = generator.permuted(np.tile(np.arange(len(blocks)), (min(chunk, N_SHUFFLED - start), 1)), axis=1)
        as_rare += int((log_probability(places.T @ blocks[order]) <= near).sum())
    return (1 + as_rare) / (1 + N_SHUFFLED)


def cramers_v(counts: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Cramér's V = √(χ² / (n · (least side − 1))) with an interval from the noncentral χ² distribution."""
    from scipy.optimize import brentq
    from scipy.stats import ncx2

    n = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    df, scale = (counts.shape[0] - 1) * (counts.shape[1] - 1), n * (min(counts.shape) - 1)

    def at(share: float) -> float:
        if ncx2.cdf(chi2, df, 0.0) <= share:
            return 0.0
        return float(brentq(lambda x: ncx2.cdf(chi2, df, x) - share, 0.0, 10 * chi2 + 100))

    low, high = at(0.5 + level / 2), at(0.5 - level / 2)
    return float(np.sqrt(chi2 / scale)), min(1.0, float(np.sqrt(low / scale))), min(1.0, float(np.sqrt(high / scale)))


def spearman(
    frame: pd.DataFrame, x: str, y: str, *, groups: str | None = "cell", seed: int = 0, level: float = 0.95
) -> Correlation:
    """Rank correlation of two numeric columns over runs, the interval by resampling the groups they come from.

    Runs of one configuration are alike, so configurations are resampled where `groups` is a column of `frame`; with
    None, or a column that is not there, each row is its own. Rows without both numbers are left out and counted.
    """
    first, second = numbers(frame, x), numbers(frame, y)
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    of = frame[groups].astype(str).to_numpy()[both] if groups in frame else np.arange(len(first)).astype(str)
    warnings = _left_out(int((~both).sum()), "without both numbers")
    n_groups, nan = len(set(of)), float("nan")
    name = f"{wording.words(x)} and {wording.words(y)}"
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        reason = f"{wording.sentence_case(name)}: fewer than three runs, or one never changes, so no correlation."
        return Correlation(nan, nan, nan, len(first), n_groups, reason, tuple(warnings))
    rho = _rho(first, second)
    low, high = stats.bootstrap_by_group(lambda rows: _rho(first[rows], second[rows]), of, seed=seed, level=level)
    unit = f"{n_groups} configurations" if groups in frame else f"{n_groups} runs"
    if n_groups < 8:
        warnings.append(f"The interval resamples only {unit}: take it as rough.")
    is_shown = low > 0 or high < 0
    found = "they rise together" if rho > 0 else "one falls where the other rises"
    interval = wording.interval_text(low, high, share=True)
    sentence = (
        f"{wording.sentence_case(name)}: {found if is_shown else 'no monotone relation is shown'} (Spearman's ρ "
        f"{wording.share_text(rho)} {interval}, {wording.count_text(len(first), 'run')}, bootstrap over {unit})."
    )
    return Correlation(rho, low, high, len(first), n_groups, sentence, tuple(warnings))


def _rho(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(first), rankdata(second)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 0 else float("nan")


def _left_out(n: int, why: str) -> list[str]:
    return [f"{wording.count_text(n, 'run')} {why} left out."] if n else []


def _tables(rows: np.ndarray, columns: np.ndarray) -> Iterator[list[int]]:
    """All tables with these margins, flat and column by column."""
    if len(columns) == 1:
        yield [int(count) for count in rows]
        return
    for column in _columns(rows, int(columns[0])):
        for rest in _tables(rows - np.array(column), columns[1:]):
            yield column + rest


def _columns(limits: np.ndarray, total: int) -> Iterator[list[int]]:
    """All ways to put `total` into places that hold at most `limits`."""
    if len(limits) == 1:
        if total <= limits[0]:
            yield [total]
        return
    least = max(0, total - int(limits[1:].sum()))
    for first in range(least, min(int(limits[0]), total) + 1):
        for rest in _columns(limits[1:], total - first):
            yield [first, *rest]
