"""The search: what it proposes is a function of the seed and the trials before, and it finds a planted optimum."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core import paths, rundir, supervisor, sweeper, sweepfile, sweepflags, sweeps
from core.executors import local
from core.sweeper import Trial

TEXT = """name = "search"
trainer = "toy"
data = "toy"
seeds = [1]
design = "bayesian"
[factors]
learning_rate = {low = 1e-4, high = 10.0, scale = "log"}
batch_size = {low = 8, high = 256}
momentum = [0.0, 0.5, 0.9]
[search]
trials = 24
sampler = "SAMPLER"
pruner = "median"
"""


def file(sampler: str = "tpe") -> sweepfile.SweepFile:
    return sweepfile.parse(TEXT.replace("SAMPLER", sampler))


def distance(cell: dict) -> float:
    """A bowl whose bottom is at learning rate 0.1 and momentum 0.5."""
    return (math.log10(cell["learning_rate"]) + 1) ** 2 + (cell["momentum"] - 0.5) ** 2


def searched(one: sweepfile.SweepFile, n: int) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(n):
        cell = sweeper.propose(trials, one, number)
        trials.append(Trial(number, cell, [f"run-{number}"], is_over=True, value=distance(cell), values={1: 0.0}))
    return trials


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_the_same_seed_proposes_the_same(sampler: str) -> None:
    n = 6 if sampler == "gp" else 9  # a proposal of the Gaussian process takes seconds; five are drawn at random
    first, second = searched(file(sampler), n), searched(file(sampler), n)
    assert [trial.levels for trial in first] == [trial.levels for trial in second]
    other = replace(file(sampler), search=replace(file(sampler).search, seed=1))
    assert [trial.levels for trial in searched(other, 5)] != [trial.levels for trial in first[:5]]
    for trial in first:
        assert 1e-4 <= trial.levels["learning_rate"] <= 10 and trial.levels["momentum"] in (0.0, 0.5, 0.9)
        assert isinstance(trial.levels["batch_size"], int) and 8 <= trial.levels["batch_size"] <= 256


def test_it_looks_where_it_was_good() -> None:
    """The mean of the last trials beats the warm-up's, and by far what is drawn at random."""
    values = [trial.value for trial in searched(file(), 24)]
    drawn = [trial.value for trial in searched(file("random"), 24)]
    assert sum(values[-8:]) / 8 < 0.5 * sum(drawn) / len(drawn)


def test_a_diverged_trial_is_told_as_worse_than_the_worst() -> None:
    trials = searched(file(), 3)
    trials[1].has_diverged, trials[1].value = True, None
    spaces = {"learning_rate": sweeper._distribution(file().factors["learning_rate"], float)}
    told = sweeper.as_told(trials, file(), spaces)
    assert told[1].value > max(told[0].value, told[2].value)


@pytest.mark.parametrize(
    ("pruner", "value", "ends"),
    [("median", 2.6, False), ("median", 9.0, True), ("asha", 0.5, False), ("asha", 2.6, True), ("none", 9.0, False)],
)
def test_who_is_ended_early(pruner: str, value: float, ends: bool) -> None:
    """Six trials stood at 1 to 6 after four epochs: the median is 3.5, the best quarter of seven is one."""
    one = replace(file(), search=replace(file().search, pruner=pruner))
    cell = {"learning_rate": 0.1, "batch_size": 8, "momentum": 0.5}
    curve = dict.fromkeys(range(1, 4), 20.0)
    done = [Trial(n, cell, ["r"], is_over=True, value=n + 1.0, values={**curve, 4: n + 1.0}) for n in range(6)]
    running = Trial(6, cell, ["r"], values={**curve, 4: value})
    assert sweeper.is_hopeless(running, [*done, running], one) == ends


