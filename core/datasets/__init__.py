"""Data sets: one file each. The folder is the list; this file is the contract they keep.

A data set module has

    TASKS: tuple[str, ...]                      what it can be asked for, "emotion", "instruments" …
    DEFAULT_SPLITS: dict[str, str]              task → split where that is not "grouped:0" (optional)
    INPUTS_MADE_HERE: dict[str, tuple]          task → inputs of a set that is rendered, so that it can never be missing
                                                and its inputs are known before it is there (optional)
    FIRST_USE: str                              what the first run costs, in a sentence (optional)
    COUNTS: dict[str, tuple]                    task → (items, groups), for a set that is made here (optional)
    HOMEPAGE, SIZE, LICENCE, LAYOUT: str        where it comes from, how large it is, who may use it, and the folder it
                                                is expected as, a short tree (optional)
    PLACE: str                                  the name under which its folder is added: its own, unless several sets
                                                share one (optional)
    PARTS: tuple[tuple, ...]                    (pattern, files, what): what that folder must hold (optional)
    NEEDED_PARTS: int                           how many of them, from the first, it cannot do without, where that is
                                                not all (optional)
    def load(task, progress) -> Dataset         raises Missing when its files are not on this machine

`progress(fraction, sentence)` is called while something slow is made. A module may take a folder after a colon in
its name (`folder:PATH`); its `load` then has a third argument. A folder that was added under a name (core/shelf.py)
is a data set of that name, and `folder:PATH` is what it is called in a run.
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

from core import shelf
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
    is_test_sealed  whether the publisher's test items are test or nothing: no split trains or validates on them.
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
    is_test_sealed: bool = False
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
    """The data sets of this folder, by file name (`_` becomes `-`), and the folders that were added; alphabetical."""
    return sorted({*_own(), *_aliases()})


def _own() -> list[str]:
    skip = {"splits"}
    found = [m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__)]
    return sorted(name for name in found if name not in skip and name[0] != "-")


def _aliases() -> dict[str, Path]:
    """Added folders that are data sets themselves; whoever adds a known one says where it lies, not what it is."""
    from core.datasets._known import FACTS

    return {name: place for name, place in shelf.added().items() if name not in FACTS and name not in _own()}


def _import(name: str) -> ModuleType:
    return importlib.import_module(f"core.datasets.{name.replace('-', '_')}")


def unaliased(name: str) -> str:
    """`folder:PATH` for the name of a folder that was added, and any other name as it is."""
    place = _aliases().get(name)
    return f"folder:{place}" if place else name


def module(name: str) -> ModuleType:
    """The module of a data set; ValueError with the choices for an unknown name."""
    base = unaliased(name).partition(":")[0]
    if base not in _own():
        raise ValueError(f"There is no data set {name!r}; there are {', '.join(names())}; a folder is folder:PATH.")
    return _import(base)


def default_split(name: str, task: str) -> str:
    """The split a run on this data set uses unless told otherwise, known without loading it."""
    return getattr(module(name), "DEFAULT_SPLITS", {}).get(task, "grouped:0")


def settled(name: str) -> str:
    """The name by which every process finds the same data set, now and after a name was removed: the name of an added
    folder becomes its `folder:PATH`, and a place that depends on where this process works is made absolute
    (`settled(place)` of the module, where it has one)."""
    name = unaliased(name)
    found, (base, _, place) = module(name), name.partition(":")
    is_complete = bool(place) or not _needs_place(found)  # a name without the place it needs is refused by `load`
    return f"{base}:{found.settled(place)}" if hasattr(found, "settled") and is_complete else name


def lasting(name: str) -> str:
    """The name of a data set in whatever state it is, for what is kept about it: `settled` without a version, and
    nothing is written (`lasting(place)` of the module, where its `settled` does more)."""
    name = unaliased(name)
    found, (base, _, place) = module(name), name.partition(":")
    return f"{base}:{found.lasting(place)}" if hasattr(found, "lasting") else settled(name)


def stamp(name: str) -> str:
    """What changes when somebody edits the labels of a data set, without reading them; empty where nobody does."""
    name = unaliased(name)
    try:
        found = module(name)
        return str(found.stamp(name.partition(":")[2])) if hasattr(found, "stamp") else ""
    except (ValueError, OSError):  # unknown, or not here: whoever loads it says so
        return ""


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
    name = unaliased(name)
    found: Any = module(name)
    tasks = found.TASKS
    if task is not None and task not in tasks:
        raise ValueError(f"{name} has no labels for {task}; it has {', '.join(tasks)}.")
    place = name.partition(":")[2]
    if (place and not _takes_place(found)) or (not place and _needs_place(found)):
        raise ValueError(
            f"{name} needs a folder: {name}:PATH." if not place else f"{name.partition(':')[0]} takes no folder."
        )
    return found.load(task, progress, place) if place else found.load(task or tasks[0], progress)


def _takes_place(found: Any) -> bool:
    return len(inspect.signature(found.load).parameters) == 3


def _needs_place(found: Any) -> bool:
    third = list(inspect.signature(found.load).parameters.values())[2:]
    return any(parameter.default is inspect.Parameter.empty for parameter in third)
