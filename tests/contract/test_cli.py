"""The command line: exit status 0, 1 or 2, one line for each mistake, and output that programs can read."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import lab as command_line
import trainers
from core import rundir, supervisor
from tests.conftest import eventually, processes_of

Lab = Callable[..., "subprocess.CompletedProcess[str]"]


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """`lab.py` with these words in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["lab.py", *words])
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    return int(caught.value.code or 0)


MISTAKES = {
    "train nothing --data toy": "There is no trainer 'nothing'; there are",
    "train toy --data nothing": "There is no data set 'nothing'; there are",
    "train toy --data toy --set epoch=3": "There is no knob 'epoch'; this trainer has learning_rate",
    "train toy --data toy --set epochs=0": "epochs must be 1 to 10000 epochs, not 0.",
    "train toy --data toy --set epochs=inf": "epochs must be a whole number",
    "train toy --data toy --set learning_rate=fast": "learning_rate must be a number (1e-06 to 100), not 'fast'.",
    "train toy --data toy --set epochs": "--set takes knob=value, not 'epochs'.",
    "train toy --data toy --split sometimes": "There is no split 'sometimes'; there are official",
    "train toy --data toy --split grouped:x": "must be a whole number",
    "train toy --data toy --seed -1": "The seed must be 0 to 4294967295, not -1.",
    "train toy --data toy --seed one": "Invalid value for '--seed'",
    "train toy --data toy --device cuda": "This trainer runs on cpu, not on cuda.",
    "train toy": "Missing option '--data'",
    "train": "Missing argument 'trainer'",
    "train toy --data toy --fast": "No such option",
    "train toy --data deam": "EARSHOT_DATA",
    "train toy --data folder:/nowhere": "/nowhere",
    "run stop 1999": "There is no run '1999'; `python lab.py runs` lists them.",
    "run resume ../../etc": "is not the name of a run.",
    "run stop latest": "There is no run 'latest'",
    "evaluate 1999 --data toy": "There is no run '1999'",
    "leaderboard --task emotion --metric nothing": "nothing",
    "dance": "No such command",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    assert call(monkeypatch, *line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert MISTAKES[line] in err
    assert not (cache / "runs").exists() or not list((cache / "runs").iterdir())  # no run was made of a mistake


def test_a_mistake_looks_the_same_from_outside(lab: Lab) -> None:
    found = lab("train", "toy", "--data", "toy", "--set", "epochs=many")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "epochs must be a whole number (1 to 10000 epochs), not 'many'.\n"


def test_a_cache_that_cannot_be_is_one_line_too(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = lab("runs", EARSHOT_CACHE=str(tmp_path / "file"))
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert str(tmp_path / "file") in found.stderr


def test_an_empty_lab_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "runs") == 0
    assert "No runs yet: python lab.py train" in capsys.readouterr().out
    assert call(monkeypatch, "runs", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert call(monkeypatch, "leaderboard", "--task", "emotion") == 0
    assert "No runs on a board of task emotion yet." in capsys.readouterr().out
    assert call(monkeypatch, "leaderboard", "--task", "emotion", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_shown_command_makes_the_same_spec_as_the_form(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    from core import config

    form = {"learning_rate": 0.030000000000000002, "epochs": 7, "dropout": 0.25}
    module = trainers.load("toy")
    made = supervisor.new_spec(module, form, data="toy", split="cv10:0.3", seed=9, device="cpu")
    line = config.command("toy", config.make(module.Config, form), data="toy", split="cv10:0.3", seed=9, device="cpu")
    caught: list[rundir.Spec] = []

    def stop_there(spec: rundir.Spec) -> Path:
        caught.append(spec)
        raise ValueError("far enough")

    monkeypatch.setattr(supervisor, "submit", stop_there)
    assert call(monkeypatch, *shlex.split(line)[2:]) == 2
    spec = caught[0]
    assert spec.config_id == made.config_id
    assert (spec.config, spec.seed, spec.device, spec.task) == (made.config, 9, "cpu", made.task)


@pytest.mark.slow
def test_train_then_list_rank_and_score(lab: Lab, cache: Path) -> None:
    found = lab("train", "toy", "--data", "toy", "--set", "epochs=3", "--json")
    assert found.returncode == 0, found.stderr
    last = json.loads(found.stdout.splitlines()[-1])
    assert set(last) == {"run", "status", "metrics"}
    assert last["status"] == "done"
    assert {"train/loss", "validation/loss", "test/r2_valence"} <= set(last["metrics"])

    second = lab("train", "toy", "--data", "toy", "--set", "epochs=3", "--seed", "1", "--now")
    assert second.returncode == 0, second.stderr
    assert "validation/loss" in second.stdout

    listed = json.loads(lab("runs", "--json").stdout)
    assert [run["state"] for run in listed] == ["done", "done"]
    assert last["run"] in {run["run"] for run in listed}

    rows = json.loads(lab("leaderboard", "--task", "emotion", "--data", "toy", "--json").stdout)
    assert [(row["kind"], row["n"]) for row in rows] == [("configuration", 2), ("baseline", None), ("ceiling", None)]
    table = pd.read_csv(io.StringIO(lab("leaderboard", "--task", "emotion", "--csv").stdout))
    assert table["test"].iloc[0] == pytest.approx(rows[0]["test"])

    scored = lab("evaluate", last["run"], "--data", "toy", "--json")
    assert scored.returncode == 0, scored.stderr
    value = json.loads(scored.stdout)["parts"]["test"]["metrics"]["r2_valence"]["value"]
    assert value == pytest.approx(last["metrics"]["test/r2_valence"], abs=1e-9)
    again = json.loads(lab("leaderboard", "--task", "emotion", "--data", "toy", "--json").stdout)
    assert again == rows  # scoring a run on its own split once more takes nothing away from its report
    leak = lab("evaluate", last["run"], "--data", "toy", "--split", "grouped:1")
    assert leak.returncode == 2
    assert "would be a leak" in leak.stderr


@pytest.mark.slow
def test_a_run_that_does_not_finish_is_status_1(lab: Lab) -> None:
    found = lab("train", "toy", "--data", "toy", "--set", "learning_rate=100", "--set", "epochs=1000", "--json")
    assert found.returncode == 1
    assert "diverged: " in found.stderr
    last = json.loads(found.stdout.splitlines()[-1], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert last["status"] == "diverged"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--now", "--json"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_stops_the_run_cleanly(cache: Path, how: str, sent: signal.Signals) -> None:
    words = ["train", "toy", "--data", "toy", "--set", "epochs=10000", "--set", "seconds_per_step=0.05", how]
    process = subprocess.Popen([sys.executable, "lab.py", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    (folder,) = eventually(lambda: list(rundir.directories()))
    eventually(lambda: (folder / "checkpoints" / "last.safetensors").exists())
    os.kill(process.pid, sent)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"stopped: Stopped by the user" in error
    assert b"Traceback" not in error
    assert rundir.read_status(folder).state == "stopped"
    eventually(lambda: not processes_of(cache, "core.runner"))


@pytest.mark.slow
def test_a_second_run_waits_its_turn_and_says_so(lab: Lab, cache: Path) -> None:
    spec = supervisor.new_spec(trainers.load("toy"), {"epochs": 10_000, "seconds_per_step": 0.05}, data="toy")
    first = supervisor.submit(spec)
    eventually(lambda: rundir.read_status(first).state == "running")
    words = ["train", "toy", "--data", "toy", "--set", "epochs=1"]
    waiting = subprocess.Popen([sys.executable, "lab.py", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: len(list(rundir.directories())) == 2)
    beat = rundir.read_status(first).beat
    eventually(lambda: rundir.read_status(first).beat > beat + 2)
    assert lab("run", "stop", first.name).stdout == "It stops at its next step.\n"
    _, error = waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert b"waiting for the device" in error
    assert rundir.read_status(first).state == "stopped"
    assert lab("run", "resume", first.name).returncode == 0
    eventually(lambda: rundir.read_status(first).state == "running")
    assert lab("run", "stop", first.name).returncode == 0
    eventually(lambda: rundir.read_status(first).state == "stopped")


def test_the_doctor_examines_everything(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    assert call(monkeypatch, "doctor") == 0
    text = capsys.readouterr().out
    for topic in (
        "devices: ",
        "cpu",
        "GiB memory",
        "EARSHOT_DATA is not set",
        "Python 3.",
        "torch ",
        "GiB free",
        "FLAC",
    ):
        assert topic in text
    assert "microphone" in text.lower() or "inputs: " in text or "PortAudio" in text
    assert call(monkeypatch, "doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"Machine", "Audio", "Data sets", "Cache", "Versions"}
    assert all(found.values())


def test_the_doctor_names_every_damaged_run(cache: Path, lab: Lab) -> None:
    for name in ("one", "two"):
        (cache / "runs" / name).mkdir(parents=True)
        (cache / "runs" / name / "spec.json").write_text("{")
    lines = json.loads(lab("doctor", "--json").stdout)["Cache"]
    assert [sum(name in line for line in lines) for name in ("Run one ", "Run two ")] == [1, 1]
