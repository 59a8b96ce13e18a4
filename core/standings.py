"""Boards kept ready: the pooled row of each configuration, made anew only where one of its runs changed.

Pooling a million runs takes seconds, reading the best few hundred of their rows a few milliseconds. So the index keeps
the rows of every board and metric that was asked for, and notes which configurations changed since; they are pooled
again when the board is next looked at, by the same statement that pools a whole board.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from core.board_sql import NEWEST, PLACED_TOUCHED, PLACED_WHOLE, TOUCHED, WHOLE

MANY = 1000
"""Configurations: pooling more of them again is for the background."""

_BOARD = "task = $task AND data = $data AND data_version = $version AND split = $split AND metric = $metric"

_PAGE = """
SELECT * EXCLUDE (board) FROM standings
WHERE board = $board AND ($trainers IS NULL OR trainer IN (SELECT unnest($trainers::VARCHAR[])))
ORDER BY is_ranked DESC, validation {direction} NULLS LAST, test {direction} NULLS LAST, runs[1] LIMIT $limit
"""
"""What is not ranked stands below; runs[1] so that rows of equal scores keep their order."""

PAGE_HIGHER, PAGE_LOWER = _PAGE.format(direction="DESC"), _PAGE.format(direction="ASC")

SIZES = "SELECT trainer, count(*) AS n FROM standings WHERE board = ? GROUP BY trainer ORDER BY trainer"


def touch(connection: duckdb.DuckDBPyConnection, runs: list[str], configs: Iterable[str] = ()) -> None:
    """Note that these runs change, inside the caller's transaction and before their old rows go.

    `configs` are the configurations that they will belong to, by id.
    """
    last = now(connection)
    if not connection.execute("SELECT 1 FROM standings_kept UNION ALL FROM placed_kept LIMIT 1").fetchall():
        connection.execute("DELETE FROM touched")  # nobody has asked for a board yet: that something changed is enough
        connection.execute("INSERT INTO touched VALUES ('', ?)", [last + 1])
        return
    found = connection.execute("SELECT DISTINCT config_id FROM runs WHERE run IN (SELECT unnest(?))", [runs]).fetchall()
    touched = list({config for (config,) in found} | set(configs))
    connection.execute("DELETE FROM touched WHERE config_id IN (SELECT unnest(?))", [touched])
    connection.execute("INSERT INTO touched SELECT unnest(?::VARCHAR[]), ?", [touched, last + 1])


def now(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the last change: what was read from the index holds as long as it stays."""
    (tick,) = connection.execute("SELECT coalesce(max(tick), 0) FROM touched").fetchall()[0]
    return int(tick)


def place(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the table placed up to date, inside the caller's transaction."""
    tick, kept = now(connection), connection.execute("SELECT tick FROM placed_kept").fetchone()
    if kept is None:
        connection.execute(PLACED_WHOLE)
    elif kept[0] != tick:
        since = "config_id IN (SELECT config_id FROM touched WHERE tick > ?)"
        connection.execute(f"DELETE FROM placed WHERE {since}", [kept[0]])
        connection.execute(PLACED_TOUCHED, {"tick": kept[0]})
    if kept is None or kept[0] != tick:
        connection.execute("DELETE FROM placed_kept")
        connection.execute("INSERT INTO placed_kept VALUES (?)", [tick])


def is_long_work(connection: duckdb.DuckDBPyConnection, *board: str) -> bool:
    """Whether `refresh` would have to pool the whole board, or `MANY` of its index's configurations."""
    kept = connection.execute(f"SELECT newest, tick FROM standings_kept WHERE {_BOARD}", _named(*board)).fetchone()
    if kept is None or kept[0] != _newest(connection, _named(*board)):
        return True
    found = connection.execute("SELECT count(*) FROM touched WHERE tick > ?", [kept[1]]).fetchall()
    return bool(found[0][0] > MANY)


def _named(task: str, data: str, version: str, split: str, metric: str) -> dict[str, str]:
    return {"task": task, "data": data, "version": version, "split": split, "metric": metric}


def _newest(connection: duckdb.DuckDBPyConnection, place: dict[str, str]) -> str | None:
    found = connection.execute(NEWEST, {key: place[key] for key in ("task", "data", "split")}).fetchall()
    return found[0][0]


def refresh(connection: duckdb.DuckDBPyConnection, task: str, data: str, version: str, split: str, metric: str) -> int:
    """Bring one board up to date in the table standings, inside the caller's transaction; returns its number there.

    Needs the table t_quantiles to be filled.
    """
    place = _named(task, data, version, split, metric)
    kept = connection.execute(f"SELECT board, newest, tick FROM standings_kept WHERE {_BOARD}", place).fetchone()
    tick = now(connection)
    if kept is not None and kept[2] == tick:
        return int(kept[0])
    newest = _newest(connection, place)
    if kept is None:
        (board,) = connection.execute("SELECT nextval('board_numbers')").fetchall()[0]
    else:
        board = kept[0]
    values = {**place, "board": board, "newest": newest}
    if kept is not None and kept[1] == newest:
        since = "DELETE FROM standings WHERE board = ? AND config_id IN (SELECT config_id FROM touched WHERE tick > ?)"
        connection.execute(since, [board, kept[2]])
        connection.execute(f"INSERT INTO standings BY NAME {TOUCHED}", {**values, "tick": kept[2]})
    else:  # a new version of the data takes along the runs that have not read theirs yet
        connection.execute("DELETE FROM standings WHERE board = ?", [board])
        connection.execute(f"INSERT INTO standings BY NAME {WHOLE}", values)
    connection.execute("DELETE FROM standings_kept WHERE board = ?", [board])
    row = [board, task, data, version, split, metric, newest, tick]
    connection.execute("INSERT INTO standings_kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return int(board)
