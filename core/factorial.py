"""Linear algebra of factorial designs: sum-coded columns, and F tests of many responses on one design at once.

Written with numpy, so that thousands of simulated sweeps take a second, and so that a knob's name never becomes part
of a formula. The tests hold it to statsmodels. Source: Searle 1987, Linear Models for Unbalanced Data; HC3: MacKinnon
& White 1985, Journal of Econometrics 29, 305–325, Long & Ervin 2000, The American Statistician 54, 217–224.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Term = tuple[int, ...]
"""Factors by their place: (0,) is a main effect, (0, 1) their interaction."""
TINY = 1e-9
"""Smallest share of a column's length that counts as new direction, and of the scatter that counts as scatter."""


@dataclass(frozen=True)
class Design:
    """Columns of a model: matrix [n, p] is the mean, then each term's span, then the blocks'."""

    n_levels: tuple[int, ...]
    terms: tuple[Term, ...]
    spans: dict[Term, slice]
    blocks: slice
    matrix: np.ndarray


@dataclass(frozen=True)
class FTests:
    """One row per term, one column per response: sums of squares and F [terms, m], classical and HC3, with p.

    `df` [terms]; `blocks` is the blocks' sum of squares [m] with `df_blocks`; `error` [m] with `df_error`.
    `residuals` and `fitted` [n, m], `leverage` [n].
    """

    df: np.ndarray
    squares: np.ndarray
    f: np.ndarray
    p: np.ndarray
    f_hc3: np.ndarray
    p_hc3: np.ndarray
    blocks: np.ndarray
    df_blocks: int
    error: np.ndarray
    df_error: int
    residuals: np.ndarray
    fitted: np.ndarray
    leverage: np.ndarray


def all_terms(n_factors: int, order: int) -> list[Term]:
    """Main effects, then interactions of up to `order` factors."""
    return [term for size in range(1, order + 1) for term in combinations(range(n_factors), size)]


def design(
    codes: np.ndarray, n_levels: Sequence[int], terms: Sequence[Term], blocks: np.ndarray | None = None
) -> Design:
    """Sum-coded design of codes [n, factors] (0 … levels − 1); `blocks` [n] are codes too, added without interactions.

    Sum coding makes each column of a balanced design add up to 0, without which type III tests of main effects test
    something else.
    """
    mains = [_coded(codes[:, k], n_levels[k]) for k in range(codes.shape[1])]
    parts, spans, at = [np.ones((len(codes), 1))], {}, 1
    for term in terms:
        part = np.ones((len(codes), 1))
        for factor in term:
            part = (part[:, :, None] * mains[factor][:, None, :]).reshape(len(codes), -1)
        parts.append(part)
        spans[term] = slice(at, at + part.shape[1])
        at += part.shape[1]
    if blocks is not None:
        parts.append(_coded(blocks, int(blocks.max()) + 1))
    matrix = np.concatenate(parts, axis=1)
    return Design(tuple(n_levels), tuple(terms), spans, slice(at, matrix.shape[1]), matrix)


def estimable(codes: np.ndarray, n_levels: Sequence[int], terms: Sequence[Term]) -> tuple[list[Term], list[Term]]:
    """Terms that these cells can tell apart, lower orders first, and those they cannot (empty cells, confounding)."""
    cells = np.unique(codes, axis=0)
    kept: list[Term] = []
    lost: list[Term] = []
    for term in sorted(terms, key=len):
        contained = [part for size in range(1, len(term)) for part in combinations(term, size)]
        n_columns = int(np.prod([n_levels[k] - 1 for k in term]))
        matrix = design(cells, n_levels, kept).matrix
        if any(part in lost for part in contained) or matrix.shape[1] + n_columns > len(cells):
            lost.append(term)
            continue
        wider = design(cells, n_levels, [*kept, term]).matrix
        (kept if np.linalg.matrix_rank(wider, tol=TINY * len(cells)) == wider.shape[1] else lost).append(term)
    return kept, lost


def aliases(
    codes: np.ndarray, n_levels: Sequence[int], terms: Sequence[Term], others: Sequence[Term]
) -> dict[Term, tuple[Term, ...]]:
    """Which of `others` these cells cannot tell from which of `terms`: the term's columns lie within the other's.

    What contains the term or lies in it is none, nor is one with as many columns as cells, which fits anything.
    Source: Box, Hunter & Hunter 2005, Statistics for Experimenters, ch. 6.
    """
    cells = np.unique(codes, axis=0)
    bases: dict[Term, np.ndarray] = {}
    for other in others:
        n_columns = int(np.prod([n_levels[k] - 1 for k in other]))
        if n_columns + 1 < len(cells):
            left, sizes, _ = np.linalg.svd(design(cells, n_levels, [other]).matrix, full_matrices=False)
            bases[other] = left[:, sizes > TINY * sizes[0]]
    found: dict[Term, tuple[Term, ...]] = {}
    for term in terms:
        columns = design(cells, n_levels, [term]).matrix[:, 1:]
        apart = [o for o in bases if not (set(term) <= set(o) or set(o) <= set(term))]
        rest = {o: np.linalg.norm(columns - bases[o] @ (bases[o].T @ columns)) for o in apart}
        same = tuple(o for o in apart if rest[o] <= 1e-6 * np.linalg.norm(columns))
        if same:
            found[term] = same
    return found


