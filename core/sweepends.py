"""How the curves of a sweep ended and what foretold it: `convergence` and `early`, fed with one sweep's runs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core import convergence, early, wording
from core.contingency import Contingency, contingency
from core.curves import LINE, LOGARITHM
from core.sweepboard import Found, better
from core.usable import level_text

THIRDS = ("lowest third", "middle third", "highest third")

PRIOR = "train/prior_loss"
MANY_RUNS, FEW_RESAMPLES = 200, 100
"""Above this many runs intervals of the early prediction come from fewer resamples: they are narrow by then."""


def whole_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows at whole epochs where there are four or more of them, else all; of one epoch told twice the last."""
    is_whole = curves["epoch"] == curves["epoch"].round()
    kept = curves[is_whole] if curves.loc[is_whole, "epoch"].nunique() >= 4 else curves
    return kept.drop_duplicates(["run", "epoch"], keep="last")


def prior_of(found: Found, metric: str) -> float | None:
    """The loss (nats) of a model that outputs the base rates, as its runs told it; None for other numbers than the loss
    and where none told it."""
    if metric not in ("train/loss", "validation/loss") or PRIOR not in found.results:
        return None
    told = pd.to_numeric(found.results[PRIOR], errors="coerce").dropna()
    return float(told.median()) if len(told) else None


def classes(found: Found, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per run that ended and has a curve: `convergence.classify_all`, with cell, seed and the factors.

    ValueError for a metric of which neither direction is better.
    """
    direction = better(metric)
    if direction == "neither":
        raise ValueError(
            f"Of {wording.words(metric)} neither direction is better, so its curves cannot be judged; choose a loss or "
            "a score."
        )
    results = found.results
    ended = set(results.loc[results["state"].isin(["done", "diverged"]), "run"])
    shown = whole_epochs(curves[curves["run"].isin(ended)])
    diverged = results.loc[results["state"] == "diverged", "run"].astype(str).tolist()
    kinds = convergence.classify_all(shown, better=direction, prior=prior_of(found, metric), diverged=diverged)
    missing = [run for run in diverged if run not in set(kinds["run"])]  # it ended before its first whole epoch
    if missing:
        told = "Its process ended it as diverged before it told a number at a whole epoch."
        more = pd.DataFrame({"run": missing, "kind": convergence.DIVERGED, "sentence": told})
        kinds = pd.concat([kinds, more], ignore_index=True) if len(kinds) else more.reindex(columns=kinds.columns)
    about = results[["run", "cell", "seed", *found.factors]]
    return about.merge(kinds, on="run").reset_index(drop=True)


def by_factor(kinds: pd.DataFrame, factor: str) -> Contingency:
    """Class against the levels of a factor; of a numeric one whose levels do not come back, as where they are drawn
    from a range, against its thirds."""
    told = kinds.rename(columns={"kind": "convergence"})
    levels = pd.to_numeric(told[factor], errors="coerce")
    places = levels.rank(method="dense")
    if levels.notna().all() and "cell" in told and places.max() == told["cell"].nunique() >= 2 * len(THIRDS):
        third = ((places - 1) * len(THIRDS) // places.max()).astype(int)
        told = told.assign(**{factor: [THIRDS[place] for place in third]}).iloc[np.argsort(places, kind="stable")]
    return contingency(told, "convergence", factor)


def counted(kinds: pd.DataFrame) -> str:
    """The classes with their counts, as a sentence."""
    if kinds.empty:
        return "No run has ended with a curve of this number."
    counts = kinds["kind"].value_counts()
    told = wording.list_text(
        [f"{wording.count_text(counts[kind], 'run')} {kind}" for kind in convergence.CLASSES if kind in counts], 8
    )
    unlimited = kinds["is_unlimited"].fillna(False).astype(bool)
    endless = unlimited & kinds["law"].isin([LINE, LOGARITHM])
    tail = ""
    if n := int((unlimited & (kinds["law"] == LINE)).sum()):
        tail += f" {wording.count_text(n, 'curve improves', 'curves improve')} in a straight line."
    if n := int((unlimited & (kinds["law"] == LOGARITHM)).sum()):
        tail += f" {wording.count_text(n, 'curve improves', 'curves improve')} like a logarithm, which has no limit."
    if n := int((unlimited & ~endless).sum()):
        bend = wording.count_text(n, "curve bends towards a limit, and is", "curves bend towards a limit, and are")
        tail += f" {bend} not half-way to it."
    return f"Of {wording.count_text(len(kinds), 'curve')}: {told}.{tail}"


def foretold(
    found: Found, curves: pd.DataFrame, response: str, *, judged: pd.DataFrame | None = None, within: str | None = None
) -> early.Prediction:
    """Does the ranking by these curves at an epoch foretell the ranking by `response` at the end? Runs that are done.

    ValueError where there are too few of them, or where all end alike.
    """
    done = found.results[found.results["state"] == "done"]
    finals = pd.to_numeric(done.set_index("run")[response], errors="coerce").astype(float)
    finals = finals[np.isfinite(finals)]
    if len(finals) >= early.FEWEST_RUNS and finals.nunique() == 1:
        raise ValueError(
            f"All {len(finals)} runs end with the same {wording.words(response)}: there is nothing to foretell."
        )
    knobs = done.set_index("run")[list(found.factors)].map(level_text)
    told = whole_epochs(curves[curves["run"].isin(set(finals.index))])
    if told.empty and len(finals) >= early.FEWEST_RUNS:
        raise ValueError("These runs have no such curve.")
    few = FEW_RESAMPLES if len(finals) > MANY_RUNS else 500
    other = None if judged is None else whole_epochs(judged[judged["run"].isin(set(finals.index))])
    return early.predict(told, finals, knobs, judged=other, within=within, n_resamples=few)
