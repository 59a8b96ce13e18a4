"""The file that asks a question of many runs: factors, seeds, design. A study's file begins with the same words.

    name = "depth"                  # small letters, digits, _ and -
    trainer = "toy"
    data = "toy"
    seeds = [1, 2, 3]               # the same in every cell
    design = "grid"                 # grid, factorial, fractional, random, bayesian
    [set]
    epochs = 5                      # knobs that are equal everywhere
    [factors]
    learning_rate = [0.01, 0.1]     # levels, or {low = , high = , scale = "log", levels = 5}

Whatever a user could get wrong is a ValueError that begins with the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from core import config, tomlplace

DESIGNS = ("grid", "factorial", "fractional", "random", "bayesian")
SAMPLERS, PRUNERS = ("random", "tpe", "gp"), ("none", "median", "asha")
KEYS = (
    "name", "title", "source", "about", "trainer", "data", "split", "device", "seeds", "design", "resolution",
    "workers", "together", "order", "set", "factors", "search", "quick", "stages", "published", "claims", "columns",
)  # fmt: skip
STAGE_KEYS = (
    "name", "title", "about", "seeds", "design", "resolution", "split", "data", "workers", "together", "order", "set",
    "factors", "search",
)  # fmt: skip
QUICK_KEYS = ("seeds", "set", "factors", "search", "data", "split")


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
    """A sweep as asked for. `settings` is `[set]`; `factors` maps a knob to its levels or its range.

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


