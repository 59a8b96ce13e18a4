"""Laws of the epoch at which the decoder-free encoder is said to have converged: it is units over threshold.

A loss that falls as C − K·ln(epoch), K live units, falls by K/epoch per epoch, so SGD crosses any absolute threshold θ
at epoch K/θ; with Adam, whose loss falls twice as fast, the crossing is at 2K/θ (`_implicit_em_laws.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core import curvecharts, curves
from core.criteria import settled
from core.verdicts import (
    CANNOT_TELL,
    Interval,
    Runs,
    Verdict,
    against,
    by_cell,
    by_place,
    over_cells,
    too_few,
    unknown,
    where_all,
)
from studies._implicit_em_laws import DEAD, LOSS, SCALE_FREE


def convergence_follows_width_over_threshold(
    runs: Runs,
    optimizer: str = "sgd",
    factor: float = 1.0,
    thresholds: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0),
    tolerance: float = 0.25,
    first_epoch: float = 8.0,
    stages: tuple[str, ...] = ("main", "width"),
) -> Verdict:
    """Law: the epoch of convergence is `factor` · K/θ, K the number of live units, at a constant rate.

    In every configuration of `stages` the ratio to the law and the exponent of θ (−1), and over the configurations the
    exponent of K (+1), within `tolerance`. The law says which thresholds can be asked of a run: those that it puts
    at `first_epoch` or later, and by `tolerance` before the run's end. A run that has not crossed one of these by its
    end is counted as if it did there, which is the least that it can be; picking the crossings that were seen
    instead would pick the early ones.
    """
    of = runs.only(stage=stages, optimizer=optimizer)
    used = _asked(of, thresholds, factor, (first_epoch, tolerance))
    chart = _width_chart(used, of, thresholds, factor, optimizer)
    table = used.groupby(["hidden_units", "threshold"]).agg(
        mean=("epoch", "mean"), std=("epoch", "std"), count=("epoch", "size"), reached=("is_reached", "mean")
    )
    evidence = table.reset_index()
    ends = 1 - tolerance, 1 + tolerance
    ratios, slopes = {}, {}
    for run, rows in used.groupby("run"):
        ratios[run] = float(np.exp(np.log(rows["epoch"] / rows["law"]).mean()))
        if len(rows) > 1:
            slopes[run] = -float(np.polyfit(np.log(rows["threshold"]), np.log(rows["epoch"]), 1)[0])
    ratio = by_cell(of, pd.Series(ratios, dtype=float), "hidden_units")
    slope = by_cell(of, pd.Series(slopes, dtype=float), "hidden_units")
    by_width = _over_widths(used)
    late = sum(not reached for reached in used["is_reached"])
    law = "K/θ" if factor == 1 else f"{factor:g}·K/θ"
    said = (
        f"Were the law exact, these three would be 1 (1 ± {tolerance:g} is asked of each). "
        f"The measured epoch over {law}: {over_cells(ratio, *ends, '.2f')}; "
        f"the power of 1/θ with which it goes: {over_cells(slope, *ends, '.2f')}; "
        f"and that of K: {by_width.text('.2f')} configurations"
    )
    said += f"; {late} of {len(used)} crossings due and not seen" if late else ""
    if len(of.diverged):
        return against(of, said if ratio else "", evidence, chart)
    if not slope or min(part.n for part in slope.values()) < 2 or by_width.n < 3:
        have = f"{said}. " if slope and by_width.n else ""
        why = "It needs two runs or more of each configuration, and two widths or more."
        return unknown(f"{of.losses()}{have}{why}", evidence, chart)
    places = [where_all(ratio, *ends), where_all(slope, *ends), by_width.where(*ends)]
    place = "outside" if "outside" in places else "across" if "across" in places else "inside"
    return Verdict(by_place(place), f"{of.losses()}{said}.", evidence, chart)


def another_criterion_gives_another_epoch(
    runs: Runs, threshold: float = 1.0, relative: float = 0.002, factor: float = 2.0, cells: int = 4
) -> Verdict:
    """Whether SGD's epoch is the criterion's: changes of the scale-free loss F, and changes relative to the range of L.

    By run: the epoch by the published criterion over the epoch by that on F; in every learning rate `factor` or more.
    Where F does not settle the ratio is at most the one told, and where L does not, at least.
    """
    sgd = runs.main.only(optimizer="sgd")
    loss, free = sgd.curve(LOSS), sgd.curve(SCALE_FREE)
    wide = {
        "published": settled(loss, (threshold,)),
        "relative": settled(loss, (relative,), relative=True),
        "scale-free": settled(free, (threshold,)),
    }
    rows = pd.concat([frame.assign(criterion=name) for name, frame in wide.items()])
    table = rows.groupby("criterion").agg(
        epoch=("epoch", "mean"), sd=("epoch", "std"), n=("epoch", "size"), reached=("is_reached", "mean")
    )
    chart = curvecharts.points(
        rows.assign(learning_rate=rows["run"].map(sgd.column("learning_rate"))), "learning_rate", "epoch", "criterion",
        title="SGD: epoch of convergence by three criteria", x_title="learning rate (log)", y_title="epoch",
        log=(True, False),
    )  # fmt: skip
    by_run = {name: frame.set_index("run")["epoch"] for name, frame in wide.items()}
    ratio = by_cell(sgd, (by_run["published"] / by_run["scale-free"]).dropna())
    said = (
        f"published criterion: {_mean_epoch(wide['published'])}; relative: {_mean_epoch(wide['relative'])}; on the "
        f"scale-free loss: {_mean_epoch(wide['scale-free'])}. The first is {over_cells(ratio, factor, np.inf, '.1f')}, "
        "times the last"
    )
    if len(sgd.diverged):
        return against(sgd, said if ratio else "", table.reset_index(), chart)
    lacking = too_few(sgd, cells)
    if lacking or not ratio:
        return unknown(lacking or "The scale-free loss was not logged.", table.reset_index(), chart)
    said = f"{sgd.losses()}{said[0].upper()}{said[1:]} (another epoch: {factor:g} times or more, in each)."
    place = where_all(ratio, factor, np.inf)
    censored = {"inside": wide["scale-free"], "outside": wide["published"]}.get(place)
    if censored is not None and not censored["is_reached"].all():
        return Verdict(CANNOT_TELL, said, table.reset_index(), chart)
    return Verdict(by_place(place), said, table.reset_index(), chart)


# ---- what these laws need ----


def _asked(of: Runs, thresholds: Sequence[float], factor: float, limits: tuple[float, float]) -> pd.DataFrame:
    """Crossings by run and threshold where the law puts them within the run: run, threshold, epoch, is_reached, cell,
    hidden_units, live, law (its epoch)."""
    first_epoch, tolerance = limits
    frame = of.curve(LOSS)
    found = of.with_knobs(settled(frame, tuple(thresholds)), "stage", "cell", "hidden_units")
    live = of.column("hidden_units") - of.column(DEAD).fillna(0.0)
    found = found.reindex(columns=["run", "threshold", "epoch", "is_reached", "stage", "cell", "hidden_units"])
    end = frame[np.isfinite(frame["value"].astype(float))].groupby("run")["epoch"].max()
    found = found.assign(live=found["run"].map(live).astype(float), end=found["run"].map(end).astype(float))
    found["law"] = factor * found["live"] / found["threshold"]
    is_asked = (found["law"] >= first_epoch) & ((1 + tolerance) * found["law"] <= found["end"])
    return found[is_asked & found["epoch"].notna()]


def _over_widths(used: pd.DataFrame) -> Interval:
    """p of epoch · θ ∝ K^p over the means of the configurations; n is 0 where they have one width."""
    product = np.log(used["epoch"] * used["threshold"])
    by_run = used.assign(product=product, k=np.log(used["live"])).groupby(["stage", "cell", "run"])[["product", "k"]]
    cells = by_run.mean().groupby(["stage", "cell"]).mean() if len(used) else pd.DataFrame({"k": [], "product": []})
    k, y = np.exp(cells["k"].to_numpy(float)), cells["product"].to_numpy(float)
    if len(k) < 3 or np.ptp(np.log(k)) < 0.5:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    line = curves.slope_against_log(k, y)
    return Interval(line.slope, line.low, line.high, line.n)


def _width_chart(used: pd.DataFrame, of: Runs, thresholds: Sequence[float], factor: float, optimizer: str) -> object:
    grid = pd.DataFrame({"threshold": np.geomspace(min(thresholds), max(thresholds), 30)})
    laws = {
        f"{'' if factor == 1 else f'{factor:g}·'}K/θ, K = {k:g}": grid.assign(epoch=factor * k / grid["threshold"])
        for k in sorted(of.column("hidden_units").dropna().unique())
    }
    return curvecharts.points(
        used[used["is_reached"].astype(bool)], "threshold", "epoch", "hidden_units",
        title=f"{optimizer}: epoch of convergence, width and threshold", x_title="threshold θ (nats per epoch, log)",
        y_title="epoch of convergence (log)", log=(True, True), laws=laws,
    )  # fmt: skip


def _mean_epoch(found: pd.DataFrame) -> str:
    """ "epoch 71", or that runs did not get there."""
    missed = int((~found["is_reached"]).sum())
    reached = found.loc[found["is_reached"], "epoch"]
    mean = f"epoch {reached.mean():.0f}" if len(reached) else ""
    late = f"not by epoch {found['epoch'].max():.0f} in {missed} of {len(found)} runs" if missed else ""
    return " and ".join(filter(None, (mean, late))) or "no epoch"
