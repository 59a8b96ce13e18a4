"""How a curve ended, in one of seven words, judged on its own range: an absolute threshold means nothing by itself.

A curve is normalised so that 0 is where it began and 1 the best that any run of its sweep reached; better is up. The
classes and their numbers are this lab's own, with thresholds of others where they are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from core import curves
from core.wording import number_text, percent_text

DIVERGED, PLATEAU, OSCILLATORY = "diverged", "prior plateau", "oscillatory"
IMPROVING, PREMATURE, STABLE, SHORT = "still improving", "premature", "stable", "too short"
CLASSES = (DIVERGED, PLATEAU, OSCILLATORY, IMPROVING, PREMATURE, STABLE, SHORT)

LARGEST = 1e100
"""No loss and no score comes near; beyond 1e154 a square is no number any more."""

FEWEST_POINTS = 8
MOST_POINTS = 400  # a longer curve is averaged over equal stretches first
PRIOR_SHARE, PRIOR_EPOCHS = 0.02, 5
SWING_SHARE = 0.05  # residual s.d. over the last half, in total improvements
SWING, SWINGS_SHARE = 0.03, 0.2  # of a score in 0…1: AutoTrainer (Zhang et al. 2021, ICSE)
STILL_SHARE = 0.05  # what the last tenth's slope would bring over as many epochs again, in total improvements
OTHERS = 4  # fewer runs have no median worth the name


@dataclass(frozen=True)
class Verdict:
    """A curve's class, why in a sentence, the numbers behind it, and the stretch of x that shows it.

    `fit` holds the laws through the curve where it still improves; `is_unlimited` whether none of
    them has a limit in sight.
    """

    kind: str
    sentence: str
    evidence: dict[str, float]
    first: float
    last: float
    fits: curves.Fits | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether it improves like a logarithm, or towards a limit to which it is not half-way."""
        return self.fits is not None and self.fits.has_no_limit


@dataclass(frozen=True)
class Surroundings:
    """What a curve is judged beside: the `best` value and the `finals` of its sweep, the loss `prior` of a model that
    outputs the base rates (nats, or a variance), the share of `dead` units."""

    best: float | None = None
    finals: Sequence[float] = field(default_factory=tuple)
    prior: float | None = None
    dead: float = 0.0


class _Curve(NamedTuple):
    x: np.ndarray
    y: np.ndarray  # as logged
    smooth: np.ndarray
    up: np.ndarray  # in total improvements of this curve, 0 at its start, better is up
    improvement: float  # of the smoothed curve, in the unit of y
    sign: float


def classify(x: np.ndarray, y: np.ndarray, *, better: str = "lower", beside: Surroundings | None = None) -> Verdict:
    """The class of one curve; x [n] (epochs, rising), y [n] in any unit, `better` "lower" or "higher".

    In this order: *diverged* (a value that is no number or beyond 1e100), *too short* (fewer than 8 points), *diverged*
    (an end worse than the start), *prior plateau* (within 2 % of the loss of a model that outputs the base rates, to
    the end, for 5 epochs or more), *oscillatory*
    (swings above 5 % of the improvement over the last half that are no slow drift, or AutoTrainer's count on a score),
    *still improving* (the slope of the last tenth would bring 5 % more over as many epochs again, and is above its own
    error), *premature* (flat, but worse than median − 1 MAD of its sweep), *stable*. A tenth is 6 points or more.
    """
    assert better in ("lower", "higher"), better
    x, y, beside = np.asarray(x, dtype=float), np.asarray(y, dtype=float), beside or Surroundings()
    bad = ~(np.abs(y) <= LARGEST)
    if bad.any():
        where = float(x[np.flatnonzero(bad)[0]])
        said = f"It is {'beyond 1e100' if np.isfinite(y[bad][0]) else 'no number'} from epoch {where:g} on."
        return Verdict(DIVERGED, said, {"first_bad": where}, where, float(x[-1]))
    if len(y) < FEWEST_POINTS:
        said = f"{len(y)} points are too few to judge; {FEWEST_POINTS} are needed."
        return Verdict(SHORT, said, {"points": float(len(y))}, *((x[0], x[-1]) if len(x) else (0.0, 0.0)))
    curve = _normalised(*_averaged(x, y), better, beside)
    for judge in (_diverged, _plateau, _oscillatory, _improving, _premature):
        found = judge(curve, beside)
        if found is not None:
            return found
    return Verdict(
        STABLE,
        f"It is flat at {number_text(float(curve.smooth[-1]))}: at the pace of its last tenth, as many epochs again "
        f"would bring {percent_text(_still(curve)[0], 1)} of what it has improved.",
        {"final": float(curve.smooth[-1]), "still": _still(curve)[0]},
        float(curve.x[-_tenth(curve)]),
        float(curve.x[-1]),
    )


