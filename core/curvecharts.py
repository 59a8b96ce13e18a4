"""Drawings of what curves show: laws over them, where a class is seen on them, epochs against thresholds.

Altair without colours of its own, so that the theme of a page gives them; series differ in dash or shape, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import convergence, curves

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


def series(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    *,
    title: str,
    x_title: str = "epoch",
    y_title: str = "",
    log: tuple[bool, bool] = (False, False),
    detail: str | None = None,
) -> alt.Chart:
    """Lines of y over x, one style per level of `by` and one line per level of `detail` (a run). `log` is (x, y)."""
    frame = frame[np.isfinite(frame[x].astype(float)) & np.isfinite(frame[y].astype(float))]
    for name, is_log in zip((x, y), log, strict=True):
        frame = frame[frame[name] > 0] if is_log else frame
    more = {"detail": alt.Detail(f"{_field(detail)}:N")} if detail else {}
    shown = frame.assign(**{"series": frame[by].astype(str)})
    return (
        alt.Chart(shown, title=title, description=f"{title}. {y_title or y} over {x_title}, by {by}.")
        .mark_line(strokeWidth=1.4, opacity=0.85)
        .encode(
            x=alt.X(f"{_field(x)}:Q", title=x_title, scale=_scale(log[0])),
            y=alt.Y(f"{_field(y)}:Q", title=y_title or y, scale=_scale(log[1])),
            color=alt.Color("series:N", title=by.replace("_", " ")),
            strokeDash=alt.StrokeDash("series:N", title=by.replace("_", " ")),
            **more,
        )
    )


def points(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    *,
    title: str,
    x_title: str,
    y_title: str,
    log: tuple[bool, bool] = (False, False),
    laws: Mapping[str, pd.DataFrame] | None = None,
) -> Any:
    """Points of y over x, a shape per level of `by`, `laws` (name → frame of x and y) as dashed lines."""
    shown = frame.assign(series=frame[by].astype(str))
    shown = shown[np.isfinite(shown[x].astype(float)) & np.isfinite(shown[y].astype(float))]
    horizontal = alt.X(f"{_field(x)}:Q", title=x_title, scale=_scale(log[0]))
    vertical = alt.Y(f"{_field(y)}:Q", title=y_title, scale=_scale(log[1]))
    legend = by.replace("_", " ")
    drawn = (
        alt.Chart(shown)
        .mark_point(size=55, filled=True, opacity=0.8)
        .encode(
            x=horizontal,
            y=vertical,
            color=alt.Color("series:N", title=legend),
            shape=alt.Shape("series:N", title=legend, scale=alt.Scale(range=SHAPES)),
        )
    )
    layers: list[alt.Chart] = [drawn]
    if laws:
        lines = pd.concat([law.assign(law=name) for name, law in laws.items()])
        layers.append(
            alt.Chart(lines)
            .mark_line(strokeWidth=1.2, color="grey")
            .encode(x=horizontal, y=vertical, strokeDash=alt.StrokeDash("law:N", title="law"))
        )
    return alt.layer(*layers).properties(title=title, description=f"{title}. {y_title} over {x_title}, by {legend}.")


def classified(x: np.ndarray, y: np.ndarray, verdict: convergence.Verdict, *, title: str, y_title: str) -> Any:
    """A curve with the stretch that shows its class shaded, and the best law through it where it still improves."""
    frame = pd.DataFrame({"x": np.asarray(x, dtype=float), "y": np.asarray(y, dtype=float)})
    stretch = pd.DataFrame({"first": [verdict.first], "last": [verdict.last], "kind": [verdict.kind]})
    layers: list[alt.Chart] = [
        alt.Chart(stretch).mark_rect(opacity=0.15).encode(x="first:Q", x2="last:Q", tooltip="kind:N"),
        alt.Chart(frame)
        .mark_line(strokeWidth=1.4)
        .encode(x=alt.X("x:Q", title="epoch"), y=alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=False))),
    ]
    if verdict.fits is not None:
        layers.append(_law(frame["x"].to_numpy(), verdict.fits.best))
    return alt.layer(*layers).properties(title=f"{title}: {verdict.kind}", description=verdict.sentence)


def laws(x: np.ndarray, y: np.ndarray, fits: curves.Fits, *, title: str, y_title: str) -> Any:
    """A curve over ln x with every law through it: on this axis a logarithm is a straight line."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    frame = pd.DataFrame({"x": x[x > 0], "y": y[x > 0]})
    grid = np.geomspace(frame["x"].min(), frame["x"].max(), 120)
    fitted = pd.concat(
        [pd.DataFrame({"x": grid, "y": one.at(grid), "law": f"{one.law} ({one.aicc:.0f})"}) for one in fits.all]
    )
    horizontal = alt.X("x:Q", title="epoch (log)", scale=alt.Scale(type="log"))
    vertical = alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=False))
    logged = alt.Chart(frame).mark_point(size=12, filled=True, color="grey").encode(x=horizontal, y=vertical)
    lines = alt.Chart(fitted).mark_line(strokeWidth=1.4)
    legend = alt.Legend(
        title="law (AICc)", orient="bottom", columns=2, labelLimit=240, symbolType="stroke", symbolSize=400
    )
    lines = lines.encode(
        x=horizontal,
        y=vertical,
        color=alt.Color("law:N", legend=legend),
        strokeDash=alt.StrokeDash("law:N", legend=legend),
    )
    return alt.layer(logged, lines).properties(title=title, description=fits.sentence)


def early(table: pd.DataFrame, *, title: str) -> Any:
    """Rank correlation with the end against the epoch, with its band; `table` is that of `core/early.py`."""
    horizontal = alt.X("epoch:Q", title="epoch")
    vertical = alt.Y("rho:Q", title="Spearman ρ with the end", scale=alt.Scale(domain=[-1, 1]))
    base = alt.Chart(table)
    legend = alt.Legend(symbolType="stroke", symbolSize=400, labelLimit=240)
    colour, dash = alt.Color("predictor:N", legend=legend), alt.StrokeDash("predictor:N", legend=legend)
    band = base.mark_area(opacity=0.15).encode(x=horizontal, y="low:Q", y2="high:Q", color=colour)
    lines = base.mark_line(strokeWidth=1.6).encode(x=horizontal, y=vertical, color=colour, strokeDash=dash)
    said = f"{title}. How well the ranking of runs at an epoch is the ranking at the end; 1 is the same order."
    return alt.layer(band, lines).properties(title=title, description=said)


def _law(x: np.ndarray, fit: curves.Fit) -> alt.Chart:
    grid = np.linspace(max(float(x[x > 0].min()), 1e-9), float(x.max()), 200)
    frame = pd.DataFrame({"x": grid, "y": fit.at(grid), "law": fit.law})
    return alt.Chart(frame).mark_line(strokeDash=[5, 4], color="grey").encode(x="x:Q", y="y:Q", tooltip="law:N")


def _scale(is_log: bool) -> alt.Scale:
    return alt.Scale(type="log") if is_log else alt.Scale(zero=False)


def _field(name: str | None) -> str:
    """A column's name as Vega reads it: dots and brackets would be a path, a colon a type."""
    assert name is not None
    return "".join(f"\\{letter}" if letter in ".[]:" else letter for letter in name)
