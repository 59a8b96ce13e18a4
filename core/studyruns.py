"""Which runs belong to a study: any finished run whose configuration is one of its cells, whoever started it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core import config, designs, rundir, sweepfile
from core.store import Store
from core.sweepfile import SweepFile
from core.verdicts import MAIN, Runs

if TYPE_CHECKING:
    from core.studies import Study

ENDED = ("done", "diverged", "failed")
ABOUT = ["run", "stage", "cell", "config_id", "seed", "state", "diverged", "seconds", "together", "started_at",
         "ended_at"]  # fmt: skip


def variants(study: Study, *, quick: bool = False) -> dict[str, SweepFile]:
    """Its sweeps by stage, the main one first; ValueError where `quick` is asked and the file has no [quick]."""
    found = {MAIN: sweepfile.read(study.path, quick=quick)}
    return found | {name: sweepfile.read(study.path, quick=quick, stage=name) for name in study.file.stage_names}


def cells(study: Study, *, quick: bool = False) -> pd.DataFrame:
    """Every cell: stage, cell (its number in the stage), name ("sgd · 0.1"), seeds, levels and knobs (all of them)."""
    from core.runner import load_trainer

    rows = []
    for stage, file in variants(study, quick=quick).items():
        trainer = load_trainer(file.trainer)
        for number, cell in enumerate(designs.make(file, trainer.Config).cells):
            made = config.make(trainer.Config, designs.knobs_of(cell, file, trainer.Config))
            name = " · ".join(str(level) for level in cell.values())
            rows.append((stage, number, name, file.seeds, cell, config.to_dict(made), file.data, _split(file)))
    return pd.DataFrame(rows, columns=["stage", "cell", "name", "seeds", "levels", "knobs", "data", "split"])


def runs_of(store: Store, study: Study, *, quick: bool = False) -> Runs:
    """The study's runs in the index.

    A run counts where trainer, data, split and every knob are those of a cell (knobs younger than the run have their
    default) and nothing was moved while it trained. Of several with one cell and seed a finished one comes first, then
    one that trained alone, then the newest. Seeds beyond those of the file count too. A configuration that stands in
    two stages (plain SGD, say) belongs to the first.
    """
    from core.runner import load_trainer

    wanted = cells(study, quick=quick)
    defaults = {name: knob.default for name, knob in config.knobs(load_trainer(study.file.trainer).Config).items()}
    place: dict[str, tuple[str, int]] = {}
    for row in wanted.to_dict("records"):
        place.setdefault(_key(row["knobs"], row["data"], row["split"]), (row["stage"], row["cell"]))
    found = store.query(
        """SELECT run, config, config_id, data, split, seed, state, seconds, started_at, ended_at, created_at, folder
           FROM runs WHERE trainer = ? AND state IN (SELECT unnest(?)) AND NOT coalesce(steered, false)""",
        [study.file.trainer, list(ENDED)],
    )
    rows = []
    for row in found.to_dict("records"):
        knobs = defaults | json.loads(row["config"])
        at = place.get(_key(knobs, row["data"], row["split"]))
        if at is not None:
            rows.append(_row(row, *at, knobs))
    frame = _one_per_seed(pd.DataFrame(rows))
    frame = frame.drop(columns=["created_at"], errors="ignore").reindex(columns=[*ABOUT, *defaults])
    return Runs(_with_metrics(store, frame), _curves(store, frame), tuple(study.file.factors))


def coverage(study: Study, runs: Runs, *, quick: bool = False) -> pd.DataFrame:
    """How much of the study is there: stage, cell, name, wanted, finished, diverged (numbers of seeds)."""
    table = cells(study, quick=quick)
    counts = {(str(stage), int(cell)): rows for (stage, cell), rows in runs.results.groupby(["stage", "cell"])}
    finished, diverged = [], []
    for row in table.to_dict("records"):
        rows = counts.get((row["stage"], row["cell"]), runs.results[:0])
        finished.append(int((rows["state"] == "done").sum()))
        diverged.append(int(rows["diverged"].astype(bool).sum()))
    wanted = [len(seeds) for seeds in table["seeds"]]
    return table[["stage", "cell", "name"]].assign(wanted=wanted, finished=finished, diverged=diverged)


def _split(file: SweepFile) -> str:
    from core import datasets
    from core.datasets import splits
    from core.runner import load_trainer

    if file.split is not None:
        return splits.parse(file.split).name
    offered = datasets.module(file.data).TASKS
    task = next(task for task in load_trainer(file.trainer).TASKS if task in offered)
    return splits.parse(datasets.default_split(file.data, task)).name


def _key(knobs: dict[str, Any], data: str, split: str) -> str:
    numbers = {name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for name, v in knobs.items()}
    return json.dumps([numbers, data, split], sort_keys=True)


def _row(row: dict[str, Any], stage: str, cell: int, knobs: dict[str, Any]) -> dict[str, Any]:
    try:
        together = bool(rundir.read_spec(Path(row["folder"])).together)
    except (ValueError, OSError):  # deleted since the index was read
        together = False
    return knobs | {
        **{name: row[name] for name in ("run", "config_id", "seed", "state", "started_at", "ended_at", "created_at")},
        "stage": stage,
        "cell": cell,
        "diverged": row["state"] == "diverged",
        "seconds": float("nan") if together else row["seconds"],
        "together": together,
    }


def _one_per_seed(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    order = frame.assign(is_done=frame["state"] == "done", is_alone=~frame["together"])
    order = order.sort_values(["is_done", "is_alone", "created_at", "run"])
    kept = order.drop_duplicates(["stage", "cell", "seed"], keep="last").drop(columns=["is_done", "is_alone"])
    return kept.sort_values(["stage", "cell", "seed"], key=_main_first).reset_index(drop=True)


def _main_first(column: pd.Series) -> pd.Series:
    return column.map(lambda stage: "" if stage == MAIN else stage) if column.name == "stage" else column


def _with_metrics(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """The last value of every metric beside each run, by its logged name."""
    frame = frame.astype({"diverged": bool, "together": bool})
    if frame.empty:
        return frame
    told = store.query(
        """SELECT run, name, arg_max(value, step) AS value FROM metrics
           WHERE run IN (SELECT unnest(?)) AND value IS NOT NULL GROUP BY run, name""",
        [frame["run"].tolist()],
    )
    wide = told.pivot(index="run", columns="name", values="value")
    return frame.join(wide[[name for name in wide.columns if name not in frame]], on="run")


def _curves(store: Store, frame: pd.DataFrame) -> Any:
    about = frame.astype({"run": str}).set_index("run")[["cell", "seed"]]

    @functools.cache
    def curves(metric: str) -> pd.DataFrame:
        """Run, cell, seed, step, epoch, value of one metric; empty where no run logged it."""
        found = store.curves(about.index.tolist(), [metric])[["run", "step", "epoch", "value"]]
        found = found.astype({"run": str, "value": float, "epoch": float})
        joined = found.join(about, on="run")[["run", "cell", "seed", "step", "epoch", "value"]]
        return joined.replace({"value": {np.inf: np.nan, -np.inf: np.nan}})

    return curves
