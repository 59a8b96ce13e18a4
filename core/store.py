"""The index of all runs, in DuckDB. It can be thrown away: everything in it comes from the run directories.

One process owns `index.duckdb` while it is open; any other builds the same index in memory. The connection is locked
from the start (no file access, no settings: `core/indexfile.py`), rows go in as Arrow tables. The lab's SQL lives in
this file and the ones it imports (tables, taking, numbers, standings, board_sql); what a user writes runs in
`core/sqlbox.py`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from core import board_sql, indexfile, paths, rundir, standings, taking
from core.beside import Beside
from core.indexfile import IndexFile
from core.ingest import Found, Seen, queued_runs
from core.looking import Damage, Look

if TYPE_CHECKING:  # half a second to import, which the first page need not wait for
    import pandas as pd

T = TypeVar("T")

KEPT_ANSWERS = 200

PLACED = ("placed",)
"""Stands for the list of boards among the things that are brought up to date."""


class Store:
    """The index, open. Safe to share between threads: one lock, one connection."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the index at `path` (in memory where None, or where another process owns the file).

        A file that cannot be read is moved aside and built again; `note` says so.
        """
        self._lock = threading.RLock()
        self._file = IndexFile(path)
        self._damage = Damage()
        self._seen: dict[str, Seen] = {}
        self._told_at: dict[Hashable, tuple[int, pd.DataFrame]] = {}
        """Answers, and the number of the last change that they know of."""
        self._beside = Beside(self._lock)
        self.closed = threading.Event()
        self.looked_at: set[tuple[str, ...]] = set()
        """Boards (task, data, version, split) that somebody asked for."""
        self.on_change: Callable[[], object] = lambda: None
        """Called where a look found something new, or a board was asked for the first time."""
        self._begin(self._file.open(self))

    @property
    def note(self) -> str:
        """What the user should know about the index and the runs behind it; empty where all is well."""
        return " ".join(filter(None, (self._file.told, self._damage.note)))

    @property
    def damaged(self) -> dict[str, str]:
        """Run → a sentence: what of it cannot be read and is left out."""
        return self._damage.told

    def _begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._told_at = {}
        rows = connection.execute("FROM ingested").fetchall()
        self._seen = {row[0]: Seen(*row[1:]) for row in rows}

    def _heal(self, error: duckdb.Error) -> None:
        """After an error that a good file does not give: an index as new. Any other error is raised again."""
        if not indexfile.is_broken(error):
            raise error
        broken = self._connection
        self._beside.hush()
        if self._connection is not broken:  # while it was waited for, another thread has done this
            return
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        if self._file.path is None:
            raise error
        self._begin(self._file.set_aside(error))
        self._sync(None)
        self._quantiles()

    def close(self) -> None:
        """Close the file, so that another process may own it."""
        with self._lock:
            self.closed.set()
            self._beside.hush()
            self._connection.close()
            self._file.release(self)

    # ---- in ----

    def sync(self, only: Iterable[Path] | None = None) -> int:
        """Read what is new in the run directories (or in these alone); returns the number of runs that changed.

        Where nothing happened this costs a few `stat` per run: what has come to rest is known by its times and sizes.
        """
        with self._lock:
            try:
                n_changed = self._sync(only)
            except duckdb.Error as error:
                self._heal(error)
                n_changed = len(self._seen)
        if n_changed:
            self.on_change()
        return n_changed

    def _sync(self, only: Iterable[Path] | None) -> int:
        queued = queued_runs()
        if only is None:
            folders = dict(reversed(list(rundir.places())))  # a run of the user's hides a starter run of that name
            self._forget([run for run in self._seen if run not in folders])
            self._damage.keep(folders.keys())
        else:
            folders = {folder.name: str(folder) for folder in only}
        look, n_taken = Look(folders, self._seen, str(paths.runs()), queued), 0
        with ThreadPoolExecutor(1) as hand:  # alone with the connection until it is waited for
            at_work: Future[None] | None = None
            for lot, has_more in look.lots():
                if at_work is not None:
                    at_work.result()
                if has_more:
                    at_work = hand.submit(self._take, lot.changed, lot.rested)
                else:
                    self._take(lot.changed, lot.rested)
                n_taken += len(lot.changed)
        self._damage.told |= look.unreadable
        self._forget([run for run in look.unreadable if run in self._seen])
        return n_taken

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
            self._damage.took(one)

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

    # ---- out ----

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection to the same index for one statement of the user's; the caller closes it."""
        with self._lock:
            return self._connection.cursor()

    def query(self, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
        """Any of our own statements, as a frame."""
        return self._mended(lambda: self._connection.execute(sql, parameters or []).df())

    def rows(self, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The same as plain rows, column → value: of what the first page asks, which does without pandas."""

        def work() -> list[dict[str, Any]]:
            cursor = self._connection.execute(sql, parameters or [])
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return self._mended(work)

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

    def shown_first(self, *, limit: int) -> pd.DataFrame:
        """The user's own runs as a list shows them: those under way, then the newest that ended, last those waiting."""
        order = "CASE WHEN state = ANY(?) THEN 0 WHEN state = ANY(?) THEN 2 ELSE 1 END, created_at DESC, run DESC"
        statement = f"SELECT * EXCLUDE (folder) FROM runs WHERE NOT starter ORDER BY {order} LIMIT ?"
        return self.query(statement, [[*rundir.ACTIVE], [*rundir.WAITING], limit])

    def active(self) -> list[Path]:
        """The directories of the runs that are under way, as the last `sync` found them."""
        found = self.rows("SELECT folder FROM runs WHERE state IN (SELECT unnest(?)) ORDER BY run", [[*rundir.ACTIVE]])
        return [Path(row["folder"]) for row in found]

    def boards(self) -> pd.DataFrame:
        """What can be compared: task, data, data_version, split, with the number of runs and configurations."""
        return self.kept(("boards",), self._boards).copy()

    def _boards(self) -> pd.DataFrame:
        self._beside.await_end_of(PLACED)
        with self._transaction():
            standings.place(self._connection)
        found = self._connection.execute(board_sql.BOARDS).df()
        if not found["is_scored"].all():
            told = self._connection.execute(board_sql.TOLD_BOARDS).df().assign(is_told=True)
            found = found.merge(told, how="left", on=["task", "data", "data_version", "split"])
            found = found[found["is_scored"] | found.pop("is_told").notna()].reset_index(drop=True)
        return found.drop(columns="is_scored")

    def kept(self, key: Hashable, work: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What `work` gives, or gave since the last change to the index; not to be written to.

        All callers share the keys. Where `work` waits for others and the index changes meanwhile, what it gives counts
        as of before: it is asked again next time.
        """
        with self._lock:
            tick, told = self._mended(lambda: standings.now(self._connection)), self._told_at
            if key in told and told[key][0] == tick:
                return told[key][1]
            for old in [known for known, (since, _) in told.items() if since != tick]:
                del told[old]
            if len(told) >= KEPT_ANSWERS:
                told.clear()
            found = self._mended(work)
            told[key] = (tick, found)  # of an index that was made anew meanwhile this is no longer read
            return found

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
        self._beside.await_end_of(place)
        if place[:4] not in self.looked_at:
            self.looked_at.add(place[:4])
            self.on_change()
        return self._mended(lambda: self._refreshed(*place))

    def ready(self, *place: str) -> None:
        """Bring a board (task, data, version, split, metric), or without one the list of boards, up to date.

        For a thread in the background: others go on asking meanwhile, but for those who ask for the same; they wait.
        Where something is in the way nothing is done: whoever asks next has it made.
        """
        self._fill_quantiles()

        def begin() -> duckdb.DuckDBPyConnection | None:
            try:
                is_due = not self.closed.is_set() and (not place or standings.is_long_work(self._connection, *place))
                return self._connection.cursor() if is_due else None
            except duckdb.Error:
                return None

        if place:
            self._beside.work(place, begin, lambda cursor: standings.refresh(cursor, *place))
        else:
            self._beside.work(PLACED, begin, standings.place)

    def _refreshed(self, *place: str) -> int:
        with self._transaction():
            return standings.refresh(self._connection, *place)

    def _fill_quantiles(self) -> None:
        """Quantiles of Student's t, on first use: SciPy's import is half a second that the first page need not wait."""
        self._mended(self._quantiles)

    def _quantiles(self) -> None:
        if not self._connection.execute("FROM t_quantiles LIMIT 1").fetchall():
            from scipy.special import stdtrit

            quantiles = enumerate(stdtrit(range(1, 1000), 0.975).tolist(), 2)
            taking.insert(self._connection, "t_quantiles", [{"n": n, "t": t} for n, t in quantiles])

    def anchors(self, task: str, data: str, version: str, split: str) -> pd.DataFrame:
        """The baseline and ceiling rows of a board: kind, part, metric, value (the newest run's)."""
        place = {"task": task, "data": data, "version": version, "split": split}
        anchors = self.kept(("anchors", *place.values()), lambda: self.query(board_sql.ANCHORS, place))
        return anchors.copy()

    def scores(self, runs: list[str]) -> pd.DataFrame:
        """All evaluation scores of the models of these runs."""
        return self.query("FROM evaluations WHERE kind = 'model' AND run IN (SELECT unnest(?))", [runs])

    def mean_scores(self, groups: list[list[str]], data: str, split: str, part: str, names: list[str]) -> pd.DataFrame:
        """The mean over the runs of each group (row) of the model's scores `names` (columns) on this data."""
        import pandas as pd

        rows = {
            "place": [place for place, runs in enumerate(groups) for _ in runs],
            "run": [run for runs in groups for run in runs],
        }

        def ask() -> dict[str, Any]:
            connection = self._connection
            connection.register("pooled", pa.table(rows))
            try:
                return connection.execute(board_sql.MEAN_SCORES, [data, split, part, names]).fetchnumpy()
            finally:
                with contextlib.suppress(duckdb.Error):  # of a damaged index not even that may go
                    connection.unregister("pooled")

        found = self._mended(ask)
        means = np.full((len(groups), len(names)), np.nan)
        columns = {name: column for column, name in enumerate(names)}
        means[found["place"], [columns[name] for name in found["metric"]]] = np.ma.filled(found["value"], np.nan)
        return pd.DataFrame(means, columns=names)

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

    def best_runs(self, task: str, metric: str) -> list[dict[str, Any]]:
        """Every run that has a model for `task`, best validation score on its own board first."""
        return self.rows(board_sql.BEST_RUNS, [metric, task])


def default_store() -> Store:
    """The app's index, in the cache."""
    return Store(paths.cache() / "index.duckdb")


def memory_store() -> Store:
    """An index in memory, filled: what `lab.py` uses beside a running app."""
    store = Store()
    store.sync()
    return store
