"""Polyphonic evaluations beside the page: each is started once, watched, ended when asked, and told how it ended."""

from __future__ import annotations

from typing import Any

from core import background, paths, polyphonic
from core.polyreports import Settings
from pages import waiting


def _key(run: str, data: str, settings: Settings) -> tuple[Any, ...]:
    return ("polyphonic", str(paths.cache()), run, data, settings)


def start(run: str, data: str, settings: Settings) -> None:
    """Begin to evaluate a run, where that is not under way."""
    key = _key(run, data, settings)
    background.forget(key)  # one that ended
    background.start(key, lambda tell: polyphonic.evaluate(run, data, settings, tell))


def is_at_rest(run: str, data: str, settings: Settings) -> bool:
    """Whether nothing is under way for these settings; else its progress is shown, and how the last one ended."""
    job = background.find(_key(run, data, settings))
    if job is None:
        return True
    if not waiting.ended(job, f"Evaluating {run}", key=f"polyphonic.{run}"):
        return False
    waiting.tell_end(job, "The evaluation was ended; what was heard so far is kept for the next time.")
    return True
