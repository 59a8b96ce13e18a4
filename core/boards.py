"""A board: the configurations that can be compared, with the two rows nobody may omit (baseline and ceiling)."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from core import board_sql, metrics
from core.store import Store

SHORT = [
    "rank",
    "name",
    "n",
    "validation",
    "test",
    "test_low",
    "test_high",
    "varied",
    "seconds",
    "note",
    "data",
    "split",
]
BESIDE = {
    "emotion": ("r2_valence", "r2_arousal", "ccc_valence", "ccc_arousal"),
    "instruments": ("micro_f1", "accuracy", "lrap"),
    "digits": ("macro_f1", "log_loss"),
    "images": ("macro_f1", "log_loss"),
}
"""Scores on the test part that stand beside the metric the board is ranked by."""


BASELINES = {
    "emotion": "predict the mean",
    "instruments": "predict the base rate",
    "digits": "predict the commonest class",
    "images": "predict the commonest class",
}


MUSIC = ("emotion", "instruments")
"""Tasks that this lab is for; their boards stand first."""


def in_order(store: Store) -> pd.DataFrame:
    """The boards as they are offered, the first of them unasked: those that rank before those that cannot, music before
    the rest, then the user's own, the newest first, and last what ships, the boards of many runs first.

    Columns as of `Store.boards`, and `own` (when the user's newest run there was asked for; empty where there is none).
    """
    return store.kept(("boards in order",), lambda: _in_order(store)).copy()


def _in_order(store: Store) -> pd.DataFrame:
    place = ["task", "data", "split"]
    found = store.boards().merge(store.query(board_sql.OWN), how="left", on=place)
    cannot_rank = found["leaky"].eq(True).fillna(False).astype(bool) | found["split"].eq("whole")
    is_music = found["task"].isin(MUSIC) & found["data"].ne("toy")
    order = found.assign(cannot_rank=cannot_rank, is_other=~is_music, own=found["own"].fillna("")).sort_values(
        ["cannot_rank", "is_other", "own", "runs"], ascending=[True, True, False, False]
    )
    return order.drop(columns=["cannot_rank", "is_other"]).reset_index(drop=True)


def table(
    store: Store,
    task: str,
    data: str | None = None,
    split: str | None = None,
    metric: str | None = None,
    version: str | None = None,
    *,
    limit: int | None = None,
    trainers: list[str] | None = None,
) -> pd.DataFrame:
    """The rows of the boards of `task` (of one data set, version or split where given), ranked by validation within.

    Of each board the best `limit` configurations and those of `trainers` alone, where given. A row's name tells the
    knobs in which it differs from the other rows given.

    `kind` is "configuration", "baseline" or "ceiling". Raises ValueError for a metric that does not exist.
    """
    metric = metric or metrics.primary(task)
    asked = (task, data, split, metric, version, limit, tuple(trainers or ()))
    if limit is None:  # millions of rows are not kept
        return _table(store, *asked)
    return store.kept(("table", asked), lambda: _table(store, *asked)).copy()


def _table(
    store: Store,
    task: str,
    data: str | None,
    split: str | None,
    metric: str,
    version: str | None,
    limit: int | None,
    trainers: tuple[str, ...],
) -> pd.DataFrame:
    about = metrics.about(f"validation/{metric}")
    found = store.boards()
    chosen = found[found["task"] == task]
    if data is not None:
        chosen = chosen[chosen["data"] == data]
    if split is not None:
        chosen = chosen[chosen["split"] == split]
    if version is not None:
        chosen = chosen[chosen["data_version"] == version]
    is_higher, wanted = about.better != "lower", list(trainers)
    frames = [_board(store, row, metric, is_higher, limit, wanted) for _, row in chosen.iterrows()]
    return _within(pd.concat(frames, ignore_index=True), about.ends) if frames else pd.DataFrame()


def _within(rows: pd.DataFrame, ends: tuple[float, float]) -> pd.DataFrame:
    """The rows with intervals cut where the score ends: that of two seeds may reach far beyond it."""
    cut = {name: rows[name].clip(*ends) for part in ("validation", "test") for name in (f"{part}_low", f"{part}_high")}
    return rows.assign(**cut)


def scores_of_best(store: Store, rows: pd.DataFrame, data: str, split: str, *, n: int) -> pd.DataFrame:
    """All scores on this data of a run of each of the best `n` configurations among `rows`, as of `Store.scores`."""
    pooled = rows.loc[rows["kind"] == "configuration", "runs"].head(n)
    runs = [several[0] for several in pooled]
    scores = store.kept(("scores", *runs), lambda: store.scores(runs))
    return scores[(scores["data"] == data) & (scores["split"] == split)]


def flat(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows for a CSV file: lists joined by semicolons, the configuration as JSON text."""
    if rows.empty:
        return rows
    lists = ("seeds", "runs", "states")
    joined = {
        name: [";".join(map(str, cell)) if hasattr(cell, "__len__") else "" for cell in rows[name]] for name in lists
    }
    return rows.assign(**joined).drop(columns=["config_id"])


def _board(
    store: Store, board: pd.Series, metric: str, higher_is_better: bool, limit: int | None, trainers: list[str]
) -> pd.DataFrame:
    task, data, version, split = (str(board[key]) for key in ("task", "data", "data_version", "split"))
    rows = store.leaderboard(
        task, data, version, split, metric, higher_is_better=higher_is_better, limit=limit, trainers=trainers
    )
    rows.insert(0, "kind", "configuration")
    is_ranked = rows.pop("is_ranked").astype(bool)  # what is not stands below
    rows.insert(0, "rank", is_ranked.cumsum().where(is_ranked).astype("Int64"))
    rows["name"] = [_name(trainer, knobs) for trainer, knobs in _moved(rows)]
    told = zip(*(rows[name].tolist() for name in NOTED), strict=True)
    rows["note"] = [_note(dict(zip(NOTED, cells, strict=True)) | {"split": split}) for cells in told]
    beside = [name for name in BESIDE.get(task, ()) if name != metric]
    groups = [list(pooled) for pooled in rows["runs"]]
    means = store.mean_scores(groups, data, split, "test", beside)
    for name in beside:
        rows[name] = means[name].to_numpy()
    anchors = store.anchors(task, data, version, split)
    extra = [_anchor(anchors, task, kind, metric, beside) for kind in ("baseline", "ceiling")]
    rows = pd.concat([rows, pd.DataFrame([row for row in extra if row])], ignore_index=True)
    return rows.assign(task=task, data=data, data_version=version, split=split, metric=metric)


def _moved(rows: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    """Per row the trainer and the knobs in which it differs from the other rows of the same trainer."""
    configs = [json.loads(text) for text in rows["config"]]
    values: dict[tuple[str, str], set[str]] = {}
    with_it: dict[tuple[str, str], int] = {}
    for trainer, config in zip(rows["trainer"], configs, strict=True):
        for knob, value in config.items():
            values.setdefault((trainer, knob), set()).add(repr(value))
            with_it[trainer, knob] = with_it.get((trainer, knob), 0) + 1
    family = rows["trainer"].value_counts()
    differs = {
        place for place, seen in values.items() if len(seen) > 1 or with_it[place] < family[place[0]]
    }  # one that others do not have at all differs, too
    return [
        (trainer, {knob: value for knob, value in config.items() if (trainer, knob) in differs})
        for trainer, config in zip(rows["trainer"], configs, strict=True)
    ]


def _name(trainer: str, knobs: dict[str, Any]) -> str:
    moved = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in knobs.items()
    )
    return f"{trainer} ({moved})" if moved else trainer


NOTED = ("leaky", "steered", "states", "starter")


def _note(row: dict[str, Any]) -> str:
    """What a reader must know before comparing this row."""
    notes = []
    if row["leaky"] is True:
        notes.append("leak: groups cross this split, not ranked")
    if row["split"] == "whole":
        notes.append("no validation part, not ranked")
    if row["steered"] is True:
        notes.append("steered")
    unfinished = [state for state in row["states"] if state != "done"]
    if unfinished:
        notes.append(", ".join(sorted(unfinished)))
    if row["starter"]:
        notes.append("starter")
    return "; ".join(notes)


def _anchor(anchors: pd.DataFrame, task: str, kind: str, metric: str, beside: list[str]) -> dict[str, Any] | None:
    columns = (anchors[name].tolist() for name in ("kind", "part", "metric", "value"))
    values = {(part, name): value for found, part, name, value in zip(*columns, strict=True) if found == kind}
    if not values:
        return None
    names = {"baseline": f"baseline: {BASELINES.get(task, 'no model')}", "ceiling": "ceiling: what label noise allows"}
    row: dict[str, Any] = {"kind": kind, "name": names[kind], "test": values.get(("test", metric))}
    row["validation"] = values.get(("validation", metric))
    return row | {name: values.get(("test", name)) for name in beside}