def is_crossed(cells: np.ndarray, seeds: np.ndarray) -> bool:
    """Whether seeds can be told apart from cells: two seeds or more, and each pair linked by cells they share."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_cells, n_seeds = int(cells.max()) + 1, int(seeds.max()) + 1
    size = n_cells + n_seeds
    graph = coo_array((np.ones(len(cells)), (cells, n_cells + seeds)), shape=(size, size))
    return n_seeds > 1 and n_cells > 1 and connected_components(graph, directed=False)[0] == 1


def f_tests(model: Design, responses: np.ndarray, kind: str = "III") -> FTests:
    """F tests of every term for responses [n] or [n, m]; `kind` is "II" or "III" (sums of squares).

    Type III compares with the model that lacks only this term, type II with the one that also lacks every term that
    contains it; on balanced data they agree. Both divide by the full model's error. HC3 tests the same hypothesis
    with a covariance that allows every run its own variance; it is NaN where a run has a cell of its own.
    """
    from scipy.stats import f as f_distribution

    assert kind in ("II", "III"), kind
    values = responses.reshape(len(responses), -1)
    values = values - values.mean(axis=0)
    basis, _ = np.linalg.qr(model.matrix)
    fitted = basis @ (basis.T @ values)
    residuals = values - fitted
    leverage = (basis**2).sum(axis=1)
    df_error = len(values) - model.matrix.shape[1]
    error = (residuals**2).sum(axis=0)
    rounding = (TINY**2) * (values**2).sum(axis=0)  # what it leaves is neither scatter nor an effect
    error = np.where(error <= rounding, 0.0, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(leverage[:, None] > 1 - TINY, np.nan, residuals**2 / (1 - leverage[:, None]) ** 2)
        squares, f, f_hc3, df = [], [], [], []
        for term in model.terms:
            directions = _directions(model, term, kind)
            effect = directions.T @ values
            df.append(directions.shape[1])
            squares.append(np.where((effect**2).sum(axis=0) <= rounding, 0.0, (effect**2).sum(axis=0)))
            is_empty = (error == 0) & (squares[-1] == 0) & (rounding > 0)
            ratio = squares[-1] / df[-1] / (error / df_error) if df_error > 0 else np.full(values.shape[1], np.nan)
            f.append(np.where(is_empty & (df_error > 0), 0.0, ratio))
            f_hc3.append(np.where(error == 0, f[-1], _wald(directions, effect, weights)) if df_error > 0 else f[-1])
        blocks, df_blocks = np.zeros(values.shape[1]), model.blocks.stop - model.blocks.start
        if df_blocks:
            blocks = ((_residual_basis(model.matrix, model.blocks).T @ values) ** 2).sum(axis=0)
        freedom = np.array(df)[:, None]
        shape = (len(model.terms), values.shape[1])
        f_all, f_hc3_all = np.reshape(f, shape), np.reshape(f_hc3, shape)
        p = f_distribution.sf(f_all, freedom, max(df_error, 1))
        p_hc3 = f_distribution.sf(f_hc3_all, freedom, max(df_error, 1))
    return FTests(
        np.array(df), np.reshape(squares, shape), f_all, p, f_hc3_all, p_hc3, blocks, df_blocks, error, df_error,
        residuals, fitted + responses.reshape(len(responses), -1).mean(axis=0), leverage,
    )  # fmt: skip


def _coded(codes: np.ndarray, n_levels: int) -> np.ndarray:
    """[n, levels − 1]: 1 for a level, −1 for the last one in every column."""
    contrast = np.vstack([np.eye(n_levels - 1), -np.ones(n_levels - 1)])
    return contrast[codes]


def _directions(model: Design, term: Term, kind: str) -> np.ndarray:
    """Orthonormal [n, df]: what this term adds to those it is compared with."""
    if kind == "III":
        return _residual_basis(model.matrix, model.spans[term])
    containing = [other for other in model.terms if other != term and set(term) < set(other)]
    keep = np.ones(model.matrix.shape[1], dtype=bool)
    for other in containing:
        keep[model.spans[other]] = False
    start = int(keep[: model.spans[term].start].sum())
    width = model.spans[term].stop - model.spans[term].start
    return _residual_basis(model.matrix[:, keep], slice(start, start + width))


def _residual_basis(matrix: np.ndarray, span: slice) -> np.ndarray:
    """Orthonormal basis of the columns `span` after the other columns are taken out of them."""
    others = np.delete(matrix, np.arange(span.start, span.stop), axis=1)
    basis, _ = np.linalg.qr(others)
    rest = matrix[:, span] - basis @ (basis.T @ matrix[:, span])
    rest = rest - basis @ (basis.T @ rest)  # once more: the first pass loses digits where columns are nearly alike
    return np.linalg.qr(rest)[0]


def _wald(directions: np.ndarray, effect: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F [m] of effect [df, m] = 0 with the sandwich covariance; the model's directions make it this short."""
    covariance = np.einsum("ni,nm,nj->mij", directions, weights, directions, optimize=True)
    usable = np.isfinite(covariance).all(axis=(1, 2))
    usable[usable] = np.linalg.cond(covariance[usable]) < 1e15
    f = np.full(effect.shape[1], np.nan)
    solved = np.linalg.solve(covariance[usable], effect.T[usable][:, :, None])[:, :, 0]
    f[usable] = (solved * effect.T[usable]).sum(axis=1) / len(effect)
    return f
