"""One piece of work at a time on a connection of its own, beside the one that everybody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import duckdb


class Beside:
    """Work in the background on an index; whoever needs what it is at waits for it, nobody else does."""

    def __init__(self, lock: threading.RLock) -> None:
        """`lock` guards the index; it is let go while one waits here."""
        self._turned = threading.Condition(lock)
        self._at: tuple[tuple[str, ...], duckdb.DuckDBPyConnection] | None = None

    def await_end_of(self, what: tuple[str, ...]) -> None:
        """Return once `what` is not being worked at; with the lock held."""
        self._turned.wait_for(lambda: self._at is None or self._at[0] != what)

    def work(
        self,
        what: tuple[str, ...],
        begin: Callable[[], duckdb.DuckDBPyConnection | None],
        work: Callable[[duckdb.DuckDBPyConnection], object],
    ) -> None:
        """Do `work`, all of it or nothing, on the connection that `begin` gives (under the lock).

        Nothing is done where it gives none, or other work goes on; an error of DuckDB's leaves all as it was: whoever
        asks next finds it himself, and has it mended.
        """
        with self._turned:
            cursor = begin() if self._at is None else None
            if cursor is None:
                return
            self._at = (what, cursor)
        try:
            cursor.execute("BEGIN")
            work(cursor)
            cursor.execute("COMMIT")
        except duckdb.Error:
            pass  # ended by `hush`, or as said above; closing it undoes what it did
        finally:
            cursor.close()
            with self._turned:
                self._at = None
                self._turned.notify_all()

    def hush(self) -> None:
        """End what is being worked at, with the lock held: a file is open as long as one connection to it is."""
        while self._at is not None:
            self._at[1].interrupt()  # which ends the statement that runs, and not the one after it
            self._turned.wait(0.05)
