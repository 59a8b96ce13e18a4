"""`lab.py run …`: act on one run."""

from __future__ import annotations

import typer

from core import rundir, supervisor

app = typer.Typer(no_args_is_help=True)


@app.command("stop")
def stop_run(run: str) -> None:
    """Stop a run; its last checkpoint stays."""
    typer.echo(supervisor.stop(rundir.find(run)))


@app.command("resume")
def resume_run(run: str) -> None:
    """Queue a stopped, failed or lost run again; it goes on from its last checkpoint."""
    supervisor.resume(rundir.find(run))
    typer.echo("It is in the queue.")
