"""What should be true of the decoder-free encoder if its loss has no lower bound: the laws that refute or explain.

With K live units and no bound on the scale of the weights, SGD grows ‖w‖² by 4·learning rate per step, so its loss
falls as C − K·ln(epoch); Adam's weights grow about as the epoch, so its loss falls as C − 2K·ln(epoch). What follows
for epochs of convergence is in `_implicit_em_epochs.py`. Derived from ∂(−ln Var)/∂ ln‖w‖ = −2. Where a law has one
number per configuration, it is judged in each of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from core import curvecharts, curves
from core.criteria import per_epoch
from core.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    Interval,
    Runs,
    Verdict,
    against,
    by_cell,
    by_place,
    over_cells,
    span,
    too_few,
    unknown,
    where_all,
)
from core.wording import percent_text

LOSS, SCALE_FREE = "train/loss", "train/scale_free_loss"
NORM, NORM_SQUARED = "train/weight_norm", "train/weight_norm_squared"
CHANGE, DEAD, ACCURACY = "train/responsibility_change", "train/dead_units", "test/accuracy"
START_NORM_SQUARED = 1 / 3
"""784 weights uniform in ±1/√784 have the mean square length 784 · (1/784)/3."""


def scale_free_loss_is_flat(runs: Runs, from_epoch: float = 10.0, share: float = 0.1, cells: int = 8) -> Verdict:
    """Law: without the scale of the weights (F = L + 2·Σ ln‖w_j‖) hardly anything changes after `from_epoch`.

    By run: the change of F from there to the end as a share of the change of L over the same epochs; below `share` in
    every configuration.
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
        frame, "epoch", "value", "curve", detail="line", title="Loss L, and F: L without the weights' scale",
        x_title="epoch (log)", y_title="nats per batch", log=(True, False),
    )  # fmt: skip
    found = by_cell(main, table.set_index("run")["share"])
    said = f"from epoch {from_epoch:g} on F changes by {over_cells(found, -np.inf, share, '.1%')}, of what L changes"
    if len(main.diverged):
        return against(main, said, table, chart)
    lacking = too_few(main, cells)
    if lacking or not found or main.horizon(SCALE_FREE) < 2 * from_epoch:
        return unknown(lacking or f"It needs curves of F to epoch {2 * from_epoch:g} or more.", table, chart)
    said = f"{main.losses()}{said[0].upper()}{said[1:]} (flat: below {percent_text(share)})."
    return Verdict(by_place(where_all(found, -np.inf, share)), said, table, chart)


