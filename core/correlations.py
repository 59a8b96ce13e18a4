"""Which knobs of a search go with the score: rank correlations over configurations, where no level comes back.

Numbers drawn from a range are all different, so an analysis of variance has no levels to compare, and runs of one
configuration are no independent evidence: each configuration counts once, with its mean over seeds. p is from random
permutations, adjusted over the knobs. Source: Spearman 1904, American Journal of Psychology 15, 72–101; the interval:
Bonett & Wright 2000, Psychometrika 65, 23–28; knobs without an order: Kruskal & Wallis 1952 (core/ranks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import effects, ranks, wording
from core.anova import ALPHA
from core.usable import Usable, usable

SEARCHES = ("random", "bayesian")
FEWEST = 4
"""Configurations: the standard error of the transformed correlation is over n − 3."""
DOES_NOT_APPLY = "none"
COLUMNS = ("knob", "test", "n", "statistic", "low", "high", "p", "p_holm")
RHO, H = "Spearman's ρ", "Kruskal–Wallis H"


@dataclass(frozen=True)
class Correlations:
    """`table` has a row per knob: knob (words), test (ρ of a numeric knob, H of another), n (configurations),
    statistic, low, high (95 % interval of ρ; NaN for H, and for a ρ of 1 or −1), p, p_holm (adjusted over the knobs).
    It has no rows where nothing can be said, and `sentence` then says why."""

    table: pd.DataFrame
    sentence: str
    warnings: tuple[str, ...]


def never_back(results: pd.DataFrame, response: str, factors: Sequence[str], design: str) -> tuple[str, ...]:
    """The knobs of a search whose numbers, as a rule, stand in one configuration each; none in other designs."""
    if design not in SEARCHES or results.empty:
        return ()
    data = usable(results, response, factors)
    n = len(data.cell_codes)
    return tuple(f for f in data.factors if n > 2 and len(data.levels[f]) > n / 2 and _positions(data, f) is not None)


def correlations(
    results: pd.DataFrame, response: str, factors: Sequence[str], *, design: str = "random", level: float = 0.95
) -> Correlations:
    """Each knob against the mean `response` of the configurations. ValueError as in `usable`."""
    data, name = usable(results, response, factors), wording.words(response)
    sizes = np.bincount(data.cell_of) if len(data.values) else np.array([])
    n, empty = len(sizes), pd.DataFrame(columns=list(COLUMNS))
    if n < FEWEST or not data.factors:
        count = wording.count_text(n, "configuration")
        return Correlations(empty, f"{count} with a {name}: it takes {FEWEST} to correlate ranks.", data.warnings)
    means = np.bincount(data.cell_of, data.values) / sizes
    if np.ptp(means) <= 1e-12 * np.abs(means).max():
        return Correlations(
            empty, f"All {n} configurations have the same {name}: there is nothing to explain.", data.warnings
        )
    rows = []
    for k, factor in enumerate(data.factors):
        at = _positions(data, factor)
        if at is None:
            statistic, _, p, _ = ranks.kruskal(means, data.cell_codes[:, k])
            rows.append((wording.words(factor), H, n, statistic, np.nan, np.nan, p))
        else:
            applies = np.isfinite(at)
            n_told = int(applies.sum())
            rho, p = spearman(at[applies], means[applies]) if n_told >= FEWEST else (np.nan, np.nan)
            rows.append((wording.words(factor), RHO, n_told, rho, *interval(rho, n_told, level), p))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    table["p_holm"] = effects.holm(table["p"].to_numpy(dtype=float))
    warnings = [w for w in data.warnings if not w.startswith("No usable ")]  # each configuration has levels of its own
    if design == "bayesian":
        warnings.append(
            "This search chose its configurations by the scores of those before, so they are no random sample: the p "
            "values and intervals are no more than a description."
        )
    single = [wording.words(factor) for factor in never_back(results, response, factors, design)]
    return Correlations(table, _sentence(table, name, design, single), tuple(warnings))


def spearman(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Spearman's ρ of x [n] and y [n], tied values sharing their mean rank, and its two-sided p by permutation."""
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if size == 0:
        return float("nan"), float("nan")
    rho = float(a @ b) / size
    n_shuffled = min(ranks.N_PERMUTATIONS, max(1000, ranks.MOST_NUMBERS // len(a)))
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (n_shuffled, 1)), axis=1) @ a / size
    return rho, float((1 + (np.abs(shuffled) >= abs(rho) - 1e-9).sum()) / (1 + n_shuffled))


def interval(rho: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of Spearman's ρ of n pairs by Fisher's z with se √((1 + ρ²/2) / (n − 3)); NaN where it has no width to
    be told (|ρ| = 1) or n is 3 or less."""
    from scipy.stats import norm

    if not abs(rho) < 1 - 1e-12 or n < FEWEST:
        return float("nan"), float("nan")
    half = float(norm.ppf(0.5 + level / 2)) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))


def _positions(data: Usable, factor: str) -> np.ndarray | None:
    """The levels of a factor as numbers, one per configuration, NaN where the knob does not apply; None where they are
    not numbers."""
    levels = pd.Series(data.levels[factor]).astype(str)
    at = pd.to_numeric(levels, errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(at[levels != DOES_NOT_APPLY]).all() or not np.isfinite(at).any():
        return None
    return at[data.cell_codes[:, data.factors.index(factor)]]


def _sentence(table: pd.DataFrame, name: str, design: str, single: Sequence[str]) -> str:
    kind = {"bayesian": "Bayesian"}.get(design, design)
    which = f"those of {wording.list_text(single)} in" if single else "those of"
    lead = (
        f"An analysis of variance compares levels that come back, which {which} this {kind} design do not; "
        f"rank correlations over {int(table['n'].max())} configurations stand in its place."
    )
    parts = []
    for row in table.itertuples():
        p = wording.p_text(row.p_holm)
        if row.test == H:
            detail = f"(Kruskal–Wallis H = {wording.number_text(row.statistic)}, {p})"
            found = f"the {name} differs between levels of {row.knob}"
        elif not np.isfinite(row.statistic):
            parts.append(f"{row.knob} applies to {wording.count_text(row.n, 'configuration')}, too few to correlate")
            continue
        else:
            span = f" {wording.interval_text(row.low, row.high, share=True)}" if np.isfinite(row.low) else ""
            detail = f"(Spearman's ρ {wording.share_text(row.statistic)}{span}, {p})"
            found = f"the {name} {'rises' if row.statistic > 0 else 'falls'} with the {row.knob}"
        parts.append(
            f"{found} {detail}" if row.p_holm < ALPHA else f"no relation with the {row.knob} is shown {detail}"
        )
    how = f" (p by permutation, Holm-adjusted over {wording.count_text(len(table), 'knob')}.)"
    return f"{lead} {wording.sentence_case('; '.join(parts))}.{how}"
