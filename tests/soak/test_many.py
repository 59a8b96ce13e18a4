"""Several of everything on one cache: writers, stores, supervisors, runners; and clocks that nobody may trust."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core import ending, liveness, rundir, supervisor
from core.executors import local
from core.store import Store, default_store, memory_store
from tests.soak.forked import Forked
from tests.unit.test_rundir import spec

WRITERS, EVENTS = 10, 1000


def test_ten_writers_lose_nothing(cache: Path) -> None:
    """Two stores read while ten processes write; every event of every one is in both, once."""

    def write(number: int) -> None:
        writer = rundir.Writer(rundir.create(spec(f"run-{number}", seed=number)))
        for step in range(EVENTS):
            writer.event("metrics", step=step, epoch=step / 10, values={"train/loss": number + step / 1000})
        writer.end(state="done")
        writer.close()

    writers = [Forked(lambda number=number: write(number)) for number in range(WRITERS)]
    app, second = default_store(), Store(cache / "index.duckdb")
    while any(writer.poll() is None for writer in writers):
        for store in (app, second):
            store.sync()
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    for store in (app, second, memory_store()):
        store.sync()
        found = store.query(
            "SELECT run, count(*) AS n, count(DISTINCT step) AS steps, sum(value) AS total FROM metrics GROUP BY run"
        )
        assert set(zip(found["n"], found["steps"], strict=True)) == {(EVENTS, EVENTS)} and len(found) == WRITERS
        expected = [EVENTS * number + sum(range(EVENTS)) / 1000 for number in range(WRITERS)]
        assert sorted(found["total"]) == pytest.approx(expected)
        assert store.note == "" or (store is second and "This process has the index open already" in store.note)
        assert set(store.runs()["state"]) == {"done"}
    app.close()


def test_a_second_app_reads_beside_the_first_and_so_does_the_terminal(cache: Path, lab: object) -> None:
    writer = rundir.Writer(rundir.create(spec("20260101-000000-toy-0000", created_at="2026-01-01")))
    app = default_store()
    app.sync()
    script = "from core.store import default_store as d\ns = d()\ns.sync()\nprint(len(s.runs()), s.note)"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert other.stdout.startswith("1 Another process has the index open"), other.stderr
    listed = lab("runs")  # type: ignore[operator]
    assert listed.returncode == 0 and "20260101-000000-toy-0000" in listed.stdout
    writer.event("metrics", step=1, epoch=0.1, values={"train/loss": 1.0})
    assert app.sync() == 1 and app.note == ""
    writer.close()
    app.close()


def test_a_run_has_one_writer(cache: Path) -> None:
    folder = rundir.create(spec())
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom core import rundir\n"
        "w = rundir.Writer(Path(sys.argv[1]))\nprint('ready', flush=True)\ntime.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"ready\n"
    try:
        with pytest.raises(ValueError, match=rf"is at work in process {first.pid} already; it cannot run twice"):
            rundir.Writer(folder)
        assert rundir.read_status(folder).pid == first.pid
    finally:
        first.kill()
        first.wait()
    rundir.Writer(folder).close()  # a dead one holds nothing


def test_of_two_supervisors_one_works(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [rundir.create(spec(f"run-{number}")) for number in range(3)]
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    for folder in folders:
        supervisor.enqueue(folder)
    log = cache / "started"

    def supervise() -> None:
        def start(folder: Path, data_folder: str = "", threads: int = 0) -> subprocess.Popen[bytes]:
            with log.open("a") as file:
                file.write(folder.name + "\n")
            return subprocess.Popen(["true"])

        local.start = start  # type: ignore[assignment]
        supervisor.IDLE_S = 0.5
        supervisor.main()

    both = [Forked(supervise) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert log.read_text().split() == [folder.name for folder in folders]


# ---- clocks ----


@pytest.fixture
def far(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on another machine; the moments of this one go by when the test says so."""
    folder = rundir.create(spec())
    monkeypatch.setattr(liveness, "_seen", {})
    beat(folder, 1, 0.0)
    return folder


