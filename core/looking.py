"""A look at run directories for the index: what is new in them, lot by lot, and what of them cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from core.ingest import Found, Seen, read_run

LINES_AT_ONCE = 8_000_000
"""Bytes of log taken in one go: an index of long runs must not be in memory twice, and DuckDB parses one lot while the
next is read."""


@dataclass
class Lot:
    """What was found in some of the directories: runs with something new, and runs whose files have come to rest."""

    changed: list[Found] = field(default_factory=list)
    rested: list[tuple[str, Seen]] = field(default_factory=list)
    size: int = 0


class Look:
    """One look at all of `folders` (run → place); `seen` is how far the index has read each, and may grow meanwhile.

    `unreadable` are runs too damaged to be shown, with a sentence.
    """

    def __init__(self, folders: Mapping[str, str], seen: Mapping[str, Seen], own: str, queued: Set[str] | None) -> None:
        """`own` is the folder of the user's runs, `queued` what `ingest.queued_runs` gave before."""
        self._folders, self._seen, self._own, self._queued = folders, seen, own, queued
        self.unreadable: dict[str, str] = {}

    def lots(self) -> Iterator[tuple[Lot, bool]]:
        """What is new, in lots of LINES_AT_ONCE, and whether more follows; the last one may be empty."""
        lot = Lot()
        for run, place in self._folders.items():
            found = read_run(place, self._seen.get(run), self._own, self._queued)
            if isinstance(found, str):
                self.unreadable[run] = found
            elif isinstance(found, Seen):
                lot.rested.append((run, found))
            elif found is not None:
                lot.changed.append(found)
                lot.size += sum(len(line) for _, line in found.lines)
            if lot.size > LINES_AT_ONCE:
                yield lot, True
                lot = Lot()
        yield lot, False


class Damage:
    """What of the runs cannot be read and is left out, run → a sentence (`told`)."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self._n_broken: dict[str, int] = {}

    def took(self, one: Found) -> None:
        """What was read of this run came into the index, but for its broken parts."""
        run = one.row["run"]
        n = one.n_broken + (0 if one.from_start else self._n_broken.get(run, 0))
        self._n_broken[run] = n
        self.told.pop(run, None)
        if n:
            parts = (
                f"{n} parts of run {run} cannot be read and are"
                if n > 1
                else f"A part of run {run} cannot be read and is"
            )
            self.told[run] = f"{parts} left out; the rest is shown."

    def keep(self, runs: Set[str]) -> None:
        """Forget all but these: the others are gone."""
        self.told = {run: said for run, said in self.told.items() if run in runs}

    @property
    def note(self) -> str:
        """The first sentence, and how many more there are; empty where all is well."""
        if not self.told:
            return ""
        more = f" So it is with {len(self.told) - 1} more; lab.py doctor names them." if len(self.told) > 1 else ""
        return next(iter(self.told.values())) + more
