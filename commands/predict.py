"""`lab.py predict`: what stored models hear in audio files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from commands import Json


def predict(
    clips: list[Path],
    run: Annotated[
        list[str] | None,
        typer.Option(help="Run to predict with (repeatable); else the run put on Listen, or the best of its board."),
    ] = None,
    window: Annotated[float | None, typer.Option(help="Window in s; the length each model learned from else.")] = None,
    hop: Annotated[float, typer.Option(help="A prediction every … s.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Valence, arousal and instruments of audio files over time."""
    from core import library, listening

    emotion, instruments = _models_to_listen(run or [])
    bad = 0
    for path in clips:
        try:
            clip = library.opened(path)
            heard = [listening.listen(clip, model, window_s=window, hop_s=hop) for model in emotion]
            scores = [listening.listen(clip, model, window_s=window, hop_s=hop) for model in instruments]
        except (ValueError, OSError) as error:
            bad += 1
            typer.echo(" ".join(str(error).split()), err=True)
            continue
        found = listening.report(clip, heard, scores)
        typer.echo(json.dumps(found) if as_json else _in_words(found))
    if bad:
        raise typer.Exit(2)


def _models_to_listen(named: list[str]) -> tuple[list[Any], list[Any]]:
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
    return emotion, [model for model in models if model.task == "instruments"]


def _in_words(found: dict[str, Any]) -> str:
    """What is told of a clip by each run."""
    from core import heardwords

    song = found["song"]
    words = [f"{found['clip']}  {found['seconds']:.1f} s"]
    for run, values in song["by_run"].items():
        valence, arousal = (
            "—" if values[label] is None else f"{values[label]:.2f}" for label in ("valence", "arousal")
        )
        words.append(f"valence {valence}, arousal {arousal} (1–9), heard by {run}")
    for run, told in song.get("instruments_by_run", {}).items():
        words.append(f"instruments: {told['instruments_words']}, heard by {run}")
        brief = heardwords.while_words(told["instruments_for_a_while"], bool(told["instruments_named"]))
        trust = [told["instruments_note"], told["instruments_measured"]] if told["instruments_note"] else []
        words += [f"  {text}" for text in (brief, *trust) if text]
    return "\n  ".join([*words, *found["warnings"]])
