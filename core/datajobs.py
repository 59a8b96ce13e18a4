"""Checks of data sets on the disk: the kept report of each, and the process that makes one, with progress and end.

All in `cache/data/checks/`, under a key of data set, task and split: <key>.json the report, <key>.job the state of a
check under way, <key>.stop a wish to end it, <key>.log what its process said.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from core import datasets, paths
from core.config import fingerprint
from core.findings import Finding, Report

START_WITHIN_S = 60.0


@dataclass(frozen=True)
class Job:
    """A check under way or ended: state is starting, running, done, cancelled or failed; `fraction` 0 to 1."""

    state: str
    fraction: float = 0.0
    note: str = ""
    pid: int = 0
    written_at: float = 0.0

    @property
    def is_active(self) -> bool:
        return self.state in ("starting", "running")


def start(name: str, task: str, split: str) -> None:
    """Check in a process of its own, which goes on when the page is closed; nothing where one is under way."""
    job = read_job(name, task, split)
    if job is not None and job.is_active:
        return
    _file(name, task, split, "stop").unlink(missing_ok=True)
    environment = {**os.environ, "EARSHOT_CACHE": str(paths.cache())}
    if paths.data():  # absolute: the child works in another directory
        environment["EARSHOT_DATA"] = str(paths.data())
    write_job(name, task, split, Job("starting", 0.0, "Starting …"))
    with _file(name, task, split, "log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, "-m", "core.datacheck", datasets.settled(name), task, split],
            cwd=paths.PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(name: str, task: str, split: str) -> None:
    """Ask a check to end; it does so after the file it is at."""
    _file(name, task, split, "stop").touch()


def is_stop_asked(name: str, task: str, split: str) -> bool:
    """Whether somebody asked this check to end."""
    return _file(name, task, split, "stop").exists()


def read_job(name: str, task: str, split: str) -> Job | None:
    """The newest check of these; one whose process is gone without an end is "failed". None where there was none."""
    try:
        job = Job(**json.loads(_file(name, task, split, "job").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    is_late = job.state == "starting" and time.time() - job.written_at > START_WITHIN_S
    if is_late or (job.state == "running" and not _is_alive(job)):
        log = _file(name, task, split, "log")
        return Job("failed", 0.0, f"The check ended without a result; {log} may say why.")
    return job


def write_job(name: str, task: str, split: str, job: Job) -> None:
    """Replace the state of a check."""
    _replace(_file(name, task, split, "job"), json.dumps(asdict(job) | {"written_at": time.time()}))


def read_report(name: str, task: str, split: str) -> Report | None:
    """The kept report; None where there is none, or none that this version of the lab can read."""
    try:
        found = json.loads(_file(name, task, split, "json").read_text(encoding="utf-8"))
        found.pop("counts", None)
        return Report(**found | {"findings": [Finding(**finding) for finding in found["findings"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_report(report: Report) -> None:
    """Keep a report in place of the one before."""
    _replace(_file(report.data, report.task, report.split, "json"), json.dumps(report.as_dict()))


def _is_alive(job: Job) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(job.pid)
        # A number can be given to another process: whoever wrote the file was alive when it wrote it.
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= job.written_at + 1
    return False


def _file(name: str, task: str, split: str, suffix: str) -> Path:
    place = paths.cache() / "data" / "checks"
    place.mkdir(parents=True, exist_ok=True)
    try:
        name = datasets.lasting(name)
    except ValueError:  # the folder is gone; what was known of it can still be shown
        name = datasets.unaliased(name)
    return place / f"{fingerprint([name, task, split])}.{suffix}"


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
