"""What a sweep file may say, as records; core/sweepfile.py reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DESIGNS = ("grid", "factorial", "fractional", "random", "bayesian", "listed")
SAMPLERS, PRUNERS = ("random", "tpe", "gp"), ("none", "median", "asha")
KEYS = (
    "name", "title", "source", "about", "trainer", "data", "split", "device", "seeds", "design", "resolution",
    "workers", "together", "order", "set", "factors", "cells", "search", "quick", "stages", "published", "claims",
    "columns",
)  # fmt: skip
STAGE_KEYS = (
    "name", "title", "about", "seeds", "design", "resolution", "split", "data", "workers", "together", "order", "set",
    "factors", "cells", "search",
)  # fmt: skip
QUICK_KEYS = ("seeds", "set", "factors", "search", "data", "split")
EXAMPLE = """\
name = "depth"                  # small letters, digits, _ and -
trainer = "toy"
data = "toy"
seeds = [1, 2, 3]               # the same in every cell
design = "grid"                 # grid, factorial, fractional, random, bayesian; listed: cells = [{ … }, { … }]
[set]
epochs = 20                     # equal everywhere: here long enough for the quicker cells to arrive
[factors]                       # a list of levels, or a range of them
learning_rate = {low = 0.01, high = 1.0, scale = "log", levels = 3}
momentum = [0.0, 0.9]           # 0.9 is worth ten times the learning rate: an interaction to find
"""


@dataclass(frozen=True)
class Range:
    """What a factor may be where no levels are given: low to high on a "linear" or "log" scale."""

    low: float
    high: float
    scale: str = "linear"


@dataclass(frozen=True)
class Search:
    """How random and Bayesian designs look: how many trials, who proposes, who ends a trial early, what is judged.

    `metric` is a logged name ("validation/loss"), `direction` "minimize" or "maximize"; empty follows the trainer.
    """

    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "none"
    metric: str = ""
    direction: str = ""
    seed: int = 0


@dataclass(frozen=True)
class SweepFile:
    """A sweep as asked for. `settings` is `[set]`; `factors` maps a knob to its levels or its range; `cells` are those
    of a listed design, which are no grid.

    Runs start seed by seed (`order` "seeds": every cell has one before any has two) or in "random" order, where time is
    what is compared. `workers` 0 leaves their number to the machine.

    `stages`, `published` and `claims` are for studies, as they stand in the file. `lines` gives the line of each key,
    `warnings` what is no mistake but worth knowing.
    """

    name: str
    trainer: str
    data: str
    seeds: tuple[int, ...]
    factors: dict[str, tuple[Any, ...] | Range]
    settings: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    source: str = ""
    about: str = ""
    split: str | None = None
    device: str = "auto"
    design: str = "grid"
    resolution: int = 4
    workers: int = 0
    together: bool = True
    search: Search = Search()
    cells: tuple[dict[str, Any], ...] = ()
    quick: dict[str, Any] = field(default_factory=dict)
    stages: tuple[dict[str, Any], ...] = ()
    published: dict[str, Any] = field(default_factory=dict)
    claims: tuple[dict[str, Any], ...] = ()
    order: str = "seeds"
    is_quick: bool = False
    stage: str = ""
    warnings: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    text: str = field(default="", repr=False, compare=False)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The names of its further sweeps."""
        return tuple(str(stage["name"]) for stage in self.stages)
