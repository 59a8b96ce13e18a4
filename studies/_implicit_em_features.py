"""Claims about what the decoder-free encoder learned and what it cost: probes, failures, dead units, seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core import curvecharts
from core.verdicts import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    REPRODUCED,
    Interval,
    Runs,
    Verdict,
    by_place,
    difference,
    too_few,
    unknown,
)

LOSS, ACCURACY, DEAD = "train/loss", "test/accuracy", "train/dead_units"
ALONE = "alone"
"""The stage whose runs train one after another, to be timed."""


def sgd_is_faster(runs: Runs, cells: int = 8, margin: float = 0.03) -> Verdict:
    """Claim: training with SGD takes less time than with Adam, by seconds from one epoch to the next.

    Only runs that trained alone, one after another, in an order that mixes the optimisers can tell: together they have
    no seconds of their own, and a machine that gets slower by the hour would make the second optimiser slow. A main
    grid that was trained so counts; else the stage `alone`, of fewer epochs.
    """
    alone = runs.main.only(optimizer=("sgd", "adam"))
    timed = _timed(alone)
    if timed.empty and len(short := runs.only(stage=ALONE, optimizer=("sgd", "adam"))):
        alone, timed = short, _timed(short)
    if len(timed) < len(alone):
        said = f"{len(alone) - len(timed)} of {len(alone)} runs trained in one process with others and have no seconds."
        return unknown(f"{said} Run the stage {ALONE}: one after another, in random order.")
    lacking = too_few(alone, cells) or _order_trouble(timed)
    table = timed.groupby(["optimizer", "learning_rate"])["epoch_seconds"].agg(["mean", "std", "count"]).reset_index()
    if lacking:
        return unknown(lacking, table)
    sgd, adam = (np.log(timed.loc[timed["optimizer"] == name, "epoch_seconds"]) for name in ("sgd", "adam"))
    gap = difference(sgd, adam)
    mean, low, high = (1 - float(np.exp(end)) for end in (gap.mean, gap.high, gap.low))
    less = Interval(mean, low, high, gap.n)
    said = f"An epoch with SGD takes {less.text('.1%')} runs each, less time than one with Adam"
    if less.low > 0:
        return Verdict(REPRODUCED, f"{said}.", table)
    if less.high < margin:
        return Verdict(NOT_REPRODUCED, f"{said}: less than {margin:.0%} at best.", table)
    return unknown(f"{said}: the interval holds 0 and {margin:.0%}.", table)


def _timed(runs: Runs) -> pd.DataFrame:
    """Those that have seconds of their own."""
    timed = runs.results[np.isfinite(runs.column("epoch_seconds").to_numpy())]
    return timed[~timed["together"].fillna(False).astype(bool)] if "together" in timed else timed


def features_are_equivalent(
    runs: Runs, sgd: float = 0.01, adam: float = 0.001, margin: float = 0.005, metric: str = ACCURACY
) -> Verdict:
    """Claim: the best SGD and the best Adam give equally good features (probe accuracy within `margin`).

    Two one-sided tests at 5 %: the 90 % interval of the difference lies inside the margins. "No significant
    difference" is not enough: three noisy runs never have one. Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15.
    """
    a = runs.main.only(optimizer="sgd", learning_rate=sgd)
    b = runs.main.only(optimizer="adam", learning_rate=adam)
    gap = difference(a.column(metric), b.column(metric), 0.9)
    table = pd.DataFrame(
        {"optimizer": ["sgd", "adam"], "learning_rate": [sgd, adam], "n": [len(a), len(b)],
         "mean": [a.column(metric).mean(), b.column(metric).mean()]}
    )  # fmt: skip
    if gap.n < 2:
        return unknown("Both configurations need two finished seeds or more.", table)
    said = (
        f"The probe differs by {100 * gap.mean:+.2f} points (SGD − Adam), 90 % interval "
        f"[{100 * gap.low:+.2f}, {100 * gap.high:+.2f}], n = {len(a)} and {len(b)}"
    )
    place = gap.where(-margin, margin)
    end = {"inside": "inside", "outside": "outside", "across": "across"}[place]
    return Verdict(by_place(place), f"{said}: {end} the margin of ±{100 * margin:g}.", table)


def no_configuration_fails(
    runs: Runs, low: float = 0.92, high: float = 0.94, digit: float = 0.01, cells: int = 8
) -> Verdict:
    """Claim: all runs give usable features, a probe of 92–94 % (as printed: half a digit is rounded away)."""
    ended = runs.results[(runs.results["stage"] == "main") & runs.results["state"].isin(("done", "diverged", "failed"))]
    main = runs.main
    values = main.column(ACCURACY).dropna()
    table = main.results.assign(probe=main.column(ACCURACY).to_numpy()).groupby(list(runs.factors))["probe"]
    table = table.agg(["min", "mean", "max", "count"]).reset_index()
    failed = ended[ended["diverged"].astype(bool) | (ended["state"] == "failed")]
    outside = values[(values < low - digit / 2) | (values >= high + digit / 2)]
    if len(failed) or len(outside):
        what = [f"{len(failed)} diverged or failed"] if len(failed) else []
        what += [f"{len(outside)} have a probe outside {low:.0%}–{high:.0%}"] if len(outside) else []
        return Verdict(NOT_REPRODUCED, f"Of {len(ended)} runs {' and '.join(what)}.", table)
    lacking = too_few(main, cells) or ("" if len(values) == len(main) else "Not every run has a probe.")
    if lacking:
        return unknown(lacking, table)
    most = 1 - 0.05 ** (1 / len(values))
    said = f"None of {len(values)} runs failed, probes {values.min():.1%} to {values.max():.1%}"
    return Verdict(REPRODUCED, f"{said}; up to {most:.0%} of further runs might still fail (95 % limit).", table)


def lower_loss_is_not_better_features(runs: Runs, strong: float = -0.7, cells: int = 8) -> Verdict:
    """Claim: lower loss is not better features: the loss does not rank the probes (Spearman ρ above −.7).

    ρ² = ½ at −.7: from there on the loss says more than half of how runs rank. Interval by bootstrap over runs.
    """
    from scipy.stats import spearmanr

    main = runs.main
    frame = pd.DataFrame({"loss": main.column(LOSS), "accuracy": main.column(ACCURACY)}).dropna()
    chart = _loss_chart(main)
    lacking = too_few(main, cells)
    if lacking or len(frame) < 6:
        return unknown(lacking or "Fewer than six runs have both numbers.", frame.reset_index(), chart)
    generator = np.random.default_rng(0)
    drawn = [frame.iloc[generator.integers(len(frame), size=len(frame))] for _ in range(1000)]
    values = [spearmanr(one["loss"], one["accuracy"]).statistic for one in drawn]
    low, high = np.nanquantile(values, [0.025, 0.975])
    rho = float(spearmanr(frame["loss"], frame["accuracy"]).statistic)
    said = f"Loss and probe have ρ = {rho:.2f} [{low:.2f}, {high:.2f}], n = {len(frame)} runs (−1: lower is better)"
    if low > strong:
        return Verdict(REPRODUCED, f"{said}: the loss does not rank the features.", frame.reset_index(), chart)
    if high < strong:
        return Verdict(NOT_REPRODUCED, f"{said}: lower loss is better features.", frame.reset_index(), chart)
    return unknown(f"{said}: {strong} is inside the interval.", frame.reset_index(), chart)


def spread_is_dead_units(runs: Runs, least_nats: float = 13.8, cells: int = 4) -> Verdict:
    """Our explanation: the wide row (−795 ± 29) is dead units, each of which costs −ln(1e-6) = 13.8 nats and more.

    Within cells of SGD: the slope of the final loss on the number of dead units, and the share of the spread that
    they explain. Cells without dead units tell nothing about it.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = pd.DataFrame({"loss": sgd.column(LOSS), "dead": sgd.column(DEAD)}).dropna()
    if frame.empty:
        return unknown("No finished run of SGD has its dead units counted.")
    frame["cell"] = sgd.results.set_index("run")["cell"].reindex(frame.index)
    within = frame[["loss", "dead"]] - frame.groupby("cell")[["loss", "dead"]].transform("mean")
    chart = curvecharts.points(
        sgd.with_knobs(frame.reset_index(), "learning_rate"), "dead", "loss", "learning_rate",
        title="Final loss against dead units (SGD)", x_title="dead units", y_title="final loss (nats)",
    )  # fmt: skip
    spread = float((within["dead"] ** 2).sum()) if len(within) else 0.0
    n, degrees = len(frame), len(frame) - frame["cell"].nunique() - 1
    lacking = too_few(sgd, cells)
    if lacking or degrees < 2 or spread == 0:
        why = lacking or "No two seeds of a cell differ in their dead units."
        return unknown(why, frame.reset_index(), chart)
    from scipy.stats import t

    slope = float((within["loss"] * within["dead"]).sum()) / spread
    residual = within["loss"] - slope * within["dead"]
    half = float(t.ppf(0.975, degrees)) * float(np.sqrt((residual**2).sum() / degrees / spread))
    explained = 1 - float((residual**2).sum()) / max(float((within["loss"] ** 2).sum()), 1e-300)
    cost = Interval(slope, slope - half, slope + half, n)
    said = f"A dead unit costs {cost.text('.1f')} runs, nats, and dead units explain {explained:.0%} of the spread"
    if cost.low > 0 and explained > 0.5 and cost.high >= least_nats:
        return Verdict(REPRODUCED, f"{said} within cells.", frame.reset_index(), chart)
    if cost.high < least_nats:
        return Verdict(NOT_REPRODUCED, f"{said} within cells: less than {least_nats} each.", frame.reset_index(), chart)
    return Verdict(CANNOT_TELL, f"{said} within cells: too uncertain.", frame.reset_index(), chart)


