"""The file of the index: opened locked, owned by one process, made anew where it is of another time or damaged."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path

import duckdb

from core import tables

SCHEMA_VERSION = 6
LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "lock_configuration": "true",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in a statement is a table, never a variable of ours
    "memory_limit": "4GB",
    "max_temp_directory_size": "0GB",  # a statement that wants more is told so, and fills no disk
}
_BROKEN = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.SerializationException,
    duckdb.TransactionException,
)


def is_broken(error: duckdb.Error) -> bool:
    """Whether it is what a statement of ours raises where the file is damaged, or the disk full; a good one never."""
    return isinstance(error, _BROKEN) or "corrupt" in str(error).lower()  # which has no class of its own


def connect(path: Path | None) -> duckdb.DuckDBPyConnection:
    """The index at `path` (in memory where None) with all its tables; emptied where they are of another version.

    Raises duckdb.Error where the file cannot be read.
    """
    connection = duckdb.connect(":memory:" if path is None else str(path), config=LOCKED)
    try:
        connection.execute(tables.create())
        if connection.execute("SELECT version FROM schema_version").fetchall() != [(SCHEMA_VERSION,)]:
            _start_over(connection)
        connection.execute("FROM ingested").fetchall()  # what all else hangs on can be read
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _start_over(connection: duckdb.DuckDBPyConnection) -> None:
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        connection.execute(f'DROP TABLE "{table}"')
    connection.execute(tables.create())
    connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])


_OPEN: weakref.WeakValueDictionary[str, object] = weakref.WeakValueDictionary()
"""Index files that this process has open, with their owners."""


class IndexFile:
    """Where an index is kept: `path`, or memory where that is None or cannot be had; `told` says why it cannot."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.told = ""

    def open(self, owner: object) -> duckdb.DuckDBPyConnection:
        """The index, in memory where another owns the file; one that cannot be read is moved aside and begun anew."""
        if self.path is None:
            return connect(None)
        if str(self.path) in _OPEN:  # DuckDB would share the file within a process, and each row would come in twice
            self.told = "This process has the index open already; this one reads the run directories itself."
            return connect(None)
        try:
            connection = connect(self.path)
            _OPEN[str(self.path)] = owner
            return connection
        except duckdb.Error as error:
            if "could not set lock" in str(error).lower():  # not just "lock": errors speak of blocks, too
                self.told = "Another process has the index open; this one reads the run directories itself."
                return connect(None)
            return self.set_aside(error)

    def set_aside(self, error: Exception) -> duckdb.DuckDBPyConnection:
        """An index as new, the file that gave `error` moved away; in memory where there is no room for a file."""
        assert self.path is not None
        if "no space left" in str(error).lower():
            self.told = "The disk is full: the index is kept in memory, and nothing of the runs is lost."
            return connect(None)
        broken = self.path.with_suffix(".broken")
        for suffix in ("", ".wal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{broken}{suffix}")
        said = f"The index could not be read ({str(error).splitlines()[0]:.300})"
        self.told = f"{said}; it is now {broken.name}, and built again from the runs."
        try:
            return connect(self.path)
        except duckdb.Error:
            self.told = f"{said} and not be made anew; it is kept in memory."
            return connect(None)

    def release(self, owner: object) -> None:
        """Another may own the file now."""
        if _OPEN.get(str(self.path)) is owner:
            del _OPEN[str(self.path)]
