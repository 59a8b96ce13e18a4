"""A score is refused where its items were learned from, whatever the data set is called; elsewhere it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import datasets, evaluation, rundir
from core.datasets import Dataset, no_progress, splits


def learned_from(data: str) -> rundir.Spec:
    return rundir.Spec("run", "toy", {}, data, "emotion", "grouped:0", 0, "cpu")


def check(trained: Dataset, dataset: Dataset, split: str) -> None:
    evaluation.refuse_leak(learned_from(trained.name), trained, dataset, splits.assign(dataset, split))


def test_data_sets_of_one_family_share_their_items() -> None:
    toy = datasets.load("toy", "emotion", no_progress)
    table, audio = replace(toy, name="deam", version="1"), replace(toy, name="deam-audio", version="2")
    check(table, audio, "grouped:0")
    for split in ("grouped:1", "all"):
        with pytest.raises(ValueError, match=r"would be a leak"):
            check(table, audio, split)
    check(table, replace(audio, name="folder:/elsewhere"), "all")  # the same names of other songs
    assert evaluation.may_share_items("cues", "cues-small")
    assert not evaluation.may_share_items("cues", "deam")


def test_a_folder_is_the_same_however_its_path_is_written(tmp_path: Path) -> None:
    toy = datasets.load("toy", "emotion", no_progress)

    def folder(name: str, place: Path) -> Dataset:
        items = np.array([f"songs/{item}" for item in toy.items])
        return replace(toy, name=name, items=items, groups=items, audio=lambda index: place / str(items[index]))

    one = folder("folder:mine", tmp_path / "mine")
    check(one, folder("folder:yours", tmp_path / "yours"), "all")
    with pytest.raises(ValueError, match=r"would be a leak"):
        check(one, folder(f"folder:{tmp_path}/mine", tmp_path / "yours" / ".." / "mine"), "all")
