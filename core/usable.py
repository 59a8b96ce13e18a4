"""Which runs of a sweep an analysis may use, and what was left out: the first step of every test and chart.

A frame of results has one row per run: a column per factor, `seed`, the response, and where they are known `state`,
`diverged`. Runs that are not done, that diverged or whose response is not a finite number, or one that exploded, are
left out and counted, for a mean over what happened to survive is not the mean of a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.wording import count_text, list_text, number_text, words

NO_DIGITS = float(np.finfo(np.float64).eps ** -0.5)
"""6.7e7: the square of a number so many times another takes all digits of the other's square when they are added."""
LARGEST = float(np.finfo(np.float32).max)
"""Nothing that is trained in single precision has a true value beyond this."""


@dataclass(frozen=True)
class Usable:
    """Usable runs as codes: codes [n, factors] index into `levels`, seeds [n] are texts, values [n] finite numbers.

    `factors` holds those with two levels or more; `constant` the others with their one level. `left_out` counts runs
    by reason, `rows` [n] are the places of the usable runs in the frame. `is_replicated` says whether any cell has two
    runs: without it there is no scatter and no interval. `unit` is what a row is: a "run", or a "configuration" that is
    the mean of its seeds (a frame with a column of that name and none of seeds).
    """

    response: str
    factors: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    codes: np.ndarray
    seeds: np.ndarray
    values: np.ndarray
    constant: dict[str, str]
    left_out: dict[str, int]
    warnings: tuple[str, ...]
    is_replicated: bool
    has_seeds: bool
    rows: np.ndarray
    unit: str = "run"

    @property
    def cell_codes(self) -> np.ndarray:
        """[cells, factors]: the cells that have a run, in the order of the levels."""
        return np.unique(self.codes, axis=0)

    @property
    def cell_of(self) -> np.ndarray:
        """[n]: the row of `cell_codes` of each run."""
        return np.unique(self.codes, axis=0, return_inverse=True)[1].ravel()

    @property
    def cell_names(self) -> list[str]:
        """ "sgd · 0.1" for each row of `cell_codes`."""
        return [
            " · ".join(self.levels[f][c] for f, c in zip(self.factors, row, strict=True)) or "all runs"
            for row in self.cell_codes
        ]

    @property
    def n_seeds(self) -> int:
        """Different seeds among the usable runs."""
        return len(set(self.seeds))


def usable(results: pd.DataFrame, response: str, factors: Sequence[str]) -> Usable:
    """The runs of `results` that count. ValueError for an unknown column or a response that is no number."""
    values = numbers(results, response)
    for factor in factors:
        if factor not in results or factor == response:
            raise ValueError(f"{factor!r} is not a factor of these results; there are {list_text(list(results))}.")
    reasons, keep = _reasons(results, response, values)
    left_out = {reason: int(where.sum()) for reason, where in reasons.items() if where.any()}
    unit = "configuration" if "configuration" in results and "seed" not in results else "run"
    warnings = [f"{count_text(n, unit)} of {len(results):,} left out: {reason}." for reason, n in left_out.items()]
    keys = {factor: results[factor].map(level_text).to_numpy(dtype=object) for factor in factors}
    known = next((name for name in ("seed", "configuration") if name in results), "")
    seeds = results[known].map(level_text).to_numpy(dtype=object) if known else np.arange(len(results))
    if "seed" in results:
        keep, n_twice = _last_of_each(keep, [*keys.values(), seeds])
        warnings += [f"{count_text(n_twice, 'run')} left out: run again later with the same seed."] if n_twice else []
        left_out |= {"run again later": n_twice} if n_twice else {}
    levels: dict[str, tuple[str, ...]] = {}
    constant: dict[str, str] = {}
    for factor in factors:
        all_levels = _in_order(keys[factor])
        seen = set(keys[factor][keep])
        lost = [level for level in all_levels if level not in seen]
        kept = tuple(level for level in all_levels if level in seen)
        if len(kept) >= 2:
            levels[factor] = kept
        elif kept:
            constant[factor] = kept[0]
            warnings.append(f"{words(factor)} has one level ({kept[0]}), so nothing can be said about it.")
        if lost and seen:
            warnings.append(f"No usable {unit} has {words(factor)} {list_text(lost)}.")
    index = {factor: {level: k for k, level in enumerate(levels[factor])} for factor in levels}
    codes = np.array([[index[f][keys[f][i]] for f in levels] for i in np.flatnonzero(keep)], dtype=int)
    codes = codes.reshape(int(keep.sum()), len(levels))
    _, sizes = np.unique(codes, axis=0, return_counts=True)
    return Usable(
        response, tuple(levels), levels, codes, np.asarray(seeds)[keep].astype(str), values[keep], constant, left_out,
        tuple(warnings), bool((sizes > 1).any()), "seed" in results,
        np.flatnonzero(keep), unit,
    )  # fmt: skip


