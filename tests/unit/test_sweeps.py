"""Sweeps without processes: what is planned, made, queued, read, paused, cancelled and run again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from core import disk, many, paths, rundir, supervisor, sweepflags, sweepplan, sweeprecord, sweeps
from core.executors import local
from core.store import memory_store
from tests.conftest import full_at

TEXT = """name = "depth"
trainer = "toy"
data = "toy"
seeds = [1, 2]
[set]
epochs = 2
[factors]
learning_rate = [0.01, 0.1]
momentum = [0.0, 0.9]
"""


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "depth.toml"
    path.write_text(TEXT)
    return path


def train(folders: list[Path]) -> int:
    before = signal.getsignal(signal.SIGTERM)
    try:
        for folder in folders:
            supervisor.claim(folder)
        return many.main(folders)
    finally:
        signal.signal(signal.SIGTERM, before)


def folders(sweep: str) -> list[Path]:
    return [paths.runs() / run for run in sweeps.read(sweep).runs]


def test_a_plan_counts_and_makes_nothing(cache: Path, file: Path) -> None:
    plan = sweeps.plan(file)
    assert (plan.n_runs, plan.n_cells, plan.seconds, plan.bytes) == (8, 4, None, None)
    assert "one process trains up to 8 runs as one" in plan.workers and "unknown until the first run" in plan.sentence
    assert not list(paths.runs().iterdir()) and not sweeprecord.ids()


def test_many_cells_ask_first(cache: Path, asleep: None, file: Path) -> None:
    levels = [i / 1000 for i in range(150)]
    file.write_text(TEXT.replace("[0.0, 0.9]", str(levels)).replace("[0.01, 0.1]", str([1 + x for x in levels])))
    assert "22,500 cells × 2 seeds = 45,000 runs" in sweeps.plan(file).asks
    with pytest.raises(ValueError, match="22,500 cells"):
        sweeps.start(file)
    assert not list(paths.runs().iterdir())


def test_a_sweep_is_made_queued_trained_and_read(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    file.write_text("edited half-way")  # a started sweep keeps its own copy
    record = sweeps.read(sweep)
    assert supervisor.waiting() == record.runs and len(record.runs) == 8
    assert {rundir.read_spec(folder).together for folder in folders(sweep)} == {f"{sweep}.0"}
    assert sweeps.summary(sweep).counts == {"queued": 8}
    assert train(folders(sweep)) == 0
    frame = sweeps.results(memory_store(), sweep)
    assert len(frame) == 8 and (frame["state"] == "done").all() and not frame["diverged"].any()
    assert frame.groupby("cell")["seed"].apply(list).tolist() == [[1, 2]] * 4
    assert frame["seconds"].isna().all()  # in one process no run has seconds of its own
    assert frame["config_id"].nunique() == 4
    spec = rundir.read_spec(paths.runs() / frame["run"][5])
    assert (spec.config["learning_rate"], spec.config["momentum"]) == tuple(frame.loc[5, ["learning_rate", "momentum"]])
    assert (spec.seed, spec.sweep) == (frame["seed"][5], sweep)
    curves = sweeps.curves(memory_store(), sweep, "validation/loss")
    last = curves.groupby("run")["value"].last()
    assert np.allclose(frame.set_index("run")["validation/loss"].sort_index(), last.sort_index())
    summary = sweeps.summary(sweep)
    assert (summary.state, summary.fraction) == ("done", 1.0)
    plan = sweeps.plan(sweeprecord.root() / sweep / "sweep.toml")
    assert plan.seconds is not None and plan.bytes is not None  # now runs are known
    assert sweep in " ".join(plan.warnings)  # and that there is one of this name


def test_two_sweeps_of_one_name_have_ids_of_their_own(cache: Path, asleep: None, file: Path) -> None:
    ids = {sweeps.start(file) for _ in range(3)}
    assert len(ids) == 3 and set(sweeprecord.ids()) == ids
    assert len(set(supervisor.waiting())) == 24


def test_seeds_and_levels_are_added(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    assert sweeps.add_seeds(sweep, [7]) == "4 runs are in the queue."
    assert sweeps.add_levels(sweep, "learning_rate", ["1.0"]) == "6 runs are in the queue."  # 2 cells × 3 seeds
    with pytest.raises(ValueError, match="The seed 7 is in this sweep already"):
        sweeps.add_seeds(sweep, [7])
    with pytest.raises(ValueError, match=r"The level 0\.1 of learning_rate stands there twice"):
        sweeps.add_levels(sweep, "learning_rate", [0.1])
    with pytest.raises(ValueError, match="learning_rate must be"):
        sweeps.add_levels(sweep, "learning_rate", [-1])
    frame = sweeps.progress(sweep)
    assert len(frame) == 18 and sorted(frame["seed"].unique()) == [1, 2, 7]
    assert frame.groupby("cell")["seed"].count().tolist() == [3] * 6
    assert len(supervisor.waiting()) == 18


def test_what_was_not_made_is_made_when_it_goes_on(cache: Path, asleep: None, file: Path) -> None:
    """Whoever started it was killed between the plan and the queue."""
    sweep = sweeps.start(file)
    for folder in folders(sweep)[3:]:
        supervisor.claim(folder)
        folder.rename(cache / folder.name)
    assert (sweeps.progress(sweep)["state"] == "deleted").sum() == 5
    assert "5 runs go back into the queue" in sweeps.resume(sweep)
    assert set(supervisor.waiting()) == set(sweeps.read(sweep).runs)
    assert rundir.read_spec(folders(sweep)[4]).seed == sweeps.read(sweep).entries[4].seed


def test_a_paused_sweep_starts_nothing_and_goes_on(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[Path]] = []
    child = mock.Mock(pid=0, poll=lambda: None)
    monkeypatch.setattr(local, "start_many", lambda folders, *_: (started.append(folders), child)[1])
    monkeypatch.setattr(local, "give_way", lambda pid: None)
    sweep = sweeps.start(file)
    sweeps.pause(sweep)
    watcher = supervisor._Supervisor()
    watcher.tick()
    assert not started and sweeps.summary(sweep).state == "paused" and len(supervisor.waiting()) == 8
    sweeps.resume(sweep)
    watcher.tick()
    assert started == [folders(sweep)] and not supervisor.waiting()


def test_a_cancelled_sweep_leaves_the_queue_and_can_go_on(cache: Path, asleep: None, file: Path) -> None:
    other = sweeps.start(file)
    sweep = sweeps.start(file)
    assert sweeps.cancel(sweep).startswith("It is cancelled: 8 runs are taken out")
    assert supervisor.waiting() == sweeps.read(other).runs
    assert sweeps.summary(sweep).state == "cancelled" and set(sweeps.progress(sweep)["state"]) == {"stopped"}
    with pytest.raises(ValueError, match="was cancelled; resume it first"):
        sweeps.add_seeds(sweep, [9])
    sweeps.resume(sweep)
    assert sweeps.summary(sweep).counts == {"queued": 8}


def test_only_the_failed_are_run_again(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    states = ["done", "failed", "lost", "diverged", "failed", "done", "stopped", "done"]
    for folder, state in zip(folders(sweep), states, strict=True):
        supervisor.claim(folder)
        written = "queued" if state == "lost" else state  # in no queue: lost
        rundir.set_status(folder, rundir.Status(written, heartbeat=1.0))
        if state == "lost":
            os.utime(folder / "status.json", (1, 1))
    assert sweeps.summary(sweep).state == "incomplete"
    before = sweeps.read(sweep)
    assert sweeps.rerun_failed(sweep) == "1 lost run goes on, 2 runs begin anew."
    after = sweeps.read(sweep)
    replaced = [place for place in range(8) if after.runs[place] != before.runs[place]]
    assert replaced == [1, 4] and after.entries[1].before == [before.runs[1]]
    assert set(supervisor.waiting()) == {after.runs[1], after.runs[4], before.runs[2]}
    old, new = (rundir.read_spec(paths.runs() / record.runs[1]) for record in (before, after))
    assert (old.config_id, old.seed) == (new.config_id, new.seed)
    assert sweeps.rerun_failed(sweep) == "No run of this sweep is failed or lost."
    assert sweeps.rerun_failed(sweep, ["diverged"]) == "1 run begins anew."


def test_results_cope_with_runs_that_say_nothing(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    for folder in folders(sweep):
        supervisor.claim(folder)
        rundir.set_status(folder, rundir.Status("failed", reason="No.", ended_at=1.0))
    frame = sweeps.results(memory_store(), sweep)
    assert (frame["state"] == "failed").all() and len(frame) == 8
    assert sweeps.summary(sweep).state == "incomplete"
    assert sweeps.curves(memory_store(), sweep, "validation/loss").empty


def test_a_diverged_run_is_a_result(cache: Path, asleep: None, file: Path) -> None:
    text = TEXT.replace("[0.01, 0.1]", "[0.1, 100.0]").replace("epochs = 2", "epochs = 60")
    file.write_text(text.replace("momentum = [0.0, 0.9]\n", ""))
    sweep = sweeps.start(file)
    assert train(folders(sweep)) == 1
    frame = sweeps.results(memory_store(), sweep)
    assert frame.groupby("learning_rate")["diverged"].mean().to_dict() == {0.1: 0.0, 100.0: 1.0}
    assert sweeps.summary(sweep).state == "done"
    assert frame.loc[~frame["diverged"], "test/ccc"].notna().all()


def test_a_run_alone_and_shares_of_the_processor(cache: Path, asleep: None, file: Path) -> None:
    file.write_text("together = false\nworkers = 3\n" + TEXT)
    sweep = sweeps.start(file)
    specs = [rundir.read_spec(folder) for folder in folders(sweep)]
    assert {(spec.together, spec.share) for spec in specs} == {("", 0.3333)}
    assert specs[0].config_id == replace(specs[0], sweep="", share=1.0).config_id  # no part of what it learns


def test_a_sweep_is_found_by_name_and_by_the_start_of_its_id(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    assert {sweeprecord.find(word).name for word in (sweep, "depth", "latest", sweep[:15])} == {sweep}
    with pytest.raises(ValueError, match="There is no sweep 'width'"):
        sweeprecord.find("width")
    other = sweeps.start(file)
    for word in ("depth", sweep[:8]):
        with pytest.raises(ValueError, match=f"'{word}' fits 2 sweeps: {other}, {sweep}; say which"):
            sweeprecord.find(word)
    assert {sweeprecord.find(word).name for word in (sweep, other)} == {sweep, other}
    assert not sweepflags.driven()


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_a_full_disk_does_not_keep_a_killed_run_from_being_taken_up(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch, number: int, stays: bool
) -> None:
    """Whichever write finds no room, and whether the next one does: the run is as it was, and free."""
    sweep = sweeps.start(file)
    lost = folders(sweep)[0]
    supervisor.claim(lost)
    rundir.set_status(lost, rundir.Status("running", pid=2**22 + 1, host=socket.gethostname(), heartbeat=1.0))
    write = disk.write
    monkeypatch.setattr(disk, "write", full_at(number, stays))
    try:
        is_taken = supervisor.take_up(lost, sweep)
    except OSError:
        is_taken = False
        assert rundir.read_status(lost).state == "lost"
        assert lost.name not in supervisor.waiting()
        with (lost / "events.jsonl").open() as log:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more
    monkeypatch.setattr(disk, "write", write)
    assert is_taken or supervisor.take_up(lost, sweep)
    assert rundir.read_status(lost).state == "queued" and lost.name in supervisor.waiting()
    events = rundir.read_events(lost)[0]
    assert [event["kind"] for event in events].count("taken_up") == 1
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert not list(cache.glob(".queueing*"))


def test_a_run_that_was_killed_is_taken_up_once(cache: Path, asleep: None, file: Path) -> None:
    """Its process was killed and nobody looks: the sweep goes on by itself; killed once more it is for the user."""
    sweep = sweeps.start(file)
    lost, stopped, *others = folders(sweep)
    for folder in (lost, stopped):
        supervisor.claim(folder)
        rundir.set_status(folder, rundir.Status("running", pid=2**22 + 1, host=socket.gethostname(), heartbeat=1.0))
    rundir.ask(stopped, "stop")
    assert rundir.read_status(lost).state == "lost"
    slot = supervisor._Slot([lost, stopped], supervisor._Need("cpu", 1.0, "", sweep))
    watcher = supervisor._Supervisor()
    sweeps.pause(sweep)
    assert not supervisor.take_up(lost, sweep)
    sweepflags.set_flag(sweep, "paused", False)
    watcher.running = {lost.name: slot}
    watcher.watch(lost.name, slot)
    assert rundir.read_status(stopped).state == "stopped"
    assert supervisor.waiting() == [folder.name for folder in [*others, lost]]
    assert [e["kind"] for e in rundir.read_events(lost)[0]].count("taken_up") == 1
    supervisor.claim(lost)
    rundir.set_status(lost, rundir.Status("running", pid=2**22 + 1, host=socket.gethostname(), heartbeat=1.0))
    assert not supervisor.take_up(lost, sweep) and rundir.read_status(lost).state == "lost"
    assert not supervisor.take_up(others[0], sweep)  # it waits
    assert "1 run goes back into the queue" in sweeps.resume(sweep)


def test_nothing_is_queued_twice(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    first, second, *_ = folders(sweep)
    supervisor.claim(first)
    writer = rundir.Writer(first)
    supervisor.enqueue_all([first, second])
    assert supervisor.waiting() == sweeps.read(sweep).runs[1:]
    assert rundir.read_status(first).state == "starting"
    writer.close()


def test_a_run_lost_while_it_was_asked_to_pause_goes_on(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    first = folders(sweep)[0]
    supervisor.claim(first)
    rundir.set_status(first, rundir.Status("running", pid=2**22 + 1, host=socket.gethostname(), heartbeat=1.0))
    rundir.ask(first, "pause")
    assert "1 run goes back into the queue" in sweeps.resume(sweep)
    assert first.name in supervisor.waiting() and not rundir.wishes(first)


@pytest.mark.parametrize("factor", ["<b>momentum</b>", "momentum'; DROP TABLE runs; --", "../momentum"])
def test_only_knobs_are_factors_whatever_their_names(cache: Path, asleep: None, file: Path, factor: str) -> None:
    file.write_text(TEXT.replace("momentum =", f'"{factor}" ='))
    with pytest.raises(ValueError, match="line 9: There is no knob"):
        sweeps.start(file)
    with pytest.raises(ValueError, match="There is no sweep"):
        sweeps.read(factor)
    assert not sweeprecord.ids() and not list(paths.runs().iterdir())


def test_a_disk_that_fills_while_runs_are_made_loses_no_plan(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is planned first: with room again, resuming makes the rest."""
    create, made = rundir.create, []

    def until_full(spec: rundir.Spec) -> Path:
        if len(made) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(create(spec))
        return made[-1]

    monkeypatch.setattr(rundir, "create", until_full)
    with pytest.raises(OSError, match="No space left"):
        sweeps.start(file)
    monkeypatch.setattr(rundir, "create", create)
    (sweep,) = sweeprecord.ids()
    assert sweeps.summary(sweep).n_runs == 8
    sweeps.resume(sweep)
    assert sorted(supervisor.waiting()) == sorted(sweeps.read(sweep).runs)


