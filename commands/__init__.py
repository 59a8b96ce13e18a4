"""The commands of `lab.py`: one group, one file. What several of them need stands here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def teller() -> Callable[[float, str], None]:
    """A progress function that says something slow on stderr, in steps of a tenth."""
    said: set[int] = set()

    def tell(fraction: float, sentence: str) -> None:
        if int(fraction * 10) not in said:
            said.add(int(fraction * 10))
            typer.echo(f"{sentence} ({fraction:.0%})", err=True)

    return tell


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
