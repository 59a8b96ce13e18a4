"""Which runs belong to a study: any finished run whose configuration is one of its cells, whoever started it."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core import config, datasets, designs, rundir, sweepfile, sweeprecord
from core.store import Store
from core.sweepfile import SweepFile
from core.verdicts import MAIN, PREDICTED, Runs, no_predictions

if TYPE_CHECKING:
    from core.studies import Study
    from core.sweeps import Summary

UNDER_WAY = ("running", "paused")
ASKED = ("factors", "settings", "cells", "design", "seeds", "split", "search")
"""What of a sweep file says which runs there are."""
ENDED = ("done", "diverged", "failed")
ABOUT = ["run", "stage", "cell", "config_id", "seed", "state", "diverged", "seconds", "together", "started_at",
         "ended_at"]  # fmt: skip
EPOCH_SECONDS = """
    SELECT run, median(t - before) AS epoch_seconds
    FROM (SELECT run, t, lag(t) OVER (PARTITION BY run, name ORDER BY step) AS before, name FROM metrics
          WHERE run IN (SELECT unnest(?)) AND name = 'train/loss')
    GROUP BY run"""
"""A median, since an epoch with a probe takes longer, and one that shares the machine, or spans a restart, longest."""


def variants(study: Study, *, quick: bool = False) -> dict[str, SweepFile]:
    """Its sweeps by stage, the main one first; ValueError where `quick` is asked and the file has no [quick]."""
    return dict(_variants(study.path, study.path.stat().st_mtime_ns, study.file.stage_names, quick, study.data))


@functools.lru_cache(maxsize=16)
def _variants(path: Path, changed_ns: int, stages: tuple[str, ...], quick: bool, data: str) -> dict[str, SweepFile]:
    found = {MAIN: sweepfile.read(path, quick=quick, data=data)}
    return found | {name: sweepfile.read(path, quick=quick, stage=name, data=data) for name in stages}


def cells(study: Study, *, quick: bool = False) -> pd.DataFrame:
    """Every cell: stage, cell (its number in the stage), name ("sgd · 0.1"), seeds, levels and knobs (all of them)."""
    from core.runner import load_trainer

    rows = []
    for stage, file in variants(study, quick=quick).items():
        trainer = load_trainer(file.trainer)
        for number, cell in enumerate(designs.make(file, trainer.Config).cells):
            made = config.make(trainer.Config, designs.knobs_of(cell, file, trainer.Config))
            name = " · ".join(str(level) for level in cell.values())
            about = config.to_dict(made), file.data, _split(file)
            is_together = file.together and hasattr(trainer, "fit_many")
            rows.append((stage, number, name, file.seeds, cell, *about, is_together))
    columns = ["stage", "cell", "name", "seeds", "levels", "knobs", "data", "split", "together"]
    return pd.DataFrame(rows, columns=columns)


class _Places:
    """The cell that a run of some configuration counts for. One that stands in several stages counts where runs train
    as it did (together, or alone), and else in the first of them."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.known: dict[str, dict[bool, tuple[str, int]]] = {}
        for row in table.to_dict("records"):
            places = self.known.setdefault(_key(row["knobs"], row["data"], row["split"]), {})
            places.setdefault(row["together"], (row["stage"], row["cell"]))

    @staticmethod
    def chosen(alike: dict[bool, tuple[str, int]], together: bool) -> tuple[str, int]:
        """Of the (stage, cell) with one configuration, by whether they train together, that of a run."""
        return alike[together] if together in alike else next(iter(alike.values()))

    def of(self, row: dict[str, Any]) -> tuple[str, int]:
        """Where the runs of a cell of the table count."""
        return self.chosen(self.known[_key(row["knobs"], row["data"], row["split"])], row["together"])


