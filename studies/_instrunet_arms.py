"""What the checks of InstruNet compare: kinds of regularisation in the same network, like with like.

Runs of the one-at-a-time grid and of the factorial count alike. Two kinds are compared over the networks (with and
without batch normalisation) that both have, seeds as blocks, against the scatter of all runs of these networks: three
seeds of two cells alone would tell hardly anything of it. Intervals and p are over training seeds; those of scores hold
the error from the test songs too (`_instrunet_items.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from core import effects
from core.verdicts import MAIN, NOT_REPRODUCED, REPRODUCED, Interval, Runs, Verdict, unknown

STAGES = (MAIN, "factorial")
PLAIN, BLOCKS, HEAD, L2 = "neither", "dropout in blocks", "head dropout", "L2"
BOTH = f"{HEAD} + {L2}"
KNOBS = {"block_dropout": BLOCKS, "dropout": HEAD, "weight_decay": L2}
NETWORKS = {True: "with batch norm", False: "without"}
SCORED = "test/macro_f1"
"""What a run has that was scored: one without it stopped before its end, whatever it left."""


class Gap(NamedTuple):
    """How much one kind is above another: interval (n seeds in each), p of no difference, the degrees of freedom of
    both, and what they are over: "seeds", or "seeds and 67 songs"."""

    interval: Interval
    p: float
    df: float
    over: str = "seeds"

    def text(self, digits: str = "+.3f") -> str:
        """ "+0.043 [+0.012, +0.074], n = 3 seeds, p = 0.01"."""
        return f"{self.interval.text(digits)} {self.over}, {p_text(self.p)}"

    def high_among(self, number: int) -> float:
        """The upper end that it needs as one of so many, if none is to be wrong (Bonferroni)."""
        from scipy.stats import t

        if not np.isfinite(self.df):
            return float("nan")
        wider = float(t.ppf(1 - 0.025 / number, self.df) / t.ppf(0.975, self.df))
        return self.interval.mean + wider * (self.interval.high - self.interval.mean)


NO_GAP = Gap(Interval(np.nan, np.nan, np.nan, 0), np.nan, np.nan)


def p_text(p: float) -> str:
    """ "p = 0.012", "p < 0.001"; that it is not known."""
    return "p unknown" if not np.isfinite(p) else "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def pooled(runs: Runs) -> Runs:
    """The finished runs of the grid and the factorial."""
    return runs.only(stage=STAGES)


def arm(row: dict[str, Any]) -> str:
    """What is switched on in a run: BOTH, "head dropout", PLAIN …"""
    return " + ".join(name for knob, name in KNOBS.items() if float(row.get(knob, 0.0)) > 0) or PLAIN


def framed(runs: Runs, values: pd.Series) -> pd.DataFrame:
    """The runs that have a value (by run): run, seed, batch_norm, network (in words), arm, value."""
    rows = runs.results.to_dict("records")
    frame = pd.DataFrame(
        {
            "run": pd.Series([str(row["run"]) for row in rows], dtype=str),
            "seed": [row["seed"] for row in rows],
            "batch_norm": pd.Series([bool(row.get("batch_norm", True)) for row in rows], dtype=bool),
            "arm": pd.Series([arm(row) for row in rows], dtype=str),
        }
    )
    known = values[~values.index.duplicated()]
    frame["value"] = frame["run"].map(known).astype(float)
    frame["network"] = frame["batch_norm"].map(NETWORKS).astype(str)
    return frame[np.isfinite(frame["value"])].reset_index(drop=True)


def short_of(runs: Runs, frame: pd.DataFrame, arms: Sequence[str], seeds: int) -> str:
    """Why the runs do not suffice to compare these kinds; empty where one network has so many seeds of each."""
    counts = {}
    for network, rows in frame.groupby("network"):
        found = [int(rows.loc[rows["arm"] == name, "seed"].nunique()) for name in arms]
        if min(found) >= seeds:
            return ""
        counts[str(network)] = found
    told = "; ".join(
        f"{network}: " + ", ".join(f"{n} of {name}" for n, name in zip(found, arms, strict=True))
        for network, found in counts.items()
    )
    return f"{runs.losses()}It takes {seeds} finished seeds of each in one network. There are {told or 'none'}."


def gap(frame: pd.DataFrame, a: str, b: str, of: str = "arm") -> Gap:
    """How far kind `a` is above kind `b` in `value`; NO_GAP where they share no network, or one has no run.

    `of` is "arm", or "network" to compare batch normalisation over the kinds of regularisation that both have.
    """
    beside = "network" if of == "arm" else "arm"
    has = frame[frame[of].isin((a, b))].groupby(beside)[of].nunique()
    frame = frame[frame[beside].isin(has.index[has == 2])]  # the scatter of a network without both is not theirs
    n = [int(frame.loc[frame[of] == name, "seed"].nunique()) for name in (a, b)]
    if min(n) == 0:
        return NO_GAP
    table = effects.pairwise(frame, "value", ("network", "arm"), of).table
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        for row in table[(table["a"] == first) & (table["b"] == second)].to_dict("records"):
            low, high = sorted((sign * row["low"], sign * row["high"]))
            return Gap(Interval(sign * row["difference"], low, high, min(n)), float(row["p"]), float(row["df"]))
    return NO_GAP


def shares(frame: pd.DataFrame, a: str, b: str) -> dict[str, float]:
    """By how much each run's value enters `gap` of two kinds, by run: 1/n and −1/n in each network that has both."""
    both = frame[frame["arm"].isin((a, b))]
    has = both.groupby("network")["arm"].nunique()
    both = both[both["network"].isin(has.index[has == 2])]
    size = both.groupby(["network", "arm"])["run"].transform("size") * both["network"].nunique()
    return dict(zip(both["run"].astype(str), np.where(both["arm"] == a, 1.0, -1.0) / size, strict=True))


