"""When is a curve said to have converged? Criteria that papers use, and ones that do not depend on its scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

WINDOW = 5


def settled_at(
    epoch: np.ndarray, value: np.ndarray, threshold: float, *, window: int = WINDOW, relative: bool = False
) -> tuple[float, bool]:
    """The first epoch of the first `window` consecutive changes smaller than `threshold`, and whether it was reached.

    epoch, value [n], one value per epoch; the change at an epoch is the difference from the epoch before. With
    `relative` changes are measured in ranges (max − min) of the whole curve. Where no window is quiet enough the last
    epoch stands in and the second value is False: the answer is censored, as "100" is in a table of 100 epochs.
    (NaN, False) for fewer than `window` + 1 values.
    """
    if len(value) <= window:
        return float("nan"), False
    change = np.abs(np.diff(np.asarray(value, dtype=float)))
    if relative:
        change = change / max(float(np.ptp(value)), 1e-300)
    quiet = np.convolve((change < threshold).astype(int), np.ones(window, dtype=int), "valid") == window
    if not quiet.any():
        return float(epoch[-1]), False
    return float(epoch[int(quiet.argmax()) + 1]), True


def per_epoch(curves: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run → (epochs, values) at whole epochs from 1 on, in order; what is not finite ends a curve there.

    `curves` has run, epoch, value; values told within an epoch are left out.
    """
    whole = curves[(curves["epoch"] >= 1) & (curves["epoch"] == curves["epoch"].round())]
    found = {}
    for run, rows in whole.groupby("run", sort=False):
        rows = rows.drop_duplicates("epoch", keep="last").sort_values("epoch")
        epoch, value = rows["epoch"].to_numpy(float), rows["value"].to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(value))
        end = int(bad[0]) if len(bad) else len(value)
        found[str(run)] = (epoch[:end], value[:end])
    return found


def settled(
    curves: pd.DataFrame, thresholds: Sequence[float], *, window: int = WINDOW, relative: bool = False
) -> pd.DataFrame:
    """`settled_at` for every run and threshold: run, threshold, epoch, is_reached."""
    rows = [
        (run, threshold, *settled_at(epoch, value, threshold, window=window, relative=relative))
        for run, (epoch, value) in per_epoch(curves).items()
        for threshold in thresholds
    ]
    frame = pd.DataFrame(rows, columns=["run", "threshold", "epoch", "is_reached"])
    return frame.astype({"threshold": float, "epoch": float, "is_reached": bool})
