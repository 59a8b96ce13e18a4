"""The index: the same whatever way it was built, thrown away without loss, and its intervals are the textbook's."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from core import boards, rundir
from core.store import Store, default_store, memory_store
from tests.unit.test_rundir import spec

TABLES = ("runs", "configs", "metrics", "events", "evaluations")


def contents(store: Store) -> dict[str, pd.DataFrame]:
    """Every table of the index as a sorted frame."""
    return {table: store.query(f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES}


def assert_same_index(left: Store, right: Store) -> None:
    one, other = contents(left), contents(right)
    for table in TABLES:
        pd.testing.assert_frame_equal(one[table], other[table])
    assert len(one["runs"])


def report(validation: float, test: float, **about: Any) -> dict[str, Any]:
    """An evaluation as the runner writes one, with one metric and a bootstrap interval of ± 0.1."""

    def part(value: float) -> dict[str, Any]:
        score = {"value": value, "low": value - 0.1, "high": value + 0.1}
        return {"n_items": 24, "n_groups": 8, "metrics": {"ccc": score}, "baseline": {"ccc": 0.0}}

    parts = {"validation": part(validation), "test": part(test)}
    given = {"data": "toy", "data_version": "1", "task": "emotion", "split": "grouped:0", "is_leaky": False}
    return {**given, "parts": parts, "ceiling": {"ccc": 0.9}, **about}


def finished(
    name: str, validation: float, test: float, steered: bool = False, version: str = "1", **about: Any
) -> Path:
    """A run directory of a finished run with these scores."""
    folder = rundir.create(spec(name, created_at=f"2026-01-01T00:00:{len(name):02d}", **about))
    writer = rundir.Writer(folder)
    writer.event("data", version=version, input="toy12")
    if steered:
        writer.event("changes", step=1, values={"learning_rate": 0.01})
    writer.event("metrics", step=3, epoch=1.0, values={"train/loss": 1.0, "validation/ccc": validation})
    split = about.get("split", "grouped:0")
    found = report(validation, test, split=split, data_version=version, is_leaky=split.startswith("random"))
    rundir.write_json(folder / "evaluations" / "toy-x.json", found)
    writer.event("summary", seconds=2.0, items_per_s=10.0, peak_memory_mb=100.0, epochs=3.0, stopped_because="done")
    writer.set(state="done")
    writer.close()
    return folder


def test_pieces_make_the_same_index_as_the_whole(cache: Path) -> None:
    """A run that is stopped, resumed with a rewind and scored twice, read after every single line."""
    folder = rundir.create(spec())
    pieces = Store()
    assert pieces.sync() == 1
    writer = rundir.Writer(folder)

    def metrics(step: int, **values: float) -> None:
        writer.event("metrics", step=step, epoch=step / 3, values={k.replace("_", "/"): v for k, v in values.items()})
        pieces.sync()

    writer.event("data", version="1", input="toy12")
    for step in range(5):
        metrics(step, train_loss=1.0 / (step + 1), validation_ccc=0.1 * step)
    writer.event("changes", step=4, values={"learning_rate": 0.5})
    pieces.sync()
    writer.set(state="stopped", ended_at=5.0, step=4, epoch=1.3)
    pieces.sync()
    writer.close()
    rundir.set_status(folder, rundir.Status("queued"))
    pieces.sync()
    assert_same_index(pieces, memory_store())  # it has not ended any more
    writer = rundir.Writer(folder)
    writer.event("rewound", to_step=3)
    pieces.sync()
    metrics(4, train_loss=0.25, validation_ccc=math.nan)
    metrics(5, train_loss=math.inf)
    metrics(5, test_ccc=0.5)
    metrics(5, test_ccc=0.5)  # killed after scoring: scored again after the resume
    rundir.write_json(folder / "evaluations" / "toy-x.json", report(0.4, 0.5))
    pieces.sync()
    writer.event("summary", seconds=2.0, epochs=2.0, stopped_because="done")
    pieces.sync()
    writer.set(state="done", ended_at=9.0, step=5, epoch=2.0)
    writer.close()
    pieces.sync()
    assert_same_index(pieces, memory_store())
    row = pieces.runs().iloc[0]
    assert (row["state"], row["data_version"], row["seconds"], bool(row["steered"])) == ("done", "1", 2.0, True)
    assert len(pieces.query("FROM metrics WHERE name = 'test/ccc'")) == 1
    assert pieces.sync() == 0


def test_a_rewind_drops_the_steps_after_it(cache: Path) -> None:
    folder = rundir.create(spec())
    writer = rundir.Writer(folder)
    for step in range(6):
        writer.event("metrics", step=step, epoch=0.0, values={"train/loss": float(step), "train/once": 1.0})
    early = memory_store()
    writer.event("rewound", to_step=2)
    writer.event("metrics", step=3, epoch=0.0, values={"train/loss": 33.0})
    writer.close()
    early.sync()
    for store in (early, memory_store()):
        assert store.curves([folder.name], ["train/once"])["step"].tolist() == [0, 1, 2]
        curve = store.curves([folder.name], ["train/loss"])
        assert list(zip(curve["step"], curve["value"], strict=True)) == [(0, 0), (1, 1), (2, 2), (3, 33)]


def test_a_deleted_index_is_built_again_the_same(cache: Path) -> None:
    for seed in range(3):
        finished(f"run-{seed}", 0.5 + 0.1 * seed, 0.4, seed=seed)
    store = default_store()
    assert store.sync() == 3
    before, board = contents(store), boards.table(store, "emotion")
    store.close()
    (cache / "index.duckdb").unlink()
    store = default_store()
    store.sync()
    for table, frame in contents(store).items():
        pd.testing.assert_frame_equal(frame, before[table])
    pd.testing.assert_frame_equal(boards.table(store, "emotion"), board)
    store.close()
    reopened = default_store()  # what was there is not read again
    assert reopened.sync() == 0
    reopened.close()


def test_a_second_process_gets_the_same_rows_in_memory(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    owner = default_store()
    owner.sync()
    script = (
        "from core.store import default_store\nstore = default_store()\nstore.sync()\n"
        "print(store.note)\nprint(store.query('SELECT name, value FROM metrics ORDER BY ALL').to_csv())"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    note, _, table = found.stdout.partition("\n")
    assert note.startswith("Another process has the index open")
    assert table.strip() == owner.query("SELECT name, value FROM metrics ORDER BY ALL").to_csv().strip()
    assert not list(cache.glob("*.broken"))
    owner.close()


@pytest.mark.parametrize("place", ["start", "everywhere", "text"])
def test_a_corrupted_index_is_moved_aside(cache: Path, place: str) -> None:
    finished("run-a", 0.5, 0.4)
    store = default_store()
    store.sync()
    board = boards.table(store, "emotion")
    store.close()
    path = cache / "index.duckdb"
    blob = bytearray(path.read_bytes())
    if place == "text":
        blob = bytearray(b"this is no database\n" * 1000)
    else:
        for number in range(16, 2000) if place == "start" else range(16, len(blob), 97):
            blob[number] ^= 0x55
    path.write_bytes(blob)
    store = default_store()
    store.sync()
    assert "could not be read" in store.note
    assert (cache / "index.broken").read_bytes() == bytes(blob)
    pd.testing.assert_frame_equal(boards.table(store, "emotion"), board)
    store.close()


class Failing:
    """A connection to the index that fails once, at the first statement with these words."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, words: str, error: duckdb.Error) -> None:
        self.connection, self.words, self.errors = connection, words, [error]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str, *more: Any) -> duckdb.DuckDBPyConnection:
        if self.words in sql and self.errors:
            raise self.errors.pop()
        return self.connection.execute(sql, *more)


