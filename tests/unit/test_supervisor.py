"""The supervisor: one per cache, one run per device at a time, and nothing stuck when something dies."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import trainers
from core import control, disk, paths, rundir, supervisor
from core.executors import local
from tests.conftest import eventually, full_at

SLOW = {"seconds_per_step": 0.1, "epochs": 10_000}


def new(**about: Any) -> rundir.Spec:
    values = about.pop("values", {})
    return supervisor.new_spec(trainers.load("toy"), values, data="toy", **about)


def state(folder: Path) -> str:
    return rundir.read_status(folder).state


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No processes: the supervisor is not started, a runner is a short `sleep`."""
    calls: list[str] = []
    monkeypatch.setattr(local, "start_supervisor", lambda: calls.append("supervisor"))
    return calls


# ---- the queue, without processes ----


def test_a_run_is_claimed_once(cache: Path, asleep: list[str]) -> None:
    folder = supervisor.submit(new())
    assert (state(folder), asleep) == ("queued", ["supervisor"])
    assert [supervisor.claim(folder), supervisor.claim(folder)] == [True, False]


def test_places_in_the_queue(cache: Path, asleep: list[str]) -> None:
    first, second = supervisor.submit(new()), supervisor.submit(new())
    assert [supervisor.position(first), supervisor.position(second)] == [0, 1]


def test_stopping_a_queued_run_takes_it_out(cache: Path, asleep: list[str]) -> None:
    folder = supervisor.submit(new())
    assert control.stop(folder) == "It was waiting and is taken out of the queue."
    assert state(folder) == "stopped"
    assert not list(supervisor.queue().iterdir())
    assert control.stop(folder) == "It is stopped already."


def test_only_what_ended_without_an_end_can_be_resumed(cache: Path, asleep: list[str]) -> None:
    folder = supervisor.submit(new())
    with pytest.raises(ValueError, match="is queued; only a paused, stopped, failed or lost run can be resumed"):
        control.resume(folder)
    control.stop(folder)
    rundir.ask(folder, "stop")
    rundir.ask(folder, "changes", values={"learning_rate": 0.5})
    control.resume(folder)
    assert state(folder) == "queued"
    assert [wish["kind"] for _, wish in rundir.wishes(folder)] == ["changes"]  # the old stop must not stop it again


def test_a_damaged_run_in_the_queue_fails_with_a_reason(cache: Path, asleep: list[str]) -> None:
    folder = supervisor.submit(new())
    (folder / "spec.json").write_text("{")
    assert supervisor._Supervisor().tick()
    status = rundir.read_status(folder)
    assert status.state == "failed"
    assert "no readable spec.json" in status.reason
    assert not list(supervisor.queue().iterdir())


def test_a_run_deleted_while_it_waited_leaves_the_queue(cache: Path, asleep: list[str]) -> None:
    folder = supervisor.submit(new())
    folder.rename(cache / "gone")
    supervisor._Supervisor().tick()
    assert not list(supervisor.queue().iterdir())
    assert not folder.exists()


def test_dying_between_claim_and_start_leaves_a_lost_run(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = supervisor.submit(new())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "start", die)
    with pytest.raises(KeyboardInterrupt):
        supervisor._Supervisor().tick()
    assert state(folder) == "starting"
    assert (
        rundir.read_status(folder, now=time.time() + rundir.START_WITHIN_S + 1).state == "lost"
    )  # and lost runs can be resumed


