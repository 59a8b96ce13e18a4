"""A published table beside what our runs measured, metric by metric, with a mark where they part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core import metrics, studies, studycharts
from core.studies import Published, Runs
from pages import palette, runnames, shared, study_reading
from pages.drawing import finished
from pages.study_reading import Reading

WIDTHS = {"published": 100, "measured [95 %]": 205, "n": 40, "difference": 78, "in sd": 53, "published ±": 90,
          "our interval": 95}  # fmt: skip
HELP = {
    "measured [95 %]": "Mean over seeds and its t interval.",
    "n": "Seeds that finished.",
    "difference": "Measured less published.",
    "in sd": "The difference in published standard deviations.",
    "published ±": "Where the measured mean lies beside published ± sd.",
    "our interval": "Whether our 95 % interval holds the published value.",
}
FACTOR_WIDTH, LEAST_FACTOR_WIDTH, NO_MEASURE_WIDTH = 115, 60, 124
TABLE_WIDTH = 890
"""Pixels of a table beside the menu, in a window of 1360, without its boxes to select: what is wider is cut off."""
ABOUT_SD = ("in sd", "published ±")
SHOWN_RUNS = 12
INSIDE, ABOVE, BELOW, NO_RUN, NO_SD = "✓ within", "▲ above", "▼ below", "— no run", "— none printed"
HOLDS, LEFT_OUT, ONE_SEED = "✓ holds it", "✗ does not", "— one seed"


def beside(found: Reading) -> None:
    """The table of one metric at a time, what stands out in all of them, and the runs behind a row."""
    published = found.study.published
    if published is None:
        return
    st.subheader("Published beside measured", anchor=False)
    whole = study_reading.compared(found)
    for fault in whole.attrs.get("faults", ()):
        st.error(shared.plain(fault), icon=":material/bug_report:")
    names = list(published.metrics)
    elsewhere = studies.elsewhere(found.study, found.runs)
    if elsewhere and len(found.runs):
        st.info(shared.plain(elsewhere), icon=":material/database:")
    has_ours = len(found.runs) > 0 and not elsewhere
    if has_ours:
        st.markdown("  \n".join(shared.plain(summary(whole, name, found.runs)) for name in names))
    metric = st.segmented_control(
        "Metric",
        names,
        default=names[0],
        required=True,
        key="metric",
        bind="query-params",
        label_visibility="collapsed",
    )
    rows = whole[whole["metric"] == metric].reset_index(drop=True)
    if has_ours:
        _pictures(rows, published, str(metric))
    told, factors = columns(rows, published)
    event = st.dataframe(
        shown(rows, published, str(metric)),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"published.{metric}",
        column_config={
            name: st.column_config.Column(name, width=wide, help=HELP.get(name))
            for name, wide in (factors | told).items()
        },
        column_order=[*factors, *told],
        width="stretch",
        placeholder="—",
        alt=f"{metric}: published beside measured",
    )
    _read(published, str(metric))
    if not len(found.runs):
        st.caption("What our runs measure will stand beside it once the study was run.")
    if not has_ours:
        return
    chosen = [rows.iloc[at] for at in event["selection"]["rows"] if at < len(rows)]
    _runs_behind(found, published, chosen)


def columns(rows: pd.DataFrame, published: Published) -> tuple[dict[str, int], dict[str, int]]:
    """The columns beside the factors that say something of this metric (where no ± was printed none is told in it),
    and the factors, each with its pixels: of factors, what is left."""
    has_sd = rows["published_sd"].notna().any()
    told = {name: wide for name, wide in WIDTHS.items() if has_sd or name not in ABOUT_SD}
    if not rows["n"].any():
        told["measured [95 %]"] = NO_MEASURE_WIDTH
    left = (TABLE_WIDTH - sum(told.values())) // len(published.factors)
    return told, dict.fromkeys(published.factors, max(LEAST_FACTOR_WIDTH, min(FACTOR_WIDTH, left)))


def _pictures(rows: pd.DataFrame, published: Published, metric: str) -> None:
    """The metric in its own unit, and beside it in published standard deviations where such are printed."""
    colours = palette.ROLES[shared.theme()]
    told = rows[rows["published"].notna()]
    table = studycharts.beside_table(told, published.factors, published.digits[metric])
    drawn = [(studycharts.beside_drawing(table, metric, colours), "beside")]
    if len(studycharts.told_in_sd(table)):
        drawn.append((studycharts.sd_drawing(table, metric, colours), "in sd"))
    for place, (drawing, kind) in zip(st.columns(len(drawn), gap="medium"), drawn, strict=True):
        with place:
            st.altair_chart(finished(drawing))
            st.caption(shared.plain(f"How to read it: {studycharts.READING[kind]}"))


def _read(published: Published, metric: str) -> None:
    digit = published.digits[metric]
    said = (
        "Measured is the mean over seeds with its 95 % interval (t). The difference is told in published standard "
        f"deviations, each taken as {digit / 2:g} or more: half the last printed digit, for ± 0 is a rounding."
    )
    try:
        said += f" {metric}: {metrics.about(metric).sentence}"
    except ValueError:
        said += f" {metric} is computed from the curves by the study." if metric in published.derived else ""
    st.caption(shared.plain(f"{said} {published.note}"))


def _printed(value: float, digit: float) -> str:
    """A number with as many decimals as were printed; "—" where none was."""
    if pd.isna(value):
        return "—"
    return f"{value:.{max(0, -int(np.floor(np.log10(digit))))}f}".replace("-", "−")


def _signed(value: float, digit: float) -> str | None:
    return None if pd.isna(value) else ("+" if value >= 0 else "") + _printed(value, digit)


def within(row: pd.Series) -> str:
    """Where the measured mean lies beside published ± sd."""
    if not row["n"]:
        return NO_RUN
    if pd.isna(row["published_sd"]):
        return NO_SD
    return INSIDE if abs(row["in_sd"]) <= 1 else ABOVE if row["in_sd"] > 0 else BELOW


def holds(row: pd.Series) -> str:
    """Whether our interval holds the published value."""
    if not row["n"]:
        return NO_RUN
    if pd.isna(row["published"]):
        return NO_SD
    if pd.isna(row["low"]):
        return ONE_SEED
    return HOLDS if row["low"] <= row["published"] <= row["high"] else LEFT_OUT


def shown(rows: pd.DataFrame, published: Published, metric: str) -> pd.DataFrame:
    """One metric as people read it: a row per published row."""
    digit = published.digits[metric]
    table = rows[list(published.factors)].copy()
    for name in published.factors:
        if pd.api.types.is_float_dtype(table[name]):
            table[name] = [f"{value:g}" for value in table[name]]
    sds = [f" ± {_printed(sd, digit)}" if pd.notna(sd) else "" for sd in rows["published_sd"]]
    table["published"] = [_printed(v, digit) + sd for v, sd in zip(rows["published"], sds, strict=True)]
    finer = digit / 10
    table["measured [95 %]"] = [
        "—"
        if not row["n"]
        else _printed(row["measured"], finer)
        + ("" if pd.isna(row["low"]) else f" [{_printed(row['low'], finer)}, {_printed(row['high'], finer)}]")
        for _, row in rows.iterrows()
    ]
    table["n"] = rows["n"].astype(int)
    table["difference"] = [_signed(v, finer) for v in rows["difference"]]
    has_sd = rows["published_sd"].notna() & rows["in_sd"].notna()
    table["in sd"] = [
        f"{v:+.1f}".replace("-", "−") if yes else None for v, yes in zip(rows["in_sd"], has_sd, strict=True)
    ]
    table["published ±"] = [within(row) for _, row in rows.iterrows()]
    table["our interval"] = [holds(row) for _, row in rows.iterrows()]
    return table


def summary(whole: pd.DataFrame, metric: str, runs: Runs) -> str:
    """How one metric comes out over all rows, in a sentence."""
    rows = whole[(whole["metric"] == metric) & (whole["n"] > 0)]
    if rows.empty:
        if metric == "seconds" and (why := studies.untimed(runs)):
            return f"{metric}: {why}"
        return f"{metric}: no run has it."
    inside, held = [within(row) for _, row in rows.iterrows()], [holds(row) for _, row in rows.iterrows()]
    with_sd, several = sum(one != NO_SD for one in inside), sum(one not in (ONE_SEED, NO_SD) for one in held)
    parts = []
    if with_sd:
        without = f" ({len(inside) - with_sd} have none)" if with_sd < len(inside) else ""
        parts.append(f"{inside.count(INSIDE)} of {with_sd} means lie within the published ±{without}")
    if several:
        parts.append(f"{held.count(HOLDS)} of {several} of our intervals hold the published value")
    return f"{metric}: {', '.join(parts) or 'one seed, and no ± was printed'}."


def members(found: Reading, row: pd.Series) -> list[str]:
    """The runs whose mean stands in a row."""
    assert found.study.published is not None
    about = found.runs.main.results
    keep = np.ones(len(about), dtype=bool)
    for name in found.study.published.factors:
        keep &= (about[name] == row[name]).to_numpy()
    return [str(run) for run in about.loc[keep, "run"]]


def _runs_behind(found: Reading, published: Published, chosen: Sequence[pd.Series]) -> None:
    if not chosen:
        st.caption("Select rows to go to the runs behind them.")
        return
    for row in chosen:
        name = " · ".join(f"{row[factor]}" for factor in published.factors)
        runs = members(found, row)
        with st.container(horizontal=True):
            st.markdown(f"**{shared.plain(name)}**" if runs else f"**{shared.plain(name)}**: no run yet")
            for run, called in runnames.of(runs[:SHOWN_RUNS]).items():
                runnames.link(run, called)


def numbers(frame: pd.DataFrame, alt: str) -> None:
    """A table of evidence, four digits each."""
    table = frame.copy()
    table.columns = [str(name) for name in table.columns]
    floats = {name: st.column_config.NumberColumn(name, format="%.4g") for name in table.select_dtypes("float").columns}
    st.dataframe(table, hide_index=True, column_config=floats, width="stretch", placeholder="—", alt=alt)
