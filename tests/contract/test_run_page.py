"""The page of one run: every view opens, its links lead where they say, its command makes the same run again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import lab
import trainers
from core import branching, checkpoints, datasets, listening, rundir, runview, snapshots
from core.executors import local
from core.runcurves import Mark
from core.store import Store, memory_store
from pages import run_curves, shared
from tests import made_runs
from tests.contract.test_pages import HOSTILE, assert_text, opened, seen


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was changed at its first step and showed something, and a branch of it."""
    folder = tmp_path_factory.mktemp("made")
    toy = datasets.load("toy", "emotion")
    about = {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}
    with mock.patch.dict(os.environ, about), mock.patch.object(local, "start_supervisor", lambda: None):
        parent = made_runs.new("toy", toy, {"epochs": 3})
        rundir.ask(parent, "changes", values={"learning_rate": 0.05})
        made_runs.go(parent, toy)
        child = made_runs.go(branching.branch(parent, {"epochs": 5, "dropout": 0.25}, epoch="2"), toy)
        shutil.rmtree(folder / "queue")
        os.rename(parent, parent.with_name("parent"))
        spec = asdict(rundir.read_spec(parent.with_name("parent"))) | {"id": "parent"}
        rundir.write_json(parent.with_name("parent") / "spec.json", spec)
        os.rename(child, child.with_name("child"))
        spec = asdict(rundir.read_spec(child.with_name("child"))) | {"id": "child", "parent": "parent"}
        rundir.write_json(child.with_name("child") / "spec.json", spec)
        log = child.with_name("child") / "events.jsonl"
        log.write_text(log.read_text().replace(parent.name, "parent"))
        made_runs.finished("toy", made_runs.stand_in("cues-small", "emotion", "lib164", 3.0), {"epochs": 2})
    return folder


