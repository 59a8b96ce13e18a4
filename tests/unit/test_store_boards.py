"""What the index makes of finished runs: seeds pooled with the textbook's interval, and what a board ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core import boards, rundir
from core.store import memory_store
from tests.unit.test_rundir import spec
from tests.unit.test_store import finished


def rows_of(split: str = "grouped:0") -> pd.DataFrame:
    return memory_store().leaderboard("emotion", "toy", "1", split, "ccc")


@pytest.mark.parametrize("values", [(0.5, 0.7), (0.5, 0.6, 0.8), (0.31, 0.42, 0.35, 0.5, 0.44)])
def test_seeds_are_pooled_with_a_t_interval(cache: Path, values: tuple[float, ...]) -> None:
    for seed, value in enumerate(values):
        finished(f"run-{seed}", value, value / 2, seed=seed)
    rows = rows_of()
    assert len(rows) == 1
    row, n = rows.iloc[0], len(values)
    assert (row["n"], list(row["seeds"]), row["varied"]) == (n, list(range(n)), "training seed")
    for name, scores in (("validation", values), ("test", np.array(values) / 2)):
        low, high = stats.t.interval(0.95, n - 1, loc=np.mean(scores), scale=stats.sem(scores))
        assert row[name] == pytest.approx(np.mean(scores), abs=1e-12)
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high), abs=1e-9)


def test_two_seeds_by_hand(cache: Path) -> None:
    # mean 0.6, sd 0.2/√2, standard error 0.1, and t(0.975, 1 degree of freedom) = 12.706 in every table
    finished("run-0", 0.5, 0.5)
    finished("run-1", 0.7, 0.7, seed=1)
    row = rows_of().iloc[0]
    assert row["validation_low"] == pytest.approx(0.6 - 1.2706, abs=1e-4)
    assert row["validation_high"] == pytest.approx(0.6 + 1.2706, abs=1e-4)


def test_on_a_board_no_interval_reaches_beyond_the_score(cache: Path) -> None:
    finished("run-0", 0.5, 0.5)
    finished("run-1", 0.7, 0.7, seed=1)
    row = boards.table(memory_store(), "emotion").iloc[0]
    assert (row["validation_low"], row["test_low"]) == pytest.approx((0.6 - 1.2706,) * 2, abs=1e-4)
    assert (row["validation_high"], row["test_high"]) == (1, 1)  # where a CCC ends; 1.87 by the t interval


def test_one_seed_has_the_interval_over_items(cache: Path) -> None:
    finished("run-0", 0.5, 0.4)
    row = rows_of().iloc[0]
    assert (row["n"], row["varied"]) == (1, "items")
    assert (row["test_low"], row["test_high"]) == pytest.approx((0.3, 0.5))


def test_the_same_seed_twice_counts_once(cache: Path) -> None:
    finished("run-0", 0.5, 0.4)
    finished("run-0-again", 0.5, 0.4)
    row = rows_of().iloc[0]
    assert (row["n"], list(row["runs"]), row["varied"]) == (1, ["run-0-again"], "items")


def test_what_must_not_be_pooled_stands_alone(cache: Path) -> None:
    for seed in range(2):
        finished(f"exact-{seed}", 0.5, 0.4, seed=seed, are_seeds_pooled=False, trainer="ridge")
        finished(f"plain-{seed}", 0.6, 0.4, seed=seed)
        finished(f"steered-{seed}", 0.7, 0.4, seed=seed, steered=True)
    rows = rows_of()
    pooled = {tuple(row["runs"]) for _, row in rows.iterrows()}
    exact = [runs for runs in pooled if runs[0].startswith("exact")]
    assert len(exact) == 1 and len(exact[0]) == 1  # a trainer without randomness gives the same number for every seed
    assert pooled == {*exact, ("plain-0", "plain-1"), ("steered-0",), ("steered-1",)}
    notes = boards.table(memory_store(), "emotion").set_index("config_id")["note"]
    assert sorted(notes[notes == "steered"]) == ["steered", "steered"]


def test_versions_of_a_data_set_are_boards_of_their_own(cache: Path) -> None:
    finished("old", 0.9, 0.9, version="1")
    finished("new", 0.5, 0.4, version="2")
    store = memory_store()
    assert sorted(store.boards()["data_version"]) == ["1", "2"]
    for version, run in (("1", "old"), ("2", "new")):
        assert [list(runs) for runs in boards.table(store, "emotion", version=version)["runs"].dropna()] == [[run]]


def test_boards_rank_by_validation_and_show_their_anchors(cache: Path) -> None:
    finished("worse", 0.5, 0.9, config={"epochs": 1})
    finished("better", 0.6, 0.1, config={"epochs": 2})
    table = boards.table(memory_store(), "emotion", metric="ccc")
    assert list(table["name"][:2]) == ["toy (epochs 2)", "toy (epochs 1)"]
    assert list(table["rank"][:2]) == [1, 2]
    anchors = table.set_index("kind").loc[["baseline", "ceiling"]]
    assert list(anchors["test"]) == [0.0, 0.9]
    assert anchors["rank"].isna().all()


def test_what_has_not_ended_well_is_listed_below_and_not_ranked(cache: Path) -> None:
    finished("done", 0.5, 0.4, config={"epochs": 1})
    folder = finished("broken", 0.9, 0.9, config={"epochs": 2})
    rundir.set_status(folder, rundir.Status("diverged"))
    table = boards.table(memory_store(), "emotion")
    assert [list(runs) for runs in table["runs"][:2]] == [["done"], ["broken"]]
    assert list(table["rank"][:2].fillna(0)) == [1, 0]


@pytest.mark.parametrize("scored_first", [True, False])
def test_a_seed_that_diverged_keeps_its_configuration_out_however_early(cache: Path, scored_first: bool) -> None:
    finished("a", 0.5, 0.4, seed=0)
    finished("b", 0.6, 0.5, seed=1)
    folder = rundir.create(spec("c", seed=2, created_at="2026-01-01T00:00:03"))
    writer = rundir.Writer(folder)
    if scored_first:
        writer.event("metrics", step=1, epoch=1.0, values={"validation/ccc": 0.1})
    writer.set(state="diverged")
    writer.close()
    row = boards.table(memory_store(), "emotion").iloc[0]
    assert pd.isna(row["rank"]) and "diverged" in row["note"] and row["n"] == 2
    assert row["validation"] == pytest.approx(0.55)


def test_a_stopped_seed_is_not_averaged_with_finished_ones(cache: Path) -> None:
    finished("a", 0.5, 0.4, seed=0)
    folder = rundir.create(spec("b", seed=1, created_at="2026-01-01T00:00:03"))
    writer = rundir.Writer(folder)
    writer.event("metrics", step=1, epoch=1.0, values={"validation/ccc": 0.9})
    writer.set(state="stopped")
    writer.close()
    row = boards.table(memory_store(), "emotion").iloc[0]
    assert (row["n"], row["validation"], row["varied"], row["rank"]) == (1, 0.5, "items", 1) and "stopped" in row[
        "note"
    ]
    assert list(row["runs"]) == ["a"]


def test_leaky_splits_are_not_ranked(cache: Path) -> None:
    finished("run-0", 0.9, 0.9, split="random:3")
    table = boards.table(memory_store(), "emotion", split="random:3")
    row = table.iloc[0]
    assert pd.isna(row["rank"])
    assert "leak" in row["note"]


def test_a_run_that_was_stopped_on_a_leaky_split_is_not_ranked_either(cache: Path) -> None:
    for is_leaky in (False, True):
        folder = rundir.create(spec(f"run-{is_leaky}", split=f"random:{is_leaky:d}"))
        writer = rundir.Writer(folder)
        writer.event("data", version="1", input="toy12", is_leaky=is_leaky)
        writer.event("metrics", step=1, epoch=1.0, values={"validation/ccc": 0.9})
        writer.set(state="stopped")
        writer.close()
    store = memory_store()
    assert boards.table(store, "emotion", split="random:0").iloc[0]["rank"] == 1
    row = boards.table(store, "emotion", split="random:1").iloc[0]
    assert pd.isna(row["rank"]) and row["validation"] == 0.9 and "leak: groups cross this split" in row["note"]
    assert [row["is_leaky"] for row in store.best_runs("emotion", "ccc")] == [False, True]


def test_the_best_run_to_listen_with_is_not_one_that_a_leak_flatters(cache: Path) -> None:
    finished("leaky", 0.9, 0.9, split="random:3")
    finished("honest", 0.5, 0.5)
    assert [row["run"] for row in memory_store().best_runs("emotion", "ccc")] == ["honest", "leaky"]


def test_a_stopped_run_is_listed_with_its_last_validation_value(cache: Path) -> None:
    folder = rundir.create(spec())
    writer = rundir.Writer(folder)
    for step, value in enumerate((0.1, 0.5, 0.3)):
        writer.event("metrics", step=step, epoch=float(step), values={"validation/ccc": value})
    writer.set(state="stopped")
    writer.close()
    row = boards.table(memory_store(), "emotion").iloc[0]
    assert (row["validation"], row["note"], row["rank"]) == (0.3, "stopped", 1)
    assert pd.isna(row["test"])
