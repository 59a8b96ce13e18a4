"""Whether the decoder-free encoder takes less time with SGD, told by runs that had the machine for themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.verdicts import NOT_REPRODUCED, REPRODUCED, Interval, Runs, Verdict, difference, too_few, unknown

ALONE = "alone"
"""The stage whose runs train one after another, to be timed."""


def sgd_is_faster(runs: Runs, cells: int = 8, less: float = 0.09, digit: float = 0.01) -> Verdict:
    """Claim: an epoch with SGD takes `less` time (as a share, printed to `digit`) than one with Adam.

    Reproduced where the interval lies above 0 and holds what rounds to `less`. Only runs that trained alone, one after
    another, in an order that mixes the optimisers can tell: together they have no seconds of their own, and a machine
    that gets slower by the hour would make the second optimiser slow. A main grid all of which was trained so counts;
    else the stage `alone`, of fewer epochs.
    """
    chosen = runs.main.only(optimizer=("sgd", "adam"))
    timed = _timed(chosen)
    if len(timed) < len(chosen) or not len(chosen):
        main, chosen = chosen, runs.only(stage=ALONE, optimizer=("sgd", "adam"))
        timed = _timed(chosen)
        if not len(chosen):
            chosen, timed = main, _timed(main)
    if len(timed) < len(chosen):
        said = f"{len(chosen) - len(timed)} of {len(chosen)} runs trained in one process with others and have no"
        return unknown(f"{said} seconds. Run the stage {ALONE}: one after another, in random order.")
    lacking = too_few(chosen, cells) or _order_trouble(timed)
    table = timed.groupby(["optimizer", "learning_rate"])["epoch_seconds"].agg(["mean", "std", "count"]).reset_index()
    if lacking:
        return unknown(lacking, table)
    sgd, adam = (np.log(timed.loc[timed["optimizer"] == name, "epoch_seconds"]) for name in ("sgd", "adam"))
    gap = difference(sgd, adam)
    mean, low, high = (100 * (1 - float(np.exp(end))) for end in (gap.mean, gap.high, gap.low))
    found = Interval(mean, low, high, gap.n)
    numbers = found.text(".1f", " %").partition(", n =")[0]
    said = f"{chosen.losses()}An epoch with SGD takes {numbers} less time than one with Adam (n = {found.n} runs each)"
    named = f"the published {100 * less:g} %"
    least, most = 100 * (less - digit / 2), 100 * (less + digit / 2)
    place = found.where(least, most)
    if place == "outside":
        if found.low > most:
            why = f"SGD is faster, as claimed, but by more than claimed: {named} are outside the interval"
            return Verdict(NOT_REPRODUCED, f"{said}. {why}.", table)
        small = f"faster, as claimed, but by less than claimed: {named} are outside the interval"
        small = small if found.low > 0 else f"faster, if at all, by less than {named}"
        return Verdict(NOT_REPRODUCED, f"{said}: SGD is {'slower' if found.high < 0 else small}.", table)
    if found.low > 0:
        return Verdict(REPRODUCED, f"{said}: above 0, and {named} is among it.", table)
    return unknown(f"{said}: it may be {named} or nothing.", table)


def _timed(runs: Runs) -> pd.DataFrame:
    """Those that have seconds of their own."""
    timed = runs.results[np.isfinite(runs.column("epoch_seconds").to_numpy())]
    return timed[~timed["together"].fillna(False).astype(bool)] if "together" in timed else timed


def _order_trouble(timed: pd.DataFrame) -> str:
    """Why these runs cannot be compared in time; empty where they ran one after another in a mixed order."""
    if not {"started_at", "ended_at"} <= set(timed) or timed[["started_at", "ended_at"]].isna().any(axis=None):
        return "It is not known when the runs began and ended."
    ordered = timed.sort_values("started_at")
    overlap = (ordered["started_at"].to_numpy()[1:] < ordered["ended_at"].to_numpy()[:-1] - 0.5).any()
    if overlap:
        return "Some of the runs trained at the same time and took each other's seconds."
    is_sgd = (ordered["optimizer"] == "sgd").to_numpy()
    changes = int((is_sgd[1:] != is_sgd[:-1]).sum())
    # Of n runs in random order about half of the neighbours differ; blocks differ once.
    if changes < len(ordered) / 4:
        return f"The order was not mixed: the optimiser changed {changes} times in {len(ordered)} runs."
    return ""
