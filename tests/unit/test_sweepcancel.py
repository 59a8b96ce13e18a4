"""A sweep that is cancelled trains nothing more, whoever makes, proposes, queues or starts its runs at that moment."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core import control, paths, rundir, supervisor, sweeper, sweepfile, sweeprecord, sweeps
from core.executors import local
from tests.unit.test_sweeper import TEXT as SEARCH
from tests.unit.test_sweeps import TEXT


@pytest.fixture(autouse=True)
def started(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that would have been started."""
    found: list[Any] = []
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    monkeypatch.setattr(local, "start", lambda folder, *_: found.append(folder))
    monkeypatch.setattr(local, "start_many", lambda folders, *_: found.append(folders))
    return found


def states(sweep: str) -> set[str]:
    return set(sweeps.progress(sweep)["state"])


def test_cancelled_while_its_runs_are_made(monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    create, made, told = rundir.create, [], []

    def cancel_at_the_third(spec: rundir.Spec) -> Path:
        made.append(spec)
        if len(made) == 3:
            thread = threading.Thread(target=lambda: told.append(sweeps.cancel(spec.sweep)))
            thread.start()
            thread.join(0.3)  # time enough to do harm, for one that does not wait
            made.append(thread)
        return create(spec)

    monkeypatch.setattr(rundir, "create", cancel_at_the_third)
    sweep = sweeps.start(sweepfile.parse(TEXT))
    made[3].join(30)
    supervisor._Supervisor().tick()
    assert told == ["It is cancelled: 8 runs are taken out of the queue."]
    assert not supervisor.waiting() and not started and states(sweep) == {"stopped"}


def test_cancelled_before_the_first_run_is_made(monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    create = sweeprecord.create

    def create_and_cancel(*given: Any) -> sweeprecord.Record:
        record = create(*given)
        sweeps.cancel(record.id)
        return record

    monkeypatch.setattr(sweeprecord, "create", create_and_cancel)
    sweep = sweeps.start(sweepfile.parse(TEXT))
    supervisor._Supervisor().tick()
    assert not supervisor.waiting() and not started and sweeps.summary(sweep).state == "cancelled"
    assert "8 runs go back into the queue" in sweeps.resume(sweep)
    assert len(supervisor.waiting()) == 8


def test_cancelled_while_a_cell_is_proposed(monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    sweep = sweeps.start(sweepfile.parse(SEARCH.replace("SAMPLER", "tpe")))
    propose = sweeper.propose

    def propose_and_cancel(*given: Any) -> dict[str, Any]:
        sweeps.cancel(sweep)
        return propose(*given)

    monkeypatch.setattr(sweeper, "propose", propose_and_cancel)
    sweeper.step(sweep)
    supervisor._Supervisor().tick()
    assert not sweeps.read(sweep).cells and not supervisor.waiting() and not started


def test_a_run_that_is_just_being_started_is_asked_to_stop() -> None:
    """It is out of the queue, and its status does not say "starting" yet."""
    sweep = sweeps.start(sweepfile.parse(TEXT))
    folder = paths.runs() / sweeps.read(sweep).runs[0]
    supervisor.claim(folder)
    assert sweeps.cancel(sweep) == "It is cancelled: 7 runs are taken out of the queue, 1 run stops at its next step."
    assert rundir.is_asked(folder, "stop")


def test_paused_runs_whose_process_is_gone_are_ended_and_counted() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    for run in sweeps.read(sweep).runs:
        rundir.set_status(paths.runs() / run, rundir.Status("paused"))
    for place in supervisor.queue().iterdir():
        place.unlink()
    assert sweeps.cancel(sweep) == "It is cancelled: 8 paused runs are ended."
    assert states(sweep) == {"stopped"}


def test_a_sweep_of_which_nothing_runs_is_paused() -> None:
    assert sweeps.pause(sweeps.start(sweepfile.parse(TEXT))) == "It is paused: those that wait do not start."


def test_a_plan_is_read_again_where_it_was_replaced() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    record = sweeprecord.peek(sweep)
    assert sweeprecord.peek(sweep) is record
    sweeps.add_seeds(sweep, [99])
    assert 99 in sweeprecord.peek(sweep).seeds and 99 not in record.seeds


def test_the_supervisor_starts_no_run_of_a_cancelled_sweep(started: list[Any]) -> None:
    """Its watch took a killed run up at the moment when the sweep was cancelled."""
    sweep = sweeps.start(sweepfile.parse(TEXT))
    sweeps.cancel(sweep)
    folder = paths.runs() / sweeps.read(sweep).runs[0]
    supervisor.enqueue_all([folder])
    watcher = supervisor._Supervisor()
    watcher.tick()
    assert not started and not supervisor.waiting() and not watcher.needs and states(sweep) == {"stopped"}


def test_who_wants_more_of_a_cancelled_sweep_resumes_it_first() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    sweeps.cancel(sweep)
    folder = paths.runs() / sweeps.read(sweep).runs[0]
    with pytest.raises(ValueError, match="was cancelled; resume it first"):
        sweeps.rerun_failed(sweep, ["stopped"])
    with pytest.raises(ValueError, match="was cancelled; resume the sweep"):
        control.resume(folder)
    sweeps.resume(sweep)
    assert len(supervisor.waiting()) == 8


def test_what_has_ended_is_neither_paused_nor_cancelled_nor_resumed() -> None:
    sweep = sweeps.start(sweepfile.parse(TEXT))
    assert sweeps.pause(sweep) == "It is paused: those that wait do not start."
    assert sweeps.pause(sweep) == "It is paused already."
    assert sweeps.resume(sweep) == "It goes on."
    for entry in sweeps.read(sweep).entries:
        supervisor.claim(paths.runs() / entry.run)
        rundir.set_status(paths.runs() / entry.run, rundir.Status("done"))
    for act, word in ((sweeps.pause, "pause"), (sweeps.cancel, "cancel"), (sweeps.resume, "resume")):
        with pytest.raises(ValueError, match=f"has ended; there is nothing to {word}"):
            act(sweep)
    assert sweeps.summary(sweep).state == "done"


def test_a_run_that_slipped_through_a_pause_is_asked_again_and_a_lost_one_can_be_cancelled() -> None:
    sweep = sweeps.start(sweepfile.parse("together = false\n" + TEXT))
    first, second, *_ = [paths.runs() / run for run in sweeps.read(sweep).runs]
    sweeps.pause(sweep)
    supervisor.claim(first)
    rundir.set_status(first, rundir.Status("running", pid=os.getpid(), heartbeat=time.time()))
    assert sweeps.pause(sweep) == "It is paused: 1 run holds at its next step, those that wait do not start."
    assert rundir.is_asked(first, "pause") and sweeps.pause(sweep) == "It is paused already."
    sweeps.resume(sweep)
    for run in sweeps.read(sweep).runs:
        supervisor.claim(paths.runs() / run)
        rundir.set_status(paths.runs() / run, rundir.Status("done"))
    rundir.set_status(second, rundir.Status("running", pid=2**22 + 1, heartbeat=1.0))  # it was killed
    assert sweeps.cancel(sweep).startswith("It is cancelled") and sweeps.summary(sweep).state == "cancelled"
