"""Studies on real run directories: which runs count, the table beside the published one, mistakes with their line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core import config, paths, rundir, studies, supervisor, sweeps, verdicts
from core.executors import local
from core.records import Spec, Status
from core.store import Store, memory_store
from trainers import toy

TEXT = """
name = "mine"
title = "A study"
source = "nowhere"
trainer = "toy"
data = "toy"
split = "grouped:0"
seeds = [1, 2, 3]
[set]
epochs = 5
[factors]
learning_rate = [0.01, 0.1]
[quick]
seeds = [1]
set = { epochs = 2 }
[[stages]]
name = "slow"
set = { momentum = 0.5 }
factors = { learning_rate = [0.1] }
[published]
columns = ["learning_rate", "train/loss", "train/loss_sd", "twice"]
digits = { "train/loss" = 0.1, twice = 1 }
derived = ["twice"]
rows = [[0.01, 2.0, 0.4, 4], [0.1, 1.0, 0.0, 2]]
[[claims]]
id = "low"
text = "The loss is low."
check = "is_low"
args = { below = 1.5 }
"""


def is_low(runs: verdicts.Runs, below: float = 1.0) -> verdicts.Verdict:
    if not len(runs.main):
        raise verdicts.Refusal("There are no runs.")
    found = runs.main.column("train/loss").mean()
    return verdicts.Verdict(verdicts.by_place("inside" if found < below else "outside"), f"Mean loss {found:.2f}.")


def twice(runs: verdicts.Runs) -> Any:
    return 2 * runs.column("train/loss")


@pytest.fixture
def study(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[studies.Study]:
    module = ModuleType("studies.mine")
    module.__dict__.update(is_low=is_low, twice=twice, __all__=["is_low", "twice"])
    module.__spec__ = None
    monkeypatch.setitem(sys.modules, "studies.mine", module)
    monkeypatch.setattr(studies, "_module", lambda name: module if name == "mine" else None)
    (tmp_path / "mine.toml").write_text(TEXT)
    yield studies.read(tmp_path / "mine.toml")


def run(seed: int, loss: float = 1.0, *, state: str = "done", knobs: dict[str, Any] | None = None, **about: Any) -> str:
    """A run's directory with two epochs of training loss, the second one `loss`."""
    values = config.to_dict(config.make(toy.Config, {"epochs": 5, "learning_rate": 0.1, **(knobs or {})}))
    spec = Spec(rundir.new_id("toy"), "toy", values, "toy", "emotion", "grouped:0", seed, "cpu")
    folder = rundir.create(replace(spec, **{"created_at": "2026-01-01T00:00:00", **about}))
    lines = [
        {"n": n, "t": 0.0, "kind": "metrics", "step": 10 * n, "epoch": float(n), "values": {"train/loss": value}}
        for n, value in enumerate((9.0, loss), 1)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status = asdict(Status(state, trained_s=3.0, started_at=1.0, ended_at=5.0))
    (folder / "status.json").write_text(json.dumps(status))
    return folder.name


def test_runs_count_by_their_configuration_whoever_started_them(study: studies.Study) -> None:
    own = [run(seed) for seed in (1, 2)]
    run(3, knobs={"epochs": 6})  # another configuration
    run(3, state="running")
    slow = run(1, knobs={"momentum": 0.5})
    bad = run(3, state="diverged")
    found = studies.runs_of(memory_store(), study)
    assert set(found.results["run"]) == {*own, slow, bad}
    assert found.results.set_index("run")["stage"].to_dict() == {
        own[0]: "main",
        own[1]: "main",
        bad: "main",
        slow: "slow",
    }
    assert set(found.main.results["run"]) == set(own)
    table = studies.coverage(study, found).set_index(["stage", "cell"])
    assert table.loc[("main", 1), ["wanted", "finished", "diverged"]].tolist() == [3, 2, 1]
    assert table.loc[("main", 0), "finished"] == 0 and table.loc[("slow", 0), "finished"] == 1


def test_only_what_is_missing_is_started(study: studies.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    for seed in (1, 3):
        run(seed)
    run(2, state="failed")
    run(1, knobs={"learning_rate": 0.01}, state="diverged")  # an outcome: it would diverge again
    runs = studies.runs_of(memory_store(), study)
    lacking = studies.lacking(study, runs)
    assert lacking == {"main": [(0, 2), (0, 3), (1, 2)], "slow": [(0, 1), (0, 2), (0, 3)]}
    (main,) = studies.start(study, runs, stages=["main"])
    made = sweeps.progress(main)
    assert made[["learning_rate", "seed"]].to_numpy().tolist() == [[0.01, 2], [0.01, 3], [0.1, 2]]
    assert "3 of its runs were here already and are not made." in sweeps.read(main).notes
    assert len(supervisor.waiting()) == 3 and len(studies.start(study, runs)) == 1  # main is under way
    monkeypatch.setattr(studies, "lacking", lambda *_, **__: {})
    assert studies.start(study, runs) == []


def test_runs_that_are_under_way_are_not_made_a_second_time(
    study: studies.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the machine: the command that began a study is given once more."""
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    runs = studies.runs_of(memory_store(), study)
    (main,) = studies.start(study, runs, stages=["main"])
    assert {stage: one.id for stage, one in studies.under_way(study).items()} == {"main": main}
    assert studies.under_way(study, quick=True) == {}
    (slow,) = studies.start(study, runs)
    sweeps.pause(slow)
    assert studies.start(study, runs) == []
    assert {stage: one.id for stage, one in studies.under_way(study).items()} == {"main": main, "slow": slow}
    sweeps.cancel(main)
    assert len(studies.start(study, runs)) == 1


def test_runs_whose_process_was_killed_go_on(study: studies.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    runs = studies.runs_of(memory_store(), study)
    (main,) = studies.start(study, runs, stages=["main"])
    for folder in [paths.runs() / entry.run for entry in sweeps.read(main).entries]:
        supervisor.claim(folder)
        rundir.set_status(folder, Status(state="running", pid=2**22 + 1, heartbeat=1.0))  # no such process
    assert sweeps.summary(main).state == "incomplete"
    assert studies.start(study, runs, stages=["main"]) == [main] and sweeps.summary(main).state == "running"
    assert len(sweeps.listing()) == 1


def test_an_edited_study_begins_anew_and_stopped_runs_come_again_with_lost_ones(
    study: studies.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    runs = studies.runs_of(memory_store(), study)
    (main,) = studies.start(study, runs, stages=["main"])
    for number, entry in enumerate(sweeps.read(main).entries):
        supervisor.claim(paths.runs() / entry.run)
        ended = Status(state="running", pid=2**22 + 1, heartbeat=1.0) if number == 0 else Status(state="stopped")
        rundir.set_status(paths.runs() / entry.run, ended)
    assert studies.start(study, runs, stages=["main"]) == [main]
    assert sweeps.summary(main).counts == {"queued": 6}
    study.path.write_text(study.path.read_text().replace("epochs = 5", "epochs = 6"))
    edited = studies.read(study.path)
    assert studies.under_way(edited) == {} and studies.start(edited, runs, stages=["main"]) != [main]


def test_a_cell_of_two_stages_is_that_of_the_runs_that_train_as_it_says(study: studies.Study) -> None:
    """Timed one by one, the grid that was trained together is another stage, though every knob is the same."""
    again = '[[stages]]\nname = "alone"\ntogether = false\n[[stages]]\nname = "again"\n[published]'
    study.path.write_text(TEXT.replace("[published]", again))
    study = studies.read(study.path)
    both, timed = run(1, together="group"), run(1)
    runs = studies.runs_of(memory_store(), study)
    assert runs.results.set_index("run")["stage"].to_dict() == {both: "main", timed: "alone"}
    table = studies.coverage(study, runs).set_index(["stage", "cell"])
    assert table["finished"].to_dict() == {
        ("main", 0): 0, ("main", 1): 1, ("slow", 0): 0, ("alone", 0): 0, ("alone", 1): 1, ("again", 0): 0,
        ("again", 1): 1,
    }  # fmt: skip
    assert list(studies.lacking(study, runs)) == ["main", "slow", "alone"]  # what `again` needs, `main` makes
    assert studies.lacking(study, runs, stages=["again"]) == {"again": [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]}


def test_of_two_runs_with_one_seed_the_one_that_trained_alone_counts(study: studies.Study) -> None:
    alone = run(1, created_at="2026-01-01T00:00:00")
    run(1, together="group", created_at="2026-02-01T00:00:00")
    together = run(2, together="group")
    results = studies.runs_of(memory_store(), study).results.set_index("run")
    assert set(results.index) == {alone, together}
    assert results.loc[together, "together"] and np.isnan(results.loc[together, "seconds"])


def test_seconds_an_epoch_are_the_usual_ones(study: studies.Study) -> None:
    """Epochs of 2 s, but one with a probe of 30 s: 2 s; of a run among others, whose epochs are everybody's: none."""
    for seed, together in ((1, ""), (2, "a group")):
        folder = rundir.find(run(seed, together=together))
        told_at = [10.0, 12.0, 14.0, 46.0, 48.0]
        lines = [
            {"n": n, "t": t, "kind": "metrics", "step": n, "epoch": float(n), "values": {"train/loss": 1.0, "other": t}}
            for n, t in enumerate(told_at, 1)
        ]
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = studies.runs_of(memory_store(), study).results.set_index("seed")["epoch_seconds"]
    assert found[1] == 2.0 and np.isnan(found[2])


def test_the_quick_variant_has_runs_of_its_own(study: studies.Study) -> None:
    full, quick = run(1), run(1, knobs={"epochs": 2})
    assert list(studies.runs_of(memory_store(), study).results["run"]) == [full]
    assert list(studies.runs_of(memory_store(), study, quick=True).results["run"]) == [quick]


def test_curves_are_those_of_the_runs(study: studies.Study) -> None:
    name = run(1, 1.25)
    frame = studies.runs_of(memory_store(), study).curve("train/loss")
    assert frame[["run", "seed", "step", "epoch", "value"]].to_numpy().tolist() == [
        [name, 1, 10, 1.0, 9.0],
        [name, 1, 20, 2.0, 1.25],
    ]


def test_published_stands_beside_measured_in_its_own_standard_deviations(study: studies.Study) -> None:
    for seed, loss in ((1, 1.0), (2, 1.2), (3, 1.1)):
        run(seed, loss)
    table = studies.compare(study, studies.runs_of(memory_store(), study)).set_index(["learning_rate", "metric"])
    row = table.loc[(0.1, "train/loss")]
    assert (row["measured"], row["n"]) == (pytest.approx(1.1), 3)
    assert row["high"] - row["measured"] == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)  # t with 2 degrees
    assert row["in_sd"] == pytest.approx(0.1 / 0.05)  # "± 0.0" is taken as half of the last digit
    assert table.loc[(0.1, "twice"), "measured"] == pytest.approx(2.2)
    assert table.loc[(0.1, "twice"), "in_sd"] == pytest.approx(0.2 / 0.5)
    assert np.isnan(table.loc[(0.01, "train/loss"), "measured"]) and table.loc[(0.01, "train/loss"), "n"] == 0


def test_a_slip_in_a_check_is_no_verdict(study: studies.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy and pandas say ValueError too: two arrays of different lengths are no refusal of the claim's numbers."""

    def slips(runs: verdicts.Runs, below: float = 1.0) -> Any:
        return np.zeros(2) + np.zeros(3)

    assert study.module is not None
    monkeypatch.setattr(study.module, "is_low", slips)
    (judged,) = studies.judge(study, studies.runs_of(memory_store(), study))
    assert judged.verdict.word == verdicts.CHECK_FAILED
    assert "The check is_low failed" in judged.verdict.sentence and "ValueError" in judged.verdict.sentence


def test_verdicts_follow_the_runs_and_a_check_that_refuses_cannot_tell(study: studies.Study) -> None:
    (judged,) = studies.judge(study, studies.runs_of(memory_store(), study))
    assert judged.verdict.word == verdicts.CANNOT_TELL and judged.verdict.sentence == "There are no runs."
    run(1, 1.0)
    (judged,) = studies.judge(study, studies.runs_of(memory_store(), study))
    assert judged.verdict.verdict == verdicts.REPRODUCED
    run(2, 9.0)
    (judged,) = studies.judge(study, studies.runs_of(memory_store(), study))
    assert judged.verdict.verdict == verdicts.NOT_REPRODUCED


def test_an_empty_index_gives_empty_frames_with_all_columns(study: studies.Study) -> None:
    found = studies.runs_of(Store(), study)
    assert len(found) == 0 and {"stage", "seconds", "learning_rate"} <= set(found.results)
    assert found.curve("train/loss").empty and studies.compare(study, found)["n"].eq(0).all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('trainer = "toy"', 'trainer = "troy"', r"line 5: There is no trainer 'troy'"),
        ("momentum = 0.5", "momentun = 0.5", r"line 18: There is no knob 'momentun'"),
        ('check = "is_low"', 'check = "is_lo"', r"line 28: There is no check 'is_lo'; there are is_low, twice"),
        ("below = 1.5", "above = 1.5", r"line 29: is_low takes no 'above'; it takes below"),
        ('id = "low"', 'name = "low"', r"line 26: A claim has no 'name'"),
        ("2.0, 0.4, 4]", "2.0, 0.4]", r"line 24: Row 1 has 3 values for 4 columns"),
        (", twice = 1 }", " }", r"line 22: digits must say the last printed digit of twice"),
        ('columns = ["learning_rate", ', 'columns = ["rate", ', r"line 21: The first columns must be factors"),
        ('derived = ["twice"]', 'derived = ["thrice"]', r"line 23: There is no check 'thrice'"),
        ("[[claims]]", "[[claims]", r"line 25: "),
    ],
)
def test_a_mistake_is_told_with_its_line(study: studies.Study, old: str, new: str, said: str) -> None:
    assert old in TEXT
    study.path.write_text(TEXT.replace(old, new))
    with pytest.raises(ValueError, match=said):
        studies.read(study.path)


def test_an_unknown_study_is_told_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"There is no study 'none'; there are .*implicit_em"):
        studies.load("none")


