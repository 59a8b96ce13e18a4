"""Whether two configurations are as good as each other, or one not worse than the other by more than δ.

"No difference was found" is no evidence of equality with three seeds; an interval inside ±δ is. Source: Schuirmann
1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657–680; Lakens 2017, Social Psychological and Personality
Science 8(4), 355–362.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core import matching, wording
from core.anova import ALPHA
from core.usable import level_text, usable

CLAIMS = ("equivalent", "not worse")


@dataclass(frozen=True)
class Equivalence:
    """Test of a − b against a margin. low, high: the 1 − 2·alpha interval, which lies inside the margin exactly where
    the test succeeds. `verdict` is "equivalent", "not worse", "different" (outside the margin) or "cannot be told"."""

    claim: str
    difference: float
    low: float
    high: float
    margin: float
    p: float
    df: float
    n_a: int
    n_b: int
    is_paired: bool
    verdict: str
    sentence: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Sides:
    """Scores of two levels by seed, each a mean over the same cells; `basis` says over which cells and without which
    runs, to follow a sentence, and is empty where there is nothing to say."""

    a: pd.Series
    b: pd.Series
    basis: str
    warnings: tuple[str, ...]


def by_seed(
    results: pd.DataFrame,
    response: str,
    factors: list[str],
    a: Mapping[str, object],
    b: Mapping[str, object],
    names: tuple[str, str] = ("a", "b"),
) -> Sides:
    """`response` of the runs whose factors have the levels of `a`, and of those with the levels of `b`: one value per
    seed, averaged over the cells of the other knobs that both sides have (core/matching.py).

    A seed that lacks one of these cells on a side is left out of it, since its mean would be over other cells. Both
    are empty where the sides share no cell. ValueError for an unknown factor or level.
    """
    masks = [_mask(results, factors, where) for where in (a, b)]
    part = results[masks[0] | masks[1]]
    data = usable(part, response, factors)
    lost, warnings = [], []
    for name, mask in zip(names, masks, strict=True):
        left_out = usable(results[mask], response, factors).left_out
        for reason, n in left_out.items():
            warnings.append(f"{name}: {wording.count_text(n, 'run')} of {int(mask.sum()):,} left out: {reason}.")
        reasons = wording.list_text(
            [f"{n:,} {reason}" for reason, n in left_out.items() if reason != "run again later"]
        )
        lost += [f"{sum(left_out.values()):,} of {int(mask.sum()):,} runs of {name} ({reasons})"] if reasons else []
    without = f"without {wording.list_text(lost)}" if lost else ""
    of_runs = [mask[masks[0] | masks[1]][data.rows] for mask in masks]
    nothing = pd.Series(dtype=float)
    if not (of_runs[0].any() and of_runs[1].any()):
        return Sides(nothing, nothing, without, tuple(warnings))
    of_cells = [np.bincount(data.cell_of, runs) > 0 for runs in of_runs]
    match = matching.match(data, [*a, *b], *of_cells)
    if not match.is_known:
        warnings.append("The two share no cell of the other knobs, so their means would be over different ones.")
        return Sides(nothing, nothing, without, tuple(warnings))
    frame = pd.DataFrame({"seed": data.seeds, "cell": data.cell_of, "value": data.values})
    wide = frame.pivot_table(index="seed", columns="cell", values="value")
    scores = []
    for name, weights in zip(names, (match.a, match.b), strict=True):
        own = wide.loc[:, weights > 0].dropna(how="all")
        complete = own.dropna()
        scores.append(complete @ weights[weights > 0])
        if len(complete) < len(own):
            lacking = wording.count_text(len(own) - len(complete), "seed")
            warnings.append(f"{name}: {lacking} left out for want of a cell that is compared.")
    basis = ", ".join(text for text in (match.told, without) if text)
    return Sides(scores[0], scores[1], basis, tuple(warnings))


def _mask(results: pd.DataFrame, factors: list[str], where: Mapping[str, object]) -> np.ndarray:
    """[n]: which runs have these levels."""
    mask = np.ones(len(results), dtype=bool)
    for factor, level in where.items():
        if factor not in results:
            raise ValueError(
                f"{factor!r} is not a factor of these results; there are {wording.list_text(list(factors))}."
            )
        is_level = (results[factor].map(level_text) == level_text(level)).to_numpy(dtype=bool)
        if not is_level.any():
            choices = wording.list_text(sorted(set(results[factor].map(level_text))))
            raise ValueError(f"No run has {factor} {level_text(level)}; there are {choices}.")
        mask &= is_level
    return mask


def levels(
    results: pd.DataFrame,
    response: str,
    factors: list[str],
    a: Mapping[str, object],
    b: Mapping[str, object],
    margin: float,
    *,
    claim: str = "equivalent",
    better: str = "higher",
    names: tuple[str, str] = ("a", "b"),
) -> Equivalence:
    """`equivalence` of two levels of a sweep over the cells that both have; the sentence says over which, and without
    which runs. ValueError as in `by_seed` and `equivalence`."""
    sides = by_seed(results, response, factors, a, b, names)
    found = equivalence(sides.a, sides.b, margin, claim=claim, better=better, names=names, basis=sides.basis)
    return replace(found, warnings=tuple(dict.fromkeys((*sides.warnings, *found.warnings))))


def equivalence(
    a: pd.Series,
    b: pd.Series,
    margin: float,
    *,
    claim: str = "equivalent",
    better: str = "higher",
    alpha: float = ALPHA,
    names: tuple[str, str] = ("a", "b"),
    basis: str = "",
) -> Equivalence:
    """Two one-sided t tests (claim "equivalent"), or one (claim "not worse": a is not worse than b by more than δ).

    a and b are scores indexed by seed; seeds that both have are paired (two or more are needed, others are then left
    out), else Welch's test is used. `margin` δ > 0 in units of the score, chosen before looking; `better` is "higher"
    or "lower". `basis` is what the scores are means over; it ends the sentence. ValueError for other claims, directions
    and margins.
    """
    if claim not in CLAIMS or better not in ("higher", "lower"):
        raise ValueError(
            f"There is no claim {claim!r} with better {better!r}; choose {' or '.join(CLAIMS)}, higher or lower."
        )
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(
            f"A margin of {margin:g} is no margin; give the largest difference that does not matter, above 0."
        )
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    difference, error, df, is_paired, warnings = _difference(a, b)
    size: dict[str, Any] = {
        "claim": claim,
        "difference": difference,
        "margin": margin,
        "df": df,
        "is_paired": is_paired,
    }
    size |= {"n_a": len(a), "n_b": len(b), "warnings": tuple(warnings)}
    if not np.isfinite(error):
        sentence = f"It cannot be told whether {names[0]} is {claim} to {names[1]}: two seeds of each are needed"
        sentence += f" ({basis})." if basis else "."
        empty: dict[str, Any] = dict.fromkeys(("low", "high", "p"), float("nan"))
        return Equivalence(
            **size, **empty, verdict="cannot be told", sentence=sentence.replace("worse to", "worse than")
        )
    from scipy.stats import t

    reach = float(t.ppf(1 - alpha, df)) * error
    low, high = difference - reach, difference + reach
    below, above = _tail(difference + margin, error, df), _tail(margin - difference, error, df)
    p = max(below, above) if claim == "equivalent" else below if better == "higher" else above
    is_outside = high < -margin if better == "higher" else low > margin
    is_outside = is_outside or (claim == "equivalent" and (low > margin or high < -margin))
    verdict = claim if p < alpha else "different" if is_outside else "cannot be told"
    n = f"{len(a.index.intersection(b.index))} seeds in pairs" if is_paired else f"{len(a)} and {len(b)} seeds"
    about = (n, f", {basis}" if basis else "")
    sentence = _sentence(claim, verdict, names, difference, (low, high), margin, p, alpha, about)
    return Equivalence(**size, low=low, high=high, p=p, verdict=verdict, sentence=sentence)


def _tail(distance: float, error: float, df: float) -> float:
    """p of the one-sided test that the true distance from the margin is 0 or less."""
    from scipy.stats import t

    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(t.sf(distance / error, df))


def _difference(a: pd.Series, b: pd.Series) -> tuple[float, float, float, bool, list[str]]:
    """Mean of a − b, its standard error and degrees of freedom, whether paired; the error is NaN where unknown."""
    nan = float("nan")
    both = a.index.intersection(b.index)
    if len(both) >= 2 and a.index.is_unique and b.index.is_unique:
        pairs = (a[both] - b[both]).to_numpy(dtype=float)
        left = len(a) + len(b) - 2 * len(both)
        warnings = [f"{wording.count_text(left, 'seed')} left out: only one side has a score for it."] if left else []
        spread = pairs.std(ddof=1)
        if spread <= 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max())):
            spread = 0.0
            warnings.append("The difference is the same for every seed: seeds change nothing here.")
        return float(pairs.mean()), float(spread / np.sqrt(len(pairs))), len(pairs) - 1.0, True, warnings
    difference = float(a.mean() - b.mean()) if len(a) and len(b) else nan
    if len(a) < 2 or len(b) < 2:
        return difference, nan, nan, False, ["One seed on a side: the scatter is unknown, so there is no interval."]
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = float(parts.sum())
    df = total**2 / float((parts**2 / [len(a) - 1, len(b) - 1]).sum()) if total > 0 else len(a) + len(b) - 2.0
    return (
        difference,
        float(np.sqrt(total)),
        df,
        False,
        ["Seeds do not match, so the two are compared unpaired (Welch)."],
    )


def _sentence(
    claim: str, verdict: str, names: tuple[str, str], difference: float, interval: tuple[float, float], margin: float,
    p: float, alpha: float, about: tuple[str, str],
) -> str:  # fmt: skip
    level = round(100 * (1 - 2 * alpha))
    span = f"{level} % interval {wording.interval_text(*interval)}"
    of_what = "for equivalence" if claim == "equivalent" else "for not being worse"  # p = 1 speaks against the claim
    told = f"(difference {wording.number_text(difference)}, {span}, {wording.p_text(p)} {of_what}, "
    told += f"{about[0]}){about[1]}"
    of, delta = f"{names[0]} and {names[1]}", wording.number_text(margin)
    if verdict == "equivalent":
        return f"{of} differ by less than {delta} {told}."
    if verdict == "not worse":
        return f"{names[0]} is not worse than {names[1]} by more than {delta} {told}."
    if verdict == "different":
        return (
            f"{of} differ by more than {delta} {told}."
            if claim == "equivalent"
            else f"{names[0]} is worse than {names[1]} by more than {delta} {told}."
        )
    what = "differ by less than" if claim == "equivalent" else "differ to the worse by less than"
    return f"It cannot be told whether {of} {what} {delta} {told}; more seeds would narrow the interval."
