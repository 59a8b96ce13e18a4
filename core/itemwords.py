"""What the items of validation and test are, in words: where they differ in kind, two scores side by side mislead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets import INSTRUMENT_NAMES

if TYPE_CHECKING:  # half a second to import, and a card needs none of it
    import pandas as pd

RECALL = "recall_"
FEWEST = 10
"""Of fewer items than these a class's scores are mostly chance."""
MOST_NAMED = 6
MORE_LABELS = 1.25
"""From so many times the labels of the other part's items on, a part's items are told to be another task."""


@dataclass(frozen=True)
class Items:
    """The scored items of one part: `n` of them, `n_single` with exactly one label, `labels` on average.

    The latter two are None where nobody counted: in a task without classes, or in a report of an older version. `few`
    are the classes that some items have, but fewer than `FEWEST`, with how many that are.
    """

    n: int
    n_single: int | None = None
    labels: float | None = None
    few: tuple[tuple[str, int], ...] = field(default=(), compare=False)


def of_report(report: Mapping[str, Any]) -> dict[str, Items]:
    """Part → its items, of an evaluation report as `core.evaluation.evaluate` makes it."""
    found = {}
    for part, scores in report["parts"].items():
        single = scores["metrics"].get("accuracy", {}).get("n_items")
        counts = {name: score.get("n_items") for name, score in scores["metrics"].items()}
        found[part] = Items(int(scores["n_items"]), single, scores.get("labels_per_item"), _few(counts))
    return found


def of_scores(scores: pd.DataFrame) -> dict[str, Items]:
    """Part → its items, of rows of the index (part, metric, n_items, labels_per_item) of one data set and split."""
    found = {}
    for part, rows in scores.dropna(subset=["n_items"]).groupby("part"):
        labels, single = rows["labels_per_item"].max(), rows.loc[rows["metric"] == "accuracy", "n_items"].max()
        is_counted = labels == labels
        counts = dict(zip(rows["metric"], rows["n_items"], strict=True))
        found[str(part)] = Items(
            int(rows["n_items"].max()),
            int(single) if is_counted and single == single else None,
            float(labels) if is_counted else None,
            _few(counts),
        )
    return found


def _few(counts: Mapping[str, float | None]) -> tuple[tuple[str, int], ...]:
    """The classes of few items, the rarest first, of metric → how many items it counts: of a recall those that have
    the class."""
    of = {name.removeprefix(RECALL): n for name, n in counts.items() if name.startswith(RECALL) and n}
    return tuple(sorted(((label, int(n)) for label, n in of.items() if n < FEWEST), key=lambda pair: pair[1]))


def of_run(folder: Path, task: str) -> list[str]:
    """The sentences on each report of the run in `folder` that needs some, as a paragraph."""
    reports = [json.loads(path.read_text()) for path in sorted((folder / "evaluations").glob("*.json"))]
    told = [" ".join(sentences(of_report(report), task)) for report in reports]
    return [paragraph for paragraph in told if paragraph]


def sentences(parts: Mapping[str, Items], task: str) -> list[str]:
    """What a reader must know of the parts before comparing their scores; nothing where there is nothing to know."""
    told = [unlike(parts, task)]
    for part, items in sorted(parts.items(), reverse=True):
        told += [alone(items, part), rare(items, part)]
    return [sentence for sentence in told if sentence]


def unlike(parts: Mapping[str, Items], task: str) -> str:
    """That validation and test ask for different things, where the items of one have more labels than the other's."""
    first, second = (parts[part].labels if part in parts else None for part in ("validation", "test"))
    if not first or not second or max(first, second) / min(first, second) < MORE_LABELS:
        return ""
    what = "instruments" if task == "instruments" else "labels"
    return (
        f"Validation and test ask for different things here: a validation item has {first:.1f} {what} on average, a "
        f"test item {second:.1f}, and several at once are harder to tell than one alone. That, and not over-fitting "
        "alone, lies between the two scores."
    )


def alone(items: Items, part: str) -> str:
    """How many items accuracy counts, where that is not all of them."""
    if items.n_single is None or items.n_single == items.n:
        return ""
    return f"Accuracy counts only items with exactly one label: {items.n_single:,} of {items.n:,} {part} items."


def rare(items: Items, part: str) -> str:
    """Of which classes there are so few items that a mean over classes hangs on them, where it does."""
    if not items.few or items.labels is None:
        return ""
    names = [f"{INSTRUMENT_NAMES.get(label, label)} {n}" for label, n in items.few]
    told = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"Macro scores count every class alike, also those of which there are few {part} items: {told}."
