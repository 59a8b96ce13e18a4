"""Where the user's data lies, by name: kept in the cache (`data/added.json`). Nothing is copied, nothing is deleted."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from core import paths

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
FORM = "1 to 40 small letters, digits, - _ or ., the first a letter or a digit"


def added() -> dict[str, Path]:
    """Name → folder of everything that was added in this cache, by name; a damaged file counts as empty."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: Path(place) for name, place in sorted(found.items()) if isinstance(place, str)}


def remember(name: str, folder: Path) -> None:
    """Keep `name` for `folder`; ValueError for a name of another form, or one that stands for another folder."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a data set: a name is {FORM}.")
    folder = folder.resolve()

    def change(found: dict[str, Path]) -> None:
        if found.get(name, folder) != folder:
            raise ValueError(f"The name {name} stands for {found[name]} already; remove that first, or choose another.")
        found[name] = folder

    _change(change)


def forget(name: str) -> Path:
    """Drop a name and return the folder it stood for, which stays as it is; ValueError where it was never added."""
    gone: list[Path] = []

    def change(found: dict[str, Path]) -> None:
        if name not in found:
            there = f"there are {', '.join(found)}" if found else "nothing has been added"
            raise ValueError(f"No data set was added under the name {name!r}; {there}.")
        gone.append(found.pop(name))

    _change(change)
    return gone[0]


def _file() -> Path:
    return paths.cache() / "data" / "added.json"


def _change(change: Callable[[dict[str, Path]], None]) -> None:
    """Read, change and replace the file, one process at a time: the app and a terminal may both add."""
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = added()
        if not found and file.exists() and file.read_bytes().strip() not in (b"", b"{}"):
            os.replace(file, file.with_suffix(".damaged"))  # what cannot be read is kept, not written over
        change(found)
        new = file.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps({key: str(place) for key, place in found.items()}, indent=1), encoding="utf-8")
        os.replace(new, file)
