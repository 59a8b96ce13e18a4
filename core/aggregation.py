"""From scores of windows to one row of scores an item: which windows (protocols), and how they are put together."""

from __future__ import annotations

import numpy as np

PROTOCOLS: dict[str, tuple[float, float]] = {"published": (3.0, 1.5), "han": (1.0, 0.5)}
"""Window and hop in s. "published" is that of Kancharla et al. (see trainers/instrunet.py), "han" that of Han, Kim &
Lee 2017, IEEE/ACM TASLP 25(1), 208–221: windows of one second that overlap by half."""

AGGREGATES: dict[str, str] = {
    "mean": "The mean over windows: what sounds half of the time at 1 has 0.5.",
    "max": "The highest window: what sounds once, however shortly, counts; so does one false alarm.",
    "sum-max": "The sum over windows, divided by the largest class's sum (Han et al.): the strongest class always has "
    "1, so that quiet and loud items share a threshold, and the scores are no probabilities.",
}


def aggregate(values: np.ndarray, counts: np.ndarray, how: str) -> np.ndarray:
    """Scores [items, classes] from those of windows [windows, classes], `counts` [items] of them an item, in order.

    Windows that are NaN (silence) are left out; an item without any other has 0 everywhere. `how` is one of
    AGGREGATES; ValueError for another.
    """
    if how not in AGGREGATES:
        raise ValueError(f"There is no aggregate {how!r}; there are {', '.join(AGGREGATES)}.")
    values, counts = np.asarray(values, dtype=float), np.asarray(counts, dtype=int)
    assert values.ndim == 2 and counts.sum() == len(values), (values.shape, counts.sum())
    item = np.repeat(np.arange(len(counts)), counts)
    heard = np.isfinite(values).all(axis=1)
    values, item = values[heard], item[heard]
    found = np.zeros((len(counts), values.shape[1]))
    if how == "max":
        np.maximum.at(found, item, values)  # scores are 0 or more
        return found
    np.add.at(found, item, values)
    if how == "mean":
        return found / np.maximum(np.bincount(item, minlength=len(counts)), 1)[:, None]
    largest = found.max(axis=1, keepdims=True, initial=0.0)
    return np.divide(found, largest, out=np.zeros_like(found), where=largest > 0)
