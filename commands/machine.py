"""`lab.py doctor`: what this machine has."""

from __future__ import annotations

import json

import typer

from commands import Json


def doctor(as_json: Json = False) -> None:
    """What this machine has: device, memory, audio, decoders, data sets, disk, versions."""
    from core import doctor as examine

    found = examine.examine()
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for topic, lines in found.items():
            typer.echo(topic)
            for line in lines:
                typer.echo(f"  {line}")