def runs_of(store: Store, study: Study, *, quick: bool = False) -> Runs:
    """The study's runs in the index.

    A run counts where trainer, data, split and every knob are those of a cell (knobs younger than the run have their
    default) and nothing was moved while it trained. Of several with one cell and seed a finished one comes first, then
    one that diverged, then one that trained alone, then the newest. Seeds beyond those of the file count too. A
    configuration that stands in two stages (plain SGD, say) belongs to the first; where only one of the two trains its
    runs together, to the one that trains as the run did.
    """
    from core.runner import load_trainer

    wanted = cells(study, quick=quick)
    defaults = {name: knob.default for name, knob in config.knobs(load_trainer(study.file.trainer).Config).items()}
    places = _Places(wanted)
    found = store.query(
        """SELECT run, config, config_id, data, split, seed, state, seconds, started_at, ended_at, created_at, folder
           FROM runs WHERE trainer = ? AND state IN (SELECT unnest(?)) AND NOT coalesce(steered, false)""",
        [study.file.trainer, list(ENDED)],
    )
    rows = []
    for row in found.to_dict("records"):
        knobs = defaults | json.loads(row["config"])
        alike = places.known.get(_key(knobs, row["data"], row["split"]))
        if alike:
            together = _trained_together(Path(row["folder"]))
            rows.append(_row(row, *_Places.chosen(alike, together), knobs, together))
    frame = _one_per_seed(pd.DataFrame(rows))
    frame = frame.drop(columns=["created_at"], errors="ignore").reindex(columns=[*ABOUT, *defaults])
    measured = _with_metrics(store, _with_epoch_seconds(store, frame))
    folders, data = (
        dict(zip(found["run"].astype(str), found[name].astype(str), strict=True)) for name in ("folder", "data")
    )
    return Runs(
        measured, _curves(store, frame), tuple(study.file.factors), data=variants(study, quick=quick)[MAIN].data,
        predictions=_predictions(folders), polyphonic=_polyphonic(data),
    )  # fmt: skip


def coverage(study: Study, runs: Runs, *, quick: bool = False) -> pd.DataFrame:
    """How much of the study is there: stage, cell, name, wanted, finished, diverged (numbers of seeds), and missing,
    the seeds of the file that neither finished nor diverged. A cell that is another stage's too shares its runs."""
    return _covered(study, runs, quick).drop(columns="place")


def lacking(
    study: Study, runs: Runs, *, quick: bool = False, stages: Sequence[str] | None = None
) -> dict[str, list[tuple[int, int]]]:
    """The (cell, seed) that each sweep of the study (or these of them) must still make; a cell in two sweeps once."""
    found: dict[str, list[tuple[int, int]]] = {}
    taken: set[tuple[str, int]] = set()
    for row in _covered(study, runs, quick).to_dict("records"):
        if row["place"] not in taken and (stages is None or row["stage"] in stages):
            taken.add(row["place"])
            found.setdefault(row["stage"], []).extend((row["cell"], seed) for seed in row["missing"])
    return {stage: pairs for stage, pairs in found.items() if pairs}


def sweeps_of(study: Study, listing: Sequence[Summary], *, quick: bool = False) -> dict[str, Summary]:
    """Of the sweeps (newest first) the newest of each of its stages, where there is one: what was started from this
    very file."""
    files = variants(study, quick=quick)
    newest: dict[str, Summary] = {}
    for one in listing:
        stage = one.stage or MAIN
        file = files.get(stage)
        if file is None or (one.name, one.title, one.trainer) != (file.name, file.title, file.trainer):
            continue
        if one.data in (file.data, datasets.unaliased(file.data)) and one.is_quick == quick:
            newest.setdefault(stage, one)
    return newest


def going_on(study: Study, *, quick: bool = False) -> dict[str, Summary]:
    """Of each stage the newest sweep, where it makes what the file asks for now: an edited file begins anew."""
    from core import sweeps

    files, newest = variants(study, quick=quick), sweeps_of(study, sweeps.listing(), quick=quick)
    return {stage: one for stage, one in newest.items() if _asks_alike(one.id, files[stage])}


