"""The runs of a sweep: their names, the groups in which they train, their directories."""

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

from core import config, designs, paths, rundir, specs, supervisor, sweepflags, sweepplan
from core.sweepfile import SweepFile
from core.sweeprecord import Entry, Record

MOST_TOGETHER = 128
"""Runs in one process where the trainer does not say (`MOST_TOGETHER`): each keeps a log open and a checkpoint."""


def ordered(pairs: list[tuple[int, int]], file: SweepFile) -> list[tuple[int, int]]:
    """The (cell, seed) in the order in which the file wants them trained."""
    if file.order == "seeds":
        return pairs
    return [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]


def entries(record: Record, pairs: list[tuple[int, int]], file: SweepFile, trainer: ModuleType) -> list[Entry]:
    """Names for these runs, and the groups in which they train."""
    stamp, mark = f"{datetime.now(UTC):%Y%m%d-%H%M%S}", secrets.token_hex(3)
    made = [
        Entry(f"{stamp}-{record.trainer}-{mark}-{number:04d}", cell, seed)
        for number, (cell, seed) in enumerate(pairs, len(record.entries))
    ]
    if not sweepplan.is_together(file, trainer):
        return made
    alike: dict[Any, list[int]] = {}
    for place, entry in enumerate(made):
        settings = config.make(trainer.Config, designs.knobs_of(record.cells[entry.cell], file, trainer.Config))
        alike.setdefault(trainer.together(settings), []).append(place)
    most = int(getattr(trainer, "MOST_TOGETHER", MOST_TOGETHER))
    number = len({entry.together for entry in record.entries})
    for places in alike.values():
        parts = max(-(-len(places) // most), min(record.workers, len(places)))
        for part in np.array_split(places, parts):
            for place in part:
                made[place] = replace(made[place], together=f"{record.id}.{number}")
            number += 1
    return made


def make_runs(record: Record, entries: Sequence[Entry], file: SweepFile, ground: specs.Ground) -> list[Path]:
    """Create the run directories of these entries that are not there yet, and queue them, a group side by side; none
    where the sweep was cancelled. Call it while `changing` the sweep, so that it is not cancelled half-way."""
    if sweepflags.has(record.id, "cancelled"):
        return []
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
