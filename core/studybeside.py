"""A study's published table beside what its runs measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core import studyfaults
from core.stats import t_interval
from core.verdicts import MAIN, Runs

if TYPE_CHECKING:
    from core.studies import Published, Study


def compare(study: Study, runs: Runs) -> pd.DataFrame:
    """Published beside measured: a row per published row and metric.

    Columns: the factors, metric, published, published_sd (NaN where none is printed), measured (mean over seeds), low
    and high (its 95 % t interval; NaN for one seed), sd, n, difference, and in_sd: the difference in published standard
    deviations, each taken as half the last printed digit or more, for "± 0" is a rounding. Metrics without seconds of
    their own, or without a run, are NaN with n = 0; all are on other data than the published (`elsewhere`).
    `attrs["faults"]` has a sentence for each derived metric whose
    function fell over.
    """
    table = study.published
    if table is None:
        return pd.DataFrame()
    main = runs.main if not elsewhere(study, runs) else runs.only(run=())
    values = {name: main.column(name) for name in table.metrics if name not in table.derived}
    faults = []
    for name in table.derived:
        try:
            values[name] = study.function(name)(main)
        except Exception as error:  # as in _judged
            values[name] = pd.Series(dtype=float)
            faults.append(f"{name} cannot be measured: its function failed: {studyfaults.sentence(error)}")
    about = main.results.set_index("run")
    rows = []
    for printed in table.frame.to_dict("records"):
        keep = np.ones(len(about), dtype=bool)
        for factor in table.factors:
            keep &= (about[factor] == printed[factor]).to_numpy() if factor in about else False
        members = list(about.index[keep])
        for metric in table.metrics:
            seen = values[metric].reindex(members).dropna().to_numpy(float)
            rows.append({name: printed[name] for name in table.factors} | _beside(table, printed, metric, seen))
    beside = pd.DataFrame(rows)
    beside.attrs["faults"] = tuple(faults)
    return beside


def elsewhere(study: Study, runs: Runs) -> str:
    """What is to be said of runs on other data than the published numbers; empty where they are on the same."""
    if study.published is None or runs.data in ("", study.published.data):
        return ""
    return (
        f"These runs are on {runs.data}, the published numbers on {study.published.data}: none of ours stands beside "
        f"them. The claims are judged on {runs.data}, and what is said of them is said of it alone."
    )


def untimed(runs: Runs) -> str:
    """Why the runs of the main grid have no seconds to stand beside published ones, and what those that trained one
    after another say of them; empty where they have."""
    main = runs.main
    if not len(main) or np.isfinite(main.column("seconds")).any():
        return ""
    said = "None of ours stands beside them: runs that train together in one process have no seconds of their own."
    rows = runs.only().results
    if not {"epoch_seconds", "epochs"} <= set(rows) or not len(main.column("epochs").dropna()):
        return said
    timed = rows[(rows["stage"] != MAIN) & np.isfinite(rows["epoch_seconds"].astype(float))]
    epochs = float(main.column("epochs").max())
    for stage, alone in timed.groupby("stage"):
        levels = [name for name in runs.factors if name in alone]
        pace = epochs * (alone.groupby(levels) if levels else alone.groupby("stage"))["epoch_seconds"].mean()
        said += (
            f" Those of stage {stage}, of {alone['epochs'].max():g} epochs, trained one after another: at their pace "
            f"{epochs:g} epochs take {pace.min():.0f} to {pace.max():.0f} s, on another machine than the published."
        )
    return said


def _beside(table: Published, printed: dict[str, Any], metric: str, seen: np.ndarray) -> dict[str, Any]:
    sd = float(printed.get(f"{metric}_sd", np.nan))
    floor = table.digits[metric] / 2
    mean, low, high = t_interval(seen)
    gap = mean - float(printed[metric])
    return {
        "metric": metric,
        "published": float(printed[metric]),
        "published_sd": sd,
        "measured": mean,
        "low": low,
        "high": high,
        "sd": float(seen.std(ddof=1)) if len(seen) > 1 else float("nan"),
        "n": len(seen),
        "difference": gap,
        "in_sd": gap / max(sd if np.isfinite(sd) else 0.0, floor),
    }
