"""From which score on an instrument is said to be there: one threshold for all classes, or one a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import classmetrics

KINDS = {
    "global": "One threshold for all classes: the one with the best micro F1 on the mixtures.",
    "class": "One threshold a class: the one with that class's best F1 on the mixtures.",
}
FEWEST = 10
"""A class in fewer mixtures has no threshold of its own: it would be fitted to a handful of sums."""

LOWEST = 1e-6
"""No threshold lies at 0: what is silent, and so has score 0, is never said."""


@dataclass(frozen=True)
class Chosen:
    """Thresholds [classes] as they are used, the global one, the classes (numbers) that took the floor for want of
    mixtures, how many of the `n` mixtures have each class, and the micro F1 reached on them."""

    kind: str
    values: np.ndarray
    of_all: float
    floored: tuple[int, ...]
    counts: np.ndarray
    n: int
    micro_f1: float


def choose(kind: str, truth: np.ndarray, scores: np.ndarray) -> Chosen:
    """The thresholds with the best F1 on mixtures, whose `truth` and `scores` are [n, classes].

    With "class", a class in fewer than FEWEST mixtures takes the floor: the global threshold, 0.5 at least, since of an
    instrument that the model was never taught a weak hint says nothing. Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There are no thresholds {kind!r}; there are {', '.join(KINDS)}.")
    assert truth.shape == scores.shape and truth.ndim == 2, (truth.shape, scores.shape)
    counts = (truth > 0).sum(axis=0)
    of_all = max(classmetrics.threshold_f1(truth, scores), LOWEST)
    values = np.full(truth.shape[1], of_all)
    floored: tuple[int, ...] = ()
    if kind == "class":
        floored = tuple(int(k) for k in np.flatnonzero(counts < FEWEST))
        for k in range(truth.shape[1]):
            own = classmetrics.threshold_f1(truth[:, [k]], scores[:, [k]])
            values[k] = max(of_all, classmetrics.THRESHOLD) if k in floored else max(own, LOWEST)
    reached = classmetrics.micro_f1(truth, said(scores, values))
    return Chosen(kind, values, of_all, floored, counts, len(truth), reached)


def said(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which classes are said of each item, [n, classes] of 0 and 1 as floats, for the metrics that ask for 0.5."""
    return (np.asarray(scores) >= np.asarray(thresholds)).astype(float)
