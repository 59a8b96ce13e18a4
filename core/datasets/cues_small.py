"""The built-in corpus in small, made in seconds: 200 songs of 15 s, or 660 excerpts of 3 s and 60 mixes. See `cues`."""

from __future__ import annotations

from core.datasets import Dataset, Progress, no_progress
from core.datasets.cues import DEFAULT_SPLITS, INPUTS_MADE_HERE, TASKS, Corpus, build

__all__ = ["DEFAULT_SPLITS", "INPUTS_MADE_HERE", "TASKS", "load"]

SMALL = Corpus("cues-small", songs=200, song_seconds=15.0, recordings=12, takes=5, mixes=60)


def load(task: str, progress: Progress = no_progress) -> Dataset:
    """The small corpus for "emotion" or "instruments"; rendered when it is not in the cache."""
    return build(SMALL, task, progress)