def test_scores_in_damaged_blocks_are_read_from_an_index_made_anew(cache: Path) -> None:
    runs = [[finished(f"run-{seed}", 0.5 + 0.1 * seed, 0.4, seed=seed).name] for seed in range(2)]
    about = ("toy", "grouped:0", "test", ["ccc"])
    for words in ("FROM pooled", "FROM t_quantiles LIMIT"):
        store = default_store()
        store.sync()
        expected, board = memory_store().mean_scores(runs, *about), boards.table(memory_store(), "emotion")
        assert expected.notna().all(axis=None)
        failing = Failing(store._connection, words, duckdb.InternalException("Corrupted block"))
        store._connection = failing  # type: ignore[assignment]
        pd.testing.assert_frame_equal(boards.table(store, "emotion"), board)
        pd.testing.assert_frame_equal(store.mean_scores(runs, *about), expected)
        assert not failing.errors and "could not be read" in store.note
        store.close()
        for path in cache.glob("index.*"):
            path.unlink()


def test_a_question_that_fails_leaves_nothing_behind(cache: Path) -> None:
    run = finished("run-a", 0.5, 0.4).name
    store = memory_store()
    failing = Failing(store._connection, "FROM pooled", duckdb.BinderException("no such thing"))
    store._connection = failing  # type: ignore[assignment]
    with pytest.raises(duckdb.BinderException):
        store.mean_scores([[run]], "toy", "grouped:0", "test", ["ccc"])
    with pytest.raises(duckdb.CatalogException):
        store.query("SELECT * FROM  pooled")
    assert store.mean_scores([[run]], "toy", "grouped:0", "test", ["ccc"]).notna().all(axis=None)