def test_seconds_come_from_the_stage_that_trained_one_after_another() -> None:
    """A main grid that trained in one process has no seconds; the stage that ran alone answers in its place."""
    from studies import implicit_em
    from tests.synthetic.implicit_em import made

    grid, timed = made(together=True), made().results
    alone = timed.assign(stage="alone", run="alone-" + timed["run"])
    both = replace(grid, results=pd.concat([grid.results, alone], ignore_index=True))
    assert implicit_em.sgd_is_faster(grid).verdict == "cannot be told"
    assert implicit_em.sgd_is_faster(both).verdict == "reproduced"


def test_seconds_that_runs_cannot_have_are_told_from_those_that_ran_alone() -> None:
    """An epoch of 0.5 s with SGD and of 0.7 s with Adam: 100 of them are 50 and 70 s."""
    from tests.synthetic.implicit_em import made

    grid, timed = made(together=True), made().results
    alone = timed.assign(stage="alone", run="alone-" + timed["run"], epochs=10)
    alone["epoch_seconds"] = alone["optimizer"].map({"sgd": 0.5, "adam": 0.7})
    main = grid.results.assign(epochs=100)
    both = replace(grid, results=pd.concat([main, alone], ignore_index=True))
    said = studies.untimed(both)
    assert "no seconds of their own" in said and "stage alone, of 10 epochs" in said
    assert "100 epochs take 50 to 70 s, on another machine" in said
    assert "stage" not in studies.untimed(replace(grid, results=main))
    assert studies.untimed(made()) == ""


def test_what_to_look_for_in_a_chart_is_one_sentence(study: studies.Study) -> None:
    claim = next(line for line in TEXT.splitlines() if line.startswith("check"))
    study.path.write_text(TEXT.replace(claim, claim + '\nread = """\nTwo\nlines."""', 1))
    assert "Two lines." in [one.read for one in studies.read(study.path).claims]
    study.path.write_text(TEXT.replace(claim, f"{claim}\nread = 3", 1))
    with pytest.raises(ValueError, match=r"line \d+: read is a sentence in quotes"):
        studies.read(study.path)
