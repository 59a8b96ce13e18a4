"""Scores of a finished model: per item, with an interval, the predict-the-mean row and the ceiling beside them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from core import checkpoints, datasets, metrics, rundir, stats
from core.datasets import Dataset, Progress, no_progress, splits
from core.events import Inputs, Part

OF_ONE_LABEL = ("accuracy", "log_loss")
"""Scores that count the items with exactly one label alone, and so have an n of their own."""

if TYPE_CHECKING:  # half a second to import, and listening needs none of it
    import pandas as pd


@dataclass(frozen=True)
class Model:
    """A run's model, ready for its trainer's `predict`. `window_s` is the length of audio it learned from."""

    run: str
    trainer: str
    task: str
    data: str
    input: str
    window_s: float
    model: dict[str, Any]
    weights: str

    @functools.cached_property
    def stamp(self) -> str:
        """The weights by their content: what a cache of predictions must be keyed by, since files are overwritten."""
        found = hashlib.sha256()
        _digest(self.model, found.update)
        return found.hexdigest()[:16]


def _digest(value: Any, update: Callable[[Any], None]) -> None:
    """Hand every part of a nested dict of arrays, bytes and scalars to `update`, each with its place and kind."""
    if isinstance(value, dict):
        for key in sorted(value):
            update(f"<{key}>".encode())
            _digest(value[key], update)
    elif isinstance(value, list | tuple):
        for part in value:
            update(b"<>")
            _digest(part, update)
    elif isinstance(value, np.ndarray):
        update(f"{value.dtype.str} {value.shape}".encode())
        update(np.ascontiguousarray(value).data if value.size else b"")
    else:
        update(value if isinstance(value, bytes) else repr(value).encode())


def load_model(folder: Path, weights: str = "final") -> Model:
    """The model of a run; where it never finished, the best or last checkpoint's.

    `weights` may name a checkpoint: "final", "best", "last", "epoch-0003". Raises ValueError where the run has none.
    """
    spec = rundir.read_spec(folder)
    for name in dict.fromkeys((weights, "best", "last") if weights == "final" else (weights,)):
        path = folder / "checkpoints" / f"{name}.safetensors"
        if path.exists():
            state = checkpoints.load_state(path)
            return Model(
                spec.id, spec.trainer, spec.task, spec.data, state["input"], state["window_s"], state["model"], name
            )
    raise ValueError(f"Run {spec.id} has no checkpoint {weights!r} to predict with.")


def evaluate(
    trainer: ModuleType,
    model: Model,
    dataset: Dataset,
    assignment: np.ndarray,
    parts: tuple[str, ...] = ("validation", "test"),
    progress: Progress = no_progress,
    device: str = "cpu",
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score `model` on the named parts of a data set.

    Returns (report, predictions). The report has, per part, n items and groups and `metrics` name → value, low,
    high (95 % bootstrap over groups), and the same metrics of the baseline, which knows the training targets only.
    Of classes it also has `labels_per_item`, and `n_items` of each metric that counts some items only.
    The predictions are rows (part, item, group, time_s, label, truth, prediction).
    """
    import pandas as pd

    if model.input not in dataset.inputs:
        offered = ", ".join(dataset.inputs)
        raise ValueError(f"{dataset.name} offers {offered}; run {model.run} eats {model.input}.")
    report: dict[str, Any] = {"data": dataset.name, "data_version": dataset.version, "task": dataset.task, "parts": {}}
    tables = []
    for part in parts:
        chosen = np.flatnonzero(assignment == part)
        if len(chosen) == 0:
            continue
        rows = dataset.rows(model.input, chosen, model.window_s, progress)
        predicted = predict(trainer, model, rows, device)
        report["parts"][part] = _score(dataset, rows, predicted, dataset.targets[assignment == "train"])
        tables.append(_table(part, dataset, rows, predicted))
    report["ceiling"] = dict(dataset.ceiling)
    return report, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def predict(trainer: ModuleType, model: Model, rows: Part, device: str = "cpu") -> np.ndarray:
    """Predictions [n, labels] for the rows of a data set."""
    inputs = Inputs(model.input, rows.inputs, rows.times_s)
    return trainer.predict(model.model, inputs, device=device).values