def classify_all(
    frame: pd.DataFrame,
    *,
    better: str = "lower",
    prior: float | None = None,
    dead: pd.Series | None = None,
    diverged: Sequence[str] = (),
) -> pd.DataFrame:
    """The class of every run of a sweep: run, kind, sentence, first, last, law, is_unlimited, evidence.

    `frame` has run, epoch, value (one metric); `dead` the share of dead units by run; runs in `diverged` are known to
    have ended so. Best, median and MAD are those of the runs in `frame`. Rows in order of first appearance.
    """
    groups = {str(run): rows.sort_values("epoch") for run, rows in frame.groupby("run", sort=False)}
    sign = -1.0 if better == "lower" else 1.0
    finals = {run: _final(rows["value"].to_numpy(float)) for run, rows in groups.items() if run not in set(diverged)}
    finite = [value for value in finals.values() if abs(value) <= LARGEST]
    best = max(finite, key=lambda value: sign * value) if finite else None
    found = []
    for run, rows in groups.items():
        share = 0.0 if dead is None else float(dead.get(run, 0.0))
        beside = Surroundings(best, tuple(finite), prior, share)
        verdict = classify(rows["epoch"].to_numpy(float), rows["value"].to_numpy(float), better=better, beside=beside)
        if run in set(diverged) and verdict.kind != DIVERGED:
            verdict = Verdict(DIVERGED, "Its process ended it as diverged.", {}, verdict.first, verdict.last)
        law = "" if verdict.fits is None else verdict.fits.best.law
        found.append(
            (run, verdict.kind, verdict.sentence, verdict.first, verdict.last, law, verdict.is_unlimited,
             verdict.evidence)
        )  # fmt: skip
    columns = ["run", "kind", "sentence", "first", "last", "law", "is_unlimited", "evidence"]
    return pd.DataFrame(found, columns=columns)


def contingency(classes: pd.DataFrame, levels: pd.Series) -> pd.DataFrame:
    """How many runs of each class (columns, those that occur) at each level of a factor (rows). `levels` by run."""
    by = classes["run"].map(levels)
    table = pd.crosstab(by.rename(levels.name or "level"), classes["kind"])
    return table.reindex(columns=[kind for kind in CLASSES if kind in table.columns])


# ---- the curve ----


def _averaged(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(x) <= MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), MOST_POINTS + 1).astype(int)[:-1]
    counts = np.diff(np.r_[edges, len(x)])
    return np.add.reduceat(x, edges) / counts, np.add.reduceat(y, edges) / counts


def _smoothed(y: np.ndarray, width: int) -> np.ndarray:
    """Centred running mean over 2·width + 1 points, fewer at the ends but as many on either side."""
    total = np.r_[0.0, np.cumsum(y)]
    place = np.arange(len(y))
    half = np.minimum(width, np.minimum(place, len(y) - 1 - place))
    return (total[place + half + 1] - total[place - half]) / (2 * half + 1)


