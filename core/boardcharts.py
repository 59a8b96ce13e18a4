"""The chart of a sweep's board: a table function and a drawing function, as in `charts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from core import sweepboard, wording

READING = (
    "Dots are means over seeds, bars with ticks at their ends 95 % intervals, the best on top. Two configurations "
    "whose bars overlap widely cannot be told apart by these runs. Ticks within a dot: an interval narrower than "
    "it. No ticks: one run."
)
MOST_ROWS = 40


def board_table(board: pd.DataFrame) -> pd.DataFrame:
    """The best 40 configurations of `sweepboard.board` that have a mean: name (each once), mean, low, high, n, and
    `by`, what the names say."""
    rows = board[board["n"] > 0].head(MOST_ROWS)
    is_double = rows["name"].duplicated(keep=False)
    names = rows["name"].where(~is_double, rows["name"] + " · cell " + rows["cell"].astype(str))
    return rows[["mean", "low", "high", "n"]].assign(name=names, by=sweepboard.named_by(board)).reset_index(drop=True)


def board_drawing(table: pd.DataFrame, response: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Dot and 95 % interval per configuration, best on top."""
    y = alt.Y("name:N", sort=table["name"].tolist(), title=None, axis=alt.Axis(labelLimit=320))
    numbers = [alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("mean", "low", "high")]
    base = alt.Chart(table).encode(y=y, tooltip=["name:N", *numbers, "n:Q"])
    scale = alt.Scale(zero=False)
    bars = base.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    known = alt.Chart(table.dropna(subset=["low", "high"])).encode(y=y)
    ends = [  # an interval narrower than its dot would look like none
        known.mark_tick(thickness=2, size=16, color=colours["train"], orient="vertical").encode(
            x=alt.X(f"{end}:Q", scale=scale)
        )
        for end in ("low", "high")
    ]
    x = alt.X("mean:Q", title=wording.words(response), scale=scale)
    dots = base.mark_point(filled=True, size=80, opacity=1, color=colours["train"]).encode(x=x)
    by = table["by"].iloc[0] if len(table) else "configuration"
    title = f"{wording.sentence_case(wording.words(response))} by {by}"
    description = f"{title}: {len(table)} configurations" + (f", {table['name'].iloc[0]} first." if len(table) else ".")
    return alt.layer(bars, dots, *ends).properties(height=alt.Step(22), title=title, description=description)
