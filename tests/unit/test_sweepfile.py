"""Sweep files: what a user can get wrong is told with its line."""

from __future__ import annotations

import re

import pytest

from core import sweepfile, tomlplace
from core.sweepfile import Range

GOOD = """name = "depth"
trainer = "toy"
data = "toy"
seeds = [1, 2]
design = "grid"
[set]
epochs = 3
[factors]
learning_rate = [
  0.01,  # small
  0.1,
]
momentum = [0.0, 0.9]
"""


def test_a_sweep_file() -> None:
    file = sweepfile.parse(GOOD)
    assert (file.name, file.trainer, file.data, file.seeds, file.design) == ("depth", "toy", "toy", (1, 2), "grid")
    assert file.factors == {"learning_rate": (0.01, 0.1), "momentum": (0.0, 0.9)}
    assert file.settings == {"epochs": 3} and file.warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"toy"\ndata', '"nothing"\ndata', "line 2: There is no trainer 'nothing'"),
        ('data = "toy"', 'data = "nothing"', "line 3: There is no data set 'nothing'"),
        ("momentum = [0.0, 0.9]", "depth = [1, 2]", "line 13: There is no knob 'depth'"),
        ("momentum = [0.0, 0.9]", "momentum = [0.0, 1.5]", "line 13: momentum must be 0 to 0.999, not 1.5"),
        ("momentum = [0.0, 0.9]", "momentum = []", "line 13: momentum has no levels"),
        ("momentum = [0.0, 0.9]", "momentum = [0.9, 0.9]", "line 13: The level 0.9 of momentum stands there twice"),
        ("momentum = [0.0, 0.9]", "momentum = 0.9", "line 13: The factor momentum needs a list"),
        ("  0.1,", "  -1.0,", "line 9: learning_rate must be"),
        ("epochs = 3", "epochs = 0", "line 7: epochs must be 1 to"),
        ("epochs = 3", "momentum = 0.5", "line 7: momentum is a factor"),
        ("seeds = [1, 2]", "seeds = []", "line 4: seeds is a list"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "line 4: The seed 1 stands there twice"),
        ('design = "grid"', 'design = "lattice"', "line 5: design must be one of grid, factorial"),
        ('design = "grid"', "desing = 1", "line 5: There is no setting 'desing'"),
        ('name = "depth"', 'name = "../depth"', "line 1: A name has small letters"),
        ('name = "depth"\n', "", "line 1: It does not say its name"),
        ("epochs = 3", "epochs = 3\nepochs = 4", "line 8: "),
        ("epochs = 3", "epochs = = 3", "line 7: "),
    ],
)
def test_mistakes_are_told_with_their_line(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=f"^{sentence}"):
        sweepfile.parse(GOOD.replace(old, new, 1))


def test_what_is_no_mistake_but_worth_knowing() -> None:
    file = sweepfile.parse(GOOD.replace("[0.0, 0.9]", "[0.9]").replace("[1, 2]", "[1]"))
    assert "One seed" in file.warnings[0] and file.warnings[1].startswith("line 13: momentum has one level")


def test_levels_that_rounding_makes_equal_are_told() -> None:
    few = sweepfile.parse(GOOD.replace("momentum = [0.0, 0.9]", "batch_size = {low = 1, high = 4, levels = 9}"))
    assert few.factors["batch_size"] == (1, 2, 3, 4)
    assert any("batch_size has 4 levels in place of 9: rounded" in said for said in few.warnings)
    all_there = sweepfile.parse(GOOD.replace("momentum = [0.0, 0.9]", "batch_size = {low = 1, high = 4, levels = 4}"))
    assert not any("in place of" in said for said in all_there.warnings)


def test_ranges_become_levels_where_the_design_needs_them() -> None:
    text = GOOD.replace("momentum = [0.0, 0.9]", "weight_decay = {low = 1e-4, high = 1e-1, scale = 'log', levels = 4}")
    assert sweepfile.parse(text).factors["weight_decay"] == (1e-4, 1e-3, 1e-2, 1e-1)
    factorial = text.replace("grid", "factorial").replace(", levels = 4", "")
    assert sweepfile.parse(factorial).factors["weight_decay"] == (1e-4, 1e-1)
    random = text.replace("grid", "random").replace(", levels = 4", "")
    assert sweepfile.parse(random).factors["weight_decay"] == Range(1e-4, 1e-1, "log")
    with pytest.raises(ValueError, match="line 13: A grid needs the levels"):
        sweepfile.parse(text.replace(", levels = 4", ""))


