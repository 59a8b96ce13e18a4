"""What should be true of the decoder-free encoder if its loss has no lower bound: the laws that refute or explain.

With K live units and no bound on the scale of the weights, SGD grows ‖w‖² by 4·learning rate per step, so its loss
falls as C − K·ln(epoch) and any absolute threshold θ is crossed at epoch K/θ; Adam's weights grow about as the epoch,
so its loss falls as C − 2K·ln(epoch) and the crossing is at 2K/θ. Derived from ∂(−ln Var)/∂ ln‖w‖ = −2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from core import curvecharts, curves
from core.criteria import per_epoch, settled
from core.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    Interval,
    Runs,
    Verdict,
    by_place,
    interval,
    too_few,
    unknown,
)

LOSS, SCALE_FREE = "train/loss", "train/scale_free_loss"
NORM, NORM_SQUARED = "train/weight_norm", "train/weight_norm_squared"
CHANGE, DEAD, ACCURACY = "train/responsibility_change", "train/dead_units", "test/accuracy"
START_NORM_SQUARED = 1 / 3
"""784 weights uniform in ±1/√784 have the mean square length 784 · (1/784)/3."""


def convergence_follows_width_over_threshold(
    runs: Runs,
    optimizer: str = "sgd",
    factor: float = 1.0,
    thresholds: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0),
    tolerance: float = 0.25,
    first_epoch: float = 8.0,
) -> Verdict:
    """Law: the epoch of convergence is `factor` · K/θ, K the number of live units.

    By run: how the epoch goes with θ (exponent −1); over the widths: how epoch · θ goes with K (exponent +1), and its
    ratio to factor · K. All three within `tolerance`. Crossings before `first_epoch` are too early for the law.
    """
    of = runs.only(optimizer=optimizer)
    found = settled(of.curve(LOSS), tuple(thresholds))
    about = of.results.set_index("run")
    live = (of.column("hidden_units") - of.column(DEAD).fillna(0.0)).rename("live")
    found = found.assign(
        hidden_units=found["run"].map(about.get("hidden_units", {})),
        live=found["run"].map(live),
    )
    used = found[found["is_reached"] & (found["epoch"] >= first_epoch) & (found["live"] > 0)]
    grid = pd.DataFrame({"threshold": np.geomspace(min(thresholds), max(thresholds), 30)})
    laws = {
        f"{factor:g}·K/θ, K = {k:g}": grid.assign(epoch=factor * k / grid["threshold"])
        for k in sorted(of.column("hidden_units").dropna().unique())
    }
    chart = curvecharts.points(
        used, "threshold", "epoch", "hidden_units", title=f"{optimizer}: epoch of convergence, width and threshold",
        x_title="threshold θ (nats per epoch, log)", y_title="epoch of convergence (log)", log=(True, True), laws=laws,
    )  # fmt: skip
    table = used.groupby(["hidden_units", "threshold"])["epoch"].agg(["mean", "std", "count"]).reset_index()
    slopes, ratios, widths = [], [], []
    for _, rows in used.groupby("run"):
        if len(rows) > 1:
            slopes.append(-float(np.polyfit(np.log(rows["threshold"]), np.log(rows["epoch"]), 1)[0]))
        ratios.append(float(np.exp(np.log(rows["epoch"] * rows["threshold"] / rows["live"]).mean())) / factor)
        widths.append(float(rows["live"].iloc[0]))
    by_threshold, ratio = interval(slopes), interval(ratios)
    by_width = _exponent(np.asarray(widths), np.asarray(ratios) * np.asarray(widths))
    said = (
        f"Epoch ∝ θ^−{by_threshold.text('.2f')} runs; ∝ K^{by_width.text('.2f')}; "
        f"{ratio.text('.2f')} times {factor:g}·K/θ"
    )
    if by_threshold.n < 2 or by_width.n < 4:
        have = f"{said}. " if by_threshold.n > 1 and by_width.n else ""
        return unknown(f"{have}It needs two runs or more at each of two widths or more.", table, chart)
    places = [part.where(1 - tolerance, 1 + tolerance) for part in (by_threshold, by_width, ratio)]
    place = "outside" if "outside" in places else "across" if "across" in places else "inside"
    return Verdict(by_place(place), f"{said}.", table, chart)


def scale_free_loss_is_flat(runs: Runs, from_epoch: float = 10.0, share: float = 0.1, cells: int = 8) -> Verdict:
    """Law: without the scale of the weights (F = L + 2·Σ ln‖w_j‖) hardly anything changes after `from_epoch`.

    By run: the change of F from there to the end as a share of the change of L over the same epochs.
    """
    main = runs.main
    loss, free = (per_epoch(main.curve(metric)) for metric in (LOSS, SCALE_FREE))
    rows = []
    for run in loss.keys() & free.keys():
        changes = [_change(*curve, from_epoch) for curve in (loss[run], free[run])]
        if np.isfinite(changes).all() and changes[0]:
            rows.append((run, *changes, abs(changes[1] / changes[0])))
    table = pd.DataFrame(rows, columns=["run", "change_of_loss", "change_of_scale_free_loss", "share"])
    frame = _long(main, {"L": LOSS, "F": SCALE_FREE})
    chart = curvecharts.series(
        frame, "epoch", "value", "curve", detail="line", title="Loss with (L) and without (F) the scale of the weights",
        x_title="epoch (log)", y_title="nats per batch", log=(True, False),
    )  # fmt: skip
    found = interval(table["share"])
    lacking = too_few(main, cells)
    if lacking or found.n < 2 or main.horizon(SCALE_FREE) < 2 * from_epoch:
        return unknown(lacking or f"It needs curves of F to epoch {2 * from_epoch:g} or more.", table, chart)
    said = f"From epoch {from_epoch:g} on F changes by {found.text('.1%')} runs, of what L changes"
    return Verdict(by_place(found.where(0.0, share)), f"{said} (flat: below {share:.0%}).", table, chart)


def weights_grow_as_predicted(runs: Runs, tolerance: float = 0.1, cells: int = 4) -> Verdict:
    """Law: with SGD the mean ‖w‖² is 1/3 + 4 · learning rate · steps at the end."""
    sgd = runs.main.only(optimizer="sgd")
    frame = sgd.curve(NORM_SQUARED)
    rate = sgd.column("learning_rate")
    ends = frame.sort_values("step").groupby("run").tail(1) if len(frame) else frame
    table = pd.DataFrame({"run": ends["run"], "step": ends["step"].astype(float), "measured": ends["value"]})
    table["predicted"] = START_NORM_SQUARED + 4 * table["run"].map(rate).astype(float) * table["step"]
    table["ratio"] = table["measured"] / table["predicted"]
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(rate)), "step", "value", "learning_rate", detail="run",
        title="SGD: mean squared length of the weights", x_title="step (log)", y_title="mean ‖w‖² (log)",
        log=(True, True),
    )  # fmt: skip
    found, lacking = interval(table["ratio"]), too_few(sgd, cells)
    if lacking or found.n < 2:
        return unknown(lacking or "The weights' length was not logged.", table, chart)
    said = f"‖w‖² at the end is {found.text('.3f')} runs, times the predicted one"
    place = found.where(1 - tolerance, 1 + tolerance)
    return Verdict(by_place(place), f"{said} (1 ± {tolerance:g} is asked).", table, chart)


def learning_rate_shifts_the_curve(runs: Runs, tolerance: float = 0.15, cells: int = 4) -> Verdict:
    """Law: ten times the learning rate lowers SGD's final loss by K·ln 10, whatever else it does: it is scale.

    The slope of the final loss against ln(learning rate), over the live units; runs are the points.
    """
    sgd = runs.main.only(optimizer="sgd")
    live = sgd.column("hidden_units") - sgd.column(DEAD).fillna(0.0)
    frame = pd.DataFrame({"rate": sgd.column("learning_rate"), "loss": sgd.column(LOSS), "live": live}).dropna()
    lacking = too_few(sgd, cells)
    if lacking or frame["rate"].nunique() < 3:
        return unknown(lacking or "It needs three learning rates or more.", frame.reset_index())
    line = curves.slope_against_log(frame["rate"].to_numpy(), frame["loss"].to_numpy())
    k = float(frame["live"].mean())
    found = Interval(-line.slope / k, -line.high / k, -line.low / k, line.n)
    said = (
        f"×10 in learning rate lowers the loss by {-line.slope * np.log(10):.0f} nats, {found.text('.2f')} runs, "
        f"times the {k * np.log(10):.0f} of {k:.1f} live units"
    )
    return Verdict(by_place(found.where(1 - tolerance, 1 + tolerance)), f"{said}.", frame.reset_index())


def responsibilities_settle(runs: Runs, epoch: float = 70.0, cells: int = 4) -> Verdict:
    """Claim: the responsibilities reach equilibrium around `epoch`.

    Their change per epoch is extrapolated by a power law from the first part (10 … ⅔ of `epoch`) to the time after
    `epoch`. Where it settles the measured change falls far below (less than half); where it goes on like 1/t it does
    not.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = sgd.curve(CHANGE)
    rows = []
    for run, (at, value) in per_epoch(frame).items():
        before, after = (at >= 10) & (at <= 2 * epoch / 3) & (value > 0), at > epoch + 5
        if before.sum() >= 6 and after.sum() >= 3:
            slope, start = np.polyfit(np.log(at[before]), np.log(value[before]), 1)
            predicted = float(np.exp(start + slope * np.log(at[after])).mean())
            rows.append((run, float(slope), predicted, float(value[after].mean()), value[after].mean() / predicted))
    table = pd.DataFrame(rows, columns=["run", "exponent", "predicted", "measured", "ratio"])
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(sgd.column("learning_rate"))), "epoch", "value", "learning_rate",
        detail="run", title="SGD: change of the responsibilities per epoch", x_title="epoch (log)",
        y_title="mean L1 change (log)", log=(True, True),
    )  # fmt: skip
    ratio, lacking = interval(table["ratio"]), too_few(sgd, cells)
    if lacking or ratio.n < 2:
        return unknown(lacking or f"It needs curves beyond epoch {epoch + 8:g}.", table, chart)
    said = (
        f"Before epoch {2 * epoch / 3:.0f} the change goes as epoch^{interval(table['exponent']).text('.2f')}; after "
        f"{epoch:g} it is {ratio.text('.2f')} runs, times what that law predicts"
    )
    if ratio.high < 0.5:
        return Verdict(REPRODUCED, f"{said}: it settles.", table, chart)
    if ratio.low > 0.5:
        return Verdict(NOT_REPRODUCED, f"{said}: it goes on shrinking smoothly, with no knee.", table, chart)
    return unknown(f"{said}.", table, chart)


