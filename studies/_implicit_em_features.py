"""Claims about what the decoder-free encoder learned: probes, failures, dead units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core import curvecharts
from core.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    Interval,
    Runs,
    Verdict,
    against,
    by_place,
    difference,
    too_few,
    unknown,
)
from core.wording import percent_text

LOSS, ACCURACY, DEAD = "train/loss", "test/accuracy", "train/dead_units"


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
    lost = "".join(f"{name}: {one.losses()}" for name, one in (("SGD", a), ("Adam", b)) if one.losses())
    if len(a.diverged) or len(b.diverged):
        return Verdict(NOT_REPRODUCED, f"{lost}What diverged has no probe that could be the same.", table)
    if gap.n < 2:
        return unknown(f"{lost}Both configurations need two finished seeds or more.", table)
    said = f"{lost}The probe differs, SGD − Adam, by {_points(gap)} points (n = {len(a)} and {len(b)}, 90 % interval)"
    place = gap.where(-margin, margin)
    return Verdict(by_place(place), f"{said}: {place} the margin of ±{100 * margin:g}.", table)


def no_configuration_fails(
    runs: Runs, low: float = 0.92, high: float = 0.94, digit: float = 0.01, cells: int = 8
) -> Verdict:
    """Claim: all runs give usable features, a probe of 92–94 % (as printed: half a digit is rounded away).

    A run that diverged counts against it; one that failed (a full disk, a lost process) cannot tell, and is to be run
    again.
    """
    main = runs.main
    values = main.column(ACCURACY).dropna()
    table = main.results.assign(probe=main.column(ACCURACY).to_numpy()).groupby(list(runs.factors))["probe"]
    table = table.agg(["min", "mean", "max", "count"]).reset_index()
    least, most = low - digit / 2, high + digit / 2
    outside = values[(values < least) | (values >= most)]
    printed, meant = (
        f"{percent_text(low)} to {percent_text(high)}",
        f"{percent_text(least, 1)} to {percent_text(most, 1)}",
    )
    allowed = f"{printed} as printed, so {meant}"
    span = f"probes {percent_text(values.min(), 1)} to {percent_text(values.max(), 1)} ({allowed} is allowed)"
    if len(main.diverged):
        return against(main, span if len(values) else "", table)
    if len(outside):
        said = f"{main.losses()}{len(outside)} of {len(values)} finished runs have a probe outside: {span}."
        return Verdict(NOT_REPRODUCED, said, table)
    lacking = too_few(main, cells) or ("" if len(values) == len(main) else "Not every run has a probe.")
    if lacking or len(main.unfinished):
        why = lacking or f"{main.losses()}A run that failed says nothing of its configuration."
        return unknown(why, table)
    more = 1 - 0.05 ** (1 / len(values))
    said = f"None of {len(values)} runs diverged, {span}"
    return Verdict(
        REPRODUCED, f"{said}; up to {percent_text(more)} of further runs might still do so (95 % limit).", table
    )


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
    found = Interval(rho, float(low), float(high), len(frame))
    said = f"{main.losses()}Loss and probe have ρ = {found.text('.2f')} runs (−1: lower is better)"
    if low > strong:
        return Verdict(REPRODUCED, f"{said}: the loss does not rank the features.", frame.reset_index(), chart)
    if high < strong:
        return Verdict(NOT_REPRODUCED, f"{said}: lower loss is better features.", frame.reset_index(), chart)
    goes = "Lower loss does go with a better probe; whether" if high < 0 else "Whether"
    said += f". {goes} it says more than half of how runs rank (ρ below −{abs(strong):g}) cannot be told."
    return unknown(said, frame.reset_index(), chart)


def spread_is_dead_units(
    runs: Runs, learning_rate: float = 0.01, least_nats: float = 13.8, quiet_nats: float = 2.0, cells: int = 4
) -> Verdict:
    """Our explanation: the wide row (−795 ± 29) is dead units, each of which costs −ln(1e-6) = 13.8 nats and more.

    The row of `learning_rate` decides: its standard deviation before and after every run's dead units are taken off
    at their cost, for both ends of the cost's interval. That cost is the slope of the final loss on the number of dead
    units within all rows of SGD. A row that scatters by `quiet_nats` or less, as those without dead units do, has
    nothing to explain.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = pd.DataFrame(
        {"loss": sgd.column(LOSS), "dead": sgd.column(DEAD), "rate": sgd.column("learning_rate")}
    ).dropna()
    if frame.empty:
        return unknown(f"{sgd.losses()}No finished run of SGD has its dead units counted.")
    chart = curvecharts.points(
        sgd.with_knobs(frame.reset_index(), "learning_rate"), "dead", "loss", "learning_rate",
        title="Final loss against dead units (SGD)", x_title="dead units", y_title="final loss (nats)",
    )  # fmt: skip
    evidence = frame.reset_index()
    row = frame[frame["rate"] == learning_rate]
    lacking = too_few(sgd, cells) or ("" if len(row) > 2 else f"It needs three seeds at {learning_rate:g} or more.")
    if lacking:
        return unknown(lacking, evidence, chart)
    before = float(row["loss"].std())
    said = f"{sgd.losses()}The {len(row)} runs at {learning_rate:g} have a final loss with a s.d. of {before:.1f} nats"
    if before <= quiet_nats:
        return unknown(f"{said}: nothing to explain in these.", evidence, chart)
    if row["dead"].nunique() == 1:
        n = int(row["dead"].iloc[0])
        why = f"and {n if n else 'no'} dead units each, so it is not these"
        return Verdict(NOT_REPRODUCED, f"{said}, {why}.", evidence, chart)
    cost = _cost_of_a_dead_unit(frame)
    if cost is None:
        return unknown(f"{said}; two rows or more are needed to tell what a dead unit costs.", evidence, chart)
    after, *ends = (float((row["loss"] - nats * row["dead"]).std()) for nats in (cost.mean, cost.low, cost.high))
    said += (
        f", and of {after:.1f} without their {_counts(row['dead'])} dead units (between {min(after, *ends):.1f} and "
        f"{max(after, *ends):.1f} by the interval), each of which costs {cost.text('.1f')} runs of all rows, nats"
    )
    # Half of the variance is the least that "is dead units" can mean.
    if cost.low > 0 and cost.high >= least_nats and max(after, *ends) ** 2 < before**2 / 2:
        return Verdict(REPRODUCED, f"{said}.", evidence, chart)
    if cost.high < least_nats:
        return Verdict(NOT_REPRODUCED, f"{said}: less than {least_nats} each.", evidence, chart)
    if min(after, *ends) ** 2 > before**2 / 2:
        return Verdict(NOT_REPRODUCED, f"{said}: most of the row's scatter is left.", evidence, chart)
    return unknown(f"{said}: too uncertain.", evidence, chart)


