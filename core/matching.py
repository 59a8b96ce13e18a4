"""Over which cells two levels of a knob can be compared: those that both have.

Where a level failed in its bad cells, its mean over what it has left is a mean over other cells than its rival's, and
the difference is partly that of the cells. Source: Searle 1987, Linear Models for Unbalanced Data, ch. 5 (empty cells).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import wording
from core.usable import Usable, level_text


@dataclass(frozen=True)
class Match:
    """Weights [cells] of the two means to compare; both are NaN where there is no fair comparison.

    `n_cells` of the `n_all` cells of the other knobs that either side has are in both means. `is_balanced`: no cell is
    in both, but each level of each other knob weighs the same on both sides, as in a fraction of a factorial.
    """

    a: np.ndarray
    b: np.ndarray
    n_cells: int
    n_all: int
    is_balanced: bool

    @property
    def is_known(self) -> bool:
        """Whether the two can be compared."""
        return bool(np.isfinite(self.a).all())

    @property
    def told(self) -> str:
        """ "over 2 of 3 cells of the other knobs, those that both have"; empty where there is one cell."""
        if self.is_balanced:
            return "over different cells, in which every level of the other knobs weighs the same"
        if self.n_cells < self.n_all:
            return f"over {self.n_cells:,} of {self.n_all:,} cells of the other knobs, those that both have"
        return f"over {self.n_all:,} cells of the other knobs" if self.n_all > 1 else ""


def match(data: Usable, chosen: Sequence[str], a: np.ndarray, b: np.ndarray) -> Match:
    """The cells to compare the sides a and b [cells, booleans] over, which differ in the factors `chosen`.

    A knob that applies to one side only (its level is "none" throughout the other) belongs to its side: its levels are
    averaged, they are no cells to share.
    """
    codes = data.cell_codes
    others = [k for k, factor in enumerate(data.factors) if factor not in chosen and not _is_nested(data, k, a, b)]
    cells = np.unique(codes[:, others], axis=0, return_inverse=True)[1].ravel() if others else np.zeros(len(codes), int)
    shared = np.intersect1d(cells[a], cells[b])
    n_all = len(np.union1d(cells[a], cells[b]))
    if len(shared):
        return Match(_weights(cells, a, shared), _weights(cells, b, shared), len(shared), n_all, False)
    if a.any() and b.any() and all(_is_even(codes[a, k], codes[b, k]) for k in others):
        return Match(a / a.sum(), b / b.sum(), 0, n_all, True)
    unknown = np.full(len(codes), np.nan)
    return Match(unknown, unknown, 0, n_all, False)


def _is_nested(data: Usable, k: int, a: np.ndarray, b: np.ndarray) -> bool:
    levels = data.levels[data.factors[k]]
    if "none" not in levels or not (a.any() and b.any()):
        return False
    is_none = data.cell_codes[:, k] == levels.index("none")
    return bool(is_none[a].all() != is_none[b].all())


def _weights(cells: np.ndarray, side: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """[cells]: each shared cell of the other knobs weighs the same, and in it each of the side's own."""
    own = side & np.isin(cells, shared)
    counts = np.bincount(cells[own], minlength=int(cells.max()) + 1)
    return np.where(own, 1 / np.maximum(counts[cells], 1) / len(shared), 0.0)


def _is_even(a: np.ndarray, b: np.ndarray) -> bool:
    n = int(max(a.max(), b.max())) + 1
    return bool(np.allclose(np.bincount(a, minlength=n) / len(a), np.bincount(b, minlength=n) / len(b)))


def uneven_losses(results: pd.DataFrame, data: Usable, chosen: Sequence[str]) -> list[str]:
    """A warning where one level of the factors `chosen` lost a larger share of its runs than another; else nothing."""
    columns = [results[factor].map(level_text) for factor in chosen]
    names = np.array([" · ".join(row) for row in zip(*columns, strict=True)], dtype=object)
    planned, used = pd.Series(names).value_counts(sort=False), pd.Series(names[data.rows]).value_counts()
    lost = planned - used.reindex(planned.index, fill_value=0)
    if (lost / planned).nunique() < 2:
        return []
    told = wording.list_text([f"{name} {lost[name]:,} of {planned[name]:,}" for name in lost.index[lost > 0]])
    return [f"Levels lost different shares of their runs ({told}); what is left of them may be the better ones."]