def test_it_proposes_one_at_a_time_and_ends(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    sweep = sweeps.start(sweepfile.parse(TEXT.replace("SAMPLER", "tpe").replace("trials = 24", "trials = 2")))
    assert [folder.name for folder in sweepflags.driven()] == [sweep] and sweeps.summary(sweep).state == "running"
    assert sweeper.step(sweep) and sweeper.step(sweep)
    assert len(sweeps.read(sweep).cells) == 1  # the first is not over
    (run,) = supervisor.waiting()
    supervisor.claim(paths.runs() / run)
    rundir.set_status(paths.runs() / run, rundir.Status("diverged"))
    assert sweeper.step(sweep)
    second = sweeps.read(sweep)
    assert len(second.cells) == 2 and second.cells[0] != second.cells[1]
    run = supervisor.waiting()[0]
    supervisor.claim(paths.runs() / run)
    rundir.set_status(paths.runs() / run, rundir.Status("done"))
    assert not sweeper.step(sweep)
    assert sweeper.main(paths.cache() / "sweeps" / sweep) == 0
    assert not sweepflags.driven() and sweeps.summary(sweep).state == "done"


@pytest.mark.parametrize(("sampler", "pruner"), [("gp", "none"), ("tpe", "median"), ("tpe", "asha")])
def test_a_whole_search_ends(cache: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, pruner: str) -> None:
    """Seven trials, each worse than the one before, so that a pruner ends some; the runs are told of, not trained."""
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    text = TEXT.replace("SAMPLER", sampler).replace("trials = 24", "trials = 7").replace('"median"', f'"{pruner}"')
    sweep = sweeps.start(sweepfile.parse(text))
    metric, direction = file().search.metric, file().search.direction
    for _ in range(60):
        goes_on = sweeper.step(sweep)
        for name in supervisor.waiting():
            folder = paths.runs() / name
            supervisor.claim(folder)
            value = len(sweeps.read(sweep).cells) * (1.0 if direction == "minimize" else -1.0)
            lines = [{"n": n, "t": 0.0, "kind": "metrics", "step": n, "epoch": float(n), "values": {metric: value}}
                     for n in (1, 2, 3, 4)]  # fmt: skip
            (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            rundir.set_status(folder, rundir.Status("paused"))
            sweeper.step(sweep)  # looks at it half-way
            rundir.set_status(folder, rundir.Status("stopped" if rundir.is_asked(folder, "stop") else "done"))
        if not goes_on:
            break
    assert not goes_on and sweeper.main(paths.cache() / "sweeps" / sweep) == 0
    found = sweeps.summary(sweep)
    assert (found.state, len(sweeps.read(sweep).cells)) == ("done", 7)
    pruned = sweeps.progress(sweep)["outcome"] == "pruned"
    assert pruned.any() == (pruner != "none") and not pruned.all()


def test_a_pruned_run_is_an_outcome(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    sweep = sweeps.start(file())
    sweeper.step(sweep)
    trial = sweeper.look(sweeps.read(sweep), file())[0]
    trial.values = {3: 1.0}
    sweeper.prune(sweep, trial)
    folder = paths.runs() / trial.runs[0]
    (wish,) = [wish for _, wish in rundir.wishes(folder)]
    assert wish["reason"] == "Pruned at epoch 3: other trials were better by then."
    assert sweeps.progress(sweep)["outcome"].tolist() == ["pruned"]


def logged(folder: Path, values: list[float]) -> None:
    """A run that has reached these values of what is judged, an epoch each."""
    metric = file().search.metric
    lines = [{"n": n, "t": 0.0, "kind": "metrics", "step": n, "epoch": float(n), "values": {metric: value}}
             for n, value in enumerate(values, 1)]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("states", "value", "told"),
    [
        (("done", "done"), 3.0, "COMPLETE"),
        (("done", "diverged"), None, "COMPLETE"),
        (("done", "failed"), None, "FAIL"),
        (("lost", "lost"), None, "FAIL"),
        (("done", "stopped"), None, "FAIL"),
        (("diverged", "failed"), None, "FAIL"),
        (("done", "running"), None, "RUNNING"),
    ],
)
def test_the_score_at_which_a_run_crashed_is_not_told_as_a_result(
    cache: Path, monkeypatch: pytest.MonkeyPatch, states: tuple[str, str], value: float | None, told: str
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    sweep = sweeps.start(sweepfile.parse(TEXT.replace("SAMPLER", "tpe").replace("seeds = [1]", "seeds = [1, 2]")))
    sweeper.step(sweep)
    for run, state, values in zip(sweeps.read(sweep).runs, states, ([9.0, 3.0], [9.0, 3.0]), strict=True):
        supervisor.claim(paths.runs() / run)
        logged(paths.runs() / run, values if state in ("done", "diverged") else values[:1])
        rundir.set_status(paths.runs() / run, rundir.Status(state, heartbeat=time.time()))
    trials = sweeper.look(sweeps.read(sweep), file())
    assert trials[0].value == value and trials[0].is_over == (told != "RUNNING")
    (one,) = sweeper.as_told(trials, file(), {})
    assert one.state.name == told


def test_a_pruned_run_that_was_never_asked_to_stop_is_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pruned it was killed between the plan and the wish."""
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    sweep = sweeps.start(file())
    sweeper.step(sweep)
    folder = paths.runs() / sweeps.read(sweep).runs[0]
    supervisor.claim(folder)
    logged(folder, [1.0, 1.0])
    rundir.set_status(folder, rundir.Status("running", heartbeat=time.time()))
    trial = sweeper.look(sweeps.read(sweep), file())[0]
    with monkeypatch.context() as killed:
        killed.setattr(rundir, "ask", lambda *_, **__: None)
        sweeper.prune(sweep, trial)
    assert not rundir.wishes(folder)
    sweeper.step(sweep)
    sweeper.step(sweep)
    assert [wish["kind"] for _, wish in rundir.wishes(folder)] == ["stop"]
