"""Rank-based tests of a sweep, for where the analysis of variance may not be believed.

One knob: Friedman's test where every level was run with the same seeds, Kruskal–Wallis otherwise, both with p from
random permutations, since their χ² is poor at three seeds. Two knobs or more: the aligned rank transform, the simplest
rank method that can test interactions. It assumes scatter of equal shape in all cells (Luepsen 2017), so it helps
against outliers and skew, less against cells of unequal scatter; HC3 is for those. Source: Friedman 1937, JASA 32,
675–701; Kruskal & Wallis 1952, JASA 47, 583–621; Higgins & Tashtoush 1994; Wobbrock et al. 2011, CHI, 143–146; rank ε²:
Tomczak & Tomczak 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import effectsize, factorial, wording
from core.anova import ALPHA, alias_groups, choose, group_name, no_term, term_name, why_not
from core.usable import Usable, usable

N_PERMUTATIONS, MOST_NUMBERS = 20_000, 4_000_000
"""Fewer permutations for many runs, where 20,000 of them would fill the memory."""
COLUMNS = ("term", "statistic", "df", "df_error", "p", "effect")


@dataclass(frozen=True)
class RankTests:
    """`table` has term, statistic (χ², H or F, as `method` says), df, df_error (F only), p and effect, which is
    `effect_name`. `why` says why this method was taken."""

    method: str
    why: str
    effect_name: str
    table: pd.DataFrame
    sentence: str
    warnings: tuple[str, ...]


def rank_tests(
    results: pd.DataFrame, response: str, factors: Sequence[str], *, order: int = 2, block: bool = True, seed: int = 0
) -> RankTests:
    """The rank-based test that fits these runs. ValueError as in `usable`; `seed` is that of the permutations."""
    data = usable(results, response, factors)
    reason = why_not(data)
    if reason:
        return RankTests("none", reason, "", pd.DataFrame(columns=list(COLUMNS)), reason, data.warnings)
    if len(data.factors) > 1:
        return _aligned(data, order, block)
    table = pd.DataFrame({"cell": data.codes[:, 0], "seed": data.seeds, "value": data.values})
    wide = table.pivot_table(index="seed", columns="cell", values="value")
    is_complete = data.has_seeds and len(wide) * wide.shape[1] == len(table) and not wide.isna().any(axis=None)
    if block and is_complete and len(wide) > 1:
        return _friedman(data, wide.to_numpy(), seed)
    return _kruskal(data, seed)


def kruskal(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, int, float, float]:
    """H corrected for ties, its degrees of freedom, p by permutation, rank ε² = H / (n − 1)."""
    from scipy.stats import rankdata, tiecorrect

    ranks, n = rankdata(values), len(values)
    sizes = np.bincount(groups).astype(float)
    member = (groups[:, None] == np.arange(len(sizes))).astype(float)
    correction = tiecorrect(ranks)

    def h(order: np.ndarray) -> np.ndarray:  # [..., n] ranks
        return (12 / (n * (n + 1)) * ((order @ member) ** 2 / sizes).sum(axis=-1) - 3 * (n + 1)) / correction

    observed = float(h(ranks))
    shuffled = np.random.default_rng(seed).permuted(np.tile(ranks, (_how_many(n), 1)), axis=1)
    return observed, len(sizes) - 1, _share_as_large(h(shuffled), observed), observed / (n - 1)


def friedman(values: np.ndarray, seed: int = 0) -> tuple[float, int, float, float]:
    """χ² of values [blocks, levels] corrected for ties, degrees of freedom, p by permutation within blocks, Kendall's
    W."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1)
    n, k = ranks.shape
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    if spread == 0:
        return 0.0, k - 1, 1.0, 0.0

    def chi2(order: np.ndarray) -> np.ndarray:  # [..., n, k] ranks
        return (k - 1) * ((order.sum(axis=-2) - n * (k + 1) / 2) ** 2).sum(axis=-1) / spread

    observed = float(chi2(ranks))
    shuffled = np.random.default_rng(seed).permuted(np.tile(ranks, (_how_many(n * k), 1, 1)), axis=2)
    return observed, k - 1, _share_as_large(chi2(shuffled), observed), observed / (n * (k - 1))


