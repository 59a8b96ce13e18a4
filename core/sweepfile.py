"""The file that asks a question of many runs: factors, seeds, design. A study's file begins with the same words.

EXAMPLE is one, complete. Whatever a user could get wrong is a ValueError that begins with the line.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import tomlplace
from core.sweepchecks import build, known, levels, table, wrong
from core.sweepterms import EXAMPLE, KEYS, QUICK_KEYS, STAGE_KEYS, Range, Search, SweepFile

__all__ = ["EXAMPLE", "Range", "Search", "SweepFile", "levels", "on_data", "parse", "read"]


def read(path: Path | str, *, quick: bool = False, stage: str = "", data: str = "") -> SweepFile:
    """The sweep in a file, on other `data` where that is named; ValueError with file and line for anything wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from None
    try:
        return parse(on_data(text, data) if data else text, quick=quick, stage=stage)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None


def seeds_of(text: str) -> list[int]:
    """The seeds of "4, 5 6"; ValueError for what is no whole number."""
    said = text.replace(",", " ").split()
    for seed in said:
        if not (seed.isascii() and seed.isdigit()):
            raise ValueError(f"Seeds are whole numbers, such as 4, 5, 6; {seed!r} is not.")
    return [int(seed) for seed in said]


def on_data(text: str, data: str) -> str:
    """The same text with this data set in every part that names one on a line of its own: what a sweep keeps of its
    file must say what was run."""
    return re.sub(r"(?m)^(\s*)data\s*=.*$", lambda found: f"{found[1]}data = {json.dumps(data)}", text)


def parse(text: str, *, quick: bool = False, stage: str = "") -> SweepFile:
    """The sweep in a text: the whole one, its quick variant, one of its stages. ValueErrors begin with the line."""
    raw, where = tomlplace.load(text), tomlplace.lines(text)
    known(raw, KEYS, "", where)
    _check_tables(raw, "", where)
    stages = raw.get("stages", [])
    _check_stages(stages, where)
    for number, one in enumerate(stages):  # a mistake in a stage is told before the first run, not after a night
        build(_staged(raw, one), _stage_lines(where, number), text)
    if stage:
        names = [str(one["name"]) for one in stages]
        if stage not in names:
            have = ", ".join(names) or "none"
            raise ValueError(f"line {where.get('name', 1)}: There is no stage {stage!r}; there are {have}.")
        number = names.index(stage)
        raw, where = _staged(raw, stages[number]), _stage_lines(where, number)
    full = replace(build(raw, where, text), stage=stage)
    if "quick" not in raw:
        if quick:
            raise ValueError(f"line {where.get('name', 1)}: It has no [quick] part.")
        return full
    quickly = table(raw, "quick", where)
    known(quickly, QUICK_KEYS, "quick.", where)
    _check_tables(quickly, "quick.", where)
    short = build(_quickened(raw), _quick_lines(where), text)
    return replace(short, stage=stage, is_quick=True) if quick else full


def _check_tables(raw: dict[str, Any], place: str, where: dict[str, int]) -> None:
    """Before stages and the quick variant are merged with the rest: what is no table has nothing to merge."""
    for key in ("set", "factors", "search"):
        table(raw, key, where, place)


def _check_stages(stages: Any, where: dict[str, int]) -> None:
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        wrong("stages", "stages are written [[stages]], each with its lines below.", where)
    names: set[str] = set()
    for number, stage in enumerate(stages):
        place = f"stages[{number}]"
        known(stage, STAGE_KEYS, f"{place}.", where)
        _check_tables(stage, f"{place}.", where)
        name = stage.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_-]+", name):
            wrong(f"{place}.name", "A stage needs a name of small letters, digits, _ and -.", where)
        if name in names:
            wrong(f"{place}.name", f"There are two stages {name!r}.", where)
        names.add(name)


def _staged(raw: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """The file with what a stage says instead: its own factors, and its settings beside the common ones."""
    merged = {**raw, **{key: value for key, value in stage.items() if key not in ("set", "name")}}
    merged["name"] = f"{raw.get('name', '')}-{stage['name']}"
    factors, own = merged.get("factors", {}), stage.get("set", {})
    if merged.get("design") == "listed":
        factors = _named_in_cells(merged)
        merged["factors"] = stage.get("factors", {})
    else:
        if "cells" not in stage and raw.get("design") == "listed":
            merged.pop("cells", None)  # those of the main sweep
        if "factors" not in stage:
            merged["factors"] = {key: value for key, value in factors.items() if key not in own}
    merged["set"] = {**{key: value for key, value in raw.get("set", {}).items() if key not in factors}, **own}
    return merged


def _named_in_cells(raw: dict[str, Any]) -> dict[str, None]:
    """The knobs that the cells name; what is no cell is told when the sweep is built."""
    cells = raw.get("cells")
    return {key: None for cell in cells if isinstance(cell, dict) for key in cell} if isinstance(cells, list) else {}


def _quickened(raw: dict[str, Any]) -> dict[str, Any]:
    """The quick variant; what it says of a factor that is none here (a stage has its own) does not count."""
    quick = raw["quick"]
    factors = {key: quick.get("factors", {}).get(key, value) for key, value in raw.get("factors", {}).items()}
    taken = {**factors, **(_named_in_cells(raw) if raw.get("design") == "listed" else {})}
    settings = {k: v for k, v in {**raw.get("set", {}), **quick.get("set", {})}.items() if k not in taken}
    said = {key: value for key, value in quick.items() if key not in ("set", "factors", "search")}
    search = {**raw.get("search", {}), **quick.get("search", {})}
    return {**raw, **said, "set": settings, "factors": factors} | ({"search": search} if search else {})


def _stage_lines(where: dict[str, int], number: int) -> dict[str, int]:
    own = f"stages[{number}]"
    return {**where, **{key.removeprefix(f"{own}."): line for key, line in where.items() if key.startswith(f"{own}.")}}


def _quick_lines(where: dict[str, int]) -> dict[str, int]:
    return {**where, **{key.removeprefix("quick."): line for key, line in where.items() if key.startswith("quick.")}}
