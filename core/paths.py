"""Where things lie: the cache, the user's data folder, the starter runs."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """The cache folder: `EARSHOT_CACHE`, else `cache/` in the project. Made when missing."""
    folder = Path(os.environ.get("EARSHOT_CACHE") or PROJECT / "cache").expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def runs() -> Path:
    """The folder of the user's runs, inside the cache."""
    folder = cache() / "runs"
    folder.mkdir(exist_ok=True)
    return folder


def at_work() -> Path:
    """A file in the cache that is there while processes train: who finds it without a supervisor knows that one was
    killed."""
    return cache() / "at_work"


def trash() -> Path:
    """The folder of deleted runs, inside the cache; they can be restored until it is emptied."""
    folder = cache() / "trash"
    folder.mkdir(exist_ok=True)
    return folder


def starter() -> Path:
    """The folder of the finished runs that ship with the project; `EARSHOT_STARTER` moves it (tests do)."""
    return Path(os.environ.get("EARSHOT_STARTER") or PROJECT / "starter")


def data() -> Path | None:
    """The user's folder of real data sets (`EARSHOT_DATA`), None where the variable is not set."""
    value = os.environ.get("EARSHOT_DATA")
    return Path(value).expanduser().resolve() if value else None
