"""Sizes of effects with intervals, by inverting noncentral F and t distributions.

Source: Steiger 2004, Psychological Methods 9(2), 164–182; Smithson 2003, Confidence Intervals, ch. 4–5; ω²: Olejnik &
Algina 2003, Psychological Methods 8(4), 434–447; g: Hedges 1981, Journal of Educational Statistics 6(2), 107–128.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LARGEST = 1e12


def partial_eta2(f: float, df: float, df_error: float) -> float:
    """Share of the variance left by the other terms that this one explains, 0–1: F·df / (F·df + df_error)."""
    return 1.0 if np.isinf(f) else f * df / (f * df + df_error)


def partial_omega2(f: float, df: float, n: int) -> float:
    """The same for the population, with what chance alone explains taken off: df(F − 1) / (df(F − 1) + n), n being
    all runs: df(F − 1) estimates λ = n·σ²(term)/σ²(error), however many degrees of freedom other terms and blocks
    took. At most 1; below 0 where F < 1, and reported so, since cutting at 0 would bias it upwards."""
    return 1.0 if np.isinf(f) else df * (f - 1) / (df * (f - 1) + n)


def noncentrality(f: float, df: float, df_error: float, level: float = 0.95) -> tuple[float, float]:
    """Interval (low, high) of the noncentrality λ of an F statistic, by inverting the noncentral F distribution.

    low is the λ under which an F this large or larger has probability (1 − level)/2, high the one under which an F
    this small or smaller has it; 0 where even λ = 0 gives less.
    """
    from scipy.special import ncfdtr  # as scipy.stats.ncf.cdf, at a twentieth of its cost a call

    if not np.isfinite(f):
        return (f, f)
    tail = (1 - level) / 2

    def at(share: float) -> float:  # the λ under which this F is at the quantile `share`
        return _root(lambda x: float(ncfdtr(df, df_error, x, f)) - share)

    return at(1 - tail), at(tail)


def share_interval(
    f: float, df: float, df_error: float, n: int, level: float = 0.95, others: float = 0.0
) -> tuple[float, float]:
    """Interval of the population's share of variance that partial ω² estimates: λ / (λ + n), n being all runs. With
    the noncentrality of the `others` (terms and blocks) in the denominator it is the share of the whole. It is for
    these blocks: what other seeds would give is not in it."""
    low, high = noncentrality(f, df, df_error, level)
    total = n + others
    return _share(low, total), _share(high, total)


def hedges_correction(df: float) -> float:
    """J: what a standardised difference is multiplied with to lose its upward bias; exact (gamma functions)."""
    from scipy.special import gammaln

    if df < 2:
        return float("nan")
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def g_interval(
    difference: float, sd: float, weight: float, df: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Hedges' g with interval (g, low, high) of a difference of means, sd being the spread of single runs.

    `weight` is the variance of the difference in units of sd² (1/n1 + 1/n2), `df` the freedom of sd. The interval
    inverts the noncentral t distribution. All NaN where sd is 0 or unknown.
    """
    from scipy.special import nctdtr  # as scipy.stats.nct.cdf, at a tenth of its cost a call

    correction = hedges_correction(df)
    if not (sd > 0 and np.isfinite(correction)):
        return (float("nan"),) * 3
    t = difference / sd / np.sqrt(weight)
    tail = (1 - level) / 2

    def below(value: float, shift: float) -> float:  # deep in a tail SciPy's series gives NaN
        return float(np.nan_to_num(nctdtr(df, shift, value), nan=0.0 if shift > value else 1.0))

    def upper(value: float) -> float:  # the λ with P(T ≤ value) = tail
        reach = 10 + 10 * abs(value)
        return _root(lambda x: below(value, value + x) - tail, -reach, reach) + value

    low, high = -upper(-t), upper(t)
    scale = correction * np.sqrt(weight)
    return correction * difference / sd, low * scale, high * scale


def _root(falling: Callable[[float], float], low: float = 0.0, high: float = LARGEST) -> float:
    """Where a falling function is 0; `low` where it is not above 0 there."""
    from scipy.optimize import brentq

    if not falling(low) > 0:
        return low
    if high == LARGEST:
        high = 1.0
        while falling(high) > 0 and high < LARGEST:
            low, high = high, high * 4
    return float(brentq(falling, low, high, xtol=1e-10, rtol=1e-12)) if falling(high) < 0 else high


def _share(noncentral: float, total: float) -> float:
    return 1.0 if np.isinf(noncentral) else noncentral / (noncentral + total)
