"""All curves of a sweep with medians and bands, and the grid of its cells filling up: tables and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.sweepcharts import DASHES, few
from core.usable import level_text

READING = {
    "curves": "Thin lines are runs, the thick one is the median of a level, the band holds its middle half. A line "
    "that ends early stopped there.",
    "cells": "One row per configuration, one column per seed. The letter names the state, the number how far it is; "
    "where there is no room for one the colour says it.",
}
MOST_LINES, POINTS = 60, 75
MOST_SHARES = 12
"""Seeds side by side whose cells have room for a number."""
SIGNS = {
    "done": "✓", "running": "▸", "queued": "·", "starting": "·", "failed": "✗", "diverged": "∞", "lost": "?",
    "stopped": "■", "paused": "‖", "cancelled": "–",
}  # fmt: skip
"""A state as one sign, so that colour is not the only carrier."""


def curves_table(curves: pd.DataFrame, level_of_run: Mapping[str, str]) -> pd.DataFrame:
    """All curves of a metric, the median of each level: kind ("run" or "level"), level, run, epoch, value, low, high.

    `curves` has run, epoch, value; runs without a level are left out. Curves are read at 75 epochs by interpolation;
    a level's median and quartiles are over the runs that reach that epoch, where half of its runs do.
    """
    columns = ["kind", "level", "run", "epoch", "value", "low", "high"]
    known = curves[curves["run"].isin(list(level_of_run)) & np.isfinite(curves["value"].astype(float))]
    if known.empty:
        return pd.DataFrame(columns=columns)
    grid = np.linspace(float(known["epoch"].min()), float(known["epoch"].max()), POINTS)
    lines = _on_grid(known, grid)
    frames = []
    for level in dict.fromkeys(level_of_run.values()):
        members = [run for run in lines if level_of_run[run] == level]
        if not members:
            continue
        stack = np.array([lines[run] for run in members])
        enough = 2 * np.isfinite(stack).sum(axis=0) >= len(members)
        low, middle, high = np.nanquantile(stack[:, enough], [0.25, 0.5, 0.75], axis=0)
        frame = pd.DataFrame({"epoch": grid[enough], "value": middle, "low": low, "high": high})
        frames.append(frame.assign(kind="level", level=level, run=""))
    shown = list(lines)[:: max(1, -(-len(lines) // MOST_LINES))]
    names = np.repeat(np.array(shown, dtype=object), len(grid))
    runs = pd.DataFrame({"epoch": np.tile(grid, len(shown)), "value": np.concatenate([lines[run] for run in shown])})
    runs = runs.assign(kind="run", level=[level_of_run[run] for run in names], run=names)
    frames.append(runs[np.isfinite(runs["value"])])
    return pd.concat(frames, ignore_index=True).reindex(columns=columns)


def _on_grid(known: pd.DataFrame, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Run, in alphabetical order → its curve at the epochs `grid`, NaN beyond its ends.

    By arrays: a frame for each of 1,000 runs took twelve times as long.
    """
    codes, runs = pd.factorize(known["run"].astype(str), sort=True)
    epochs, values = known["epoch"].to_numpy(float), known["value"].to_numpy(float)
    order = np.lexsort((epochs, codes))  # stable: of one epoch told twice the last comes last, as it was told
    starts = np.searchsorted(codes[order], np.arange(len(runs) + 1))
    lines = {}
    for number, run in enumerate(runs):
        rows = order[starts[number] : starts[number + 1]]
        lines[str(run)] = np.interp(grid, epochs[rows], values[rows], left=np.nan, right=np.nan)
    return lines


