"""Start runner processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from core import paths


def start(folder: Path, data_folder: str = "") -> subprocess.Popen[bytes]:
    """Start the runner of a run directory as a process of its own, which outlives the caller.

    Its output goes to a file: nobody would drain a pipe, and a full pipe stops a run for good. `data_folder` is the
    folder of data sets of whoever asked for the run, where that is not the caller.
    """
    return _launch("core.runner", folder / "stdout.log", str(folder), data_folder=data_folder)


def start_supervisor() -> subprocess.Popen[bytes]:
    """Start a supervisor for the cache; it leaves at once if there is one already."""
    return _launch("core.supervisor", paths.cache() / "supervisor.log")


def _launch(module: str, log: Path, *arguments: str, data_folder: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "EARSHOT_CACHE": str(paths.cache()), "PYTHONUNBUFFERED": "1"}
    if data_folder or paths.data():  # absolute: the child works in another directory
        environment["EARSHOT_DATA"] = data_folder or str(paths.data())
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=paths.PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
