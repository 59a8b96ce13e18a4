"""What the directories of sweeps say at a glance, for the supervisor: empty files that are there or not."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core import paths

FLAGS = ("paused", "cancelled", "driver")


def root() -> Path:
    """The folder of all sweeps, inside the cache."""
    folder = paths.cache() / "sweeps"
    folder.mkdir(exist_ok=True)
    return folder


def has(sweep: str, flag: str) -> bool:
    """Whether a flag (one of FLAGS) stands in a sweep; False where there is no such sweep."""
    return bool(sweep) and os.path.exists(paths.cache() / "sweeps" / sweep / flag)


def set_flag(sweep: str, flag: str, is_set: bool) -> None:
    """Put a flag up or take it down."""
    assert flag in FLAGS, flag
    path = root() / sweep / flag
    if is_set:
        path.touch()
    else:
        path.unlink(missing_ok=True)


def driven() -> list[Path]:
    """The directories of sweeps that need a process which proposes cells."""
    try:
        entries = list(os.scandir(paths.cache() / "sweeps"))
    except FileNotFoundError:
        return []
    return [Path(e.path) for e in entries if e.name[0] != "." and os.path.exists(f"{e.path}/driver")]


def is_driven(folder: Path) -> bool:
    """Whether that process is at work: it holds the flag's file."""
    try:
        with (folder / "driver").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:  # it is done just now
        return True