def weights_grow_as_predicted(runs: Runs, tolerance: float = 0.1, cells: int = 4) -> Verdict:
    """Law: with SGD the mean ‖w‖² of the live units is 1/3 + 4 · learning rate · steps at the end.

    In every learning rate within `tolerance`. What is logged is the mean over all units, so it is divided by their
    live share: a unit that died early stays at almost no length. Where the law fails it is the log-sum-exp, which
    holds short weights back and is no longer felt by long ones; so the growth over the second half is told too.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = sgd.curve(NORM_SQUARED).sort_values("step")
    rate, live = sgd.column("learning_rate"), 1 - sgd.column(DEAD).fillna(0.0) / sgd.column("hidden_units")
    rows = []
    for run, curve in frame.groupby("run"):
        step, value = curve["step"].to_numpy(float), curve["value"].to_numpy(float) / live[run]
        half = int(np.abs(step - step[-1] / 2).argmin())
        predicted = START_NORM_SQUARED + 4 * rate[run] * step[-1]
        growth = (value[-1] - value[half]) / (4 * rate[run] * max(step[-1] - step[half], 1.0))
        rows.append((run, rate[run], step[-1], value[-1], predicted, value[-1] / predicted, growth))
    columns = ["run", "learning_rate", "step", "measured", "predicted", "ratio", "growth_of_second_half"]
    table = pd.DataFrame(rows, columns=columns)
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(rate)), "step", "value", "learning_rate", detail="run",
        title="SGD: mean squared length of the weights", x_title="step (log)", y_title="mean ‖w‖² (log)",
        log=(True, True),
    )  # fmt: skip
    ends = 1 - tolerance, 1 + tolerance
    found, late = (by_cell(sgd, table.set_index("run")[name]) for name in ("ratio", "growth_of_second_half"))
    said = (
        f"‖w‖² of the live units at the end is {over_cells(found, *ends, '.3f')}, times the predicted one (1 ± "
        f"{tolerance:g} is asked of each); over the second half of the steps it grows by "
        f"{over_cells(late, *ends, '.3f')}, times 4 · learning rate per step"
    )
    if len(sgd.diverged):
        return against(sgd, said, table, chart)
    lacking = too_few(sgd, cells)
    if lacking or not found:
        return unknown(lacking or "The weights' length was not logged.", table, chart)
    return Verdict(by_place(where_all(found, *ends)), f"{sgd.losses()}{said}.", table, chart)


def learning_rate_shifts_the_curve(runs: Runs, tolerance: float = 0.15, cells: int = 4) -> Verdict:
    """Law: ten times the learning rate lowers SGD's final loss by K·ln 10, whatever else it does.

    The slope of the final loss against ln(learning rate), over the live units; runs are the points.
    """
    sgd = runs.main.only(optimizer="sgd")
    live = sgd.column("hidden_units") - sgd.column(DEAD).fillna(0.0)
    frame = pd.DataFrame({"rate": sgd.column("learning_rate"), "loss": sgd.column(LOSS), "live": live}).dropna()
    if len(sgd.diverged):
        return against(sgd, "", frame.reset_index())
    lacking = too_few(sgd, cells)
    if lacking or frame["rate"].nunique() < 3:
        return unknown(lacking or "It needs three learning rates or more.", frame.reset_index())
    line = curves.slope_against_log(frame["rate"].to_numpy(), frame["loss"].to_numpy())
    k = float(frame["live"].mean())
    found = Interval(-line.slope / k, -line.high / k, -line.low / k, line.n)
    said = (
        f"{sgd.losses()}×10 in learning rate lowers the loss by {-line.slope * np.log(10):.0f} nats, "
        f"{found.text('.2f')} runs, times the {k * np.log(10):.0f} of {k:.1f} live units"
    )
    return Verdict(by_place(found.where(1 - tolerance, 1 + tolerance)), f"{said}.", frame.reset_index())


def responsibilities_settle(runs: Runs, epoch: float = 70.0, cells: int = 4) -> Verdict:
    """Claim: the responsibilities reach equilibrium around `epoch`.

    Their change per epoch is extrapolated by a power law from the first part (10 … ⅔ of `epoch`) to the time after
    `epoch`. Where it settles the measured change falls far below (less than half); where it goes on like 1/t it does
    not. Since it is said of every step size, it must settle at each learning rate, and is refuted by one.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = sgd.curve(CHANGE)
    rows = []
    for run, (at, value) in per_epoch(frame).items():
        early, late = (at >= 10) & (at <= 2 * epoch / 3) & (value > 0), at > epoch + 5
        if early.sum() >= 6 and late.sum() >= 3:
            slope, start = np.polyfit(np.log(at[early]), np.log(value[early]), 1)
            predicted = float(np.exp(start + slope * np.log(at[late])).mean())
            rows.append((run, float(slope), predicted, float(value[late].mean()), value[late].mean() / predicted))
    table = pd.DataFrame(rows, columns=["run", "exponent", "predicted", "measured", "ratio"])
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(sgd.column("learning_rate"))), "epoch", "value", "learning_rate",
        detail="run", title="SGD: change of the responsibilities per epoch", x_title="epoch (log)",
        y_title="mean L1 change (log)", log=(True, True),
    )  # fmt: skip
    by_run, lacking = table.set_index("run"), too_few(sgd, cells)
    ratio, power = (by_cell(sgd, by_run[name]) for name in ("ratio", "exponent"))
    after = f"after {epoch:g} it is {over_cells(ratio, -np.inf, 0.5, '.2f')}, times what the law before predicts"
    if len(sgd.diverged):
        return against(sgd, f"the change per epoch: {after}" if ratio else "", table, chart)
    if lacking or len(ratio) < cells:
        return unknown(lacking or f"It needs curves beyond epoch {epoch + 8:g}.", table, chart)
    said = (
        f"{sgd.losses()}Before epoch {2 * epoch / 3:.0f} the change goes with the epoch to the power "
        f"{span(power, '.2f')}; {after}"
    )
    place = where_all(ratio, -np.inf, 0.5)
    if place == "inside":
        return Verdict(REPRODUCED, f"{said}: it settles.", table, chart)
    if place == "outside":
        return Verdict(NOT_REPRODUCED, f"{said}: it goes on shrinking smoothly, with no knee.", table, chart)
    return unknown(f"{said}.", table, chart)


