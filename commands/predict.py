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
        list[str] | None, typer.Option(help="Run to predict with (repeatable); best on its board else.")
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
            scores = listening.listen(clip, instruments, window_s=window, hop_s=hop) if instruments else None
        except (ValueError, OSError) as error:
            bad += 1
            typer.echo(" ".join(str(error).split()), err=True)
            continue
        found = listening.report(clip, heard, scores)
        typer.echo(json.dumps(found) if as_json else _in_words(found))
    if bad:
        raise typer.Exit(2)


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
    """What is told of a clip, and by which runs: the song's values are those of the first of each task."""
    from core import heardwords

    song, models = found["song"], found["models"]
    told_by = [*models["emotion"][:1], *([models["instruments"]] if models["instruments"] else [])]
    runs = [model["run"] for model in told_by]
    words = [f"{found['clip']}  {found['seconds']:.1f} s, heard by {' and '.join(runs)}"]
    if "valence" in song:
        valence, arousal = ("—" if song[label] is None else f"{song[label]:.2f}" for label in ("valence", "arousal"))
        words.append(f"valence {valence}, arousal {arousal} (1–9)")
    if "instruments_words" in song:
        words += [f"instruments: {song['instruments_words']}"]
        brief = heardwords.while_words(song["instruments_for_a_while"])
        words += [f"  {text}" for text in (brief, song["instruments_note"]) if text]
    return "\n  ".join([*words, *found["warnings"]])
