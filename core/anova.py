"""Analysis of variance of a sweep: which knobs move the response, which depend on each other, and how much.

Factors are sum coded, seeds are a block where every cell was run with the same ones, type III unless type II is asked
for. Beside the classical F, whose level holds where cells scatter alike, stands the HC3 one, which lets every run
have a variance of its own. Source: Fisher 1925, Statistical Methods for Research Workers, ch. 7–8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import effectsize, factorial, wording
from core.usable import Usable, mark, usable

ALPHA = 0.05
COLUMNS = (
    "term", "df", "sum_of_squares", "mean_square", "f", "p", "f_hc3", "p_hc3", "eta2", "partial_eta2", "omega2",
    "partial_omega2", "low", "high", "omega2_low", "omega2_high",
)  # fmt: skip
METHOD = "Intervals of shares of variance: inversion of the noncentral F distribution (Steiger 2004)."


@dataclass(frozen=True)
class Anova:
    """An analysis of variance as a table, a sentence to quote, and what to keep in mind.

    `table` has a row per term (`by` gives the factors of each), then "seed" where seeds are a block, "residual" and
    "total". partial_omega2 estimates the population's share of variance, whose interval is `low`, `high`; partial_eta2
    is the share in these runs, too large where few degrees of freedom are left. eta2 and omega2 are shares of the
    whole (`omega2_low`, `omega2_high`). `runs` has fitted, residual (raw units), standardised (divided by its own
    standard error), leverage, cell, seed. `sentence_hc3` says the same as `sentence` by the HC3 tests.
    """

    response: str
    factors: tuple[str, ...]
    kind: str
    is_blocked: bool
    level: float
    n: int
    df_error: int
    mean_square_error: float
    table: pd.DataFrame
    runs: pd.DataFrame
    by: dict[str, tuple[str, ...]]
    sentence: str
    warnings: tuple[str, ...]
    unit: str = "run"
    sentence_hc3: str = ""


def anova(
    results: pd.DataFrame,
    response: str,
    factors: Sequence[str],
    *,
    kind: str = "III",
    order: int = 2,
    block: bool = True,
    level: float = 0.95,
) -> Anova:
    """Main effects and interactions of up to `order` factors on `response`, one row of `results` per run.

    `kind` is the type of the sums of squares, "II" or "III". `block` takes seeds out as a block where they are the
    same in the cells. Raises ValueError for unknown columns and other kinds. What cannot be tested (one seed, one
    level, empty cells, equal scores, all runs failed) gives a table with NaN or without rows, and a sentence that
    says why.
    """
    if kind not in ("II", "III"):
        raise ValueError(f"There is no type {kind!r} here; choose II or III.")
    data = usable(results, response, factors)
    reason = why_not(data)
    if reason:
        return _nothing(data, kind, level, reason)
    model, warnings, is_blocked = choose(data, order, block)
    if not model.terms:
        return _nothing(data, kind, level, no_term(data))
    if len(data.values) - model.matrix.shape[1] < 1:
        return _nothing(data, kind, level, "There are as many terms as runs, so nothing is left to measure scatter by.")
    told = factorial.f_tests(model, data.values, kind)
    groups = alias_groups(data, model.terms, order)
    names = [group_name(data, groups.get(term, (term,))) for term in model.terms]
    by = {name: tuple(data.factors[k] for k in term) for name, term in zip(names, model.terms, strict=True)}
    mixed = {
        name: [group_name(data, [one]) for one in groups[term]]
        for name, term in zip(names, model.terms, strict=True)
        if term in groups
    }
    table = _table(told, list(by), level)
    left_over = _left_over(data, model, float(told.error[0]), told.df_error, order)
    found = [*data.warnings, *warnings, *left_over, *_scatter_warnings(told, table, data.unit)]
    sentences = [_sentence(data, table, by, mixed, told.df_error, kind, is_blocked, errors) for errors in ("", "HC3")]
    return Anova(
        response, data.factors, kind, is_blocked, level, len(data.values), told.df_error,
        float(told.error[0] / told.df_error), table, _runs(data, told), by, sentences[0], tuple(found), data.unit,
        sentences[1],
    )  # fmt: skip


def why_not(data: Usable) -> str:
    """Why these runs cannot be tested, as a sentence; empty where they can."""
    name, n = wording.words(data.response), len(data.values)
    n_all = n + sum(data.left_out.values())
    if not n:
        return (
            f"None of {wording.count_text(n_all, data.unit)} has a {name} to analyse."
            if n_all
            else f"There are no {data.unit}s."
        )
    if not data.factors:
        return "No factor has two levels with usable runs, so there is nothing to compare."
    if np.ptp(data.values) <= 1e-12 * np.abs(data.values).max():
        same = f"{name} ({wording.number_text(data.values[0])})"
        return f"All {n} {data.unit}s have the same {same}: there is nothing to explain."
    if not data.is_replicated:
        one = "One seed" if data.has_seeds and data.n_seeds == 1 else f"One {data.unit}"
        unknown = f"the scatter between {mark(data.unit)}s is unknown"
        return f"{one} per cell: {unknown}, so no test and no interval can be given."
    return ""


def no_term(data: Usable) -> str:
    """Why a model without a term has none, as a sentence."""
    n = len(data.cell_codes)
    return (
        f"An analysis of variance compares levels that come back; in these {n} configurations none does with others "
        "of the other knobs, so no effect can be told from another."
    )


def choose(data: Usable, order: int, block: bool) -> tuple[factorial.Design, list[str], bool]:
    """The largest model up to `order` that these runs can estimate, what had to be left out, and whether seeds are
    a block in it."""
    warnings: list[str] = []
    n_levels = [len(data.levels[factor]) for factor in data.factors]
    cells = data.cell_codes
    asked = factorial.all_terms(len(n_levels), min(order, len(n_levels)))
    unique = {
        k for k, n in enumerate(n_levels) if len(n_levels) > 1 and n == len(cells)
    }  # one level per cell: its name
    kept, lost = factorial.estimable(data.codes, n_levels, [term for term in asked if not unique & set(term)])
    lost += [term for term in asked if unique & set(term)]
    n_possible = int(np.prod([float(n) for n in n_levels]))
    if len(cells) < n_possible:
        warnings.append(f"{n_possible - len(cells):,} of {n_possible:,} cells are empty.")
    groups = alias_groups(data, kept, order)
    warnings += alias_warnings(data, groups)
    lost = [term for term in lost if not any(term in group for group in groups.values())]
    if lost:
        names = [group_name(data, [term]) for term in lost]
        warnings.append(f"Left out, because these cells cannot tell them apart: {wording.list_text(names)}.")
    sizes = np.bincount(data.cell_of)
    if sizes.min() != sizes.max():
        warnings.append(f"Unbalanced: cells have {sizes.min()} to {sizes.max()} {data.unit}s; types II and III differ.")
    model = factorial.design(data.codes, n_levels, kept)
    if not (block and data.has_seeds and data.n_seeds > 1):
        return model, warnings, False
    blocked = factorial.design(data.codes, n_levels, kept, np.unique(data.seeds, return_inverse=True)[1].ravel())
    is_open = blocked.matrix.shape[1] < len(data.values)
    if is_open and np.linalg.matrix_rank(blocked.matrix) == blocked.matrix.shape[1]:
        return blocked, warnings, True
    warnings.append("Cells were run with different seeds, so seeds cannot be taken out as a block.")
    return model, warnings, False


def _left_over(data: Usable, model: factorial.Design, error: float, df_error: int, order: int) -> list[str]:
    """What is beyond the model between cells, where that is more than the scatter within them (test of lack of fit).

    Interactions of more than `order` factors are not in the model, and count as its error. Source: Fisher 1922, Journal
    of the Royal Statistical Society 85, 597–612; Draper & Smith 1998, Applied Regression Analysis, ch. 2.
    """
    from scipy.stats import f as f_distribution

    sizes = np.bincount(data.cell_of)

    def within_cells(columns: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(sizes), columns.shape[1]))
        np.add.at(sums, data.cell_of, columns)
        return columns - (sums / sizes[:, None])[data.cell_of]

    values = within_cells(data.values[:, None])[:, 0]
    blocks = within_cells(model.matrix[:, model.blocks])
    residual = values - blocks @ np.linalg.lstsq(blocks, values, rcond=None)[0]
    n_blocks = int(np.linalg.matrix_rank(blocks)) if blocks.size else 0
    within, df_within = float(residual @ residual), len(values) - len(sizes) - n_blocks
    df = df_error - df_within
    if df < 1 or df_within < 1 or within <= factorial.TINY**2 * float(data.values @ data.values):
        return []
    f = max(0.0, error - within) / df / (within / df_within)
    p = float(f_distribution.sf(f, df, df_within))
    if p >= ALPHA:
        return []
    beyond = f"interactions of {order + 1} knobs or more" if len(data.factors) > order else "what was left out"
    return [
        f"This model leaves out what matters: {beyond}, {f_text(f, df, df_within)}, {wording.p_text(p)}. They count as "
        "scatter here; compare cells (all knobs under Levels) rather than single effects."
    ]


def f_text(f: float, df: int, df_error: int) -> str:
    """ "F(3, 14) = 812"; "F(3, 14) without bound" where no scatter is left to divide by."""
    return f"F({df}, {df_error}) " + ("without bound" if np.isinf(f) else f"= {wording.number_text(f)}")


def term_name(factors: Sequence[str]) -> str:
    """ "learning rate × optimizer"."""
    return " × ".join(wording.words(factor) for factor in factors)


def alias_groups(
    data: Usable, terms: Sequence[factorial.Term], order: int
) -> dict[factorial.Term, tuple[factorial.Term, ...]]:
    """Of `terms` those that these cells cannot tell from others of up to `order` factors, with their group, lower
    orders first. A fraction of a factorial is made so; runs that failed may leave one."""
    n_levels = [len(data.levels[factor]) for factor in data.factors]
    if len(data.cell_codes) == np.prod([float(n) for n in n_levels]):
        return {}
    others = [term for term in factorial.all_terms(len(n_levels), min(order, len(n_levels))) if term not in terms]
    found = factorial.aliases(data.codes, n_levels, terms, others)
    return {term: tuple(sorted((term, *same), key=lambda one: (len(one), one))) for term, same in found.items()}


def alias_warnings(data: Usable, groups: Mapping[factorial.Term, Sequence[factorial.Term]]) -> list[str]:
    """What stands beside any statement on these terms."""
    told = dict.fromkeys(group_name(data, group) for group in groups.values())
    return [f"These cells cannot tell {name} apart: what is said of one may be the other's." for name in told]


def group_name(data: Usable, group: Sequence[factorial.Term]) -> str:
    """ "a × b = c × d": effects that cannot be told apart."""
    return " = ".join(term_name([data.factors[k] for k in term]) for term in group)


def _table(told: factorial.FTests, names: list[str], level: float) -> pd.DataFrame:
    error, df_error = float(told.error[0]), told.df_error
    observed = (told.fitted + told.residuals)[:, 0]
    total, mean_error = float(((observed - observed.mean()) ** 2).sum()), error / df_error
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.maximum(0.0, told.df * (told.f[:, 0] - 1))  # estimates of each term's noncentrality
        of_blocks = max(0.0, float(told.blocks[0] / told.error[0]) * df_error - told.df_blocks)
    rows: list[dict[str, object]] = []
    for k, name in enumerate(names):
        f, df, squares = float(told.f[k, 0]), int(told.df[k]), float(told.squares[k, 0])
        low, high = effectsize.share_interval(f, df, df_error, len(observed), level)
        others = float(excess.sum() - excess[k]) + of_blocks if np.isfinite(excess).all() else float("nan")
        of_all = effectsize.share_interval(f, df, df_error, len(observed), level, others)
        row = {"term": name, "df": df, "sum_of_squares": squares, "mean_square": squares / df, "f": f}
        row |= {"p": float(told.p[k, 0]), "f_hc3": float(told.f_hc3[k, 0]), "p_hc3": float(told.p_hc3[k, 0])}
        row |= {"eta2": squares / total, "partial_eta2": effectsize.partial_eta2(f, df, df_error)}
        row |= {"omega2": (squares - df * mean_error) / (total + mean_error)}
        row |= {"partial_omega2": effectsize.partial_omega2(f, df, len(observed)), "low": low, "high": high}
        rows.append(row | {"omega2_low": of_all[0], "omega2_high": of_all[1]})
    for name, squares, df in (("seed", float(told.blocks[0]), told.df_blocks), ("residual", error, df_error)):
        if df:
            rows.append({"term": name, "df": df, "sum_of_squares": squares, "mean_square": squares / df})
    rows.append({"term": "total", "df": len(observed) - 1, "sum_of_squares": total})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _runs(data: Usable, told: factorial.FTests) -> pd.DataFrame:
    names = data.cell_names
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(told.error[0] / told.df_error * (1 - told.leverage))
        standardised = np.where(spread > 0, told.residuals[:, 0] / spread, np.nan)
    return pd.DataFrame(
        {
            "cell": [names[k] for k in data.cell_of],
            "seed": data.seeds,
            "value": data.values,
            "fitted": told.fitted[:, 0],
            "residual": told.residuals[:, 0],
            "standardised": standardised,
            "leverage": told.leverage,
        }
    )


def _scatter_warnings(told: factorial.FTests, table: pd.DataFrame, unit: str) -> list[str]:
    if told.error[0] == 0:
        alike = f"{unit.capitalize()}s of one cell do not differ at all"
        return [f"{alike}: {mark(unit)}s change nothing, so a test against their scatter is empty."]
    found = []
    terms = table.dropna(subset=["f"])
    for row in terms.itertuples():
        if np.isfinite(row.p_hc3) and (row.p < ALPHA) != (row.p_hc3 < ALPHA):
            found.append(
                f"{wording.sentence_case(row.term)}: {wording.p_text(row.p)} if all cells scatter alike, "
                f"{wording.p_text(row.p_hc3)} if each may scatter differently (HC3)."
            )
    if told.df_error < 5:
        found.append(f"Only {told.df_error} degrees of freedom are left for the error: add {mark(unit)}s.")
    return found


def _sentence(
    data: Usable, table: pd.DataFrame, by: dict[str, tuple[str, ...]], mixed: dict[str, list[str]], df_error: int,
    kind: str, is_blocked: bool, errors: str,
) -> str:  # fmt: skip
    """The terms one by one, judged by the classical F or by that of HC3."""
    name = wording.words(data.response)
    rows = {row.term: row for row in table.itertuples()}
    parts, depends = [], False
    for term, factors in by.items():
        row = rows[term]
        f, p = (row.f_hc3, row.p_hc3) if errors else (row.f, row.p)
        shown = p < ALPHA
        span = wording.interval_text(row.low, row.high, share=True)
        share = f"partial ω² {wording.share_text(max(0.0, row.partial_omega2))} {span}"  # no share is below 0
        detail = f"({f_text(f, row.df, df_error)}, {wording.p_text(p)}, {share})"
        if errors and np.isnan(p):
            parts.append(f"HC3 cannot tell whether {term} changes the {name}: a {data.unit} has a cell of its own")
            continue
        if np.isinf(f):  # no interval of a share of nothing
            detail = f"({data.unit}s of one cell do not differ at all, so F has no bound)"
        if term in mixed:  # what cannot be told apart is stated of none of them
            depends = depends or (shown and any(" × " in one for one in mixed[term]))
            either = f"{' or '.join(mixed[term])}, which these cells cannot tell apart, changes the {name} {detail}"
            parts.append(
                either if shown else f"no effect of {term}, one and the same in these cells, is shown {detail}"
            )
        elif len(factors) == 1:
            parts.append(f"{term} changes the {name} {detail}" if shown else f"no effect of {term} is shown {detail}")
        else:
            depends = depends or shown
            lead = f"the effects of {wording.list_text([wording.words(f) for f in factors])} "
            parts.append(
                f"{lead}depend on each other {detail}"
                if shown
                else f"{lead}are not shown to depend on each other {detail}"
            )
    means = "" if data.unit == "run" else ", each its mean over seeds"
    seeds = ", seeds as block" if is_blocked else ""
    tail = " Main effects are averages over the other knobs: read them level by level." if depends else ""
    robust = f", F and p by HC3: each {data.unit} has a scatter of its own; ω² by the classical F" if errors else ""
    how = f" (Type {kind} analysis of variance of {len(data.values)} {data.unit}s{means}, sum coding{seeds}{robust}.)"
    return wording.sentence_case("; ".join(parts)) + "." + tail + how


def _nothing(data: Usable, kind: str, level: float, reason: str) -> Anova:
    runs = pd.DataFrame(columns=["cell", "seed", "value", "fitted", "residual", "standardised", "leverage"])
    return Anova(
        data.response, data.factors, kind, False, level, len(data.values), 0, float("nan"),
        pd.DataFrame(columns=list(COLUMNS)), runs, {}, reason, data.warnings, data.unit,
    )  # fmt: skip
