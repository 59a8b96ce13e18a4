"""Earshot from a terminal: the same lab as the app. `python lab.py --help` lists what it can do.

Exit status everywhere: 0 done, 1 the run did not finish, 2 the user's mistake (one line on stderr).
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import trainers
from core import paths, rundir, supervisor
from core.executors import local

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
run_app = typer.Typer(no_args_is_help=True, help="Act on one run.")
app.add_typer(run_app, name="run")

ENSURE_EVERY_S = 5.0
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    trainer: str,
    data: Annotated[str, typer.Option(help="Data set, e.g. deam, cues-small, folder:PATH.")],
    split: Annotated[str | None, typer.Option(help="Named split; each data set has a default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training; the split has its own.")] = 0,
    values: Annotated[list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Set a knob.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    now: Annotated[bool, typer.Option("--now", help="Do not wait for a free device.")] = False,
    as_json: Json = False,
) -> None:
    """Train in the foreground with a progress bar. Ctrl-C stops the run; its last checkpoint stays."""
    module = trainers.load(trainer)
    spec = supervisor.new_spec(module, _settings(values or []), data=data, split=split, seed=seed, device=device)
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
        typer.echo(json.dumps({"run": spec.id, "status": status.state, "metrics": _plain(latest)}))
    else:
        for name, value in latest.items():
            if name.startswith(("validation/", "test/")):
                typer.echo(f"{name:28} {value:.4g}")
    if status.reason and status.state != "done":
        typer.echo(f"{status.state}: {status.reason}", err=True)
    raise typer.Exit(0 if status.state == "done" else 1)


@app.command()
def predict(
    clips: list[Path],
    run: Annotated[
        list[str] | None, typer.Option(help="Run to predict with (repeatable); best on its board else.")
    ] = None,
    window: Annotated[float | None, typer.Option(help="Window in s; the length each model learned from else.")] = None,
    hop: Annotated[float, typer.Option(help="A prediction every … s.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Valence, arousal and instruments of audio files over time."""
    from core import audio, listening

    emotion, instruments = _models_to_listen(run or [])
    bad = 0
    for path in clips:
        try:
            clip = audio.decode(path)
            heard = [listening.listen(clip, model, window_s=window, hop_s=hop) for model in emotion]
            scores = listening.listen(clip, instruments, window_s=window, hop_s=hop) if instruments else None
        except (ValueError, OSError) as error:
            bad += 1
            typer.echo(" ".join(str(error).split()), err=True)
            continue
        found = listening.report(clip, heard, scores)
        typer.echo(json.dumps(found) if as_json else _in_words(found))
    if bad:
        raise typer.Exit(2)


@app.command()
def evaluate(
    run: str,
    data: Annotated[str, typer.Option(help="Data set to score on.")],
    split: Annotated[str | None, typer.Option(help="Its test part is scored; `all` scores everything.")] = None,
    as_json: Json = False,
) -> None:
    """Score a finished run on other data, or on another split of its own."""
    from core import datasets, evaluation
    from core.datasets import splits
    from core.runner import save_evaluation

    folder = rundir.find(run)
    spec, model = rundir.read_spec(folder), evaluation.load_model(folder)
    wanted = splits.parse(split or datasets.default_split(data, spec.task)).name
    dataset = datasets.load(data, spec.task)
    assignment = splits.assign(dataset, wanted)
    if evaluation.may_share_items(spec.data, data):  # data it cannot have learned from need not be here
        evaluation.refuse_leak(spec, datasets.load(spec.data, spec.task), dataset, assignment)
    # A run's own report ranks it, so where it is written again it keeps its validation part.
    parts = ("validation", "test") if (data, wanted) == (spec.data, spec.split) else ("test",)
    module = trainers.load(spec.trainer)
    found, table = evaluation.evaluate(module, model, dataset, assignment, parts=parts, progress=_teller())
    found |= {"split": wanted, "run": spec.id, "is_leaky": splits.is_leaky(dataset, wanted)}
    if folder.parent == paths.runs():  # starter runs are the project's, not the user's to write to
        path = save_evaluation(folder, found)
        table.to_parquet(path.with_suffix(".parquet"), index=False)
    if as_json:
        typer.echo(json.dumps(_plain(found)))
        return
    for name, score in found["parts"]["test"]["metrics"].items():
        interval = f"  [{score['low']:.3f}, {score['high']:.3f}]" if score["low"] is not None else ""
        typer.echo(f"{name:24} {score['value']:8.4f}{interval}")


