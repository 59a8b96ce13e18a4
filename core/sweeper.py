"""Proposes the cells of a Bayesian sweep, one after the other: `python -m core.sweeper SWEEP_DIRECTORY`.

Everything it knows it reads from the run directories, so it may be killed and started again at any moment; the
supervisor does so. With one worker the same seed gives the same cells: a proposal is a function of the seed and of the
trials before it. A trial is one cell with all seeds; its value is their mean, and a diverged one counts as worse than
the worst.
"""

from __future__ import annotations

import fcntl
import math
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core import designs, paths, rundir, sweepcontrol, sweepflags, sweeprecord, threads
from core.config import knobs
from core.runner import load_trainer
from core.sweepfile import Range, SweepFile
from core.sweeprecord import Record

POLL_S = 0.5
ENDED = ("done", "diverged")
OVER = (*ENDED, "failed", "lost", "stopped", "deleted")
WARM_UP = 5
"""Trials drawn at random before a model proposes, and trials that must be over before the median ends another."""


@dataclass
class Trial:
    """One cell so far: `values` epoch → mean over its seeds, `value` the last of them where every run came to its end;
    `has_diverged` where every run did, but some diverged. Neither: a run crashed, was lost or was stopped."""

    cell: int
    levels: dict[str, Any]
    runs: list[str]
    is_over: bool = False
    is_pruned: bool = False
    has_diverged: bool = False
    value: float | None = None
    values: dict[int, float] = field(default_factory=dict)


def main(folder: Path) -> int:
    """Propose until all trials are planned and over, or the sweep is cancelled or paused."""
    try:
        flag = (folder / "driver").open("rb+")
    except FileNotFoundError:
        return 0
    with flag:
        try:
            fcntl.flock(flag, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # another one is at work
        threads.one_for_analyses()
        while not any(sweepflags.has(folder.name, name) for name in ("paused", "cancelled")):
            if not step(folder.name):
                sweepflags.set_flag(folder.name, "driver", False)
                return 0
            time.sleep(POLL_S)
    return 0


def step(sweep: str) -> bool:
    """One look at all trials: end those that the pruner gives up, propose where a worker is free. False at the end."""
    record = sweeprecord.read(sweep)
    file = sweeprecord.file_of(record)
    trials = look(record, file)
    running = [trial for trial in trials if not trial.is_over]
    for trial in running:
        if trial.is_pruned:  # whoever wrote that down may have been killed before it asked, or a run was taken up since
            end(trial)
        elif is_hopeless(trial, trials, file):
            prune(sweep, trial)
    if len(trials) < record.trials and len(running) < max(record.workers // len(record.seeds), 1):
        cell = propose(trials, file, len(trials))
        with sweeprecord.changing(sweep) as now:
            if len(now.cells) == len(trials):  # nobody else proposed meanwhile
                sweepcontrol.add_trials(now, [cell])
        return True
    return bool(running) or len(trials) < record.trials


def look(record: Record, file: SweepFile) -> list[Trial]:
    """All trials as their run directories tell them, in order."""
    trials = []
    for number, levels in enumerate(record.cells):
        entries = [entry for entry in record.entries if entry.cell == number]
        trial = Trial(number, levels, [entry.run for entry in entries])
        statuses = [rundir.read_status(paths.runs() / entry.run) for entry in entries]
        trial.is_over = all(status.state in OVER for status in statuses)
        trial.is_pruned = any(entry.outcome == "pruned" for entry in entries)
        # The score at which a run crashed is none of its configuration: it is told as failed, with no value.
        is_whole = bool(statuses) and all(status.state in ENDED for status in statuses)
        trial.has_diverged = is_whole and any(status.state == "diverged" for status in statuses)
        curves = [curve(paths.runs() / entry.run, file.search.metric) for entry in entries]
        shared = set(curves[0]).intersection(*curves[1:]) if curves else set()
        trial.values = {epoch: sum(one[epoch] for one in curves) / len(curves) for epoch in sorted(shared)}
        if is_whole and trial.values and not trial.has_diverged:
            trial.value = trial.values[max(trial.values)]
        trials.append(trial)
    return trials


def curve(folder: Path, metric: str) -> dict[int, float]:
    """Whole epoch → the metric there, of one run; numbers only. A rewound run says the later word."""
    found: dict[int, float] = {}
    for event in rundir.read_events(folder)[0]:
        if event["kind"] == "rewound":
            found.clear() if event["to_step"] < 0 else None
        elif event["kind"] == "metrics" and math.isfinite(event["values"].get(metric, math.nan)):
            found[math.ceil(event["epoch"])] = event["values"][metric]
    return found


def propose(trials: list[Trial], file: SweepFile, number: int) -> dict[str, Any]:
    """The next cell; a function of the seed and the trials before it."""
    import optuna  # seconds of import, and nobody else needs it

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    config_class = load_trainer(file.trainer).Config
    seed = file.search.seed * 1_000_003 + number
    # The warm-up has one generator: a fresh one a trial would give neighbours of the seed the same first draws.
    if number < WARM_UP or file.search.sampler == "random":
        cell = list(designs.draws(file.factors, number + 1, file.search.seed, config_class))[-1]
        return _applying(cell, file, config_class)
    sampler: Any
    if file.search.sampler == "gp":
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=WARM_UP, deterministic_objective=False)
    else:
        constant = any(not trial.is_over for trial in trials)  # several at once must not all go to one place
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=WARM_UP, constant_liar=constant)
    study = optuna.create_study(direction=_direction(file), sampler=sampler)
    spaces = {name: _distribution(levels, knobs(config_class)[name].type) for name, levels in file.factors.items()}
    for told in as_told(trials, file, spaces):
        study.add_trial(told)
    params = study.ask(spaces).params
    cell = {}
    for name, levels in file.factors.items():
        value = params[name]
        if isinstance(levels, Range):
            value = min(max(float(f"{value:.6g}"), levels.low), levels.high)
            cell[name] = round(value) if knobs(config_class)[name].type is int else value
        else:
            cell[name] = levels[value]
    return _applying(cell, file, config_class)


