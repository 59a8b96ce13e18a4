"""Whether an analysis of variance may be believed: equal scatter, normal residuals, outliers, balance.

With three seeds per cell these checks see only gross faults: silence is no proof. All of them together accuse a sound
sweep once in twenty times, however many runs it has. Source: Brown & Forsythe 1974, JASA 69, 364–367; Hartley 1950,
Biometrika 37, 308–312; Shapiro & Wilk 1965, Biometrika 52, 591–611; Blom 1958; outliers: Cook & Weisberg 1982,
Residuals and Influence in Regression, ch. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from core import wording
from core.anova import ALPHA, Anova
from core.usable import mark

N_SIMULATED = 20_000


@dataclass(frozen=True)
class Assumptions:
    """Checks of one analysis. `residuals` has cell, seed, fitted, residual, standardised, normal (the quantile a
    normal residual of that rank would have). p values are NaN where a check cannot be made; `holds` is False where
    any check warns (p below .05 divided by the number of checks made), and then `advice` says what to do. `outlier_p`
    is that of the farthest of all runs, `far` the standardised residual beyond which a run is named."""

    residuals: pd.DataFrame
    levene_p: float
    variance_ratio: float
    variance_ratio_p: float
    normal_p: float
    outlier_p: float
    far: float
    holds: bool
    sentence: str
    advice: str
    warnings: tuple[str, ...]
    unit: str = "run"


def check(analysis: Anova) -> Assumptions:
    """Look at the residuals of an analysis: Levene's test about the medians, largest to smallest variance of the cells
    (Hartley, its p by simulation), Shapiro–Wilk, and the farthest run by its studentised residual (t, Bonferroni)."""
    runs = analysis.runs
    nan = float("nan")
    if runs.empty or analysis.df_error < 1 or not runs["standardised"].notna().any():
        reason = "There are no residuals to look at."
        return Assumptions(runs.assign(normal=nan), nan, nan, nan, nan, nan, nan, True, reason, "", (), analysis.unit)
    residuals = runs.assign(normal=normal_quantiles(runs["standardised"].to_numpy(dtype=float)))
    by_cell = [rows["value"].to_numpy() for _, rows in runs.groupby("cell", sort=False) if len(rows) > 1]
    levene = _levene(by_cell)
    ratio, ratio_p = variance_ratio(by_cell)
    standardised = runs["standardised"].to_numpy(dtype=float)
    normal = _shapiro(standardised[np.isfinite(standardised)])
    each = outlier_p(standardised, analysis.df_error)
    farthest = float(np.nanmin(each)) if np.isfinite(each).any() else nan
    limit = ALPHA / max(1, int(np.isfinite([levene, ratio_p, normal, farthest]).sum()))
    warnings = []
    if levene < limit or ratio_p < limit:
        told = f"largest to smallest variance {wording.number_text(ratio)} ({wording.p_text(ratio_p)})"
        told += f", Levene's test {wording.p_text(levene)}" if np.isfinite(levene) else ""
        warnings.append(f"Cells do not scatter alike: {told}.")
    if normal < limit:
        warnings.append(f"Residuals are not normal (Shapiro–Wilk {wording.p_text(normal)}).")
    far = runs[each < limit]
    if len(far):
        named = [f"{row.cell}, {mark(analysis.unit)} {row.seed}" for row in far.itertuples()]
        few = wording.list_text(named, 3)
        told = f"largest of {len(runs):,} studentised residuals, {wording.p_text(farthest)}"
        warnings.append(
            f"{wording.count_text(len(far), analysis.unit)} too far from what was expected ({told}): {few}."
        )
    advice = ""
    if warnings:
        advice = "Read HC3's F and the rank-based test beside the classical F, and look at the runs that lie far off."
    sentence = "The residuals give no sign against the analysis." if not warnings else " ".join(warnings)
    if len(by_cell) and max(map(len, by_cell)) < 5:
        sentence += f" With {max(map(len, by_cell))} {analysis.unit}s a cell only gross faults can be seen."
    beyond = outlier_limit(limit, len(runs), analysis.df_error)
    return Assumptions(
        residuals,
        levene,
        ratio,
        ratio_p,
        normal,
        farthest,
        beyond,
        not warnings,
        sentence,
        advice,
        tuple(warnings),
        analysis.unit,
    )


def outlier_p(standardised: np.ndarray, df_error: int) -> np.ndarray:
    """For each standardised residual [n] how often the farthest of n normal runs lies as far: at most 1, NaN stays.

    The error variance is estimated without the run itself (t with df_error − 1 degrees of freedom), times n.
    """
    from scipy.stats import t

    p = np.full(len(standardised), np.nan)
    known = np.isfinite(standardised)
    if df_error < 2:
        return p
    rest = np.maximum(df_error - standardised[known] ** 2, 1e-12)
    studentised = np.abs(standardised[known]) * np.sqrt((df_error - 1) / rest)
    p[known] = np.minimum(1.0, 2 * known.sum() * t.sf(studentised, df_error - 1))
    return p


def outlier_limit(p: float, n: int, df_error: int) -> float:
    """The standardised residual at which `outlier_p` of n runs is p; NaN where it cannot be told."""
    from scipy.stats import t

    if df_error < 2:
        return float("nan")
    studentised = float(t.isf(p / 2 / n, df_error - 1))
    return float(studentised * np.sqrt(df_error / (df_error - 1 + studentised**2)))


def normal_quantiles(values: np.ndarray) -> np.ndarray:
    """For each value [n] the standard normal quantile of its rank, (rank − 3/8) / (n + 1/4); NaN stays NaN."""
    from scipy.stats import norm, rankdata

    finite = np.isfinite(values)
    quantiles = np.full(len(values), np.nan)
    quantiles[finite] = norm.ppf((rankdata(values[finite]) - 0.375) / (finite.sum() + 0.25))
    return quantiles


def variance_ratio(cells: list[np.ndarray]) -> tuple[float, float]:
    """Largest to smallest variance of the cells, and how often normal cells of these sizes give one as large.

    Cells of two runs or more; (NaN, NaN) for fewer than two of them.
    """
    variances = np.array([cell.var(ddof=1) for cell in cells if len(cell) > 1])
    if len(variances) < 2 or not variances.max() > 0:
        return float("nan"), float("nan")
    ratio = float(variances.max() / variances.min()) if variances.min() > 0 else float("inf")
    simulated = _simulated_ratios(tuple(sorted(len(cell) for cell in cells if len(cell) > 1)))
    return ratio, float((1 + (simulated >= ratio).sum()) / (1 + len(simulated)))


@lru_cache(maxsize=64)
def _simulated_ratios(sizes: tuple[int, ...]) -> np.ndarray:
    freedom = np.array(sizes, dtype=float) - 1
    variances = np.random.default_rng(0).chisquare(freedom, size=(N_SIMULATED, len(sizes))) / freedom
    return variances.max(axis=1) / variances.min(axis=1)


def _levene(cells: list[np.ndarray]) -> float:
    """NaN where it cannot see anything: with two runs a cell both lie equally far from their median."""
    from scipy.stats import levene

    if len(cells) < 2 or max(map(len, cells)) < 3:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(levene(*cells, center="median").pvalue)


def _shapiro(values: np.ndarray) -> float:
    from scipy.stats import shapiro

    if not 3 <= len(values) <= 5000 or np.ptp(values) == 0:
        return float("nan")
    return float(shapiro(values).pvalue)
