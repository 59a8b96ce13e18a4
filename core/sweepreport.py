"""The whole analysis of a sweep as one document: what was run, what came out, how sure that is, and how to check it."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from core import (
    anova,
    assumptions,
    correlations,
    effectcharts,
    effects,
    pareto,
    power,
    ranks,
    sweepboard,
    sweepcharts,
    sweepcurves,
    sweepends,
    sweepfigures,
    sweeprecord,
    sweeps,
    threads,
    wording,
)
from core.document import Block
from core.store import Store
from core.sweepboard import Found
from core.sweeprecord import Record
from core.usable import level_text

MOST_KNOBS = 6
SHARES = ("eta2", "partial_eta2", "partial_omega2", "low", "high", "omega2", "omega2_low", "omega2_high")
"""Columns of an analysis of variance that stand in a table of their own: all sixteen are wider than a page."""
PACKAGES = ("numpy", "scipy", "pandas", "duckdb", "optuna", "torch")


@dataclass(frozen=True)
class _Sweep:
    """What the parts of a report are written from. `results` are those for tests of effects, with a `note` where they
    are not the runs as they are; `metric` is the number whose curves are read, empty where none was logged."""

    record: Record
    found: Found
    response: str
    kind: str
    metric: str
    results: pd.DataFrame
    note: str
    curves: Callable[[str], pd.DataFrame]


def report(store: Store, sweep: str, *, response: str = "", kind: str = "III", metric: str = "") -> list[Block]:
    """The document of a sweep, judged by `response` (else the task's own score), with sums of squares of type `kind`
    and the curves of `metric` (else of the response, or the training loss).

    What cannot be analysed is there as a sentence that says why. ValueError for an unknown sweep or response.
    """
    threads.one_for_analyses()
    record = sweeps.read(sweep)
    found = sweepboard.find(store, record)
    if response and response not in found.responses:
        choices = wording.list_text(list(found.responses)) or "none yet"
        raise ValueError(f"No run of this sweep has the number {response!r}; there are {choices}.")
    blocks = _head(record, found)
    response = response or (found.responses[0] if found.responses else "")
    if not response:
        why = f"None of {wording.count_text(len(found.results), 'run')} has a number to analyse."
        return [*blocks, Block("warning", why), *_runs(found), *_versions(record)]
    results, note = sweepboard.with_thirds(found, response)
    followed = next((m for m in (metric, response, "validation/loss", "train/loss") if m in found.curves), "")
    curves = functools.cache(lambda name: sweeps.curves(store, record.id, name))
    told = _Sweep(record, found, response, kind, followed or "".join(found.curves[:1]), results, note, curves)
    for title, part in PARTS.items():
        blocks.append(Block("heading", title))
        try:
            blocks += list(part(told))
        except ValueError as error:
            blocks.append(Block("warning", str(error)))
    return [*blocks, Block("heading", "The same numbers again"), *_again(told), *_versions(record)]


def _head(record: Record, found: Found) -> list[Block]:
    states = found.results["state"].value_counts()
    counts = wording.list_text([f"{n} {state}" for state, n in states.items()]) or "no run"
    about = (
        f"{record.trainer} on {record.data}, split {record.split}, on {record.device}; {record.design} design, "
        f"{wording.count_text(len(record.cells), 'configuration')} × {wording.count_text(len(record.seeds), 'seed')} "
        f"({', '.join(map(str, record.seeds))}), started {record.created_at}. "
        f"{wording.count_text(len(found.results), 'run')}: {counts}."
    )
    toml = (sweeprecord.find(record.id) / "sweep.toml").read_text(encoding="utf-8")
    variant = ("the quick variant" if record.is_quick else "") + (f" stage {record.stage}" if record.stage else "")
    blocks = [Block("title", record.title or f"Sweep {record.name}"), Block("text", f"Sweep {record.id}: {about}")]
    if variant:
        blocks.append(Block("text", f"Of this file {variant.strip()} was run."))
    blocks += [Block("warning", note) for note in record.notes]
    levels = {k: v for k, v in record.factors.items() if isinstance(v, list)}
    if levels:
        listed = "; ".join(f"{wording.words(k)}: {', '.join(map(level_text, v))}" for k, v in levels.items())
        blocks.append(Block("text", f"Levels, with what was added since: {listed}."))
    if found.n_finished < len(found.results):
        left = len(found.results) - found.n_finished
        blocks.append(Block("warning", f"{wording.count_text(left, 'run')} had not ended: this is a look half-way."))
    started = "The file it was started from; seeds and levels that were added since are in the lines above."
    return [*blocks, Block("heading", "What was run"), Block("text", started), Block("code", toml, language="toml")]


def _quoted(sentence: str, warnings: tuple[str, ...] = ()) -> list[Block]:
    return [*([Block("quote", sentence)] if sentence else []), *(Block("warning", w) for w in dict.fromkeys(warnings))]


def _results(told: _Sweep) -> Iterator[Block]:
    table = sweepboard.board(told.found.results, told.response, told.found.factors)
    name = wording.words(told.response)
    yield Block("text", f"{name}: {sweepboard.meaning(told.response)} Better: {sweepboard.better(told.response)}.")
    yield from _quoted(sweepboard.best_sentence(table, told.response))
    shown = table[[*told.found.factors, "n", "mean", "low", "high", "sd", "divergence_rate", "outcomes"]]
    yield Block("table", "Means over seeds with 95 % intervals (Student's t).", table=shown)
    how = "Dots are means over seeds, lines their 95 % intervals. Wide overlap: these data cannot tell the two apart."
    yield Block("figure", how, svg=sweepfigures.board(table, told.response))


def _knobs(told: _Sweep) -> Iterator[Block]:
    factors = _several(told)
    said: set[str] = set()
    for factor in factors[:MOST_KNOBS]:
        table = sweepcharts.axis_table(told.results, told.response, told.found.factors, factor)
        figure = sweepfigures.knob(table, factor, told.response)
        yield Block("figure", sweepcharts.READING["axis"], svg=figure)
        new = [w for w in effects.aliased(told.results, told.response, told.found.factors, factor) if w not in said]
        said.update(new)
        yield from (Block("warning", warning) for warning in new)
    if len(factors) > MOST_KNOBS:
        yield Block("text", f"Not drawn: {wording.list_text([wording.words(f) for f in factors[MOST_KNOBS:]])}.")
    if not factors:
        yield Block("text", "No knob has two levels with usable runs.")


def _several(told: _Sweep) -> list[str]:
    """Factors with two levels or more."""
    return [f for f in told.found.factors if len(told.results) and told.results[f].map(level_text).nunique() > 1]


def _effects(told: _Sweep) -> Iterator[Block]:
    results, response, factors = told.results, told.response, told.found.factors
    design = told.record.design
    if correlations.never_back(told.found.results, response, factors, design):
        found = correlations.correlations(told.found.results, response, factors, design=design)
        yield from _quoted(found.sentence, found.warnings)
        if not found.table.empty:
            yield Block("table", f"Knobs and the mean {wording.words(response)}.", table=found.table)
            figure = sweepfigures.correlations(effectcharts.correlations_table(found), response)
            yield Block("figure", effectcharts.READING["correlations"], svg=figure)
        if not told.note:
            return
    if told.note:
        yield Block("warning", told.note)
    analysis = anova.anova(results, response, factors, kind=told.kind)
    yield from _quoted(analysis.sentence, analysis.warnings)
    said = set(analysis.warnings)

    def new(warnings: tuple[str, ...]) -> tuple[str, ...]:
        """Those that were not said before."""
        found = tuple(warning for warning in warnings if warning not in said)
        said.update(found)
        return found

    if analysis.table.empty:
        return
    tests = [column for column in anova.COLUMNS if column not in SHARES]
    yield Block("table", f"Type {told.kind} analysis of variance.", table=analysis.table[tests])
    shares = analysis.table.loc[analysis.table["term"].isin(list(analysis.by)), ["term", *SHARES]]
    yield Block("table", f"Shares of variance; low and high of partial ω². {anova.METHOD}", table=shares)
    table = effectcharts.effects_table(analysis)
    yield Block("figure", effectcharts.READING["effects"], svg=sweepfigures.effects(table, response))
    for factor in analysis.factors[:MOST_KNOBS]:
        yield Block("subheading", wording.sentence_case(wording.words(factor)))
        means = effects.marginal_means(results, response, factors, factor)
        yield from _quoted(means.sentence, new(means.warnings))
        yield Block("table", f"Marginal means; interval: {means.method}.", table=means.table.drop(columns=factor))
        compared = effects.pairwise(results, response, factors, factor)
        yield from _quoted(compared.sentence, new(compared.warnings))
        figure = sweepfigures.pairs(effectcharts.pairs_table(compared).dropna(subset=["difference"]), response)
        yield Block("figure", effectcharts.READING["pairs"], svg=figure)
    yield Block("subheading", "How much could be seen, and whether to believe it")
    seen = power.sweep_power(results, response, factors)
    yield from _quoted(seen.sentence, new(seen.warnings))
    checked = assumptions.check(analysis)
    yield from _quoted(checked.sentence)
    if not checked.residuals.empty:
        figure = sweepfigures.residuals(effectcharts.residual_table(checked))
        yield Block("figure", effectcharts.READING["residuals"], svg=figure)
    if not checked.holds:
        ranked = ranks.rank_tests(results, response, factors)
        yield from _quoted(ranked.sentence, (checked.advice,))
        yield Block("table", f"{wording.sentence_case(ranked.method)}. {ranked.why}", table=ranked.table)


def _curves(told: _Sweep) -> Iterator[Block]:
    metric = told.metric
    curves = told.curves(metric) if metric else pd.DataFrame()
    if curves.empty:
        yield Block("text", "No run has logged a number over time.")
        return
    by = next(iter(_several(told)), "")
    levels = told.results if by and not told.note else told.found.results
    levels = levels[levels["state"] != "diverged"]
    n_diverged = int((told.found.results["state"] == "diverged").sum())
    if n_diverged:
        yield Block("text", f"Not drawn: {wording.count_text(n_diverged, 'run')} that diverged.")
    level_of = {str(run): level_text(level) for run, level in zip(levels["run"], levels[by], strict=True)} if by else {}
    level_of = level_of or dict.fromkeys(levels["run"].astype(str), "all runs")
    table = sweepcurves.curves_table(sweepends.whole_epochs(curves), level_of)
    yield Block("figure", sweepcurves.READING["curves"], svg=sweepfigures.curves(table, by or "run", metric))
    with np.errstate(over="ignore"):  # curves that exploded: they are called diverged whatever their squares
        kinds = sweepends.classes(told.found, curves, metric)
    yield from _quoted(sweepends.counted(kinds))
    for factor in _several(told) if not told.note and len(kinds) else ():
        crossed = sweepends.by_factor(kinds, factor)
        yield from _quoted(crossed.sentence, crossed.warnings)
        if len(crossed.counts) > 1:
            yield Block("table", table=crossed.counts.rename_axis(columns=None).reset_index())
    if len(kinds):
        shown = _levelled(kinds[[*told.found.factors, "seed", "kind", "sentence"]], told.found)
        yield Block("table", f"How each curve of {wording.words(metric)} ended, and why it is said so.", table=shown)


def _early(told: _Sweep) -> Iterator[Block]:
    if not told.metric:
        yield Block("text", "No run has logged a number over time.")
        return
    judged = told.curves(told.response) if told.response in told.found.curves and told.response != told.metric else None
    found = sweepends.foretold(told.found, told.curves(told.metric), told.response, judged=judged)
    yield from _quoted(found.sentence, found.warnings)
    how = "How well the ranking of runs at an epoch is the ranking at the end; 1 is the same order."
    yield Block("figure", how, svg=sweepfigures.early(found.table, told.response))


def _trade_off(told: _Sweep) -> Iterator[Block]:
    results, names = sweepboard.with_goals(told.found)
    directions = {name: sweepboard.better(name) for name in names if name != told.response}
    bare = told.response.rpartition("/")[2]
    others = [n for n, d in directions.items() if d != "neither" and n.rpartition("/")[2] != bare]
    gaps = [n for n in others if n.startswith("gap/")]
    wanted = next((n for n in ("seconds", *gaps, *others, f"spread/{told.response}") if n in directions), "")
    if not wanted or sweepboard.better(told.response) == "neither":
        yield Block("text", "There is no second number that is better in one direction.")
        return
    goals = {wanted: directions[wanted], told.response: sweepboard.better(told.response)}
    found = pareto.front(results, goals, told.found.factors)
    yield from _quoted(found.sentence, (*found.warnings, *sweepboard.cautions(goals)))
    table = effectcharts.front_table(found, wanted, told.response)
    yield Block("figure", effectcharts.READING["front"], svg=sweepfigures.front(table, wanted, told.response))


def _again(told: _Sweep) -> Iterator[Block]:
    yield Block("text", "In the index (page SQL, or `python lab.py sql`), one row per run:")
    yield Block("code", sweepboard.statement(told.record, told.response), language="sql")
    yield from _runs(told.found, told.response)


def _runs(found: Found, response: str = "") -> list[Block]:
    columns = ["run", *found.factors, "seed", "state", *([response] if response else [])]
    return [Block("table", "Every run.", table=_levelled(found.results[columns], found))]


def _levelled(table: pd.DataFrame, found: Found) -> pd.DataFrame:
    """Levels as they were chosen: 0.1, and not 0.1000."""
    return table.assign(**{name: table[name].map(level_text) for name in found.factors})


def _versions(record: Record) -> list[Block]:
    known = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            known.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    command = f"python lab.py sweeps report {record.id}"
    return [Block("text", f"Made {made} by `{command}` with {', '.join(known)}.")]


PARTS: dict[str, Callable[[_Sweep], Iterator[Block]]] = {
    "Results": _results,
    "Knobs": _knobs,
    "Effects": _effects,
    "Curves": _curves,
    "Does an early epoch foretell the end?": _early,
    "Trade-off": _trade_off,
}
