"""The checks of a sweep file: each mistake is a ValueError that begins with the line it stands in."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from core import config
from core.sweepterms import DESIGNS, PRUNERS, SAMPLERS, Range, Search, SweepFile


def wrong(key: str, sentence: str, where: dict[str, int]) -> NoReturn:
    """Raise the mistake at the line of the key, or of the nearest thing above it that has one."""
    place = key
    while place and place not in where:
        place = place.rpartition(".")[0]
    raise ValueError(f"line {where.get(place, 1)}: {sentence}")


def known(raw: Any, keys: tuple[str, ...], prefix: str, where: dict[str, int]) -> None:
    """Refuse a key that nobody reads: it was meant to do something."""
    shown = "" if prefix else " `python lab.py sweep --help` shows a whole file."
    for key in raw:
        if key not in keys:
            wrong(f"{prefix}{key}", f"There is no setting {key!r} here; there are {', '.join(keys)}.{shown}", where)


def table(raw: dict[str, Any], key: str, where: dict[str, int], place: str = "") -> dict[str, Any]:
    """A table of the file, empty where it is not there; `place` is what it stands in ("quick.")."""
    value = raw.get(key, {})
    if not isinstance(value, dict):
        wrong(place + key, f"{key} is a table, {key} = {{ name = value }}, not {value!r}.", where)
    return value


def _text(raw: dict[str, Any], key: str, where: dict[str, int], default: str | None = None) -> str:
    value = raw.get(key, default)
    if value is None:
        wrong(key, f"It does not say its {key}.", where)
    if not isinstance(value, str):
        wrong(key, f"{key} must be a text in quotes, not {value!r}.", where)
    return str(value)


def _choice(raw: dict[str, Any], key: str, choices: tuple[str, ...], where: dict[str, int], place: str = "") -> str:
    value = raw.get(key, choices[0])
    if value not in choices:
        wrong(place + key, f"{key} must be one of {', '.join(choices)}, not {value!r}.", where)
    return str(value)


def _whole(raw: dict[str, Any], key: str, default: int, low: int, where: dict[str, int], place: str = "") -> int:
    value = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        wrong(place + key, f"{key} must be a whole number from {low}, not {value!r}.", where)
    return int(value)


def build(raw: dict[str, Any], where: dict[str, int], text: str) -> SweepFile:
    """The sweep in a parsed file; `where` gives the line of each key."""
    name = _text(raw, "name", where)
    if not re.fullmatch(r"[a-z0-9_-]{1,60}", name):
        wrong("name", f"A name has small letters, digits, _ and - only (60 at most), not {name!r}.", where)
    trainer, module = _trainer(raw, where)
    data, split = _data(raw, module, where)
    design = _choice(raw, "design", DESIGNS, where)
    together = raw.get("together", True)
    if not isinstance(together, bool):
        wrong("together", f"together is true or false, not {together!r}.", where)
    seeds = _seeds(raw, where)
    warnings = ["One seed: nothing can be said about what another seed would give."] if len(seeds) == 1 else []
    cells = _cells(raw, design, module.Config, where)
    factors = _levels_of(cells) if cells else _factors(raw, design, module.Config, where, warnings)
    settings = _settings(raw, factors, module.Config, where)
    claims, published = raw.get("claims", []), table(raw, "published", where)
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        wrong("claims", "claims are written [[claims]].", where)
    return SweepFile(
        name=name,
        trainer=trainer,
        data=data,
        split=split,
        seeds=seeds,
        factors=factors,
        settings=settings,
        title=_text(raw, "title", where, ""),
        source=_text(raw, "source", where, ""),
        about=_text(raw, "about", where, ""),
        device=_text(raw, "device", where, "auto"),
        design=design,
        resolution=_whole(raw, "resolution", 4, 3, where),
        workers=_whole(raw, "workers", 0, 0, where),
        together=together,
        order=_choice(raw, "order", ("seeds", "random"), where),
        search=_search(raw, design, module, where),
        cells=cells,
        quick=raw.get("quick", {}),
        stages=tuple(raw.get("stages", ())),
        published=published,
        claims=tuple(claims),
        warnings=tuple(warnings),
        lines=where,
        text=text,
    )


def _trainer(raw: dict[str, Any], where: dict[str, int]) -> tuple[str, ModuleType]:
    from core.runner import load_trainer  # the one door to the trainers

    name = _text(raw, "trainer", where)
    try:
        return name, load_trainer(name)
    except ValueError as error:
        wrong("trainer", str(error), where)


def _data(raw: dict[str, Any], module: ModuleType, where: dict[str, int]) -> tuple[str, str | None]:
    from core import datasets
    from core.datasets import splits

    name = _text(raw, "data", where)
    try:
        offered = datasets.module(name).TASKS
    except ValueError as error:
        wrong("data", str(error), where)
    if not set(offered) & set(module.TASKS):
        wants, has = ", ".join(module.TASKS), ", ".join(offered)
        wrong("data", f"{raw['trainer']} learns {wants}; {name} has labels for {has}.", where)
    split = _text(raw, "split", where) if "split" in raw else None
    if split is not None:
        try:
            splits.parse(split)
        except ValueError as error:
            wrong("split", str(error), where)
    return name, split


def _seeds(raw: dict[str, Any], where: dict[str, int]) -> tuple[int, ...]:
    seeds = raw.get("seeds", [1, 2, 3])
    if not isinstance(seeds, list) or not seeds:
        wrong("seeds", "seeds is a list of whole numbers, such as [1, 2, 3].", where)
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            wrong("seeds", f"A seed must be 0 to 4294967295, not {seed!r}.", where)
        if seeds.count(seed) > 1:
            wrong("seeds", f"The seed {seed} stands there twice: the same run would count as two.", where)
    return tuple(seeds)


def _factors(
    raw: dict[str, Any], design: str, config_class: type, where: dict[str, int], warnings: list[str]
) -> dict[str, tuple[Any, ...] | Range]:
    found: dict[str, tuple[Any, ...] | Range] = {}
    for name, value in table(raw, "factors", where).items():
        place = f"factors.{name}"
        if name not in config.knobs(config_class):
            wrong(place, str(_error(config_class, name, None)), where)
        if isinstance(value, dict):
            found[name] = _range(name, value, design, config_class, where, warnings)
        elif isinstance(value, list):
            found[name] = levels(config_class, name, value, lambda said, at=place: wrong(at, said, where))
        else:
            wrong(place, f"The factor {name} needs a list of levels, [{value!r}, …], or {{low = , high = }}.", where)
        fixed = found[name]
        if isinstance(fixed, tuple) and len(fixed) == 1 and design not in ("factorial", "fractional"):
            warnings.append(f"line {where.get(place, 1)}: {name} has one level, {fixed[0]}: it has no effect to see.")
        if isinstance(fixed, tuple) and len(fixed) != 2 and design in ("factorial", "fractional"):
            wrong(place, f"A {design} design takes two levels of each factor; {name} has {len(fixed)}.", where)
    if not found and design != "grid":
        wrong("factors", f"A {design} design needs factors.", where)
    return found


def _cells(raw: dict[str, Any], design: str, config_class: type, where: dict[str, int]) -> tuple[dict[str, Any], ...]:
    """The cells of a listed design, each with a level of every knob that any of them names; none in other designs."""
    if design != "listed":
        if "cells" in raw:
            many = "; how many it draws is `trials` of [search]" if design in ("random", "bayesian") else ""
            said = f'A {design} design makes its own cells{many}; to list them say design = "listed".'
            wrong("cells", said, where)
        return ()
    listed = raw.get("cells")
    if not isinstance(listed, list) or not listed or not all(isinstance(cell, dict) and cell for cell in listed):
        wrong("cells", "A listed design needs cells = [{ knob = level, … }, …].", where)
    if raw.get("factors"):
        wrong("factors", "A listed design takes its factors from its cells; leave [factors] out.", where)
    found: list[dict[str, Any]] = []
    for number, cell in enumerate(listed, 1):
        if cell.keys() != listed[0].keys():
            wrong("cells", f"Cell {number} must name the same knobs as the first: {', '.join(listed[0])}.", where)
        for name, value in cell.items():
            if error := _error(config_class, name, value):
                wrong("cells", f"Cell {number}: {error}", where)
        checked = {name: config.read(config_class, name, cell[name]) for name in listed[0]}
        if checked in found:
            wrong("cells", f"Cell {number} is cell {found.index(checked) + 1} again.", where)
        found.append(checked)
    return tuple(found)


def _levels_of(cells: tuple[dict[str, Any], ...]) -> dict[str, tuple[Any, ...] | Range]:
    return {name: tuple(dict.fromkeys(cell[name] for cell in cells)) for name in cells[0]}


def levels(config_class: type, name: str, values: list[Any], refuse: Any) -> tuple[Any, ...]:
    """Checked levels of a knob; `refuse(sentence)` must raise: it gets an empty list, a bad level, a double one."""
    if not values:
        refuse(f"{name} has no levels.")
    checked: list[Any] = []
    for value in values:
        error = _error(config_class, name, value)
        if error:
            refuse(str(error))
        level = config.read(config_class, name, value)
        if level in checked:
            refuse(f"The level {value!r} of {name} stands there twice.")
        checked.append(level)
    return tuple(checked)


def _error(config_class: type, name: str, value: Any) -> ValueError | None:
    try:
        config.read(config_class, name, value)
    except ValueError as error:
        return error
    return None


def _range(
    name: str, value: dict[str, Any], design: str, config_class: type, where: dict[str, int], warnings: list[str]
) -> tuple[Any, ...] | Range:
    """A range for a search; its two ends for a factorial; as many levels as it says for a grid."""
    place, about = f"factors.{name}", config.knobs(config_class)[name]
    unknown = set(value) - {"low", "high", "scale", "levels"}
    if unknown or not {"low", "high"} <= set(value):
        wrong(place, f"The range of {name} is written {{low = , high = , scale =, levels = }}.", where)
    if about.type not in (int, float):
        wrong(place, f"{name} has no range to draw from; list its levels.", where)
    for end in ("low", "high"):
        error = _error(config_class, name, value[end])
        if error:
            wrong(place, str(error), where)
    scale = value.get("scale", about.scale)
    if scale not in ("linear", "log"):
        wrong(place, f"scale must be linear or log, not {scale!r}.", where)
    low, high = float(value["low"]), float(value["high"])
    if not low < high or (scale == "log" and low <= 0):
        wrong(place, f"The range of {name} must rise{' from above 0' if scale == 'log' else ''}.", where)
    if design in ("random", "bayesian"):
        return Range(low, high, scale)
    count = 2 if design in ("factorial", "fractional") else value.get("levels")
    if not isinstance(count, int) or isinstance(count, bool) or count < 2:
        wrong(place, f"A grid needs the levels of {name}: a list, or a range with levels = 5.", where)
    ends = np.geomspace(low, high, count) if scale == "log" else np.linspace(low, high, count)
    found = tuple(dict.fromkeys(round(x) if about.type is int else float(f"{x:.6g}") for x in ends))
    if len(found) < count and count > 2:
        n = f"{len(found):,} levels in place of {count:,}"
        warnings.append(f"line {where.get(place, 1)}: {name} has {n}: rounded, the others are equal to these.")
    return found


def _settings(
    raw: dict[str, Any], factors: dict[str, Any], config_class: type, where: dict[str, int]
) -> dict[str, Any]:
    found = {}
    for name, value in table(raw, "set", where).items():
        place = f"set.{name}"
        error = _error(config_class, name, value)
        if error:
            wrong(place, str(error), where)
        if name in factors:
            wrong(place, f"{name} is a factor and cannot be set to one value as well.", where)
        found[name] = config.read(config_class, name, value)
    return found


def _search(raw: dict[str, Any], design: str, module: ModuleType, where: dict[str, int]) -> Search:
    said = table(raw, "search", where)
    known(said, ("trials", "sampler", "pruner", "metric", "direction", "seed"), "search.", where)
    if said and design not in ("random", "bayesian"):
        wrong("search", f"A {design} design is planned at once and searches nothing; leave [search] out.", where)
    default = "random" if design == "random" else "tpe"
    sampler = _choice({"sampler": default, **said}, "sampler", SAMPLERS, where, "search.")
    if design == "random" and sampler != "random":
        wrong("search.sampler", f'A random design draws at random; for {sampler} say design = "bayesian".', where)
    pruner = _choice({"pruner": "none", **said}, "pruner", PRUNERS, where, "search.")
    if design == "random" and pruner != "none":
        wrong("search.pruner", 'A random design ends nothing early; say design = "bayesian", sampler "random".', where)
    metric = str(said.get("metric", module.MONITOR))
    if metric.startswith("test/"):
        wrong("search.metric", "A search that looks at test scores makes them worthless; name a validation one.", where)
    return Search(
        trials=_whole(said, "trials", 20, 1, where, "search."),
        sampler=sampler,
        pruner=pruner,
        metric=metric,
        direction=_direction(said, metric, where),
        seed=_whole(said, "seed", 0, 0, where, "search."),
    )


def _direction(said: dict[str, Any], metric: str, where: dict[str, int]) -> str:
    from core import metrics

    try:
        better = metrics.about(metric).better
    except ValueError as error:
        wrong("search.metric", str(error), where)
    default = "maximize" if better == "higher" else "minimize"
    return _choice({"direction": default, **said}, "direction", ("minimize", "maximize"), where, "search.")