def read(path: Path | str, *, quick: bool = False, stage: str = "") -> SweepFile:
    """The sweep in a file; ValueError with the file and the line for anything wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from None
    try:
        return parse(text, quick=quick, stage=stage)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None


def parse(text: str, *, quick: bool = False, stage: str = "") -> SweepFile:
    """The sweep in a text: the whole one, its quick variant, one of its stages. ValueErrors begin with the line."""
    raw, where = tomlplace.load(text), tomlplace.lines(text)
    _known(raw, KEYS, "", where)
    stages = raw.get("stages", [])
    _check_stages(stages, where)
    for number, one in enumerate(stages):  # a mistake in a stage is told before the first run, not after a night
        _read(_staged(raw, one), _stage_lines(where, number), text)
    if stage:
        names = [str(one["name"]) for one in stages]
        if stage not in names:
            have = ", ".join(names) or "none"
            raise ValueError(f"line {where.get('name', 1)}: There is no stage {stage!r}; there are {have}.")
        number = names.index(stage)
        raw, where = _staged(raw, stages[number]), _stage_lines(where, number)
    full = replace(_read(raw, where, text), stage=stage)
    if "quick" not in raw:
        if quick:
            raise ValueError(f"line {where.get('name', 1)}: It has no [quick] part.")
        return full
    _known(_table(raw, "quick", where), QUICK_KEYS, "quick.", where)
    short = _read(_quickened(raw), _quick_lines(where), text)
    return replace(short, stage=stage, is_quick=True) if quick else full


def _check_stages(stages: Any, where: dict[str, int]) -> None:
    if not isinstance(stages, list):
        _wrong("stages", "stages are written [[stages]].", where)
    names: set[str] = set()
    for number, stage in enumerate(stages):
        place = f"stages[{number}]"
        _known(stage, STAGE_KEYS, f"{place}.", where)
        name = stage.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_-]+", name):
            _wrong(f"{place}.name", "A stage needs a name of small letters, digits, _ and -.", where)
        if name in names:
            _wrong(f"{place}.name", f"There are two stages {name!r}.", where)
        names.add(name)


def _staged(raw: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """The file with what a stage says instead: its own factors, and its settings beside the common ones."""
    merged = {**raw, **{key: value for key, value in stage.items() if key not in ("set", "name")}}
    merged["name"] = f"{raw.get('name', '')}-{stage['name']}"
    factors = merged.get("factors", {})
    common = {key: value for key, value in raw.get("set", {}).items() if key not in factors}
    merged["set"] = {**common, **stage.get("set", {})}
    if "factors" not in stage:
        merged["factors"] = {key: value for key, value in factors.items() if key not in stage.get("set", {})}
    return merged


def _quickened(raw: dict[str, Any]) -> dict[str, Any]:
    """The quick variant; what it says of a factor that is none here (a stage has its own) does not count."""
    quick = raw["quick"]
    factors = {key: quick.get("factors", {}).get(key, value) for key, value in raw.get("factors", {}).items()}
    settings = {k: v for k, v in {**raw.get("set", {}), **quick.get("set", {})}.items() if k not in factors}
    said = {key: value for key, value in quick.items() if key not in ("set", "factors", "search")}
    search = {**raw.get("search", {}), **quick.get("search", {})}
    return {**raw, **said, "set": settings, "factors": factors} | ({"search": search} if search else {})


def _stage_lines(where: dict[str, int], number: int) -> dict[str, int]:
    own = f"stages[{number}]"
    return {**where, **{key.removeprefix(f"{own}."): line for key, line in where.items() if key.startswith(f"{own}.")}}


def _quick_lines(where: dict[str, int]) -> dict[str, int]:
    return {**where, **{key.removeprefix("quick."): line for key, line in where.items() if key.startswith("quick.")}}


def _wrong(key: str, sentence: str, where: dict[str, int]) -> NoReturn:
    """Raise the mistake at the line of the key, or of the nearest thing above it that has one."""
    place = key
    while place and place not in where:
        place = place.rpartition(".")[0]
    raise ValueError(f"line {where.get(place, 1)}: {sentence}")


def _known(raw: Any, keys: tuple[str, ...], prefix: str, where: dict[str, int]) -> None:
    for key in raw:
        if key not in keys:
            _wrong(f"{prefix}{key}", f"There is no setting {key!r} here; there are {', '.join(keys)}.", where)


def _table(raw: dict[str, Any], key: str, where: dict[str, int]) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        _wrong(key, f"{key} is a table: [{key}], and its lines below.", where)
    return value


def _text(raw: dict[str, Any], key: str, where: dict[str, int], default: str | None = None) -> str:
    value = raw.get(key, default)
    if value is None:
        _wrong(key, f"It does not say its {key}.", where)
    if not isinstance(value, str):
        _wrong(key, f"{key} must be a text in quotes, not {value!r}.", where)
    return str(value)


def _choice(raw: dict[str, Any], key: str, choices: tuple[str, ...], where: dict[str, int], place: str = "") -> str:
    value = raw.get(key, choices[0])
    if value not in choices:
        _wrong(place + key, f"{key} must be one of {', '.join(choices)}, not {value!r}.", where)
    return str(value)


def _whole(raw: dict[str, Any], key: str, default: int, low: int, where: dict[str, int], place: str = "") -> int:
    value = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        _wrong(place + key, f"{key} must be a whole number from {low}, not {value!r}.", where)
    return int(value)


def _read(raw: dict[str, Any], where: dict[str, int], text: str) -> SweepFile:
    name = _text(raw, "name", where)
    if not re.fullmatch(r"[a-z0-9_-]{1,60}", name):
        _wrong("name", f"A name has small letters, digits, _ and - only (60 at most), not {name!r}.", where)
    trainer, module = _trainer(raw, where)
    data, split = _data(raw, module, where)
    design = _choice(raw, "design", DESIGNS, where)
    together = raw.get("together", True)
    if not isinstance(together, bool):
        _wrong("together", f"together is true or false, not {together!r}.", where)
    seeds = _seeds(raw, where)
    warnings = ["One seed: nothing can be said about what another seed would give."] if len(seeds) == 1 else []
    factors = _factors(raw, design, module.Config, where, warnings)
    settings = _settings(raw, factors, module.Config, where)
    claims, published = raw.get("claims", []), _table(raw, "published", where)
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        _wrong("claims", "claims are written [[claims]].", where)
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
        _wrong("trainer", str(error), where)


def _data(raw: dict[str, Any], module: ModuleType, where: dict[str, int]) -> tuple[str, str | None]:
    from core import datasets
    from core.datasets import splits

    name = _text(raw, "data", where)
    try:
        offered = datasets.module(name).TASKS
    except ValueError as error:
        _wrong("data", str(error), where)
    if not set(offered) & set(module.TASKS):
        wants, has = ", ".join(module.TASKS), ", ".join(offered)
        _wrong("data", f"{raw['trainer']} learns {wants}; {name} has labels for {has}.", where)
    split = _text(raw, "split", where) if "split" in raw else None
    if split is not None:
        try:
            splits.parse(split)
        except ValueError as error:
            _wrong("split", str(error), where)
    return name, split


def _seeds(raw: dict[str, Any], where: dict[str, int]) -> tuple[int, ...]:
    seeds = raw.get("seeds", [1, 2, 3])
    if not isinstance(seeds, list) or not seeds:
        _wrong("seeds", "seeds is a list of whole numbers, such as [1, 2, 3].", where)
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            _wrong("seeds", f"A seed must be 0 to 4294967295, not {seed!r}.", where)
        if seeds.count(seed) > 1:
            _wrong("seeds", f"The seed {seed} stands there twice: the same run would count as two.", where)
    return tuple(seeds)


def _factors(
    raw: dict[str, Any], design: str, config_class: type, where: dict[str, int], warnings: list[str]
) -> dict[str, tuple[Any, ...] | Range]:
    found: dict[str, tuple[Any, ...] | Range] = {}
    for name, value in _table(raw, "factors", where).items():
        place = f"factors.{name}"
        if name not in config.knobs(config_class):
            _wrong(place, str(_error(config_class, name, None)), where)
        if isinstance(value, dict):
            found[name] = _range(name, value, design, config_class, where)
        elif isinstance(value, list):
            found[name] = levels(config_class, name, value, lambda said, at=place: _wrong(at, said, where))
        else:
            _wrong(place, f"The factor {name} needs a list of levels, [{value!r}, …], or {{low = , high = }}.", where)
        fixed = found[name]
        if isinstance(fixed, tuple) and len(fixed) == 1 and design not in ("factorial", "fractional"):
            warnings.append(f"line {where.get(place, 1)}: {name} has one level, {fixed[0]}: it has no effect to see.")
        if isinstance(fixed, tuple) and len(fixed) != 2 and design in ("factorial", "fractional"):
            _wrong(place, f"A {design} design takes two levels of each factor; {name} has {len(fixed)}.", where)
    if not found and design != "grid":
        _wrong("factors", f"A {design} design needs factors.", where)
    return found


def levels(config_class: type, name: str, values: list[Any], wrong: Any) -> tuple[Any, ...]:
    """Checked levels of a knob; `wrong(sentence)` is called, and must raise, for an empty list, a bad or double one."""
    if not values:
        wrong(f"{name} has no levels.")
    checked: list[Any] = []
    for value in values:
        error = _error(config_class, name, value)
        if error:
            wrong(str(error))
        level = config.read(config_class, name, value)
        if level in checked:
            wrong(f"The level {value!r} of {name} stands there twice.")
        checked.append(level)
    return tuple(checked)


def _error(config_class: type, name: str, value: Any) -> ValueError | None:
    try:
        config.read(config_class, name, value)
    except ValueError as error:
        return error
    return None


def _range(
    name: str, value: dict[str, Any], design: str, config_class: type, where: dict[str, int]
) -> tuple[Any, ...] | Range:
    """A range for a search; its two ends for a factorial; as many levels as it says for a grid."""
    place, about = f"factors.{name}", config.knobs(config_class)[name]
    unknown = set(value) - {"low", "high", "scale", "levels"}
    if unknown or not {"low", "high"} <= set(value):
        _wrong(place, f"The range of {name} is written {{low = , high = , scale =, levels = }}.", where)
    if about.type not in (int, float):
        _wrong(place, f"{name} has no range to draw from; list its levels.", where)
    for end in ("low", "high"):
        error = _error(config_class, name, value[end])
        if error:
            _wrong(place, str(error), where)
    scale = value.get("scale", about.scale)
    if scale not in ("linear", "log"):
        _wrong(place, f"scale must be linear or log, not {scale!r}.", where)
    low, high = float(value["low"]), float(value["high"])
    if not low < high or (scale == "log" and low <= 0):
        _wrong(place, f"The range of {name} must rise{' from above 0' if scale == 'log' else ''}.", where)
    if design in ("random", "bayesian"):
        return Range(low, high, scale)
    count = 2 if design in ("factorial", "fractional") else value.get("levels")
    if not isinstance(count, int) or isinstance(count, bool) or count < 2:
        _wrong(place, f"A grid needs the levels of {name}: a list, or a range with levels = 5.", where)
    ends = np.geomspace(low, high, count) if scale == "log" else np.linspace(low, high, count)
    return tuple(dict.fromkeys(round(x) if about.type is int else float(f"{x:.6g}") for x in ends))


def _settings(
    raw: dict[str, Any], factors: dict[str, Any], config_class: type, where: dict[str, int]
) -> dict[str, Any]:
    found = {}
    for name, value in _table(raw, "set", where).items():
        place = f"set.{name}"
        error = _error(config_class, name, value)
        if error:
            _wrong(place, str(error), where)
        if name in factors:
            _wrong(place, f"{name} is a factor and cannot be set to one value as well.", where)
        found[name] = config.read(config_class, name, value)
    return found


def _search(raw: dict[str, Any], design: str, module: ModuleType, where: dict[str, int]) -> Search:
    said = _table(raw, "search", where)
    _known(said, ("trials", "sampler", "pruner", "metric", "direction", "seed"), "search.", where)
    if said and design not in ("random", "bayesian"):
        _wrong("search", f"A {design} design is planned at once and searches nothing; leave [search] out.", where)
    default = "random" if design == "random" else "tpe"
    sampler = _choice({"sampler": default, **said}, "sampler", SAMPLERS, where, "search.")
    if design == "random" and sampler != "random":
        _wrong("search.sampler", f'A random design draws at random; for {sampler} say design = "bayesian".', where)
    pruner = _choice({"pruner": "none", **said}, "pruner", PRUNERS, where, "search.")
    if design == "random" and pruner != "none":
        _wrong("search.pruner", 'A random design ends nothing early; say design = "bayesian", sampler "random".', where)
    metric = str(said.get("metric", module.MONITOR))
    if metric.startswith("test/"):
        _wrong(
            "search.metric", "A search that looks at test scores makes them worthless; name a validation one.", where
        )
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
        _wrong("search.metric", str(error), where)
    default = "maximize" if better == "higher" else "minimize"
    return _choice({"direction": default, **said}, "direction", ("minimize", "maximize"), where, "search.")
