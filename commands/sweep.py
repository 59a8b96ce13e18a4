"""`lab.py sweep FILE` and `lab.py sweeps …`: many runs that answer one question."""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands import Json, plain
from core import supervisor, sweepfile, sweepplan, sweeps

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(invoke_without_command=True)
EXAMPLE = "A sweep file, complete:\n\n\b\n" + sweepfile.EXAMPLE.replace("\n\n", "\n")
LOOK_EVERY_S, ENSURE_EVERY_S = 1.0, 5.0
OVER = ("done", "cancelled", "incomplete")


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep or study file (TOML).")],
    quick: Annotated[bool, typer.Option("--quick", help="Its quick variant.")] = False,
    stage: Annotated[str, typer.Option(help="One of its further stages.")] = "",
    workers: Annotated[int, typer.Option(help="Processes at a time; 0 leaves it to the file.", min=0)] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Start also where it asks first.")] = False,
    plan_only: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and start nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and leave; it goes on.")] = False,
    as_json: Json = False,
) -> None:
    """Run all cells of a sweep file, each with all its seeds. Ctrl-C leaves; the sweep goes on."""
    plan = sweeps.plan(file, quick=quick, stage=stage, workers=workers)
    for line in (plan.sentence, *plan.notes, *plan.warnings):
        typer.echo(line, err=True)
    if plan_only:
        if plan.asks:
            typer.echo(plan.asks, err=True)
        if as_json:
            typer.echo(json.dumps(plain(asdict(plan))))
        return
    if plan.asks and not yes and not (sys.stdin.isatty() and typer.confirm(plan.asks, err=True)):
        raise ValueError(f"{plan.asks} Say --yes to start all of them.")
    sweep_id = sweeps.start(file, quick=quick, stage=stage, workers=workers, confirmed=True)
    typer.echo(f"Sweep {sweep_id}", err=True)
    if detach:
        if as_json:
            typer.echo(json.dumps({"sweep": sweep_id, "state": "running"}))
        return
    (summary,) = follow([sweep_id], quiet=as_json)
    _tell_results(sweep_id, summary, as_json)
    if summary.state == "incomplete":
        typer.echo(f"Some runs did not end well; `python lab.py sweeps rerun-failed {sweep_id}`.", err=True)
    raise typer.Exit(0 if summary.state == "done" else 1)


