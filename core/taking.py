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
    merged = [_merged(connection, one) for one in changed]
    old = [one.row["run"] for one in changed if one.row["run"] in known]
    for table in ("runs", "configs", "evaluations") if old else ():
        connection.execute(f"DELETE FROM {table} WHERE run IN (SELECT unnest(?))", [old])
    insert(connection, "runs", merged)
    for table in ("configs", "events", "evaluations"):
        insert(connection, table, [row for one in changed for row in getattr(one, table)])
    insert(connection, "snapshots", [row for one in changed for row in kept_snapshots(one)])
    return numbers.take(connection, changed)


def _merged(connection: duckdb.DuckDBPyConnection, one: Found) -> dict[str, Any]:
    """The row of a run: what only earlier lines said (seconds, version …) is not lost when new lines come."""
    old = {} if one.from_start else _row(connection, one.row["run"])
    row = {**one.row, **{key: old.get(key) for key in SAID_ONCE if one.row[key] is None}}
    if row["epochs"] is None:
        row["epochs"] = (None if one.from_start else _epochs_said(connection, row["run"])) or one.epoch
    return row


def _row(connection: duckdb.DuckDBPyConnection, run: str) -> dict[str, Any]:
    cursor = connection.execute("FROM runs WHERE run = ?", [run])
    row = cursor.fetchone()
    return dict(zip([column[0] for column in cursor.description], row, strict=True)) if row else {}


def _epochs_said(connection: duckdb.DuckDBPyConnection, run: str) -> float | None:
    sql = """SELECT TRY_CAST(detail->>'epochs' AS DOUBLE) FROM events WHERE run = ? AND kind = 'summary'
             ORDER BY n DESC LIMIT 1"""
    row = connection.execute(sql, [run]).fetchone()
    return row[0] if row else None
