"""Checks of the published claims about the decoder-free encoder's training (studies/implicit_em.toml names them).

Every check is a function of runs, so that its verdict moves with them: tests/contract/test_studies.py feeds each one
synthetic runs in which its claim is true, false and underpowered. What refutes the claims (the laws behind the curves)
is in `_implicit_em_laws.py` and `_implicit_em_epochs.py`, claims about the features in `_implicit_em_features.py`,
about the time in `_implicit_em_seconds.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core import curvecharts, curves
from core.criteria import per_epoch, settled
from core.verdicts import (
    ARTEFACT,
    NOT_REPRODUCED,
    REPRODUCED,
    Runs,
    Verdict,
    against,
    by_cell,
    over_cells,
    span,
    too_few,
    unknown,
    where_all,
)
from core.wording import percent_text
from studies._implicit_em_epochs import (
    another_criterion_gives_another_epoch,
    convergence_follows_width_over_threshold,
)
from studies._implicit_em_features import (
    complex_optimisers_are_unnecessary,
    features_are_equivalent,
    lower_loss_is_not_better_features,
    no_configuration_fails,
    spread_is_dead_units,
)
from studies._implicit_em_laws import (
    LOSS,
    adam_orbits,
    learning_rate_shifts_the_curve,
    responsibilities_settle,
    scale_free_loss_is_flat,
    weights_grow_as_predicted,
)
from studies._implicit_em_seconds import sgd_is_faster

__all__ = [
    "adam_never_converges",
    "adam_orbits",
    "another_criterion_gives_another_epoch",
    "complex_optimisers_are_unnecessary",
    "convergence_epoch",
    "convergence_follows_width_over_threshold",
    "features_are_equivalent",
    "figure_4",
    "learning_rate_shifts_the_curve",
    "lower_loss_is_not_better_features",
    "no_configuration_fails",
    "responsibilities_settle",
    "scale_free_loss_is_flat",
    "sgd_converges_at_one_epoch",
    "sgd_is_faster",
    "spread_is_dead_units",
    "weights_grow_as_predicted",
]

SCALED = (0.5, 1.0, 2.0, 4.0)
"""The thresholds beside the published one, as its multiples."""


def convergence_epoch(runs: Runs, threshold: float = 1.0) -> pd.Series:
    """The published criterion by run: first epoch of the first 5 changes below `threshold`, else the last epoch."""
    found = settled(runs.curve(LOSS), (threshold,))
    return pd.Series(found["epoch"].to_numpy(float), found["run"])


def figure_4(runs: Runs) -> Any:
    """The figure that the report names and does not have: every loss curve over ln(epoch), by optimiser.

    A curve that falls by the same amount with every doubling of the epoch is a straight line here and has no limit.
    """
    frame = runs.main.with_knobs(runs.main.curve(LOSS), "optimizer", "learning_rate")
    frame = frame.assign(configuration=frame["optimizer"].astype(str) + " " + frame["learning_rate"].astype(str))
    title = "Figure 4 (missing in the report): loss over the logarithm of the epoch"
    drawn = curvecharts.series(
        frame, "epoch", "value", "configuration", detail="run", title=title, x_title="epoch (log)",
        y_title="training loss (nats per batch)", log=(True, False),
    )  # fmt: skip
    look = "A loss with a limit bends to a level line at the right; a straight line has none in sight."
    return drawn.properties(description=f"{title}. {look}")


def sgd_converges_at_one_epoch(
    runs: Runs, epoch: float = 70.0, tolerance: float = 10.0, threshold: float = 1.0, cells: int = 4
) -> Verdict:
    """Claim: SGD converges at about the same epoch whatever the learning rate.

    It is refuted by one learning rate that is, by the published criterion, not within `tolerance` epochs of `epoch`. A
    run that has not crossed the threshold by its end did not converge, and one that diverged never will. Else, whether
    that epoch is the network's or the criterion's: with a limit in sight it hardly moves with the threshold, on a
    logarithm it goes with 1/threshold. An exponent below −½ at every rate, most curves of which have no limit, makes it
    an artefact, however well the epoch itself is known. Reproduced where each rate is within the tolerance and its
    exponent above −½.
    """
    sgd = runs.main.only(optimizer="sgd")
    frame = sgd.curve(LOSS)
    found = sgd.with_knobs(settled(frame, tuple(threshold * m for m in SCALED)), "learning_rate", "cell")
    chart = _threshold_chart(found, "SGD: epoch of convergence against the threshold")
    table = _by_cell(found, threshold)
    at = found[found["threshold"] == threshold]
    reached = at[at["is_reached"]]
    parts, ends = by_cell(sgd, reached.set_index("run")["epoch"]), (epoch - tolerance, epoch + tolerance)
    if len(sgd.diverged):
        return against(sgd, f"mean epoch {span(parts, '.1f')}" if parts else "", table, chart)
    lacking = too_few(sgd, cells)
    if lacking or sgd.horizon(LOSS) < epoch + tolerance:
        return unknown(lacking or f"The curves end at epoch {sgd.horizon(LOSS):g}.", table, chart)
    late = at.groupby("learning_rate")["is_reached"].mean()
    never = [f"learning rate {rate:g}" for rate, share in late.items() if share < 0.5]
    stray = [name for name, part in parts.items() if part.among(len(parts)).where(*ends) == "outside"]
    missed = len(at) - len(reached)
    told = f"{sgd.losses()}By its own criterion"
    mean = f"mean epoch {over_cells(parts, *ends, '.1f')}"
    mean += f"; {missed} of {len(at)} not by their end" if missed else ""
    if stray or never:
        said = f"{told} SGD does not converge within {tolerance:g} epochs of {epoch:g} at "
        return Verdict(NOT_REPRODUCED, f"{said}{', '.join(dict.fromkeys(never + stray))}: {mean}.", table, chart)
    maybe = f"{told} it may or may not be at epoch {epoch:g} ± {tolerance:g}: {mean}"
    if missed:
        return unknown(f"{maybe}.", table, chart)
    exponent = by_cell(sgd, _exponents(found))
    no_limit = pd.Series({run: float(_has_no_limit(*curve)) for run, curve in per_epoch(frame).items()})
    unlimited = by_cell(sgd, no_limit)
    goes = (
        f"The epoch goes with the threshold to the power {over_cells(exponent, -np.inf, -0.5, '.2f')}, and "
        f"{percent_text(no_limit.mean())} of the curves have no limit in sight"
    )
    is_known, is_by_threshold = len(exponent) == len(parts), where_all(exponent, -np.inf, -0.5) == "inside"
    if is_known and is_by_threshold and all(part.mean > 0.5 for part in unlimited.values()):
        said = (
            f"{told} it converges at {mean}. {goes}: it measures the threshold, twice of which halves it, and not the"
        )
        return Verdict(ARTEFACT, f"{said} network.", table, chart)
    if where_all(parts, *ends) != "inside":
        return unknown(f"{maybe}. {goes}.", table, chart)
    said = f"{told} it does ({mean}). {goes}"
    if is_known and is_by_threshold:
        return unknown(f"{said}: the threshold decides where they cross, and yet a limit may lie ahead.", table, chart)
    if is_known and where_all(exponent, -0.5, np.inf) == "inside":
        return Verdict(REPRODUCED, f"{said}: the threshold hardly matters.", table, chart)
    return unknown(f"{said}: too uncertain to tell, or not the same at every rate.", table, chart)


def adam_never_converges(
    runs: Runs, threshold: float = 1.0, epochs: float = 100.0, cells: int = 4, optimizer: str = "adam"
) -> Verdict:
    """Claim: Adam is still changing at epoch 100.

    True by the published criterion where no cell crosses. An artefact where twice or four times the threshold is
    crossed by (nearly) all: then its changes shrink like SGD's, only from twice as high.
    """
    adam = runs.main.only(optimizer=optimizer)
    frame = adam.curve(LOSS)
    found = adam.with_knobs(settled(frame, tuple(threshold * m for m in SCALED)), "learning_rate", "cell")
    chart = _threshold_chart(found, "Adam: epoch of convergence against the threshold")
    table = _by_cell(found, threshold)
    if len(adam.diverged):
        return against(adam, "", table, chart)
    lacking = too_few(adam, cells)
    if lacking or adam.horizon(LOSS) < epochs:
        return unknown(lacking or f"The curves end at epoch {adam.horizon(LOSS):g}, not {epochs:g}.", table, chart)
    within = found.assign(is_reached=found["is_reached"] & (found["epoch"] < epochs))
    share = within.groupby("threshold")["is_reached"].mean()
    crossing = within[(within["threshold"] == threshold)].groupby("cell")["is_reached"].mean()
    n = len(adam)
    if (crossing >= 0.5).any():
        said = f"{int((crossing >= 0.5).sum())} of {len(crossing)} Adam configurations converge by its own criterion"
        return Verdict(NOT_REPRODUCED, f"{adam.losses()}{said} before epoch {epochs:g}.", table, chart)
    looser = float(max(share[2 * threshold], share[4 * threshold]))
    unit = "nat" if threshold == 1 else "nats"
    reached = within[(within["threshold"] == 2 * threshold) & within["is_reached"]]
    parts = by_cell(adam, reached.set_index("run")["epoch"])
    at = f", at epoch {span(parts, '.1f')}" if parts else ""
    said = (
        f"{adam.losses()}{percent_text(share[threshold])} of {n} Adam runs cross {threshold:g} {unit} per epoch before "
        f"epoch {epochs:g}, {percent_text(share[2 * threshold])} cross {2 * threshold:g} nats{at}, "
        f"{percent_text(share[4 * threshold])} cross {4 * threshold:g} nats"
    )
    if looser >= 0.9:
        return Verdict(ARTEFACT, f"{said}: the threshold decides, not the optimiser.", table, chart)
    if looser <= 0.1:
        return Verdict(REPRODUCED, f"{said}: it goes on changing whatever the threshold.", table, chart)
    return unknown(f"{said}: neither all nor none.", table, chart)


# ---- what several checks need ----


def _by_cell(found: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Epochs of convergence by learning rate and threshold, the published threshold first."""
    table = found.groupby(["learning_rate", "threshold"]).agg(
        epoch=("epoch", "mean"), sd=("epoch", "std"), n=("epoch", "size"), reached=("is_reached", "mean")
    )
    return table.reset_index().sort_values(["threshold", "learning_rate"], key=lambda c: c.where(c != threshold, -1.0))


def _exponents(found: pd.DataFrame) -> pd.Series:
    """By run: b of epoch ∝ threshold^b over the thresholds that it reached."""
    slopes = {}
    for run, rows in found[found["is_reached"]].groupby("run"):
        if len(rows) > 1:
            slopes[run] = float(np.polyfit(np.log(rows["threshold"]), np.log(rows["epoch"]), 1)[0])
    return pd.Series(slopes, dtype=float)


def _has_no_limit(epoch: np.ndarray, value: np.ndarray) -> bool:
    """Whether a logarithm fits best, without the first tenth: no law holds from the first step on."""
    later = epoch > len(epoch) / 10
    return bool(later.sum() >= 6) and curves.fit(epoch[later], value[later]).has_no_limit


def _threshold_chart(found: pd.DataFrame, title: str) -> Any:
    return curvecharts.points(
        found[found["is_reached"]], "threshold", "epoch", "learning_rate", title=title,
        x_title="threshold (nats per epoch, log)", y_title="epoch of convergence (log)", log=(True, True),
    )  # fmt: skip
