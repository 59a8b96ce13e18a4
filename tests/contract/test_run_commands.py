"""`lab.py run …` from the outside: each mistake one line and status 2, what is told readable by programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import lab
import trainers
from core import rundir, supervisor
from core.executors import local


@pytest.fixture(autouse=True)
def asleep(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lab.py", "run", *words])
    with pytest.raises(SystemExit) as caught:
        lab.main()
    return int(caught.value.code or 0)


def waiting(**values: object) -> Path:
    return supervisor.submit(supervisor.new_spec(trainers.load("toy"), values, data="toy"))


MISTAKES = {
    "pause RUN": "is queued; only a run that trains can be paused.",
    "resume RUN": "is queued; only a paused, stopped, failed or lost run can be resumed.",
    "change RUN learning_rate=0.5": "is queued; only a run that trains can be changed.",
    "change RUN epochs=3": "epochs cannot change while a run trains; these can: learning_rate, weight_decay, dropout.",
    "change RUN learning_rate": "takes knob=value, not 'learning_rate'.",
    "change RUN": "Missing argument",
    "branch RUN": "keeps no full state of its training, and a branch needs one; clone it instead.",
    "branch RUN --set window_seconds=2": "window_seconds is fixed in the checkpoint and cannot differ in a branch;",
    "branch RUN --set depth=2": "There is no knob 'depth'",
    "clone RUN --seed -1": "The seed must be 0 to 4294967295, not -1.",
    "rerun RUN": "is queued; only a run that ended early is rerun",
    "rerun": "Name one run, or say --failed",
    "rerun RUN --failed": "Name one run, or say --failed",
    "delete": "Name a run, or say --for-good to empty the trash.",
    "delete 1999": "There is no run '1999'",
    "delete 1999 --for-good": "There is no run '1999' in the trash.",
    "restore": "The trash is empty.",
    "restore RUN": "in the trash.",
    "reorder RUN --to 2": "The queue has 1 place; choose 1 to 1.",
    "reorder RUN --to first": "Invalid value for '--to'",
    "pause ../../etc": "is not the name of a run.",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    folder = waiting()
    assert call(monkeypatch, *line.replace("RUN", folder.name).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and MISTAKES[line] in err
    assert list(folder.parent.iterdir()) == [folder] and rundir.read_status(folder).state == "queued"


def test_what_is_done_is_told_in_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = waiting(epochs=3), waiting(epochs=4)

    def told(*words: str) -> dict[str, object]:
        assert call(monkeypatch, *words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    assert told("reorder", second.name, "--to", "1")["told"] == "It is number 1 of 2 in the queue."
    assert [row["run"] for row in told("queue")] == [second.name, first.name]  # type: ignore[index, union-attr]
    made = told("clone", first.name, "--seed", "4")
    assert made["state"] == "queued" and rundir.read_spec(rundir.find(str(made["run"]))).seed == 4
    assert told("stop", first.name)["state"] == "stopped"
    assert told("resume", first.name)["state"] == "queued"
    assert told("delete", first.name)["run"] == first.name
    assert told("restore")["state"] == "stopped"
    assert told("delete", first.name, "--for-good")["told"] == f"Run {first.name} is gone."
    told("delete", second.name)
    assert told("delete", "--for-good")["gone"] == 1
    said = "No failed or lost run is left to be run again."
    assert told("rerun", "--failed") == {"runs": [], "refused": {}, "told": said}


def test_a_run_that_cannot_be_made_again_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is tried; what was made and what was not, and why, is told; any refusal is status 1."""
    broken, good = waiting(epochs=3), waiting(epochs=4)
    for folder in (broken, good):
        supervisor.claim(folder)
        rundir.set_status(folder, rundir.Status("failed"))
    spec = json.loads((broken / "spec.json").read_text())
    (broken / "spec.json").write_text(json.dumps(spec | {"trainer": "nobody"}))
    assert call(monkeypatch, "rerun", "--failed", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    (made,) = told["runs"]
    assert rundir.read_spec(rundir.find(made)).config["epochs"] == 4 and supervisor.waiting() == [made]
    assert list(told["refused"]) == [broken.name] and "nobody" in told["refused"][broken.name]
    assert call(monkeypatch, "rerun", "--failed") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"Run {broken.name} cannot be run again: ") and err.count("\n") == 1
