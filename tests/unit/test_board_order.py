"""Which board is shown unasked: one that ranks, of music, the user's newest; in a new lab the one with most runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from core import boards, paths
from core.store import memory_store
from tests.unit.test_store import finished


def place(data: str, task: str = "emotion", split: str = "grouped:0", when: int = 0, **about: Any) -> Path:
    """A finished run on a board of its own; a longer name is a younger run."""
    return finished(f"{data}-{task}-{split}-{'x' * when}", 0.5, 0.5, data=data, task=task, split=split, **about)


def ships(folder: Path) -> None:
    target = paths.starter() / "runs" / folder.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, target)


def order() -> list[tuple[str, str, str]]:
    store = memory_store()
    found = boards.in_order(store)
    assert len(found) == len(store.boards())
    store.close()
    return [tuple(row) for row in found[["task", "data", "split"]].to_numpy()]


def test_a_new_lab_opens_with_the_music_board_of_most_runs(cache: Path) -> None:
    ships(place("mnist", "digits", "whole", when=9))
    ships(place("mnist", "digits", when=8))
    ships(place("cues", "instruments", when=7))
    for seed in range(3):
        ships(place("deam", seed=seed, when=seed))
    assert order() == [
        ("emotion", "deam", "grouped:0"),
        ("instruments", "cues", "grouped:0"),
        ("digits", "mnist", "grouped:0"),
        ("digits", "mnist", "whole"),
    ]


def test_the_boards_of_ones_own_runs_come_first_the_newest_of_them_on_top(cache: Path) -> None:
    for seed in range(3):
        ships(place("deam", seed=seed, when=30 + seed))
    place("cues", "instruments", when=5)
    place("cues-small", when=1)
    place("toy", when=20)
    place("mnist", "digits", when=21)
    place("folder:a", split="random:1", when=22)
    assert [data for _, data, _ in order()] == ["cues", "cues-small", "deam", "mnist", "toy", "folder:a"]


def test_without_runs_there_is_no_board(cache: Path) -> None:
    assert order() == []


def test_what_is_kept_of_a_board_follows_the_runs_and_belongs_to_whoever_asked(cache: Path) -> None:
    place("deam")
    store = memory_store()

    def names() -> tuple[list[str], list[str]]:
        rows = boards.table(store, "emotion", limit=10)
        return boards.in_order(store)["data"].tolist(), rows.loc[rows["kind"] == "configuration", "data"].tolist()

    assert names() == (["deam"], ["deam"])
    rows, order = boards.table(store, "emotion", limit=10), boards.in_order(store)
    rows["data"] = order["data"] = "spoilt"
    assert names() == (["deam"], ["deam"])
    assert len(boards.table(store, "emotion", metric="r2_arousal", limit=10)) == 1, "another question"
    place("cues", when=3)
    store.sync()
    assert names() == (["cues", "deam"], ["cues", "deam"])
    store.close()


def test_what_was_pooled_while_the_index_changed_counts_as_of_before(cache: Path) -> None:
    place("deam")
    store = memory_store()

    def work() -> pd.DataFrame:
        found = store.boards()
        place("cues", when=3)
        store.sync()  # as another thread may, while pooling waits for the background
        return found

    assert len(store.kept("mixed", work)) == 1
    assert len(store.kept("mixed", store.boards)) == 2
    store.close()
