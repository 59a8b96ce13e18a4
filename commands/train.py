"""`lab.py train`: one run in the foreground."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

import trainers
from commands import Json, plain
from core import control, ending, itemwords, rundir, supervisor
from core.executors import local

ENSURE_EVERY_S = 5.0


def train(
    trainer: Annotated[str, typer.Argument(help=f"One of {', '.join(trainers.names())}.")],
    data: Annotated[str, typer.Option(help="Data set, e.g. deam, cues-small, folder:PATH.")],
    split: Annotated[str | None, typer.Option(help="Named split; each data set has a default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training; the split has its own.")] = 0,
    values: Annotated[list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Set a knob.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    now: Annotated[bool, typer.Option("--now", help="Do not wait for a free device.")] = False,
    as_json: Json = False,
) -> None:
    """Train in the foreground with a progress bar. Ctrl-C, or SIGTERM, stops the run; its last checkpoint stays."""
    module = trainers.load(trainer)
    spec = supervisor.new_spec(module, settings(values or []), data=data, split=split, seed=seed, device=device)
    if now:
        folder = rundir.create(spec, state="starting")
        child = local.start(folder)
    else:
        folder, child = supervisor.submit(spec), None
    typer.echo(f"Run {spec.id}", err=True)
    status = _follow(folder, child, quiet=as_json)
    events, _ = rundir.read_events(folder)
    latest: dict[str, float] = {}
    for event in events:
        if event["kind"] == "metrics":
            latest |= event["values"]
    if as_json:
        typer.echo(json.dumps({"run": spec.id, "status": status.state, "metrics": plain(latest)}))
    else:
        for name, value in latest.items():
            if name.startswith(("validation/", "test/")):
                typer.echo(f"{name:28} {value:.4g}")
        for paragraph in itemwords.of_run(folder, spec.task):
            typer.echo(paragraph)
    if status.reason and status.state != "done":
        typer.echo(f"{status.state}: {status.reason}", err=True)
    raise typer.Exit(0 if status.state == "done" else 1)


def settings(pairs: list[str]) -> dict[str, Any]:
    """The values of several `knob=value`; ValueError where one is no pair."""
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes knob=value, not {pair!r}.")
        values[name.strip()] = value
    return values


def _follow(folder: Path, child: Any, *, quiet: bool) -> rundir.Status:
    """Show a run until it has ended; Ctrl-C and SIGTERM ask it to stop."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    stopping, looked_at = False, time.monotonic()

    def interrupt(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):  # the run is a process of its own: neither reaches it by itself
        signal.signal(number, interrupt)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("starting", total=1.0)
        told = ""
        told_to_end: set[tuple[str, int]] = set()
        while True:
            status = rundir.read_status(folder)
            if status.is_finished and child is None:
                return status
            if child is None:
                if time.monotonic() - looked_at > ENSURE_EVERY_S:  # one that starts takes a moment to be seen
                    supervisor.ensure()
                    looked_at = time.monotonic()
            elif child.poll() is not None:
                ending.settle(folder, status, child)
                return rundir.read_status(folder)
            else:
                ending.press(folder, status, told_to_end)
            text = status.note or f"{status.state}, epoch {rundir.epoch_text(status.epoch)}"
            if status.state == "queued":
                text = f"waiting for the device, {supervisor.position(folder)} before it (--now does not wait)"
                if told != text and bar.disable:
                    typer.echo(text, err=True)
                told = text
            bar.update(task, description=text, completed=status.fraction)
            if stopping:
                stopping = False
                bar.update(task, description="stopping")
                control.stop(folder)
            time.sleep(0.1)
