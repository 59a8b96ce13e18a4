"""Sweeps: many runs that answer one question. Start, watch, add to, pause, cancel, run again what failed, read.

Everything stands in files (core/sweeprecord.py and the run directories), so a sweep survives the app and the machine;
the supervisor starts its runs like any others.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pandas as pd

from core import (
    designs,
    paths,
    resting,
    specs,
    supervisor,
    sweep_sql,
    sweepfile,
    sweepflags,
    sweepplan,
    sweeprecord,
    sweepruns,
)
from core.runner import load_trainer
from core.store import Store
from core.sweepcontrol import add_levels, add_seeds, cancel, pause, rerun_failed, resume
from core.sweepfile import SweepFile
from core.sweepplan import Plan
from core.sweeprecord import Record

__all__ = [  # said from here: a sweep has one door
    "Plan",
    "add_levels",
    "add_seeds",
    "cancel",
    "pause",
    "rerun_failed",
    "resume",
]


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
    only: Collection[tuple[int, int]] | None = None,
) -> str:
    """Plan a sweep, create and queue its runs; returns its id. It goes on without whoever called this.

    `only` makes these of its (cell, seed) alone: the others are there already.
    ValueError for anything a user could get wrong, and above 10,000 cells unless `confirmed`.
    """
    made = opened(file, quick=quick, stage=stage)
    made = replace(made, workers=workers or made.workers)
    if designs.n_cells(made) > designs.ASK_ABOVE_CELLS and not confirmed:
        raise ValueError(sweepplan.asks(made))
    trainer = load_trainer(made.trainer)
    ground = specs.prepare(trainer, data=made.data, split=made.split, device=made.device)
    design = designs.make(made, trainer.Config)
    record = _record(made, trainer, ground, design)
    pairs = sweepruns.ordered([(cell, seed) for seed in made.seeds for cell in range(len(design.cells))], made)
    if only is not None:
        pairs = [pair for pair in pairs if pair in only]
        left_out = len(design.cells) * len(made.seeds) - len(pairs)
        if left_out:
            told = f"{left_out} of its runs were here already and are not made."
            record = replace(record, notes=[*record.notes, told])
    record = replace(record, entries=sweepruns.entries(record, pairs, made, trainer))
    flags = ("driver",) if made.design == "bayesian" else ()
    if made.design == "bayesian":  # its first mistake should not wait for its first trial
        first = next(designs.draws(made.factors, 1, 0, trainer.Config))
        specs.make(ground, designs.knobs_of(first, made, trainer.Config), seed=made.seeds[0])
    else:
        for cell in design.cells:  # all of it is checked before any of it is made
            specs.make(ground, designs.knobs_of(cell, made, trainer.Config), seed=made.seeds[0])
    record = sweeprecord.create(record, made.text, *flags)
    with sweeprecord.changing(record.id):
        sweepruns.make_runs(record, record.entries, made, ground)
    supervisor.ensure()
    return record.id


def _record(file: SweepFile, trainer: ModuleType, ground: specs.Ground, design: designs.Design) -> Record:
    """What is planned, still without an id and without runs."""
    return Record(
        id="",
        name=file.name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trainer=file.trainer,
        data=ground.data,
        split=ground.split,
        device=ground.device,
        seeds=list(file.seeds),
        factors=sweeprecord.as_json(file.factors),
        cells=list(design.cells),
        entries=[],
        title=file.title,
        design=file.design,
        is_quick=file.is_quick,
        stage=file.stage,
        trials=file.search.trials,
        workers=sweepplan.workers(file, ground.device, trainer),
        notes=[*design.notes, *file.warnings],
    )


# ---- reading ----


@dataclass(frozen=True)
class Summary:
    """Where a sweep stands. `state` is running, paused, cancelled, done (every run is done, diverged or pruned) or
    incomplete (some failed, were lost or stopped). `counts` are runs by state, `eta_s` is None while unknown."""

    id: str
    name: str
    title: str
    created_at: str
    state: str
    n_runs: int
    counts: dict[str, int]
    fraction: float
    eta_s: float | None
    trainer: str
    data: str
    design: str
    is_quick: bool
    stage: str
    factors: tuple[str, ...] = ()


_settled: dict[str, tuple[int, Summary]] = {}
"""Sweeps that are done, by id, with the time of their plan: a list of many must not read every run of every one."""


def listing() -> list[Summary]:
    """All sweeps, newest first; one whose plan cannot be read is left out."""
    found = []
    for sweep in sweeprecord.ids():
        try:
            found.append(summary(sweep))
        except ValueError:
            continue
    return found


def read(sweep: str) -> Record:
    """What was planned: cells, seeds, runs; not to be written to. ValueError where there is no such sweep."""
    return sweeprecord.peek(sweep)


def summary(sweep: str, frame: pd.DataFrame | None = None) -> Summary:
    """Where a sweep stands; `frame` is its `progress` where the caller has it already."""
    folder = sweeprecord.find(sweep)
    changed = (folder / "plan.json").stat().st_mtime_ns if (folder / "plan.json").exists() else 0
    known = _settled.get(str(folder))
    if known is not None and known[0] == changed and frame is None:
        return known[1]
    record = sweeprecord.peek(folder.name)
    frame = progress(folder.name) if frame is None else frame
    counts = {str(state): int(n) for state, n in frame["state"].value_counts().items()}
    state = _state(folder.name, frame, counts)
    total = max(len(frame), record.trials * len(record.seeds) if record.design == "bayesian" else 0)
    fraction = float(frame["fraction"].sum()) / total if total else 0.0
    made = Summary(
        folder.name, record.name, record.title, record.created_at, state, total, counts, fraction,
        _eta_s(frame, total, record) if state == "running" else None, record.trainer, record.data, record.design,
        record.is_quick, record.stage, tuple(record.factors),
    )  # fmt: skip
    if state == "done":
        _settled[str(folder)] = changed, made
    return made


def _state(sweep: str, frame: pd.DataFrame, counts: dict[str, int]) -> str:
    if sweepflags.has(sweep, "cancelled"):
        return "cancelled"
    if sweepflags.has(sweep, "paused"):
        return "paused"
    if sweepflags.has(sweep, "driver") or any(counts.get(state) for state in ("queued", "starting", "running")):
        return "running"
    is_over = frame["state"].isin(["done", "diverged"]) | (frame["outcome"] == "pruned")
    return "done" if is_over.all() else "paused" if counts.get("paused") else "incomplete"


def _eta_s(frame: pd.DataFrame, total: int, record: Record) -> float | None:
    """Time left (s): what a process takes, times what is left of all of them, over the workers that the plan has.

    A process trains one run, or a group that trains together, and takes as long as it has runs. Those of the plan are
    counted, and not those at work at this moment: between two groups there is none, and while one starts beside another
    there are more or fewer. What one takes is its start-up, once, and its training so far by its fraction: seconds of
    import are no share.
    """
    process = frame["run"].map({entry.run: entry.together or entry.run for entry in record.entries})
    told = frame[(frame["seconds"] > 0) & (frame["fraction"] > 0.02)]
    trained = told["trained_s"].where(told["trained_s"] > 0, told["seconds"]).clip(upper=told["seconds"])
    whole = (told["seconds"] - trained + trained / told["fraction"]).groupby(process).median()
    if whole.empty:
        return None
    size = process.groupby(process).size()
    is_left = frame["state"].isin(["queued", "starting", "running", "paused"]) & (frame["outcome"] != "pruned")
    left = ((1 - frame["fraction"])[is_left].groupby(process).mean() * size).dropna()  # in runs
    n_more = max(total - len(frame), 0)  # that a search has yet to propose
    at_once = min(record.workers, max(len(left) + n_more, 1))
    return float((whole / size).median()) * (float(left.sum()) + n_more) / at_once


def progress(sweep: str) -> pd.DataFrame:
    """One row per planned run, now: run, cell, seed, outcome, a column per factor, state, fraction (0 to 1), seconds
    since its process began (until it ended), of these trained_s in training, reason.

    `state` "deleted" is a run that is no longer there."""
    record = sweeprecord.peek(sweep)
    frame, waiting, now, runs = _planned(record), set(supervisor.waiting()), time.time(), paths.runs()
    rows = []
    for run in frame["run"]:
        if run in waiting:  # without a look at its files: a thousand may wait
            rows.append(("queued", 0.0, 0.0, 0.0, ""))
            continue
        status = resting.read_status(f"{runs}/{run}")
        if status is None:
            rows.append(("deleted", 0.0, 0.0, 0.0, ""))
            continue
        fraction = 1.0 if status.state in ("done", "diverged") else status.fraction
        seconds = max((status.ended_at or now) - status.started_at, 0.0) if status.started_at else 0.0
        rows.append((status.state, fraction, seconds, status.trained_s, status.reason))
    columns = ["state", "fraction", "seconds", "trained_s", "reason"]
    frame[columns] = pd.DataFrame(rows, columns=columns, index=frame.index)
    frame.loc[frame["outcome"] == "pruned", "fraction"] = 1.0
    return frame


def results(store: Store, sweep: str) -> pd.DataFrame:
    """One row per planned run: run, cell, config_id, seed, state, diverged, outcome, seconds, a column per factor (its
    level, empty where it does not apply) and one per number logged (the last one, by its logged name).

    `seconds` is empty for runs that trained together in one process. As far as `store` has read.
    """
    record = sweeprecord.peek(sweep)
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
    record = sweeprecord.peek(sweep)
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
