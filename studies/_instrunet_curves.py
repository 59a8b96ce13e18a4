"""Checks of InstruNet's claims about training: early stopping, the gap, the steadiness of the loss, the plateau."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core import convergence, curvecharts
from core.criteria import per_epoch
from core.verdicts import ARTEFACT, NOT_REPRODUCED, REPRODUCED, Runs, Verdict, unknown
from studies import _instrunet_arms as arms
from studies._instrunet_arms import BLOCKS, BOTH, L2, NETWORKS, PLAIN

TRAIN, VALIDATION, PRIOR = "train/loss", "validation/loss", "train/prior_loss"
Curves = dict[str, tuple[np.ndarray, np.ndarray]]


def stops_later(runs: Runs, least: float = 1.0, seeds: int = 3) -> Verdict:
    """Claim: early stopping comes later than in networks that are not regularised, or with dropout in the blocks.

    By the last epoch of each run. One that reached its last epoch without being stopped counts with that epoch, which
    is too early rather than too late. Later than both is reproduced; `least` epochs excluded for either (Bonferroni)
    is not. Where it fires in none of the runs compared, nothing can be told: the published network's own
    training ran to its 50th epoch.
    """
    of = arms.pooled(runs)
    curves = per_epoch(of.curve(VALIDATION))
    ends = pd.Series({run: float(epoch[-1]) for run, (epoch, _) in curves.items() if len(epoch)}, dtype=float)
    frame = arms.framed(of, ends)
    best = pd.Series({run: float(e[np.argmin(v)]) for run, (e, v) in curves.items() if len(e)}, dtype=float)
    asked = of.column("epochs").rename(index=str)
    frame = frame.assign(
        best=frame["run"].map(best).astype(float), was_stopped=frame["value"] < frame["run"].map(asked).astype(float)
    )
    table = frame.groupby(["network", "arm"]).agg(
        n=("value", "size"), last_epoch=("value", "mean"), best_epoch=("best", "mean"), stopped=("was_stopped", "mean")
    )
    table, chart = table.reset_index(), arms.dots(frame, "Last epoch of every run", "last epoch")
    for other in (PLAIN, BLOCKS):
        if lacking := arms.short_of(of, frame, (BOTH, other), seeds):
            return unknown(lacking, table, chart)
    compared = frame[frame["arm"].isin((BOTH, PLAIN, BLOCKS))]
    if not compared["was_stopped"].any():
        why = f"Early stopping fired in none of the {len(compared)} runs that are compared: all ran to their last epoch"
        return unknown(f"{of.losses()}{why}.", table, chart)
    found = {other: arms.gap(frame, BOTH, other) for other in (PLAIN, BLOCKS)}
    told = "; ".join(f"than with {name} by {one.text('+.1f')}" for name, one in found.items())
    fired = f"{int(compared['was_stopped'].sum())} of {len(compared)} runs were stopped early"
    return arms.by_all(found, f"{of.losses()}{fired}. With {BOTH} later, in epochs, {told}", least, table, chart)


def gap_shrinks(runs: Runs, last: int = 5, least_nats: float = 0.005, seeds: int = 3) -> Verdict:
    """Claim: head dropout and L2 shrink the gap between validation and training loss.

    Mean gap of the `last` epochs that all runs have, beside the network with neither. Training loss is measured while
    dropout hides things, which raises it without any change of what was learned: a gap that shrinks, and more than half
    of it because training loss rises, is an artefact of where the loss is measured. L2 alone hides nothing, so its rise
    of training loss is told beside it where there are such runs. Reproduced where validation loss surely falls with the
    gap; not reproduced where a shrinkage of `least_nats` is excluded.
    """
    of = arms.pooled(runs)
    sides = {name: per_epoch(of.curve(name)) for name in (TRAIN, VALIDATION)}
    horizon = min(_horizon(of, curves, (BOTH, PLAIN)) for curves in sides.values())
    ends = {name: _at_the_end(curves, last, horizon) for name, curves in sides.items()}
    frames = {name: arms.framed(of, values) for name, values in ends.items()}
    frame = arms.framed(of, ends[VALIDATION] - ends[TRAIN])
    table, chart = (
        arms.means(frame, "gap"),
        arms.dots(frame, "Validation less training loss of every run", "gap (nats)"),
    )
    if 0 < horizon < 2 * last:
        why = f"The curves compared have {horizon:g} epochs in common: {2 * last} are needed to read their ends"
        return unknown(f"{of.losses()}{why}.", table, chart)
    if lacking := arms.short_of(of, frame, (BOTH, PLAIN), seeds):
        return unknown(lacking, table, chart)
    shrinks = arms.gap(frame, PLAIN, BOTH)
    falls, rises = arms.gap(frames[VALIDATION], PLAIN, BOTH), arms.gap(frames[TRAIN], BOTH, PLAIN)
    said = (
        f"{of.losses()}The gap shrinks by {shrinks.text('+.4f')}: validation loss falls by {falls.text('+.4f')}, "
        f"training loss rises by {rises.text('+.4f')}{_with_l2_alone(frames[TRAIN])}, nats"
    )
    if shrinks.interval.high < least_nats:
        return Verdict(NOT_REPRODUCED, f"{said}: {least_nats:g} or more is excluded.", table, chart)
    if not shrinks.interval.low > 0:
        return unknown(f"{said}: with {shrinks.interval.n} seeds that cannot be told from none.", table, chart)
    if falls.interval.high < shrinks.interval.mean / 2:
        why = "most of it is training loss, which is measured while dropout hampers the network"
        return Verdict(ARTEFACT, f"{said}: {why}.", table, chart)
    if falls.interval.low > 0:
        return Verdict(REPRODUCED, f"{said}.", table, chart)
    return unknown(f"{said}: whether that is learning or dropout's own loss cannot be told.", table, chart)


def _with_l2_alone(training: pd.DataFrame) -> str:
    """How much of the rise of training loss comes with L2 alone, where dropout has no part in it."""
    found = arms.gap(training, L2, PLAIN)
    return f" (with L2 alone by {found.text('+.4f')})" if found.interval.n else ""


def _horizon(of: Runs, curves: Curves, kinds: tuple[str, ...]) -> float:
    """The last epoch that every run of these kinds has; 0 where there is none. Other kinds may be stopped earlier."""
    compared = _of_kinds(of, curves, kinds)
    return min((float(epoch[-1]) for epoch, _ in compared.values() if len(epoch)), default=0.0)


def _of_kinds(of: Runs, curves: Curves, kinds: tuple[str, ...]) -> Curves:
    chosen = {str(row["run"]) for row in of.results.to_dict("records") if arms.arm(row) in kinds}
    return {run: curve for run, curve in curves.items() if run in chosen}


def _at_the_end(curves: Curves, last: int, horizon: float) -> pd.Series:
    """Mean of the `last` epochs up to the `horizon`, by run, of those that came so far."""
    found = {
        run: float(value[(epoch > horizon - last) & (epoch <= horizon)].mean())
        for run, (epoch, value) in curves.items()
        if len(epoch) and epoch[-1] >= horizon >= 2 * last
    }
    return pd.Series(found, dtype=float)


def loss_is_steadier(runs: Runs, least_share: float = 0.1, fewest: int = 6, seeds: int = 3) -> Verdict:
    """Claim: head dropout and L2 make validation loss steadier.

    By the standard deviation of what a parabola leaves of the second half of the epochs that all runs compared have
    (`fewest` of them or more), beside the network with neither. Steadier by `least_share` excluded is not reproduced.
    Read with the epochs in mind: a learning rate that has been halved is steadier by itself.
    """
    of = arms.pooled(runs)
    curves = per_epoch(of.curve(VALIDATION))
    compared = _of_kinds(of, curves, (BOTH, PLAIN))
    horizon = min((len(epoch) for epoch, _ in compared.values()), default=0)
    half = horizon - horizon // 2
    if half < fewest:
        why = f"The runs compared have {horizon} epochs in common: {2 * fewest} are needed to take out the trend"
        return unknown(f"{of.losses()}{why}.")
    left = {run: _without_trend(value[horizon - half : horizon]) for run, (_, value) in curves.items()
            if len(value) >= horizon}  # fmt: skip
    frame = arms.framed(of, pd.Series({run: np.log(sd) for run, sd in left.items() if sd > 0}, dtype=float))
    shown = frame.assign(value=np.exp(frame["value"]))
    table, chart = (
        arms.means(shown, "scatter"),
        arms.dots(shown, "Scatter of validation loss around its trend", "sd (nats)"),
    )
    if lacking := arms.short_of(of, frame, (BOTH, PLAIN), seeds):
        return unknown(lacking, table, chart)
    found = arms.gap(frame, PLAIN, BOTH)
    ends = found.interval
    shares = ends._replace(mean=1 - np.exp(-ends.mean), low=1 - np.exp(-ends.low), high=1 - np.exp(-ends.high))
    told = f"{shares.text('.0%')} seeds, {arms.p_text(found.p)}"
    said = f"{of.losses()}Around its trend validation loss scatters less by {told}"
    return arms.by_gap(found._replace(interval=shares), said, least_share, table, chart)


def _without_trend(values: np.ndarray) -> float:
    """Standard deviation around the best parabola."""
    x = np.linspace(-1.0, 1.0, len(values))
    return float(np.sqrt(np.sum((values - np.polyval(np.polyfit(x, values, 2), x)) ** 2) / (len(values) - 3)))


def batch_norm_removes_the_plateau(runs: Runs, fewest: int = 10, least: float = 5.0, seeds: int = 3) -> Verdict:
    """Ours: without batch normalisation training loss stands at what ignoring the input gives, with it never.

    Epochs within 2 % of that loss, the longest stretch of 5 or more (the rule of the lab's diagnoses; .3046 nats and an
    accuracy of 10/11 for one of eleven classes), without batch normalisation less with it, over the kinds that both
    have. Needs runs of `fewest` epochs; one that is stopped early where it lies there counts with the epochs it had,
    which is too few rather than too many. A stretch that is surely shorter than `least` epochs is none.
    """
    of = arms.pooled(runs)
    prior = of.column(PRIOR).rename(index=str)
    lengths, curves = {}, per_epoch(of.curve(TRAIN))
    for run, (epoch, value) in curves.items():
        if len(epoch) and np.isfinite(prior.get(run, np.nan)):
            stretch = convergence.on_prior(epoch, value, float(prior[run]))
            lengths[run] = 0.0 if stretch is None else stretch[1] - stretch[0] + 1
    frame = arms.framed(of, pd.Series(lengths, dtype=float))
    table, chart = arms.means(frame, "epochs"), _losses_chart(of, frame, float(prior.mean()))
    counts = {name: frame.loc[frame["network"] == name, "seed"].nunique() for name in NETWORKS.values()}
    if min(counts.values()) < seeds:
        told = ", ".join(f"{n} {name}" for name, n in counts.items())
        return unknown(f"{of.losses()}It takes {seeds} finished seeds of each network; there are {told}.", table, chart)
    asked = of.column("epochs")
    if not asked.min() >= fewest:
        return unknown(f"{of.losses()}The runs are of {asked.min():g} epochs: too few to tell.", table, chart)
    found = arms.gap(frame, NETWORKS[False], NETWORKS[True], of="network")
    if not found.interval.n:
        return unknown(f"{of.losses()}The two networks share no kind of regularisation.", table, chart)
    on = {name: frame.loc[frame["network"] == name, "value"] for name in NETWORKS.values()}
    shares = {name: f"{int((values > 0).sum())} of {len(values)} runs {name}" for name, values in on.items()}
    said = (
        f"{of.losses()}{shares[NETWORKS[False]]} batch norm and {shares[NETWORKS[True]]} stand at the prior of "
        f"{float(prior.mean()):.4f} nats; without it longer by {found.text('+.1f')}, epochs"
    )
    if found.interval.low > 0 and not (on[NETWORKS[True]] > 0).any():
        return Verdict(REPRODUCED, f"{said}.", table, chart)
    if found.interval.high < least or (on[NETWORKS[True]] > 0).mean() > 0.5:
        return Verdict(NOT_REPRODUCED, f"{said}.", table, chart)
    return unknown(f"{said}: that cannot be told.", table, chart)


def _losses_chart(of: Runs, frame: pd.DataFrame, prior: float) -> Any:
    """Training loss of every run, a style by network."""
    about = frame.set_index("run")["network"]
    shown = of.curve(TRAIN)
    shown = shown[(shown["epoch"] >= 1) & (shown["epoch"] == shown["epoch"].round())]
    shown = shown.assign(network=shown["run"].astype(str).map(about)).dropna(subset=["network"])
    title = f"Training loss beside the prior of {prior:.4f} nats" if np.isfinite(prior) else "Training loss"
    return curvecharts.series(
        shown, "epoch", "value", "network", detail="run", title=title, y_title="training loss (nats)"
    )
