"""The directory of a sweep: what was planned, and which run each cell and seed has. The only reader and writer.

cache/sweeps/<id>/sweep.toml    the file as it was given; what is edited later changes nothing here
                  plan.json     cells, seeds, runs; replaced atomically
                  paused        there while it is paused: its waiting runs keep their place, its groups hold
                  cancelled     there once it was cancelled
                  driver        there while a Bayesian design has cells to propose (core/sweeper.py)
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import disk
from core.sweepfile import Range, SweepFile
from core.sweepflags import root


@dataclass(frozen=True)
class Entry:
    """One planned run: the run that counts for this cell and seed, and the ones it stands in for (`before`).

    `outcome` is "pruned" where a search ended it early.
    """

    run: str
    cell: int
    seed: int
    together: str = ""
    before: list[str] = field(default_factory=list)
    outcome: str = ""


@dataclass(frozen=True)
class Record:
    """A sweep as planned. `cells` maps factors to levels, by number; `factors` are levels or ranges as in the file."""

    id: str
    name: str
    created_at: str
    trainer: str
    data: str
    split: str
    device: str
    seeds: list[int]
    factors: dict[str, Any]
    cells: list[dict[str, Any]]
    entries: list[Entry]
    title: str = ""
    design: str = "grid"
    is_quick: bool = False
    stage: str = ""
    trials: int = 0
    workers: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[str]:
        """The runs that count, one for each cell and seed."""
        return [entry.run for entry in self.entries]


def ids() -> list[str]:
    """All sweeps, newest first."""
    return sorted((e.name for e in os.scandir(root()) if e.is_dir() and e.name[0] != "."), reverse=True)


def find(sweep: str) -> Path:
    """The directory of a sweep by its id, the start of one or its name where only one has it, or `latest`.

    Raises ValueError where there is none, or several: what is done to a sweep must not be done to another.
    """
    known = ids()
    named = [one for one in known if one == sweep or re.sub(r"^\d{8}-\d{6}-|\.\d+$", "", one) == sweep]
    starting = [one for one in known if sweep and one.startswith(sweep)]
    if sweep == "latest" and known:
        return root() / known[0]
    found = [one for one in named if one == sweep] or named or starting
    if len(found) == 1:
        return root() / found[0]
    if found:
        more = " …" if len(found) > 5 else ""
        raise ValueError(f"{sweep!r} fits {len(found)} sweeps: {', '.join(found[:5])}{more}; say which.")
    raise ValueError(f"There is no sweep {sweep!r}; `python lab.py sweeps` lists them.")


def read(sweep: str) -> Record:
    """What was planned; ValueError where there is no such sweep, or its plan cannot be read."""
    folder = find(sweep)
    try:
        raw = json.loads((folder / "plan.json").read_bytes())
        known = {name: raw[name] for name in Record.__dataclass_fields__ if name in raw}
        fields = Entry.__dataclass_fields__
        entries = [Entry(**{k: v for k, v in entry.items() if k in fields}) for entry in raw["entries"]]
        return Record(**{**known, "id": folder.name, "entries": entries})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"The sweep {folder.name} has no readable plan.json ({error}).") from error


def peek(sweep: str) -> Record:
    """The same, read once for as long as its file is the same one: to look at, and not to write to."""
    folder = find(sweep)
    try:
        about = (folder / "plan.json").stat()
    except OSError:
        return read(sweep)
    return _of_file(str(folder), about.st_ino, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=16)
def _of_file(folder: str, inode: int, changed_ns: int, size: int) -> Record:
    return read(Path(folder).name)


def told(sweep: str, values: Mapping[str, Any]) -> str:
    """What tells a run with these knobs from the others of its sweep: "alpha 0.1, width 8"; empty where it has none."""
    try:
        names = _varied(str(root()), sweep) if sweep else ()
    except ValueError:  # deleted, or damaged: the page Sweeps says so
        return ""
    found = {name: values[name] for name in names if name in values}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()
    )


@functools.lru_cache(maxsize=64)
def _varied(place: str, sweep: str) -> tuple[str, ...]:
    """The knobs that a sweep varies; they are chosen before its first run."""
    return tuple(read(sweep).factors)


def write(record: Record) -> None:
    """Replace the plan, synced: runs are made only after they stand in it."""
    disk.replace(root() / record.id / "plan.json", json.dumps(asdict(record), indent=1).encode(), is_synced=True)


def create(record: Record, text: str, *flags: str) -> Record:
    """Make the directory of a new sweep, complete or not at all; returns the record with the id it got."""
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    making = root() / f".{stamp}-{record.name}.{os.getpid()}"
    making.mkdir()
    (making / "sweep.toml").write_text(text, encoding="utf-8")
    for flag in flags:
        (making / flag).touch()
    number = 1
    while True:
        name = f"{stamp}-{record.name}" + (f".{number}" if number > 1 else "")
        named = replace(record, id=name, entries=[_renamed(entry, name) for entry in record.entries])
        disk.replace(making / "plan.json", json.dumps(asdict(named), indent=1).encode(), is_synced=True)
        try:
            os.rename(making, root() / name)  # refused where there is one: it is never empty
            return named
        except OSError:
            if not (root() / name).exists():
                raise
            number += 1


def _renamed(entry: Entry, sweep: str) -> Entry:
    return replace(entry, together=f"{sweep}{entry.together}" if entry.together else "")


@contextlib.contextmanager
def changing(sweep: str) -> Iterator[Record]:
    """Held while the plan of a sweep is changed: two who add seeds must not undo each other. Gives the record."""
    with (find(sweep) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read(sweep)


def as_json(factors: dict[str, Any]) -> dict[str, Any]:
    """Factors as JSON: a list of levels, or the ends of a range."""
    return {k: asdict(v) if isinstance(v, Range) else list(v) for k, v in factors.items()}


def file_of(record: Record) -> SweepFile:
    """The file the sweep was started from, with what was added since; ValueError where it cannot be read any more."""
    from core import sweepfile

    made = sweepfile.read(root() / record.id / "sweep.toml", quick=record.is_quick, stage=record.stage)
    factors = {k: Range(**v) if isinstance(v, dict) else tuple(v) for k, v in record.factors.items()}
    search = replace(made.search, trials=record.trials or made.search.trials)
    return replace(made, factors=factors, seeds=tuple(record.seeds), search=search)