def too_large(values: np.ndarray) -> float:
    """The size from which on a value of `values` [n] has exploded and cannot be compared with the others: sums of
    squares would have no digits left for them. 6.7e7 times the size that a quarter of the finite ones do not pass (a
    quarter, since most may have exploded), but no less than 6.7e7, so that values near 0 make no others large."""
    sizes = np.abs(values[np.isfinite(values)])
    typical = float(np.quantile(sizes, 0.25, method="lower")) if len(sizes) else 1.0
    return min(LARGEST, NO_DIGITS * min(max(1.0, typical), LARGEST / NO_DIGITS))


def mark(unit: str) -> str:
    """What tells two rows of one cell apart: "seed" for runs, "configuration" for these."""
    return "seed" if unit == "run" else unit


def numbers(results: pd.DataFrame, response: str) -> np.ndarray:
    """A column as floats [n]. ValueError where it is missing or holds no numbers."""
    if response not in results:
        raise ValueError(f"{response!r} is not a column of these results; there are {list_text(list(results))}.")
    column = results[response]
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    if column.notna().any() and not np.isfinite(values).any() and not pd.api.types.is_numeric_dtype(column):
        raise ValueError(f"{response!r} holds no numbers; choose a metric as the response.")
    return values


def level_text(level: Any) -> str:
    """A factor's level as a text: 0.1 and 1e-1 are one level, 1 and 1.0 too; "none" where a knob does not apply."""
    if isinstance(level, bool | np.bool_):
        return "yes" if level else "no"
    if isinstance(level, int | float | np.integer | np.floating):
        return "none" if np.isnan(level) else f"{level:.12g}"
    return "none" if level is None or level is pd.NA else str(level)


def ordered_levels(column: pd.Series) -> list[str]:
    """The levels of a factor as texts: numbers by size, then the rest by first appearance."""
    return _in_order(column.map(level_text))


def _in_order(texts: Iterable[str]) -> list[str]:
    seen = dict.fromkeys(texts)
    return sorted(seen, key=lambda level: (not _is_number(level), float(level) if _is_number(level) else 0.0))


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _reasons(results: pd.DataFrame, response: str, values: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Why runs do not count, each run under its first reason, and [n] which do."""
    keep = np.ones(len(results), dtype=bool)
    reasons: dict[str, np.ndarray] = {}
    tests: dict[str, np.ndarray] = {}
    if "diverged" in results and response != "diverged":
        tests["diverged"] = results["diverged"].fillna(False).to_numpy(dtype=bool)
    if "state" in results and response != "diverged":
        state = results["state"].astype(str).to_numpy()
        tests |= {name: state == name for name in sorted(set(state) - {"done"})}
    tests[f"no finite {words(response)}"] = ~np.isfinite(values)
    limit = too_large(values[keep & ~np.any([*tests.values()], axis=0)])
    exploded = (
        f"taken as diverged, with a {words(response)} beyond {number_text(limit)} that leaves the others no digits"
    )
    tests[exploded] = np.isfinite(values) & (np.abs(values) > limit)
    for reason, where in tests.items():
        reasons[reason] = where & keep | reasons.get(reason, np.zeros(len(results), dtype=bool))
        keep = keep & ~where
    return reasons, keep


def _last_of_each(keep: np.ndarray, columns: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Of usable runs with the same cell and seed the last one stays: two of them are not two independent runs."""
    frame = pd.DataFrame(dict(enumerate(columns)))[keep]
    is_twice = frame.duplicated(keep="last").to_numpy()
    kept = keep.copy()
    kept[np.flatnonzero(keep)[is_twice]] = False
    return kept, int(is_twice.sum())
