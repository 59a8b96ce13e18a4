"""How often runs diverged: a share per configuration or level with an interval that holds for few runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.contingency import Contingency, contingency
from core.usable import level_text, ordered_levels

DIVERGENCE = "divergence rate"
MEANING = (
    "Share of runs that diverged, of those that ended by themselves (done or diverged). The interval is Wilson's, "
    "which holds for few runs and for shares of 0 and 1."
)
READING = (
    "Dots are shares of runs that diverged, bars their 95 % intervals (Wilson). Beside each stand the counts. With "
    "three runs even none of three leaves room for more than half."
)
MOST_ROWS = 40


def wilson(k: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The interval (low, high) of a share k of n, both [m]; NaN where n is 0.

    Source: Wilson 1927, Journal of the American Statistical Association 22, 209–212.
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + level / 2))
    n = np.where(np.asarray(n) > 0, n, np.nan).astype(float)
    share = k / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def ended(results: pd.DataFrame) -> pd.DataFrame:
    """The runs that tell whether they diverge: not those that were stopped, failed, were lost or still run."""
    return results[results["state"].isin(["done", "diverged"])]


def rates(results: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A row per combination of levels that has planned runs, in their order: levels (a tuple of texts), name, n (runs
    that ended), diverged, rate, low, high (Wilson, 95 %), text ("1 of 3"). Runs of all other knobs count alike."""
    keys = pd.Series(list(zip(*(results[name].map(level_text) for name in by), strict=True)) or [()] * len(results))
    order = [{level: k for k, level in enumerate(ordered_levels(results[name]))} for name in by]
    found = sorted(set(keys), key=lambda row: [places[level] for places, level in zip(order, row, strict=True)])
    is_over, has_diverged = results["state"].isin(["done", "diverged"]), results["state"] == "diverged"
    places = keys.map({row: k for k, row in enumerate(found)}).to_numpy(int)
    n, k = (np.bincount(places, weights=one.to_numpy(float), minlength=len(found)) for one in (is_over, has_diverged))
    low, high = wilson(k, n)
    return pd.DataFrame(
        {
            "levels": found,
            "name": [" · ".join(row) or "all runs" for row in found],
            "n": n.astype(int),
            "diverged": k.astype(int),
            "rate": np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0),
            "low": low,
            "high": high,
            "text": [f"{int(a)} of {int(b)}" for a, b in zip(k, n, strict=True)],
        }
    )


def sentence(results: pd.DataFrame) -> str:
    """The share over all runs, to quote; how many say nothing about it."""
    table = rates(results, ())
    if not table["n"].sum():
        return "No run has ended by itself, so nothing is known of divergence."
    row = table.iloc[0]
    rate, low, high = (wording.percent_text(row[name]) for name in ("rate", "low", "high"))
    left = len(results) - int(row["n"])
    said = f"{row['text']} runs diverged: {rate}, 95 % interval {low} to {high} (Wilson)"
    return f"{said}." + (
        f" {wording.count_text(left, 'run')} stopped, failed or unfinished count for nothing." * bool(left)
    )


def with_factor(results: pd.DataFrame, factor: str) -> Contingency:
    """Whether divergence goes with the levels of a factor (Fisher–Freeman–Halton)."""
    runs = ended(results)
    outcome = np.where(runs["state"] == "diverged", "diverged", "not diverged")
    return contingency(runs.assign(divergence=outcome), "divergence", factor)


def pair(results: pd.DataFrame, x: str, other: str) -> pd.DataFrame:
    """Two factors' rates as `sweepcharts.pair_table` has means: level, at, other, mean, low, high, n."""
    table = rates(results, (x, other))
    table = table[table["n"] > 0]
    levels = table["levels"].str[0]
    at = pd.to_numeric(levels, errors="coerce").astype(float)
    at = at if np.isfinite(at).all() else at * np.nan
    columns = {"level": levels, "at": at, "other": table["levels"].str[1], "mean": table["rate"]}
    return pd.DataFrame(columns | {name: table[name] for name in ("low", "high", "n")}).reset_index(drop=True)


def drawing(table: pd.DataFrame, of: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Share and interval of each row of `rates`, its counts beside it."""
    rows = table[table["n"] > 0].head(MOST_ROWS)
    share = alt.Scale(domain=[0, 1])
    y = alt.Y("name:N", sort=list(rows["name"]), title=None, axis=alt.Axis(labelLimit=320))
    numbers = [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("rate", "low", "high")]
    base = alt.Chart(rows).encode(y=y, tooltip=["name:N", "text:N", *numbers])
    x = alt.X("rate:Q", title="share of runs that diverged", scale=share, axis=alt.Axis(format="%"))
    layers = [
        base.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("low:Q", scale=share), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=colours["train"]).encode(x=x),
        base.mark_text(align="left", dx=8, fontSize=11, color=colours["real"]).encode(x="high:Q", text="text:N"),
    ]
    title = f"Divergence rate by {of}"
    told = "; ".join(f"{row.name} {row.text}" for row in rows.itertuples(index=False))
    return alt.layer(*layers).properties(height=alt.Step(24), title=title, description=f"{title}: {told}.")