@app.command()
def runs(as_json: Json = False, limit: int = 50) -> None:
    """List runs, newest first."""
    from core.store import memory_store

    frame = memory_store().runs(limit=limit)
    if as_json:
        typer.echo(frame.to_json(orient="records"))
    elif frame.empty:
        typer.echo("No runs yet: python lab.py train toy --data toy")
    else:
        typer.echo(
            frame[["run", "state", "trainer", "data", "split", "seed", "epochs", "seconds"]].to_string(index=False)
        )


@app.command()
def leaderboard(
    task: Annotated[str, typer.Option(help="emotion, instruments …")],
    data: str | None = None,
    split: str | None = None,
    metric: Annotated[str | None, typer.Option(help="Ranked by this on validation.")] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Configurations of a board, ranked by validation, seeds pooled, with baseline and ceiling."""
    from core import boards
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
        typer.echo(shown.to_string(index=False, float_format=lambda number: f"{number + 0.0:.3f}", na_rep="—"))


@app.command()
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


@run_app.command("stop")
def stop_run(run: str) -> None:
    """Stop a run; its last checkpoint stays."""
    typer.echo(supervisor.stop(rundir.find(run)))


@run_app.command("resume")
def resume_run(run: str) -> None:
    """Queue a stopped, failed or lost run again; it goes on from its last checkpoint."""
    supervisor.resume(rundir.find(run))
    typer.echo("It is in the queue.")


def _settings(pairs: list[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes knob=value, not {pair!r}.")
        values[name.strip()] = value
    return values


def _follow(folder: Path, child: Any, *, quiet: bool) -> rundir.Status:
    """Show a run until it has ended; Ctrl-C asks it to stop."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    stopping, looked_at = False, time.monotonic()

    def interrupt(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, interrupt)
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
                supervisor.settle(folder, status, child)
                return rundir.read_status(folder)
            else:
                supervisor.press(folder, status, told_to_end)
            text = status.note or f"{status.state}, epoch {status.epoch:.3g}"
            if status.state == "queued":
                text = f"waiting for the device, {supervisor.position(folder)} before it (--now does not wait)"
                if told != text and bar.disable:
                    typer.echo(text, err=True)
                told = text
            bar.update(task, description=text, completed=status.fraction)
            if stopping:
                stopping = False
                bar.update(task, description="stopping")
                supervisor.stop(folder)
            time.sleep(0.1)


def _models_to_listen(named: list[str]) -> tuple[list[Any], Any]:
    from core import listening
    from core.store import memory_store

    if named:
        models = [listening.load(run) for run in named]
    else:
        store = memory_store()
        chosen = listening.choices(store, "emotion")[:2] + listening.choices(store, "instruments")[:1]
        models = [listening.load(run) for run in chosen]
    if not models:
        raise ValueError("No stored run can listen yet; train one: python lab.py train ridge --data cues-small")
    emotion = [model for model in models if model.task == "emotion"]
    return emotion, next((model for model in models if model.task == "instruments"), None)


def _in_words(found: dict[str, Any]) -> str:
    song = found["song"]
    words = [f"{found['clip']}  {found['seconds']:.1f} s"]
    if "valence" in song:
        words.append(f"valence {song['valence']:.2f}, arousal {song['arousal']:.2f} (1–9)")
    if "instruments" in song:
        best = sorted(song["instruments"].items(), key=lambda pair: -(pair[1] or 0))[:3]
        words.append(", ".join(f"{label} {score:.2f}" for label, score in best))
    return "\n  ".join([*words, *found["warnings"]])


def _teller() -> Callable[[float, str], None]:
    """A progress function that says something slow on stderr, in steps of a tenth."""
    said: set[int] = set()

    def tell(fraction: float, sentence: str) -> None:
        if int(fraction * 10) not in said:
            said.add(int(fraction * 10))
            typer.echo(f"{sentence} ({fraction:.0%})", err=True)

    return tell


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except (ValueError, typer.TyperException) as error:
        message = getattr(error, "format_message", error.__str__)()
        typer.echo(" ".join(message.split()), err=True)
        sys.exit(2)
    except OSError as error:  # a folder that is a file, not ours to write to, or on a full disk
        typer.echo(f"{error.strerror}: {error.filename}" if error.filename else str(error), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):  # before there was a run to stop
        typer.echo("Interrupted.", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
