"""`lab.py evaluate`, `runs` and `leaderboard`: what runs have reached."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import trainers
from commands import Json, plain, teller
from core import paths, rundir


def evaluate(
    run: str,
    data: Annotated[str, typer.Option(help="Data set to score on.")],
    split: Annotated[str | None, typer.Option(help="Its test part is scored; `all` scores everything.")] = None,
    as_json: Json = False,
) -> None:
    """Score a finished run on other data, or on another split of its own."""
    from core import datasets, evaluation, itemwords, lineage
    from core.datasets import splits
    from core.runner import save_evaluation

    folder = rundir.find(run)
    spec, model = rundir.read_spec(folder), evaluation.load_model(folder)
    wanted = splits.parse(split or datasets.default_split(data, spec.task)).name
    dataset = datasets.load(data, spec.task)
    assignment = splits.assign(dataset, wanted)
    is_own = (data, wanted) == (spec.data, spec.split)
    if not is_own:  # of its own split all behind it was asked when it was made
        lineage.refuse_leak(folder.name, dataset, assignment)
    # A run's own report ranks it, so where it is written again it keeps its validation part.
    parts = ("validation", "test") if is_own else ("test",)
    module = trainers.load(spec.trainer)
    found, table = evaluation.evaluate(module, model, dataset, assignment, parts=parts, progress=teller())
    found |= {"split": wanted, "run": spec.id, "is_leaky": splits.is_leaky(dataset, wanted)}
    if folder.parent == paths.runs():  # starter runs are the project's, not the user's to write to
        path = save_evaluation(folder, found)
        table.to_parquet(path.with_suffix(".parquet"), index=False)
    if as_json:
        typer.echo(json.dumps(plain(found)))
        return
    of_test = itemwords.of_report(found)["test"]
    typer.echo(f"{of_test.n:,} test items of {data}, split {wanted}, 95 % intervals over their groups")
    for name, score in found["parts"]["test"]["metrics"].items():
        interval = f"  [{score['low']:.3f}, {score['high']:.3f}]" if score["low"] is not None else ""
        typer.echo(f"{name:24} {score['value']:8.4f}{interval}")
    for sentence in itemwords.sentences(itemwords.of_report(found), spec.task):
        typer.echo(sentence)


def runs(as_json: Json = False, limit: int = 50) -> None:
    """List runs, newest first."""
    from core.store import memory_store

    frame = memory_store().runs(limit=limit)
    if as_json:
        typer.echo(frame.to_json(orient="records"))
    elif frame.empty:
        typer.echo("No runs yet: python lab.py train toy --data toy")
    else:
        shown = frame[["run", "state", "trainer", "data", "split", "seed", "epochs", "seconds"]]
        typer.echo(shown.to_string(index=False, na_rep="—", float_format=_number))
        if len(frame) == limit:
            typer.echo(f"The newest {limit}; `--limit` shows more.")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def leaderboard(
    task: Annotated[str, typer.Option(help="emotion, instruments …")],
    data: str | None = None,
    split: str | None = None,
    metric: Annotated[str | None, typer.Option(help="Ranked by this on validation.")] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Configurations of a board, ranked by validation, seeds pooled, with baseline and ceiling."""
    from core import boards, metrics
    from core.datasets import splits
    from core.store import memory_store

    named = splits.parse(split).name if split else None  # cv10:0 is stored as cv10:0.0
    store = memory_store()
    frame = boards.table(store, task, data, named, metric)
    if frame.empty and len(store.boards()):
        there = [f"{b['task']} · {b['data']} · {b['split']}" for b in store.boards().to_dict("records")]
        asked = " · ".join(part for part in (task, data, named) if part)
        raise ValueError(f"There is no board {asked}; there are {'; '.join(there)}.")
    if as_json:
        if len(frame):
            frame["config"] = [json.loads(text) if isinstance(text, str) else None for text in frame["config"]]
        typer.echo(frame.to_json(orient="records"))
    elif as_csv:
        typer.echo(boards.flat(frame).to_csv(index=False), nl=False)
    elif frame.empty:
        typer.echo(f"No runs on a board of task {task} yet.")
    else:
        shown = frame[boards.SHORT].assign(n=[str(int(n)) if n == n else "" for n in frame["n"]])
        typer.echo(f"{metric or metrics.primary(task)}; intervals are over what the column varied says")
        text = shown.to_string(index=False, float_format=lambda number: f"{round(number, 3) + 0.0:.3f}", na_rep="—")
        typer.echo(text)