def adam_orbits(runs: Runs, from_epoch: float = 10.0, cells: int = 4) -> Verdict:
    """Claim: Adam orbits a basin. Then the length of its weights stays; where it runs away it grows with the epoch.

    By run: p of ‖w‖ ∝ epoch^p from `from_epoch` on; orbiting is below 1/10, running away above 1/2.
    """
    adam = runs.main.only(optimizer="adam")
    frame = adam.curve(NORM)
    powers = []
    for at, value in per_epoch(frame).values():
        later = (at >= from_epoch) & (value > 0)
        if later.sum() >= 6:
            powers.append(float(np.polyfit(np.log(at[later]), np.log(value[later]), 1)[0]))
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(adam.column("learning_rate"))), "epoch", "value", "learning_rate",
        detail="run", title="Adam: mean length of the weights", x_title="epoch (log)", y_title="mean ‖w‖ (log)",
        log=(True, True),
    )  # fmt: skip
    table, power, lacking = pd.DataFrame({"exponent": powers}), interval(powers), too_few(adam, cells)
    if lacking or power.n < 2:
        return unknown(lacking or "The weights' length was not logged for long enough.", table, chart)
    said = f"The weights grow as epoch^{power.text('.2f')} runs"
    if power.high < 0.1:
        return Verdict(REPRODUCED, f"{said}: their length stays, as in an orbit.", table, chart)
    if power.low > 0.5:
        return Verdict(NOT_REPRODUCED, f"{said}: they run away, and nothing is orbited.", table, chart)
    return unknown(f"{said}.", table, chart)


