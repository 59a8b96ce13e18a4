"""Trainers: one file each. The folder is the list.

A trainer module has a docstring, `TASKS` (what it can learn), `INPUTS` (the representations it eats, best first),
`DEVICES`, `PRESETS` (name → knobs that differ from the defaults), `LOSS` (what its loss is and over what, a sentence
for whoever sees the curve), a frozen `Config` of knobs, and

    fit(data, config, *, generator, device, state=None) -> Generator[Event, Changes | None, None]
    predict(model, inputs) -> Prediction
    fit_many(data, configs, *, generators, device, states=None)
                                               optional: several in one process; yields (i, Event), is answered
                                               None or {i: Changes | Freeze} (core/events.py)
    together(config) -> tuple                  with it: configurations with equal answers may train so
    check(config)                              optional: ValueError for a configuration that no run can have here
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def names() -> list[str]:
    """The trainers of this folder, alphabetical; helper modules start with an underscore."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module of a trainer; ValueError with the choices for an unknown name."""
    if name not in names():
        raise ValueError(f"There is no trainer {name!r}; there are {', '.join(names())}.")
    return importlib.import_module(f"trainers.{name}")


def fitting(task_names: Iterable[str], inputs: Iterable[str] | None = None) -> list[str]:
    """The trainers for one of these tasks and, where `inputs` are known, for one of these representations."""
    return [
        name
        for name in names()
        if set(constant(name, "TASKS")) & set(task_names)
        and (inputs is None or set(constant(name, "INPUTS")) & set(inputs))
    ]


@functools.cache
def constant(name: str, wanted: str) -> tuple[str, ...]:
    """A trainer's `TASKS` or `INPUTS`, read from its text: a list of what fits must not import torch and XGBoost.

    Not by `ast.parse`: while another thread imports, Python 3.11 loses count of its depth there and gives up.
    """
    text = (Path(__file__).parent / f"{name}.py").read_text()
    found = re.search(rf"^{wanted} = \(([^()]*)\)$", text, re.MULTILINE)
    assert found, f"trainers/{name}.py has no {wanted} = (…)"
    return tuple(re.findall(r'"([^"]+)"', found[1]))