def test_a_plan_warns_of_too_little_room(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache)._replace(free=500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "Only 500 MB are free on the disk." in sweeps.plan(file).warnings
    monkeypatch.setattr(sweepplan, "what_is_known", lambda *_: sweepplan.Known(1.0, 1.0, 100_000_000.0, 3))
    (warning,) = sweeps.plan(file).warnings
    assert "It would take about 800 MB and 500 MB are free" in warning


def test_time_is_told_from_runs_of_the_same_kind_only(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight runs as one take 80 s for 2 epochs, 5 s each per epoch: alone a run may take anything."""
    sweep = sweeps.start(file)
    assert train(folders(sweep)) == 0
    for folder in folders(sweep):
        status = rundir.read_status(folder)
        rundir.set_status(folder, replace(status, started_at=1.0, ended_at=81.0))
    told = {"together": 8, "seconds": None, "seconds_together": 80.0}
    monkeypatch.setattr(sweepplan, "_summary", lambda folder: told)
    assert sweeps.plan(file).seconds == pytest.approx(8 * 2 * 5.0)
    alone = sweepplan.make(replace(sweeps.sweepfile.read(file), together=False))
    assert alone.seconds is None and alone.bytes is not None
    assert "time unknown, no run of this kind (alone on cpu) was made yet; about" in alone.sentence
    assert sweepplan.what_is_known("toy", "toy", True, "cuda:0").n == 0  # type: ignore[union-attr]


def test_time_left_counts_a_start_once(cache: Path, asleep: None, file: Path) -> None:
    """A run is at 10 % after 10 s of start-up and 3 s of training: 27 s of it are left, and 40 s of the other."""
    frame, record = standing(file, ["running", "queued"], [0.1, 0.0], [13.0, 0.0], [3.0, 0.0])
    assert sweeps._eta_s(frame, 2, record) == pytest.approx(1.9 * 40)


@pytest.mark.parametrize(
    ("state", "fraction", "seconds", "left"),
    [("queued", 0.0, 0.0, 2.0), ("starting", 0.0, 0.1, 2.0), ("running", 0.5, 30.0, 1.5), ("done", 1.0, 60.0, 1.0)],
)
def test_time_left_is_the_same_between_two_groups(
    cache: Path, asleep: None, file: Path, state: str, fraction: float, seconds: float, left: float
) -> None:
    """Four groups of two runs, 60 s each, one after another: two of them are done, the third is on its way."""
    states, others = ["done"] * 4 + [state] * 2 + ["queued"] * 2, [0.0, 0.0]
    frame, record = standing(
        file, states, [1.0] * 4 + [fraction] * 2 + others, [60.0] * 4 + [seconds] * 2 + others, groups=4
    )
    assert sweeps._eta_s(frame, 8, record) == pytest.approx(60.0 * left)
    failed = frame.assign(state=frame["state"].where(frame.index != 7, "failed"))
    assert sweeps._eta_s(failed, 8, record) == pytest.approx(60.0 * left)  # its group still has one to train
    side_by_side = sweeps._eta_s(frame, 8, replace(record, workers=2))
    assert side_by_side == pytest.approx(60.0 * left / min(2, 2 if state != "done" else 1))


def test_time_left_goes_by_how_many_runs_a_group_has(cache: Path, asleep: None, file: Path) -> None:
    """Six runs took 60 s together; the two that were added since, in a group of their own, take 20."""
    frame, record = standing(
        file, ["done"] * 6 + ["queued"] * 2, [1.0] * 6 + [0.0] * 2, [60.0] * 6 + [0.0] * 2, groups=2
    )
    groups = ["group 0"] * 6 + ["group 1"] * 2
    entries = [replace(e, together=name) for e, name in zip(record.entries, groups, strict=False)]
    assert sweeps._eta_s(frame, 8, replace(record, entries=tuple(entries))) == pytest.approx(20.0)


def standing(
    file: Path, states: list[str], fraction: list[float], seconds: list[float], trained: list[float] | None = None,
    groups: int = 0,
) -> tuple[pd.DataFrame, sweeprecord.Record]:  # fmt: skip
    """The progress of a sweep whose runs stand so, and its plan: runs alone, or in so many groups."""
    record = sweeps.read(sweeps.start(file))
    entries = record.entries[: len(states)]
    size = -(-len(entries) // groups) if groups else 0
    names = [f"group {place // size}" if size else "" for place in range(len(entries))]
    entries = [replace(entry, together=name) for entry, name in zip(entries, names, strict=True)]
    frame = pd.DataFrame(
        {"run": [entry.run for entry in entries], "state": states, "fraction": fraction, "seconds": seconds,
         "trained_s": trained or seconds, "outcome": ""}
    )  # fmt: skip
    return frame, replace(record, entries=entries, workers=1)


def test_scores_that_are_no_numbers_and_scores_that_are_equal(cache: Path, asleep: None, file: Path) -> None:
    sweep = sweeps.start(file)
    for number, folder in enumerate(folders(sweep)):
        supervisor.claim(folder)
        writer = rundir.Writer(folder)
        values = {"validation/loss": float("nan") if number % 2 else 0.5, "test/ccc": 0.5}
        writer.event("metrics", step=1, epoch=1.0, values=values)
        writer.end(state="done", ended_at=time.time())
        writer.close()
    frame = sweeps.results(memory_store(), sweep)
    assert frame["test/ccc"].eq(0.5).all() and frame["validation/loss"].isna().sum() == 4
    assert sweeps.summary(sweep).state == "done"


def test_the_last_of_a_number_is_empty_where_it_was_none(cache: Path, asleep: None, file: Path) -> None:
    """0.5 and then not a number: it ended as none, and not as 0.5."""
    sweep = sweeps.start(file)
    writer = rundir.Writer(folders(sweep)[0])
    for step, value in ((1, 0.5), (2, float("nan"))):
        writer.event("metrics", step=step, epoch=float(step), values={"validation/loss": value, "train/loss": step / 4})
    writer.close()
    row = sweeps.results(memory_store(), sweep).set_index("run").loc[sweeps.read(sweep).runs[0]]
    assert np.isnan(row["validation/loss"]) and row["train/loss"] == 0.5


def test_where_ended_runs_stand_is_read_once(
    cache: Path, asleep: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweeps.start(file)
    for folder in folders(sweep):
        supervisor.claim(folder)
        rundir.set_status(folder, rundir.Status("done", ended_at=1.0))
        os.utime(folder, (1, 1))  # long ago: what happens now would show
    read: list[str] = []
    real = rundir.read_status
    monkeypatch.setattr(rundir, "read_status", lambda folder, *more: (read.append(folder.name), real(folder, *more))[1])
    for n_read in (8, 8):
        assert set(sweeps.progress(sweep)["state"]) == {"done"} and len(read) == n_read
    rundir.set_status(folders(sweep)[3], rundir.Status("stopped", ended_at=2.0))
    shutil.rmtree(folders(sweep)[4])
    assert sweeps.progress(sweep)["state"].value_counts().to_dict() == {"done": 6, "stopped": 1, "deleted": 1}
