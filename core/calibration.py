"""Whether scores are probabilities: of all that was given 0.7, is seven tenths there?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.rates import wilson

BINS = 10
COLUMNS = ("low", "high", "n", "score", "share", "share_low", "share_high")


def curve(truth: np.ndarray, scores: np.ndarray, n_bins: int = BINS) -> pd.DataFrame:
    """A row per bin of scores that holds any decision: its edges low and high, n, mean score, share that is there, and
    Wilson's 95 % interval of the share.

    truth and scores are arrays of one shape; every entry (item and class) is one decision. A score of 1 belongs to the
    last bin. The interval takes decisions for independent, which those of one item are not, so it is somewhat narrow.
    """
    is_there, given = np.asarray(truth).ravel() > 0, np.asarray(scores, dtype=float).ravel()
    assert is_there.shape == given.shape, (is_there.shape, given.shape)
    known = np.isfinite(given)
    is_there, given = is_there[known], given[known]
    place = np.clip((given * n_bins).astype(int), 0, n_bins - 1)
    n = np.bincount(place, minlength=n_bins)
    hits = np.bincount(place, is_there, minlength=n_bins)
    total = np.bincount(place, given, minlength=n_bins)
    held = np.flatnonzero(n)
    low, high = wilson(hits[held], n[held])
    rows = {"low": held / n_bins, "high": (held + 1) / n_bins, "n": n[held], "score": total[held] / n[held]}
    return pd.DataFrame(rows | {"share": hits[held] / n[held], "share_low": low, "share_high": high})


def error(table: pd.DataFrame) -> float:
    """Expected calibration error of a `curve`: the mean distance between score and share, bins weighted by n.

    0 is calibrated, 1 the worst there is; NaN without a decision. Source: Naeini, Cooper & Hauskrecht 2015, AAAI.
    """
    if table.empty:
        return float("nan")
    return float(np.average((table["score"] - table["share"]).abs(), weights=table["n"]))


def bias(table: pd.DataFrame) -> float:
    """Mean score less the share that is there: above 0 the scores promise too much, below 0 too little."""
    if table.empty:
        return float("nan")
    return float(np.average(table["score"] - table["share"], weights=table["n"]))
