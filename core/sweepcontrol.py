"""What a user does to a sweep that was started: pause, resume, cancel, add seeds or levels, run again what failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from core import (
    designs,
    paths,
    rundir,
    specs,
    supervisor,
    sweepfile,
    sweepflags,
    sweeprecord,
    sweepruns,
)
from core.runner import load_trainer
from core.sweepfile import SweepFile
from core.sweeprecord import Entry, Record
from core.wording import count_text


def pause(sweep: str) -> str:
    """Let a sweep wait; returns what happens now. Its waiting runs keep their place, the others hold at their step."""
    record = sweeprecord.read(sweep)
    if sweepflags.has(record.id, "cancelled"):
        raise ValueError(f"The sweep {record.id} was cancelled; there is nothing to pause.")
    was_paused = sweepflags.has(record.id, "paused")
    if not was_paused:
        _check_moving(record, "pause")
    sweepflags.set_flag(record.id, "paused", True)  # groups see this; single runs are told
    asked = 0
    for _, folder, status in _started(record):
        if status.state not in ("starting", "running", "queued") or status.is_finished:  # "queued": being started
            continue
        is_together = bool(rundir.read_spec(folder).together)
        if was_paused and (is_together or rundir.is_asked(folder, "pause")):
            continue
        asked += 1
        if not is_together:
            rundir.ask(folder, "pause")
    if was_paused and not asked:
        return "It is paused already."
    held = f"{count_text(asked, 'run holds at its', 'runs hold at their')} next step, " if asked else ""
    return f"It is paused: {held}those that wait do not start."


def resume(sweep: str) -> str:
    """Let a paused or cancelled sweep go on, and what was lost or never made as well; returns what happens now."""
    with sweeprecord.changing(sweep) as record:
        was_cancelled = sweepflags.has(record.id, "cancelled")
        is_held = was_cancelled or sweepflags.has(record.id, "paused")
        for flag in ("paused", "cancelled"):
            sweepflags.set_flag(record.id, flag, False)
        if record.design == "bayesian" and len(record.cells) < record.trials:
            sweepflags.set_flag(record.id, "driver", True)
        able = {"lost", "paused", "queued"} | ({"stopped"} if was_cancelled else set())  # "queued", and in no queue
        again = []
        for entry, folder, status in _started(record):
            if not status.is_finished and (status.state == "paused" or rundir.is_asked(folder, "pause")):
                rundir.ask(folder, "resume")
                is_held = True
            elif status.state in able and (status.is_finished or status.state == "queued") and not entry.outcome:
                _forget_wishes(folder)
                again.append(folder)
        supervisor.enqueue_all(again)
        missing = [entry for entry in record.entries if not (paths.runs() / entry.run).exists()]
        made = sweepruns.make_runs(record, missing, *_ground(record)) if missing else []
        if not (is_held or again or made):
            _check_moving(record, "resume")
    supervisor.look_again()
    supervisor.ensure()
    more = len(again) + len(made)
    return "It goes on." + (f" {count_text(more, 'run goes', 'runs go')} back into the queue." if more else "")


def cancel(sweep: str) -> str:
    """Stop what runs and take out of the queue what waits; returns what happens now. What is done stays.

    It waits for whoever makes runs of this sweep just now (they come after each other into the queue); who comes later
    sees the flag, and makes none.
    """
    with sweeprecord.changing(sweep) as record:
        _check_moving(record, "cancel")
        wanted, taken, stopped, ended = set(record.runs), 0, 0, 0
        with supervisor.queueing():  # with the flag: the supervisor takes out what it finds, and that would not be told
            sweepflags.set_flag(record.id, "cancelled", True)
            for flag in ("driver", "paused"):
                sweepflags.set_flag(record.id, flag, False)
            for name in sorted(os.listdir(supervisor.queue())):
                run = name.partition("-")[2]
                if run in wanted:
                    (supervisor.queue() / name).unlink(missing_ok=True)
                    _end(run, "Taken out of the queue: its sweep was cancelled.")
                    taken += 1
        for _, folder, status in _started(record):
            if status.state == "paused" and status.is_finished:
                _end(folder.name, "Stopped while it was paused: its sweep was cancelled.")
                ended += 1
            elif status.state in (*rundir.ACTIVE, "queued") and not status.is_finished:  # "queued": it is being started
                rundir.ask(folder, "stop", reason="Its sweep was cancelled.")
                stopped += 1
    told = [f"{count_text(taken, 'run is', 'runs are')} taken out of the queue"] if taken else []
    told += [count_text(stopped, "run stops at its next step", "runs stop at their next step")] if stopped else []
    told += [f"{count_text(ended, 'paused run is', 'paused runs are')} ended"] if ended else []
    return f"It is cancelled: {', '.join(told) or 'none of its runs was under way'}."


def _end(run: str, reason: str) -> None:
    folder = paths.runs() / run
    if folder.is_dir():
        status = replace(rundir.read_status(folder), state="stopped", reason=reason, ended_at=time.time())
        rundir.set_status(folder, status)


def add_seeds(sweep: str, seeds: Sequence[int]) -> str:
    """The same new seeds in every cell; returns what happens now. ValueError for one that is there already."""
    with sweeprecord.changing(sweep) as record:
        _check_open(record)
        if record.design == "bayesian":
            raise ValueError("A search proposes its cells with the seeds it began with; start a grid of the best ones.")
        if not seeds:
            raise ValueError("Say which seeds.")
        for seed in seeds:
            if seed in record.seeds or list(seeds).count(seed) > 1:
                raise ValueError(f"The seed {seed} is in this sweep already ({', '.join(map(str, record.seeds))}).")
            if not 0 <= seed < 2**32:
                raise ValueError(f"A seed must be 0 to 4294967295, not {seed}.")
        pairs = [(cell, seed) for seed in seeds for cell in range(len(record.cells))]
        return _grow(replace(record, seeds=[*record.seeds, *seeds]), pairs)


def add_levels(sweep: str, factor: str, levels: Sequence[Any]) -> str:
    """More levels of a factor of a grid, in all combinations with the others; returns what happens now.

    ValueError where the factor, a level or the design does not allow it.
    """
    with sweeprecord.changing(sweep) as record:
        _check_open(record)
        if record.design != "grid":
            raise ValueError(f"Levels can be added to a grid; this sweep is {record.design}. Start a new one.")
        if not levels:
            raise ValueError(f"Say which levels of {factor}, such as 0.3, 1.")
        if factor not in record.factors:
            raise ValueError(f"{factor!r} is no factor of this sweep; there are {', '.join(record.factors)}.")
        config_class = load_trainer(record.trainer).Config

        def wrong(sentence: str) -> None:
            raise ValueError(sentence)

        asked = [*record.factors[factor], *levels]
        checked = sweepfile.levels(config_class, factor, asked, wrong)
        grown = replace(record, factors={**record.factors, factor: list(checked)})
        design = designs.make(sweeprecord.file_of(grown), config_class)
        new = [cell for cell in design.cells if cell not in record.cells]
        first = len(record.cells)
        grown = replace(grown, cells=[*record.cells, *new])
        return _grow(grown, [(first + place, seed) for seed in record.seeds for place in range(len(new))])


def add_trials(record: Record, cells: Sequence[dict[str, Any]]) -> tuple[Record, list[Entry]]:
    """Cells that a search proposed, with all seeds: planned and queued; none where it was cancelled meanwhile. Call it
    while `changing` the sweep."""
    if sweepflags.has(record.id, "cancelled"):
        return record, []
    first = len(record.cells)
    grown = replace(record, cells=[*record.cells, *cells])
    file, ground = _ground(grown)
    pairs = [(first + place, seed) for place in range(len(cells)) for seed in record.seeds]
    new = sweepruns.entries(grown, pairs, file, ground.trainer)
    grown = replace(grown, entries=[*grown.entries, *new])
    sweeprecord.write(grown)
    sweepruns.make_runs(grown, new, file, ground)
    return grown, new


def rerun_failed(sweep: str, states: Iterable[str] = ("failed", "lost")) -> str:
    """Run again the runs in these states; returns what happens now.

    A lost run goes on from its last checkpoint; any other begins anew, as a new run that takes its place. `states`
    may hold "diverged" and "stopped" too.
    """
    wanted = set(states)
    unknown = wanted - {"failed", "lost", "diverged", "stopped"}
    if unknown:
        raise ValueError(f"Runs that are {', '.join(sorted(unknown))} cannot be run again.")
    with sweeprecord.changing(sweep) as record:
        _check_open(record)
        found = [(entry, folder, status.state) for entry, folder, status in _started(record) if status.state in wanted]
        found = [one for one in found if not one[0].outcome]
        lost = [folder for _, folder, state in found if state == "lost"]
        for folder in lost:
            _forget_wishes(folder)
        supervisor.enqueue_all(lost)
        old = [entry for entry, _, state in found if state != "lost"]
        old += [entry for entry in record.entries if not (paths.runs() / entry.run).exists()]
        if old:
            file, ground = _ground(record)
            fresh = sweepruns.entries(record, [(one.cell, one.seed) for one in old], file, ground.trainer)
            fresh = [replace(n, before=[*o.before, o.run]) for n, o in zip(fresh, old, strict=True)]
            instead = {o.run: n for n, o in zip(fresh, old, strict=True)}
            record = replace(record, entries=[instead.get(entry.run, entry) for entry in record.entries])
            sweeprecord.write(record)
            sweepruns.make_runs(record, fresh, file, ground)
    supervisor.ensure()
    if not lost and not old:
        return f"No run of this sweep is {' or '.join(sorted(wanted))}."
    told = [count_text(len(lost), "lost run goes on", "lost runs go on")] if lost else []
    told += [count_text(len(old), "run begins anew", "runs begin anew")] if old else []
    return f"{', '.join(told)}."


def _grow(record: Record, pairs: list[tuple[int, int]]) -> str:
    if not pairs:
        return "Nothing is added: these cells are there already."
    file, ground = _ground(record)
    new = sweepruns.entries(record, pairs, file, ground.trainer)
    for cell in {entry.cell for entry in new}:  # all is checked before any is made
        specs.make(ground, designs.knobs_of(record.cells[cell], file, ground.trainer.Config))
    record = replace(record, entries=[*record.entries, *new])
    sweeprecord.write(record)
    sweepruns.make_runs(record, new, file, ground)
    supervisor.ensure()
    return f"{count_text(len(new), 'run is', 'runs are')} in the queue."


def _ground(record: Record) -> tuple[SweepFile, specs.Ground]:
    file = sweeprecord.file_of(record)
    trainer = load_trainer(record.trainer)
    return file, specs.prepare(trainer, data=record.data, split=record.split, device=record.device)


def _check_open(record: Record) -> None:
    if sweepflags.has(record.id, "cancelled"):
        raise ValueError(f"The sweep {record.id} was cancelled; resume it first.")


def _check_moving(record: Record, what: str) -> None:
    """ValueError where nothing of the sweep is still to come."""
    states = [status for _, _, status in _started(record)]  # neither those that wait, nor those to be made
    is_over = len(states) == len(record.entries) and not sweepflags.has(record.id, "driver")
    if is_over and all(status.is_finished and status.state not in ("paused", "lost") for status in states):
        raise ValueError(f"Every run of the sweep {record.id} has ended; there is nothing to {what}.")


def _started(record: Record) -> list[tuple[Entry, Any, rundir.Status]]:
    """The runs that do not wait in the queue, with where they stand."""
    waiting = set(supervisor.waiting())
    folders = [(entry, paths.runs() / entry.run) for entry in record.entries if entry.run not in waiting]
    return [(entry, folder, rundir.read_status(folder)) for entry, folder in folders if folder.is_dir()]


def _forget_wishes(folder: Any) -> None:
    """An old stop or pause must not hold a run that goes on."""
    for path, wish in rundir.wishes(folder):
        if wish["kind"] != "changes":
            path.unlink(missing_ok=True)
