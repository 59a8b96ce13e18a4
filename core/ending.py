"""The end of runs that do not end by themselves: signals for who was asked and goes on, a word for who died silent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from core import rundir

TERMINATE_AFTER_S, KILL_AFTER_S = 5.0, 10.0


def press(
    folder: Path, status: rundir.Status, told: set[tuple[str, int]], asked: dict[str, float] | None = None
) -> None:
    """Signal a run that does not stop when asked: SIGTERM after 5 s, SIGKILL after 10; `told` keeps each to one.

    `asked` keeps when each was first seen to be asked (s, monotonic): the clock may have been set back since.
    """
    at = rundir.stop_asked_at(folder)
    seen = time.monotonic() if asked is None or not at else asked.setdefault(folder.name, time.monotonic())
    waited = max(time.time() - at, time.monotonic() - seen) if at else 0.0
    is_here = status.state in rundir.ACTIVE and status.host == socket.gethostname()
    if waited > TERMINATE_AFTER_S and status.pid and is_here:
        number = signal.SIGKILL if waited > KILL_AFTER_S else signal.SIGTERM
        if (folder.name, number) not in told:
            told.add((folder.name, number))
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(status.pid, number)


def settle(folder: Path, status: rundir.Status, child: subprocess.Popen[bytes] | None) -> None:
    """Write the end of a run whose process could not: it was stopped by force, or it never came to start.

    A process that was killed (by a signal, or for want of memory) leaves a lost run, whatever it had come to say.
    """
    is_at_work = status.state in rundir.ACTIVE and not status.is_finished
    is_killed = child is not None and child.returncode < 0
    if is_killed and is_at_work and not status.pid:
        status = replace(status, state="lost", reason="Its process was killed before it could start.")
        rundir.set_status(folder, status)
    if rundir.stop_asked_at(folder) is not None and status.state in ("lost", "paused"):
        ended = replace(status, state="stopped", reason="Stopped by force; the last checkpoint stays.")
        rundir.set_status(folder, replace(ended, ended_at=time.time()))
    elif child is None or is_killed or status.pid not in (0, child.pid):
        return
    elif is_at_work or status.state == "lost":
        how = "before it could start" if not status.pid else "and could not say why: the disk may have been full"
        reason = f"Its process ended (exit status {child.returncode}) {how}; see stdout.log."
        rundir.set_status(folder, replace(status, state="failed", reason=reason, ended_at=time.time()))
