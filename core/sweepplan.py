"""What a sweep would cost, before it is started: runs, time, disk, and what each worker gets."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import psutil

from core import designs, machine, paths, rundir, sweeprecord
from core.runner import load_trainer
from core.sweepfile import SweepFile
from core.wording import count_text

WORKER_BYTES = 1_500_000_000
"""What a runner with torch loaded takes of the memory, roughly; no more workers than find room."""

LOOKED_AT_MOST = 30
"""Finished runs that an estimate is made from: the newest."""

SPARE_DISK_SHARE = 0.9

MOST_SEEDS = 12
"""Seeds that a plan names one by one."""


@dataclass(frozen=True)
class Plan:
    """`seconds` is None where no run of this kind (trainer, data, device; alone or together) was made yet, `bytes`
    where none of this trainer on this data was; `kind` says which kind that is, "alone on cpu". `asks` is a question
    that must be answered with yes first, `warnings` what may go wrong, `notes` how the cells came about."""

    name: str
    n_runs: int
    n_cells: int
    seeds: tuple[int, ...]
    cells: tuple[dict[str, Any], ...]
    seconds: float | None
    bytes: int | None
    free_bytes: int
    workers: str
    asks: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kind: str = ""

    @property
    def sentence(self) -> str:
        """All of it in one line, for a person."""
        unknown = "time unknown until the first run"
        if self.bytes is not None:  # there are runs, and yet they tell nothing of these
            unknown = f"time unknown, no run of this kind ({self.kind}) was made yet"
        time = unknown if self.seconds is None else f"about {humanised(self.seconds)}"
        disk = "disk unknown until the first run" if self.bytes is None else f"about {sized(self.bytes)} on the disk"
        seeds = f"{count_text(len(self.seeds), 'seed')}: {', '.join(map(str, self.seeds[:MOST_SEEDS]))}"
        kinds = f"{count_text(self.n_cells, 'cell')} × {seeds}{' …' * (len(self.seeds) > MOST_SEEDS)}"
        return f"{self.n_runs} runs ({kinds}); {self.workers}; {time}; {disk}."


def make(file: SweepFile) -> Plan:
    """The plan of a sweep. Cells are not made where there are so many that one must ask first."""
    trainer = load_trainer(file.trainer)
    count, asked = designs.n_cells(file), ""
    cells: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    if count > designs.ASK_ABOVE_CELLS:
        asked = asks(file)
    else:
        design = designs.make(file, trainer.Config)
        cells, notes = design.cells, design.notes
        count = count if file.design == "bayesian" else len(cells)
    n_runs = count * len(file.seeds)
    device = machine.resolve_device(file.device, trainer.DEVICES)
    parallel = workers(file, device, trainer)
    known = what_is_known(file.trainer, file.data, is_together(file, trainer), device)
    seconds = None
    if known is not None and known.n:
        epochs = [epochs_of(trainer, {**file.settings, **cell}) for cell in cells or ({},)]
        mean = sum(epochs) / len(epochs)
        seconds = n_runs * (known.start_s + known.seconds_per_epoch * mean) / parallel
    size = None if known is None else int(n_runs * known.bytes_per_run)
    free = shutil.disk_usage(paths.cache()).free
    warnings = list(file.warnings)
    if size is not None and size > SPARE_DISK_SHARE * free:
        warnings.append(f"It would take about {sized(size)} and {sized(free)} are free: make room, or fewer runs.")
    elif free < 1_000_000_000:
        warnings.append(f"Only {sized(free)} are free on the disk.")
    same = [one for one in sweeprecord.ids() if one.partition("-")[2].partition("-")[2].partition(".")[0] == file.name]
    if same:
        warnings.append(f"There is a sweep of this name already ({same[0]}); this one gets an id of its own.")
    return Plan(
        file.name, n_runs, count, file.seeds, cells, seconds, size, free,
        worker_text(file, trainer, device, parallel, n_runs), asked, tuple(warnings), tuple(notes),
        f"{'together' if is_together(file, trainer) else 'alone'} on {device}",
    )  # fmt: skip


def asks(file: SweepFile) -> str:
    """The question that so many cells raise."""
    count = designs.n_cells(file)
    return (
        f"This makes {count:,} cells × {len(file.seeds)} seeds = {count * len(file.seeds):,} runs. "
        "A random or fractional design sees most of it with far fewer; confirm to start all of them."
    )


def is_together(file: SweepFile, trainer: ModuleType) -> bool:
    """Whether its runs train several in one process."""
    return file.together and file.design != "bayesian" and hasattr(trainer, "fit_many")


def workers(file: SweepFile, device: str, trainer: ModuleType) -> int:
    """How many of its processes run at once on the device: as many as the file says, else what the machine has."""
    if file.workers:
        return file.workers
    if device != "cpu" or is_together(file, trainer):
        return 1
    if file.design == "bayesian":
        return 1  # one after the other learns most from each, and gives the same result every time
    return max(1, min(cores(), int(psutil.virtual_memory().available / WORKER_BYTES)))


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_text(file: SweepFile, trainer: ModuleType, device: str, parallel: int, n_runs: int) -> str:
    """What each worker gets, in words."""
    if device != "cpu":
        what = device if parallel == 1 else f"a share of 1/{parallel} of {device}"
    else:
        threads = max(1, round(cores() / parallel))
        what = f"{threads} of {cores()} cores"
    if is_together(file, trainer):
        most = min(int(getattr(trainer, "MOST_TOGETHER", 128)), -(-n_runs // parallel))
        one = "one process trains" if parallel == 1 else f"{parallel} processes train"
        return f"{one} up to {most} runs as one, with {what}"
    return f"{parallel} worker{'s' * (parallel != 1)}, each with {what}" if parallel > 1 else f"one worker with {what}"


class Known(NamedTuple):
    """What finished runs took, per run: before the first epoch (s), per epoch (s), on the disk (bytes). The times are
    those of `n` runs of the kind that was asked for, NaN where that is 0."""

    start_s: float
    seconds_per_epoch: float
    bytes_per_run: float
    n: int


class _Cost(NamedTuple):
    """A finished run: trained together or alone, where, seconds around the training and per epoch, bytes."""

    together: bool
    device: str
    around_s: float
    epoch_s: float
    n_bytes: int


def what_is_known(trainer: str, data: str, is_many: bool, device: str) -> Known | None:
    """Medians over the newest finished runs of this trainer on this data; times only of those that trained the same way
    (a run among others takes a fraction of its time alone) on the same device. None where there is no run at all."""
    found: list[_Cost] = []
    names = sorted((e.name for e in os.scandir(paths.runs()) if f"-{trainer}-" in e.name), reverse=True)
    for name in names[: 10 * LOOKED_AT_MOST]:
        one = _cost(paths.runs() / name, trainer, data)
        if one is not None:
            found.append(one)
        if sum(_is_alike(one, is_many, device) for one in found) >= LOOKED_AT_MOST:
            break
    if not found:
        return None
    alike = [one for one in found if _is_alike(one, is_many, device)]
    size = float(statistics.median(one.n_bytes for one in alike or found))
    if not alike:
        return Known(math.nan, math.nan, size, 0)
    start_s, epoch_s = (statistics.median(times) for times in zip(*(one[2:4] for one in alike), strict=True))
    return Known(start_s, epoch_s, size, len(alike))


def _is_alike(one: _Cost, is_many: bool, device: str) -> bool:
    return one.together == is_many and one.device.partition(":")[0] == device.partition(":")[0]


def _cost(folder: Path, trainer: str, data: str) -> _Cost | None:
    try:
        spec, status = rundir.read_spec(folder), rundir.read_status(folder)
    except ValueError:
        return None
    if (spec.trainer, spec.data) != (trainer, data) or status.state != "done" or not status.started_at:
        return None
    summary = _summary(folder)
    n, whole_s = int(summary.get("together") or 1), status.ended_at - status.started_at
    trained_s = float(summary.get("seconds") or summary.get("seconds_together") or whole_s)
    around_s, epoch_s = max(whole_s - trained_s, 0.0) / n, trained_s / n / max(status.epoch, 1.0)
    return _Cost(bool(spec.together), status.device or spec.device, around_s, epoch_s, size_of(folder))


def _summary(folder: Path) -> dict[str, Any]:
    """The summary event, which stands at the end of the log."""
    try:
        with (folder / "events.jsonl").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = [line for line in file.read().splitlines() if b'"kind": "summary"' in line]
        return json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return {}


def size_of(folder: Path) -> int:
    """Bytes a run directory takes; a file with several names in it counts once."""
    seen = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                about = os.lstat(f"{place}/{name}")
            except OSError:  # thinned just now
                continue
            seen[about.st_ino] = about.st_blocks * 512
    return sum(seen.values())


def epochs_of(trainer: ModuleType, values: dict[str, Any]) -> float:
    """Epochs a run with these knobs trains; 1 where the trainer counts none."""
    about = designs.config.knobs(trainer.Config)
    return float(values.get("epochs", about["epochs"].default)) if "epochs" in about else 1.0


def humanised(seconds: float) -> str:
    """A length of time as a person says it: "40 s", "3 min", "2 h 10 min", "3 days"."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours} h"
    return f"{seconds / 86400:.0f} days"


def sized(n_bytes: float) -> str:
    """Bytes as a person says them: "12 MB", "3.4 GB"."""
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{max(n_bytes / 1e6, 0.1):.3g} MB"
