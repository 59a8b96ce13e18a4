"""Where a model of classes is most wrong, and which items it changed its mind about from one epoch to another."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import disk, evaluation, paths, rundir, scored, windows
from core.config import fingerprint
from core.datasets import Dataset, splits
from core.events import Inputs
from core.runner import load_trainer
from core.scored import Scored
from core.wording import percent_text

VERSION = 1
"""Raised where what is kept would come out otherwise."""

PARTS = ("validation", "test")
MOST = 3
BLOCK_ROWS = 64
READING = 0.5  # share of the work that is making what the model eats

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Move:
    """How one item's score for one class changed between two checkpoints; `row` is its place among the items."""

    row: int
    label: str
    before: float
    after: float
    is_there: bool

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def is_better(self) -> bool:
        """Whether it moved towards the truth."""
        return (self.change > 0) == self.is_there


def missed(one: Scored, label: str, most: int = MOST) -> list[int]:
    """The rows of the items that have the class and score lowest, the lowest first."""
    return _extreme(one, label, most, is_there=True)


def false_alarms(one: Scored, label: str, most: int = MOST) -> list[int]:
    """The rows of the items that do not have the class and score highest, the highest first."""
    return _extreme(one, label, most, is_there=False)


def _extreme(one: Scored, label: str, most: int, *, is_there: bool) -> list[int]:
    column = one.labels.index(label)
    rows = np.flatnonzero((one.truth[:, column] > 0) == is_there)
    scores = one.scores[rows, column] * (1 if is_there else -1)
    return rows[np.argsort(scores, kind="stable")[:most]].tolist()


def moves(first: Scored, second: Scored, most: int = MOST) -> list[Move]:
    """The items whose prediction changed most, the largest change first; each with the class that changed most.

    Both hold the same items in the same order. Items without any change are no moves.
    """
    assert first.labels == second.labels and (first.items == second.items).all(), "two models, the same items"
    changes = second.scores - first.scores
    column = np.abs(changes).argmax(axis=1) if len(first) else np.zeros(0, int)
    largest = np.abs(changes[np.arange(len(first)), column])
    found = []
    for row in np.argsort(-largest, kind="stable")[:most].tolist():
        k = int(column[row])
        if largest[row] > 0:
            before, after = float(first.scores[row, k]), float(second.scores[row, k])
            found.append(Move(row, first.labels[k], before, after, bool(first.truth[row, k] > 0)))
    return found


def best_labels(one: Scored, row: int, most: int = MOST) -> list[tuple[str, float]]:
    """The classes an item scores highest in, with those scores."""
    order = np.argsort(-one.scores[row], kind="stable")[:most]
    return [(one.labels[k], float(one.scores[row, k])) for k in order]


def true_labels(one: Scored, row: int) -> list[str]:
    """The classes an item has."""
    return [label for label, is_there in zip(one.labels, one.truth[row] > 0, strict=True) if is_there]


# ---- asking a model again ----


def epochs(folder: Path) -> list[int]:
    """The epochs of the run in `folder` whose weights are kept, in order."""
    found = (path.stem.rpartition("-")[2] for path in (folder / "checkpoints").glob("epoch-*.safetensors"))
    return sorted(int(number) for number in found if number.isascii() and number.isdecimal())


def stored(folder: Path, part: str) -> Scored | None:
    """What the finished run in `folder` predicted, as it was scored; None where that is not kept."""
    path = folder / "predictions.parquet"
    if not path.exists():
        return None
    try:
        return scored.read(path, part)
    except ValueError as error:
        raise ValueError(f"Run {folder.name}: {error}.") from None


def model(folder: Path, epoch: int | None) -> evaluation.Model:
    """The model of a run as an epoch left it; the final one for None. ValueError where that is not kept."""
    return evaluation.load_model(folder, "final" if epoch is None else f"epoch-{epoch:04d}")


def asked_before(one: evaluation.Model, dataset: Dataset, split: str, part: str) -> Scored | None:
    """What `ask` would return, where it is kept; None where the model is yet to be asked."""
    try:
        with np.load(_place(one, dataset, split, part), allow_pickle=False) as file:
            parts = [file[name] for name in ("items", "groups", "truth", "scores")]
        return Scored(dataset.labels, *parts)
    except (OSError, ValueError, KeyError, EOFError, AssertionError, zipfile.BadZipFile):
        return None


def ask(one: evaluation.Model, dataset: Dataset, split: str, part: str, tell: Tell) -> Scored:
    """What a model says about the items of a part; computed once, then read from the cache.

    `tell` hears the share that is done and may raise to end it. ValueError where the part is empty, or the data do not
    offer what the model eats.
    """
    kept = asked_before(one, dataset, split, part)
    if kept is not None:
        return kept
    chosen = np.flatnonzero(splits.assign(dataset, split) == part)
    if not len(chosen):
        raise ValueError(f"The split {split} of {dataset.name} has no {part} part.")
    if one.input not in dataset.inputs:
        raise ValueError(f"{dataset.name} offers {', '.join(dataset.inputs)}; run {one.run} eats {one.input}.")
    rows = dataset.rows(one.input, chosen, one.window_s, lambda share, note: tell(READING * share, note))
    trainer, parts = load_trainer(one.trainer), []
    for first in range(0, len(rows), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        inputs = Inputs(one.input, rows.inputs[block], rows.times_s[block])
        parts.append(trainer.predict(one.model, inputs).values)
        share = min(1.0, (first + BLOCK_ROWS) / len(rows))
        tell(READING + (1 - READING) * share, f"asked about {percent_text(share)} of {len(rows):,} excerpts")
    made = scored.of_rows(dataset.labels, rows.items, rows.groups, rows.targets, np.concatenate(parts))
    kept_as = _place(one, dataset, split, part)
    disk.keep_arrays(kept_as, items=made.items, groups=made.groups, truth=made.truth, scores=made.scores)
    return made


def ask_both(folder: Path, pair: tuple[int, int], dataset: Dataset, part: str, tell: Tell) -> tuple[Scored, Scored]:
    """What two epochs of the run in `folder` say about the items of a part."""
    split = rundir.read_spec(folder).split

    def one(number: int) -> Scored:
        def told(share: float, note: str) -> None:
            tell((number + share) / 2, f"epoch {pair[number]}: {note}")

        return ask(model(folder, pair[number]), dataset, split, part, told)

    return one(0), one(1)


def _place(one: evaluation.Model, dataset: Dataset, split: str, part: str) -> Path:
    what = [one.trainer, one.stamp, one.input, one.window_s, dataset.name, dataset.version, split, part]
    name = fingerprint([*what, windows.FEATURES_VERSION, VERSION])
    return paths.cache() / "asked" / f"{name}.npz"