def _cost_of_a_dead_unit(frame: pd.DataFrame) -> Interval | None:
    """Nats per dead unit within the rates; None where too few differ. `frame` has loss, dead and rate."""
    from scipy.stats import t

    within = frame[["loss", "dead"]] - frame.groupby("rate")[["loss", "dead"]].transform("mean")
    spread = float((within["dead"] ** 2).sum())
    degrees = len(frame) - frame["rate"].nunique() - 1
    if degrees < 2 or spread == 0:
        return None
    slope = float((within["loss"] * within["dead"]).sum()) / spread
    residual = within["loss"] - slope * within["dead"]
    half = float(t.ppf(0.975, degrees)) * float(np.sqrt((residual**2).sum() / degrees / spread))
    return Interval(slope, slope - half, slope + half, len(frame))


def _counts(dead: pd.Series) -> str:
    """ "1, 7 and 2"."""
    told = [f"{n:g}" for n in dead]
    return f"{', '.join(told[:-1])} and {told[-1]}"


def complex_optimisers_are_unnecessary(
    runs: Runs,
    learning_rate: float = 0.01,
    margin: float = 0.005,
    seeds: int = 2,
    cells: int = 8,
    stages: tuple[str, ...] = ("momentum", "adamw", "schedules"),
) -> Verdict:
    """Claim: no optimiser or schedule beyond plain SGD is needed: none gives a probe better by `margin`.

    Plain SGD at `learning_rate` against every configuration of `stages`, all `cells` of them; with the scatter of all
    and intervals for their number, which must lie beyond the margin with one of them, or below it with each.
    Source: Dunnett 1955, J. Am. Stat. Assoc. 50(272).
    """
    from scipy.stats import dunnett

    plain, more = runs.main.only(optimizer="sgd", learning_rate=learning_rate), runs.only(stage=stages)
    others = more.results
    others = others[np.isfinite(pd.to_numeric(others[ACCURACY], errors="coerce"))] if ACCURACY in others else others[:0]
    groups = [(cell, rows) for cell, rows in others.groupby(["stage", "cell"]) if rows["seed"].nunique() >= seeds]
    control = plain.column(ACCURACY).dropna().to_numpy()
    if len(plain.diverged):
        return against(plain, "")
    # One that diverged is told: it is no better than plain SGD.
    told = {at for at, _ in groups} | {at for at, _ in more.diverged.groupby(["stage", "cell"])}
    if len(control) < seeds or len(told) < cells or not groups:
        why = (
            f"It needs {seeds} seeds of plain SGD and of {cells} other configurations; there are {len(told)} of these."
        )
        return unknown(f"{plain.losses()}{more.losses()}{why}")
    samples = [group[ACCURACY].to_numpy(float) for _, group in groups]
    ends = dunnett(*samples, control=control, random_state=np.random.default_rng(0)).confidence_interval()
    rows = []
    for ((stage, cell), group), sample, low, high in zip(groups, samples, ends.low, ends.high, strict=True):
        about = {name: group[name].iloc[0] for name in ("optimizer", "schedule", "learning_rate") if name in group}
        beyond = {"better_by": sample.mean() - control.mean(), "low": low, "high": high, "n": len(sample)}
        rows.append({"stage": stage, "cell": cell, **about, **beyond})
    table = pd.DataFrame(rows).sort_values("better_by", ascending=False)
    # The one whose interval reaches highest beyond the margin decides.
    best = table.sort_values("low").iloc[-1] if (table["low"] > margin).any() else table.iloc[0]
    gap = Interval(float(best["better_by"]), float(best["low"]), float(best["high"]), int(best["n"]))
    said = (
        f"{more.losses()}Of {len(table)} configurations the best beats plain SGD by {_points(gap)} points "
        f"(n = {len(control)} and {gap.n}, Dunnett)"
    )
    if (table["low"] > margin).any():
        return Verdict(NOT_REPRODUCED, f"{said}: surely more than {100 * margin:g}.", table)
    if (table["high"] < margin).all():
        return Verdict(REPRODUCED, f"{said}: none can be better by {100 * margin:g}.", table)
    return unknown(f"{said}: {100 * margin:g} cannot be excluded.", table)


def _points(gap: Interval) -> str:
    """A difference of accuracies as "+0.46 [−0.01, +0.93]", in points."""
    return gap.times(100).text("+.2f").partition(", n =")[0]


def _loss_chart(main: Runs) -> Any:
    if not {LOSS, ACCURACY} <= set(main.results):
        return None
    return curvecharts.points(
        main.results, LOSS, ACCURACY, "optimizer", title="Probe accuracy against final loss",
        x_title="final training loss (nats)", y_title="probe accuracy",
    )  # fmt: skip
