"""Boards kept ready say what one statement over all runs says, whatever happened to the runs since the last look."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from core import standings
from core.ingest import Found, Seen
from core.keeping import Keeper
from core.store import Store
from core.tables import TABLES

BOARDS = """
WITH last AS (
    SELECT task, data, split, arg_max(data_version, created_at) AS last FROM runs GROUP BY ALL
), placed AS (
    SELECT runs.* REPLACE (coalesce(data_version, last, '') AS data_version)
    FROM runs JOIN last USING (task, data, split)
)
SELECT task, data, data_version, split, count(*) AS runs, count(DISTINCT config_id) AS configurations,
    bool_or(leaky) AS leaky, max(created_at) AS newest
FROM placed GROUP BY task, data, data_version, split
HAVING bool_or(run IN (SELECT run FROM evaluations))
    OR bool_or(run IN (SELECT run FROM metrics WHERE name LIKE 'validation/%'))
ORDER BY newest DESC, data, split, data_version DESC
"""
"""The list of boards, from the runs in one go."""

REFERENCE = """
WITH here AS (SELECT * FROM runs WHERE task = $task AND data = $data AND split = $split),
placed AS (
    SELECT * FROM here WHERE $version = coalesce(
        data_version, (SELECT arg_max(data_version, created_at) FROM here), '')
), told AS (
    SELECT run, part, value, low, high FROM evaluations
    WHERE data = $data AND split = $split AND kind = 'model' AND metric = $metric
), scores AS (
    SELECT run,
        any_value(value) FILTER (part = 'validation') AS v, any_value(low) FILTER (part = 'validation') AS v_low,
        any_value(high) FILTER (part = 'validation') AS v_high, any_value(value) FILTER (part = 'test') AS s,
        any_value(low) FILTER (part = 'test') AS s_low, any_value(high) FILTER (part = 'test') AS s_high
    FROM told GROUP BY run
), scored AS (
    SELECT placed.*, v, v_low, v_high, s, s_low, s_high FROM placed LEFT JOIN scores USING (run)
), last_told AS (
    SELECT run, arg_max(value, step) AS v FROM metrics
    WHERE name = 'validation/' || $metric AND run IN (SELECT run FROM scored WHERE v IS NULL) GROUP BY run
), filled AS (
    SELECT scored.* REPLACE (coalesce(scored.v, last_told.v) AS v) FROM scored LEFT JOIN last_told USING (run)
), chosen AS (
    SELECT *, CASE WHEN coalesce(steered, false) THEN run ELSE config_id END AS row_id, coalesce(v, s) AS score
    FROM filled
    QUALIFY row_number() OVER (PARTITION BY row_id, CASE WHEN seeds_pooled THEN seed END
        ORDER BY s IS NULL, v IS NULL, created_at DESC, run DESC) = 1
), ends AS (
    SELECT row_id, count(score) FILTER (state = 'done') AS n_done, count(score) AS n_scored,
        list(DISTINCT state) FILTER (score IS NOT NULL OR state = 'diverged') AS ended,
        list(DISTINCT state) AS any_state
    FROM chosen GROUP BY row_id
), pooled AS (
    SELECT chosen.* REPLACE (coalesce(ended, any_state) AS state) FROM chosen JOIN ends USING (row_id)
    WHERE (score IS NOT NULL AND state = 'done') OR (n_done = 0 AND score IS NOT NULL) OR n_scored = 0
), rows AS (
    SELECT any_value(config_id) AS config_id, any_value(trainer) AS trainer, any_value(config) AS config,
        any_value(input) AS input, $metric AS metric, count(*) AS n, list(seed ORDER BY seed) AS seeds,
        list(run ORDER BY seed) AS runs,
        avg(v) AS validation, avg(s) AS test, count(v) AS n_v, count(s) AS n_s,
        coalesce(stddev_samp(v), 0) AS v_sd, coalesce(stddev_samp(s), 0) AS s_sd,
        any_value(v_low) AS v_low, any_value(v_high) AS v_high, any_value(s_low) AS s_low, any_value(s_high) AS s_high,
        avg(seconds) AS seconds, avg(items_per_s) AS items_per_s, max(peak_memory_mb) AS peak_memory_mb,
        avg(epochs) AS epochs, any_value(state) AS states, any_value(stopped_because) AS stopped_because,
        bool_or(steered) AS steered, bool_or(starter) AS starter, bool_or(leaky) AS leaky
    FROM pooled GROUP BY row_id
)
SELECT config_id, trainer, config, input, metric, rows.n, seeds, runs, validation,
    CASE WHEN n_v > 1 THEN validation - tv.t * v_sd / sqrt(n_v) ELSE v_low END AS validation_low,
    CASE WHEN n_v > 1 THEN validation + tv.t * v_sd / sqrt(n_v) ELSE v_high END AS validation_high,
    test,
    CASE WHEN n_s > 1 THEN test - ts.t * s_sd / sqrt(n_s) ELSE s_low END AS test_low,
    CASE WHEN n_s > 1 THEN test + ts.t * s_sd / sqrt(n_s) ELSE s_high END AS test_high,
    CASE WHEN n_v > 1 OR n_s > 1 THEN 'training seed' WHEN v_low IS NOT NULL THEN 'items' ELSE NULL END AS varied,
    seconds, items_per_s, peak_memory_mb, epochs, states, stopped_because, steered, starter, leaky