def _applying(cell: dict[str, Any], file: SweepFile, config_class: type) -> dict[str, Any]:
    kept = designs.knobs_of(cell, file, config_class)
    return {name: level for name, level in cell.items() if name in kept}


def _distribution(levels: Any, kind: type) -> Any:
    import optuna

    if not isinstance(levels, Range):  # by place: Optuna takes few kinds of values
        return optuna.distributions.CategoricalDistribution(list(range(len(levels))))
    is_log = levels.scale == "log"
    if kind is int:
        return optuna.distributions.IntDistribution(int(levels.low), int(levels.high), log=is_log)
    return optuna.distributions.FloatDistribution(levels.low, levels.high, log=is_log)


def as_told(trials: list[Trial], file: SweepFile, spaces: dict[str, Any]) -> list[Any]:
    """The trials as Optuna takes them. A diverged one gets a value beyond the worst: its place is worth knowing."""
    import optuna
    from optuna.trial import TrialState

    known = [trial.value for trial in trials if trial.value is not None and not trial.is_pruned]
    sign = 1.0 if file.search.direction == "minimize" else -1.0
    worst = max((sign * value for value in known), default=0.0)
    best = min((sign * value for value in known), default=0.0)
    beyond = sign * (worst + max(worst - best, abs(worst) * 0.1, 1e-6))
    told = []
    for trial in trials:
        used = {name: space for name, space in spaces.items() if name in trial.levels}
        params = {name: _coded(file.factors[name], trial.levels[name]) for name in used}
        value = beyond if trial.has_diverged else trial.value
        if trial.is_pruned and trial.values:
            state, value = TrialState.PRUNED, trial.values[max(trial.values)]
        elif not trial.is_over:
            state, value = TrialState.RUNNING, None
        else:
            state = TrialState.COMPLETE if value is not None else TrialState.FAIL
        told.append(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=params,
                distributions=used,
                intermediate_values=trial.values,
            )
        )
    return told


def _direction(file: SweepFile) -> Literal["minimize", "maximize"]:
    return "maximize" if file.search.direction == "maximize" else "minimize"


def _coded(levels: Any, level: Any) -> Any:
    return level if isinstance(levels, Range) else list(levels).index(level)


def is_hopeless(trial: Trial, trials: list[Trial], file: SweepFile) -> bool:
    """Whether the pruner ends a running trial, from what it and the others had reached at the same epoch."""
    if file.search.pruner == "none" or not trial.values or trial.is_pruned:
        return False
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner: Any = (
        optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=1)
        if file.search.pruner == "median"
        else optuna.pruners.SuccessiveHalvingPruner()
    )
    study = optuna.create_study(direction=_direction(file), pruner=pruner)
    config_class = load_trainer(file.trainer).Config
    spaces = {name: _distribution(levels, knobs(config_class)[name].type) for name, levels in file.factors.items()}
    for one, told in zip(trials, as_told(trials, file, spaces), strict=True):
        study.add_trial(told)
        if one is trial:
            number = len(study.trials) - 1
    if file.search.pruner == "asha":
        return _asha(study, number)
    return bool(pruner.prune(study, study.trials[number]))


def _asha(study: Any, number: int, factor: int = 4, first: int = 1) -> bool:
    """Successive halving without waiting: at epochs 1, 4, 16 … only the best quarter of those that came so far goes on.

    Written here since Optuna's notes its rungs in a study that outlives the process, which ours does not.
    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, MLSys
    """
    trials, own = study.trials, study.trials[number].intermediate_values
    rung = first
    while rung * factor <= max(own):
        rung *= factor
    if rung not in own:
        return False
    sign = 1.0 if study.direction.name == "MINIMIZE" else -1.0
    reached = sorted(sign * one.intermediate_values[rung] for one in trials if rung in one.intermediate_values)
    return len(reached) >= factor and sign * own[rung] > reached[max(len(reached) // factor, 1) - 1]


def prune(sweep: str, trial: Trial) -> None:
    """End a trial: it is written down that a search did so, and its runs are asked to stop."""
    with sweeprecord.changing(sweep) as record:
        marked = [replace(entry, outcome="pruned") if entry.run in trial.runs else entry for entry in record.entries]
        sweeprecord.write(replace(record, entries=marked))
    end(trial)


def end(trial: Trial) -> None:
    """Ask the runs of a pruned trial to stop, those that were not asked yet."""
    epoch = max(trial.values, default=0)
    for run in trial.runs:
        folder = paths.runs() / run
        if not rundir.read_status(folder).is_finished and not rundir.is_asked(folder, "stop"):
            rundir.ask(folder, "stop", reason=f"Pruned at epoch {epoch}: other trials were better by then.")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
