"""Named splits: groups stay whole, parts have their sizes, and every wrong name is one sentence."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from core.datasets import Dataset, splits

NAMES = ("grouped:0", "grouped:7", "cv10:0", "cv10:3.9", "leave-source:b", "official")


def dataset(groups, *, targets=None, sources=None, official=None, task="emotion", items=None, labels=None) -> Dataset:
    groups = np.asarray(groups, dtype=str)
    n = len(groups)
    targets = np.random.default_rng(0).uniform(1, 9, size=(n, 2)) if targets is None else np.asarray(targets, float)
    return Dataset(
        name="stand-in",
        version="0",
        task=task,
        labels=labels or ("valence", "arousal", "cel")[: targets.shape[1]],
        unit="1–9",
        items=np.array([f"item {i:05d}" for i in range(n)]) if items is None else np.asarray(items),
        groups=groups,
        targets=targets,
        inputs=(),
        rows=lambda *_: None,
        licence="",
        citation="",
        about="",
        sources=None if sources is None else np.asarray(sources),
        official=official or {},
    )


def crossing(groups: np.ndarray, parts: np.ndarray) -> list[str]:
    sides = {g: set(parts[(groups == g) & (parts != "")]) for g in set(groups)}
    return [g for g, on in sides.items() if len(on) > 1]


@pytest.mark.parametrize("seed", range(50))
def test_a_group_never_crosses_whatever_the_groups(seed):
    rng = np.random.default_rng(seed)
    n_groups = int(rng.integers(12, 60))
    sizes = rng.geometric(rng.uniform(0.05, 0.9), size=n_groups)
    groups = rng.permutation(np.repeat([f"song {i}" for i in range(n_groups)], sizes))
    stray = rng.random(len(groups)) < 0.03  # some groups have a foot in two sources, or in train and test
    sources = np.where(stray, "b", np.array(["a", "b", "c"])[[int(g[5:]) % 3 for g in groups]])
    official = {f"item {i:05d}": "test" if i == 0 or stray[i] else "train" for i in range(len(groups))}
    data = dataset(groups, sources=sources, official=official)
    for name in NAMES:
        parts = splits.assign(data, name)
        assert not crossing(groups, parts), name
        assert not splits.is_leaky(data, name)
        assert set(parts) - {""} == set(splits.PARTS), name


def test_parts_are_80_10_10_by_item():
    singles = Counter(splits.assign(dataset(range(1802)), "grouped:0").tolist())
    assert singles == {"train": 1442, "validation": 180, "test": 180}
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(300), rng.integers(1, 12, size=300))
    for seed in range(5):
        count = Counter(splits.assign(dataset(groups), f"grouped:{seed}").tolist())
        assert abs(count["test"] - len(groups) / 10) <= 1 and abs(count["validation"] - len(groups) / 10) <= 1


def test_a_giant_group_does_not_empty_a_part():
    groups = ["giant"] * 100 + ["small", "tiny"]
    for seed in range(5):
        assert set(splits.assign(dataset(groups), f"grouped:{seed}")) == set(splits.PARTS)


def test_official_takes_a_ninth_of_the_training_songs_for_validation():
    official = {f"item {i:05d}": "train" if i < 1744 else "test" for i in range(1802)}
    parts = splits.assign(dataset(range(1802), official=official), "official")
    assert Counter(parts.tolist()) == {"train": 1550, "validation": 194, "test": 58}
    assert (parts[1744:] == "test").all()


def test_ten_folds_test_every_item_once():
    groups = np.repeat(np.arange(90), np.random.default_rng(0).integers(1, 6, size=90))
    data = dataset(groups)
    folds = [splits.assign(data, f"cv10:5.{fold}") for fold in range(10)]
    assert (sum((parts == "test").astype(int) for parts in folds) == 1).all()
    sizes = [int((parts == "test").sum()) for parts in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in range(10):  # validation of a fold is the test of the next
        assert ((folds[fold] == "validation") == (folds[(fold + 1) % 10] == "test")).all()
    assert (splits.assign(data, "cv10:5") == folds[0]).all()


def test_leave_source_tests_that_source_alone():
    sources = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 20)
    parts = splits.assign(dataset(range(100), sources=sources), "leave-source:b")
    assert ((parts == "test") == (sources == "b")).all()
    assert Counter(parts.tolist()) == {"train": 63, "validation": 7, "test": 30}


def test_a_group_with_a_foot_in_the_left_out_source_is_left_out():
    groups = [*"pqrstuvwxy", "shared", "shared"]
    sources = ["a"] * 10 + ["a", "b"]
    parts = splits.assign(dataset(groups, sources=sources), "leave-source:b")
    assert parts[-1] == "test" and parts[-2] == ""


def test_random_ignores_groups_and_says_so():
    data = dataset(np.repeat(np.arange(20), 10))
    assert splits.is_leaky(data, "random:0") and not splits.is_leaky(data, "grouped:0")
    assert not splits.is_leaky(dataset(range(200)), "random:0")  # nothing to leak where every item stands alone
    assert Counter(splits.assign(data, "random:0").tolist()) == {"train": 160, "validation": 20, "test": 20}


@pytest.mark.parametrize("name", ["grouped:3", "random:3", "cv10:3.4", "leave-source:b"])
def test_the_order_of_the_items_does_not_matter(name):
    rng = np.random.default_rng(0)
    groups = np.array([f"g{i}" for i in np.repeat(np.arange(40), 3)])
    sources = np.where(np.arange(120) < 60, "a", "b")
    items = np.array([f"item {i}" for i in range(120)])
    order = rng.permutation(120)
    straight = splits.assign(dataset(groups, sources=sources, items=items), name)
    shuffled = splits.assign(dataset(groups[order], sources=sources[order], items=items[order]), name)
    assert (straight[order] == shuffled).all()


def test_another_seed_is_another_split():
    data = dataset(range(100))
    assert (splits.assign(data, "grouped:0") != splits.assign(data, "grouped:1")).any()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("halves", "There is no split 'halves'; there are official, whole, grouped:S"),
        ("", "There is no split ''"),
        ("leave-source:", "There is no split"),
        ("official:1", "There is no split"),
        ("grouped", "must be a whole number"),
        ("grouped:x", "must be a whole number"),
        ("grouped:-1", "must be a whole number"),
        ("grouped:٣", "must be a whole number"),
        ("cv10:0.10", "must be 0 to 9"),
        ("cv10:0.", "must be 0 to 9"),
        ("official", "has no official split; use grouped:0"),
        ("leave-source:z", "no source 'z'; it has a, b"),
    ],
)
def test_a_wrong_split_is_one_sentence(name, sentence):
    data = dataset(range(20), sources=["a", "b"] * 10)
    with pytest.raises(ValueError) as refused:
        splits.assign(data, name)
    assert sentence in str(refused.value)


def test_fewer_groups_than_parts_is_refused():
    with pytest.raises(ValueError, match=r"needs at least 3 groups .* has 2"):
        splits.assign(dataset(["a"] * 10 + ["b"] * 10), "grouped:0")
    with pytest.raises(ValueError, match=r"needs at least 10 groups .* has 9"):
        splits.assign(dataset(range(9)), "cv10:0")


def test_one_spelling_of_a_name():
    assert splits.parse("cv10:4").name == "cv10:4.0" == splits.parse("cv10:4.0").name
    for name in ("official", "grouped:12", "random:0", "leave-source:a:b c"):
        assert splits.parse(name).name == name


def test_every_kind_of_split_says_what_it_does_and_a_leak_that_it_is_one():
    for name in ("official", "whole", "grouped:3", "cv10:1.2", "leave-source:x", "random:0", "all"):
        assert splits.meaning(name).endswith((".", "?")), name
        assert ("leak" in splits.meaning(name)) == name.startswith("random")
    assert splits.meaning("sometimes") == ""


def test_a_sealed_test_set_is_left_out_of_every_other_split():
    groups, sources = np.repeat(range(40), 2), np.repeat(["a", "b"] * 20, 2)
    official = {f"item {i:05d}": "test" if i >= 60 else "train" for i in range(80)}
    data = replace(dataset(groups, sources=sources, official=official), is_test_sealed=True)
    rest = dataset(groups[:60], sources=sources[:60])
    for name in ("grouped:0", "cv10:2.3", "random:1", "leave-source:b"):
        parts = splits.assign(data, name)
        assert set(parts[60:]) == {""} and parts[:60].tolist() == splits.assign(rest, name).tolist(), name
    assert set(splits.assign(data, "official")[60:]) == {"test"} and set(splits.assign(data, "all")) == {"test"}


def test_a_class_that_is_tested_and_never_learned_is_named():
    targets = np.eye(4)[[0, 1, 0, 1, 2, 0, 2, 1]]  # of the fourth class there is nothing anywhere
    parts = np.array(["train"] * 4 + ["validation", "validation", "test", ""])
    data = dataset(range(8), targets=targets, task="instruments", labels=("cel", "cla", "flu", "gac"))
    assert splits.unlearned(data, parts) == ["flu"]
    parts[6] = "train"
    assert splits.unlearned(data, parts) == []
    assert splits.unlearned(dataset(range(8)), parts) == []


def test_training_is_refused_where_nothing_can_be_learned():
    parts = np.array(["train"] * 4 + ["validation", "test"])
    fine = dataset(range(6))
    splits.check_for_training(fine, parts)
    with pytest.raises(ValueError, match="test part of stand-in is empty"):
        splits.check_for_training(fine, np.array(["train"] * 5 + ["validation"]))
    with pytest.raises(ValueError, match="has the same valence"):
        splits.check_for_training(dataset(range(6), targets=[[5, 1 + i] for i in range(6)]), parts)
    one = [[0, 1]] * 4 + [[1, 0]] * 2
    with pytest.raises(ValueError, match="has only pia"):
        splits.check_for_training(dataset(range(6), targets=one, task="instruments", labels=("cel", "pia")), parts)
