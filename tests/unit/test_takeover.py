"""A supervisor that was killed together with a run: the next one takes the run up, and there is a next one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core import paths, rundir, supervisor, sweepfile, sweeps
from core.executors import local
from tests.unit.test_sweeps import TEXT


@pytest.fixture(autouse=True)
def supervisors(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The supervisors that would have been started."""
    found: list[int] = []
    monkeypatch.setattr(local, "start_supervisor", lambda: found.append(1))
    monkeypatch.setattr(supervisor, "_start", lambda *_: None)
    return found


def killed(sweep: str, place: int = 0) -> Path:
    """A run whose process was killed, of a sweep whose others still wait."""
    folder = paths.runs() / sweeps.read(sweep).runs[place]
    supervisor.claim(folder)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    rundir.set_status(folder, rundir.Status("running", pid=gone.pid, host=socket.gethostname(), heartbeat=1.0))
    assert rundir.read_status(folder).state == "lost"
    return folder


def test_the_next_supervisor_takes_up_what_was_killed_with_the_last() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    folder, stopped = killed(sweep), killed(sweep, 1)
    rundir.ask(stopped, "stop")
    supervisor._Supervisor()
    assert supervisor.waiting()[-1] == folder.name and rundir.read_status(folder).state == "queued"
    assert rundir.read_status(stopped).state == "stopped" and stopped.name not in supervisor.waiting()
    supervisor.claim(folder)
    rundir.set_status(folder, rundir.Status("lost"))
    supervisor._Supervisor()
    assert folder.name not in supervisor.waiting()  # once: what killed it may do so every time


def test_a_cancelled_sweeps_lost_run_stays() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    folder = killed(sweep)
    sweeps.cancel(sweep)
    supervisor._Supervisor()
    assert not supervisor.waiting() and rundir.read_status(folder).state == "lost"


def test_there_is_a_next_supervisor_where_nothing_waits(supervisors: list[int]) -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    watcher = supervisor._Supervisor()
    watcher.tick()  # the group is at work, the queue is empty
    assert not supervisor.waiting()
    supervisors.clear()
    supervisor.ensure()
    assert supervisors == [1]
    for run in sweeps.read(sweep).runs:
        rundir.set_status(paths.runs() / run, rundir.Status("done"))
    supervisor._Supervisor().tick()
    supervisor.ensure()
    assert supervisors == [1]
