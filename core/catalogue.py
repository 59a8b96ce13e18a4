"""Every data set the lab knows: what is here, what is missing and how to get it; adding and removing folders."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import datasets, paths, shelf
from core.datasets import Dataset, folder, splits
from core.datasets._known import FACTS

WRAPPER = "DEAM_Annotations"
"""The folder that one archive unpacks into; what is looked for may lie in it."""


@dataclass(frozen=True)
class Task:
    """What a data set offers for one task; `items` and `groups` are None where it is not here to be counted."""

    task: str
    items: int | None
    groups: int | None
    splits: list[str]
    default_split: str


@dataclass(frozen=True)
class Card:
    """One data set in a list. `state`: here, made here (rendered when first needed), missing, wrong (there, and not
    usable), known (the lab cannot load it yet) or needs a name (`folder:PATH`). `sentence` says what is missing or
    wrong and what to do; `added` is its folder where the user added it."""

    name: str
    state: str
    about: str
    sentence: str
    tasks: list[Task]
    homepage: str = ""
    size: str = ""
    licence: str = ""
    layout: str = ""
    added: str = ""
    version: str = ""
    parts: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON takes it."""
        return asdict(self)


def names() -> list[str]:
    """What the lab can load, added folders among it, then what it only knows by name."""
    own = datasets.names()
    return own + [name for name in FACTS if name not in own]


def card(name: str) -> Card:
    """What there is to say about one data set; never raises for one that is missing or wrong."""
    added = str(shelf.added().get(_place(name), ""))
    if name in FACTS and name not in datasets.names():
        return _known_card(name, added)
    try:
        module = datasets.module(name)
    except ValueError as error:
        return Card(name, "wrong", "", str(error), [])
    facts: dict[str, Any] = {key.lower(): getattr(module, key, "") for key in ("HOMEPAGE", "SIZE", "LICENCE", "LAYOUT")}
    about = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    if datasets.is_made_here(name):
        return _made_card(name, module, about, facts)
    if len(inspect.signature(module.load).parameters) == 3 and ":" not in datasets.unaliased(name):
        sentence = f"Use it as {name}:…; {about[:1].lower()}{about[1:]}"
        return Card(name, "needs a name", about, sentence, [_unknown(name, task) for task in module.TASKS], **facts)
    tasks = [_unknown(name, task) for task in module.TASKS]
    try:
        found = datasets.load(name)
    except datasets.Missing as error:
        held = _held(_where(_place(name), added), getattr(module, "PARTS", ()))
        return Card(name, "missing", about, str(error), tasks, added=added, parts=held, **facts)
    except ValueError as error:
        return Card(name, "wrong", about, str(error), tasks, added=added, **facts)
    facts["licence"] = found.licence
    return Card(name, "here", found.about, "", [_counted(found)], added=added, version=found.version, **facts)


def cards() -> list[Card]:
    """A card for each of `names()`."""
    return [card(name) for name in names()]


def add(name: str, place: str) -> Card:
    """Give a folder a name, or say where a known data set lies; the folder is looked at first.

    Raises ValueError with one sentence for each mistake found; nothing is remembered then.
    """
    problems = problems_with(name, place)
    if problems:
        raise ValueError("\n".join(problems))
    shelf.remember(name, _folder(place))
    return card(name)


def remove(name: str) -> Path:
    """Forget a name that was added; the folder and its files stay. ValueError where it was never added."""
    return shelf.forget(name)


def problems_with(name: str, place: str) -> list[str]:
    """Why `place` cannot be added as `name`, one sentence each; empty where it can."""
    found = []
    if not shelf.NAME.fullmatch(name):
        found.append(f"{name!r} cannot be the name of a data set: a name is {shelf.FORM}.")
    before = shelf.added().get(name)
    try:
        where = _folder(place)
    except ValueError as error:
        return [*found, str(error)]
    if before is not None and before != where:
        found.append(f"The name {name} stands for {before} already; remove that first, or choose another.")
    is_own = name in datasets.names() and before is None
    parts = _parts(name)
    if parts:
        absent = _absent(where, parts)
        if name in datasets.names():
            absent = _absent(where, parts[: getattr(datasets.module(name), "NEEDED_PARTS", len(parts))])
            is_enough = not absent
        else:  # it comes as several archives, and one of them is enough to say where it lies
            is_enough = len(absent) < len(parts)
        advice = _advice(name)
        return found if is_enough else found + [f"{where} holds {sentence}{advice}" for sentence in absent]
    if is_own:
        what = "is made by the lab itself" if datasets.is_made_here(name) else "is a data set of the lab"
        return [*found, f"{name} {what} and takes no folder; choose another name."]
    return found + folder.mistakes(str(where))


