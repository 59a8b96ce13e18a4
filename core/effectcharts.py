"""Charts of a sweep's analysis: sizes of effects, differences, residuals, trade-offs, classes. Tables and drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import wording
from core.anova import Anova, f_text
from core.assumptions import Assumptions
from core.contingency import Contingency
from core.correlations import RHO, Correlations
from core.effects import Comparisons
from core.pareto import Front
from core.usable import mark

READING = {
    "effects": "How much of the variance left by the others a knob explains, from 0 to 1, with its 95 % interval: an "
    "estimate for the population, drawn at 0 where it is below. An interval that reaches 0 is no effect shown; it does "
    "not say that there is none.",
    "correlations": "Rank correlation of each numeric knob with the result, over configurations: 1 or −1 is the same "
    "or the reverse order, 0 none. The line is the 95 % interval of this knob alone; one that reaches 0 shows nothing. "
    "A knob that is best in the middle of its range can have 0.",
    "pairs": "Differences between two levels. The thick line is the 95 % interval of this pair alone, the thin one "
    "holds for all pairs together. Away from 0 in the thin line: shown whatever else was compared.",
    "residuals": "What the analysis leaves over, against what it expects. It should be a level band: a funnel means "
    "that cells scatter differently, a bend that something is missing, a dot beyond the dashed lines a run farther off "
    "than the farthest of so many should be.",
    "normal": "Residuals against those of a normal law. On the line: the F test's p values hold. Ends that leave it: "
    "outliers; look at the rank-based test.",
    "front": "Filled: no configuration beats it on both. The number beside a dot is the share of redrawn sweeps in "
    "which it is on the front, where there is room for it; lines are 95 % intervals over seeds.",
    "classes": "Runs of each class at each level; colour is how far the count lies from what it would be if class and "
    "level had nothing to do with each other.",
}  # fmt: skip


def effects_table(analysis: Anova) -> pd.DataFrame:
    """A row per term: term, value (partial ω², no less than 0), low, high, text ("F(3, 14) = 812, p < .001")."""
    rows = analysis.table[analysis.table["term"].isin(list(analysis.by))]
    text = [f"{f_text(row.f, row.df, analysis.df_error)}, {wording.p_text(row.p)}" for row in rows.itertuples()]
    return pd.DataFrame(
        {
            "term": rows["term"],
            "value": rows["partial_omega2"].clip(lower=0.0),
            "low": rows["low"],
            "high": rows["high"],
            "text": text,
        }
    ).reset_index(drop=True)


def effects_drawing(table: pd.DataFrame, response: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Partial ω² of each term with its interval."""
    y = alt.Y("term:N", sort=list(table["term"]), title=None, axis=alt.Axis(labelLimit=260))
    share = alt.Scale(domain=[0, 1])
    base = alt.Chart(table).encode(y=y, tooltip=["term:N", "text:N", *_numbers("value", "low", "high")])
    x = alt.X("value:Q", title="partial ω² (dot) and its 95 % interval", scale=share)
    layers = [
        base.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("low:Q", scale=share), x2="high:Q"),
        base.mark_point(filled=True, size=90, opacity=1, color=colours["train"]).encode(x=x),
    ]
    title = f"What moves the {wording.words(response)}"
    told = "; ".join(f"{row.term} {wording.share_text(row.value)}" for row in table.itertuples())
    return alt.layer(*layers).properties(height=alt.Step(28), title=title, description=f"{title}, partial ω²: {told}.")


def correlations_table(found: Correlations) -> pd.DataFrame:
    """A row per numeric knob: knob, value (Spearman's ρ), low, high, text (its adjusted p)."""
    rows = found.table[found.table["test"] == RHO]
    text = [f"{wording.p_text(p)} (Holm)" for p in rows["p_holm"]]
    columns = {"knob": rows["knob"], "value": rows["statistic"].astype(float)}
    columns |= {end: rows[end].astype(float) for end in ("low", "high")}
    return pd.DataFrame(columns | {"text": text}).reset_index(drop=True)


