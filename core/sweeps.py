"""Sweeps: many runs that answer one question. Start, watch, add to, pause, cancel, run again what failed, read.

Everything stands in files (core/sweeprecord.py and the run directories), so a sweep survives the app and the machine;
the supervisor starts its runs like any others.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from core import config, designs, paths, rundir, specs, supervisor, sweep_sql, sweepfile, sweepplan, sweeprecord
from core.runner import load_trainer
from core.store import Store
from core.sweepfile import SweepFile
from core.sweepplan import Plan
from core.sweeprecord import Entry, Record

__all__ = ["Plan", "plan", "start"]

MOST_TOGETHER = 128
"""Runs in one process where the trainer does not say (`MOST_TOGETHER`): each keeps a log open and a checkpoint."""


def opened(file: SweepFile | Path | str, *, quick: bool = False, stage: str = "") -> SweepFile:
    """A sweep file, read where it is given as a path; its quick variant or one of its stages where asked."""
    if isinstance(file, SweepFile):
        is_other = (quick and not file.is_quick) or (stage and stage != file.stage)
        return sweepfile.parse(file.text, quick=quick or file.is_quick, stage=stage or file.stage) if is_other else file
    return sweepfile.read(file, quick=quick, stage=stage)


def plan(file: SweepFile | Path | str, *, quick: bool = False, stage: str = "", workers: int = 0) -> Plan:
    """What starting it would mean: runs, time, disk, what each worker gets. Makes nothing."""
    made = opened(file, quick=quick, stage=stage)
    return sweepplan.make(replace(made, workers=workers or made.workers))


def start(
    file: SweepFile | Path | str,
    *,
    quick: bool = False,
    stage: str = "",
    workers: int = 0,
    confirmed: bool = False,
) -> str:
    """Plan a sweep, create and queue its runs; returns its id. It goes on without whoever called this.

    ValueError for anything a user could get wrong, and above 10,000 cells unless `confirmed`.
    """
    made = opened(file, quick=quick, stage=stage)
    made = replace(made, workers=workers or made.workers)
    if designs.n_cells(made) > designs.ASK_ABOVE_CELLS and not confirmed:
        raise ValueError(sweepplan.asks(made))
    trainer = load_trainer(made.trainer)
    ground = specs.prepare(trainer, data=made.data, split=made.split, device=made.device)
    design = designs.make(made, trainer.Config)
    record = Record(
        id="",
        name=made.name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trainer=made.trainer,
        data=ground.data,
        split=ground.split,
        device=ground.device,
        seeds=list(made.seeds),
        factors=sweeprecord.as_json(made.factors),
        cells=list(design.cells),
        entries=[],
        title=made.title,
        design=made.design,
        is_quick=made.is_quick,
        stage=made.stage,
        trials=made.search.trials,
        workers=sweepplan.workers(made, ground.device, trainer),
        notes=[*design.notes, *made.warnings],
    )
    pairs = _ordered([(cell, seed) for seed in made.seeds for cell in range(len(design.cells))], made)
    record = replace(record, entries=_entries(record, pairs, made, trainer))
    flags = ("driver",) if made.design == "bayesian" else ()
    if made.design == "bayesian":  # its first mistake should not wait for its first trial
        first = next(designs.draws(made.factors, 1, 0, trainer.Config))
        specs.make(ground, designs.knobs_of(first, made, trainer.Config), seed=made.seeds[0])
    else:
        for cell in design.cells:  # all of it is checked before any of it is made
            specs.make(ground, designs.knobs_of(cell, made, trainer.Config), seed=made.seeds[0])
    record = sweeprecord.create(record, made.text, *flags)
    make_runs(record, record.entries, made, ground)
    supervisor.ensure()
    return record.id


def _ordered(pairs: list[tuple[int, int]], file: SweepFile) -> list[tuple[int, int]]:
    if file.order == "seeds":
        return pairs
    return [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]


def _entries(record: Record, pairs: list[tuple[int, int]], file: SweepFile, trainer: ModuleType) -> list[Entry]:
    """Names for these runs, and the groups in which they train."""
    stamp, mark = f"{datetime.now(UTC):%Y%m%d-%H%M%S}", secrets.token_hex(3)
    entries = [
        Entry(f"{stamp}-{record.trainer}-{mark}-{number:04d}", cell, seed)
        for number, (cell, seed) in enumerate(pairs, len(record.entries))
    ]
    if not sweepplan.is_together(file, trainer):
        return entries
    alike: dict[Any, list[int]] = {}
    for place, entry in enumerate(entries):
        settings = config.make(trainer.Config, designs.knobs_of(record.cells[entry.cell], file, trainer.Config))
        alike.setdefault(trainer.together(settings), []).append(place)
    most = int(getattr(trainer, "MOST_TOGETHER", MOST_TOGETHER))
    number = len({entry.together for entry in record.entries})
    for places in alike.values():
        parts = max(-(-len(places) // most), min(record.workers, len(places)))
        for part in np.array_split(places, parts):
            for place in part:
                entries[place] = replace(entries[place], together=f"{record.id}.{number}")
            number += 1
    return entries


def make_runs(record: Record, entries: Sequence[Entry], file: SweepFile, ground: specs.Ground) -> list[Path]:
    """Create the run directories of these entries that are not there yet, and queue them, a group side by side."""
    made: dict[int, rundir.Spec] = {}
    folders: dict[str, list[Path]] = {}
    there = _made()
    share = float(f"{1 / max(record.workers, 1):.4f}") if record.workers > 1 else 1.0
    for entry in entries:
        if entry.cell not in made:
            values = designs.knobs_of(record.cells[entry.cell], file, ground.trainer.Config)
            made[entry.cell] = specs.make(ground, values, seed=entry.seed)
        spec = replace(
            made[entry.cell], id=entry.run, seed=entry.seed, sweep=record.id, together=entry.together, share=share
        )
        if entry.run not in there:
            folders.setdefault(entry.together or entry.run, []).append(rundir.create(spec))
    found = [folder for group in folders.values() for folder in group]
    supervisor.enqueue_all(found)
    return found


def _made() -> set[str]:
    """The runs that were made before; those in the trash too, where someone put them on purpose."""
    return {name for place in (paths.runs(), paths.trash()) for name in os.listdir(place)}


# ---- reading ----


def results(store: Store, sweep: str) -> pd.DataFrame:
    """One row per planned run: run, cell, config_id, seed, state, diverged, outcome, seconds, a column per factor (its
    level, empty where it does not apply) and one per number logged (the last one, by its logged name).

    `seconds` is empty for runs that trained together in one process. As far as `store` has read.
    """
    record = sweeprecord.read(sweep)
    frame = _planned(record)
    known = store.query(sweep_sql.RUNS, [record.runs])
    final = store.query(sweep_sql.FINAL, [record.runs]).pivot(index="run", columns="name", values="value")
    frame = frame.merge(known.drop(columns="epochs"), on="run", how="left")
    frame["state"] = frame["state"].fillna("queued")
    frame["diverged"] = frame["state"] == "diverged"
    first = ["run", "cell", "config_id", "seed", "state", "diverged", "outcome", "seconds", *record.factors]
    return frame[first].merge(final, left_on="run", right_index=True, how="left").reset_index(drop=True)


def curves(store: Store, sweep: str, metric: str) -> pd.DataFrame:
    """One number of all runs over time: run, cell, seed, step, epoch, value, in order of run and step."""
    record = sweeprecord.read(sweep)
    places = pd.DataFrame([(e.run, e.cell, e.seed) for e in record.entries], columns=["run", "cell", "seed"])
    return places.merge(store.query(sweep_sql.CURVES, [metric, record.runs]), on="run")


def _planned(record: Record) -> pd.DataFrame:
    """run, cell, seed, outcome and the factors, a row per entry in order of cells and seeds."""
    rows = [
        {"run": e.run, "cell": e.cell, "seed": e.seed, "outcome": e.outcome}
        | {name: record.cells[e.cell].get(name) for name in record.factors}
        for e in sorted(record.entries, key=lambda e: (e.cell, e.seed))
    ]
    return pd.DataFrame(rows, columns=["run", "cell", "seed", "outcome", *record.factors])