def may_share_items(first: str, second: str) -> bool:
    """Whether two data sets, by name, may hold the same items: all of DEAM's do, and a small corpus is a large one cut.

    What two folders share cannot be told from their names, so any two may.
    """
    family = [datasets.unaliased(name).partition(":")[0].partition("-")[0] for name in (first, second)]
    return family[0] == family[1]


def short_name(data: str) -> str:
    """A data set's name for a sentence: of a folder somewhere, its last part."""
    return data.rstrip("/").rpartition("/")[2]


def refuse_leak(spec: rundir.Spec, trained: Dataset, dataset: Dataset, assignment: np.ndarray) -> None:
    """ValueError where the test part of `assignment` holds items or groups that `spec`'s run learned from.

    Items are known by their names, which stay the same in all data sets of a family; in a folder by their files.
    """
    if not may_share_items(trained.name, dataset.name) or _folder(trained) != _folder(dataset):
        return
    learned = splits.assign(trained, spec.split) == "train"
    scored = assignment == "test"
    items = set(trained.items[learned]) & set(dataset.items[scored])
    groups = set(trained.groups[learned]) & set(dataset.groups[scored])
    if items or groups:
        raise ValueError(
            f"Run {spec.id} learned from {len(items)} items and {len(groups)} groups of this test part "
            f"(it was trained on split {spec.split}); a score on them would be a leak. Use --split {spec.split}."
        )


def _folder(dataset: Dataset) -> Path | None:
    """The place of a `folder:PATH`, however PATH was written; None for data sets whose item names say enough."""
    if not dataset.name.startswith("folder:") or dataset.audio is None:
        return None
    levels = len(Path(str(dataset.items[0])).parts)
    return dataset.audio(0).resolve().parents[levels - 1]


def _score(dataset: Dataset, rows: Part, predicted: np.ndarray, train_targets: np.ndarray) -> dict[str, Any]:
    values = metrics.score(dataset.task, rows.targets, predicted, dataset.labels, rows.items)
    intervals = stats.bootstrap_scores(
        dataset.task, rows.targets, predicted, dataset.labels, rows.items, rows.groups, n_resamples=1000, seed=0
    )
    baseline: dict[str, float] = {}
    if len(train_targets):
        guess = metrics.baseline(dataset.task, train_targets, len(rows))
        baseline = metrics.score(dataset.task, rows.targets, guess, dataset.labels, rows.items)
    scores: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        low, high = intervals.get(name, (None, None))
        scores[name] = {"value": value, "low": low, "high": high}
    labels = {}
    if dataset.task in metrics.CLASS_TASKS:
        truth = metrics.per_item(dataset.task, rows.targets, predicted, rows.items)[0]
        counts = truth.sum(axis=1)
        labels["labels_per_item"] = float(counts.mean())
        for name in set(OF_ONE_LABEL) & set(scores):
            scores[name]["n_items"] = int((counts == 1).sum())
        for label, n in zip(dataset.labels, truth.sum(axis=0), strict=True):
            if f"recall_{label}" in scores:
                scores[f"recall_{label}"]["n_items"] = int(n)
    return {
        "n_items": len(set(rows.items)),
        "n_groups": len(set(rows.groups)),
        **labels,
        "metrics": scores,
        "baseline": baseline,
        "varied": "items, by group (bootstrap, 1,000 resamples)",
    }


def _table(part: str, dataset: Dataset, rows: Part, predicted: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    n, n_labels = predicted.shape
    return pd.DataFrame(
        {
            "part": part,
            "item": np.repeat(rows.items, n_labels),
            "group": np.repeat(rows.groups, n_labels),
            "time_s": np.repeat(rows.times_s, n_labels),
            "label": np.tile(np.asarray(dataset.labels), n),
            "truth": rows.targets.reshape(-1),
            "prediction": predicted.reshape(-1),
        }
    )
