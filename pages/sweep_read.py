"""What a sweep found, one view per question."""

from __future__ import annotations

from core.sweeprecord import Record

VIEWS: tuple[str, ...] = ()


def view(name: str, record: Record) -> None:
    """Draw the view of this name."""
    raise AssertionError(name)