@pytest.fixture
def filled(cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    shutil.copytree(made, cache, dirs_exist_ok=True)
    st.cache_resource.clear()
    yield cache
    st.cache_resource.clear()


def told(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(element.value for element in elements).replace("\\", "")


def test_every_view_of_every_run_opens(filled: Path) -> None:
    (folder,) = (folder for folder in rundir.directories() if folder.name not in ("parent", "child"))
    with (folder / "stdout.log").open("w") as log:
        log.write(f"{HOSTILE}\n")
    app = opened("pages/run.py", run=folder.name)
    for view in app.segmented_control(key="view").options:
        seen(app.segmented_control(key="view").set_value(view).run())
        assert not app.error, view
        assert_text(app)


def test_the_family_names_parent_and_knobs(filled: Path) -> None:
    app = opened("pages/run.py", run="child", view="Family")
    assert "this run, from epoch 2, epochs 3 → 5, dropout 0 → 0.25, done" in told(app).replace(
        "dropout 0 → 0.25, epochs 3 → 5", "epochs 3 → 5, dropout 0 → 0.25"
    )
    assert "parent, done" in told(app)


def test_what_a_run_stands_on_took_time_too(filled: Path) -> None:
    took = runview.figures(memory_store(), "parent")["seconds"]
    assert took > 0 and "run behind it" not in told(opened("pages/run.py", run="parent"))
    assert f"and {shared.duration(took)} of 1 run behind it" in told(opened("pages/run.py", run="child"))


def test_a_run_that_is_not_there_or_damaged_is_said_and_others_are_offered(filled: Path) -> None:
    assert "There is no run" in told(opened("pages/run.py", run="19990101-000000-toy-0000"))
    (filled / "runs" / "parent" / "spec.json").write_text("{")
    app = opened("pages/run.py", run="parent")
    assert "has no readable spec.json" in told(app) and "Choose a run" in told(app)


def test_a_run_of_another_version_without_numbers_opens(filled: Path) -> None:
    spec = asdict(rundir.read_spec(filled / "runs" / "parent")) | {"id": "newer", "trainer": HOSTILE, "format": 9}
    folder = rundir.create(rundir.Spec(**spec), "failed")
    rundir.write_json(folder / "spec.json", spec | {"unheard_of": [1]})
    app = opened("pages/run.py", run="newer")
    assert "A newer version of the lab wrote this run" in told(app) and "has logged no number yet" in told(app)
    assert "There is no trainer" in told(app)
    assert_text(app)
    assert "no command makes it again" in told(seen(app.segmented_control(key="view").set_value("About").run()))


def test_a_lost_run_says_so(filled: Path) -> None:
    status = rundir.read_status(filled / "runs" / "parent")
    rundir.set_status(filled / "runs" / "parent", rundir.Status("running", pid=2**22 + 1, host=os.uname().nodename))
    assert status.state == "done"
    assert "Its process ended without a word." in told(opened("pages/run.py", run="parent"))


@pytest.mark.parametrize("run", ["parent", "child"])
def test_the_command_makes_the_same_run(filled: Path, monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    app = opened("pages/run.py", run=run, view="About")
    (shown,) = (block.value for block in app.code if block.value.startswith("python lab.py"))
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    monkeypatch.setattr("commands.train._follow", lambda *words, **more: rundir.Status("done"))
    monkeypatch.setattr(sys, "argv", shlex.split(shown)[1:])
    before = {folder.name for folder in rundir.directories()}
    with pytest.raises(SystemExit) as ended:
        lab.main()
    assert not ended.value.code
    (new,) = (folder for folder in rundir.directories() if folder.name not in before)
    same = ("trainer", "config", "data", "task", "split", "seed", "device", "parent", "parent_step")
    first, second = rundir.read_spec(filled / "runs" / run), rundir.read_spec(new)
    assert {key: getattr(second, key) for key in same} == {key: getattr(first, key) for key in same}


def test_tables_of_a_run(filled: Path) -> None:
    index: Store = memory_store()
    rows = index.curves(["parent"])
    table = runview.checkpoint_table(checkpoints.stored(filled / "runs" / "parent"), rows, "ccc", 0)
    assert table["epoch"].tolist() == [1, 2, 3] and table["branch"].all()
    logged = rows[rows["name"] == "validation/ccc"].set_index("epoch")["value"]
    assert table["validation ccc"].tolist() == [logged[1.0], logged[2.0], logged[3.0]]
    two = runview.two_moments(rows, *table["step"].iloc[[0, 2]]).set_index("metric")
    assert two.loc["ccc", "second − first"] == pytest.approx(logged[3.0] - logged[1.0])
    scores = runview.score_table(index, "parent")
    of_test = scores[scores["part"] == "test"]
    assert runview.overall(of_test, "ccc")["metric"].tolist() == ["ccc", "r2"]
    labels = runview.per_label(of_test).set_index("label")
    assert set(labels.index) == {"valence", "arousal"}
    both = of_test.set_index("metric")["value"]
    assert labels["ccc"].mean() == pytest.approx(both["ccc"])
    assert [(r.run, r.depth, r.parent) for r in runview.family(index, "child")] == [
        ("parent", 0, None),
        ("child", 1, "parent"),
    ]
    spec = rundir.read_spec(filled / "runs" / "parent")
    assert runview.knobs_now(spec, runview.events(index, "parent"))["learning_rate"] == 0.05
    assert trainers.load("toy").Config().learning_rate == spec.config["learning_rate"]


def test_a_moment_of_a_run_is_heard_under_its_own_name(filled: Path) -> None:
    (folder,) = (folder for folder in rundir.directories() if folder.name not in ("parent", "child"))
    first, second = listening.load(f"{folder.name}@1"), listening.load(f"{folder.name}@2")
    assert (first.run, second.run) == (f"{folder.name}@1", f"{folder.name}@2")
    assert first.stamp != second.stamp
    assert listening.key("a", first, 3.0, 0.5) != listening.key("a", second, 3.0, 0.5)
    with pytest.raises(ValueError, match="no checkpoint of epoch '9'; the epochs kept are: 1, 2"):
        listening.load(f"{folder.name}@9")
    for wrong in ("x", "../../spec", "", "٣", "9" * 30):
        with pytest.raises(ValueError, match="has no checkpoint"):
            listening.load(f"{folder.name}@{wrong}")


def test_snapshots_are_read_and_damage_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    good = {
        "image": {"pixels": [[0.0, 2.0], [0.5, 1.0]]},
        "audio": {"samples": [0.0, 0.5, -0.5], "sample_rate_hz": 8000},
        "table": {"columns": ["a", "b"], "rows": [[1, 2]]},
        "histogram": {"edges": [0, 1, 2], "counts": [3, 4]},
    }
    for kind, payload in good.items():
        rundir.write_json(tmp_path / "snapshots" / f"{kind}.json", {"kind": kind, **payload})
        assert snapshots.read(tmp_path, f"{kind}.json").kind == kind
    assert snapshots.read(tmp_path, "image.json").data.max() == 1.0
    assert snapshots.read(tmp_path, "audio.json").data[:4] == b"RIFF"
    bad = [{"kind": "film"}, {"kind": "image", "pixels": []}, {"kind": "image", "png": "PGI+"}, {"kind": "table"}, []]
    for number, payload in enumerate([*bad, {"kind": "histogram", "edges": [0], "counts": [1, 2]}]):
        rundir.write_json(tmp_path / "snapshots" / f"bad{number}.json", payload)
        with pytest.raises(ValueError, match="cannot be read"):
            snapshots.read(tmp_path, f"bad{number}.json")
    for name in ("../spec.json", "", "/etc/passwd"):
        with pytest.raises(ValueError, match="is not the name"):
            snapshots.read(tmp_path, name)


def test_what_happened_at_one_moment_shares_a_line() -> None:
    found = [Mark("changed", 0, 0.0, "a"), Mark("paused", 0, 0.0, "b"), Mark("scored", 9, 3.0, "c")]
    assert run_curves._lines(found, "epoch") == [(0.0, "changed", "1, 2"), (3.0, "scored", "scored")]
    assert run_curves._lines(found, "step")[1][0] == 9.0
