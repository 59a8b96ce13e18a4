"""`lab.py sweep` and `lab.py sweeps`: plan, mistakes, and one small sweep from start to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

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
    assert "4 runs (2 cells × 2 seeds)" in told.err and json.loads(told.out)["n_runs"] == 4
    Path(file).write_text(TEXT.replace("0.9", "9"))
    assert call(monkeypatch, "sweep", file) == 2
    assert "line 8: momentum must be 0 to 0.999, not 9" in capsys.readouterr().err
    assert call(monkeypatch, "sweeps", "pause", "nothing") == 2
    assert "There is no sweep 'nothing'" in capsys.readouterr().err


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
