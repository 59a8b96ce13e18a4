"""Ratings: what a listener hears in a clip, moment by moment or once for the song, and which instruments.

cache/ratings/<clip sha256>/clip.<suffix>    the clip itself: without it a rating means nothing
                            about.json       its title and length
                            <rater>.json     one rater's takes, which of them stand, and the steps that can be undone

Files are replaced atomically; a change reads, changes and writes under a lock, so that two tabs lose nothing of each
other. A take that was put once is kept for good: deleting only takes it off what stands.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import paths, rundir
from core.datasets import IRMAS_CLASSES
from core.takes import Rating
from core.takes import checked as check
from core.takes import rating as standing

FORMAT = 1
STEPS_MOST = 100
NAME_LONGEST = 40
EVERYONE = "everyone"
"""Not a rater: the mean of all of them, as a data set."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RatedClip:
    """A clip that somebody rated, as it is kept."""

    sha256: str
    title: str
    seconds: float
    path: Path


def folder() -> Path:
    """Where ratings lie."""
    place = paths.cache() / "ratings"
    place.mkdir(exist_ok=True)
    return place


def rater_id(name: str) -> str:
    """The file name of a rater: the name itself where it is plain, else what is plain of it and six hex digits.

    Case, outer and repeated spaces make no other rater. Raises ValueError for an empty, too long or unprintable name.
    """
    known = " ".join(unicodedata.normalize("NFC", name).split()).casefold()
    if not known or len(known) > NAME_LONGEST or not known.isprintable():
        raise ValueError(f"A rater's name has 1 to {NAME_LONGEST} printable characters; give another name.")
    if re.fullmatch(r"[a-z0-9_]+", known) and known != EVERYONE and known != "about":
        return known
    plain = re.sub(r"[^a-z0-9_]+", "-", known).strip("-")
    return f"{plain or 'rater'}-{hashlib.sha256(known.encode()).hexdigest()[:6]}"


def keep_clip(path: Path, sha256: str, title: str, seconds: float) -> None:
    """Keep the clip beside its ratings; done once per clip. OSError where the disk refuses."""
    place = _place(sha256)
    place.mkdir(parents=True, exist_ok=True)
    if _audio(place) is None:
        kept = place / f"clip{path.suffix.lower()}"
        making = place / f".{kept.name}.{os.getpid()}"
        try:
            shutil.copyfile(path, making)
            os.replace(making, kept)
        finally:
            making.unlink(missing_ok=True)
    if not (place / "about.json").exists():
        rundir.write_json(place / "about.json", {"title": title, "seconds": seconds})


def clips() -> list[RatedClip]:
    """All clips that have a rating that stands, by title."""
    found = []
    for place in folder().iterdir():
        path = _audio(place)
        if not _SHA256.fullmatch(place.name) or path is None or not ratings_of(place.name):
            continue
        about = _json(place / "about.json") or {}
        found.append(RatedClip(place.name, str(about.get("title", "clip")), float(about.get("seconds", 0.0)), path))
    return sorted(found, key=lambda clip: (clip.title, clip.sha256))


def ratings_of(sha256: str) -> dict[str, Rating]:
    """Rater's id → rating of this clip, where anything stands; damaged files are passed over."""
    found = {}
    for path in sorted(_place(sha256).glob("*.json")):
        stored = _json(path) if path.name != "about.json" else None
        if stored is not None and path.name[0] != ".":
            rating = standing(sha256, stored)
            if rating.takes or rating.instruments is not None:
                found[path.stem] = rating
    return found


def audio_of(sha256: str) -> Path | None:
    """The kept clip; None where it was never kept."""
    return _audio(_place(sha256))


def raters() -> dict[str, str]:
    """Id → name of everybody who rated anything."""
    return {rater: rating.rater for clip in clips() for rater, rating in ratings_of(clip.sha256).items()}


def read(sha256: str, name: str) -> Rating:
    """What `name` says about this clip; empty where nothing was said. ValueError for a name as in `rater_id`."""
    stored = _json(_place(sha256) / f"{rater_id(name)}.json")
    return standing(sha256, stored or _empty(name))