def complex_optimisers_are_unnecessary(
    runs: Runs,
    learning_rate: float = 0.01,
    margin: float = 0.005,
    seeds: int = 2,
    cells: int = 1,
    stages: tuple[str, ...] = ("momentum", "adamw", "schedules"),
) -> Verdict:
    """Claim: no optimiser or schedule beyond plain SGD is needed: none gives a probe better by `margin`.

    Plain SGD at `learning_rate` against every configuration of `stages`; with the scatter of all and intervals
    for their number. Source: Dunnett 1955, J. Am. Stat. Assoc. 50(272).
    """
    from scipy.stats import dunnett

    plain = runs.main.only(optimizer="sgd", learning_rate=learning_rate)
    others = runs.only(stage=stages).results
    others = others[np.isfinite(pd.to_numeric(others[ACCURACY], errors="coerce"))] if ACCURACY in others else others[:0]
    groups = [(cell, rows) for cell, rows in others.groupby(["stage", "cell"]) if rows["seed"].nunique() >= seeds]
    control = plain.column(ACCURACY).dropna().to_numpy()
    if len(control) < seeds or len(groups) < cells:
        return unknown(f"It needs {seeds} seeds of plain SGD and of {cells} other configurations or more.")
    samples = [group[ACCURACY].to_numpy(float) for _, group in groups]
    ends = dunnett(*samples, control=control, random_state=np.random.default_rng(0)).confidence_interval()
    rows = []
    for ((stage, cell), group), sample, low, high in zip(groups, samples, ends.low, ends.high, strict=True):
        about = {name: group[name].iloc[0] for name in ("optimizer", "schedule", "learning_rate") if name in group}
        gap = {"better_by": sample.mean() - control.mean(), "low": low, "high": high, "n": len(sample)}
        rows.append({"stage": stage, "cell": cell, **about, **gap})
    table = pd.DataFrame(rows).sort_values("better_by", ascending=False)
    best = table.iloc[0]
    said = (
        f"Of {len(table)} configurations the best beats plain SGD by {100 * best['better_by']:+.2f} points "
        f"[{100 * best['low']:+.2f}, {100 * best['high']:+.2f}] (n = {len(control)} and {best['n']}, Dunnett)"
    )
    if (table["low"] > 0).any() and (table.loc[table["low"] > 0, "better_by"] > margin).any():
        return Verdict(NOT_REPRODUCED, f"{said}: more than {100 * margin:g}.", table)
    if (table["high"] < margin).all():
        return Verdict(REPRODUCED, f"{said}: none can be better by {100 * margin:g}.", table)
    return unknown(f"{said}: {100 * margin:g} cannot be excluded.", table)


def _loss_chart(main: Runs) -> Any:
    if not {LOSS, ACCURACY} <= set(main.results):
        return None
    return curvecharts.points(
        main.results, LOSS, ACCURACY, "optimizer", title="Probe accuracy against final loss",
        x_title="final training loss (nats)", y_title="probe accuracy",
    )  # fmt: skip


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
