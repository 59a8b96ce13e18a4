"""Means of a knob's levels and their differences, averaged over the other knobs, with intervals.

Every cell weighs the same, however many of its runs survived: a level is not better because its bad cells failed.
Source: Searle, Speed & Milliken 1980, The American Statistician 34, 216–221 (marginal means); Holm 1979, Scandinavian
Journal of Statistics 6, 65–70.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from core import effectsize, factorial, matching, wording
from core.anova import ALPHA, alias_groups, alias_warnings, term_name
from core.usable import Usable, mark, usable

MOST_LEVELS = 30
MEANS = ("level", "cells", "n", "mean", "low", "high", "df")
PAIRS = ("a", "b", "cells", "difference", "low", "high", "t", "df", "p", "p_holm", "low_together", "high_together", "g",
         "g_low", "g_high")  # fmt: skip


@dataclass(frozen=True)
class Means:
    """Marginal means: `table` has level (text), one column per factor of `of`, cells, n (runs), mean, low, high, df.

    low and high are NaN where no scatter is known. `method` says what the interval is over.
    """

    of: tuple[str, ...]
    table: pd.DataFrame
    method: str
    sentence: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Comparisons:
    """All pairs of levels: `table` has a, b, cells (those of the other knobs that both have, which the difference is
    over; 0 where it is NaN or the design a fraction), difference (a − b), its interval low, high (this pair alone), t,
    df, p, p_holm, the interval low_together, high_together (all pairs at once, Bonferroni), g (Hedges) with g_low,
    g_high."""

    of: tuple[str, ...]
    table: pd.DataFrame
    sentence: str
    warnings: tuple[str, ...]


def marginal_means(
    results: pd.DataFrame, response: str, factors: Sequence[str], of: str | Sequence[str], *, level: float = 0.95
) -> Means:
    """Mean of `response` for each level of `of` (one factor, or several for their combinations).

    `factors` are all factors of the sweep. Where cells share seeds the interval is for new seeds: it holds the seeds'
    own variance and the scatter within them, also where runs are missing. Else it is from the scatter within cells,
    pooled over all of them. ValueError as in `usable`, or where `of` is no factor.
    """
    data, chosen = _chosen(results, response, factors, of)
    if not len(data.values) or not chosen:
        columns = ["level", *chosen, *MEANS[1:]]
        return Means(tuple(chosen), pd.DataFrame(columns=columns), "", _why_empty(data), data.warnings)
    groups, weights = _weights(data, chosen)
    sizes = np.bincount(data.cell_of).astype(float)
    mean_of_cell = np.bincount(data.cell_of, data.values) / sizes
    means = weights @ mean_of_cell
    variance, df, method = variance_of_means(data, weights, sizes)
    half = np.full(len(means), np.nan)
    if np.isfinite(df).all():
        from scipy.stats import t

        half = t.ppf(0.5 + level / 2, df) * np.sqrt(variance)
    table = pd.DataFrame({"level": [" · ".join(row) for row in groups]})
    for k, factor in enumerate(chosen):
        table[factor] = [row[k] for row in groups]
    table = table.assign(
        cells=(weights > 0).sum(axis=1), n=((weights > 0) @ sizes).astype(int), mean=means, low=means - half,
        high=means + half, df=df,
    )  # fmt: skip
    uneven = _uneven(data, chosen, weights)
    warnings = [*data.warnings, *_aliased(data, chosen), *uneven]
    if not data.is_replicated:
        warnings.append(_alone(data, "means"))
    elif not np.isfinite(half).all():
        warnings.append(
            "The variance of the seeds cannot be told from the scatter within them: means have no interval."
        )
    return Means(tuple(chosen), table, method, _means_sentence(data, chosen, table, bool(uneven)), tuple(warnings))


def pairwise(
    results: pd.DataFrame,
    response: str,
    factors: Sequence[str],
    of: str | Sequence[str],
    *,
    block: bool = True,
    level: float = 0.95,
) -> Comparisons:
    """Differences between all levels of `of`, tested against the scatter left after cells (and seeds as a block).

    Two levels are compared over the cells of the other knobs that both have; NaN where they share none. A fraction of a
    factorial, where levels share none by design but meet the others' equally often, is compared as a whole.
    p_holm holds the chance of any false alarm among the pairs at its level. g is the difference in units of the
    spread of single runs within the cells of the two levels, seeds not taken out. ValueError as in `marginal_means`,
    and for more than 30 levels.
    """
    data, chosen = _chosen(results, response, factors, of)
    groups, weights = _weights(data, chosen) if len(data.values) and chosen else ([], np.zeros((0, 0)))
    if len(groups) > MOST_LEVELS:
        raise ValueError(
            f"{len(groups)} levels make {len(groups) * (len(groups) - 1) // 2:,} pairs; compare {MOST_LEVELS} or fewer."
        )
    if len(groups) < 2:
        return Comparisons(tuple(chosen), pd.DataFrame(columns=list(PAIRS)), _why_empty(data), data.warnings)
    means, covariance, mean_error, df, is_blocked = cell_means(data, block)
    pairs = list(combinations(range(len(groups)), 2))
    matches = [matching.match(data, chosen, weights[i] > 0, weights[j] > 0) for i, j in pairs]
    contrasts = np.array([found.a - found.b for found in matches])
    difference = contrasts @ means
    error = np.sqrt(mean_error * np.einsum("kc,cd,kd->k", contrasts, covariance, contrasts))
    table = _pair_table(difference, error, df, level)
    names = [" · ".join(row) for row in groups]
    table.insert(0, "a", [names[i] for i, _ in pairs])
    table.insert(1, "b", [names[j] for _, j in pairs])
    table.insert(2, "cells", [found.n_cells for found in matches])
    sizes = [_standardised(data, found.a, found.b, d, level) for found, d in zip(matches, difference, strict=True)]
    table[["g", "g_low", "g_high"]] = np.array(sizes)
    lost = matching.uneven_losses(results, data, chosen)
    warnings = [*data.warnings, *_aliased(data, chosen), *lost, *_compared(table, matches)]
    if not np.isfinite(mean_error):
        warnings.append(_alone(data, "differences"))
    elif mean_error == 0:
        warnings.append(
            f"{data.unit.capitalize()}s of one cell do not differ at all: a test against their scatter is empty."
        )
    return Comparisons(
        tuple(chosen), table[list(PAIRS)], _pairs_sentence(data, chosen, table, matches, is_blocked), tuple(warnings)
    )


def _chosen(
    results: pd.DataFrame, response: str, factors: Sequence[str], of: str | Sequence[str]
) -> tuple[Usable, list[str]]:
    wanted = [of] if isinstance(of, str) else list(of)
    missing = [factor for factor in wanted if factor not in factors]
    if missing or not wanted:
        raise ValueError(f"{(missing or [''])[0]!r} is not among the factors {wording.list_text(list(factors))}.")
    data = usable(results, response, factors)
    return data, [factor for factor in wanted if factor in data.levels]


def _weights(data: Usable, chosen: list[str]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The levels (combinations) that have runs, and [levels, cells] weights that average their cells."""
    places = [data.factors.index(factor) for factor in chosen]
    groups, which = np.unique(data.cell_codes[:, places], axis=0, return_inverse=True)
    member = (which.ravel()[None, :] == np.arange(len(groups))[:, None]).astype(float)
    names = [tuple(data.levels[f][c] for f, c in zip(chosen, row, strict=True)) for row in groups]
    return names, member / member.sum(axis=1, keepdims=True)


