"""Wherever a run is chosen from a list it is called by trainer, data, the knobs its sweep varies, seed and age."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import paths, rundir
from pages import runnames
from tests import made_runs
from tests.contract.test_pages import HOSTILE, empty, opened

__all__ = ["empty"]


def links(app: AppTest) -> list[str]:
    return [link.proto.label.replace("\\", "") for link in app.get("page_link")]


def row(**about: Any) -> dict[str, Any]:
    given = {"trainer": "ridge", "data": "rated:anna@3", "seed": 2, "sweep": float("nan"), "config": '{"alpha": 0.1}'}
    return given | {"run": "r", "created_at": "2020-01-01T00:00:00"} | about


def test_a_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runnames.named(row()) == "ridge on rated:anna, seed 2"
    assert runnames.listed(row()).startswith("ridge on rated:anna, seed 2 · ") and runnames.listed(row())[-4:] == " ago"
    monkeypatch.setattr("core.sweeprecord._varied", lambda place, sweep: ("alpha",))
    assert runnames.named(row(sweep="20260101-000000-s")) == "ridge on rated:anna, alpha 0.1, seed 2"
    assert runnames.listed(row(created_at="yesterday")) == "ridge on rated:anna, seed 2"


@pytest.fixture
def runs(empty: Path) -> list[str]:
    """Two seeds of one configuration."""
    data = made_runs.stand_in("cues-small", "emotion", "lib164", 3.0)
    return [made_runs.finished("toy", data, {"epochs": 2}, seed).name for seed in (0, 1)]


def test_the_page_of_runs_lists_them_by_name(runs: list[str]) -> None:
    told = [link.proto for link in opened("pages/run.py").get("page_link")]
    told = [link for link in told if link.label.startswith(":green-badge[done] toy on cues\\-small, seed ")]
    assert len(told) == 2 and all(link.label.endswith(" ago]") for link in told)
    assert {link.query_string for link in told} == {f"run={run}" for run in runs}


def test_what_learned_from_another_split_says_so() -> None:
    rows = [row(trainer="toy", data="toy", state="done", split=split) for split in ("grouped:0", "random:0")]
    told = [label.replace("\\", "") for label in runnames.in_a_list(rows)]
    assert ["split grouped:0" in told[0], "split random:0" in told[1], "split" in told[0].replace("split g", "")] == [
        True, True, False,
    ]  # fmt: skip


def test_runs_of_one_name_are_told_apart_by_what_differs() -> None:
    names = ["toy on toy, seed 0", "toy on toy, seed 0", "toy on toy, seed 1", "toy on toy, seed 0"]
    settings = [{"epochs": 9, "momentum": momentum, "slope": 1} for momentum in (0.9, 0.5, 0.1, 0.9)]
    assert runnames.apart(names, settings) == [
        "toy on toy, seed 0, momentum 0.9", "toy on toy, seed 0, momentum 0.5", "toy on toy, seed 1",
        "toy on toy, seed 0, momentum 0.9",
    ]  # fmt: skip
    assert runnames.apart(names[:2], [settings[0]] * 2) == names[:2]  # a clone has nothing else to tell
    three = [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 2}, {"a": 2, "b": 2, "c": 1}]
    assert runnames.apart(["x"] * 3, three) == [
        "x, a 1, c 1",
        "x, a 1, c 2",
        "x, a 2, c 1",
    ]  # b tells nothing that a does not
    assert runnames.apart(["x"] * 2, [{"a": 1}, {"a": 1, "b": 2}]) == ["x, b none", "x, b 2"]


def test_relatives_and_seeds_are_named(runs: list[str]) -> None:
    shown = links(opened("pages/run.py", run=runs[0], view="Family"))
    assert any(label.startswith("toy on cues-small, seed 1 · ") and label.endswith(" · done") for label in shown)
    assert not any(runs[1] in label for label in shown)


def test_a_run_to_build_on_is_chosen_by_name(empty: Path) -> None:
    run = made_runs.emotion().name
    app = opened("pages/train.py", data="cues-small", trainer="personal")
    (box,) = [box for box in app.selectbox if box.label == "Base"]
    assert any(option.startswith("ridge on cues-small, seed 0 · ") and run in option for option in box.options)


def test_names_from_outside_stay_text(empty: Path) -> None:
    hostile = made_runs.stand_in(f"folder:{HOSTILE}", "emotion", "lib164", 3.0)
    first, second = (made_runs.finished("ridge", hostile, {"alpha": 1.0}, seed) for seed in (0, 1))
    told = [link.proto.label for link in opened("pages/run.py", run=first.name, view="Family").get("page_link")]
    assert rundir.read_spec(second).seed == 1
    assert any("\\<b\\>x\\<\\/b\\>" in label or "\\<b\\>" in label for label in told)
    assert not any("[a](" in label for label in told)


def test_the_runs_of_a_sweep_are_one_line_on_train(runs: list[str]) -> None:
    """Two of its runs beside the two of no sweep."""
    for number, run in enumerate(runs):
        of_sweep = paths.runs() / f"{run}-{number}"
        shutil.copytree(paths.runs() / run, of_sweep)
        spec = json.loads((of_sweep / "spec.json").read_text())
        rundir.write_json(of_sweep / "spec.json", spec | {"id": of_sweep.name, "sweep": "20260101-000000-mine"})
    app = opened("pages/train.py")
    assert [label.partition(" :")[0] for label in links(app) if label.startswith("Sweep")] == ["Sweep mine"]
    shown = [label for button in app.button if "toy on cues-small" in (label := button.label.replace("\\", ""))]
    assert len(shown) == 2 and all(f"seed {seed}" in "".join(shown) for seed in (0, 1))
