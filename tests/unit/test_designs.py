"""Designs against Box, Hunter & Hunter's table of fractions, orthogonality, and counting."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from dataclasses import replace as changed

import numpy as np
import pytest

from core import designs, sweepfile
from core.config import knob
from core.sweepfile import Range, SweepFile


@dataclass(frozen=True)
class Config:
    optimizer: str = knob("adam", "Which.", choices=("adam", "sgd", "momentum"))
    momentum: float = knob(0.9, "Share.", low=0.0, high=1.0, when={"optimizer": "momentum"})
    nesterov: bool = knob(False, "Look ahead.", when={"optimizer": "momentum"})
    learning_rate: float = knob(0.1, "Step.", low=0.0, high=1.0, scale="log")
    width: int = knob(4, "Units.", low=1, high=100)


def file(factors, **more) -> SweepFile:
    return SweepFile("x", "toy", "toy", (1,), factors, **more)


def test_a_grid_is_every_combination() -> None:
    found = designs.make(file({"learning_rate": (0.1, 0.2), "width": (1, 2, 3)}), Config)
    assert [tuple(cell.values()) for cell in found.cells] == list(itertools.product((0.1, 0.2), (1, 2, 3)))
    assert found.notes == ()


def test_knobs_that_do_not_apply_leave_their_cells_which_merge() -> None:
    factors = {"optimizer": ("adam", "sgd", "momentum"), "momentum": (0.5, 0.9), "learning_rate": (0.1, 0.2)}
    found = designs.make(file(factors), Config)
    assert len(found.cells) == 2 + 2 + 4  # momentum doubles its own optimiser alone
    assert all(("momentum" in cell) == (cell["optimizer"] == "momentum") for cell in found.cells)
    assert "momentum only applies when optimizer is momentum" in found.notes[0]
    assert "12 combinations are 8 cells" in found.notes[1]


def test_a_factor_that_never_applies_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="line 7: momentum only applies when optimizer is momentum, which is so in no"):
        designs.make(file({"momentum": (0.5, 0.9)}, lines={"factors.momentum": 7}), Config)


def test_settings_that_do_not_apply_in_a_cell_are_left_out_there() -> None:
    one = file({"optimizer": ("adam", "momentum")}, settings={"momentum": 0.5})
    adam, momentum = designs.make(one, Config).cells
    assert designs.knobs_of(adam, one, Config) == {"optimizer": "adam"}
    assert designs.knobs_of(momentum, one, Config) == {"optimizer": "momentum", "momentum": 0.5}


@pytest.mark.parametrize(
    ("k", "resolution", "p"),
    [(3, 3, 1), (4, 4, 1), (5, 5, 1), (5, 3, 2), (6, 4, 2), (6, 3, 3), (7, 3, 4), (7, 4, 3), (8, 4, 4), (8, 5, 2),
     (9, 6, 2), (9, 4, 4), (10, 5, 3), (11, 5, 4), (11, 4, 6), (15, 3, 11), (2, 4, 0), (3, 4, 0)],
)  # fmt: skip
def test_fractions_are_those_of_the_table(k: int, resolution: int, p: int) -> None:
    """Box, Hunter & Hunter 2005, table 6.22: the smallest two-level designs by resolution."""
    assert designs.fraction(k, resolution)[0] == p


def fractional(k: int, resolution: int):
    levels = {f"f{i}": (-1, 1) for i in range(k)}
    fields = {name: (int, knob(0, "x.", low=-1, high=1)) for name in levels}
    import dataclasses

    made = dataclasses.make_dataclass("Made", [(n, t, f) for n, (t, f) in fields.items()], frozen=True)
    return designs.make(file(levels, design="fractional", resolution=resolution), made)


@pytest.mark.parametrize(("k", "resolution"), [(5, 3), (6, 4), (7, 3), (7, 4), (8, 5)])
def test_columns_are_orthogonal_and_aliases_are_true(k: int, resolution: int) -> None:
    found = fractional(k, resolution)
    table = np.array([list(cell.values()) for cell in found.cells])
    assert np.array_equal(table.T @ table, len(table) * np.eye(k))  # all main effects, independent of each other
    columns = {f"f{i}": table[:, i] for i in range(k)}
    for name, of in found.generators.items():  # the principal fraction: the product itself, not its opposite
        assert np.array_equal(columns[name], np.prod([columns[one] for one in of], axis=0))
    columns |= {f"f{i} × f{j}": table[:, i] * table[:, j] for i, j in itertools.combinations(range(k), 2)}
    same = {
        frozenset((a, b)) for a, b in itertools.combinations(columns, 2) if abs(columns[a] @ columns[b]) == len(table)
    }
    told = set()
    for effect, others in found.aliases.items():
        told |= {frozenset(pair) for pair in itertools.combinations((effect, *others), 2)}
    assert told == same
    assert found.resolution == resolution
    mixed_with_main = {pair for pair in told if any("×" not in effect for effect in pair)}
    assert bool(mixed_with_main) == (resolution == 3)


def test_random_cells_are_spread_and_the_first_stay_when_more_are_drawn() -> None:
    factors = {"learning_rate": Range(1e-4, 1.0, "log"), "width": Range(1, 100), "optimizer": ("adam", "sgd")}
    one = file(factors, design="random", search=sweepfile.Search(trials=2000, seed=3))
    cells = designs.make(one, Config).cells
    logs = np.log10([cell["learning_rate"] for cell in cells])
    assert abs(logs.mean() + 2) < 4 * 4 / math.sqrt(12 * 2000)  # uniform on −4…0: mean −2, sd 4/√12
    assert all(isinstance(cell["width"], int) and 1 <= cell["width"] <= 100 for cell in cells)
    few = designs.make(changed(one, search=sweepfile.Search(trials=5, seed=3)), Config).cells
    assert few == cells[:5]


def test_a_million_cells_are_counted_without_being_made() -> None:
    levels = tuple(i / 1000 for i in range(1000))
    assert designs.n_cells(file({"learning_rate": levels, "momentum": levels})) == 1_000_000
