"""Leaderboard: one board per task, data set and split; configurations with intervals, baseline and ceiling."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

import trainers
from core import boards, charts, guide, itemwords, listening, metrics, pins, rundir
from pages import drawing, forms, palette, run_scores, runnames, shared

SHOWN_ROWS = 300
"""Configurations sent to the browser; ten thousand take it seconds, and nobody reads them."""

DRAWN_ROWS = 40
ASKED_ROWS = 10
"""Configurations whose reports say what the items of the board are; all of them were scored on the same."""

ENDS = ("", "_low", "_high")
DRAWN_COLUMNS = ["kind", "name", "note", "n", *(f"{part}{end}" for part in ("validation", "test") for end in ENDS)]

COLUMNS = {
    "#": st.column_config.Column(width=36, help="Rank by validation."),
    "configuration": st.column_config.Column(width=380, help="The trainer and the knobs in which its rows differ."),
    "note": st.column_config.Column(width=130, help="Starter runs ship with the lab; steered runs were changed."),
    "validation [95 %]": st.column_config.Column(width=160, help="What the board is ranked by."),
    "test [95 %]": st.column_config.Column(width=160, help="Scored once, after training; not used for the rank."),
    "runs (n)": st.column_config.Column(width=60, help="Runs pooled in this row: seeds of one configuration."),
    "interval over": st.column_config.Column(width=90, help="What varied: training seeds, or the items of the part."),
    "time": st.column_config.Column(width=70, help="Training time of a run."),
    "peak MB": st.column_config.Column(width=70, help="Most memory the process held, in megabytes."),
    "stopped at epoch": st.column_config.Column(width=70, help="The epoch at which training ended."),
}


def _choose_board(found: pd.DataFrame) -> dict[str, Any]:
    """The board the address names, or the one of the run that it names as `of`; else the first."""
    several = found.duplicated(["task", "data", "split"], keep=False)
    names = [
        f"{board['task']} · {board['data']} · {board['split']}"
        + (f" · version {board['data_version']}" if more else "")
        for board, more in zip(found.to_dict("records"), several, strict=True)
    ]
    asked = {key: st.query_params.get(key) for key in ("task", "data", "data_version", "split")}
    of = st.query_params.pop("of", "")
    if of and rundir.exists(of):
        spec = rundir.read_spec(rundir.find(of))
        asked |= {"task": spec.task, "data": spec.data, "split": spec.split}
    fits = [all(asked[key] in (None, board[key]) for key in asked) for board in found.to_dict("records")]
    # With a key: without one it is another box once the address says what was chosen, and forgets the next choice.
    if of or st.session_state.get("board") not in names:
        st.session_state["board"] = names[fits.index(True) if any(fits) else 0]
    chosen = st.selectbox(
        "Board",
        names,
        key="board",
        help="Scores compare within one task, data set and split only. Boards that rank stand before those that "
        "cannot, music before the rest, yours before what ships.",
    )
    board = found.to_dict("records")[names.index(chosen)]
    for key in asked:
        st.query_params[key] = board[key]
    return board


def _interval(value: float, low: float | None, high: float | None) -> str:
    if pd.isna(value):
        return "—"
    value = round(value, 3) + 0.0  # no "-0.000"
    text = f"{value:.3f}" if pd.isna(low) else f"{value:.3f}  [{low:.3f}, {high:.3f}]"
    return text.replace("-", "−")


def _shown(rows: pd.DataFrame, beside: list[str]) -> pd.DataFrame:
    """The table as people read it: rounded, with units, intervals in one cell."""
    ranks = ["" if pd.isna(rank) else str(rank) for rank in rows["rank"]]
    shown = pd.DataFrame({"#": ranks, "configuration": rows["name"], "note": rows["note"].fillna("")})
    for part in ("validation", "test"):
        cells = zip(rows[part], rows[f"{part}_low"], rows[f"{part}_high"], strict=True)
        shown[f"{part} [95 %]"] = [_interval(*cell) for cell in cells]
    for name in beside:
        shown[f"test {name}"] = [None if pd.isna(value) else round(float(value), 3) + 0.0 for value in rows[name]]
    shown["runs (n)"] = rows["n"].astype("Int64")
    shown["interval over"] = rows["varied"].fillna("")
    shown["time"] = [shared.duration(value) for value in rows["seconds"]]
    shown["items/s"] = [None if pd.isna(value) else float(f"{value:.3g}") for value in rows["items_per_s"]]
    shown["peak MB"] = [None if pd.isna(value) else round(value) for value in rows["peak_memory_mb"]]
    shown["stopped at epoch"] = [None if pd.isna(value) else float(f"{value:.3g}") for value in rows["epochs"]]
    return shown


def _intervals(rows: pd.DataFrame, anchors: dict[str, float], metric: str, colours: dict[str, Any]) -> Any:
    return charts.interval_drawing(charts.interval_table(rows), anchors, metric, colours)


def _picture(rows: pd.DataFrame, metric: str) -> None:
    configurations = rows[rows["kind"] == "configuration"]
    drawn = configurations.head(DRAWN_ROWS)[DRAWN_COLUMNS]
    if drawn[["validation", "test"]].isna().all(axis=None):
        return
    anchors = {
        {"baseline": "baseline", "ceiling": "ceiling"}[row["kind"]]: float(row["test"])
        for row in rows[rows["kind"] != "configuration"].to_dict("records")
        if pd.notna(row["test"])
    }
    drawing.draw(_intervals, drawn, anchors, metric, palette.ROLES[shared.theme()])
    mixed = (
        "Bars over training seeds say how much luck the training had, bars over items how much the choice of test "
        "items had: compare like with like (column 'interval over'). "
        if rows["varied"].nunique() > 1
        else ""
    )
    sentence = metrics.about(f"validation/{metric}").sentence
    best = f"The best {DRAWN_ROWS} are drawn. " if len(configurations) > DRAWN_ROWS else ""
    st.caption(
        f"{best}{metric}: {sentence} Two configurations whose bars overlap widely cannot be told apart by this data. "
        f"{mixed}Choosing by the test column would make it a second validation set; the rank uses validation. "
        f"[{metric} in the Guide]({guide.link(metric)})"
    )


def _of_items(rows: pd.DataFrame, board: dict[str, Any]) -> None:
    """What the items of the two parts are, where that keeps their columns from being compared."""
    scores = boards.scores_of_best(shared.known(), rows, board["data"], board["split"], n=ASKED_ROWS)
    for sentence in itemwords.sentences(itemwords.of_scores(scores), board["task"]):
        st.caption(f":material/info: {shared.plain(sentence)}")


def _compare(rows: pd.DataFrame, chosen: list[int], metric: str) -> None:
    picked = rows.iloc[chosen]
    picked = picked[picked["kind"] == "configuration"]
    if picked.empty:
        only = "Baseline and ceiling are not trained: they have no curves. " if chosen else ""
        st.caption(f"{only}Select configurations to overlay their curves and to see only the knobs that differ.")
        return
    names = {run: row["name"] for row in picked.to_dict("records") for run in row["runs"]}
    index, theme = shared.store(), shared.theme()
    colours: dict[str, str] = {}
    for row in picked.to_dict("records"):
        colours[row["name"]] = palette.run_colour(row["config_id"], list(colours.values()), theme)
    curves = index.curves(list(names), [f"validation/{metric}"])
    st.subheader(f"Validation {metric} by epoch", anchor=False)
    drawing.draw(charts.overlay_drawing, charts.overlay_table(curves, names), f"validation {metric}", colours)
    first_runs = [row["runs"][0] for row in picked.to_dict("records")]
    different = index.different_knobs(first_runs)
    if len(first_runs) > 1:
        st.subheader("Knobs that differ", anchor=False)
        if different.empty:
            st.caption("None: these rows differ in nothing but their seeds or their history.")
        else:
            alike = [names[run] for run in different.columns]  # a steered run is named like the one it came from
            several = {run for run in different.columns if alike.count(names[run]) > 1}
            shown = {run: f"{names[run]} · {run}" if run in several else names[run] for run in different.columns}
            st.dataframe(different.rename(columns=shown), width="stretch")
    if len(picked) == 1:
        _actions(picked.iloc[0])
        for run in picked.iloc[0]["runs"][:5]:
            if run_scores.tree(index, rundir.read_spec(rundir.find(run)), "Family"):
                break


def _actions(row: pd.Series) -> None:
    link = None
    try:
        known = trainers.load(row["trainer"]).Config
        link = forms.link(row["trainer"], row["data"], row["split"], json.loads(row["config"]), known)
    except ValueError as error:  # a run of another version, or of a trainer that was taken away
        shared.failed(error)
    with st.container(horizontal=True):
        if link and st.button("Retrain with these values", icon=":material/tune:"):
            st.switch_page("pages/train.py", query_params=link)
        if row["input"] in listening.AUDIO_INPUTS and st.button("Use on Listen", icon=":material/hearing:"):
            pins.pin(row["task"], row["runs"][0])
            st.switch_page("pages/listen.py", query_params={row["task"]: row["runs"][0]})
        for run, called in runnames.of(row["runs"][:5]).items():
            runnames.link(run, called)


def _page() -> None:
    index = shared.store()
    found = boards.in_order(index)
    if found.empty:
        st.info(
            "Finished runs will be compared here. Train one first: it takes a few minutes.",
            icon=":material/leaderboard:",
        )
        st.page_link("pages/train.py", label="Train a first run", icon=":material/tune:")
        return
    left, middle, right = st.columns([5, 3, 4])
    with left:
        board = _choose_board(found)
    primary = metrics.primary(board["task"])
    options = [primary, *boards.BESIDE.get(board["task"], ())]
    metric = middle.selectbox("Ranked by validation", options, key="metric", bind="query-params")
    task, data, version, split = (str(board[key]) for key in ("task", "data", "data_version", "split"))
    sizes = index.sizes(task, data, version, split, metric)
    names = sorted(filter(None, sizes))
    wanted = right.multiselect("Trainers", names, key="trainers", bind="query-params", placeholder="all of them")
    rows = boards.table(index, task, data, split, metric, version, limit=SHOWN_ROWS, trainers=wanted)
    total = sum(n for name, n in sizes.items() if not wanted or name in wanted)
    if board["leaky"]:
        st.warning(
            "Groups lie on both sides of this split: its scores flatter and are not ranked.", icon=":material/warning:"
        )
    _picture(rows, metric)
    _of_items(rows, board)
    beside = [name for name in boards.BESIDE.get(board["task"], ()) if name != metric]
    event = st.dataframe(
        _shown(rows, beside),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key="rows",
        column_config=COLUMNS | {f"test {name}": st.column_config.Column(name, width=80) for name in beside},
        placeholder="—",
        width="stretch",
    )
    if total > SHOWN_ROWS:
        st.caption(f"The best {SHOWN_ROWS} of {total:,} configurations are shown; the CSV file holds all.")

    def export() -> str:  # made when it is asked for
        whole = boards.table(index, task, data, split, metric, version, trainers=wanted)
        return boards.flat(whole).to_csv(index=False)

    st.download_button(
        "Export CSV", export, f"{board['task']}-{board['data']}.csv", "text/csv", icon=":material/download:"
    )
    _compare(rows, list(event["selection"]["rows"]), metric)


st.title("Leaderboard", anchor=False)
st.caption("Which configuration is better, and whether that is noise.")
_page()
