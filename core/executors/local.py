"""Start runner processes on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core import paths

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
NICE = 5
"""Where cores are short, a run gets a third of what a page, a browser or a microphone gets that somebody waits for."""
TRIES = 3
ANOTHER_AFTER_S = 0.1


def start(folder: Path, data_folder: str = "", threads: int = 0) -> subprocess.Popen[bytes]:
    """Start the runner of a run directory as a process of its own, which outlives the caller.

    Its output goes to a file: nobody would drain a pipe, and a full pipe stops a run for good. `data_folder` is the
    folder of data sets of whoever asked for the run, where that is not the caller. `threads` bounds what its
    libraries start, where it shares the processor; 0 leaves that to them.
    """
    return _launch("core.runner", folder / "stdout.log", str(folder), data_folder=data_folder, threads=threads)


def start_many(folders: Sequence[Path], data_folder: str = "", threads: int = 0) -> subprocess.Popen[bytes]:
    """Start one process that trains several runs as one; it writes what it has to say into the log of the first."""
    log = folders[0] / "stdout.log"
    return _launch("core.many", log, *map(str, folders), data_folder=data_folder, threads=threads)


def give_way(pid: int) -> None:
    """Let everything else that wants the processor go before this run, which was started here.

    Told to the whole session at once: libraries start threads, and Linux shares a processor between sessions before it
    shares it between the processes of one (autogroups, where there are any). What cannot be had changes no result.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpriority(os.PRIO_PGRP, pid, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    for _ in range(TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
        except BlockingIOError:  # Linux takes ten a second from whoever is not root
            time.sleep(ANOTHER_AFTER_S)
        except OSError:
            return
        else:
            return


def start_sweeper(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that proposes the cells of a sweep; it leaves at once if there is one already."""
    return _launch("core.sweeper", folder / "driver.log", str(folder))


def start_supervisor() -> subprocess.Popen[bytes]:
    """Start a supervisor for the cache; it leaves at once if there is one already."""
    return _launch("core.supervisor", paths.cache() / "supervisor.log")


def _launch(
    module: str, log: Path, *arguments: str, data_folder: str = "", threads: int = 0
) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "EARSHOT_CACHE": str(paths.cache()), "PYTHONUNBUFFERED": "1"}
    if data_folder or paths.data():  # absolute: the child works in another directory
        environment["EARSHOT_DATA"] = data_folder or str(paths.data())
    for name in THREADS if threads else ():
        said = environment.get(name, "")
        environment[name] = str(min(threads, int(said)) if said.isdigit() and int(said) else threads)
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