def under_way(study: Study, *, quick: bool = False) -> dict[str, Summary]:
    """Those of them that run or are paused: their runs are still to come."""
    return {stage: one for stage, one in going_on(study, quick=quick).items() if one.state in UNDER_WAY}


def _asks_alike(sweep: str, file: SweepFile) -> bool:
    try:
        began = sweepfile.read(sweeprecord.find(sweep) / "sweep.toml", quick=file.is_quick, stage=file.stage)
    except ValueError:  # it cannot be read any more
        return False
    return all(getattr(began, name) == getattr(file, name) for name in ASKED)


def _covered(study: Study, runs: Runs, quick: bool) -> pd.DataFrame:
    """The coverage, and for each cell the place (stage, cell) where its runs count."""
    table = cells(study, quick=quick)
    places = _Places(table)
    counts = {(str(stage), int(cell)): rows for (stage, cell), rows in runs.results.groupby(["stage", "cell"])}
    found = []
    for row in table.to_dict("records"):
        at = places.of(row)
        rows = counts.get(at, runs.results[:0])
        is_done, has_diverged = rows["state"] == "done", rows["diverged"].astype(bool)
        ended = set(rows.loc[is_done | has_diverged, "seed"])
        missing = [seed for seed in row["seeds"] if seed not in ended]
        found.append((len(row["seeds"]), int(is_done.sum()), int(has_diverged.sum()), missing, at))
    counted = pd.DataFrame(found, columns=["wanted", "finished", "diverged", "missing", "place"], index=table.index)
    return table[["stage", "cell", "name"]].join(counted)


def _split(file: SweepFile) -> str:
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


def _trained_together(folder: Path) -> bool:
    try:
        return bool(rundir.read_spec(folder).together)
    except (ValueError, OSError):  # deleted since the index was read
        return False


def _row(row: dict[str, Any], stage: str, cell: int, knobs: dict[str, Any], together: bool) -> dict[str, Any]:
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
    told = frame["state"].map({"done": 2, "diverged": 1, "failed": 0})  # a failure says nothing, and hides no outcome
    order = frame.assign(told=told, is_alone=~frame["together"])
    order = order.sort_values(["told", "is_alone", "created_at", "run"])
    kept = order.drop_duplicates(["stage", "cell", "seed"], keep="last").drop(columns=["told", "is_alone"])
    return kept.sort_values(["stage", "cell", "seed"], key=_main_first).reset_index(drop=True)


def _main_first(column: pd.Series) -> pd.Series:
    return column.map(lambda stage: "" if stage == MAIN else stage) if column.name == "stage" else column


def _with_epoch_seconds(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds from one epoch to the next, the median of each run; NaN where it trained with others."""
    told = store.query(EPOCH_SECONDS, [frame["run"].tolist()]).astype({"run": str}).set_index("run")["epoch_seconds"]
    together = frame["together"].astype(bool)
    return frame.assign(epoch_seconds=frame["run"].astype(str).map(told).where(~together).astype(float))


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


def _predictions(folders: dict[str, str]) -> Any:
    @functools.lru_cache(maxsize=256)  # several checks ask for the same
    def predictions(run: str) -> pd.DataFrame:
        """What the run predicted for validation and test; no row where it kept nothing that can be read."""
        try:
            table = pd.read_parquet(Path(folders[run]) / "predictions.parquet")
        except (OSError, ValueError, KeyError):  # none was kept, the file is damaged, or the run is no longer there
            return no_predictions(run)
        return table if set(PREDICTED) <= set(table) else no_predictions(run)

    return predictions


def _polyphonic(data: dict[str, str]) -> Any:
    @functools.lru_cache(maxsize=64)
    def polyphonic(run: str) -> dict[str, Any] | None:
        """The run's polyphonic evaluation on its own data, with the usual settings; None where there is none."""
        from core import polyreports  # it brings all of listening

        return polyreports.find(run, data[run], polyreports.Settings()) if run in data else None

    return polyphonic


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