def variance_of_means(data: Usable, weights: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Variance and degrees of freedom of each mean, [levels] each, and over what; NaN where they are unknown.

    Cells that share seeds: variance of the seeds and scatter within them, by Henderson's method III, which needs no
    complete grid. Source: Searle, Casella & McCulloch 1992, Variance Components, ch. 5; Satterthwaite 1946.
    """
    n, n_cells, own = len(data.values), len(sizes), (weights**2) @ (1 / sizes)
    unknown = np.full(len(weights), np.nan)
    if n - n_cells < 1:
        return unknown, unknown, f"no interval: one {data.unit} per cell"
    within = data.values - (np.bincount(data.cell_of, data.values) / sizes)[data.cell_of]
    total, pooled = float((within**2).sum()), "scatter within cells, pooled"
    names, of_seed = np.unique(data.seeds, return_inverse=True)
    if not data.has_seeds or len(names) == n or n_cells == 1:  # no seed in two cells: runs are independent
        return total / (n - n_cells) * own, np.full(len(weights), float(n - n_cells)), pooled
    has = np.zeros((n_cells, len(names)))
    has[data.cell_of, of_seed.ravel()] = 1.0
    seeds = np.diag(has.sum(axis=0)) - has.T @ (has / sizes[:, None])  # seeds, with cells taken out
    sums = np.bincount(of_seed.ravel(), within)
    df_seeds = int(np.linalg.matrix_rank(seeds, hermitian=True))
    df_error = n - n_cells - df_seeds
    of_seeds = float(sums @ np.linalg.pinv(seeds, hermitian=True) @ sums)
    if df_seeds < 1 or df_error < 1:
        return unknown, unknown, "no interval: the variance of the seeds cannot be told from the scatter within them"
    mean_seeds, error = of_seeds / df_seeds, max(0.0, total - of_seeds) / df_error
    if mean_seeds <= error:  # seeds carry no variance of their own
        return total / (n - n_cells) * own, np.full(len(weights), float(n - n_cells)), pooled
    share = ((weights / sizes @ has) ** 2).sum(axis=1) * df_seeds / (n - n_cells)
    parts = np.array([share * mean_seeds, (own - share) * error])
    variance = np.maximum(parts.sum(axis=0), own * error)
    df = variance**2 / (parts[0] ** 2 / df_seeds + parts[1] ** 2 / df_error)
    return variance, df, "for new seeds: variance of the seeds and scatter within them"


def cell_means(data: Usable, block: bool) -> tuple[np.ndarray, np.ndarray, float, int, bool]:
    """Means of the cells [c] (seeds evened out), their covariance in units of the error variance, the error variance
    (NaN where unknown), its freedom, whether seeds are a block."""
    n_cells = int(data.cell_of.max()) + 1
    seeds = np.unique(data.seeds, return_inverse=True)[1].ravel()
    is_blocked = bool(block and data.has_seeds and factorial.is_crossed(data.cell_of, seeds))
    is_blocked = is_blocked and len(data.values) - n_cells - int(seeds.max()) > 0
    model = factorial.design(data.cell_of[:, None], [n_cells], [(0,)], seeds if is_blocked else None)
    centre = data.values.mean()
    inverse = np.linalg.pinv(model.matrix.T @ model.matrix)
    estimate = inverse @ (model.matrix.T @ (data.values - centre))
    cells = factorial.design(np.arange(n_cells)[:, None], [n_cells], [(0,)]).matrix
    rows = np.hstack([cells, np.zeros((n_cells, model.matrix.shape[1] - n_cells))])
    df = len(data.values) - model.matrix.shape[1]
    error = float(((data.values - centre - model.matrix @ estimate) ** 2).sum())
    error = 0.0 if error <= factorial.TINY**2 * float(((data.values - centre) ** 2).sum()) else error
    return rows @ estimate + centre, rows @ inverse @ rows.T, error / df if df > 0 else float("nan"), df, is_blocked


def _pair_table(difference: np.ndarray, error: np.ndarray, df: int, level: float) -> pd.DataFrame:
    from scipy.stats import t as t_distribution

    table = pd.DataFrame({"difference": difference})
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / error
    freedom = df if df > 0 else np.nan
    p = 2 * t_distribution.sf(np.abs(t), freedom)
    half = t_distribution.ppf(0.5 + level / 2, freedom) * error
    together = t_distribution.ppf(1 - (1 - level) / 2 / max(1, np.isfinite(difference).sum()), freedom) * error
    return table.assign(
        low=difference - half, high=difference + half, t=t, df=freedom, p=p, p_holm=holm(p),
        low_together=difference - together, high_together=difference + together,
    )  # fmt: skip


def holm(p: np.ndarray) -> np.ndarray:
    """p values adjusted so that all of them together give a false alarm no more often than their level; NaN stays."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted


def _standardised(
    data: Usable, a: np.ndarray, b: np.ndarray, difference: float, level: float
) -> tuple[float, float, float]:
    sizes = np.bincount(data.cell_of).astype(float)
    within = data.values - (np.bincount(data.cell_of, data.values) / sizes)[data.cell_of]
    cells = (a > 0) | (b > 0)
    df = float((sizes[cells] - 1).sum())
    if df < 1 or not np.isfinite(difference):
        return (float("nan"),) * 3
    sd = float(np.sqrt((within[cells[data.cell_of]] ** 2).sum() / df))
    is_scatter = sd > factorial.TINY * float(np.abs(data.values - data.values.mean()).max())
    return effectsize.g_interval(difference, sd if is_scatter else 0.0, float(((a**2 + b**2) / sizes).sum()), df, level)


def aliased(results: pd.DataFrame, response: str, factors: Sequence[str], of: str | Sequence[str]) -> tuple[str, ...]:
    """What means by `of` may show instead, a sentence for each effect that these cells cannot tell from it: a part of
    a factorial has some by design. ValueError as in `marginal_means`."""
    data, chosen = _chosen(results, response, factors, of)
    return tuple(_aliased(data, chosen)) if len(data.values) and chosen else ()


def _aliased(data: Usable, chosen: list[str]) -> list[str]:
    """What differences of these levels may be instead."""
    places = sorted(data.factors.index(factor) for factor in chosen)
    terms = [term for size in (1, 2) for term in combinations(places, size)]
    return alias_warnings(data, alias_groups(data, terms, 2))


def _alone(data: Usable, what: str) -> str:
    return f"One {data.unit} per cell: the scatter between {mark(data.unit)}s is unknown, so {what} have no interval."


def _uneven(data: Usable, chosen: list[str], weights: np.ndarray) -> list[str]:
    found = [matching.match(data, chosen, weights[0] > 0, row > 0) for row in weights[1:]]
    if all(one.is_balanced or one.n_cells == one.n_all for one in found):
        return []
    return ["Levels are averaged over different cells of the other knobs, since some are empty: compare with care."]


def _compared(table: pd.DataFrame, matches: list[matching.Match]) -> list[str]:
    """What the differences are not over."""
    names = [f"{a} − {b}" for a, b in zip(table["a"], table["b"], strict=True)]
    pairs = list(zip(names, matches, strict=True))
    part = [f"{name} {m.n_cells:,} of {m.n_all:,}" for name, m in pairs if m.is_known and 0 < m.n_cells < m.n_all]
    never = [name for name, m in pairs if not m.is_known]
    warnings = (
        [f"Compared over the cells of the other knobs that both have: {wording.list_text(part)}."] if part else []
    )
    if never:
        warnings.append(f"Not compared, since they share no cell of the other knobs: {wording.list_text(never)}.")
    return warnings


def _why_empty(data: Usable) -> str:
    n = len(data.values)
    if n:
        return "There are no two levels with usable runs, so there is nothing to compare."
    return f"None of {wording.count_text(sum(data.left_out.values()), data.unit)} has a {wording.words(data.response)}."


def _means_sentence(data: Usable, chosen: list[str], table: pd.DataFrame, is_uneven: bool) -> str:
    ends = table.sort_values("mean", kind="stable").iloc[[0, -1]]
    told = [
        f"{wording.number_text(row.mean_)}{_interval(row.low, row.high)} at {row.level}"
        for row in ends.rename(columns={"mean": "mean_"}).itertuples()
    ]
    over = ", each over the cells it has left, which are not the same" if is_uneven else ""
    return f"The mean {wording.words(data.response)} by {term_name(chosen)} goes from {told[0]} to {told[1]}{over}."


def _interval(low: float, high: float) -> str:
    return f" {wording.interval_text(low, high)}" if np.isfinite(low) else ""


def _pairs_sentence(
    data: Usable, chosen: list[str], table: pd.DataFrame, matches: list[matching.Match], is_blocked: bool
) -> str:
    n_compared = int(table["difference"].notna().sum())
    if not n_compared:
        return f"No two levels of {term_name(chosen)} share a cell of the other knobs, so none can be compared."
    over = matches[table["difference"].abs().idxmax()].told
    over = f", {over}" if over else ""
    largest = table.loc[table["difference"].abs().idxmax()]
    told = (
        f"{largest['a']} − {largest['b']} = {wording.number_text(largest['difference'])}"
        f"{_interval(largest['low'], largest['high'])}"
    )
    if not np.isfinite(largest["p_holm"]):
        return f"The largest difference in {wording.words(data.response)} is {told}{over}; it cannot be tested."
    n_shown = int((table["p_holm"] < ALPHA).sum())
    g = f", g = {wording.number_text(largest['g'])}{_interval(largest['g_low'], largest['g_high'])}"
    g += " by the scatter within the two levels' own cells"
    g = g if np.isfinite(largest["g"]) else ""
    lead = f"Of {wording.count_text(n_compared, 'pair')} of {term_name(chosen)} {n_shown} differ in "
    lead += wording.words(data.response)
    how = "Holm-adjusted" + (", seeds as block" if is_blocked else "")
    if not np.isfinite(largest["t"]):
        return (
            f"{lead} ({how}); the largest difference is {told} ({data.unit}s of one cell do not differ at all){over}."
        )
    told += f" (t({int(largest['df'])}) = {wording.number_text(largest['t'])}, {wording.p_text(largest['p_holm'])}"
    return f"{lead} ({how}); the largest difference is {told}{g}){over}."
