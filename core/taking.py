"""What was found in run directories into the tables of the index."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import duckdb

from core import numbers, standings, tables
from core.ingest import SAID_ONCE, Found, Seen, kept_snapshots


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Append rows, given as the columns of `table`."""
    if rows:
        connection.register("incoming", tables.arrow(table, rows))
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        connection.unregister("incoming")


def take(
    connection: duckdb.DuckDBPyConnection, changed: list[Found], rested: list[tuple[str, Seen]], known: Set[str]
) -> dict[str, Seen]:
    """Bring in what is new of these runs, inside the caller's transaction; returns how far each is read now.

    `known` are the runs that the index has already; of `rested` ones only their signature is new.
    """
    seen = dict(rested)
    if changed:
        standings.touch(connection, [one.row["run"] for one in changed], [one.row["config_id"] for one in changed])
        last_steps = _take_rows(connection, changed, known)
        for one in changed:
            steps = [step for step in (one.seen.last_step, last_steps.get(one.row["run"])) if step is not None]
            seen[one.row["run"]] = one.seen._replace(last_step=max(steps, default=None))
    connection.execute("DELETE FROM ingested WHERE run IN (SELECT unnest(?))", [list(seen)])
    insert(connection, "ingested", [{"run": run, **about._asdict()} for run, about in seen.items()])
    return seen


def forget(connection: duckdb.DuckDBPyConnection, runs: list[str]) -> None:
    """Remove all that the index holds of these runs, inside the caller's transaction."""
    standings.touch(connection, runs)
    for table in tables.of_runs():
        connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT unnest(?))", [runs])


def _take_rows(connection: duckdb.DuckDBPyConnection, changed: list[Found], known: Set[str]) -> dict[str, int]:
    """Everything but `ingested`; returns the highest step of the numbers that came, by run."""
    again = [one.row["run"] for one in changed if one.from_start and one.row["run"] in known]
    for table in ("metrics", "events", "snapshots") if again else ():
        connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT unnest(?))", [again])
    for run, number, _, step in [rewind for one in changed for rewind in one.rewinds if not one.from_start]:
        for table in ("metrics", "snapshots"):
            connection.execute(f"DELETE FROM {table} WHERE run = ? AND n < ? AND step > ?", [run, number, step])
    merged = _merged(connection, changed)
    old = [one.row["run"] for one in changed if one.row["run"] in known]
    for table in ("runs", "configs", "evaluations") if old else ():
        connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT unnest(?))", [old])
    insert(connection, "runs", merged)
    for table in ("configs", "events", "evaluations"):
        insert(connection, table, [row for one in changed for row in getattr(one, table)])
    insert(connection, "snapshots", [row for one in changed for row in kept_snapshots(one)])
    return numbers.take(connection, changed)


def _merged(connection: duckdb.DuckDBPyConnection, changed: list[Found]) -> list[dict[str, Any]]:
    """The rows of runs: what only earlier lines said (seconds, version …) is not lost when new lines come.

    All of them are asked for at once: one by one, 125 runs that train side by side took half a second of each look.
    """
    known = [one.row["run"] for one in changed if not one.from_start]
    before = _rows(connection, known)
    epochs = _epochs_said(connection, known)
    merged = []
    for one in changed:
        old = {} if one.from_start else before.get(one.row["run"], {})
        row = {**one.row, **{key: old.get(key) for key in SAID_ONCE if one.row[key] is None}}
        if row["epochs"] is None:
            row["epochs"] = (None if one.from_start else epochs.get(row["run"])) or one.epoch
        merged.append(row)
    return merged


def _rows(connection: duckdb.DuckDBPyConnection, runs: list[str]) -> dict[str, dict[str, Any]]:
    if not runs:
        return {}
    cursor = connection.execute("FROM runs WHERE run IN (SELECT unnest(?))", [runs])
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["run"]: row for row in rows}


def _epochs_said(connection: duckdb.DuckDBPyConnection, runs: list[str]) -> dict[str, float | None]:
    sql = """SELECT run, arg_max_null(TRY_CAST(detail->>'epochs' AS DOUBLE), n) FROM events
             WHERE run IN (SELECT unnest(?)) AND kind = 'summary' GROUP BY run"""
    return dict(connection.execute(sql, [runs]).fetchall()) if runs else {}
