"""The 405 songs of `deam-opensmile` whose released features cover just the 45 s that listeners rated."""

from __future__ import annotations

from core.datasets import Dataset, Progress
from core.datasets._deam import table_set
from core.datasets.deam_opensmile import EXCERPT_S, HOMEPAGE, LAYOUT, LICENCE, PARTS, PLACE, SIZE, read_songs

__all__ = ["HOMEPAGE", "LAYOUT", "LICENCE", "PARTS", "PLACE", "SIZE", "TASKS", "load"]

TASKS = ("emotion",)


def load(task: str, progress: Progress) -> Dataset:
    """The excerpt-only songs with `opensmile260`; errors as in `deam-opensmile`."""
    file, table, columns, sources = read_songs()
    table = table[sources == "excerpt-only"]
    if table.empty:
        raise ValueError(f"{file}: no song has features of its rated excerpt alone.")
    about = f"{len(table)} songs as DEAM's own openSMILE features over just the rated 45 s (mean and sd over time)."
    return table_set("deam-opensmile-405", file, table, "opensmile260", columns, EXCERPT_S, about)