def test_a_runner_that_dies_before_it_speaks_is_failed(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = supervisor.submit(new())
    monkeypatch.setattr(local, "start", lambda *_: subprocess.Popen(["false"], start_new_session=True))
    watcher = supervisor._Supervisor()
    eventually(lambda: watcher.tick() and state(folder) == "failed")
    assert "exit status 1" in rundir.read_status(folder).reason
    assert not watcher.running


@pytest.mark.parametrize("told", ["nothing", "its own number", "another's number"])
def test_a_process_killed_before_its_first_word_leaves_lost_runs(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """Told by how the process ended alone; a group's runs have the number of one process, or none as yet."""
    folders = [shared(1.0, "group"), shared(1.0, "group")]
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    monkeypatch.setattr(local, "start_many", lambda *_: child)
    watcher = supervisor._Supervisor()
    watcher.tick()
    child.kill()
    child.wait()
    if told != "nothing":
        pid = child.pid if told == "its own number" else 2**22 + 1
        for folder in folders:
            rundir.set_status(folder, rundir.Status("starting", pid=pid, host=os.uname().nodename))
    taken: list[Path] = []
    monkeypatch.setattr(supervisor, "take_up", lambda folder, sweep: taken.append(folder))
    watcher.tick()
    assert [state(folder) for folder in folders] == ["lost", "lost"]
    assert taken == folders and not watcher.running


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize("together", ["", "group"])
def test_runs_whose_process_cannot_be_started_wait_on(
    cache: Path, asleep: list[str], started: list[tuple[list[Path], int]], monkeypatch: pytest.MonkeyPatch,
    error: int, together: str,
) -> None:  # fmt: skip
    folders = [shared(1.0, together) for _ in range(2 if together else 1)]

    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    watcher = supervisor._Supervisor()
    with monkeypatch.context() as patch:
        patch.setattr(local, "start", fail)
        patch.setattr(local, "start_many", fail)
        assert supervisor._tick(watcher)
        assert supervisor.waiting() == [folder.name for folder in folders]
        assert {state(folder) for folder in folders} == {"queued"} and watcher.used("cpu") == 0
        assert supervisor._tick(watcher)
    os.utime(supervisor.queue())
    assert supervisor._tick(watcher)
    assert started == [(folders, 0)] and supervisor.waiting() == []
    assert {state(folder) for folder in folders} == {"starting"}


def test_a_run_that_can_never_be_started_fails_and_the_next_one_starts(cache: Path, asleep: list[str]) -> None:
    broken, good = shared(1.0), shared(1.0)
    (broken / "stdout.log").mkdir()
    watcher = supervisor._Supervisor()
    assert supervisor._tick(watcher)
    status = rundir.read_status(broken)
    assert (status.state, status.reason) == ("failed", "Its process cannot be started (Is a directory).")
    assert list(watcher.running) == [good.name]
    child = watcher.running[good.name].child
    assert child is not None
    child.kill()
    child.wait()


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("stays", [False, True])
def test_a_group_waits_on_whole_where_the_disk_is_full(
    cache: Path, asleep: list[str], started: list[tuple[list[Path], int]], monkeypatch: pytest.MonkeyPatch,
    number: int, stays: bool,
) -> None:  # fmt: skip
    """Whichever status finds no room: no place in the queue is lost, in the queue's order, and all start with room."""
    folders = [shared(1.0, "group") for _ in range(3)]
    full = full_at(number, stays)
    watcher = supervisor._Supervisor()
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", full)
        patch.setattr(Path, "write_text", full)  # nothing that needs room may be needed to go back
        assert supervisor._tick(watcher)
    assert started == [] and supervisor.waiting() == [folder.name for folder in folders]
    assert supervisor._tick(watcher)
    assert started == [(folders, 0)] and supervisor.waiting() == []
    assert {state(folder) for folder in folders} == {"starting"}


def test_a_directory_deleted_under_a_run_does_not_end_the_supervisor(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = supervisor.submit(new())
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    monkeypatch.setattr(local, "start", lambda *_: child)
    watcher = supervisor._Supervisor()
    watcher.tick()
    folder.rename(cache / "gone")
    assert watcher.tick()
    assert watcher.used("cpu") == 1
    child.kill()
    child.wait()


def test_who_does_not_stop_is_terminated_and_then_killed(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose process ignores everything; time is moved on instead of waited for."""
    folder = supervisor.submit(new())
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; exec sleep 60"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    monkeypatch.setattr(local, "start", lambda *_: child)
    sent: list[int] = []
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: (sent.append(number), kill(pid, number))[1])
    watcher = supervisor._Supervisor()
    watcher.tick()
    process = psutil.Process(child.pid)
    alive = rundir.Status("running", pid=child.pid, pid_started=process.create_time(), host=os.uname().nodename)
    rundir.set_status(folder, alive)
    control.stop(folder)
    watcher.tick()
    assert sent == []
    now = time.time()
    for later, expected in ((6.0, [signal.SIGTERM]), (7.0, [signal.SIGTERM]), (11.0, [signal.SIGTERM, signal.SIGKILL])):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        watcher.tick()
        assert sent == expected
    assert child.wait(30) == -signal.SIGKILL
    watcher.tick()
    status = rundir.read_status(folder)
    assert (status.state, status.reason) == ("stopped", "Stopped by force; the last checkpoint stays.")


def test_a_process_of_another_machine_is_not_killed_here(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = supervisor.submit(new())
    supervisor.claim(folder)
    elsewhere = rundir.Status("running", pid=os.getpid(), host="elsewhere", heartbeat=time.time() + 3600)
    rundir.set_status(folder, elsewhere)
    watcher = supervisor._Supervisor()
    assert folder.name in watcher.running
    control.stop(folder)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 30)
    watcher.tick()


# ---- shares and groups ----


def shared(share: float, together: str = "") -> Path:
    folder = rundir.create(
        replace(new(), id=f"run-{share}-{together}-{time.time_ns()}", share=share, together=together)
    )
    supervisor.enqueue(folder)
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[list[Path], int]]]:
    """What was started, as (runs, threads); the processes only sleep."""
    found: list[tuple[list[Path], int]] = []
    children = []

    def sleep(folders: list[Path], threads: int) -> subprocess.Popen[bytes]:
        found.append((folders, threads))
        children.append(subprocess.Popen(["sleep", "60"]))
        return children[-1]

    monkeypatch.setattr(local, "start", lambda folder, data, threads: sleep([folder], threads))
    monkeypatch.setattr(local, "start_many", lambda folders, data, threads: sleep(folders, threads))
    yield found
    for child in children:
        child.kill()
        child.wait()


def test_runs_start_while_their_shares_fit(
    cache: Path, asleep: list[str], started: list[tuple[list[Path], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    thirds = [shared(0.3333) for _ in range(4)]
    whole, small = shared(1.0), shared(0.01)
    watcher = supervisor._Supervisor()
    watcher.tick()
    assert started == [([folder], 3) for folder in thirds[:3]]  # three of eight cores each
    assert watcher.used("cpu") == pytest.approx(0.9999)
    for slot in list(watcher.running.values())[:2]:
        assert slot.child is not None
        slot.child.kill()
        slot.child.wait()
    watcher.tick()
    assert [folders for folders, _ in started[3:]] == [[thirds[3]]]  # small waits: whole came before it
    for slot in watcher.running.values():
        assert slot.child is not None
        slot.child.kill()
        slot.child.wait()
    watcher.tick()
    assert started[4:] == [([whole], 0)]
    assert supervisor.waiting() == [small.name]


@pytest.mark.parametrize(("device", "free", "leaves"), [("cpu", 0.3, True), ("cpu", 0.2, False), ("cuda", 0.3, False)])
def test_a_paused_run_leaves_the_processor_to_others_where_memory_is_left_and_keeps_a_gpu(
    cache: Path,
    asleep: list[str],
    started: list[tuple[list[Path], int]],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    free: float,
    leaves: bool,
) -> None:
    monkeypatch.setattr(supervisor, "free_memory", lambda: free)
    first, second = (rundir.create(replace(new(), id=f"run-{number}", device=device)) for number in range(2))
    for folder in (first, second):
        supervisor.enqueue(folder)
    watcher = supervisor._Supervisor()
    watcher.tick()
    rundir.set_status(first, rundir.Status("paused", pid=os.getpid(), heartbeat=time.time()))
    watcher.tick()
    assert [folders for folders, _ in started] == ([[first], [second]] if leaves else [[first]])
    monkeypatch.setattr(supervisor, "free_memory", lambda: free - 0.1)  # what the other one takes
    watcher.tick()
    assert watcher.used(device) == 1.0
    rundir.set_status(first, rundir.Status("running", pid=os.getpid(), heartbeat=time.time()))
    watcher.tick()
    assert watcher.used(device) == (2.0 if leaves else 1.0)  # it goes on at once, beside the other


def test_a_group_starts_as_one_process(cache: Path, asleep: list[str], started: list[tuple[list[Path], int]]) -> None:
    first, other, second = shared(1.0, "group"), shared(1.0), shared(1.0, "group")
    gone = shared(1.0, "group")
    control.stop(gone)  # it is taken out; the others are not
    watcher = supervisor._Supervisor()
    watcher.tick()
    assert started == [([first, second], 0)] and supervisor.waiting() == [other.name]
    assert [state(folder) for folder in (first, second, gone)] == ["starting", "starting", "stopped"]
    (slot,) = supervisor._Supervisor().running.values()  # the next supervisor finds one process, too
    assert set(slot.folders) == {first, second}


def test_waiting_runs_cost_nothing_while_nothing_happens(
    cache: Path, asleep: list[str], started: list[tuple[list[Path], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        shared(1.0)
    watcher = supervisor._Supervisor()
    os.utime(supervisor.queue(), (1, 1))
    watcher.tick()
    os.utime(supervisor.queue(), (2, 2))  # long ago: what happens now would show
    watcher.tick()
    looked: list[str] = []
    read, listing = rundir.read_spec, os.listdir
    monkeypatch.setattr(rundir, "read_spec", lambda folder: (looked.append(str(folder)), read(folder))[1])
    monkeypatch.setattr(os, "listdir", lambda path: (looked.append(str(path)), listing(path))[1])
    watcher.tick()
    of_running = {str(slot / "control") for slot in paths.runs().iterdir()}  # what runs is asked for its wishes
    assert [place for place in looked if str(cache) in place and place not in of_running | {str(paths.runs())}] == []


# ---- the supervisor itself ----


def test_a_waiting_run_gets_a_new_supervisor(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(supervisor.local, "start_supervisor", lambda: started.append(1))
    supervisor.ensure()
    assert not started  # nothing waits
    (supervisor.queue() / "1-run").touch()
    supervisor.ensure()
    assert started == [1]
    with (cache / "supervisor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        supervisor.ensure()
    assert started == [1]  # one is at work


def test_a_run_is_started_with_the_data_of_who_asked_for_it(
    cache: Path, asleep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_DATA", str(cache / "mine"))
    supervisor.submit(new())
    monkeypatch.delenv("EARSHOT_DATA")  # the supervisor is another process, which may know nothing of it
    given: list[str] = []

    def start(_: Path, data_folder: str, threads: int) -> subprocess.Popen[bytes]:
        given.append(data_folder)
        return subprocess.Popen(["true"])

    monkeypatch.setattr(local, "start", start)
    supervisor._Supervisor().tick()
    assert given == [str(cache / "mine")]
