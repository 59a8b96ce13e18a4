"""Named splits, and the rule that a group (song, recording, singer) never lies on two sides of one.

official            the publisher's train and test; validation is 1/9 of the training groups (seed 0)
whole               the publisher's train, all of it, and test; no validation, as published protocols often have it
grouped:S           80 / 10 / 10 by group, shuffled with seed S
cv10:S.F            ten folds by group: fold F is test, the next one validation; `cv10:S` is fold 0
leave-source:NAME   everything from one source is test, the rest 90 / 10 by group
random:S            80 / 10 / 10 by item, groups ignored: a leak wherever items share a group
all                 everything is test: to score a run on data it never saw

Where a publisher's test set is sealed (IRMAS: other music, other labels than the training clips), the splits that
divide items anew divide the rest, and leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core import metrics
from core.datasets import Dataset

PARTS = ("train", "validation", "test")
FOLDS = 10
MEANINGS = {
    "official": "The publisher's test set; a ninth of the training songs (or recordings) is validation.",
    "whole": "The publisher's training and test set as they are; nothing is left for validation.",
    "grouped": "80 / 10 / 10 by song (or recording): none lies on two sides.",
    "cv10": "Ten folds by song (or recording): none lies on two sides, and each is test in one fold.",
    "leave-source": "Everything from one source is test, the rest is learned from: does it carry over?",
    "random": "The leak, shown: 80 / 10 / 10 by file, so that clips of one song lie on both sides. There scores "
    "flatter and no board ranks them; grouped:S, with the same seed, is the honest split to set beside it.",
    "all": "Everything is test: to score a run on data it never saw.",
}
"""What a split of each kind does, for people."""
CHOICES = "official, whole, grouped:S, cv10:S, cv10:S.F, leave-source:NAME, random:S, all"


@dataclass(frozen=True)
class Split:
    """A split's name taken apart; `name` puts it together again in one spelling (`cv10:0` is `cv10:0.0`)."""

    kind: str
    seed: int = 0
    fold: int = 0
    source: str = ""

    @property
    def name(self) -> str:
        """The one spelling of this split."""
        tail = {
            "official": "",
            "whole": "",
            "all": "",
            "cv10": f":{self.seed}.{self.fold}",
            "leave-source": f":{self.source}",
        }
        return self.kind + tail.get(self.kind, f":{self.seed}")


def parse(name: str) -> Split:
    """The split that `name` asks for; ValueError for an unknown one, a seed that is no number, a fold past 9."""
    kind, colon, rest = name.partition(":")
    if kind in ("official", "whole", "all") and not colon:
        return Split(kind)
    if kind == "leave-source" and rest:
        return Split("leave-source", source=rest)
    if kind not in ("grouped", "cv10", "random"):
        raise ValueError(f"There is no split {name!r}; there are {CHOICES}.")
    seed, dot, fold = rest.partition(".") if kind == "cv10" else (rest, "", "")
    if not _is_number(seed):
        raise ValueError(f"The seed in the split {name!r} must be a whole number from 0, as in {kind}:0.")
    if dot and not (_is_number(fold) and int(fold) < FOLDS):
        raise ValueError(f"The fold in the split {name!r} must be 0 to {FOLDS - 1}, as in cv10:{seed}.3.")
    return Split(kind, seed=int(seed), fold=int(fold or 0))


def meaning(name: str) -> str:
    """What a split does, in a sentence; "" for a name that is none."""
    try:
        return MEANINGS[parse(name).kind]
    except ValueError:
        return ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def assign(dataset: Dataset, split_name: str) -> np.ndarray:
    """The part of each item: an array of n strings, "train", "validation", "test", or "" for items left out.

    The same data set and name always give the same parts, in whatever order the items come. Raises ValueError for a
    name it cannot read, a split this data set has not, and fewer groups than parts.
    """
    split = parse(split_name)
    if dataset.is_test_sealed and split.kind not in ("all", "official", "whole"):
        return _without_sealed(dataset, split_name)
    groups = np.asarray(dataset.groups, dtype=str)
    everywhere = np.ones(len(groups), dtype=bool)
    if split.kind == "all":
        return np.full(len(groups), "test", dtype="<U10")
    if split.kind in ("official", "whole"):
        return _official(dataset, groups, split.kind)
    if split.kind == "leave-source":
        return _leave_source(dataset, groups, split.source)
    if split.kind == "cv10":
        return _folds(dataset, groups, split)
    units = np.asarray(dataset.items, dtype=str) if split.kind == "random" else groups
    return _divide(dataset, split_name, units, everywhere, {"test": 0.1, "validation": 0.1}, split.seed)