def another_criterion_gives_another_epoch(
    runs: Runs, threshold: float = 1.0, relative: float = 0.002, factor: float = 2.0, cells: int = 4
) -> Verdict:
    """Whether SGD's epoch is the criterion's: changes of the scale-free loss F, and changes relative to the range of L.

    By run: the epoch by the published criterion over the epoch by that on F. Above `factor` the criterion decides.
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
    ratio = interval((by_run["published"] / by_run["scale-free"]).dropna())
    lacking = too_few(sgd, cells)
    if lacking or ratio.n < 2:
        return unknown(lacking or "The scale-free loss was not logged.", table.reset_index(), chart)
    means = {name: float(value.mean()) for name, value in by_run.items()}
    said = (
        f"Published criterion: epoch {means['published']:.0f}; relative: {means['relative']:.0f}; on the scale-free "
        f"loss: {means['scale-free']:.0f}. The first is {ratio.text('.1f')} runs, times the last"
    )
    place = ratio.where(factor, np.inf)
    return Verdict(by_place(place), f"{said} (another epoch: {factor:g} times or more).", table.reset_index(), chart)


# ---- what several laws need ----


def _change(epoch: np.ndarray, value: np.ndarray, from_epoch: float) -> float:
    at = np.flatnonzero(epoch >= from_epoch)
    return float(value[-1] - value[at[0]]) if len(at) > 1 else float("nan")


def _exponent(x: np.ndarray, y: np.ndarray) -> Interval:
    """p of y ∝ x^p with its interval; n is 0 where x has one value."""
    if len(x) < 3 or len(np.unique(np.round(x))) < 2 or np.ptp(np.log(x)) < 0.5:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    line = curves.slope_against_log(x, np.log(y))
    return Interval(line.slope, line.low, line.high, line.n)


def _long(runs: Runs, metrics: dict[str, str]) -> pd.DataFrame:
    """Curves of several metrics in one frame: curve (its short name), line (one per run and metric), epoch, value."""
    frames = [runs.curve(metric).assign(curve=name) for name, metric in metrics.items()]
    frame = pd.concat(frames)
    return frame.assign(line=frame["run"].astype(str) + frame["curve"])
