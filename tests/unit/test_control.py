"""What a user does to runs: each mistake one sentence, the queue in the order asked for, nothing deleted by mistake."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import trainers
from core import checkpoints, control, machine, paths, rundir, steering, supervisor, trash
from core.executors import local
from tests.conftest import eventually, processes_of

ALIVE = {"pid": os.getpid(), "pid_started": psutil.Process().create_time(), "host": os.uname().nodename}


@pytest.fixture(autouse=True)
def asleep(request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real" not in request.node.name:
        monkeypatch.setattr(local, "start_supervisor", lambda: None)


def submit(**values: Any) -> Path:
    return supervisor.submit(supervisor.new_spec(trainers.load("toy"), values, data="toy"))


def put(state: str, **values: Any) -> Path:
    """A run in this state, out of the queue; its process is this one where it should have one."""
    folder = submit(**values)
    if state != "queued":
        supervisor.claim(folder)
        rundir.set_status(folder, rundir.Status(state, **(ALIVE if state in rundir.ACTIVE else {})))
    return folder


def state(folder: Path) -> str:
    return rundir.read_status(folder).state


def asked(folder: Path) -> list[str]:
    return [wish["kind"] for _, wish in rundir.wishes(folder)]


# ---- pause, resume, change ----


@pytest.mark.parametrize("now", ["queued", "done", "stopped", "failed", "diverged"])
def test_only_what_trains_is_paused_or_changed(now: str) -> None:
    folder = put(now)
    with pytest.raises(ValueError, match=f"^Run {folder.name} is {now}; only a run that trains can be paused.$"):
        control.pause(folder)
    with pytest.raises(
        ValueError, match=f"^Run {folder.name} is {now}; only a run that trains can be changed. Clone it"
    ):
        control.change(folder, {"learning_rate": 0.5})
    assert asked(folder) == []


def test_a_change_is_checked_before_it_is_asked_for() -> None:
    folder = put("running")
    mistakes = {
        "epochs cannot change while a run trains; these can: learning_rate, weight_decay, dropout": {"epochs": 3},
        "learning_rate must be a number": {"learning_rate": "fast"},
        "dropout must be 0 to 0.95, not 2": {"dropout": 2},
        "There is no knob 'rate'": {"rate": 1},
        "Nothing changes: learning_rate is 0.1 already": {"learning_rate": "0.1"},
        "Say what to change": {},
    }
    for sentence, values in mistakes.items():
        with pytest.raises(ValueError, match=sentence):
            control.change(folder, values)
    assert asked(folder) == []
    told = control.change(folder, {"learning_rate": "0.5", "dropout": "0.0"})
    assert told == "From its next step on: learning_rate from 0.1 to 0.5."
    assert [wish["values"] for _, wish in rundir.wishes(folder)] == [{"learning_rate": 0.5}]


def test_resuming_what_waits_at_its_yield_and_what_has_no_process() -> None:
    here = put("paused")
    assert control.resume(here) == "It goes on."
    assert asked(here) == ["resume"]
    assert control.pause(here) == "It is paused already."
    soon = put("running")
    with pytest.raises(ValueError, match="is running; only a paused, stopped, failed or lost run can be resumed"):
        control.resume(soon)
    control.pause(soon)
    assert control.resume(soon) == "It goes on."  # before it ever paused
    assert asked(soon) == ["pause", "resume"]

    gone = put("paused")
    rundir.set_status(gone, replace(rundir.read_status(gone), pid=2**22 + 1))
    status = rundir.read_status(gone)
    assert (status.state, status.pid, status.is_finished) == ("paused", 0, True)
    assert "its process is gone" in status.reason
    rundir.ask(gone, "pause")
    rundir.ask(gone, "changes", values={"dropout": 0.5})
    assert control.resume(gone) == "It is in the queue."
    assert (state(gone), asked(gone)) == ("queued", ["changes"])


def test_a_paused_run_without_a_process_holds_no_device_and_can_be_stopped() -> None:
    folder = put("paused")
    assert supervisor._Supervisor().used("cpu") == 1
    rundir.set_status(folder, replace(rundir.read_status(folder), pid=2**22 + 1))
    assert supervisor._Supervisor().used("cpu") == 0
    assert control.stop(folder) == "It was paused and is stopped; its last checkpoint stays."
    assert state(folder) == "stopped"


def test_a_wish_whose_change_is_in_the_log_is_not_granted_twice() -> None:
    """Killed between the log and the removal of the wish: the change is replayed at its step, not made before."""
    folder = put("queued")
    rundir.ask(folder, "changes", values={"learning_rate": 0.5})
    ((path, _),) = rundir.wishes(folder)
    writer = rundir.Writer(folder)
    writer.event("changed", step=100, epoch=1.0, values={"learning_rate": [0.1, 0.5]}, wish=path.name)
    events, _ = rundir.read_events(folder)
    steers = steering.Steering(writer, trainers.load("toy").Config, rundir.read_spec(folder), events, 90)
    assert steers.obey(91, 0.9) is None
    assert not path.exists()
    assert steers.obey(100, 1.0) == {"learning_rate": 0.5}
    assert steers.obey(101, 1.1) is None
    assert len([event for event in rundir.read_events(folder)[0] if event["kind"] == "changed"]) == 1
    writer.close()


# ---- clone, rerun ----


def test_a_clone_is_the_same_configuration() -> None:
    folder = submit(epochs=7)
    spec = rundir.read_spec(folder)
    same, other = (rundir.read_spec(control.clone(folder, seed=seed)) for seed in (None, 5))
    assert (same.config_id, same.seed, other.config_id, other.seed) == (spec.config_id, 0, spec.config_id, 5)
    assert len({spec.id, same.id, other.id}) == 3
    with pytest.raises(ValueError, match="The seed must be 0 to"):
        control.clone(folder, seed=-1)


def test_only_what_ended_early_is_rerun_and_only_once_by_itself() -> None:
    for now, hint in {"done": "clone it to run it once more", "running": "stop it first", "queued": "stop it"}.items():
        folder = put(now)
        with pytest.raises(ValueError, match=f"is {now}; only a run that ended early is rerun: {hint}"):
            control.rerun(folder)
        rundir.set_status(folder, rundir.Status("done"))
    put("failed")  # like those that are done
    failed, _ = put("failed", epochs=5), put("stopped", epochs=6)
    assert control.ended_badly() == [failed]
    again = control.rerun(failed)
    assert rundir.read_spec(again).config_id == rundir.read_spec(failed).config_id
    assert control.ended_badly() == []  # somebody has run it again


# ---- the queue ----


def test_the_queue_takes_any_order() -> None:
    runs = [submit() for _ in range(4)]
    order = [run.name for run in runs]
    assert supervisor.waiting() == order
    for who, to in [(3, 1), (0, 4), (1, 2), (2, 1), (2, 3), (2, 2)] * 30:  # often enough to use up every gap
        control.reorder(runs[who], to)
        order.remove(runs[who].name)
        order.insert(to - 1, runs[who].name)
        assert supervisor.waiting() == order
    assert supervisor.waiting()[-1] != submit().name == supervisor.waiting()[-1]  # the next one comes last


def test_what_does_not_wait_has_no_place() -> None:
    waiting, done = submit(), put("done")
    with pytest.raises(ValueError, match="is done and not in the queue"):
        control.reorder(done, 1)
    for place in (0, 2, -1):
        with pytest.raises(ValueError, match="The queue has 1 place; choose 1 to 1"):
            control.reorder(waiting, place)


# ---- the trash ----


@pytest.mark.parametrize("now", ["starting", "running", "paused"])
def test_a_run_under_way_is_not_deleted(now: str) -> None:
    folder = put(now)
    for delete in (trash.delete, trash.delete_for_good):
        with pytest.raises(ValueError, match=f"is {now}; stop it before it is deleted: python lab.py run stop"):
            delete(folder)
    assert folder.is_dir()


def test_deleted_and_restored_to_the_byte(cache: Path) -> None:
    folder = put("done")
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trash.delete(folder)
    assert not rundir.exists(folder.name)
    with pytest.raises(ValueError, match=r"is in the trash; `python lab\.py run restore"):
        rundir.find(folder.name)
    assert trash.trashed() == [cache / "trash" / folder.name]
    assert trash.restore(trash.find("latest")) == folder
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match="The trash is empty"):
        trash.find("latest")


def test_a_waiting_run_leaves_the_queue_before_the_trash() -> None:
    folder = submit()
    trash.delete(folder)
    assert supervisor.waiting() == []
    assert state(trash.restore(trash.find(folder.name))) == "stopped"
    assert supervisor.waiting() == []


def test_for_good_is_for_good(cache: Path) -> None:
    one, two, three = put("done"), put("failed"), put("lost")
    trash.delete_for_good(one)
    trash.delete(two)
    trash.delete_for_good(trash.find(two.name))
    trash.delete(three)
    (cache / "trash" / ".half-deleted").mkdir()
    assert trash.empty() == 1
    assert not list((cache / "trash").iterdir()) and not list(paths.runs().iterdir())


def test_what_is_deleted_while_the_trash_is_emptied_can_be_restored(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing takes minutes; meanwhile another tab deletes a run, restores one, and empties the trash as well."""
    doomed = [put("done"), put("done"), put("done")]
    late, kept = put("done"), put("done")
    for folder in [kept, *doomed]:  # the one deleted last goes first
        trash.delete(folder)
    (cache / "trash" / ".half-deleted.1").mkdir()
    remove = shutil.rmtree
    meanwhile: list[int] = []

    def slow(place: Path, **how: bool) -> None:
        if not meanwhile:
            meanwhile.append(0)
            trash.restore(trash.find(kept.name))
            meanwhile[0] = trash.empty()
            trash.delete(late)
        remove(place, **how)

    monkeypatch.setattr(shutil, "rmtree", slow)
    assert trash.empty() + meanwhile[0] == 3
    assert trash.trashed() == [cache / "trash" / late.name]
    assert [path.name for path in (cache / "trash").iterdir()] == [late.name] and kept.is_dir()
    with pytest.raises(ValueError, match="is no longer in the trash"):
        trash.delete_for_good(cache / "trash" / doomed[0].name)