def by_gap(found: Gap, said: str, least: float, evidence: pd.DataFrame, chart: Any = None) -> Verdict:
    """Not reproduced where all of the interval lies below `least`, the smallest worth a name; reproduced where it lies
    above 0 and does not."""
    ends = found.interval
    if ends.high < least:
        small = " (it is more than none)" if ends.low > 0 else ""
        return Verdict(NOT_REPRODUCED, f"{said}: {least:g} or more is excluded{small}.", evidence, chart)
    if ends.low > 0:
        return Verdict(REPRODUCED, f"{said}.", evidence, chart)
    return unknown(f"{said}: with {ends.n} seeds that cannot be told from none.", evidence, chart)


def by_all(gaps: dict[str, Gap], said: str, least: float, evidence: pd.DataFrame, chart: Any = None) -> Verdict:
    """Of a claim that speaks of several: not reproduced where one is surely below `least` (its interval widened for
    their number, since any one suffices), reproduced where each is above 0.

    Chance puts all of them above 0 no more easily than one, so that asks for no adjustment. Source: Berger 1982,
    Technometrics 24(4), 295–300.
    """
    n = min((one.interval.n for one in gaps.values()), default=0)
    below = [name for name, one in gaps.items() if one.high_among(len(gaps)) < least]
    if below:
        return Verdict(
            NOT_REPRODUCED, f"{said}: {least:g} or more is excluded for {', '.join(below)}.", evidence, chart
        )
    if gaps and all(one.interval.low > 0 for one in gaps.values()):
        return Verdict(REPRODUCED, f"{said}.", evidence, chart)
    return unknown(f"{said}: with {n} seeds that cannot be told for all of them.", evidence, chart)


def means(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The evidence: n, mean and sd of the value, named `name`, by network and kind."""
    table = frame.groupby(["network", "arm"])["value"].agg(n="size", mean="mean", sd="std").reset_index()
    return table.rename(columns={"mean": name})


def dots(frame: pd.DataFrame, title: str, x_title: str) -> Any:
    """A dot per run: its value by kind of regularisation, shape and colour by network; None where there is no run."""
    if frame.empty:
        return None
    return (
        alt.Chart(frame, title=title, description=f"{title}. A dot is a run: {x_title} by what regularises it.")
        .mark_point(size=60, filled=True, opacity=0.85)
        .encode(
            x=alt.X("value:Q", title=x_title, scale=alt.Scale(zero=False)),
            y=alt.Y("arm:N", title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color("network:N", title="network"),
            shape=alt.Shape("network:N", title="network"),
            tooltip=["arm:N", "network:N", "seed:Q", alt.Tooltip("value:Q", format=".4~g")],
        )
    )
