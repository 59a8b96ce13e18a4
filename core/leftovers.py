"""What killed processes left unfinished in the cache: hidden files and folders that end in the number of a process."""

from __future__ import annotations

from core import disk, paths

PLACES = ("", "runs", "clips", "ratings/*")
"""Where something appears under its name complete or not at all, and so is first made under a hidden one."""


def sweep() -> None:
    """Remove what nobody will finish: as the app and the supervisor start. What living processes make stays."""
    for place in PLACES:
        for folder in paths.cache().glob(place) if place else [paths.cache()]:
            disk.sweep(folder)