def test_what_ships_and_what_is_needed_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = put("done")
    needing = rundir.create(
        replace(rundir.read_spec(needed), id="20990101-000000-toy-0000", inputs={"base": needed.name})
    )
    with pytest.raises(ValueError, match=rf"Run {needing.name} is queued and needs run {needed.name}"):
        trash.delete(needed)
    rundir.set_status(needing, rundir.Status("done"))
    trash.delete(needed)

    monkeypatch.setenv("EARSHOT_STARTER", str(cache / "ships"))
    (cache / "ships").mkdir()
    trash.restore(trash.find(needed.name)).parent.rename(cache / "ships" / "runs")
    shipped = rundir.find(needed.name)
    for act, word in ((trash.delete, "deleted"), (trash.delete_for_good, "deleted")):
        with pytest.raises(ValueError, match=f"ships with Earshot and cannot be {word}; clone it"):
            act(shipped)


# ---- what is on the disk, and the machine ----


def test_stored_moments_say_what_they_hold(cache: Path) -> None:
    folder = put("done")
    place = folder / "checkpoints"
    full = {"state": {"a": 1}, "model": {}, "step": 30, "epoch": 10.0}
    checkpoints.save_state(place / "last.safetensors", full)
    rundir.share(place / "last.safetensors", place / "state-0010.safetensors")
    checkpoints.save_state(place / "epoch-0010.safetensors", {"model": {}, "step": 30})
    checkpoints.save_state(place / "epoch-0002.safetensors", {"model": {}, "step": 6})
    checkpoints.save_state(place / "final.safetensors", {"model": {}, "input": "toy12"})
    (place / "epoch-0003.safetensors").write_bytes(b"torn")
    assert checkpoints.stored(folder) == [
        checkpoints.Stored(2.0, 6, False, ("epoch-0002",)),
        checkpoints.Stored(10.0, 30, True, ("last", "state-0010", "epoch-0010")),
    ]
    checkpoints.save_state(place / "last.safetensors", full | {"step": 33, "epoch": 11.0})
    assert checkpoints.load_state(place / "state-0010.safetensors")["step"] == 30  # shared, and yet not overwritten


