"""Designs: factors → cells. Pure: no files, no runs; the same file and seed always give the same cells.

A cell maps factors to levels. A factor whose knob does not apply in a cell (`when=` in core/config.py) is left out of
it, so that cells which would train the same thing are one.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import config
from core.sweepfile import Range, SweepFile

Cell = dict[str, Any]
ASK_ABOVE_CELLS = 10_000
_TRIED_MOST = 200_000


@dataclass(frozen=True)
class Design:
    """The cells in order, and what should be said about how they came about.

    `generators` and `aliases` are of fractional designs: factor → the factors whose product it is; effect → effects
    that cannot be told from it (main effects and interactions of two). `resolution` is 0 for other designs.
    """

    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    resolution: int = 0
    generators: dict[str, tuple[str, ...]] | None = None
    aliases: dict[str, tuple[str, ...]] | None = None


def n_cells(file: SweepFile) -> int:
    """How many cells a sweep has at most, without making them."""
    if file.design in ("random", "bayesian"):
        return file.search.trials
    if file.design == "listed":
        return len(file.cells)
    if file.design == "fractional":
        return 2 ** (len(file.factors) - fraction(len(file.factors), file.resolution)[0])
    return math.prod(len(levels) for levels in file.factors.values() if isinstance(levels, tuple))


def make(file: SweepFile, config_class: type) -> Design:
    """The cells of a sweep. A Bayesian one has none yet: they are proposed while it runs (core/sweeper.py)."""
    if file.design == "bayesian":
        return Design((), ("Each of its cells is proposed from the results before it.",))
    if file.design == "random":
        return _distinct(draws(file.factors, file.search.trials, file.search.seed, config_class), file, config_class)
    if file.design == "fractional":
        return _fractional(file, config_class)
    made = _distinct(iter(file.cells) if file.cells else _product(file.factors), file, config_class)
    if file.design == "factorial" and made.notes:
        raise ValueError(f"A factorial needs every factor in every cell, and {made.notes[0]} Make it a grid.")
    return made


def knobs_of(cell: Cell, file: SweepFile, config_class: type) -> dict[str, Any]:
    """All that is set in a cell: its levels, and of `[set]` what applies beside them."""
    return _applying({**file.settings, **cell}, config_class)


def _product(factors: dict[str, tuple[Any, ...] | Range]) -> Iterator[Cell]:
    lists = [levels for levels in factors.values() if isinstance(levels, tuple)]
    return (dict(zip(factors, levels, strict=True)) for levels in itertools.product(*lists))


def _applying(values: dict[str, Any], config_class: type) -> dict[str, Any]:
    """Without the knobs that do not apply beside the others; a knob that goes may take others with it."""
    about = _knobs(config_class)
    kept = dict(values)
    while True:
        merged = {name: kept.get(name, knob.default) for name, knob in about.items()}
        gone = [name for name in kept if not about[name].applies(merged)]
        if not gone:
            return kept
        for name in gone:
            del kept[name]


_knobs = functools.cache(config.knobs)  # 10,000 cells ask for the same


def _distinct(cells: Iterator[Cell], file: SweepFile, config_class: type) -> Design:
    """Each cell once, without what does not apply in it."""
    found: dict[str, Cell] = {}
    left_out: dict[str, int] = {}
    total = 0
    for cell in cells:
        total += 1
        applying = _applying({**file.settings, **cell}, config_class)
        kept = {name: level for name, level in cell.items() if name in applying}
        for name in cell.keys() - kept.keys():
            left_out[name] = left_out.get(name, 0) + 1
        found.setdefault(repr(sorted(kept.items())), kept)
    notes = []
    for name, count in left_out.items():
        needs = " and ".join(
            f"{k} is {' or '.join(map(str, allowed))}" for k, allowed in _knobs(config_class)[name].when.items()
        )
        if count == total:
            line = file.lines.get(f"factors.{name}", 1)
            raise ValueError(f"line {line}: {name} only applies when {needs}, which is so in no cell.")
        notes.append(f"{name} only applies when {needs}: it is left out of the other cells.")
    if len(found) < total:
        notes.append(f"{total} combinations are {len(found)} cells: those that would train the same thing are one.")
    return Design(tuple(found.values()), tuple(notes))


def draws(factors: dict[str, Any], n: int, seed: int, config_class: type) -> Iterator[Cell]:
    """n cells drawn at random, each independently; the first ones stay the same when more are drawn."""
    random = np.random.default_rng(seed)
    for _ in range(n):
        cell = {}
        for name, levels in factors.items():
            u = random.random()
            if isinstance(levels, Range):
                cell[name] = at(levels, u, _knobs(config_class)[name].type)
            else:
                cell[name] = levels[min(int(u * len(levels)), len(levels) - 1)]
        yield cell


def at(about: Range, u: float, kind: type) -> Any:
    """The value at share u (0 to 1) of a range, six significant digits; whole where the knob counts."""
    if about.scale == "log":
        value = math.exp(math.log(about.low) + u * math.log(about.high / about.low))
    else:
        value = about.low + u * (about.high - about.low)
    value = min(max(float(f"{value:.6g}"), about.low), about.high)
    return round(value) if kind is int else value


# ---- fractions of two-level factorials: words are sets of factors as bits ----


def _fractional(file: SweepFile, config_class: type) -> Design:
    names = list(file.factors)
    p, generators = fraction(len(names), file.resolution)
    base = len(names) - p
    cells: list[Cell] = []
    for signs in itertools.product((0, 1), repeat=base):
        levels = list(reversed(signs))  # the first factor moves fastest: Yates's order
        for word in generators:
            high = sum(levels[i] for i in range(base) if word >> i & 1)
            # The product of the signs −1 and +1: high where an even number of them is low.
            levels.append(1 - (word.bit_count() - high) % 2)
        cells.append({name: file.factors[name][level] for name, level in zip(names, levels, strict=True)})  # type: ignore[index]
    made = _distinct(iter(cells), file, config_class)
    if made.notes:
        raise ValueError(f"A fractional design needs every factor in every cell, and {made.notes[0]} Make it a grid.")
    words = _defining([word | 1 << base + i for i, word in enumerate(generators)])
    resolution = min((word.bit_count() for word in words), default=0)
    told = {names[base + i]: tuple(_members(word, names)) for i, word in enumerate(generators)}
    notes = [f"2^({len(names)}−{p}): {len(cells)} of {2 ** len(names)} cells, resolution {_roman(resolution)}."]
    if not p:
        notes = [f"No fraction of {len(names)} factors has resolution {_roman(file.resolution)}: all cells are run."]
    elif resolution < file.resolution:
        notes.append(f"Resolution {_roman(file.resolution)} was asked for.")
    notes += [f"{name} is set to {' × '.join(of)}." for name, of in told.items()]
    aliases = _aliases(words, names)
    mixed = [f"{effect} = {' = '.join(others)}" for effect, others in aliases.items()]
    if mixed:
        notes.append("Cannot be told apart: " + "; ".join(mixed) + ".")
    return Design(made.cells, tuple(notes), resolution, told, aliases)


@functools.cache
def fraction(k: int, resolution: int) -> tuple[int, tuple[int, ...]]:
    """The smallest two-level design of k factors with this resolution: (p, generators).

    2^(k−p) cells; factor k−p+i is the product of the first factors in generator i (bits). Of designs of one size the
    one with least aberration. p = 0 where only the full factorial has the resolution.
    Source: Fries & Hunter 1980, Technometrics 22(4), 601–608; Box, Hunter & Hunter 2005, ch. 6
    """
    for p in range(k - 1, 0, -1):
        base = k - p
        # Beyond: not enough columns for so many factors (a word needs resolution − 1 letters).
        able = [word for word in range(1, 2**base) if word.bit_count() >= resolution - 1]
        if len(able) < p:
            continue
        found = _least_aberration(base, p, sorted(able, key=lambda word: (-word.bit_count(), word)), resolution)
        if found is not None:
            return p, found
    return 0, ()


def _least_aberration(base: int, p: int, able: list[int], resolution: int) -> tuple[int, ...] | None:
    best: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    tried = 0

    def grow(chosen: tuple[int, ...], words: tuple[int, ...], start: int) -> None:
        """Add generators one by one; a defining word that is too short ends the branch."""
        nonlocal best, tried
        if tried > _TRIED_MOST:
            return
        if len(chosen) == p:
            lengths = [word.bit_count() for word in words]
            pattern = tuple(lengths.count(n) for n in range(resolution, base + p + 1))
            if best is None or pattern < best[0]:
                best = pattern, chosen
            return
        for place in range(start, len(able) - (p - len(chosen)) + 1):
            tried += 1
            new = able[place] | 1 << base + len(chosen)
            more = (new, *(word ^ new for word in words))
            if all(word.bit_count() >= resolution for word in more):
                grow((*chosen, able[place]), (*words, *more), place + 1)

    grow((), (), 0)
    return best[1] if best else None


def _defining(generators: list[int]) -> list[int]:
    """All words of the defining relation: every product of some of the generators."""
    words: list[int] = []
    for generator in generators:
        words += [generator, *(word ^ generator for word in words)]
    return words


def _members(word: int, names: list[str]) -> list[str]:
    return [name for i, name in enumerate(names) if word >> i & 1]


def _aliases(words: list[int], names: list[str]) -> dict[str, tuple[str, ...]]:
    """Effects of one and two factors that share a column, each group once."""
    effects = [1 << i for i in range(len(names))]
    effects += [a | b for a, b in itertools.combinations(effects, 2)]
    found, done = {}, set()
    for effect in effects:
        same = [other for other in effects if other != effect and other ^ effect in words]
        if same and effect not in done:
            done |= {effect, *same}
            found[" × ".join(_members(effect, names))] = tuple(" × ".join(_members(o, names)) for o in same)
    return found


def _roman(number: int) -> str:
    tens, ones = divmod(number, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones] if number else "full"
