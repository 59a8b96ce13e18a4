"""Data sets: one file each. The folder is the list; this file is the contract they keep.

A data set module has

    TASKS: tuple[str, ...]                      what it can be asked for, "emotion", "instruments" …
    DEFAULT_SPLITS: dict[str, str]              task → split where that is not "grouped:0" (optional)
    INPUTS_MADE_HERE: dict[str, tuple]          task → inputs of a set that is rendered, so that it can never be missing
                                                and its inputs are known before it is there (optional)
    FIRST_USE: str                              what the first run costs, in a sentence (optional)
    def load(task, progress) -> Dataset         raises Missing when its files are not on this machine

`progress(fraction, sentence)` is called while something slow is made. A module may take a folder after a colon in
its name (`folder:PATH`); its `load` then has a third argument.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.events import Part

if TYPE_CHECKING:  # a rendering child imports this file, and pandas would be most of its start
    import pandas as pd

Progress = Callable[[float, str], None]

IRMAS_CLASSES = ("cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi")
"""The eleven IRMAS classes, in the order of every score vector in the lab."""

INSTRUMENT_NAMES = {
    "cel": "cello",
    "cla": "clarinet",
    "flu": "flute",
    "gac": "acoustic guitar",
    "gel": "electric guitar",
    "org": "organ",
    "pia": "piano",
    "sax": "saxophone",
    "tru": "trumpet",
    "vio": "violin",
    "voi": "voice",
}
"""The same classes in words, for people."""

EMOTION_LABELS = ("valence", "arousal")


class Missing(ValueError):
    """The files of a data set are not here. The text says what is missing, where it should be and how to get it."""


def no_progress(fraction: float, sentence: str) -> None:
    """A progress function for callers that show none."""


@dataclass(frozen=True)
class Dataset:
    """A data set as the lab sees it; n items, in a fixed order.

    items     n names, unique; groups n names (song, recording, singer: what must not cross a split). An item
              without a group is its own group, and `has_groups` is False when that is so for all.
    targets   [n, labels], in `unit` (valence and arousal 1–9; instruments 0 or 1, several may be 1).
    sources   n names of where an item comes from, for `leave-source:NAME`; empty strings where unknown.
    official  item → "train" or "test" where the publisher gave a split (validation is cut from train), else {}.
    ceiling   metric name → best value that label noise allows (`r2_valence` …), {} where unknown.
    raters    one row per rating (item, rater, then a column per label), None where there are none.
    traces    item → (times_s [t], values [t, labels]) where labels move in time, {} where they do not.
    inputs    the representations it offers, best first; `rows` makes them.
    rows      rows(input, indices, window_s, progress) -> Part. Audio sets cut windows of `window_s` seconds and use
              the trace, if any, for the target of each window; tables ignore `window_s`.
    audio     item index → path of its audio file, None where there is no audio.
    """

    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    unit: str
    items: np.ndarray
    groups: np.ndarray
    targets: np.ndarray
    inputs: tuple[str, ...]
    rows: Callable[[str, Sequence[int] | np.ndarray, float, Progress], Part]
    licence: str
    citation: str
    about: str
    default_split: str = "grouped:0"
    has_groups: bool = True
    sources: np.ndarray | None = None
    official: Mapping[str, str] = field(default_factory=dict)
    ceiling: Mapping[str, float] = field(default_factory=dict)
    raters: pd.DataFrame | None = None
    traces: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    window_s: Mapping[str, float] = field(default_factory=dict)
    audio: Callable[[int], Path] | None = None

    def __post_init__(self) -> None:
        n = len(self.items)
        assert len(self.groups) == n and self.targets.shape == (n, len(self.labels)), (n, self.targets.shape)
        assert len(set(self.items)) == n, "item names must be unique"


def names() -> list[str]:
    """The data sets of this folder, by file name (`_` becomes `-`), alphabetical."""
    skip = {"splits"}
    return sorted(
        m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name not in skip and m.name[0] != "_"
    )


def module(name: str) -> ModuleType:
    """The module of a data set; ValueError with the choices for an unknown name."""
    base = name.partition(":")[0]
    if base not in names():
        raise ValueError(f"There is no data set {name!r}; there are {', '.join(names())}.")
    return importlib.import_module(f"core.datasets.{base.replace('-', '_')}")


def default_split(name: str, task: str) -> str:
    """The split a run on this data set uses unless told otherwise, known without loading it."""
    return getattr(module(name), "DEFAULT_SPLITS", {}).get(task, "grouped:0")


def settled(name: str) -> str:
    """The name by which every process finds the same data set: a place that depends on where this one works is
    made absolute (`settled(place)` of the module, where it has one)."""
    found, (base, _, place) = module(name), name.partition(":")
    return f"{base}:{found.settled(place)}" if place and hasattr(found, "settled") else name


def is_made_here(name: str) -> bool:
    """Whether the data set is rendered on first use rather than found on the disk."""
    return hasattr(module(name), "INPUTS_MADE_HERE")


def first_use(name: str) -> str:
    """What the first run on a data set costs, in a sentence; empty where it costs nothing worth saying."""
    return getattr(module(name), "FIRST_USE", "")


def inputs_made_here(name: str, task: str) -> tuple[str, ...] | None:
    """The representations of a data set that is rendered on first use; None for one that must be loaded to know."""
    return getattr(module(name), "INPUTS_MADE_HERE", {}).get(task)


def load(name: str, task: str | None = None, progress: Progress = no_progress) -> Dataset:
    """The data set `name` for `task` (its first task where None).

    Raises ValueError for an unknown name or a task it does not have, and Missing where its files are not here.
    """
    found: Any = module(name)
    tasks = found.TASKS
    if task is not None and task not in tasks:
        raise ValueError(f"{name} has no labels for {task}; it has {', '.join(tasks)}.")
    place = name.partition(":")[2]
    takes_place = len(inspect.signature(found.load).parameters) == 3
    if takes_place != bool(place):
        raise ValueError(
            f"{name} needs a folder: {name}:PATH." if takes_place else f"{name.partition(':')[0]} takes no folder."
        )
    return found.load(task, progress, place) if takes_place else found.load(task or tasks[0], progress)
