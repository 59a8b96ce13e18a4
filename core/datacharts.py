"""Charts of data sets: a table function and a drawing function each, as in `charts`.

Colours come from the caller. Every drawing carries its description for screen readers.
"""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from core import labelcheck
from core.datasets import INSTRUMENT_NAMES, Dataset
from core.datasets.splits import PARTS

LOW, HIGH, CELLS = 1.0, 9.0, 16


def balance_table(dataset: Dataset) -> pd.DataFrame:
    """Classes and their items: label, name, n, share (of the items; they add up to more than 1 where items have
    several), in the data set's order."""
    counts = (dataset.targets > 0).sum(axis=0).astype(int)
    return pd.DataFrame(
        {
            "label": list(dataset.labels),
            "name": [INSTRUMENT_NAMES.get(label, label) for label in dataset.labels],
            "n": counts,
            "share": counts / max(len(dataset.targets), 1),
        }
    )


def balance_drawing(table: pd.DataFrame, colour: str) -> alt.LayerChart | alt.FacetChart:
    """One bar a class, its n written beside it."""
    base = alt.Chart(table).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
        x=alt.X("n:Q", title="items", axis=alt.Axis(tickMinStep=1)),
        tooltip=[alt.Tooltip("name:N"), alt.Tooltip("n:Q"), alt.Tooltip("share:Q", format=".1%")],
    )
    bars = base.mark_bar(color=colour)
    numbers = base.mark_text(align="left", dx=4, color=colour).encode(text=alt.Text("n:Q"))
    description = "Bar chart of items per class: " + ", ".join(
        f"{name} {n}" for name, n in zip(table["name"], table["n"], strict=True)
    )
    return alt.layer(bars, numbers).properties(height=alt.Step(24), description=description)


def coverage_table(targets: np.ndarray) -> pd.DataFrame:
    """How many items lie in each half-point cell of the plane: valence, arousal (lower edges), valence_end,
    arousal_end, n. All 256 cells; targets [n, 2] on 1–9, where 9 belongs to the last cell."""
    edges = np.linspace(LOW, HIGH, CELLS + 1)
    counts, _, _ = np.histogram2d(targets[:, 0], targets[:, 1], bins=(edges, edges))
    valence, arousal = np.meshgrid(edges[:-1], edges[:-1], indexing="ij")
    step = edges[1] - edges[0]
    return pd.DataFrame(
        {
            "valence": valence.ravel(),
            "arousal": arousal.ravel(),
            "valence_end": valence.ravel() + step,
            "arousal_end": arousal.ravel() + step,
            "n": counts.ravel().astype(int),
        }
    )


def coverage_drawing(table: pd.DataFrame, line_colour: str) -> alt.LayerChart | alt.FacetChart:
    """The plane with a colour for the items in each cell; empty cells stay empty."""
    span = alt.Scale(domain=[LOW, HIGH], nice=False)
    axis = alt.Axis(values=list(range(1, 10)), grid=False)
    x = alt.X("valence:Q", scale=span, axis=axis, title="valence (1–9)")
    y = alt.Y("arousal:Q", scale=span, axis=axis, title="arousal (1–9)")
    filled = table[table["n"] > 0]
    cells = (
        alt.Chart(filled)
        .mark_rect()
        .encode(
            x=x,
            x2=alt.X2("valence_end:Q"),
            y=y,
            y2=alt.Y2("arousal_end:Q"),
            color=alt.Color("n:Q", scale=alt.Scale(scheme="viridis"), title="items"),
            # In full: what Altair makes of a bare "n:Q" it looks up among all its classes, each time some 10 ms.
            tooltip=[alt.Tooltip(f"{c}:Q") for c in ("valence", "valence_end", "arousal", "arousal_end", "n")],
        )
    )
    middle = pd.DataFrame({"at": [(LOW + HIGH) / 2]})
    rules = [
        alt.Chart(middle).mark_rule(color=line_colour, strokeDash=[4, 4]).encode(x=alt.X("at:Q", scale=span)),
        alt.Chart(middle).mark_rule(color=line_colour, strokeDash=[4, 4]).encode(y=alt.Y("at:Q", scale=span)),
    ]
    empty = int((table["n"] == 0).sum())
    description = (
        f"Map of {int(table['n'].sum())} labels on the valence-arousal plane; {empty} of {len(table)} cells are empty."
    )
    return alt.layer(cells, *rules).properties(height=420, width=460, description=description)


