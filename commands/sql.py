"""`lab.py sql`: a statement of your own on the index of all runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from commands import Json


def sql(
    statement: Annotated[str, typer.Argument(help='One SELECT; "-" reads it from the standard input.')],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Stop it after … s.")] = 10.0,
    rows: Annotated[int, typer.Option(min=1, help="Give at most so many rows.")] = 10_000,
) -> None:
    """Ask the index of all runs: runs, configs, metrics, events, snapshots, evaluations (DESCRIBE shows a table)."""
    from core import sqlbox
    from core.store import memory_store

    text = sys.stdin.read() if statement == "-" else statement
    answer = sqlbox.ask(memory_store(), text, seconds=seconds, rows=rows)
    if as_csv:
        typer.echo(sqlbox.as_csv(answer.table).decode(), nl=False)
    else:
        frame = sqlbox.as_frame(answer.table)
        if as_json:
            typer.echo(frame.to_json(orient="records", date_format="iso", default_handler=str))
        else:
            typer.echo(frame.to_string(index=False) if len(frame) else "No rows.")
    if answer.is_cut:
        typer.echo(f"Cut at {rows:,} rows; --rows gives more.", err=True)
