"""A sweep or study file with anything in the place of anything: a sentence with its line, never a traceback."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core import studies, sweepfile
from tests.unit.test_studies import TEXT, is_low, twice

MORE = """
[[claims]]
id = "again"
text = "It is low."
check = "is_low"
chart = "twice"
whose = "ours"
needs = ["main", "slow"]
"""
FIGURES = '[published]\nnote = "as printed"\nfigures = { 1 = "twice" }\n'
QUICK = "[quick]\nfactors = { learning_rate = [0.1] }\n"
STUDY = TEXT.replace("[published]\n", FIGURES).replace("[quick]\n", QUICK) + MORE
SEARCH = """
name = "search"
trainer = "toy"
data = "toy"
design = "bayesian"
[set]
epochs = 2
[factors]
learning_rate = { low = 0.01, high = 0.1, scale = "log" }
[search]
trials = 5
sampler = "tpe"
pruner = "median"
metric = "validation/ccc"
[quick]
search = { trials = 2 }
"""


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("studies.mine")
    module.__dict__.update(is_low=is_low, twice=twice, __all__=["is_low", "twice"])
    monkeypatch.setitem(sys.modules, "studies.mine", module)
    monkeypatch.setattr(studies, "_module", lambda name: module if name == "mine" else None)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


def written(raw: dict[str, Any]) -> str:
    """As TOML, a line per key."""
    return "".join(f"{key} = {inline(value)}\n" for key, value in raw.items())


def damaged(value: Any, instead: Any) -> Iterator[Any]:
    """The value with each of its parts, itself included, replaced in turn."""
    yield instead
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for other in damaged(one, instead):
            whole = value.copy()
            whole[key] = other
            yield whole


@pytest.mark.parametrize("instead", [3, [1], "a"], ids=str)
@pytest.mark.parametrize("text", [STUDY, SEARCH], ids=["study", "search"])
def test_any_value_in_any_place_is_read_or_told_with_its_line(tmp_path: Path, text: str, instead: Any) -> None:
    path, raw = tmp_path / "mine.toml", tomllib.loads(text)
    path.write_text(written(raw))
    assert studies.read(path).file.name == raw["name"]
    told = 0
    for number, key in enumerate(raw, 1):
        for value in damaged(raw[key], instead):
            path.write_text(written({**raw, key: value}))
            try:
                studies.read(path)
            except ValueError as error:
                told += 1
                assert f"{path}, line " in str(error), (key, value)
                if value == instead and "stage" not in str(error):
                    assert f"{path}, line {number}: " in str(error), (key, value)
    assert told > len(raw)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('[[stages]]\nname = "slow"\n', "[stages]\nslow = 1\n", "stages are written"),
        ("set = { momentum = 0.5 }", "set = 3", "set is a table, set = { name = value }, not 3"),
        ("set = { epochs = 2 }", "set = [1]", r"set is a table, set = { name = value }, not \[1\]"),
        ("rows = [[0.01, 2.0, 0.4, 4], ", "rows = 3 # ", "rows is a list of rows"),
        ('digits = { "train/loss" = 0.1, twice = 1 }', "digits = 3", "digits is a table"),
        ('derived = ["twice"]', "derived = 3", "derived is a list of names of functions, not 3"),
        ('figures = { 1 = "twice" }', 'figures = ["twice"]', "figures is a table"),
        ('"train/loss_sd", "twice"]', '"twice", "twice"]', "There are two columns 'twice'"),
    ],
)
def test_the_line_is_that_of_the_mistake(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in STUDY
    line = STUDY[: STUDY.index(old)].count("\n") + 1
    (tmp_path / "mine.toml").write_text(STUDY.replace(old, new))
    with pytest.raises(ValueError, match=f"mine.toml, line {line}: {sentence}"):
        studies.read(tmp_path / "mine.toml")


def test_a_mistake_in_the_quick_part_is_told_without_asking_for_it() -> None:
    with pytest.raises(ValueError, match="line 16: search is a table"):
        sweepfile.parse(SEARCH.replace("search = { trials = 2 }", "search = 3"))
