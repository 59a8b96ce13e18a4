"""`lab.py data …`: what data there is, adding a folder, checking it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import typer

from commands import Json, plain, teller

app = typer.Typer(no_args_is_help=True)

SHOWN = 10  # findings of a kind


@app.command("list")
def list_data(as_json: Json = False) -> None:
    """Every data set the lab knows: what is here, what is missing and how to get it."""
    from core import catalogue

    found = catalogue.cards()
    if as_json:
        typer.echo(json.dumps(plain([card.as_dict() for card in found])))
        return
    for card in found:
        counts = "; ".join(
            f"{task.task}: {task.items:,} items, {task.groups:,} groups" if task.items else task.task
            for task in card.tasks
        )
        typer.echo(f"{card.name:20} {card.state:12} {counts}")
        for line in (card.sentence, f"added: {card.added}" if card.added else ""):
            if line:
                typer.echo(f"{'':20} {line}")
        if card.state in ("missing", "known"):
            typer.echo("\n".join(f"{'':20} {line}" for line in card.layout.rstrip().splitlines()))
            typer.echo(f"{'':20} {card.size}; {card.licence}")


@app.command()
def add(name: str, path: str, as_json: Json = False) -> None:
    """Give a folder of audio with a CSV a name, or say where a known data set (deam, irmas …) lies.

    The CSV has path and either label (pia or piano; several: pia|voi) or valence and arousal (1 to 9), and may have
    group and source. `data check folder:PATH` looks at all of a folder that is refused.
    """
    from core import catalogue

    problems = catalogue.problems_with(name, path)
    if problems:  # one line each, as everywhere
        for sentence in problems:
            typer.echo(sentence, err=True)
        raise typer.Exit(2)
    card = catalogue.add(name, path)
    if as_json:
        typer.echo(json.dumps(plain(card.as_dict())))
    else:
        typer.echo(f"{name} is {card.added}: {_counts(card.as_dict())}")


@app.command()
def get(name: str, as_json: Json = False) -> None:
    """Download a data set into the cache, where its publisher lets a program do so (mnist, fashion-mnist, kmnist)."""
    from core import catalogue, datasets

    found = datasets.module(name)
    if not hasattr(found, "fetch"):
        raise ValueError(f"{name} cannot be fetched from here; see python lab.py data list for where it comes from.")
    found.fetch(teller())
    card = catalogue.card(name)
    typer.echo(json.dumps(plain(card.as_dict())) if as_json else f"{name} is {card.state}: {_counts(card.as_dict())}")


@app.command()
def remove(name: str, as_json: Json = False) -> None:
    """Forget a name that was added; no file is deleted."""
    from core import catalogue

    place = catalogue.remove(name)
    typer.echo(json.dumps({"name": name, "path": str(place)}) if as_json else f"{name} is forgotten; {place} stays.")


@app.command()
def check(
    name: str,
    task: Annotated[str | None, typer.Option(help="emotion, instruments …; its first task otherwise.")] = None,
    split: Annotated[str | None, typer.Option(help="The split that copies must not cross.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Check even where nothing has changed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help=f"All findings of a kind, not the first {SHOWN}.")] = False,
    as_json: Json = False,
) -> None:
    """Look a data set over: missing, unreadable, silent, clipped, double or mislabelled. Exit 1: something serious."""
    from core import datacheck

    report = datacheck.check(name, task, split, teller(), is_fresh=again)
    if as_json:
        typer.echo(json.dumps(plain(report.as_dict())))
    else:
        told = Counter[tuple[str, str]]()
        for finding in report.findings:
            kind = finding.severity, finding.kind
            told[kind] += 1
            if told[kind] > SHOWN and not everything:
                continue
            about = " + ".join(part for part in (finding.item, finding.other) if part) or name
            typer.echo(f"{finding.severity:8} {finding.kind:15} {about}: {finding.what} "
                       f"[{finding.evidence:g} {finding.unit}] {finding.remedy}")  # fmt: skip
        for (severity, kind_of), n in told.items():
            if n > SHOWN and not everything:
                typer.echo(f"{severity:8} {kind_of:15} … and {n - SHOWN:,} more like this; --all lists them.")
        for sentence in report.not_checked:
            typer.echo(f"not checked: {sentence}")
        counts = report.as_dict()["counts"]
        typer.echo(
            f"{report.items:,} items, {report.recordings:,} recordings read: {counts['serious']} serious, "
            f"{counts['warning']} warnings, {counts['note']} notes (checked {report.checked_at}, {report.seconds:g} s)."
        )
    raise typer.Exit(1 if report.count("serious") else 0)


def _counts(card: dict[str, Any]) -> str:
    if card["state"] not in ("here", "made here"):
        return str(card["sentence"])
    return "; ".join(f"{task['task']}, {task['items']:,} items, {task['groups']:,} groups" for task in card["tasks"])