def thin_quadrants(targets: np.ndarray) -> pd.DataFrame:
    """Items and their share in the four corners of the plane, split at 5: corner, n, share; the emptiest first."""
    high = targets > (LOW + HIGH) / 2
    rows = []
    for valence in (False, True):
        for arousal in (False, True):
            n = int(((high[:, 0] == valence) & (high[:, 1] == arousal)).sum())
            name = f"{'high' if valence else 'low'} valence, {'high' if arousal else 'low'} arousal"
            rows.append({"corner": name, "n": n, "share": n / max(len(targets), 1)})
    return pd.DataFrame(rows).sort_values("n", ignore_index=True)


def split_table(dataset: Dataset, assignment: np.ndarray) -> pd.DataFrame:
    """A row per part of a split: part, items, share, groups, then the mean of each label (emotion) or the number of
    items of the rarest class that the data set has at all (others)."""
    groups = np.asarray(dataset.groups, dtype=str)
    rows = []
    for part in (*PARTS, ""):
        inside = assignment == part
        if part == "" and not inside.any():
            continue
        row: dict[str, object] = {
            "part": part or "left out",
            "items": int(inside.sum()),
            "share": float(inside.mean()) if len(inside) else 0.0,
            "groups": len(set(groups[inside])),
        }
        if dataset.task == "emotion":
            for k, label in enumerate(dataset.labels):
                row[f"mean {label}"] = float(dataset.targets[inside, k].mean()) if inside.any() else float("nan")
        elif dataset.targets.shape[1]:
            there = (dataset.targets > 0).any(axis=0)
            counts = (dataset.targets[inside] > 0).sum(axis=0)[there]
            row["items of the rarest class"] = int(counts.min()) if len(counts) else 0
        rows.append(row)
    return pd.DataFrame(rows)


def rater_summary(dataset: Dataset) -> pd.DataFrame:
    """A row per label: label, raters, ratings_per_item (median), spread (mean standard deviation of the ratings of an
    item), ceiling_r2 and ceiling_ccc (see stats.rater_ceiling; NaN where unknown). Empty without raters."""
    columns = ["label", "raters", "ratings_per_item", "spread", "ceiling_r2", "ceiling_ccc"]
    if dataset.raters is None or dataset.raters.empty:
        return pd.DataFrame(columns=columns)
    per_item = dataset.raters.groupby("item")
    rows = [
        (label, dataset.raters["rater"].nunique(), float(per_item[label].count().median()),
         float(per_item[label].std().mean()), dataset.ceiling.get(f"r2_{label}", float("nan")),
         dataset.ceiling.get(f"ccc_{label}", float("nan")))
        for label in dataset.labels
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def distance_table(dataset: Dataset) -> pd.DataFrame:
    """Each rater's distance from the others (labelcheck.rater_distances), with `far` true where a check names it."""
    if dataset.raters is None:
        return pd.DataFrame({"rater": [], "distance": [], "ratings": [], "far": []})
    table = labelcheck.rater_distances(dataset.raters, dataset.labels)
    return table.assign(far=(table["z"] > labelcheck.FAR) | (table["agreement"] < 0))


def distance_drawing(table: pd.DataFrame, colour: str, far_colour: str) -> alt.Chart:
    """How many raters lie how far from the rest: a histogram, the raters that a check names on top."""
    shown = table.assign(who=np.where(table["far"], "named by the check", "other raters"))
    scale = alt.Scale(domain=["other raters", "named by the check"], range=[colour, far_colour])
    return (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X("distance:Q", bin=alt.Bin(maxbins=30), title="distance from the other raters (points)"),
            y=alt.Y("count():Q", title="raters", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("who:N", scale=scale, title=None, legend=alt.Legend(orient="top")),
            tooltip=[alt.Tooltip("who:N"), alt.Tooltip("count():Q")],
        )
        .properties(height=220, description=f"Histogram of how far {len(table)} raters lie from the others.")
    )
