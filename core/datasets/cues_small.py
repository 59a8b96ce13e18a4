"""The built-in corpus in small, made in seconds: 200 songs of 15 s, or 660 excerpts of 3 s and 60 mixes. See `cues`."""

from __future__ import annotations

from core.datasets import Dataset, Progress, no_progress
from core.datasets.cues import DEFAULT_SPLITS, INPUTS_MADE_HERE, LICENCE, TASKS, Corpus, build, counts, is_rendered

__all__ = ["COUNTS", "DEFAULT_SPLITS", "FIRST_USE", "INPUTS_MADE_HERE", "LICENCE", "SIZE", "TASKS", "load"]

FIRST_USE = "Rendered and listened to on first use: under a minute on two cores, and 80 MB of disk; kept afterwards."
SMALL = Corpus("cues-small", songs=200, song_seconds=15.0, recordings=12, takes=5, mixes=60)
COUNTS = counts(SMALL)
SIZE = "made here: 80 MB in the cache"


def load(task: str, progress: Progress = no_progress) -> Dataset:
    """The small corpus for "emotion" or "instruments"; rendered when its sound is first needed."""
    return build(SMALL, task)


def is_ready(task: str) -> bool:
    """Whether its sound can be played without being rendered first."""
    return is_rendered(SMALL, task)