def correlations_drawing(
    table: pd.DataFrame, response: str, colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Spearman's ρ of each numeric knob with its interval and a rule at 0."""
    y, scale = alt.Y("knob:N", sort=list(table["knob"]), title=None), alt.Scale(domain=[-1, 1])
    base = alt.Chart(table).encode(y=y, tooltip=["knob:N", *_numbers("value", "low", "high"), "text:N"])
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 4], color=colours["real"])
    x = alt.X("value:Q", title="Spearman's ρ (dot) and its 95 % interval", scale=scale)
    layers = [
        zero.encode(x=alt.X("zero:Q", scale=scale)),
        base.mark_rule(strokeWidth=2.5, color=colours["train"]).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_point(filled=True, size=90, opacity=1, color=colours["train"]).encode(x=x),
    ]
    title = f"What goes with the {wording.words(response)}"
    told = "; ".join(f"{row.knob} {wording.share_text(row.value)}" for row in table.itertuples())
    return alt.layer(*layers).properties(height=alt.Step(28), title=title, description=f"{title}, ρ: {told}.")


def pairs_table(found: Comparisons) -> pd.DataFrame:
    """A row per pair: pair ("a − b"), difference, low, high, low_together, high_together, p (text), g."""
    rows = found.table
    return pd.DataFrame(
        {
            "pair": [f"{a} − {b}" for a, b in zip(rows["a"], rows["b"], strict=True)],
            **{c: rows[c] for c in ("difference", "low", "high", "low_together", "high_together", "g")},
            "p": [f"{wording.p_text(p)} (Holm)" for p in rows["p_holm"]],
        }
    )


