"""The index of all runs, in DuckDB. It can be thrown away: everything in it comes from the run directories.

One process owns `index.duckdb` while it is open; any other builds the same index in memory. The connection is locked
from the start (no file access, no settings), rows go in as Arrow tables. The lab's SQL lives in this file and the ones
it imports (tables, taking, numbers, standings, board_sql); what a user writes runs in `core/sqlbox.py`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from core import board_sql, paths, rundir, standings, tables, taking
from core.ingest import Found, Seen, queued_runs, read_run

T = TypeVar("T")

SCHEMA_VERSION = 4
LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "lock_configuration": "true",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in a statement is a table, never a variable of ours
    "memory_limit": "4GB",
    "max_temp_directory_size": "0GB",  # a statement that wants more is told so, and fills no disk
}
BROKEN = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.SerializationException,
    duckdb.TransactionException,
)
"""What a statement of ours raises where the file is damaged, or the disk full; a good one gives none of these."""

LINES_AT_ONCE = 64_000_000
"""Bytes of log taken in one go: an index of long runs must not be in memory twice."""


_OPEN: weakref.WeakValueDictionary[str, Store] = weakref.WeakValueDictionary()
"""Index files that this process has open."""


class Store:
    """The index, open. Safe to share between threads: one lock, one connection."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the index at `path` (in memory where None, or where another process owns the file).

        A file that cannot be read is moved aside and built again; `note` says so.
        """
        self._lock = threading.RLock()
        self._path = path
        self._told = ""
        self.damaged: dict[str, str] = {}
        """Run → a sentence: what of it cannot be read and is left out."""
        self._n_broken: dict[str, int] = {}
        self._seen: dict[str, Seen] = {}
        self._open()

    @property
    def note(self) -> str:
        """What the user should know about the index and the runs behind it; empty where all is well."""
        told = [self._told] if self._told else []
        if self.damaged:
            told.append(next(iter(self.damaged.values())))
        if len(self.damaged) > 1:
            told.append(f"So it is with {len(self.damaged) - 1} more; lab.py doctor names them.")
        return " ".join(told)

    def _open(self) -> None:
        if self._path is None:
            return self._begin(None)
        if str(self._path) in _OPEN:  # DuckDB would share the file within a process, and each row would come in twice
            self._told = "This process has the index open already; this one reads the run directories itself."
            return self._begin(None)
        try:
            self._begin(self._path)
            _OPEN[str(self._path)] = self
            return None
        except duckdb.Error as error:
            if "could not set lock" in str(error).lower():  # not just "lock": errors speak of blocks, too
                self._told = "Another process has the index open; this one reads the run directories itself."
                return self._begin(None)
            self._set_aside(error)

    def _begin(self, path: Path | None) -> None:
        """Connect, and read how far the runs were read; raises duckdb.Error where the file cannot be read."""
        connection = duckdb.connect(":memory:" if path is None else str(path), config=LOCKED)
        try:
            connection.execute(tables.create())
            versions = connection.execute("SELECT version FROM schema_version").fetchall()
            self._connection = connection
            if versions != [(SCHEMA_VERSION,)]:
                self._start_over()
            rows = connection.execute("FROM ingested").fetchall()
        except duckdb.Error:
            connection.close()
            raise
        self._seen = {row[0]: Seen(*row[1:]) for row in rows}

    def _set_aside(self, error: Exception) -> None:
        """Move a file that cannot be read away and begin anew; in memory where there is no room for a file."""
        assert self._path is not None
        if "no space left" in str(error).lower():
            self._told = "The disk is full: the index is kept in memory, and nothing of the runs is lost."
            return self._begin(None)
        broken = self._path.with_suffix(".broken")
        for suffix in ("", ".wal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").replace(f"{broken}{suffix}")
        said = f"The index could not be read ({str(error).splitlines()[0]:.300})"
        self._told = f"{said}; it is now {broken.name}, and built again from the runs."
        try:
            self._begin(self._path)
        except duckdb.Error:
            self._told = f"{said} and not be made anew; it is kept in memory."
            self._begin(None)

    def _heal(self, error: duckdb.Error) -> None:
        """After an error that a good file does not give: an index as new. Any other error is raised again."""
        if not isinstance(error, BROKEN) and "corrupt" not in str(error).lower():  # which has no class of its own
            raise error
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        if self._path is None:
            raise error
        self._set_aside(error)
        self._sync(None)
        self._fill_quantiles()

    def _start_over(self) -> None:
        for (table,) in self._connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            self._connection.execute(f'DROP TABLE "{table}"')
        self._connection.execute(tables.create())
        self._connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])

    def close(self) -> None:
        """Close the file, so that another process may own it."""
        with self._lock:
            self._connection.close()
            if _OPEN.get(str(self._path)) is self:
                del _OPEN[str(self._path)]

    # ---- in ----

    def sync(self, only: Path | None = None) -> int:
        """Read what is new in the run directories (or in one of them); returns the number of runs that changed.

        Where nothing happened this costs a few `stat` per run: what has come to rest is known by its times and sizes.
        """
        with self._lock:
            try:
                return self._sync(only)
            except duckdb.Error as error:
                self._heal(error)
                return len(self._seen)

    def _sync(self, only: Path | None) -> int:
        own, queued, changed, rested, size = str(paths.runs()), queued_runs(), [], [], 0
        if only is None:
            folders = dict(reversed(list(rundir.places())))  # a run of the user's hides a starter run of that name
            self._forget([run for run in self._seen if run not in folders])
            self.damaged = {run: said for run, said in self.damaged.items() if run in folders}
        else:
            folders = {only.name: str(only)}
        taken = 0
        for run, place in folders.items():
            found = read_run(place, self._seen.get(run), own, queued)
            if isinstance(found, str):
                self.damaged[run] = found
                self._forget([run] if run in self._seen else [])
            elif isinstance(found, Seen):
                rested.append((run, found))
            elif found is not None:
                changed.append(found)
                size += sum(len(line) for _, line in found.lines)
            if size > LINES_AT_ONCE:
                self._take(changed, rested)
                taken, changed, rested, size = taken + len(changed), [], [], 0
        self._take(changed, rested)
        return taken + len(changed)

    def _forget(self, runs: list[str]) -> None:
        if runs:
            with self._transaction():
                taking.forget(self._connection, runs)
        for run in runs:
            del self._seen[run]

    def _take(self, changed: list[Found], rested: list[tuple[str, Seen]]) -> None:
        """Bring into the tables what was found, all of it or nothing."""
        if not changed and not rested:
            return
        with self._transaction():
            seen = taking.take(self._connection, changed, rested, self._seen.keys())
        self._seen |= seen
        for one in changed:
            self._tell_broken(one)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # what ended the transaction is what the caller must hear of
                self._connection.execute("ROLLBACK")
            raise

    def _tell_broken(self, one: Found) -> None:
        run = one.row["run"]
        n = one.n_broken + (0 if one.from_start else self._n_broken.get(run, 0))
        self._n_broken[run] = n
        self.damaged.pop(run, None)
        if n:
            parts = (
                f"{n} parts of run {run} cannot be read and are"
                if n > 1
                else f"A part of run {run} cannot be read and is"
            )
            self.damaged[run] = f"{parts} left out; the rest is shown."

    # ---- out ----

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection to the same index for one statement of the user's; the caller closes it."""
        with self._lock:
            return self._connection.cursor()

    def query(self, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
        """Any of our own statements, as a frame."""
        return self._mended(lambda: self._connection.execute(sql, parameters or []).df())

    def _mended(self, work: Callable[[], T]) -> T:
        """What `work` gives; where the index turns out damaged, what it gives on one made anew."""
        with self._lock:
            try:
                return work()
            except duckdb.Error as error:
                self._heal(error)
                return work()

    def runs(self, *, limit: int = 1000) -> pd.DataFrame:
        """All runs, newest first."""
        return self.query("SELECT * EXCLUDE (folder) FROM runs ORDER BY created_at DESC, run DESC LIMIT ?", [limit])

    def active(self) -> list[Path]:
        """The directories of the runs that are under way, as the last `sync` found them."""
        found = self.query("SELECT folder FROM runs WHERE state IN (SELECT unnest(?)) ORDER BY run", [[*rundir.ACTIVE]])
        return [Path(folder) for folder in found["folder"]]

    def boards(self) -> pd.DataFrame:
        """What can be compared: task, data, data_version, split, with the number of runs and configurations."""
        found = self.query(board_sql.BOARDS)
        if not found["is_scored"].all():
            told = self.query(board_sql.TOLD_BOARDS).assign(is_told=True)
            found = found.merge(told, how="left", on=["task", "data", "data_version", "split"])
            found = found[found["is_scored"] | found.pop("is_told").notna()].reset_index(drop=True)
        return found.drop(columns="is_scored")

    def leaderboard(
        self,
        task: str,
        data: str,
        version: str,
        split: str,
        metric: str,
        *,
        higher_is_better: bool = True,
        limit: int | None = None,
        trainers: list[str] | None = None,
    ) -> pd.DataFrame:
        """One row per configuration, best validation score first (its rank), not ranked ones last; seeds pooled.

        At most `limit` rows, of these `trainers` alone where given; `sizes` says how many there are.

        Columns: is_ranked, config_id, trainer, config, n (seeds), seeds, runs, validation, validation_low,
        validation_high, test, test_low, test_high, varied, seconds, items_per_s, peak_memory_mb, epochs, states,
        stopped_because, steered, starter, leaky. With one run, or a trainer without randomness, the interval is the
        bootstrap over items; with several it is the t interval over seeds.
        """
        page = standings.PAGE_HIGHER if higher_is_better else standings.PAGE_LOWER
        with self._lock:  # one look: between the two, another thread might bring the board up to date
            board = self._standing(task, data, version, split, metric)
            return self.query(page, {"board": board, "limit": limit, "trainers": trainers or None})

    def sizes(self, task: str, data: str, version: str, split: str, metric: str) -> dict[str, int]:
        """Trainer → the number of rows that its configurations have on this board."""
        with self._lock:
            found = self.query(standings.SIZES, [self._standing(task, data, version, split, metric)])
        return dict(zip(found["trainer"], map(int, found["n"]), strict=True))

    def _standing(self, *place: str) -> int:
        self._fill_quantiles()
        return self._mended(lambda: self._refreshed(*place))

    def _refreshed(self, *place: str) -> int:
        with self._transaction():
            return standings.refresh(self._connection, *place)

    def _fill_quantiles(self) -> None:
        """Quantiles of Student's t, on first use: SciPy's import is half a second that the first page need not wait."""
        with self._lock:
            if not self._connection.execute("FROM t_quantiles LIMIT 1").fetchall():
                from scipy.special import stdtrit

                quantiles = enumerate(stdtrit(range(1, 1000), 0.975).tolist(), 2)
                taking.insert(self._connection, "t_quantiles", [{"n": n, "t": t} for n, t in quantiles])

    def anchors(self, task: str, data: str, version: str, split: str) -> pd.DataFrame:
        """The baseline and ceiling rows of a board: kind, part, metric, value (the newest run's)."""
        return self.query(board_sql.ANCHORS, [task, data, version, split])

    def scores(self, runs: list[str]) -> pd.DataFrame:
        """All evaluation scores of the models of these runs."""
        return self.query("FROM evaluations WHERE kind = 'model' AND run IN (SELECT unnest(?))", [runs])

    def mean_scores(self, groups: list[list[str]], data: str, split: str, part: str, names: list[str]) -> pd.DataFrame:
        """The mean over the runs of each group (row) of the model's scores `names` (columns) on this data."""
        rows = {
            "place": [place for place, runs in enumerate(groups) for _ in runs],
            "run": [run for runs in groups for run in runs],
        }
        with self._lock:
            self._connection.register("pooled", pa.table(rows))
            found = self._connection.execute(board_sql.MEAN_SCORES, [data, split, part, names]).df()
            self._connection.unregister("pooled")
        return found.pivot(index="place", columns="metric", values="value").reindex(range(len(groups)), columns=names)

    def curves(self, runs: list[str], names: list[str] | None = None) -> pd.DataFrame:
        """Metric rows (run, step, epoch, t, name, value) of these runs, in order of steps."""
        return self.query(
            """SELECT run, step, epoch, t, name, value FROM metrics
               WHERE run IN (SELECT unnest($1)) AND ($2 IS NULL OR name IN (SELECT unnest($2::VARCHAR[])))
               ORDER BY run, name, step""",
            [runs, names],
        )

    def different_knobs(self, runs: list[str]) -> pd.DataFrame:
        """Only the knobs in which these runs differ: one row per knob, one column per run."""
        frame = self.query(
            """SELECT name, run, value FROM configs WHERE run IN (SELECT unnest($1)) AND name IN (
                 SELECT name FROM configs WHERE run IN (SELECT unnest($1)) GROUP BY name
                 HAVING count(DISTINCT value) > 1 OR count(*) < len($1))""",
            [runs],
        )
        return frame.pivot(index="name", columns="run", values="value").reindex(columns=runs) if len(frame) else frame

    def best_runs(self, task: str, metric: str) -> pd.DataFrame:
        """Every run that has a model for `task`, best validation score on its own board first."""
        return self.query(board_sql.BEST_RUNS, [metric, task])


def default_store() -> Store:
    """The app's index, in the cache."""
    return Store(paths.cache() / "index.duckdb")


def memory_store() -> Store:
    """An index in memory, filled: what `lab.py` uses beside a running app."""
    store = Store()
    store.sync()
    return store
