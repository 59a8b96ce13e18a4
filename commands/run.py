"""`lab.py run …`: act on one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands import Json
from commands.train import settings
from core import branching, control, paths, rundir, supervisor, trash

app = typer.Typer(no_args_is_help=True)
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="A knob that shall differ.")]


def _tell(sentence: str, folder: Path, as_json: bool) -> None:
    told = {"run": folder.name, "state": rundir.read_status(folder).state, "told": sentence}
    typer.echo(json.dumps(told) if as_json else sentence)


def _tell_new(folder: Path, as_json: bool) -> None:
    _tell(f"Run {folder.name} is in the queue.", folder, as_json)


@app.command("stop")
def stop_run(run: str, as_json: Json = False) -> None:
    """Stop a run; its last checkpoint stays."""
    folder = rundir.find(run)
    _tell(control.stop(folder), folder, as_json)


@app.command("pause")
def pause_run(run: str, as_json: Json = False) -> None:
    """Let a run wait at its next step. It keeps its device; `resume` lets it go on, also after a restart."""
    folder = rundir.find(run)
    _tell(control.pause(folder), folder, as_json)


@app.command("resume")
def resume_run(run: str, as_json: Json = False) -> None:
    """Let a paused run go on; queue a stopped, failed or lost one, which goes on from its last checkpoint."""
    folder = rundir.find(run)
    _tell(control.resume(folder), folder, as_json)


@app.command("change")
def change_run(
    run: str, values: Annotated[list[str], typer.Argument(metavar="KNOB=VALUE…")], as_json: Json = False
) -> None:
    """Change hot knobs of a run while it trains, e.g. learning_rate=0.001."""
    folder = rundir.find(run)
    _tell(control.change(folder, settings(values)), folder, as_json)


@app.command("branch")
def branch_run(
    run: str,
    epoch: Annotated[str, typer.Option(help="Where it begins: last, best or an epoch with a full state.")] = "last",
    values: Set = None,
    as_json: Json = False,
) -> None:
    """Start a new run from a checkpoint of another, with other knobs."""
    _tell_new(branching.branch(rundir.find(run), settings(values or []), epoch=epoch), as_json)


@app.command("clone")
def clone_run(
    run: str,
    seed: Annotated[int | None, typer.Option(help="Another seed of the training.")] = None,
    as_json: Json = False,
) -> None:
    """Start a run with the same settings from its beginning."""
    _tell_new(control.clone(rundir.find(run), seed=seed), as_json)


@app.command("rerun")
def rerun_run(
    run: Annotated[str | None, typer.Argument()] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed and lost runs not run again since.")] = False,
    as_json: Json = False,
) -> None:
    """Run again from the beginning, as a new run, what failed, diverged, was lost or stopped."""
    if (run is None) == (not failed):
        raise ValueError("Name one run, or say --failed for all that failed.")
    if run is not None:
        _tell_new(control.rerun(rundir.find(run)), as_json)
        return
    made: list[str] = []
    refused: dict[str, str] = {}
    for folder in control.ended_badly():
        try:
            made.append(control.rerun(folder).name)
        except ValueError as error:  # its data has changed, say: the others can be run again all the same
            refused[folder.name] = str(error)
    told = f"In the queue: {', '.join(made)}." if made else "No failed or lost run is left to be run again."
    if as_json:
        typer.echo(json.dumps({"runs": made, "refused": refused, "told": told}))
    elif made or not refused:
        typer.echo(told)
    for name, reason in () if as_json else refused.items():
        typer.echo(f"Run {name} cannot be run again: {reason}", err=True)
    raise typer.Exit(1 if refused else 0)


@app.command("delete")
def delete_run(
    run: Annotated[str | None, typer.Argument()] = None,
    for_good: Annotated[
        bool, typer.Option("--for-good", help="With no way back; without a run, empty the trash.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move a run to the trash, or remove it for good."""
    if run is None:
        if not for_good:
            raise ValueError("Name a run, or say --for-good to empty the trash.")
        count = trash.empty()
        told = f"The trash is empty; {count} run{'s are' if count != 1 else ' is'} gone."
        typer.echo(json.dumps({"gone": count, "told": told}) if as_json else told)
        return
    if for_good:
        folder = rundir.find(run) if rundir.exists(run) else trash.find(run)
        trash.delete_for_good(folder)
        told = f"Run {folder.name} is gone."
    else:
        folder = rundir.find(run)
        told = trash.delete(folder)
    typer.echo(json.dumps({"run": folder.name, "told": told}) if as_json else told)


@app.command("restore")
def restore_run(run: Annotated[str, typer.Argument()] = "latest", as_json: Json = False) -> None:
    """Bring a run back from the trash: the one named, or the one deleted last."""
    folder = trash.restore(trash.find(run))
    _tell(f"Run {folder.name} is back.", folder, as_json)


@app.command("reorder")
def reorder_run(
    run: str, to: Annotated[int, typer.Option(help="Its new place in the queue, from 1.")], as_json: Json = False
) -> None:
    """Move a waiting run to another place in the queue."""
    folder = rundir.find(run)
    _tell(control.reorder(folder, to), folder, as_json)


@app.command("queue")
def show_queue(as_json: Json = False) -> None:
    """List the runs that wait, in order."""
    rows = [{"place": place, "run": run, "device": _device(run)} for place, run in enumerate(supervisor.waiting(), 1)]
    if as_json:
        typer.echo(json.dumps(rows))
    elif not rows:
        typer.echo("No run waits.")
    for row in [] if as_json else rows:
        typer.echo(f"{row['place']:3}  {row['run']}  {row['device']}")


def _device(run: str) -> str | None:
    try:
        return rundir.read_spec(paths.runs() / run).device
    except ValueError:  # damaged: the supervisor takes it out
        return None