def beat(folder: Path, number: int, skew_s: float) -> None:
    status = rundir.Status("running", pid=7, host="elsewhere", beat=number, heartbeat=time.time() + skew_s)
    rundir.set_status(folder, status)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = liveness.time.monotonic() + seconds
    monkeypatch.setattr(liveness.time, "monotonic", lambda: now)


@pytest.mark.parametrize("skew_s", [-86_400.0, 86_400.0])
def test_beats_are_believed_before_clocks(far: Path, monkeypatch: pytest.MonkeyPatch, skew_s: float) -> None:
    """A clock a day behind or ahead: what beats lives, what beats no more is lost after the same seconds as ever."""
    beat(far, 1, skew_s)
    rundir.read_status(far)  # a first look has only the clock to go by
    for number in range(2, 6):
        later(monkeypatch, 1.0)
        beat(far, number, skew_s)
        assert rundir.read_status(far).state == "running"
    later(monkeypatch, rundir.LOST_AFTER_S - 1)
    assert rundir.read_status(far).state == "running"
    later(monkeypatch, 2.0)
    assert rundir.read_status(far).state == "lost"


def test_a_process_is_known_whatever_the_clock_says(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the clock moves every time of creation that is told by it."""
    folder = rundir.create(spec())
    writer = rundir.Writer(folder)
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) - 3600)
    assert rundir.read_status(folder).state == "starting"
    writer.close()
    other = replace(rundir.read_status(folder), process=writer.status.process + "0")
    rundir.set_status(folder, replace(other, host=socket.gethostname()))
    assert rundir.read_status(folder).state == "lost"  # the same number, another process


def test_wishes_and_the_queue_keep_their_order_when_the_clock_is_set_back(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    folders = [rundir.create(spec(f"run-{number}")) for number in range(3)]
    now = time.time_ns()
    for number, folder in enumerate(folders):
        monkeypatch.setattr(time, "time_ns", lambda number=number: now - number * 3600 * 10**9)
        supervisor.enqueue(folder)
        rundir.ask(folders[0], "changes", values={"learning_rate": number})
    assert supervisor.waiting() == ["run-0", "run-1", "run-2"]
    assert [wish["values"]["learning_rate"] for _, wish in rundir.wishes(folders[0])] == [0, 1, 2]


def test_who_is_asked_to_stop_is_pressed_though_the_clock_was_set_back(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(["sleep", "60"])
    folder = rundir.create(spec())
    about = {"pid": child.pid, "process": liveness.identity(child.pid), "host": socket.gethostname()}
    rundir.set_status(folder, rundir.Status("running", **about))  # type: ignore[arg-type]
    rundir.ask(folder, "stop")
    now, moment = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: now - 86_400)
    told: set[tuple[str, int]] = set()
    asked: dict[str, float] = {}
    ending.press(folder, rundir.read_status(folder), told, asked)
    assert not told
    monkeypatch.setattr(time, "monotonic", lambda: moment + 6.0)
    ending.press(folder, rundir.read_status(folder), told, asked)
    assert len(told) == 1
    monkeypatch.undo()
    assert child.wait(30) == -15


def test_a_waiting_run_that_no_queue_knows_is_lost(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took it out of the queue, or was about to put it there, was killed."""
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    waits, forgotten = rundir.create(spec("waits")), rundir.create(spec("forgotten"))
    for folder in (waits, forgotten):
        supervisor.enqueue(folder)
    assert supervisor.claim(forgotten)
    assert rundir.read_status(forgotten).state == "queued"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + rundir.LOST_AFTER_S + 1)
    assert (rundir.read_status(waits).state, rundir.read_status(forgotten).state) == ("queued", "lost")
    assert memory_store().query("SELECT state FROM runs WHERE run = 'forgotten'").iloc[0, 0] == "lost"