def offered(dataset: Dataset) -> list[str]:
    """The splits this data set can be asked for, its default first; seeds and folds at 0, a source each."""
    groups = len(set(dataset.groups))
    found = ["official", "whole"] if dataset.official else []
    found += ["grouped:0"] if groups >= len(PARTS) else []
    found += ["cv10:0.0"] if groups >= FOLDS else []
    found += [
        f"leave-source:{name}"
        for name in sorted(set(map(str, () if dataset.sources is None else dataset.sources)) - {""})
    ]
    found += ["random:0"] if len(dataset.items) >= len(PARTS) else []
    return sorted([*found, "all"], key=lambda name: name != dataset.default_split)


def shared_groups(dataset: Dataset, assignment: np.ndarray) -> list[str]:
    """Groups that lie on more than one side of a split, by name; empty is the proof that none crosses."""
    used, groups = assignment != "", np.asarray(dataset.groups, dtype=str)
    sides = [set(groups[used & (assignment == part)]) for part in PARTS]
    return sorted((sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2]))


def is_leaky(dataset: Dataset, split_name: str) -> bool:
    """Whether some group lies on more than one side of this split, so that its scores flatter."""
    return bool(shared_groups(dataset, assign(dataset, split_name)))


def unlearned(dataset: Dataset, assignment: np.ndarray) -> list[str]:
    """Classes that validation or test ask for and no training item has, so that no model can tell them; by name.

    Empty for tasks without classes. A leave-source split may have such classes and still be worth running.
    """
    if dataset.task not in metrics.CLASS_TASKS:
        return []
    is_there = {part: (np.asarray(dataset.targets)[assignment == part] > 0).any(axis=0) for part in PARTS}
    asked = (is_there["validation"] | is_there["test"]) & ~is_there["train"]
    return [label for label, is_asked in zip(dataset.labels, asked, strict=True) if is_asked]


def check_for_training(dataset: Dataset, assignment: np.ndarray, monitor: str = "validation/loss") -> None:
    """Raises ValueError where this split cannot train: an empty part, one class only, labels that never change.

    `monitor` is what the trainer watches; one that watches its training part can do without validation.
    """
    for part in PARTS:
        if not (assignment == part).any() and not (part == "validation" and monitor.startswith("train/")):
            raise ValueError(f"The {part} part of {dataset.name} is empty with this split; choose another split.")
    train = np.asarray(dataset.targets)[assignment == "train"]
    if not train.shape[1]:
        return
    constant = np.ptp(train, axis=0) == 0
    has_classes = dataset.task in metrics.CLASS_TASKS
    if has_classes and constant.all():
        present = [label for label, value in zip(dataset.labels, train[0], strict=True) if value > 0]
        only = f"only {present[0]}" if len(present) == 1 else "the same labels on every item"
        raise ValueError(f"The training part of {dataset.name} has {only}: there is nothing to tell apart.")
    if not has_classes and constant.any():
        label = dataset.labels[int(np.flatnonzero(constant)[0])]
        raise ValueError(f"Every item in the training part of {dataset.name} has the same {label}: nothing to learn.")


def _without_sealed(dataset: Dataset, split_name: str) -> np.ndarray:
    is_open = np.array([dataset.official.get(str(item)) != "test" for item in dataset.items], dtype=bool)
    sources = None if dataset.sources is None else np.asarray(dataset.sources)[is_open]
    rest = replace(
        dataset, items=dataset.items[is_open], groups=dataset.groups[is_open], targets=dataset.targets[is_open],
        sources=sources, is_test_sealed=False,
    )  # fmt: skip
    parts = np.full(len(is_open), "", dtype="<U10")
    parts[is_open] = assign(rest, split_name)
    return parts