def pairs_drawing(table: pd.DataFrame, response: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Differences with both intervals and a rule at 0."""
    y = alt.Y("pair:N", sort=list(table["pair"]), title=None, axis=alt.Axis(labelLimit=300))
    base = alt.Chart(table).encode(y=y, tooltip=["pair:N", *_numbers("difference", "low", "high", "g"), "p:N"])
    x = alt.X("difference:Q", title=f"difference in {wording.words(response)}")
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 4], color=colours["real"])
    layers = [
        zero.encode(x=alt.X("zero:Q")),
        base.mark_rule(strokeWidth=1, color=colours["train"]).encode(x=alt.X("low_together:Q"), x2="high_together:Q"),
        base.mark_rule(strokeWidth=3, color=colours["train"]).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=colours["train"]).encode(x=x),
    ]
    title = f"Differences in {wording.words(response)}"
    return alt.layer(*layers).properties(height=alt.Step(24), title=title, description=f"{title}: {len(table)} pairs.")


# ---- residuals ----


def residual_table(checked: Assumptions) -> pd.DataFrame:
    """A row per run: name, fitted, standardised, normal (quantile), limit (NaN where unknown), is_far."""
    runs = checked.residuals
    names = [f"{row.cell}, {mark(checked.unit)} {row.seed}" for row in runs.itertuples()]
    table = pd.DataFrame({"name": names} | {c: runs[c].astype(float) for c in ("fitted", "standardised", "normal")})
    return table.assign(limit=checked.far, is_far=table["standardised"].abs() > checked.far)


def residual_drawing(table: pd.DataFrame, response: str, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Standardised residuals over fitted values, with rules at 0 and where a run is too far off."""
    limit = float(table["limit"].iloc[0]) if len(table) else float("nan")
    lines = pd.DataFrame({"at": [at for at in (-limit, 0.0, limit) if np.isfinite(at)]})
    rules = alt.Chart(lines).mark_rule(strokeDash=[4, 4], color=colours["real"]).encode(y="at:Q")
    x = alt.X("fitted:Q", title=f"expected {wording.words(response)}", scale=alt.Scale(zero=False))
    y = alt.Y("standardised:Q", title="standardised residual")
    title = "Residuals over expected values"
    far = int(table["is_far"].sum())
    beyond = f", {far} beyond ±{wording.number_text(limit)}" if np.isfinite(limit) else ""
    description = f"{title}: {len(table)} runs{beyond}."
    return alt.layer(rules, _dots(table, colours).encode(x=x, y=y)).properties(
        height=260, title=title, description=description
    )


def normal_drawing(table: pd.DataFrame, colours: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Residuals over normal quantiles, with the line on which normal ones lie."""
    reach = float(np.nanmax(table["normal"].abs())) if table["normal"].notna().any() else 2.0
    line = pd.DataFrame({"normal": [-reach, reach], "standardised": [-reach, reach]})
    x, y = alt.X("normal:Q", title="normal quantile"), alt.Y("standardised:Q", title="standardised residual")
    straight = alt.Chart(line).mark_line(strokeDash=[4, 4], color=colours["real"]).encode(x=x, y=y)
    title = "Residuals against a normal law"
    return alt.layer(straight, _dots(table, colours).encode(x=x, y=y)).properties(
        height=260, title=title, description=f"{title}: {len(table)} runs."
    )


def _dots(table: pd.DataFrame, colours: Mapping[str, Any]) -> alt.Chart:
    far = alt.Color(
        "is_far:N", scale=alt.Scale(domain=[False, True], range=[colours["train"], colours["arousal"]]), legend=None
    )
    shape = alt.Shape("is_far:N", scale=alt.Scale(domain=[False, True], range=["circle", "diamond"]), legend=None)
    tooltip = ["name:N", *_numbers("fitted", "standardised")]
    return (
        alt.Chart(table).mark_point(filled=True, size=50, opacity=0.75).encode(color=far, shape=shape, tooltip=tooltip)
    )


# ---- trade-offs and classes ----


def front_table(found: Front, x: str, y: str) -> pd.DataFrame:
    """Two goals of a front: cell, x, x_low, x_high, y, y_low, y_high, is_on_front, probability, n, text."""
    rows = found.table
    table = pd.DataFrame({"cell": rows["cell"], "n": rows["n"], "is_on_front": rows["is_on_front"].astype(bool)})
    for name, goal in (("x", x), ("y", y)):
        table[[name, f"{name}_low", f"{name}_high"]] = (
            rows[[goal, f"{goal}_low", f"{goal}_high"]].astype(float).to_numpy()
        )
    table["probability"] = rows["probability"].astype(float)
    share = table["probability"]
    text = [f"{round(100 * p)} %" if np.isfinite(p) and p >= 0.05 else "" for p in share]
    return table.assign(text=np.array(text, dtype=object), place=label_places(table, text))


LABEL_PLACES = ((8, -8), (8, 14), (-8, -8), (-8, 14))
"""Where a label may stand beside its dot, in pixels: right or left, above or below; the first that is free is taken."""
PLOT, LABEL, DOT = (640.0, 270.0), (34.0, 14.0), 7.0
"""Sizes in pixels: the plot, about; a label; half a dot."""


def label_places(table: pd.DataFrame, text: Sequence[str]) -> np.ndarray:
    """The index into `LABEL_PLACES` of each label [n], so that none lies on another or on a dot; −1 where all four are
    taken, or there is no label. Those on the front choose first."""
    spots = np.zeros((len(table), 2))
    for k, (name, size) in enumerate(zip(("x", "y"), PLOT, strict=True)):
        reach = table[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
        known = reach[np.isfinite(reach)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        spots[:, k] = size * (table[name].to_numpy(dtype=float) - low) / (high - low or 1.0)
    spots[:, 1] *= -1  # pixels go down
    boxes = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in spots]
    taken = np.full(len(table), -1)
    for row in np.argsort(~table["is_on_front"].to_numpy(dtype=bool), kind="stable"):
        for place, (dx, dy) in enumerate(LABEL_PLACES if text[row] else ()):
            left, middle = spots[row, 0] + (dx if dx > 0 else dx - LABEL[0]), spots[row, 1] + dy
            box = (left, middle - LABEL[1] / 2, left + LABEL[0], middle + LABEL[1] / 2)
            others = [other for k, other in enumerate(boxes) if k != row]
            if all(box[0] >= o[2] or o[0] >= box[2] or box[1] >= o[3] or o[1] >= box[3] for o in others):
                boxes.append(box)
                taken[row] = place
                break
    return taken


def front_drawing(
    table: pd.DataFrame, x: str, y: str, goals: Mapping[str, str], colours: Mapping[str, Any]
) -> alt.LayerChart | alt.FacetChart:
    """Configurations by two goals: filled on the front, hollow behind it, intervals over seeds, the front joined."""
    told = {goal: f"{wording.words(goal)} ({goals[goal]} is better)" for goal in (x, y)}
    horizontal = alt.X("x:Q", title=told[x], scale=alt.Scale(zero=False))
    vertical = alt.Y("y:Q", title=told[y], scale=alt.Scale(zero=False))
    best, others = table[table["is_on_front"]], table[~table["is_on_front"]]
    tooltip = ["cell:N", *_numbers("x", "y"), alt.Tooltip("probability:Q", format=".0%", title="on the front"), "n:Q"]
    rules = alt.Chart(table).mark_rule(strokeWidth=1, opacity=0.5, color=colours["real"])
    line = alt.Chart(best).mark_line(strokeWidth=1.5, strokeDash=[5, 3], color=colours["train"])
    texts = [
        alt.Chart(table[table["place"] == place])
        .mark_text(align="left" if dx > 0 else "right", dx=dx, dy=dy, fontSize=11, color=colours["real"])
        .encode(x=horizontal, y=vertical, text="text:N")
        for place, (dx, dy) in enumerate(LABEL_PLACES)
    ]
    layers = [
        rules.encode(x=alt.X("x_low:Q", scale=alt.Scale(zero=False)), x2="x_high:Q", y=vertical),
        rules.encode(x=horizontal, y=alt.Y("y_low:Q", scale=alt.Scale(zero=False)), y2="y_high:Q"),
        line.encode(x=horizontal, y=vertical, order="x:Q"),
        alt.Chart(others).mark_point(size=80, color=colours["real"]).encode(x=horizontal, y=vertical, tooltip=tooltip),
        alt.Chart(best).mark_point(size=110, filled=True, opacity=1, color=colours["train"]).encode(
            x=horizontal, y=vertical, tooltip=tooltip
        ),
        *texts,
    ]  # fmt: skip
    title = f"{wording.sentence_case(wording.words(y))} against {wording.words(x)}"
    description = f"{title}: {len(best)} of {len(table)} configurations are beaten by no other."
    return alt.layer(*layers).properties(height=340, title=title, description=description)


def classes_table(found: Contingency) -> pd.DataFrame:
    """A row per class and level: class, level, n, expected, excess (n − expected, in Pearson's √expected)."""
    rows = [
        {"class": name, "level": level, "n": int(n), "expected": float(found.expected.loc[name, level])}
        for name, line in found.counts.iterrows()
        for level, n in line.items()
    ]
    table = pd.DataFrame(rows, columns=["class", "level", "n", "expected"])
    return table.assign(excess=(table["n"] - table["expected"]) / np.sqrt(table["expected"].astype(float).clip(1e-9)))


def classes_drawing(table: pd.DataFrame, classes: str, factor: str) -> alt.LayerChart | alt.FacetChart:
    """Counts as coloured cells with the number in them."""
    reach = float(table["excess"].abs().max()) if len(table) else 1.0
    scale = alt.Scale(scheme="purpleorange", domain=[-reach, reach] if reach > 0 else [-1, 1], domainMid=0)
    base = alt.Chart(table).encode(
        x=alt.X(
            "level:N",
            sort=list(dict.fromkeys(table["level"])),
            title=wording.words(factor),
            axis=alt.Axis(labelAngle=0),
        ),
        y=alt.Y("class:N", title=None),  # the title says it, and would not fit beside one row
        tooltip=["class:N", "level:N", "n:Q", *_numbers("expected")],
    )
    cells = base.mark_rect().encode(color=alt.Color("excess:Q", scale=scale, title="more than by chance"))
    dark = 0.7 * reach  # the ends of the scheme are too dark for black
    is_dark = (alt.datum.excess > dark) | (alt.datum.excess < -dark)
    ink = alt.condition(is_dark, alt.value("white"), alt.value("black"))
    text = base.mark_text(fontSize=13).encode(text="n:Q", color=ink)
    title = f"{wording.sentence_case(wording.words(classes))} by {wording.words(factor)}"
    n = int(table["n"].sum())
    return alt.layer(cells, text).properties(height=alt.Step(40), title=title, description=f"{title}: {n} runs.")


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".4~g") for name in names]