def _folder(place: str) -> Path:
    return folder.find_folder(place) if place.strip() else folder.find_folder("the folder you name")


def _place(name: str) -> str:
    """The name under which the folder of a data set is added."""
    if name in FACTS:
        return name
    try:
        return getattr(datasets.module(name), "PLACE", name) or name
    except ValueError:
        return name


def _parts(name: str) -> Sequence[tuple[str, int, str]]:
    """What the folder of a known data set must hold, where it is added under this very name."""
    if name not in datasets.names():
        return FACTS[name].parts if name in FACTS else ()
    module = datasets.module(name)
    parts: Sequence[tuple[str, int, str]] = getattr(module, "PARTS", ())
    return parts if getattr(module, "PLACE", name) == name else ()


def _absent(where: Path, parts: Sequence[tuple[str, int, str]]) -> list[str]:
    """A sentence for each part that the folder does not hold in full."""
    return [
        f"{part['files']:,} of {part['wanted']:,} files of {part['what']} ({part['pattern']})."
        for part in _held(where, parts)
        if part["files"] < part["wanted"]
    ]


def _held(where: Path | None, parts: Sequence[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """How much of each part a folder holds."""
    places = (where, where / WRAPPER) if where else ()
    return [
        {"what": what, "pattern": pattern, "wanted": wanted,
         "files": max((_count(place, pattern) for place in places), default=0)}
        for pattern, wanted, what in parts
    ]  # fmt: skip


def _advice(name: str) -> str:
    """What to do where a data set is not whole, to stand after what it lacks."""
    if name not in datasets.names():
        return f" Get the rest from {FACTS[name].homepage}."
    module = datasets.module(name)
    is_of_clips = getattr(module, "PARTS", ()) and "instruments" in module.TASKS
    instead = " To use what is there as it is, list it in a CSV and take it as folder:PATH." if is_of_clips else ""
    return f" Get the rest from {module.HOMEPAGE}.{instead}"


def _count(where: Path, pattern: str) -> int:
    try:
        return sum(1 for _ in where.glob(pattern))
    except OSError:
        return 0


def _where(name: str, added: str) -> Path | None:
    """The folder of a data set that comes from elsewhere, where there is one."""
    root = paths.data()
    places = [Path(added)] if added else []
    places += [root / name, root / name.upper()] if root else []
    return next((place for place in places if place.is_dir()), None)


def _known_card(name: str, added: str) -> Card:
    facts = FACTS[name]
    where = _where(name, added)
    parts = _held(where, facts.parts)
    whole = [part for part in parts if part["files"] >= part["wanted"]]
    if where is None:
        sentence = f"It is not here: get it from {facts.homepage} and run python lab.py data add {name} PATH."
    elif len(whole) == len(parts):
        sentence = f"All of it lies in {where}. This version of the lab does not load it yet."
    else:
        lacking = "; ".join(_absent(where, facts.parts)).replace(".;", ";")
        sentence = f"{where} holds {lacking} Get the rest from {facts.homepage}."
    tasks = [Task(task, None, None, [], "") for task in facts.tasks]
    return Card(name, "known", facts.about, sentence, tasks, facts.homepage, facts.size, facts.licence, facts.layout,
                added, parts=parts)  # fmt: skip


def _made_card(name: str, module: Any, about: str, facts: dict[str, Any]) -> Card:
    counts = getattr(module, "COUNTS", {})
    tasks = []
    for task in module.TASKS:
        items, groups = counts.get(task, (None, None))
        default = datasets.default_split(name, task)
        offered = [default, *(split for split in ("official", "grouped:0", "cv10:0.0", "random:0", "all")
                              if split != default and not (split == "official" and default != "official"))]  # fmt: skip
        tasks.append(Task(task, items, groups, offered, default))
    return Card(name, "made here", about, datasets.first_use(name), tasks, **facts)


def _unknown(name: str, task: str) -> Task:
    return Task(task, None, None, [], datasets.default_split(name, task))


def _counted(found: Dataset) -> Task:
    return Task(found.task, len(found.items), len(set(found.groups)), splits.offered(found), found.default_split)
