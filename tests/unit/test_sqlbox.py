"""A user's statement: one SELECT, with an end, and the index is as it was afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core import sqlbox
from core.sql_examples import EXAMPLES
from core.store import Store, default_store, memory_store
from core.tables import INTERNAL, TABLES
from tests.unit.test_store import finished

ENDLESS = {
    "recursion": "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t) SELECT count(*) FROM t",
    "cross join": "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range % 7 = b.range % 5",
    "range": "SELECT sum(range) FROM range(10000000000000)",
    "sleep": "SELECT sleep_ms(60000)",
}
REFUSED = {
    "SELECT 1; SELECT 2": "One statement at a time; there are 2",
    "SELECT 1; DROP TABLE runs": "One statement at a time",
    "": "There is no statement",
    "-- nothing": "There is no statement",
    "DELETE FROM runs": "Only SELECT is possible here, not DELETE",
    "WITH a AS (SELECT 1) INSERT INTO configs SELECT 'a', 'b', 'c'": "not INSERT",
    "UPDATE runs SET run = 'x' RETURNING run": "not UPDATE",
    "DROP TABLE runs": "not DROP",
    "CREATE TEMP TABLE mine AS SELECT 1": "not CREATE",
    "COPY runs TO '/tmp/runs.csv'": "not COPY",
    "EXPORT DATABASE '/tmp/runs'": "not EXPORT",
    "ATTACH '/tmp/other.duckdb'": "not ATTACH",
    "INSTALL httpfs": "Only SELECT is possible",
    "LOAD httpfs": "Only SELECT is possible",
    "PRAGMA table_info('runs')": "not PRAGMA",
    "SET threads = 1": "not SET",
    "CALL pragma_version()": "not CALL",
    "COMMIT": "not TRANSACTION",
    "EXPLAIN ANALYZE DELETE FROM runs": "not EXPLAIN",
    "PIVOT runs ON trainer USING count(*)": "PIVOT",
    "SELECT * FROM read_csv('/etc/passwd')": "Files, folders and the network are closed",
    "SELECT * FROM read_text('/etc/passwd')": "Files, folders and the network are closed",
    "SELECT * FROM glob('/etc/*')": "Files, folders and the network are closed",
    "SELECT * FROM read_parquet('http://localhost/a.parquet')": "Files, folders and the network are closed",
    "FROM '/etc/passwd'": "There is no table /etc/passwd",
    "SELECT getenv('HOME')": "getenv does not exist",
    "SELECT * FROM secret_frame": "There is no table secret_frame",
    "SELECT range(1000000000)": "one call can fill the memory",
    "SELECT \"repeat\"('x', 3000000000)": "one call can fill the memory",
    "SELECT 'x'.lpad(1000000000, 'y')": "one call can fill the memory",
    "SELECT * FROM (SELECT 1) WHERE length(rpad('x', 1000000000, 'y')) > 1": "one call can fill the memory",
    "FROM query('SELECT range(1000000000)')": r"query\(\) is not possible",
    "SELECT printf('%0900000000d', 1)": r"printf\(\) is not possible",
    f"SELECT length(replace(replace('aa', 'a', '{'a' * 60}'), 'a', 'bb'))": "at most 100 times longer",
    "SELECT replace(run, 'a', state) FROM runs": r"replace\(\) is possible only with plain texts",
    "SELECT regexp_replace(run, 'a', 'bb', 'g') FROM runs": "a pattern may only be deleted",
    "SELECT " + "+".join("1" * 900): "nested too deeply",
    f"SELECT string_agg('{'x' * 9_000}', '') FROM range(12000)": "MB, and at most 100",
    "SELECT 1 -- " + "x" * 30_000: "20,000 characters",
}


@pytest.fixture
def store(cache: Path) -> Store:
    finished("run-a", 0.5, 0.4)
    finished("run-b", 0.6, 0.5, seed=1)
    return memory_store()


@pytest.mark.parametrize("statement", REFUSED, ids=lambda text: text[:40])
def test_what_is_not_one_select_is_refused_in_a_sentence(store: Store, statement: str) -> None:
    secret_frame = pd.DataFrame({"a": [1]})  # a name in a statement is never a variable of ours
    with pytest.raises(ValueError, match=REFUSED[statement]) as told:
        sqlbox.ask(store, statement)
    assert "\n" not in str(told.value) and str(told.value).endswith((".", "runs"))
    assert len(secret_frame) == store.query("SELECT count(*) - 1 FROM runs").iloc[0, 0]


def test_a_text_may_be_replaced(store: Store) -> None:
    statement = "SELECT regexp_replace(replace(run, 'run', 'number'), '[a]', '') AS n FROM runs ORDER BY run"
    assert sqlbox.ask(store, statement).table["n"].to_pylist() == ["number-", "number-b"]


@pytest.mark.parametrize("name", ENDLESS)
def test_a_statement_without_end_is_stopped_and_the_index_goes_on(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match=r"Stopped after 0.5 s"):
        sqlbox.ask(store, ENDLESS[name], seconds=0.5)
    finished("run-c", 0.7, 0.6, seed=2)
    assert store.sync() == 1
    assert sqlbox.ask(store, "SELECT count(*) AS n FROM runs").table["n"].to_pylist() == [3]


def test_a_file_stays_usable_and_whole_after_refused_statements(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    store = default_store()
    store.sync()
    for statement in (*REFUSED, ENDLESS["cross join"]):
        with pytest.raises(ValueError):
            sqlbox.ask(store, statement, seconds=0.3)
    finished("run-b", 0.5, 0.4, seed=1)
    store.sync()
    store.close()
    again = default_store()
    assert again.note == "" and sorted(again.runs()["run"]) == ["run-a", "run-b"]
    again.close()


def test_rows_beyond_the_limit_are_left_out_and_said(store: Store) -> None:
    answer = sqlbox.ask(store, "SELECT * FROM range(10000000000000)", rows=100)
    assert answer.is_cut and answer.table["range"].to_pylist() == list(range(100))
    exact = sqlbox.ask(store, "SELECT * FROM range(100)", rows=100)
    assert not exact.is_cut and exact.table.num_rows == 100


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("SELEC 1", "line 1, column 1"),
        ("SELECT run,\n  foo\nFROM runs", "line 2, column 3"),
        ("SELECT *\nFROM nothing", "line 2, column 6"),
    ],
)
def test_an_error_names_its_place(store: Store, statement: str, place: str) -> None:
    with pytest.raises(ValueError, match=place) as told:
        sqlbox.ask(store, statement)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("statement", ["DESCRIBE runs", "SHOW TABLES", "SUMMARIZE runs", "FROM runs;", "VALUES (1)"])
def test_every_way_to_look_is_open(store: Store, statement: str) -> None:
    assert sqlbox.ask(store, statement).table.num_rows


def test_files_hold_what_was_found(store: Store) -> None:
    answer = sqlbox.ask(store, "SELECT run, value, value AS value, [1, 2] AS list FROM metrics ORDER BY run, value")
    frame = pd.read_parquet(BytesIO(sqlbox.as_parquet(answer.table)))
    table = pd.read_csv(StringIO(sqlbox.as_csv(answer.table).decode()))
    assert list(frame.columns) == list(table.columns) == ["run", "value", "value_1", "list"]
    assert frame["value"].tolist() == table["value"].tolist() == [0.5, 1.0, 0.6, 1.0]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.question)
def test_examples_run_empty_and_filled_and_draw_their_own_columns(store: Store, example: Any) -> None:
    for index in (Store(), store):
        answer = sqlbox.ask(index, example.statement)
        assert {example.x, example.y, example.colour} - {""} <= set(answer.table.column_names)
    assert len(EXAMPLES) >= 8


def test_the_first_example_pools_what_the_runs_scored(store: Store) -> None:
    (row,) = sqlbox.ask(store, EXAMPLES[0].statement).table.to_pylist()
    assert row["seeds"] == 2
    assert row["validation_ccc"] == pytest.approx((0.5 + 0.6) / 2)


def test_the_documented_columns_are_the_columns(store: Store) -> None:
    sql = "FROM duckdb_columns() SELECT table_name, column_name, data_type WHERE NOT internal ORDER BY 1, column_index"
    there = [tuple(row) for row in store.query(sql).itertuples(index=False)]
    told = TABLES | INTERNAL
    assert there == [(name, c.name, c.type) for name in sorted(told) for c in told[name].columns]
    assert all(c.sentence.endswith((".", "…")) for table in told.values() for c in table.columns)


def test_the_terminal_asks_the_same(cache: Path, lab: Callable[..., Any]) -> None:
    finished("run-a", 0.5, 0.4)
    statement = "SELECT run, state FROM runs"
    assert json.loads(lab("sql", statement, "--json").stdout) == [{"run": "run-a", "state": "done"}]
    assert lab("sql", statement, "--csv").stdout == "run,state\nrun-a,done\n"
    cut = lab("sql", "FROM range(10)", "--csv", "--rows", "2")
    assert (cut.stdout, cut.stderr.strip()) == ("range\n0\n1\n", "Cut at 2 rows; --rows gives more.")
    refused = lab("sql", "DROP TABLE runs")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "Only SELECT" in refused.stderr


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("1" + 45 * "0", "1" + 45 * "0"),
        ("sum(step) * 0 + 9007199254740993", 9007199254740993),  # 2 ** 53 + 1: no float holds it
        ("1.25", 1.25),
        ("12345678901234567.5", "12345678901234567.5"),
        ("INTERVAL 3 DAY", "3 days"),
        ("union_value(a := 1)", "1"),
        ("{'a': 1, 'b': [1, 2]}", "{'a': 1, 'b': [1, 2]}"),
        ("TIME '24:00:00'", "24:00:00"),
    ],
)
def test_a_value_of_any_type_is_told_as_it_is(store: Store, expression: str, expected: object) -> None:
    answer = sqlbox.ask(store, f"SELECT {expression} AS a, count(*) AS n FROM metrics")
    assert answer.table["a"].to_pylist() == [expected]
    assert sqlbox.as_frame(answer.table)["a"].tolist() == [expected]
    assert str(expected) in sqlbox.as_csv(answer.table).decode()
    assert pd.read_parquet(BytesIO(sqlbox.as_parquet(answer.table)))["a"].tolist() == [expected]


def test_a_day_far_away_can_be_shown(store: Store) -> None:
    answer = sqlbox.ask(store, "SELECT DATE '99999-01-01' AS day")
    assert sqlbox.as_csv(answer.table) == b"day\n99999-01-01\n"
