"""The board of one sweep: its configurations with means and intervals over seeds, and how many of their runs ended."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import boardcharts, sweepboard, wording
from pages import runnames
from pages.sweep_found import Look, chart, computed, quote

SHOWN_ROWS, LINKED_RUNS = 300, 12
CONFIG = {
    "n": st.column_config.NumberColumn("seeds (n)", width=70, help="Runs that are done and have this number."),
    "mean": st.column_config.NumberColumn(format="%.4g", width=90),
    "interval": st.column_config.Column("95 % interval", width=150, help="Student's t over seeds; none for one run."),
    "sd": st.column_config.NumberColumn("s.d.", format="%.3g", width=80, help="Of single runs, over seeds."),
    "diverged": st.column_config.NumberColumn(
        format="percent", width=80, help="Share of the runs that ended which diverged; they are in no mean."
    ),
    "outcomes": st.column_config.Column(help="What became of the runs of this configuration."),
}


def show(look: Look, response: str) -> None:
    """The table, its picture, the runs of the chosen rows, and all of it as CSV."""
    board = computed(_board, look, response)
    quote(sweepboard.best_sentence(board, response))
    table = boardcharts.board_table(board)
    if len(table):
        chart(boardcharts.board_drawing(table, response, look.colours), _how(board))
    event = st.dataframe(
        shown(board.head(SHOWN_ROWS), list(look.found.factors)),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"rows.{look.record.id}",
        column_config=CONFIG,
        placeholder="–",
        width="stretch",
    )
    if len(board) > SHOWN_ROWS:
        st.caption(f"The best {SHOWN_ROWS} of {len(board):,} configurations are shown; the CSV files hold all.")
    with st.container(horizontal=True):
        _download("Configurations as CSV", board.assign(runs=board["runs"].map(" ".join)), look, "configurations")
        _download("Runs as CSV", look.found.results, look, "runs")
    _chosen(board, list(event["selection"]["rows"]))


def _board(look: Look, response: str) -> pd.DataFrame:
    return sweepboard.board(look.found.results, response, look.found.factors)


def shown(board: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    """The board as people read it."""
    place = [str(k + 1) if n > 0 else "" for k, n in enumerate(board["n"])]
    frame = pd.DataFrame({"#": place} | {wording.words(f): board[f] for f in factors} | {"n": board["n"]})
    ends = zip(board["low"], board["high"], strict=True)
    frame["mean"] = board["mean"]
    frame["interval"] = [wording.interval_text(low, high) if low == low else "–" for low, high in ends]
    return frame.assign(sd=board["sd"], diverged=board["divergence_rate"], outcomes=board["outcomes"])


def _how(board: pd.DataFrame) -> str:
    n = int((board["n"] > 0).sum())
    most, how = boardcharts.MOST_ROWS, boardcharts.READING
    return f"{how} The best {most} of {n:,} are drawn." if n > most else how


def _download(label: str, frame: pd.DataFrame, look: Look, what: str) -> None:
    def made() -> str:  # when it is asked for
        return frame.to_csv(index=False)

    st.download_button(label, made, f"{look.record.id}-{what}.csv", "text/csv", icon=":material/download:")


def _chosen(board: pd.DataFrame, rows: list[int]) -> None:
    rows = [row for row in rows if row < len(board)]  # a selection can be older than the table
    if not rows:
        st.caption("Select configurations to open their runs.")
        return
    runs = [run for row in rows for run in board.iloc[row]["runs"]]
    with st.container(horizontal=True):
        for run, called in runnames.of(runs[:LINKED_RUNS]).items():
            runnames.link(run, called)
    if len(runs) > LINKED_RUNS:
        st.caption(f"And {len(runs) - LINKED_RUNS} more.")