def test_an_array_in_two_places_is_stored_once_and_read_twice(tmp_path: Path) -> None:
    import numpy as np

    weights = np.arange(10_000.0)
    once = checkpoints.save_state(tmp_path / "once", {"model": weights})
    twice = checkpoints.save_state(tmp_path / "twice", {"model": weights, "state": {"model": weights, "best": weights}})
    assert twice < once + 1000
    found = checkpoints.load_state(tmp_path / "twice")
    found["state"]["model"][:] = 0.0  # a trainer may go on in place
    np.testing.assert_array_equal(found["model"], weights)
    np.testing.assert_array_equal(found["state"]["best"], weights)


def test_the_processor_is_a_device_with_this_machines_memory() -> None:
    (cpu,) = (use for use in machine.use() if use.device == "cpu")
    assert cpu.memory_total == psutil.virtual_memory().total
    assert 0 < cpu.memory_used < cpu.memory_total
    assert cpu.busy is not None and 0 <= cpu.busy <= 1
    assert (machine.process_memory(os.getpid()) or 0) > 10**6
    assert machine.process_memory(2**22 + 1) is None and machine.process_memory(0) is None


@pytest.mark.slow
def test_a_pause_survives_a_real_death(cache: Path) -> None:
    folder = submit(epochs=30, seconds_per_step=0.05)
    eventually(lambda: any(event["kind"] == "checkpoint" for event in rundir.read_events(folder)[0]))
    control.pause(folder)
    eventually(lambda: state(folder) == "paused")
    step, beat = rundir.read_status(folder).step, rundir.read_status(folder).beat
    eventually(lambda: rundir.read_status(folder).beat > beat + 1)  # it lives and waits
    assert rundir.read_status(folder).step == step
    for process in [*processes_of(cache, "core.supervisor"), *processes_of(cache, "core.runner")]:
        process.send_signal(signal.SIGKILL)
    eventually(lambda: rundir.read_status(folder).is_finished)
    assert state(folder) == "paused"
    control.resume(folder)
    eventually(lambda: state(folder) == "done", 120)
    whole = submit(epochs=30)
    eventually(lambda: state(whole) == "done", 120)
    assert _curve(folder) == _curve(whole)
    assert rundir.read_status(whole).ended_at < time.time()


def _curve(folder: Path) -> dict[tuple[int, str], float]:
    kept: dict[tuple[int, str], float] = {}
    for event in rundir.read_events(folder)[0]:
        if event["kind"] == "metrics":
            kept |= {(event["step"], name): value for name, value in event["values"].items()}
    return kept