def follow(sweep_ids: list[str], *, quiet: bool) -> list[sweeps.Summary]:
    """Show sweeps until nothing of them is left to do, or the user leaves (Ctrl-C); they go on without that."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    leaving = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal leaving
        leaving = True

    before = signal.signal(signal.SIGINT, interrupt)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    looked_at = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        tasks, told = [bar.add_task("starting", total=1.0) for _ in sweep_ids], [""] * len(sweep_ids)
        while True:
            found = [sweeps.summary(sweep_id) for sweep_id in sweep_ids]
            texts = [_named(one, len(found)) + counted(one) for one in found]
            for task, summary, text, said in zip(tasks, found, texts, told, strict=True):
                bar.update(task, description=text, completed=summary.fraction)
                if bar.disable and not quiet and text != said:
                    typer.echo(text, err=True)
            told = texts
            if leaving or all(summary.state in OVER for summary in found):
                signal.signal(signal.SIGINT, before)
                return found
            if time.monotonic() - looked_at > ENSURE_EVERY_S:
                supervisor.ensure()
                looked_at = time.monotonic()
            time.sleep(LOOK_EVERY_S)


def _named(summary: sweeps.Summary, n: int) -> str:
    return f"{summary.name}: " if n > 1 else ""


def counted(summary: sweeps.Summary) -> str:
    """Where a sweep stands, in words."""
    order = ("done", "running", "starting", "queued", "paused", "diverged", "failed", "lost", "stopped", "deleted")
    parts = [f"{summary.counts[state]} {state}" for state in order if summary.counts.get(state)]
    left = f", {sweepplan.humanised(summary.eta_s)} left" if summary.eta_s else ""
    return f"{', '.join(parts) or 'no run yet'} of {summary.n_runs}{left}"


def _tell_results(sweep_id: str, summary: sweeps.Summary, as_json: bool) -> None:
    from core import sweepboard
    from core.store import memory_store

    found = sweepboard.find(memory_store(), sweeps.read(sweep_id))
    if as_json:
        rows = [plain({k: _scalar(v) for k, v in row.items()}) for row in found.results.to_dict("records")]
        typer.echo(json.dumps({"sweep": sweep_id, "state": summary.state, "counts": summary.counts, "runs": rows}))
        return
    if not found.responses:
        typer.echo("No run of it has a number to judge by.")
        return
    _tell_board(sweepboard.board(found.results, found.responses[0], found.factors), found.responses[0])


def _tell_board(board: pd.DataFrame, response: str) -> None:
    """The same table as on the page: only runs that are done count, `n` says how many."""
    from rich.console import Console
    from rich.table import Table

    from core import sweepboard, wording

    factors, most = sweepboard.factors_of(board), 40
    title = f"{response}: mean and 95 % interval over the seeds (n) that are done"
    table = Table(*map(wording.words, factors), "n", "mean", "95 % interval", "diverged", "outcomes", title=title)
    for row in board.head(most).to_dict("records"):
        interval = wording.interval_text(row["low"], row["high"]) if row["low"] == row["low"] else "–"
        mean = wording.number_text(row["mean"]) if row["n"] else "–"
        levels = [str(row[factor]) for factor in factors]
        table.add_row(*levels, str(row["n"]), mean, interval, str(row["diverged"]), row["outcomes"])
    Console().print(table)
    if len(board) > most:
        typer.echo(f"The best {most} of {len(board):,} configurations; `sweeps report` writes down the rest.")
    typer.echo(sweepboard.best_sentence(board, response))


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


@app.callback()
def list_sweeps(context: typer.Context, as_json: Json = False) -> None:
    """List all sweeps, newest first; or act on one."""
    if context.invoked_subcommand:
        return
    found = sweeps.listing()
    if as_json:
        typer.echo(json.dumps([plain(asdict(one)) for one in found]))
        return
    if not found:
        typer.echo("There is no sweep yet; `python lab.py sweep FILE.toml` starts one.")
    for one in found:
        typer.echo(f"{one.id}  {one.state:10}  {counted(one)}")


def _tell(sweep_id: str, sentence: str, as_json: bool) -> None:
    found = sweeps.summary(sweep_id)
    told = {"sweep": found.id, "state": found.state, "counts": found.counts, "told": sentence}
    typer.echo(json.dumps(told) if as_json else sentence)


@app.command("pause")
def pause_sweep(sweep_id: str, as_json: Json = False) -> None:
    """Let a sweep wait: runs hold at their next step, waiting ones keep their place."""
    _tell(sweep_id, sweeps.pause(sweep_id), as_json)


@app.command("resume")
def resume_sweep(sweep_id: str, as_json: Json = False) -> None:
    """Let a paused or cancelled sweep go on, also after a restart of the machine."""
    _tell(sweep_id, sweeps.resume(sweep_id), as_json)


@app.command("cancel")
def cancel_sweep(sweep_id: str, as_json: Json = False) -> None:
    """Stop what runs, drop what waits; what is done stays."""
    _tell(sweep_id, sweeps.cancel(sweep_id), as_json)


@app.command("rerun-failed")
def rerun_failed(
    sweep_id: str,
    diverged: Annotated[bool, typer.Option("--diverged", help="Those that diverged, too.")] = False,
    stopped: Annotated[bool, typer.Option("--stopped", help="Those that were stopped, too.")] = False,
    as_json: Json = False,
) -> None:
    """Run again only the runs that failed or were lost."""
    states = ["failed", "lost", *(["diverged"] if diverged else []), *(["stopped"] if stopped else [])]
    _tell(sweep_id, sweeps.rerun_failed(sweep_id, states), as_json)


@app.command("add-seeds")
def add_seeds(
    sweep_id: str, seeds: Annotated[list[str], typer.Argument(help="Such as 4 5, or 4,5.")], as_json: Json = False
) -> None:
    """Run every cell with these seeds as well."""
    _tell(sweep_id, sweeps.add_seeds(sweep_id, sweepfile.seeds_of(" ".join(seeds))), as_json)


@app.command("add-levels")
def add_levels(sweep_id: str, factor: str, levels: list[str], as_json: Json = False) -> None:
    """Add levels of a factor to a grid."""
    _tell(sweep_id, sweeps.add_levels(sweep_id, factor, levels), as_json)


@app.command("report")
def report_sweep(
    sweep_id: str,
    html: Annotated[bool, typer.Option("--html", help="As HTML (the default, or by the ending of --out).")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file (- for stdout); <sweep>.html without it.")] = None,
    metric: Annotated[str, typer.Option(help="The number to judge by, such as test/accuracy.")] = "",
    as_json: Json = False,
) -> None:
    """Write the whole analysis of a sweep as one file that opens anywhere."""
    from core import document, sweepreport
    from core.store import memory_store

    if html and markdown:
        raise ValueError("Say either --html or --md; one file is one of them.")
    if out is not None and out.suffix.lower() not in ("", ".md", ".markdown", ".html", ".htm"):
        raise ValueError(f"A report is HTML or Markdown; let {out.name} end in .html or .md.")
    is_markdown = markdown or (not html and out is not None and out.suffix.lower() in (".md", ".markdown"))
    blocks = sweepreport.report(memory_store(), sweep_id, response=metric)
    written = document.as_markdown(blocks) if is_markdown else document.as_html(blocks)
    if out is None and not as_json:
        out = Path(f"{sweeps.read(sweep_id).id}.{'md' if is_markdown else 'html'}")
    if out == Path("-"):
        typer.echo(written)
    elif out is not None:
        try:
            out.write_text(written, encoding="utf-8")
        except OSError as error:
            raise ValueError(
                f"The report cannot be written to {out} ({error.strerror}); choose another file."
            ) from error
        typer.echo(f"Wrote {out}, {len(written.encode()):,} bytes.", err=True)
    if as_json:
        told = [block.text for block in blocks if block.kind == "quote"]
        notes = [block.text for block in blocks if block.kind == "warning"]
        about = {"sweep": sweeps.read(sweep_id).id, "file": None if out is None else str(out)}
        typer.echo(json.dumps(about | {"sentences": told, "warnings": notes}))