def _official(dataset: Dataset, groups: np.ndarray, kind: str) -> np.ndarray:
    if not dataset.official:
        raise ValueError(f"{dataset.name} has no {kind} split; use {dataset.default_split}, or cv10:S.F.")
    given = np.array([dataset.official.get(str(item), "") for item in dataset.items], dtype="<U10")
    given[(given == "train") & np.isin(groups, groups[given == "test"])] = ""  # a group of the test side stays there
    if kind == "whole":
        return given
    parts = _divide(dataset, "official", groups, given == "train", {"validation": 1 / 9}, seed=0)
    parts[given == "test"] = "test"
    return parts


def _leave_source(dataset: Dataset, groups: np.ndarray, source: str) -> np.ndarray:
    sources = np.asarray(dataset.sources if dataset.sources is not None else [""] * len(groups), dtype=str)
    known = sorted(set(sources) - {""})
    if source not in known:
        choices = f"it has {', '.join(known)}" if known else "its items carry no source"
        raise ValueError(f"{dataset.name} has no source {source!r}; {choices}.")
    held_out = sources == source
    rest = ~held_out & ~np.isin(groups, groups[held_out])  # a group with a foot in the test source is left out
    parts = _divide(dataset, f"leave-source:{source}", groups, rest, {"validation": 0.1}, seed=0)
    parts[held_out] = "test"
    return parts


def _folds(dataset: Dataset, groups: np.ndarray, split: Split) -> np.ndarray:
    names, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    _enough(dataset, split.name, len(names), FOLDS)
    order = np.random.default_rng(split.seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # the largest first, each to the fold with fewest items
    fold_of, filled = np.zeros(len(names), dtype=int), np.zeros(FOLDS, dtype=int)
    for group in order:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    fold = fold_of[which]
    parts = np.full(len(groups), "train", dtype="<U10")
    parts[fold == split.fold] = "test"
    parts[fold == (split.fold + 1) % FOLDS] = "validation"
    return parts


def _divide(
    dataset: Dataset, name: str, groups: np.ndarray, among: np.ndarray, shares: dict[str, float], seed: int
) -> np.ndarray:
    """Whole groups of the items `among` into parts of about `shares` of their number; the rest is "train"."""
    parts = np.full(len(groups), "", dtype="<U10")
    names, sizes = np.unique(groups[among], return_counts=True)
    _enough(dataset, name, len(names), len(shares) + 1)
    left = [int(i) for i in np.random.default_rng(seed).permutation(len(names))]
    for rank, (part, share) in enumerate(shares.items()):
        spare = len(left) - (len(shares) - rank)  # every part still to come needs a group
        chosen = _fill(left, sizes, round(share * int(among.sum())), spare)
        left = [group for group in left if group not in chosen]
        parts[among & np.isin(groups, names[list(chosen)])] = part
    parts[among & (parts == "")] = "train"
    return parts


def _fill(candidates: Sequence[int], sizes: np.ndarray, target: int, most: int) -> set[int]:
    """Groups from `candidates`, in their order, whose sizes add up to `target` as nearly as one pass finds."""
    chosen: set[int] = set()
    total = 0
    for group in candidates:
        if total + sizes[group] <= target and len(chosen) < most:
            chosen.add(group)
            total += sizes[group]
    if len(chosen) < most:  # one more, where overshooting comes nearer than stopping short
        rest = [group for group in candidates if group not in chosen]
        nearest = min(rest, key=lambda group: abs(total + sizes[group] - target))
        if not chosen or abs(total + sizes[nearest] - target) < abs(total - target):
            chosen.add(nearest)
    return chosen


def _enough(dataset: Dataset, name: str, have: int, need: int) -> None:
    if have < need:
        raise ValueError(
            f"The split {name} needs at least {need} groups (songs, recordings) and {dataset.name} has {have}; "
            "add data or choose another split."
        )