def test_runs_that_are_gone_leave_the_index(cache: Path) -> None:
    folder = finished("run-a", 0.5, 0.4)
    finished("run-b", 0.5, 0.4, seed=1)
    store = memory_store()
    folder.rename(cache / "elsewhere")
    store.sync()
    assert_same_index(store, memory_store())
    assert list(store.runs()["run"]) == ["run-b"]


def test_damage_costs_what_is_damaged_only(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    (finished("run-b", 0.5, 0.4, seed=1) / "spec.json").write_text("{")
    torn = finished("run-c", 0.6, 0.4, seed=2)
    (torn / "evaluations" / "other.json").write_text('{"data": "to')
    (torn / "evaluations" / "strange.json").write_text("[]")
    store = memory_store()
    assert sorted(store.runs()["run"]) == ["run-a", "run-c"]
    assert set(store.scores(["run-c"])["value"]) == {0.6, 0.4}


def test_a_copied_directory_is_a_run_of_its_own(cache: Path) -> None:
    import shutil

    folder = finished("run-a", 0.5, 0.4)
    shutil.copytree(folder, folder.with_name("run-a-copy"))
    store = memory_store()
    assert sorted(store.runs()["run"]) == ["run-a", "run-a-copy"]
    assert store.sync() == 0


def test_only_the_knobs_that_differ_are_shown(cache: Path) -> None:
    finished("a", 0.5, 0.4, config={"epochs": 1, "momentum": 0.9})
    finished("b", 0.5, 0.4, config={"epochs": 2, "momentum": 0.9, "extra": 1})
    frame = memory_store().different_knobs(["a", "b"])
    assert sorted(frame.index) == ["epochs", "extra"]
    assert list(frame.loc["epochs"]) == ["1", "2"]


@pytest.mark.parametrize("name", ["'; DROP TABLE runs; --", '"quoted"', "%", "\\", "é'"])
def test_names_are_never_sql(cache: Path, name: str) -> None:
    folder = finished("run-0", 0.5, 0.4, data=name, trainer=name, split=name)
    odd = folder.with_name(f"odd {name}")
    folder.rename(odd)
    store = memory_store()
    assert store.runs()["run"].tolist() == [f"odd {name}"]
    for rows in (store.curves([odd.name]), store.scores([odd.name])):
        assert len(rows)
    assert len(store.leaderboard("emotion", name, "1", name, "ccc")) == 1
    assert store.leaderboard("emotion", "toy' OR '1'='1", "1", "grouped:0", "ccc").empty
    assert [row["run"] for row in store.best_runs("emotion", name)] == [odd.name]
    assert store.anchors("emotion", name, "1", name).empty
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 1


@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY runs TO '{cache}/out.csv'",
        "ATTACH '{cache}/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '1GB'",
    ],
)
def test_no_statement_reaches_the_outside(cache: Path, kind: str, statement: str) -> None:
    store = default_store() if kind == "file" else Store()
    with pytest.raises(duckdb.Error):
        store.query(statement.format(cache=cache))
    store.close()
    assert {path.name for path in cache.iterdir()} <= {"index.duckdb", "runs"}


def test_an_index_of_another_version_is_built_again(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    store = default_store()
    store.sync()
    store.query("UPDATE schema_version SET version = 999")
    store.query("ALTER TABLE runs DROP COLUMN steered")
    store.close()
    store = default_store()
    assert store.sync() == 1
    assert "steered" in store.runs()
    store.close()
