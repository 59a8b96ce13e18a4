"""A sweep whose cells are listed, and a file read for other data than its own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from core import designs, sweepfile
from trainers import toy

LISTED = """name = "steps"
trainer = "toy"
data = "toy"
design = "listed"
cells = [
  { learning_rate = 0.01, momentum = 0.0 },
  { learning_rate = 0.1, momentum = 0.0 },  # 0.01 with 0.5 is not asked for
  { learning_rate = 0.1, momentum = 0.5 },
]
[set]
epochs = 3
[quick]
data = "cues-small"
set = { epochs = 2 }
[[stages]]
name = "grid"
design = "grid"
factors = { learning_rate = [0.01, 0.1] }
[[stages]]
name = "one"
split = "random:0"
cells = [{ epochs = 4 }]
"""


def levels(text: str, **which: str | bool) -> list[dict[str, float]]:
    file = sweepfile.parse(text, **which)  # type: ignore[arg-type]
    cells = designs.make(file, toy.Config).cells
    assert len(cells) == designs.n_cells(file)
    return [designs.knobs_of(cell, file, toy.Config) for cell in cells]


def test_listed_cells_are_the_cells_and_no_more() -> None:
    assert levels(LISTED) == [
        {"epochs": 3, "learning_rate": 0.01, "momentum": 0.0},
        {"epochs": 3, "learning_rate": 0.1, "momentum": 0.0},
        {"epochs": 3, "learning_rate": 0.1, "momentum": 0.5},
    ]
    assert sweepfile.parse(LISTED).factors == {"learning_rate": (0.01, 0.1), "momentum": (0.0, 0.5)}
    assert [one["epochs"] for one in levels(LISTED, quick=True)] == [2, 2, 2]


def test_a_stage_may_be_a_grid_or_list_its_own_cells() -> None:
    assert levels(LISTED, stage="grid") == [
        {"epochs": 3, "learning_rate": 0.01},
        {"epochs": 3, "learning_rate": 0.1},
    ]
    assert levels(LISTED, stage="one") == [{"epochs": 4}]
    assert levels(LISTED, stage="one", quick=True) == [{"epochs": 4}]  # what is a level is not shortened
    assert sweepfile.parse(LISTED, stage="one").split == "random:0" and sweepfile.parse(LISTED).split is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('design = "listed"', 'design = "grid"', "line 5: A grid design makes its own cells"),
        ("{ learning_rate = 0.01, momentum = 0.0 }", "3", "line 5: A listed design needs cells"),
        ("momentum = 0.5 }", "dropout = 0.5 }", "line 5: Cell 3 must name the same knobs as the first: learning_rate"),
        ("momentum = 0.5 }", "momentum = 7 }", "line 5: Cell 3: momentum must be 0 to"),
        ("momentum = 0.5 }", "momentum = 0 }", "line 5: Cell 3 is cell 2 again"),
        ("epochs = 3", "momentum = 0.5", "line 11: momentum is a factor"),
        ("[set]", "[factors]\nepochs = [1]\n[set]", "line 10: A listed design takes its factors from its cells"),
    ],
)
def test_mistakes_are_told_with_their_line(old: str, new: str, sentence: str) -> None:
    assert old in LISTED
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        sweepfile.parse(LISTED.replace(old, new, 1))


def test_other_data_takes_the_place_of_all_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "steps.toml").write_text(LISTED)
    for which in ({}, {"quick": True}, {"stage": "one"}, {"stage": "grid", "quick": True}):
        file = sweepfile.read(tmp_path / "steps.toml", data="deam", **which)
        assert file.data == "deam", which
        assert sweepfile.parse(file.text, **which).data == "deam"  # as a sweep keeps it
    name = 'folder:/tmp/a b "c" \\ é'
    changed = sweepfile.on_data(LISTED, name)
    assert tomllib.loads(changed)["data"] == tomllib.loads(changed)["quick"]["data"] == name
    assert changed.count("\n") == LISTED.count("\n")  # a line keeps its number