def _how_many(n: int) -> int:
    return min(N_PERMUTATIONS, max(1000, MOST_NUMBERS // n))


def _share_as_large(permuted: np.ndarray, observed: float) -> float:
    return float((1 + (permuted >= observed - 1e-9 * abs(observed)).sum()) / (1 + len(permuted)))


def _kruskal(data: Usable, seed: int) -> RankTests:
    h, df, p, epsilon = kruskal(data.values, data.codes[:, 0], seed)
    why = "One knob, and its levels do not share their seeds: Kruskal–Wallis."
    told = f"H({df}) = {wording.number_text(h)}, {wording.p_text(p)}, rank ε² {wording.share_text(epsilon)}"
    return _one(data, "Kruskal–Wallis", why, "rank ε²", (h, df, p, epsilon), told)


def _friedman(data: Usable, values: np.ndarray, seed: int) -> RankTests:
    chi2, df, p, w = friedman(values, seed)
    why = "One knob, and every level has the same seeds: Friedman, which compares within a seed."
    told = f"χ²({df}) = {wording.number_text(chi2)}, {wording.p_text(p)}, Kendall's W {wording.share_text(w)}"
    return _one(data, "Friedman", why, "Kendall's W", (chi2, df, p, w), told)


def _one(
    data: Usable, method: str, why: str, effect: str, numbers: tuple[float, int, float, float], told: str
) -> RankTests:
    term, (statistic, df, p, size) = term_name(data.factors), numbers
    table = pd.DataFrame([(term, statistic, df, np.nan, p, size)], columns=list(COLUMNS))
    name = wording.words(data.response)
    lead = f"By ranks, {term} changes the {name}" if p < ALPHA else f"By ranks, no effect of {term} on {name} is shown"
    return RankTests(method, why, effect, table, f"{lead} ({method}: {told}).", data.warnings)


def _aligned(data: Usable, order: int, block: bool) -> RankTests:
    from scipy.stats import rankdata

    model, warnings, _ = choose(data, order, block)
    if not model.terms:
        reason = no_term(data)
        return RankTests("none", reason, "", pd.DataFrame(columns=list(COLUMNS)), reason, data.warnings)
    groups = alias_groups(data, model.terms, order)
    values = data.values - data.values.mean()
    estimate = np.linalg.lstsq(model.matrix, values, rcond=None)[0]
    residual = values - model.matrix @ estimate
    if len(values) <= model.matrix.shape[1]:
        reason = "There are as many terms as runs, so nothing is left to rank."
        return RankTests("none", reason, "", pd.DataFrame(columns=list(COLUMNS)), reason, data.warnings)
    digits = 9 - int(np.floor(np.log10(np.abs(values).max())))  # ties must stay ties after rounding errors
    spans = [model.spans[term] for term in model.terms]
    aligned = [np.round(residual + model.matrix[:, span] @ estimate[span], digits) for span in spans]
    told = factorial.f_tests(model, np.column_stack([rankdata(column) for column in aligned]))
    rows = []
    for k, term in enumerate(model.terms):
        f, df = float(told.f[k, k]), int(told.df[k])  # each term in the ranks that were aligned for it
        name = group_name(data, groups.get(term, (term,)))
        size = effectsize.partial_eta2(f, df, told.df_error)
        rows.append((name, f, df, told.df_error, float(told.p[k, k]), size))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    parts = [
        f"{row.term} (F({row.df}, {row.df_error}) = {wording.number_text(row.statistic)}, {wording.p_text(row.p)})"
        for row in table.itertuples()
    ]
    shown = [part for part, p in zip(parts, table["p"], strict=True) if p < ALPHA]
    other = [part for part, p in zip(parts, table["p"], strict=True) if not p < ALPHA]
    told_text = "By aligned ranks " + (f"these matter: {'; '.join(shown)}" if shown else "nothing is shown to matter")
    told_text += f"; not shown: {'; '.join(other)}." if other else "."
    why = "Two knobs or more: aligned ranks, since plain ranks cannot test interactions."
    return RankTests(
        "aligned rank transform", why, "partial η² of ranks", table, told_text, (*data.warnings, *warnings)
    )