STUDY = (
    GOOD
    + """
[quick]
seeds = [1]
set.epochs = 1
[[stages]]
name = "wide"
factors = {batch_size = [32, 64]}
[[stages]]
name = "slow"
set = {learning_rate = 0.001}
"""
)


def test_the_quick_variant_and_the_stages() -> None:
    quick = sweepfile.parse(STUDY, quick=True)
    assert (quick.seeds, quick.settings, quick.is_quick) == ((1,), {"epochs": 1}, True)
    wide = sweepfile.parse(STUDY, stage="wide")
    assert (wide.name, wide.factors, wide.settings) == ("depth-wide", {"batch_size": (32, 64)}, {"epochs": 3})
    slow = sweepfile.parse(STUDY, stage="slow")
    assert (slow.factors, slow.settings) == ({"momentum": (0.0, 0.9)}, {"epochs": 3, "learning_rate": 0.001})
    assert sweepfile.parse(STUDY, stage="wide", quick=True).settings == {"epochs": 1}


def test_a_mistake_in_a_stage_is_told_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="line 20: batch_size must be"):
        sweepfile.parse(STUDY.replace("[32, 64]", "[32, 0]"))
    with pytest.raises(ValueError, match="line 22: There are two stages 'wide'"):
        sweepfile.parse(STUDY.replace('"slow"', '"wide"'))
    with pytest.raises(ValueError, match="There is no stage 'fast'; there are wide, slow"):
        sweepfile.parse(STUDY, stage="fast")
    with pytest.raises(ValueError, match="It has no"):
        sweepfile.parse(GOOD, quick=True)


def test_a_search_may_not_look_at_the_test_part() -> None:
    text = GOOD.replace("grid", "bayesian") + "[search]\nmetric = 'test/ccc'\n"
    with pytest.raises(ValueError, match="line 15: A search that looks at test scores"):
        sweepfile.parse(text)
    found = sweepfile.parse(text.replace("test/", "validation/")).search
    assert (found.direction, found.sampler) == ("maximize", "tpe")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = [1, x]", 'line 2: what stands there is neither a number, true, false, a "text" in quotes'),
        ("a = [1-3]", "line 1: a list is not closed by ], or has no comma between two values."),
        ("a = 1\n\na = 2", "line 3: this name has a value already."),
        ("a", "line 1: after a name comes = and its value."),
        ("\n= 3", "line 2: a line begins with a name"),
    ],
)
def test_what_is_no_toml_is_told_in_plain_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        tomlplace.load(text)


def test_seeds_are_read_with_commas_or_without() -> None:
    assert sweepfile.seeds_of("1, 2 3,4") == [1, 2, 3, 4] and sweepfile.seeds_of(" ") == []
    for wrong in ("1-3", "1, x", "-1", "1.5", "²"):
        with pytest.raises(ValueError, match=r"Seeds are whole numbers, such as 4, 5, 6; '.*' is not."):
            sweepfile.seeds_of(wrong)


def test_lines_of_keys() -> None:
    text = "a = 1\nb = '''\nc = 2\n[d]\n'''\ne = [\n[1, '#]'], # [x]\n]\n[f.g]\nh.i = 2\n"
    text += "'x.y' . \"<b>\" = 1\n[[s]]\nk = 1\n[[s]]\nk = 2\n[s.t]\nu = 3\n"
    assert tomlplace.lines(text) == {
        "a": 1, "b": 2, "e": 6, "f.g": 9, "f.g.h.i": 10, "f.g.x.y.<b>": 11, "s[0]": 12, "s[0].k": 13, "s[1]": 14,
        "s[1].k": 15, "s[1].t": 16, "s[1].t.u": 17,
    }  # fmt: skip