def put(sha256: str, name: str, takes: Sequence[Mapping[str, Any]], seconds: float = math.inf) -> None:
    """Keep takes as a page sends them (`id`, `kind`, `times_s`, `valence`, `arousal`), all of them or none.

    A known id is brought up to date, and never shortened by a message that comes late. Raises ValueError for what is
    no take: a wrong kind, lengths that differ, times that do not rise or lie past `seconds`, values outside 1–9.
    """
    checked = [check(take, seconds) for take in takes]

    def change(stored: dict[str, Any]) -> None:
        for take in checked:
            known = stored["takes"].get(take["id"])
            if known is None:
                _step(stored)
                stored["now"]["takes"].append(take["id"])
                stored["takes"][take["id"]] = take | {"at": datetime.now(UTC).isoformat(timespec="seconds")}
            elif len(take["times_s"]) >= len(known["times_s"]):
                stored["takes"][take["id"]] = take | {"at": known["at"]}

    if checked:
        _update(sha256, name, change)


def delete_take(sha256: str, name: str, take: str) -> None:
    """Take one take off what stands; undo brings it back."""

    def change(stored: dict[str, Any]) -> None:
        if take in stored["now"]["takes"]:
            _step(stored)
            stored["now"]["takes"].remove(take)

    _update(sha256, name, change)


def set_instruments(sha256: str, name: str, codes: Sequence[str] | None) -> None:
    """What plays: IRMAS codes, empty for none of them, None for "not said". ValueError for an unknown code."""
    unknown = [code for code in codes or () if code not in IRMAS_CLASSES]
    if unknown:
        raise ValueError(f"There is no instrument {unknown[0]!r}; there are {', '.join(IRMAS_CLASSES)}.")
    wanted = None if codes is None else [code for code in IRMAS_CLASSES if code in codes]

    def change(stored: dict[str, Any]) -> None:
        if stored["now"]["instruments"] != wanted:
            _step(stored)
            stored["now"]["instruments"] = wanted

    _update(sha256, name, change)


def undo(sha256: str, name: str) -> None:
    """Go back one step; nothing happens where there is none."""
    _update(sha256, name, lambda stored: _travel(stored, "undo", "redo"))


def redo(sha256: str, name: str) -> None:
    """Make the step that was undone again."""
    _update(sha256, name, lambda stored: _travel(stored, "redo", "undo"))


def saved_moments(sha256: str, name: str) -> dict[str, int]:
    """Take id → how many moments are on the disk, deleted takes too: what a page need not send again."""
    stored = _json(_place(sha256) / f"{rater_id(name)}.json") or _empty(name)
    return {take: len(about["valence"]) for take, about in stored["takes"].items()}


# ---- one file ----


def _place(sha256: str) -> Path:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is no clip: expected the 64 hexadecimal digits of its SHA-256.")
    return folder() / sha256


def _audio(place: Path) -> Path | None:
    return next((path for path in sorted(place.glob("clip.*")) if path.is_file()), None)


def _empty(name: str) -> dict[str, Any]:
    now: dict[str, Any] = {"takes": [], "instruments": None}
    return {"format": FORMAT, "rater": " ".join(name.split()), "takes": {}, "now": now, "undo": [], "redo": []}


def _json(path: Path) -> dict[str, Any] | None:
    """A stored file; None where there is none, or none that can be read."""
    try:
        stored = json.loads(path.read_text())
        if path.name != "about.json":
            standing("", stored)  # a file that lacks something is as damaged as one that is no JSON
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stored if isinstance(stored, dict) else None


def _update(sha256: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    place = _place(sha256)
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{rater_id(name)}.json"
    with _locked(place):
        stored = _json(path)
        if stored is None:
            if path.exists():  # damaged: whoever can read it by eye still finds it
                os.replace(path, path.with_suffix(f".damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}"))
            stored = _empty(name)
        before = json.dumps(stored)
        change(stored)
        if json.dumps(stored) != before:
            rundir.write_json(path, stored)


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _step(stored: dict[str, Any]) -> None:
    """Remember what stands, to be undone."""
    stored["undo"] = [*stored["undo"], json.loads(json.dumps(stored["now"]))][-STEPS_MOST:]
    stored["redo"] = []


def _travel(stored: dict[str, Any], source: str, target: str) -> None:
    if stored[source]:
        stored[target].append(stored["now"])
        stored["now"] = stored[source].pop()