def curves_drawing(
    table: pd.DataFrame, of: str, metric: str, colours: Mapping[str, Any], *, log: bool = False
) -> alt.LayerChart | alt.FacetChart:
    """Runs thin, medians thick, the middle half as a band; colour and dash say which level. `log` is of the value."""
    table = table[table["value"] > 0] if log else table
    names = list(dict.fromkeys(table.loc[table["kind"] == "level", "level"]))
    domain = [colours["runs"][k % len(colours["runs"])] for k in range(len(names))]
    legend = alt.Legend(symbolType="stroke", symbolSize=400)
    told: dict[str, Any] = {"sort": names, "title": wording.words(of), "legend": legend}
    colour = alt.Color("level:N", scale=alt.Scale(domain=names, range=domain), **told)
    dashes = alt.Scale(domain=names, range=[DASHES[k % len(DASHES)] for k in range(len(names))])
    scale = alt.Scale(zero=False, type="log" if log else "linear")
    x, y = alt.X("epoch:Q", title="epoch"), alt.Y("value:Q", title=wording.words(metric), scale=scale)
    runs, levels = alt.Chart(table[table["kind"] == "run"]), alt.Chart(table[table["kind"] == "level"])
    dash = alt.StrokeDash("level:N", scale=dashes, **told)
    low = alt.Y("low:Q", scale=scale)
    layers = [
        levels.mark_area(opacity=0.18).encode(x=x, y=low, y2="high:Q", color=colour),
        runs.mark_line(strokeWidth=0.7, opacity=0.45).encode(x=x, y=y, color=colour, detail="run:N"),
        levels.mark_line(strokeWidth=2.6).encode(x=x, y=y, color=colour, strokeDash=dash),
    ]
    title = f"{wording.sentence_case(wording.words(metric))} of every run, by {wording.words(of)}"
    n = table.loc[table["kind"] == "run", "run"].nunique()
    description = f"{title}: {n} curves and the medians of {len(names)} levels."
    return alt.layer(*layers).properties(height=320, title=title, description=description)


def cells_table(progress: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    """A row per run of a sweep's grid: row ("optimizer sgd, learning_rate 0.01"), seed, state, fraction, sign,
    order.

    `progress` has cell, a column per factor, seed, state, fraction (0–1).
    """
    if progress.empty:
        return pd.DataFrame(columns=["row", "seed", "state", "fraction", "sign", "order"])
    named = [
        ", ".join(f"{f} {level_text(row[f])}" for f in factors) or f"cell {row['cell']}"
        for row in progress.to_dict("records")
    ]
    table = pd.DataFrame({"row": named, "seed": progress["seed"].map(level_text).to_numpy(dtype=object)})
    table["state"] = progress["state"].astype(str).to_numpy(dtype=object)
    table["fraction"] = pd.to_numeric(progress["fraction"], errors="coerce").fillna(0.0).clip(0, 1).to_numpy()
    has_room = progress["seed"].nunique() <= MOST_SHARES
    share = [
        f" {round(100 * f)} %" if has_room and state in ("running", "paused") else ""
        for state, f in zip(table["state"], table["fraction"], strict=True)
    ]
    table["sign"] = [SIGNS.get(state, state[:1]) + more for state, more in zip(table["state"], share, strict=True)]
    return table.assign(order=pd.factorize(progress["cell"])[0])


def cells_drawing(table: pd.DataFrame, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """The grid of cells × seeds: a sign and a colour per state, paler while a run is on its way."""
    kinds = {
        "done": colours["discriminator"], "running": colours["valence"], "paused": colours["valence"],
        "failed": colours["arousal"], "lost": colours["arousal"], "diverged": colours["validation"],
    }  # fmt: skip
    states = list(dict.fromkeys(table["state"]))
    scale = alt.Scale(domain=states, range=[kinds.get(state, colours["real"]) for state in states])
    rows = list(dict.fromkeys(table.sort_values("order", kind="stable")["row"]))
    base = alt.Chart(few(table)).encode(
        x=alt.X(
            "seed:N", sort=list(dict.fromkeys(table["seed"])), title="seed", axis=alt.Axis(labelAngle=0, orient="top")
        ),
        y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(labelLimit=420)),
        tooltip=["row:N", "seed:N", "state:N", alt.Tooltip("fraction:Q", format=".0%")],
    )
    opacity = alt.Opacity("fraction:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.08, 0.3]))
    cells = base.mark_rect(cornerRadius=3).encode(color=alt.Color("state:N", scale=scale, title=None), opacity=opacity)
    signs = base.mark_text(fontSize=11).encode(text="sign:N", color=alt.Color("state:N", scale=scale, title=None))
    counts = table["state"].value_counts()
    told = wording.list_text([f"{n} {state}" for state, n in counts.items()])
    title = f"{len(table):,} runs" + (f": {told}" if told else "")
    return alt.layer(cells, signs).properties(
        height=alt.Step(24), title=title, description=f"Grid of cells and seeds, {title}."
    )
