"""`lab.py study`: a published experiment beside ours, and for each of its claims what the runs say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from commands import Json, plain, teller
from commands.sweep import follow


def study(
    name: Annotated[str | None, typer.Argument(help="A study; without one all are listed.")] = None,
    quick: Annotated[bool, typer.Option(help="Its short variant: fewer seeds and epochs.")] = False,
    data: Annotated[str, typer.Option(help="Other data than its own: a data set's name, or folder:PATH.")] = "",
    run: Annotated[bool, typer.Option("--run", help="Make the runs it still needs, and wait for them.")] = False,
    stage: Annotated[list[str] | None, typer.Option(help="With --run: of this sweep alone; main, or a stage.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="With --run: start them and leave; they go on.")] = False,
    as_json: Json = False,
) -> None:
    """Put a study to the test: published beside measured, and a verdict for each claim, computed from the runs here."""
    from core import studies, studytally
    from core.store import memory_store

    for option, given in (("--stage", stage), ("--detach", detach)):
        if given and not run:
            raise ValueError(f"{option} goes with --run, which makes the runs; without it there is nothing to start.")
    store = memory_store()
    if name is None:
        return _list(studies.names(), store, quick, as_json)
    chosen = studies.load(name, data)
    runs = studies.runs_of(store, chosen, quick=quick)
    started = _start(chosen, runs, quick, stage or None) if run else []
    if started and not detach:
        follow(started, quiet=as_json)
        store.sync()
        runs = studies.runs_of(store, chosen, quick=quick)
    if started and detach and not as_json:
        return
    if run and not detach and studies.complete(chosen, runs, teller()):
        runs = studies.runs_of(store, chosen, quick=quick)  # it has read what was there before
    if not as_json:
        typer.echo(f"Judging {len(chosen.claims)} claims by {len(runs.results)} runs …", err=True)
    judged = studies.judge(chosen, runs)
    table = studies.compare(chosen, runs)
    if as_json:
        typer.echo(json.dumps(_report(chosen, runs, judged, table, quick, started), allow_nan=False))
        return
    finished, wanted = _counts(studies.coverage(chosen, runs, quick=quick))
    typer.echo(f"{chosen.file.title}\n{chosen.file.source}\n{finished} of {wanted} runs on {runs.data} finished\n")
    if elsewhere := studies.elsewhere(chosen, runs):
        typer.echo(f"{elsewhere}\n")
    elif len(table):
        shown = table.drop(columns=["sd"]).to_string(index=False, na_rep="—", float_format=lambda v: f"{v:.5g}")
        typer.echo(f"{shown}\n")
        if "seconds" in set(table["metric"]) and (why := studies.untimed(runs)):
            typer.echo(f"seconds: {why}\n")
    for fault in table.attrs.get("faults", ()):
        typer.echo(fault, err=True)
    if told := " ".join(filter(None, (studytally.published(judged), studytally.ours(judged)))):
        typer.echo(f"{told}\n")
    for claim, verdict in judged:
        whose = "" if claim.whose == "published" else " (ours)"
        typer.echo(f"{verdict.word.upper()}{whose}: {claim.text}\n    {verdict.sentence}")


def _start(chosen: Any, runs: Any, quick: bool, stages: list[str] | None) -> list[str]:
    """The sweeps in which the missing runs are made: those that are under way, and new ones."""
    from core import studies, supervisor, sweeps

    known = list(studies.variants(chosen, quick=quick))
    for stage in stages or ():
        if stage not in known:
            raise ValueError(f"There is no stage {stage!r}; there are {', '.join(known)}.")
    wanted = studies.lacking(chosen, runs, quick=quick, stages=stages)
    waiting = [one for stage, one in studies.under_way(chosen, quick=quick).items() if stage in wanted]
    going, paused = ([one for one in waiting if one.state == state] for state in ("running", "paused"))
    told = [
        f"Sweep {one.id} has these runs and is paused; `python lab.py sweeps resume {one.id}` lets it go on."
        for one in paused
    ]
    if paused and len(paused) == len(wanted):
        raise ValueError(" ".join(told))
    for sentence in (*told, *(f"Sweep {one.id} has been started before and goes on." for one in going)):
        typer.echo(sentence, err=True)
    newest = studies.sweeps_of(chosen, sweeps.listing(), quick=quick)
    stopped = [one for stage, one in newest.items() if stage in wanted and one.state == "cancelled"]
    started = studies.start(chosen, runs, quick=quick, stages=stages)
    for one in stopped if started else ():
        typer.echo(f"Sweep {one.id} was cancelled and stays so; what it did not finish is made in a new one.", err=True)
    for sweep in started:
        typer.echo(f"Sweep {sweep}", err=True)
    if going:
        supervisor.ensure()
    elif not started:
        typer.echo("Every run that it needs is here.", err=True)
    return [one.id for one in going] + started


def _list(names: list[str], store: Any, quick: bool, as_json: bool) -> None:
    from core import studies

    rows = []
    for name in names:
        try:
            chosen = studies.load(name)
        except ValueError as error:  # the others are listed all the same
            typer.echo(str(error), err=True)
            continue
        runs = studies.runs_of(store, chosen, quick=quick)
        finished, wanted = _counts(studies.coverage(chosen, runs, quick=quick))
        rows.append({"study": name, "title": chosen.file.title, "source": chosen.file.source,
                     "claims": len(chosen.claims), "finished": finished, "wanted": wanted})  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows))
    for row in [] if as_json else rows:
        typer.echo(f"{row['study']:16} {row['finished']} of {row['wanted']} runs  {row['title']}")


def _counts(coverage: Any) -> tuple[int, int]:
    return int(coverage[["finished", "wanted"]].min(axis=1).sum()), int(coverage["wanted"].sum())


def _report(chosen: Any, runs: Any, judged: list[Any], table: Any, quick: bool, started: list[str]) -> dict[str, Any]:
    from core import studies

    return {
        "study": chosen.name,
        "title": chosen.file.title,
        "source": chosen.file.source,
        "is_quick": quick,
        "data": runs.data,
        "elsewhere": studies.elsewhere(chosen, runs),
        "started": started,
        "coverage": studies.coverage(chosen, runs, quick=quick).to_dict("records"),
        "published": [plain(row) for row in table.to_dict("records")],
        "faults": list(table.attrs.get("faults", ())),
        "claims": [
            {
                "id": claim.id,
                "text": claim.text,
                "whose": claim.whose,
                "verdict": verdict.verdict,
                "check_failed": verdict.has_failed,
                "sentence": verdict.sentence,
                "evidence": json.loads(verdict.evidence.to_json(orient="records")),
            }
            for claim, verdict in judged
        ],
    }