def adam_orbits(runs: Runs, from_epoch: float = 10.0, cells: int = 4) -> Verdict:
    """Claim: Adam orbits a basin. Then the length of its weights stays; where it runs away it grows with the epoch.

    By run: p of ‖w‖ ∝ epoch^p from `from_epoch` on; orbiting is below 1/10 at each learning rate, and it is refuted
    by one at which p is above 1/2: there the weights run away.
    """
    adam = runs.main.only(optimizer="adam")
    frame = adam.curve(NORM)
    rows = []
    for run, (at, value) in per_epoch(frame).items():
        later = (at >= from_epoch) & (value > 0)
        if later.sum() >= 6:
            rows.append((run, float(np.polyfit(np.log(at[later]), np.log(value[later]), 1)[0])))
    chart = curvecharts.series(
        frame.assign(learning_rate=frame["run"].map(adam.column("learning_rate"))), "epoch", "value", "learning_rate",
        detail="run", title="Adam: mean length of the weights", x_title="epoch (log)", y_title="mean ‖w‖ (log)",
        log=(True, True),
    )  # fmt: skip
    table, lacking = pd.DataFrame(rows, columns=["run", "exponent"]), too_few(adam, cells)
    power = by_cell(adam, table.set_index("run")["exponent"])
    grow = "weights grow with the epoch to the power"
    if len(adam.diverged):
        return against(adam, f"the {grow} {span(power, '.2f')}" if power else "", table, chart)
    if lacking or len(power) < cells:
        return unknown(lacking or "The weights' length was not logged for long enough.", table, chart)
    if where_all(power, -np.inf, 0.1) == "inside":
        said = f"{adam.losses()}The {grow} {over_cells(power, -np.inf, 0.1, '.2f')}"
        return Verdict(REPRODUCED, f"{said}: their length stays, as in an orbit.", table, chart)
    said = f"{adam.losses()}The {grow} {over_cells(power, -np.inf, 0.5, '.2f')}"
    if where_all(power, -np.inf, 0.5) == "outside":
        return Verdict(NOT_REPRODUCED, f"{said}: they run away, and nothing is orbited.", table, chart)
    return unknown(f"{said}.", table, chart)


# ---- what several laws need ----


def _change(epoch: np.ndarray, value: np.ndarray, from_epoch: float) -> float:
    at = np.flatnonzero(epoch >= from_epoch)
    return float(value[-1] - value[at[0]]) if len(at) > 1 else float("nan")


def _long(runs: Runs, metrics: dict[str, str]) -> pd.DataFrame:
    """Curves of several metrics in one frame: curve (its short name), line (one per run and metric), epoch, value."""
    frames = [runs.curve(metric).assign(curve=name) for name, metric in metrics.items()]
    frame = pd.concat(frames)
    return frame.assign(line=frame["run"].astype(str) + frame["curve"])
