"""What went wrong in a study's own functions, in one sentence: they are files that anybody may write."""

from __future__ import annotations

import traceback
from pathlib import Path

from core import paths


def sentence(error: Exception) -> str:
    """Place, kind and words of an error on one line: "studies/x.py, line 3: KeyError: 'lr'."."""
    said = " ".join(str(error).split()).rstrip(".") or "without a word"
    return f"{_where(error)}{type(error).__name__}: {said}."


def _where(error: Exception) -> str:
    """File and line in the study's functions, from the project's folder; empty where they are not in the traceback."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_named(Path(error.filename))}, line {error.lineno}: "
    ours = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).parent.name == "studies"]
    return f"{_named(Path(ours[-1].filename))}, line {ours[-1].lineno}: " if ours else ""


def _named(file: Path) -> str:
    within = file.is_relative_to(paths.PROJECT)
    return str(file.relative_to(paths.PROJECT) if within else Path(file.parent.name, file.name))
