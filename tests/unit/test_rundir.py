"""The run directory: nothing acknowledged is lost, nothing damaged is fatal, and the dead are seen to be dead."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from core import checkpoints, disk, evaluation, liveness, rundir
from tests.conftest import eventually


def spec(run: str = "20260101-000000-toy-0000", **about: object) -> rundir.Spec:
    given = {
        "id": run, "trainer": "toy", "config": {"epochs": 3}, "data": "toy", "task": "emotion", "split": "grouped:0",
        "seed": 0, "device": "cpu",
    }  # fmt: skip
    return rundir.Spec(**(given | about))  # type: ignore[arg-type]


@pytest.fixture
def folder(cache: Path) -> Path:
    return rundir.create(spec())


def test_a_new_run_has_its_spec_and_waits(folder: Path) -> None:
    assert rundir.read_spec(folder) == spec()
    assert rundir.read_status(folder).state == "queued"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} >= {"control", "checkpoints", "evaluations", "snapshots"}


def test_a_writer_that_finds_no_room_gives_the_run_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", full)
        with pytest.raises(OSError, match="No space left"):
            rundir.Writer(folder)
    with (folder / "events.jsonl").open() as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert rundir.read_status(folder).state == "queued"


def test_events_are_numbered_on_after_reopening(folder: Path) -> None:
    for step in range(2):
        writer = rundir.Writer(folder)
        writer.event("metrics", step=step, epoch=0.0, values={"train/loss": 1.0})
        writer.close()
    events, offset = rundir.read_events(folder)
    assert [event["n"] for event in events] == [1, 2, 3, 4]
    assert [event["kind"] for event in events] == ["state", "metrics"] * 2
    assert offset == (folder / "events.jsonl").stat().st_size
    assert rundir.read_events(folder, offset) == ([], offset)


def test_reading_goes_on_where_it_stopped(folder: Path) -> None:
    writer = rundir.Writer(folder)
    _, offset = rundir.read_events(folder)
    writer.event("progress", fraction=0.5, note="half")
    events, _ = rundir.read_events(folder, offset)
    assert [(event["n"], event["note"]) for event in events] == [(2, "half")]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"n": 2, "t": 1.0, "ki',
        b'{"n": 2, "t": 1.0, "kind": "progress"}',
        b"\xff\xfe",
        b'{"n": 2, "x": "' + bytes(9999),
    ],
)
def test_a_torn_last_line_waits_and_is_cut_off_by_the_next_writer(folder: Path, torn: bytes) -> None:
    rundir.Writer(folder).close()
    path = folder / "events.jsonl"
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(torn)
    events, offset = rundir.read_events(folder)
    assert (len(events), offset) == (1, whole)
    writer = rundir.Writer(folder)
    writer.event("progress", note="after")
    writer.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]  # every line parses again
    assert [line["n"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize(
    "broken", ["{not json", "[]", "17", '{"n": 2, "kind": "metrics", "t": 0}', '{"n": null, "kind": "a", "t": 0}', ""]
)
def test_a_broken_line_in_the_middle_costs_itself_only(folder: Path, broken: str) -> None:
    writer = rundir.Writer(folder)
    writer.close()
    with (folder / "events.jsonl").open("a") as file:
        file.write(broken + "\n")
    writer = rundir.Writer(folder)
    writer.event("progress", note="after")
    writer.close()
    events, _ = rundir.read_events(folder)
    assert [event["kind"] for event in events] == ["state", "state", "progress"]


def test_nan_and_infinity_come_back_and_the_file_stays_json(folder: Path) -> None:
    writer = rundir.Writer(folder)
    values = {"train/loss": math.nan, "a": math.inf, "b": -math.inf, "c": 0.1}
    writer.event("metrics", step=1, epoch=0.5, values=values)
    writer.close()
    read = rundir.read_events(folder)[0][-1]["values"]
    assert math.isnan(read["train/loss"])
    assert {name: read[name] for name in "abc"} == {"a": math.inf, "b": -math.inf, "c": 0.1}

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    for line in (folder / "events.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_a_copied_directory_is_a_run_of_its_own(folder: Path) -> None:
    """Named by its folder, whatever its spec says: the first one may be deleted, and the copy is still there."""
    saved = {"model": {"x": np.zeros(1)}, "input": "toy12", "window_s": 0.0}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    copy = folder.with_name("best")
    shutil.copytree(folder, copy)
    shutil.rmtree(folder)
    assert rundir.read_spec(copy).id == evaluation.load_model(copy).run == "best"
    assert rundir.find(evaluation.load_model(copy).run) == copy
    assert rundir.read_spec(copy).config_id == spec().config_id


def test_fields_of_a_newer_version_are_ignored(folder: Path) -> None:
    for name in ("spec.json", "status.json"):
        raw = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(raw | {"from_the_future": [1]}))
    assert rundir.read_spec(folder) == spec()
    assert rundir.read_status(folder).state == "queued"


@pytest.mark.parametrize("text", [None, "", '{"id": "a"', "{}", "[]", "null", "3"])
def test_an_unreadable_spec_is_said(folder: Path, text: str | None) -> None:
    (folder / "spec.json").unlink()
    if text is not None:
        (folder / "spec.json").write_text(text)
    with pytest.raises(ValueError, match=rf"^Run {folder.name} has no readable spec\.json"):
        rundir.read_spec(folder)


def test_an_unreadable_status_is_a_failed_run(folder: Path) -> None:
    (folder / "status.json").write_text("{")
    assert rundir.read_status(folder).state == "failed"


def test_a_killed_process_leaves_a_lost_run(folder: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom core import rundir\n"
        "rundir.Writer(Path(sys.argv[1])).set(state='running')\ntime.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    try:
        eventually(lambda: rundir.read_status(folder).state == "running")
        assert rundir.read_status(folder).pid == child.pid
        # However long it is silent: on this machine its process can be seen to live.
        assert rundir.read_status(folder, now=time.time() + 3600).state == "running"
    finally:
        child.kill()
    eventually(lambda: rundir.read_status(folder).state == "lost")  # a zombie, not yet waited for, is dead too
    child.wait()
    status = rundir.read_status(folder)
    assert (status.state, status.is_finished) == ("lost", True)
    assert json.loads((folder / "status.json").read_text())["state"] == "running"  # derived, never written


EXIT = {"x86_64": 60, "aarch64": 93}
"""The number of the system call that ends one thread."""


@pytest.mark.skipif(not sys.platform.startswith("linux") or platform.machine() not in EXIT, reason="Linux has /proc")
def test_a_killed_process_lives_until_its_last_thread_has_let_go_of_the_run(folder: Path) -> None:
    """Its first thread is gone, so it is a zombie, and another still holds the lock: whoever took the run for lost now
    would find it owned, think that somebody had resumed it, and never ask again."""
    script = (
        "import ctypes, os, sys, threading\nfrom pathlib import Path\nfrom core import rundir\n"
        "rundir.Writer(Path(sys.argv[1])).set(state='running')\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n"
        f"ctypes.CDLL(None).syscall({EXIT[platform.machine()]}, 0)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE)
    try:
        eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(ValueError, match=f"is at work in process {child.pid}"):
            rundir.Writer(folder, begins=False)
        assert rundir.read_status(folder).state == "running"
        assert child.stdin is not None
        child.stdin.close()  # now the other thread ends, too
        eventually(lambda: rundir.read_status(folder).state == "lost")
        rundir.Writer(folder, begins=False).close()
    finally:
        child.kill()
        child.wait()


def test_another_process_with_the_same_number_is_not_the_run(folder: Path) -> None:
    me = psutil.Process()
    mine = rundir.Status("running", pid=me.pid, pid_started=me.create_time(), host=socket.gethostname())
    rundir.set_status(folder, mine)
    assert rundir.read_status(folder).state == "running"
    rundir.set_status(folder, replace(mine, pid_started=me.create_time() - 60))
    assert rundir.read_status(folder).state == "lost"


def test_nor_is_one_that_began_at_another_tick_or_before_the_machine_did(folder: Path) -> None:
    boot, pid, ticks = liveness.identity(os.getpid()).split(":")
    mine = rundir.Status("running", pid=os.getpid(), host=socket.gethostname())
    for process, state in {
        f"{boot}:{pid}:{ticks}": "running",
        f"{boot}:{pid}:{int(ticks) - 1}": "lost",
        f"another-boot:{pid}:{ticks}": "lost",
    }.items():
        rundir.set_status(folder, replace(mine, process=process))
        assert rundir.read_status(folder).state == state, process


def test_a_run_of_another_machine_is_lost_when_it_falls_silent(folder: Path) -> None:
    status = rundir.Status("running", pid=1, host="elsewhere", heartbeat=1000.0)
    rundir.set_status(folder, status)
    assert rundir.read_status(folder, now=1000.0 + rundir.LOST_AFTER_S - 1).state == "running"
    assert rundir.read_status(folder, now=1000.0 + rundir.LOST_AFTER_S + 1).state == "lost"
    rundir.set_status(folder, replace(status, state="done"))
    assert rundir.read_status(folder, now=1e9).state == "done"


def test_a_run_that_was_just_made_to_start_is_not_lost(cache: Path) -> None:
    folder = rundir.create(spec("a-toy-1"), state="starting")
    assert rundir.read_status(folder).state == "starting"
    assert rundir.read_status(folder, now=time.time() + rundir.START_WITHIN_S + 1).state == "lost"  # nobody ever came


def test_the_start_of_the_first_life_stays(folder: Path) -> None:
    first = rundir.Writer(folder)
    first.set(state="stopped")
    first.close()
    second = rundir.Writer(folder)
    second.close()
    assert second.status.started_at == first.status.started_at > 0


def test_runs_are_found_by_name_and_by_the_start_of_one(cache: Path) -> None:
    names = ("20260101-000000-toy-aaaa", "20260102-000000-toy-bbbb", "20260102-000000-toy-bbcc")
    for name in names:
        rundir.create(spec(name))
    assert rundir.find(names[0]).name == names[0]
    assert rundir.find("20260101").name == names[0]
    assert rundir.find("latest").name == names[2]
    with pytest.raises(ValueError, match=r"fits 2 runs: 20260102-000000-toy-bbbb, 20260102-000000-toy-bbcc"):
        rundir.find("20260102")
    with pytest.raises(ValueError, match=r"There is no run '1999'"):
        rundir.find("1999")


@pytest.mark.parametrize("name", ["../runs", "..", ".", "", "a/b", "a b", "a\n", "%2e%2e", "é", "*"])
def test_a_name_never_leads_out_of_the_cache(cache: Path, name: str) -> None:
    rundir.create(spec())
    with pytest.raises(ValueError, match=r"is not the name of a run|There is no run"):
        rundir.find(name)


def test_the_latest_run_is_the_users_not_one_that_ships(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "ships" / "runs" / "starter-toy").mkdir(parents=True)  # sorts after any date
    monkeypatch.setenv("EARSHOT_STARTER", str(cache / "ships"))
    assert rundir.find("starter-toy").name == "starter-toy"
    own = rundir.create(spec())
    assert rundir.find("latest") == own


def test_a_damaged_wish_is_passed_over(folder: Path) -> None:
    (folder / "control" / f"{1:020d}-stop.json").write_text("")
    rundir.ask(folder, "changes", values={})
    assert [wish["kind"] for _, wish in rundir.wishes(folder)] == ["changes"]
    assert rundir.stop_asked_at(folder) is None


def test_without_runs_there_is_no_latest(cache: Path) -> None:
    with pytest.raises(ValueError, match="There is no run 'latest'"):
        rundir.find("latest")


def test_half_made_runs_are_not_listed(cache: Path) -> None:
    folder = rundir.create(spec())
    (folder.parent / ".20260101-000000-toy-ffff.making").mkdir()
    (folder.parent / "notes.txt").write_text("mine")
    assert list(rundir.directories()) == [folder]


def test_wishes_come_in_the_order_they_were_made(folder: Path) -> None:
    before = time.time()
    rundir.ask(folder, "changes", values={"learning_rate": 0.5})
    rundir.ask(folder, "stop")
    rundir.ask(folder, "changes", values={"learning_rate": 0.1})
    assert [wish["kind"] for _, wish in rundir.wishes(folder)] == ["changes", "stop", "changes"]
    asked = rundir.stop_asked_at(folder)
    assert asked is not None
    assert before <= asked <= time.time()


def test_seeds_share_a_configuration_and_knobs_do_not() -> None:
    assert spec(seed=1).config_id == spec("other", seed=2, device="cuda:0").config_id
    for other in ({"config": {"epochs": 4}}, {"split": "grouped:1"}, {"data": "deam"}, {"parent": "x"}):
        assert spec(**other).config_id != spec().config_id
    assert json.loads(json.dumps(asdict(spec())))["format"] == rundir.VERSION


@pytest.mark.parametrize(
    "damage", [{"state": "rtnning"}, {"pid": "12"}, {"heartbeat": None}, {"step": [1]}, {"heartbeat": "soon"}]
)
def test_a_status_of_other_things_is_said_to_be_unreadable(folder: Path, damage: dict[str, object]) -> None:
    raw = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(raw | damage))
    status = rundir.read_status(folder)
    assert status.state == "failed" and status.is_finished
    assert status.reason.startswith("status.json cannot be read (")


@pytest.mark.parametrize("damage", [{"config": []}, {"seed": "1"}, {"trainer": 3}, {"format": None}])
def test_a_spec_of_other_things_is_said_to_be_unreadable(folder: Path, damage: dict[str, object]) -> None:
    raw = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(raw | damage))
    with pytest.raises(ValueError, match=rf"^Run {folder.name} has no readable spec\.json"):
        rundir.read_spec(folder)


def test_a_run_is_named_by_time_trainer_and_eight_random_digits() -> None:
    names = {rundir.new_id("toy") for _ in range(2000)}
    assert len(names) == 2000  # of four digits about 30 of them would be twins
    assert all(re.fullmatch(r"\d{8}-\d{6}-toy-[0-9a-f]{8}", name) for name in names)


@pytest.mark.parametrize(
    "epoch, text", [(0.25, "0.25"), (3.0, "3"), (12.5, "12.5"), (1260.0, "1,260"), (2e6, "2,000,000")]
)
def test_an_epoch_is_written_without_powers_of_ten(epoch: float, text: str) -> None:
    assert rundir.epoch_text(epoch) == text
