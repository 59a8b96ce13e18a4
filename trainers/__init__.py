"""Trainers: one file each. The folder is the list.

A trainer module has a docstring, `TASKS` (what it can learn), `INPUTS` (the representations it eats, best first),
`DEVICES`, `PRESETS` (name → knobs that differ from the defaults), a frozen `Config` of knobs, and

    fit(data, config, *, generator, device, state=None) -> Generator[Event, Changes | None, None]
    predict(model, inputs) -> Prediction
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """The trainers of this folder, alphabetical; helper modules start with an underscore."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module of a trainer; ValueError with the choices for an unknown name."""
    if name not in names():
        raise ValueError(f"There is no trainer {name!r}; there are {', '.join(names())}.")
    return importlib.import_module(f"trainers.{name}")
