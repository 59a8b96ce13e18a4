"""`lab.py sweep` and `lab.py sweeps`: plan, mistakes, and one small sweep from start to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import commands.sweep
from core import paths, rundir, supervisor, sweepfile, sweeps
from core.executors import local
from tests.contract.test_cli import call

TEXT = """name = "small"
trainer = "toy"
data = "toy"
seeds = [1, 2]
[set]
epochs = 2
[factors]
momentum = [0.0, 0.9]
"""

Lab = Callable[..., CompletedProcess[str]]


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "small.toml").write_text(TEXT)
    return str(tmp_path / "small.toml")


def test_a_plan_and_mistakes(
    cache: Path, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "sweep", file, "--plan", "--json") == 0
    told = capsys.readouterr()
    assert "4 runs (2 cells × 2 seeds: 1, 2)" in told.err and json.loads(told.out)["n_runs"] == 4
    Path(file).write_text(TEXT.replace("0.9", "9"))
    assert call(monkeypatch, "sweep", file) == 2
    assert "line 8: momentum must be 0 to 0.999, not 9" in capsys.readouterr().err
    assert call(monkeypatch, "sweeps", "pause", "nothing") == 2
    assert "There is no sweep 'nothing'" in capsys.readouterr().err


@pytest.fixture
def ended(cache: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sweep that is over: momentum 0 scored 0.5 and 0.7; 0.9 scored 0.2, and diverged after 0.9."""
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    sweep_id = sweeps.start(file)
    ends = {(0, 1): ("done", 0.5), (0, 2): ("done", 0.7), (1, 1): ("done", 0.2), (1, 2): ("diverged", 0.9)}
    for entry in sweeps.read(sweep_id).entries:
        folder, (state, value) = paths.runs() / entry.run, ends[entry.cell, entry.seed]
        supervisor.claim(folder)
        event = {"n": 1, "t": 0.0, "kind": "metrics", "step": 1, "epoch": 1.0, "values": {"validation/ccc": value}}
        (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
        rundir.set_status(folder, rundir.Status(state))
    return sweep_id


def test_what_it_tells_at_the_end_is_the_board(ended: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean of 0.5 and 0.7 is 0.6, its t interval 0.6 ± 12.706 · 0.1, cut at 1; what diverged is in no mean."""
    commands.sweep._tell_results(ended, sweeps.summary(ended), False)
    told = " ".join(capsys.readouterr().out.split())
    assert "│ 0 │ 2 │ 0.600 │ [−0.671, 1.00] │ 0 │ 2 done │" in told
    assert "│ 0.9 │ 1 │ 0.200 │ – │ 1 │ 1 done, 1 diverged │" in told
    assert "Momentum 0 has the highest mean validation ccc, 0.600 [−0.671, 1.00]" in told


def test_a_report_is_a_file_unless_it_is_asked_for(
    ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "sweeps", "report", "small") == 0
    told = capsys.readouterr()
    assert not told.out and f"Wrote {ended}.html" in told.err
    assert (tmp_path / f"{ended}.html").read_text().startswith("<!doctype html>")
    assert call(monkeypatch, "sweeps", "report", "small", "--md", "--out", "-") == 0
    told = capsys.readouterr()
    assert "Momentum 0 has the highest" in told.out and not (tmp_path / "-").exists()
    assert call(monkeypatch, "sweeps", "report", "small", "--json") == 0
    assert json.loads(capsys.readouterr().out)["file"] is None
    assert call(monkeypatch, "sweeps", "report", "small", "--out", "small.pdf") == 2
    assert "A report is HTML or Markdown; let small.pdf end in .html or .md." in capsys.readouterr().err
    assert not (tmp_path / "small.pdf").exists()


def test_seeds_are_added_with_or_without_a_comma(
    ended: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "sweeps", "add-seeds", "small", "4,5", "6") == 0
    assert "6 runs are in the queue" in capsys.readouterr().out and sweeps.read(ended).seeds == [1, 2, 4, 5, 6]
    assert call(monkeypatch, "sweeps", "add-seeds", "small", "7;8") == 2
    assert "Seeds are whole numbers, such as 4, 5, 6; '7;8' is not." in capsys.readouterr().err


def test_a_newcomer_is_shown_a_whole_file(
    cache: Path, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweepfile.parse(sweepfile.EXAMPLE).factors == {
        "learning_rate": (0.01, 0.1, 1.0),
        "momentum": (0.0, 0.9),
    }
    call(monkeypatch, "sweep", "--help")
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert set(sweepfile.EXAMPLE.splitlines()) <= set(shown)
    Path(file).write_text(f"model = 1\n{TEXT}")
    assert call(monkeypatch, "sweep", file) == 2
    assert "`python lab.py sweep --help` shows a whole file." in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_from_start_to_end(lab: Lab, file: str) -> None:
    done = lab("sweep", file, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["counts"]) == ("done", {"done": 4})
    assert [(row["momentum"], row["seed"]) for row in told["runs"]] == [(0.0, 1), (0.0, 2), (0.9, 1), (0.9, 2)]
    assert all(row["test/ccc"] is not None and row["seconds"] is None for row in told["runs"])
    listed = json.loads(lab("sweeps", "--json").stdout)
    assert [(one["id"], one["state"]) for one in listed] == [(told["sweep"], "done")]
    more = lab("sweeps", "add-seeds", "small", "3", "--json")
    assert more.returncode == 0 and json.loads(more.stdout)["told"] == "2 runs are in the queue."