FROM rows LEFT JOIN t_quantiles tv ON tv.n = n_v LEFT JOIN t_quantiles ts ON ts.n = n_s
"""
"""A board pooled from the runs in one go, with nothing kept from an earlier look."""


def found(random_: random.Random, run: str, created: int) -> Found:
    """What a look at a run could bring: any state, any part of its scores, data read or not."""
    config, pick = f"config-{random_.randrange(6)}", random_.choice
    row: dict[str, Any] = {column.name: None for column in TABLES["runs"].columns}
    row |= {
        "run": run, "trainer": f"trainer-{int(config[-1]) % 2}", "task": "emotion", "data": "toy",
        "data_version": pick([None, "1", "1", "2"]), "split": pick(["grouped:0", "grouped:0", "random:0"]),
        "seed": random_.randrange(3), "config_id": config, "config": f'{{"width": {config[-1]}}}', "input": "toy12",
        "state": pick(["done", "done", "stopped", "queued", "failed", "diverged"]),
        "created_at": f"2026-01-01T{created:08d}",
        "seconds": random_.random(), "epochs": pick([None, 3.0]), "seeds_pooled": config != "config-3",
        "steered": pick([None, None, None, True]), "starter": False, "leaky": config == "config-5" or None,
        "stopped_because": f"as {config} does", "folder": f"/{run}",
    }  # fmt: skip
    one = Found(row, Seen(f"/{run}", 1, 1.0, None, None), from_start=True)
    for metric in ("ccc", "r2"):
        for part in ("validation", "test"):
            if random_.random() < 0.6:
                about = {"run": run, "data": "toy", "data_version": "1", "split": row["split"], "part": part}
                about |= {"kind": "model", "metric": metric, "value": random_.random(), "n_items": 24,
                          "labels_per_item": None}  # fmt: skip
                one.evaluations.append(about | {"low": int(config[-1]) / 10, "high": 0.9})
    for step in range(random_.randrange(3)):
        line = f'{{"n": {step}, "t": 1.0, "kind": "metrics", "step": {step}, "epoch": 1.0, "values": '
        one.lines.append((step, f'{line}{{"validation/ccc": {random_.random()}}}}}'.encode()))
    return one


def tidy(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(first=[runs[0] for runs in rows["runs"]], states=[sorted(states) for states in rows["states"]])
    for name in ("seeds", "runs"):
        rows[name] = [list(cell) for cell in rows[name]]
    return rows.sort_values("first").reset_index(drop=True)


def assert_same_boards(store: Store) -> int:
    """Some boards of the store, against the reference; returns the number of rows compared."""
    compared = 0
    for version, metric in (("", "ccc"), ("1", "ccc"), ("2", "ccc"), ("1", "r2")):
        place = {"task": "emotion", "data": "toy", "version": version, "split": "grouped:0", "metric": metric}
        kept = store.leaderboard(*place.values())
        reference = store.query(REFERENCE, place)
        columns = list(reference.columns)
        pd.testing.assert_frame_equal(tidy(kept)[columns], tidy(reference)[columns], check_dtype=False)
        compared += len(kept)
    pd.testing.assert_frame_equal(store.boards(), store.query(BOARDS), check_dtype=False)
    return compared


@pytest.mark.parametrize("seed", range(2))
def test_boards_follow_every_change(seed: int) -> None:
    store, random_, compared = Store(), random.Random(seed), 0
    store._take([found(random_, f"run-{place:02d}", place) for place in range(25)], [])
    for look in range(1, 6):
        for _ in range(random_.choice([1, 1, 3])):
            names = [f"run-{random_.randrange(40):02d}" for _ in range(random_.choice([1, 4]))]
            store._take([found(random_, name, 1000 * look + place) for place, name in enumerate(sorted({*names}))], [])
        if random_.random() < 0.5:
            store._forget(random_.sample(sorted(store._seen), min(2, len(store._seen))))
        compared += assert_same_boards(store)
    assert compared > 50


def test_only_what_changed_is_pooled_again() -> None:
    store, random_ = Store(), random.Random(1)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(30)], [])
    board = ("emotion", "toy", "1", "grouped:0", "ccc")
    store.leaderboard(*board)
    store.query("UPDATE standings SET input = 'kept'")
    again = found(random_, "run-07", 7)
    old = store.query("SELECT config_id FROM runs WHERE run = 'run-07'")["config_id"][0]
    store._take([again], [])
    rows = store.leaderboard(*board)
    assert set(rows.loc[rows["input"] != "kept", "config_id"]) <= {old, again.row["config_id"]}
    assert (rows["input"] == "kept").any() and (rows["input"] != "kept").any()
    with mock.patch.object(standings, "TOUCHED", "no statement"), mock.patch.object(standings, "WHOLE", "nor this"):
        pd.testing.assert_frame_equal(store.leaderboard(*board), rows)  # nothing new, nothing pooled


def test_a_change_that_is_undone_leaves_the_board_as_it_was() -> None:
    """A disk that fills up while rows come in: neither the rows nor the note that they changed stay."""
    store, random_ = Store(), random.Random(2)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(9)], [])
    assert_same_boards(store)
    noted = store.query("FROM touched")
    with mock.patch("core.numbers.take", side_effect=OSError("full")), pytest.raises(OSError, match="full"):
        store._take([found(random_, "run-03", 3)], [])
    pd.testing.assert_frame_equal(store.query("FROM touched"), noted)
    assert_same_boards(store)


def test_a_page_of_a_board_is_its_beginning(cache: Path) -> None:
    store, random_ = Store(), random.Random(3)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(40)], [])
    board = ("emotion", "toy", "1", "grouped:0", "ccc")
    for direction in (True, False):
        whole = store.leaderboard(*board, higher_is_better=direction)
        ranked = whole[whole["is_ranked"]]["validation"]
        assert len(ranked) and ranked.is_monotonic_decreasing if direction else ranked.is_monotonic_increasing
        assert whole["is_ranked"].is_monotonic_decreasing and not whole["is_ranked"].all()
        page = store.leaderboard(*board, higher_is_better=direction, limit=3)
        pd.testing.assert_frame_equal(page, whole.head(3))
        one = store.leaderboard(*board, higher_is_better=direction, trainers=["trainer-1"], limit=2)
        expected = whole[whole["trainer"] == "trainer-1"].head(2).reset_index(drop=True)
        pd.testing.assert_frame_equal(one, expected)
    assert store.sizes(*board) == whole["trainer"].value_counts().to_dict()


def test_boards_survive_a_restart(cache: Path) -> None:
    random_ = random.Random(4)
    store = Store(cache / "index.duckdb")
    store._take([found(random_, f"run-{place:02d}", place) for place in range(20)], [])
    assert_same_boards(store)
    store._take([found(random_, "run-05", 5)], [])
    store.close()
    store = Store(cache / "index.duckdb")
    assert len(store.query("FROM standings")) > 0
    assert_same_boards(store)
    store.close()


BOARD = ("emotion", "toy", "1", "grouped:0", "ccc")


def test_what_is_pooled_in_the_background_is_what_a_look_would_pool(cache: Path) -> None:
    store, random_ = Store(cache / "index.duckdb"), random.Random(5)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(30)], [])
    assert Keeper(store).wait(60)
    with mock.patch.object(standings, "TOUCHED", "no statement"), mock.patch.object(standings, "WHOLE", "nor this"):
        assert len(store.leaderboard(*BOARD)) > 3
    assert_same_boards(store)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(20, 40)], [])
    with mock.patch.object(standings, "MANY", 2):
        assert Keeper(store).wait(60)
    with mock.patch.object(standings, "TOUCHED", "no statement"), mock.patch.object(standings, "WHOLE", "nor this"):
        store.leaderboard(*BOARD)
    assert_same_boards(store)
    store.close()


def test_other_metrics_of_a_board_are_pooled_once_somebody_looked(cache: Path) -> None:
    store, random_ = Store(), random.Random(6)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(9)], [])
    keeper = Keeper(store)
    assert keeper.wait(60)
    metrics = "SELECT DISTINCT metric FROM standings_kept WHERE data_version = '1' AND split = 'grouped:0' ORDER BY ALL"
    assert store.query(metrics)["metric"].tolist() == ["ccc"]
    keeper._not_before_s = 0.0  # not after the rest that a pass is followed by
    store.leaderboard(*BOARD)
    assert keeper.wait(60)
    assert store.query(metrics)["metric"].tolist() == ["ccc", "ccc_arousal", "ccc_valence", "r2_arousal", "r2_valence"]


def test_a_change_while_a_board_is_pooled_is_not_lost() -> None:
    """The background works on what it saw when it began; what came since is taken in at the next look."""
    store, random_, refresh = Store(), random.Random(7), standings.refresh
    store._take([found(random_, f"run-{place:02d}", place) for place in range(20)], [])
    store.boards()

    def slowly(cursor: Any, *board: str) -> int:
        standings.now(cursor)  # from here on it sees the index as it is now
        store._take([found(random_, "run-07", 70), found(random_, "run-30", 71)], [])
        store.leaderboard("emotion", "toy", "1", "grouped:0", "r2")  # others look meanwhile
        return refresh(cursor, *board)

    store._beside.work(BOARD, store.cursor, lambda cursor: slowly(cursor, *BOARD))
    assert len(store.query("SELECT * FROM standings_kept WHERE metric = 'ccc'")) == 1
    assert_same_boards(store)


def test_whoever_needs_what_is_being_pooled_waits_for_it_and_others_do_not() -> None:
    store, random_ = Store(), random.Random(8)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(20)], [])
    has_begun, may_end, told = threading.Event(), threading.Event(), list[int]()

    def work(cursor: Any) -> None:
        has_begun.set()
        assert may_end.wait(60)
        standings.refresh(cursor, *BOARD)

    background = threading.Thread(target=store._beside.work, args=(BOARD, store.cursor, work))
    background.start()
    assert has_begun.wait(60)
    asks = threading.Thread(target=lambda: told.append(len(store.leaderboard(*BOARD))))
    asks.start()
    assert len(store.leaderboard(*BOARD[:4], "r2")) and not told
    may_end.set()
    asks.join(60)
    background.join(60)
    assert told == [len(store.leaderboard(*BOARD))]
    assert store.query("SELECT count(*) AS n FROM standings_kept WHERE metric = 'ccc'")["n"].tolist() == [1]


def test_an_index_is_closed_while_a_board_is_pooled(cache: Path) -> None:
    """The statement is ended, nothing of it stays, and the file can be opened again at once."""
    store, random_ = Store(cache / "index.duckdb"), random.Random(9)
    store._take([found(random_, f"run-{place:02d}", place) for place in range(20)], [])
    store.boards()
    has_begun = threading.Event()

    def work(cursor: Any) -> None:
        standings.refresh(cursor, *BOARD)
        has_begun.set()
        cursor.execute("SELECT count(*) FROM range(1000000) a, range(1000000) b").fetchall()  # for days

    background = threading.Thread(target=store._beside.work, args=(BOARD, store.cursor, work))
    background.start()
    assert has_begun.wait(60)
    store.close()
    background.join(60)
    again = Store(cache / "index.duckdb")
    assert not again.note and len(again.query("FROM standings")) == 0
    assert_same_boards(again)
    again.close()


def test_work_beside_that_fails_leaves_nothing() -> None:
    store = Store()

    def work(cursor: Any) -> None:
        cursor.execute("INSERT INTO touched VALUES ('config', 7)")
        cursor.execute("SELECT nothing FROM nowhere")

    store._beside.work(("any",), store.cursor, work)
    assert len(store.query("FROM touched")) == 0