def _final(y: np.ndarray) -> float:
    """The mean of the last twentieth: one epoch is an accident."""
    return float(np.mean(y[-max(1, len(y) // 20) :])) if len(y) else float("nan")


def _normalised(x: np.ndarray, y: np.ndarray, better: str, beside: Surroundings) -> _Curve:
    sign = -1.0 if better == "lower" else 1.0
    smooth = _smoothed(y, max(1, len(y) // 40))
    smooth[-1] = _final(y)
    improvement = float(sign * (smooth[-1] - smooth[0]))
    sweep_range = float(np.ptp(smooth)) if beside.best is None else float(sign * (beside.best - smooth[0]))
    # A curve that hardly moved is measured on its sweep: its own range would be its noise.
    scale = max(improvement, 0.05 * sweep_range, 1e-9 * float(np.abs(y).max()), 1e-300)
    return _Curve(x, y, smooth, sign * (y - smooth[0]) / scale, improvement, sign)


def _tenth(curve: _Curve) -> int:
    return min(len(curve.x), max(6, len(curve.x) // 10))


# ---- the rules ----


def _diverged(curve: _Curve, beside: Surroundings) -> Verdict | None:
    noise = float(np.std(np.diff(curve.y[len(curve.y) // 2 :])))
    worse = -curve.improvement
    if worse <= max(2 * noise, 1e-9 * float(np.abs(curve.y).max())):
        return None
    said = f"It ends at {number_text(float(curve.smooth[-1]))}, worse than its start, {number_text(float(curve.y[0]))}."
    return Verdict(
        DIVERGED, said, {"start": float(curve.y[0]), "final": float(curve.smooth[-1])}, curve.x[0], curve.x[-1]
    )


def _plateau(curve: _Curve, beside: Surroundings) -> Verdict | None:
    if beside.prior is None:
        return None
    first = next((one for one in _stretches(curve.x, curve.y, beside.prior) if one[1] == curve.x[-1]), None)
    if first is None:
        return None
    said = (
        f"From {first[0]:g} to the end it is within {percent_text(PRIOR_SHARE)} of {number_text(beside.prior)}, "
        "what a model reaches that outputs the base rates and ignores its input."
    )
    return Verdict(PLATEAU, said, {"prior": beside.prior, "epochs": first[1] - first[0] + 1}, *first)


def on_prior(x: np.ndarray, y: np.ndarray, prior: float) -> tuple[float, float] | None:
    """The longest stretch of 5 epochs or more within 2 % of `prior` (within .02 where it is 0): (first, last)."""
    return max(_stretches(x, y, prior), key=lambda stretch: stretch[1] - stretch[0], default=None)


def _stretches(x: np.ndarray, y: np.ndarray, prior: float) -> list[tuple[float, float]]:
    near = np.abs(y - prior) <= (PRIOR_SHARE * abs(prior) if prior else PRIOR_SHARE)
    edges = np.flatnonzero(np.diff(np.r_[0, near.astype(int), 0]))
    return [(float(x[a]), float(x[b - 1])) for a, b in edges.reshape(-1, 2) if x[b - 1] - x[a] + 1 >= PRIOR_EPOCHS]


def _oscillatory(curve: _Curve, beside: Surroundings) -> Verdict | None:
    half = slice(len(curve.x) // 2, None)
    x, up = curve.x[half], curve.up[half]
    z = (x - x.mean()) / max(float(np.ptp(x)), 1e-300)
    residual = up - np.polyval(np.polyfit(z, up, min(2, len(z) - 2)), z)
    sd = float(residual.std())
    lag = float(residual[1:] @ residual[:-1] / max(residual @ residual, 1e-300))
    evidence = {"residual_sd": sd, "lag_1": lag}
    # Slow drift is correlated with itself; what is not goes up and down from epoch to epoch.
    if sd > SWING_SHARE and lag < 1.64 / np.sqrt(len(z)):
        said = (
            f"Over the last half it swings by {percent_text(sd)} of its whole improvement (s.d.) from epoch to epoch."
        )
        return Verdict(OSCILLATORY, said, evidence, float(x[0]), float(x[-1]))
    if curve.sign > 0 and curve.y.min() >= 0 and curve.y.max() <= 1:
        n = swings(curve.y)
        if n >= SWINGS_SHARE * len(curve.y):
            said = f"{n} of {len(curve.y)} epochs turn a swing of {SWING} or more (AutoTrainer's rule)."
            return Verdict(OSCILLATORY, said, evidence | {"swings": float(n)}, float(curve.x[0]), float(curve.x[-1]))
    return None


def swings(y: np.ndarray) -> int:
    """How often a score turns from a local maximum to a local minimum .03 or more below it, or back."""
    turns = np.flatnonzero(np.diff(np.sign(np.diff(y))) != 0) + 1
    return int((np.abs(np.diff(y[turns])) >= SWING).sum())


def _still(curve: _Curve) -> tuple[float, float]:
    """What the last tenth's slope would bring over as many epochs again, and its lower limit (99 %, one-sided)."""
    from scipy.special import stdtrit

    n = _tenth(curve)
    x, up = curve.x[-n:], curve.up[-n:]
    centred = x - x.mean()
    slope = centred @ up / (centred @ centred)
    residual = up - up.mean() - slope * centred
    error = np.sqrt((residual @ residual) / (n - 2) / (centred @ centred))
    span = float(curve.x[-1] - curve.x[0])
    return float(slope * span), float((slope - stdtrit(n - 2, 0.99) * error) * span)


def _improving(curve: _Curve, beside: Surroundings) -> Verdict | None:
    still, low = _still(curve)
    if still <= STILL_SHARE or low <= 0:
        return None
    first = float(curve.x[-_tenth(curve)])
    fits = curves.fit(curve.x, curve.y) if int((curve.x > 0).sum()) >= FEWEST_POINTS else None
    said = f"At the pace of its last tenth, as many epochs again would bring {percent_text(still)} of what it improved."
    if fits is not None:
        said += f" {fits.sentence}"
    return Verdict(IMPROVING, said, {"still": still, "still_low": low}, first, float(curve.x[-1]), fits)


def _premature(curve: _Curve, beside: Surroundings) -> Verdict | None:
    finals = np.asarray([value for value in beside.finals if np.isfinite(value)], dtype=float)
    if len(finals) < OTHERS:
        return None
    median = float(np.median(finals))
    mad = float(np.median(np.abs(finals - median)))
    behind = curve.sign * (median - float(curve.smooth[-1]))
    if behind <= mad or behind <= 1e-9 * max(abs(median), 1e-300):
        return None
    said = (
        f"It is flat at {number_text(float(curve.smooth[-1]))}, {number_text(behind)} worse than the median of its "
        f"sweep, {number_text(median)} (MAD {number_text(mad)})."
    )
    if beside.dead > 0:
        said += f" {percent_text(beside.dead)} of its units are dead."
    evidence = {"final": float(curve.smooth[-1]), "median": median, "mad": mad, "dead": beside.dead}
    return Verdict(PREMATURE, said, evidence, float(curve.x[-_tenth(curve)]), float(curve.x[-1]))
