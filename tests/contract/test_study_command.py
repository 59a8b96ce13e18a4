"""`lab.py study`: what is listed and told, mistakes, and one study run to its verdicts."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from core import paths, studies, sweeps
from core.executors import local
from tests.contract.test_cli import call

Lab = Callable[..., CompletedProcess[str]]
TEXT = """
name = "NAME"
title = "Does a larger step learn faster?"
source = "nowhere"
trainer = "toy"
data = "toy"
seeds = [1, 2]
[set]
epochs = 2
[factors]
learning_rate = [0.01, 0.1]
[quick]
seeds = [1]
[[stages]]
name = "slow"
factors = { momentum = [0.5] }
"""
SLIPS = """from core.verdicts import REPRODUCED, Verdict

__all__ = ["slips", "holds", "tells_nothing", "falls"]
def slips(runs):
    return runs.results["no such column"]
def holds(runs):
    return Verdict(REPRODUCED, "It does.")
def tells_nothing(runs):
    pass
def falls(runs):
    return 1 / 0
"""
SLIPPING = """
[published]
columns = ["learning_rate", "falls"]
digits = { falls = 1 }
derived = ["falls"]
rows = [[0.01, 2]]
[[claims]]
id = "a"
text = "It slips."
check = "slips"
[[claims]]
id = "b"
text = "It holds."
check = "holds"
[[claims]]
id = "c"
text = "It says nothing."
check = "tells_nothing"
"""
NAME = "test_of_the_study_command"


@pytest.fixture
def study() -> Iterator[str]:
    """A study without claims, beside those that ship for as long as the test takes."""
    file = paths.PROJECT / "studies" / f"{NAME}.toml"
    file.write_text(TEXT.replace("NAME", NAME))
    yield NAME
    file.unlink()


def test_studies_are_listed_and_judged_before_anything_ran(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "study", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    (shipped,) = [one for one in listed if one["study"] == "implicit_em"]
    assert shipped["finished"] == 0 < shipped["wanted"] and shipped["claims"] > 9
    assert call(monkeypatch, "study", "implicit_em", "--json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert {claim["verdict"] for claim in told["claims"]} == {"cannot be told"}
    assert len(told["claims"]) == shipped["claims"] and all(claim["sentence"] for claim in told["claims"])
    published = {(row["optimizer"], row["learning_rate"], row["metric"]): row for row in told["published"]}
    row = published["sgd", 0.01, "train/loss"]
    assert (row["published"], row["published_sd"], row["measured"], row["n"]) == (-795, 29, None, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "There is no study 'nothing'; there are"),
        (("../implicit_em",), "There is no study '../implicit_em'; there are"),
        (("implicit_em", "--run", "--stage", "nothing"), "There is no stage 'nothing'; there are main, width"),
        (("implicit_em", "--stage", "width"), "--stage goes with --run, which makes the runs"),
        (("implicit_em", "--detach"), "--detach goes with --run, which makes the runs"),
    ],
)
def test_a_mistake_is_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert call(monkeypatch, "study", *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and said in err
    assert not (cache / "sweeps").exists()


def test_a_check_that_falls_over_is_one_sentence_and_no_verdict(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two claims, the first one's check with a slip in it; and a column whose function has one."""
    module = types.ModuleType("studies.slips")
    file = tmp_path / "studies" / "slips.py"
    file.parent.mkdir()
    file.write_text(SLIPS)
    exec(compile(SLIPS, str(file), "exec"), module.__dict__)
    monkeypatch.setattr(studies, "_module", lambda name: module)
    monkeypatch.setattr(studies, "folder", lambda: file.parent)
    (file.parent / "slips.toml").write_text(TEXT.replace("NAME", "slips") + SLIPPING)
    assert call(monkeypatch, "study", "slips") == 0
    out, err = capsys.readouterr()
    said = "The check slips failed, so nothing was judged: studies/slips.py, line 5: KeyError: 'no such column'."
    counted = "3 published claims: 1 reproduced and 2 checks failed.\n\n"
    assert out.index(counted) < out.index("CHECK FAILED: It slips.")
    assert f"CHECK FAILED: It slips.\n    {said}\n" in out and "REPRODUCED: It holds.\n" in out
    assert "The check tells_nothing failed, so nothing was judged: it returned NoneType, not a Verdict." in out
    assert "Traceback" not in out + err
    assert "falls cannot be measured: its function failed: studies/slips.py, line 11: ZeroDivisionError" in err
    assert call(monkeypatch, "study", "slips", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(claim["verdict"], claim["check_failed"]) for claim in told["claims"]] == [
        ("cannot be told", True), ("reproduced", False), ("cannot be told", True),
    ]  # fmt: skip
    assert len(told["faults"]) == 1


def test_a_study_that_was_begun_goes_on(
    cache: Path, study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    assert call(monkeypatch, "study", study, "--run", "--stage", "main", "--detach", "--json") == 0
    (sweep,) = json.loads(capsys.readouterr().out)["started"]
    assert call(monkeypatch, "study", study, "--run", "--stage", "main", "--detach", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["started"] == [sweep] and f"Sweep {sweep} has been started before and goes on." in err
    sweeps.pause(sweep)
    assert call(monkeypatch, "study", study, "--run", "--stage", "main") == 2
    assert f"is paused; `python lab.py sweeps resume {sweep}` lets it go on." in capsys.readouterr().err
    assert call(monkeypatch, "study", study, "--run", "--stage", "slow", "--detach", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["started"]) == 1


def test_a_cancelled_sweep_is_named_and_another_one_started(
    cache: Path, study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    words = ("study", study, "--run", "--stage", "main", "--detach", "--json")
    assert call(monkeypatch, *words) == 0
    (first,) = json.loads(capsys.readouterr().out)["started"]
    sweeps.cancel(first)
    assert call(monkeypatch, "study", study, "--run", "--stage", "slow", "--detach", "--json") == 0
    assert "cancelled" not in capsys.readouterr().err  # that is another stage's
    assert call(monkeypatch, *words) == 0
    out, err = capsys.readouterr()
    (second,) = json.loads(out)["started"]
    assert second != first and f"Sweep {first} was cancelled and stays so;" in err


@pytest.mark.slow
def test_it_runs_what_it_needs_and_no_more(lab: Lab, study: str) -> None:
    first = lab("study", study, "--run", "--stage", "main", "--quick", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert [(row["stage"], row["finished"], row["missing"]) for row in told["coverage"]] == [
        ("main", 1, []),
        ("main", 1, []),
        ("slow", 0, [1]),
    ]
    started = lab("study", study, "--run", "--stage", "main", "--detach", "--json")
    (sweep,) = json.loads(started.stdout)["started"]
    counted = json.loads(lab("sweeps", "--json").stdout)
    assert {one["id"]: one["n_runs"] for one in counted}[sweep] == 2  # seed 1 is here, of both cells
    again = lab("study", study, "--run", "--stage", "main", "--quick")
    assert "Every run that it needs is here." in again.stderr
