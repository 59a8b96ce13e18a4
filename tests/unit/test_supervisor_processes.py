"""The supervisor with real processes: one per cache, one run per device at a time."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core import control, rundir, supervisor
from core.executors import local
from tests.conftest import eventually, processes_of
from tests.unit.test_supervisor import SLOW, new, state


@pytest.mark.slow
def test_runs_on_one_device_take_turns(cache: Path) -> None:
    first = supervisor.submit(new(values=SLOW))
    second = supervisor.submit(new(values={"epochs": 1}))
    eventually(lambda: state(first) == "running")
    assert state(second) == "queued"
    beat = rundir.read_status(first).beat
    eventually(lambda: rundir.read_status(first).beat > beat + 1)  # many rounds of the supervisor later
    assert state(second) == "queued"
    control.stop(first)
    eventually(lambda: state(second) == "done")
    assert state(first) == "stopped"
    assert rundir.read_status(second).started_at >= rundir.read_status(first).ended_at


@pytest.mark.slow
def test_one_supervisor_per_cache_and_a_new_one_takes_over(cache: Path) -> None:
    first = local.start_supervisor()
    eventually(lambda: (cache / "supervisor.lock").exists() and processes_of(cache, "core.supervisor"))
    folder = supervisor.submit(new(values=SLOW))
    eventually(lambda: state(folder) == "running")
    eventually(lambda: len(processes_of(cache, "core.supervisor")) == 1)
    (left,) = processes_of(cache, "core.supervisor")
    another = local.start_supervisor()
    assert another.wait(60) == 0
    assert left.is_running()

    left.kill()
    first.wait(60) if first.pid == left.pid else eventually(lambda: not processes_of(cache, "core.supervisor"))
    step = rundir.read_status(folder).step
    eventually(lambda: rundir.read_status(folder).step > step)  # the run goes on
    waiting = supervisor.submit(new(values={"epochs": 1}))  # starts a supervisor, which must see that cpu is taken
    eventually(lambda: len(processes_of(cache, "core.supervisor")) == 1)
    step = rundir.read_status(folder).step
    eventually(lambda: rundir.read_status(folder).step > step + 5)
    assert (state(folder), state(waiting)) == ("running", "queued")
    control.stop(folder)
    eventually(lambda: state(waiting) == "done")
    assert state(folder) == "stopped"


@pytest.mark.parametrize("together", ["", "a group"])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_run_on_the_processor_gives_way_and_one_on_a_gpu_does_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch, device: str, together: str
) -> None:
    """Told to the whole session: its threads, and the autogroup by which Linux shares cores, where there are any."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True) as run:
        monkeypatch.setattr(local, "start", lambda *given: run)
        monkeypatch.setattr(local, "start_many", lambda *given: run)
        need = supervisor._Need(device, 1.0, together, "")
        try:
            eventually(lambda: psutil.Process(run.pid).children())  # one that is forked meanwhile could be passed over
            supervisor._start(supervisor._Slot([cache], need), "")
            expected = local.NICE if device == "cpu" else 0
            for process in (psutil.Process(run.pid), *psutil.Process(run.pid).children()):
                assert process.nice() == max(expected, os.getpriority(os.PRIO_PROCESS, 0))
            shared_by = Path(f"/proc/{run.pid}/autogroup")
            if shared_by.exists():
                assert shared_by.read_text().split()[-1] == str(expected)
        finally:
            os.killpg(run.pid, signal.SIGKILL)


def test_a_session_that_is_gone_is_no_error_and_nobody_else_gives_way() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    with subprocess.Popen(["true"], start_new_session=True) as run:
        run.wait()
        with pytest.raises(ProcessLookupError):
            os.getpriority(os.PRIO_PGRP, run.pid)
        local.give_way(run.pid)
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


@pytest.mark.slow
def test_a_run_whose_trainer_is_gone_fails_with_a_reason(cache: Path) -> None:
    folder = rundir.create(replace(new(), trainer="removed"))
    supervisor.enqueue(folder)
    eventually(lambda: state(folder) == "failed")
    assert "There is no trainer 'removed'" in rundir.read_status(folder).reason
    after = supervisor.submit(new(values={"epochs": 1}))
    eventually(lambda: state(after) == "done")
