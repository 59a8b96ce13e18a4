"""What a sweep could see: the smallest difference found with 80 % power, the seeds a difference needs, F tests' power.

Source: Cohen 1988, Statistical Power Analysis, ch. 2 and 8; exact noncentral t and F distributions throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import wording
from core.anova import ALPHA, why_not
from core.effects import cell_means
from core.usable import usable

POWER = 0.8
MOST_SEEDS = 10_000
SMALLEST = 1e-12
"""SciPy 1.17's noncentral F and t give a wrong upper tail (−0.84 for one) at a noncentrality of exactly 0."""


@dataclass(frozen=True)
class SweepPower:
    """What this sweep can see between two configurations, or where its rows are configurations between two cells of
    them: n seeds or configurations (the fewest of any cell), sd (scatter of single
    runs, seeds taken out where they are a block), d and difference (= d · sd) seen with `power`, and the seeds needed
    for d = 1 and d = 0.5. NaN and 0 where nothing can be said."""

    n: int
    sd: float
    d: float
    difference: float
    power: float
    alpha: float
    seeds_for_one: int
    seeds_for_half: int
    sentence: str
    warnings: tuple[str, ...]


def t_power(d: float, n: float, *, df: float | None = None, alpha: float = ALPHA) -> float:
    """Power of the two-sided t test between two groups of n runs that lie d standard deviations apart.

    `df` is that of the standard deviation: 2n − 2 where only the two groups give it.
    """
    from scipy.stats import nct, t

    df = 2 * n - 2 if df is None else df
    if not (df > 0 and n >= 2):
        return float("nan")
    critical, shift = t.ppf(1 - alpha / 2, df), max(abs(d) * np.sqrt(n / 2), SMALLEST)
    power = float(nct.sf(critical, df, shift) + nct.cdf(-critical, df, shift))
    return power if np.isfinite(power) else 1.0  # far out the series gives up, where nothing is left to miss


def detectable(n: float, *, df: float | None = None, power: float = POWER, alpha: float = ALPHA) -> float:
    """The difference d, in standard deviations, that n runs a group see with `power`; NaN for fewer than two."""
    from scipy.optimize import brentq

    if not np.isfinite(t_power(1.0, n, df=df, alpha=alpha)):
        return float("nan")
    high = 1.0
    while t_power(high, n, df=df, alpha=alpha) < power:
        high *= 2
    return float(brentq(lambda d: t_power(d, n, df=df, alpha=alpha) - power, 0.0, high, xtol=1e-9))


def seeds_needed(
    d: float, *, n_cells: int = 2, is_blocked: bool = False, power: float = POWER, alpha: float = ALPHA
) -> int:
    """The fewest seeds per cell with which a difference of d between two cells is seen with `power`.

    The standard deviation comes from all `n_cells`. 10,000 stands for that many or more. ValueError unless d > 0.
    """
    if not (np.isfinite(d) and d > 0):
        raise ValueError(f"A difference of {d:g} standard deviations cannot be planned for; give one above 0.")

    def is_enough(n: int) -> bool:
        return t_power(d, n, df=_freedom(n_cells, n, is_blocked), alpha=alpha) >= power

    low, high = 1, 2
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def f_power(noncentrality: float, df: float, df_error: float, alpha: float = ALPHA) -> float:
    """Power of an F test whose statistic has this noncentrality λ."""
    from scipy.stats import f, ncf

    return float(ncf.sf(f.ppf(1 - alpha, df, df_error), df, df_error, max(noncentrality, SMALLEST)))


def groups_power(effect: float, n_groups: int, n: int, alpha: float = ALPHA) -> float:
    """Power of a one-way analysis of variance of `n_groups` × n runs for Cohen's f (sd of the means / sd of runs)."""
    return f_power(effect**2 * n_groups * n, n_groups - 1, n_groups * (n - 1), alpha)


def interaction_power(
    cell_means: np.ndarray, sd: float, n_seeds: int, *, is_blocked: bool = True, alpha: float = ALPHA
) -> float:
    """Power of the F test of the interaction in a complete two-factor sweep with these true cell means [a, b].

    `sd` is the scatter of single runs (with seeds as a block: what is left beside the seeds' own shift).
    """
    a, b = cell_means.shape
    rest = cell_means - cell_means.mean(axis=0) - cell_means.mean(axis=1)[:, None] + cell_means.mean()
    df_error = _freedom(a * b, n_seeds, is_blocked)
    return f_power(n_seeds * float((rest**2).sum()) / sd**2, (a - 1) * (b - 1), df_error, alpha)


def sweep_power(
    results: pd.DataFrame,
    response: str,
    factors: Sequence[str],
    *,
    block: bool = True,
    power: float = POWER,
    alpha: float = ALPHA,
) -> SweepPower:
    """What these runs could show between two configurations, from their own scatter. ValueError as in `usable`."""
    data = usable(results, response, factors)
    reason = why_not(data)
    nan = float("nan")
    if reason:
        return SweepPower(0, nan, nan, nan, power, alpha, 0, 0, reason, data.warnings)
    _, _, variance, df, is_blocked = cell_means(data, block)
    sizes = np.bincount(data.cell_of)
    n, sd = int(sizes.min()), float(np.sqrt(variance))
    if n < 2:
        lonely = "configuration has one seed" if data.unit == "run" else "cell has one configuration"
        sentence = f"Some {lonely}: what it could be told apart from is unknown."
        return SweepPower(n, sd, nan, nan, power, alpha, 0, 0, sentence, data.warnings)
    d = detectable(n, df=df, power=power, alpha=alpha)
    one, half = (seeds_needed(size, n_cells=len(sizes), is_blocked=is_blocked, power=power) for size in (1.0, 0.5))
    each, what = ("seeds", "configurations") if data.unit == "run" else ("configurations a cell", "cells")
    sentence = (
        f"With n = {n} {each} you can see differences between two {what} above d = {wording.number_text(d)} "
        "of the scatter pooled over all cells "
        f"({wording.number_text(d * sd)} in {wording.words(response)}) with a power of {round(100 * power)} %; "
        f"d = 1 would need {one:,} {each}, d = 0.5 {half:,}."
    )
    return SweepPower(n, sd, d, d * sd, power, alpha, one, half, sentence, data.warnings)


def _freedom(n_cells: int, n: float, is_blocked: bool) -> float:
    """Degrees of freedom of the scatter within n_cells × n runs."""
    return (n_cells - is_blocked) * (n - 1)
