"""Runs at rest cost a look and no reading; whatever happens to one of them is seen all the same."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from core import ingest, reading, rundir, supervisor, taking
from core.store import Store, default_store, memory_store
from tests.unit.test_rundir import spec
from tests.unit.test_store import assert_same_index, finished, report


def rest(folder: Path, seconds: float = 60.0) -> None:
    """Let its files be `seconds` old."""
    then = time.time() - seconds
    for place in (folder / "evaluations", folder / "events.jsonl", folder):
        os.utime(place, (then, then))


def settled(cache: Path) -> tuple[Store, Path]:
    """An index that trusts the files of its one run."""
    folder = finished("run-a", 0.5, 0.4)
    rest(folder)
    store = memory_store()
    assert store.sync() == 0
    with mock.patch.object(ingest.rundir, "read_status", side_effect=AssertionError("it was read again")):
        assert store.sync() == 0
    return store, folder


def resume(folder: Path) -> None:
    writer = rundir.Writer(folder)
    writer.event("metrics", step=4, epoch=2.0, values={"train/loss": 0.1})
    writer.set(state="running")
    writer.close()


CHANGES: dict[str, Callable[[Path], object]] = {
    "resumed": resume,
    "queued again": lambda folder: rundir.set_status(folder, rundir.Status("queued")),
    "scored on other data": lambda folder: rundir.write_json(
        folder / "evaluations" / "other.json", report(0.1, 0.2, data="other")
    ),
    "scored again": lambda folder: rundir.write_json(folder / "evaluations" / "toy-x.json", report(0.1, 0.2)),
    "an event of a branch": lambda folder: _append(folder, {"n": 99, "t": 1.0, "kind": "branched", "step": 3}),
    "deleted": lambda folder: shutil.rmtree(folder),
}


def _append(folder: Path, event: dict[str, object]) -> None:
    with (folder / "events.jsonl").open("a") as log:
        log.write(json.dumps(event) + "\n")


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_happens_to_a_run_at_rest_is_seen(cache: Path, name: str) -> None:
    store, folder = settled(cache)
    finished("run-b", 0.3, 0.2, seed=1)
    store.sync()
    before = store.query("SELECT * FROM runs ORDER BY run"), store.query("FROM evaluations"), store.query("FROM events")
    CHANGES[name](folder)
    store.sync()
    assert_same_index(store, memory_store())
    after = store.query("SELECT * FROM runs ORDER BY run"), store.query("FROM evaluations"), store.query("FROM events")
    assert any(not one.equals(other) for one, other in zip(before, after, strict=True))


def test_two_writes_within_a_tick_are_not_taken_for_one(cache: Path) -> None:
    folder = finished("run-a", 0.5, 0.4)
    store = memory_store()
    times = {place: place.stat().st_mtime_ns for place in (folder, folder / "events.jsonl")}
    rundir.set_status(folder, rundir.Status("stopped", heartbeat=1.0))
    for place, then in times.items():
        os.utime(place, ns=(then, then))  # what a coarse clock would say
    assert store.sync() == 1 and store.runs()["state"].tolist() == ["stopped"]


def test_what_rests_is_remembered_by_the_file(cache: Path) -> None:
    rest(finished("run-a", 0.5, 0.4))
    store = default_store()
    store.sync()
    store.close()
    store = default_store()
    with mock.patch.object(ingest.rundir, "read_status", side_effect=AssertionError("it was read again")):
        assert store.sync() == 0
    store.close()


def test_a_run_under_way_is_never_at_rest(cache: Path) -> None:
    folder = rundir.create(spec())
    rundir.set_status(folder, rundir.Status("running", pid=2**22 + 1, pid_started=1.0, host=os.uname().nodename))
    rest(folder)
    store = memory_store()
    assert store.runs()["state"].tolist() == ["lost"]
    assert store.query("SELECT signature FROM ingested")["signature"].isna().all()


def waiting_at_rest(*names: str) -> list[Path]:
    """Runs that have waited in the queue for a minute."""
    folders = [rundir.create(spec(name)) for name in names]
    supervisor.enqueue_all(folders)
    for folder in folders:
        os.utime(folder / "status.json", (time.time() - 60.0,) * 2)
        rest(folder)
    return folders


def test_a_run_that_waits_is_not_read_again_while_it_has_its_place(cache: Path) -> None:
    first, second = waiting_at_rest("run-a", "run-b")
    store = memory_store()
    with mock.patch.object(ingest.rundir, "read_status", side_effect=AssertionError("it was read again")):
        assert store.sync() == 0
    assert supervisor.claim(first)  # by somebody who was killed before it said so
    assert store.sync() == 1
    assert store.query("SELECT state FROM runs ORDER BY run")["state"].tolist() == ["lost", "queued"]
    assert_same_index(store, memory_store())
    supervisor.enqueue_all([first])
    rundir.set_status(second, rundir.Status("starting", heartbeat=time.time()))
    assert store.sync() == 2
    assert store.query("SELECT state FROM runs ORDER BY run")["state"].tolist() == ["queued", "starting"]


def test_the_queue_is_read_once_for_all_that_wait(cache: Path) -> None:
    folders = waiting_at_rest("run-a", "run-b", "run-c")
    os.utime(supervisor.queue(), (time.time() - 60.0,) * 2)
    with mock.patch.object(reading.os, "listdir", wraps=os.listdir) as listed:
        assert [rundir.read_status(folder).state for folder in folders] == ["queued"] * 3
        assert listed.call_count == 1
        supervisor.claim(folders[1])
        assert [rundir.read_status(folder).state for folder in folders] == ["queued", "lost", "queued"]


def test_two_changes_of_the_queue_within_a_tick_are_not_taken_for_one(cache: Path) -> None:
    first, second = waiting_at_rest("run-a", "run-b")
    then = supervisor.queue().stat().st_mtime_ns
    assert rundir.read_status(first).state == "queued"
    supervisor.claim(first)
    os.utime(supervisor.queue(), ns=(then, then))  # what a coarse clock would say
    assert [rundir.read_status(folder).state for folder in (first, second)] == ["lost", "queued"]


def test_snapshots_stand_in_their_table_and_go_with_a_rewind(cache: Path) -> None:
    folder = rundir.create(spec())
    writer = rundir.Writer(folder)
    pieces = Store()
    for step, kind in ((1, "image"), (2, "audio")):
        rundir.write_json(folder / "snapshots" / f"{step}-a.json", {"kind": kind, "values": [1]})
        writer.event("snapshot", step=step, name="a", file=f"{step}-a.json")
        pieces.sync()
    writer.event("snapshot", step=2, name="gone", file="../../spec.json")
    pieces.sync()
    rows = pieces.query("SELECT step, name, coalesce(kind, '?') FROM snapshots ORDER BY n").values.tolist()
    assert rows == [[1, "a", "image"], [2, "a", "audio"], [2, "gone", "?"]]
    writer.event("rewound", to_step=1)
    writer.close()
    for store in (pieces, memory_store()):
        store.sync()
        assert store.query("SELECT step, name FROM snapshots").values.tolist() == [[1, "a"]]


def test_lines_of_another_hand_say_the_same(cache: Path) -> None:
    """Other spaces, another order, a number as text, half a line: numbers are found, damage costs what is damaged."""
    folder = rundir.create(spec())
    lines = [
        b'{"kind":"metrics","values":{"train/loss":0.5},"epoch":1,"step":1,"t":1.0,"n":1}',
        b'{"n": 2, "t": 2.0, "kind": "metrics", "step": 2, "epoch": 1.0, "values": {"train/loss": "nan", "a": "inf"}}',
        b'{"n": 3, "t": 2.0, "kind": "metrics", "step": 3, "epoch": 1.0, "values": {"train/lo',
        b'{"n": 4, "t": 2.0, "kind": "metrics", "step": 4, "epoch": 1.0, "values": {"train/loss": "word", "b": 4}}',
        b'{"n": 5, "t": 2.0, "kind": "metrics", "step": 5, "epoch": 1.0, "values": {"\\u00e9": 5e-3}}',
        b"\xff\xfe not text",
        b'{"n": 6, "t": 2.0, "kind": "state", "state": "\\ud800"}',
    ]
    (folder / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    store = memory_store()
    found = store.query("SELECT step, name, value FROM metrics WHERE value IS NOT NULL ORDER BY step, name")
    assert found.values.tolist() == [[1, "train/loss", 0.5], [2, "a", float("inf")], [4, "b", 4.0], [5, "é", 0.005]]
    assert store.query("SELECT count(*) FROM events").iloc[0, 0] == 1


def test_a_spec_that_is_json_but_no_spec_costs_its_own_run(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    for name, broken in {"run-b": {"seed": "many"}, "run-c": {"config": [1]}}.items():
        path = finished(name, 0.5, 0.4) / "spec.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    path = finished("run-d", 0.5, 0.4) / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "\ud800"}))
    assert sorted(memory_store().runs()["run"]) == ["run-a", "run-d"]


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("name", ["spec.json", "status.json", "events.jsonl", "evaluations/toy-x.json"])
def test_what_is_nested_too_deeply_costs_its_own_run(cache: Path, name: str) -> None:
    finished("run-a", 0.5, 0.4)
    (finished("run-b", 0.5, 0.4, seed=1) / name).write_text(f'{{"n": {DEEP}}}\n')
    store = memory_store()
    assert "run-a" in set(store.runs()["run"])
    assert "run-b" in store.note or rundir.read_status(rundir.find("run-b")).state == "failed"


def test_a_log_that_cannot_be_opened_costs_its_own_run(cache: Path) -> None:
    finished("run-a", 0.5, 0.4)
    broken = finished("run-b", 0.5, 0.4, seed=1)
    store = memory_store()
    (broken / "events.jsonl").unlink()
    (broken / "events.jsonl").mkdir()
    store.sync()
    assert list(store.runs()["run"]) == ["run-a"]
    assert store.note == "Run run-b has no readable events.jsonl (Is a directory)."
    with mock.patch.object(rundir, "read_lines", side_effect=PermissionError(13, "Permission denied")):
        whole = memory_store()  # the log of run-a: it is there, and cannot be opened
    assert whole.damaged["run-a"] == "Run run-a has no readable events.jsonl (Permission denied)."
    shutil.rmtree(broken)
    store.sync()
    assert store.note == ""


@pytest.mark.parametrize("wish", ["file", "folder"])
def test_a_wish_that_cannot_be_read_is_passed_over(cache: Path, wish: str) -> None:
    folder = rundir.create(spec())
    place = folder / "control" / f"{1:020d}-stop.json"
    place.write_text(DEEP) if wish == "file" else place.mkdir()
    rundir.ask(folder, "pause")
    assert [one["kind"] for _, one in rundir.wishes(folder)] == ["pause"]


def test_what_was_known_of_many_runs_is_asked_for_at_once(cache: Path) -> None:
    """125 runs that log side by side must not cost as many questions at each look."""
    for number in range(8):
        finished(f"run-{number}", 0.5, 0.4, seed=number)
    store, asked = memory_store(), []

    class Counting:
        def execute(self, *given: Any) -> Any:
            asked.append(given)
            return store._connection.execute(*given)

    new = {"run": "", "epochs": None, **dict.fromkeys(ingest.SAID_ONCE)}
    found = [
        ingest.Found({**new, "run": f"run-{number}"}, ingest.Seen("", 0, 0.0, None, None), False, epoch=9.0)
        for number in (*range(8), 99)
    ]
    merged = taking._merged(Counting(), found)  # type: ignore[arg-type]
    assert [row["epochs"] for row in merged] == [3.0] * 8 + [9.0]  # as its summary said, or where it stands
    assert [row["seconds"] for row in merged] == [2.0] * 8 + [None]
    assert len(asked) == 2
