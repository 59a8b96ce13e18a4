"""Train and write what ships: `python -m starter.make [NAME …]` (all where none is named).

Each run is an ordinary run, made in the cache and then copied without what must not or need not ship: predictions
(they hold DEAM's ratings), all checkpoints but a few of one run, and the name of the machine it ran on. DEAM and the
recordings must be in `EARSHOT_DATA`, the six sound fonts of `cues-fonts` in `EARSHOT_FONTS`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import trainers
from core import (
    audio,
    cards,
    certainty,
    datasets,
    evaluation,
    lineage,
    listening,
    paths,
    polyphonic,
    polyreports,
    rundir,
    scored,
    supervisor,
)
from core.certainty import Certainty
from core.datasets import INSTRUMENT_NAMES, Dataset, splits
from core.executors import local
from core.runner import save_evaluation
from trainers import instrument_net

SEEDS, PLACES = range(5), ("first", "second", "third", "fourth", "fifth")


# name → trainer, data, seed, knobs. No trainer that stores training rows (svr) may stand here for DEAM.
RUNS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "deam-ridge": ("ridge", "deam", 0, {}),
    "deam-trees-0": ("boosted_trees", "deam", 0, {}),
    "deam-trees-1": ("boosted_trees", "deam", 1, {}),
    "deam-trees-2": ("boosted_trees", "deam", 2, {}),
    "cues-ridge": ("ridge", "cues", 0, {}),
    "cues-trees-0": ("boosted_trees", "cues", 0, {"learning_rate": 0.1}),
    "cues-instrunet-0": (
        "instrunet",
        "cues",
        0,
        {"width": 16, "kernel": 3, "epochs": 12, "batch_size": 64, "learning_rate": 0.03},
    ),
    # of the fonts FluidR3_GM, MuseScore_General_Full, Merlin, sf_GMbank, sonivox and TimGM6mb; others make other runs
    **{f"fonts-instrument-net-{seed}": ("instrument_net", "cues-fonts", seed, instrument_net.UNSEEN) for seed in SEEDS},
    "fonts-committee": (
        "committee",
        "cues-fonts",
        0,
        {place: f"starter-fonts-instrument-net-{seed}" for place, seed in zip(PLACES, SEEDS, strict=True)},
    ),
}
RECORDINGS = "folder:instruments"
"""Real instruments that no shipped run learned from: what it scores there ships with it, and Listen tells it. What
learned from sound fonts is also calibrated there, where that is truer than its scores, and told from which probability
on it names a class."""
PINNED = {"instruments": ["starter-fonts-committee"]}
"""What Listen opens with until somebody pins another: validation scores on different data do not rank runs."""

POLYPHONIC = ("fonts-committee",)
"""Runs that ship with a report of what they hear in the mixes of their own data set, with the published windows."""
SHIPPED_REPORT = (
    "This report ships with the run; its mixes are of six sound fonts, and those that other fonts make are others."
)

KEPT_EPOCHS = {"cues-trees-0": (10, 40, 100)}
"""Moments that ship so that "listen to this epoch" can be tried at once: the weights of 10 rounds are 29 kB, of 100
240 kB, and its curves move with the music."""

CLIP_SECONDS = 30.0


def make_run(name: str) -> Path:
    """Train one run to its end and put its slim copy into `starter/runs`; returns the copy."""
    trainer, data, seed, knobs = RUNS[name]
    spec = supervisor.new_spec(trainers.load(trainer), knobs, data=data, seed=seed)
    spec = replace(spec, id=f"starter-{name}")
    shutil.rmtree(paths.runs() / spec.id, ignore_errors=True)
    folder = rundir.create(spec, state="starting")
    local.start(folder).wait()
    status = rundir.read_status(folder)
    if status.state != "done":
        raise RuntimeError(f"{name} ended {status.state}: {status.reason}")
    if name in POLYPHONIC:
        report = polyphonic.evaluate(spec.id, data, polyreports.Settings())
        polyreports.write(report | {"notes": [*report["notes"], SHIPPED_REPORT]})
    return ship(name, folder)


def ship(name: str, folder: Path) -> Path:
    """The slim copy of a finished run in `starter/runs`."""
    spec, status = rundir.read_spec(folder), rundir.read_status(folder)
    dataset = datasets.load(spec.data, spec.task)
    target = paths.starter() / "runs" / spec.id
    shutil.rmtree(target, ignore_errors=True)
    (target / "checkpoints").mkdir(parents=True)
    kept = [f"checkpoints/epoch-{epoch:04d}.safetensors" for epoch in KEPT_EPOCHS.get(name, ())]
    for file in ("spec.json", "events.jsonl", "checkpoints/final.safetensors", *kept):
        shutil.copy(folder / file, target / file)
    for part in ("evaluations", "polyphonic"):
        if (folder / part).exists():
            shutil.copytree(folder / part, target / part)
    rundir.set_status(target, replace(status, host="", pid=0, pid_started=0.0, process=""))
    model = evaluation.load_model(folder)
    if model.task == "instruments":
        recordings = datasets.load(RECORDINGS, "instruments")
        lineage.refuse_leak(spec.id, recordings, splits.assign(recordings, "all"))
        _score(model, recordings, target)
        # what Listen would fit to the predictions, which stay behind, but for what is made to hear recordings
        certainty.ship(model, on_recordings(model, recordings) if spec.data == "cues-fonts" else None)
    (target / "card.md").write_text(cards.card(target, dataset, model), encoding="utf-8")
    return target


def _score(model: evaluation.Model, recordings: Dataset, target: Path) -> None:
    """Score an instrument run on real recordings that it did not learn from."""
    everything = splits.assign(recordings, "all")
    found, _ = evaluation.evaluate(trainers.load(model.trainer), model, recordings, everything, parts=("test",))
    save_evaluation(target, found | {"split": "all", "run": model.run, "is_leaky": False})


def on_recordings(model: evaluation.Model, recordings: Dataset) -> Certainty:
    """How sure a run is of whole recordings, as Listen hears them; a calibration must be true of sources it did not
    see, of which each holds sounds of its own."""
    counts = np.sum(recordings.targets, axis=0)
    most = [INSTRUMENT_NAMES[recordings.labels[column]] for column in np.argsort(-counts, kind="stable")[:3]]
    told = f"{', '.join(most[:-1])} and {most[-1]}"
    items = f"recordings of one instrument each that it did not learn from (mostly {told})"
    scores = listening.songs(model, recordings)
    sources = np.asarray(recordings.sources)
    one = scored.of_rows(recordings.labels, recordings.items, sources, recordings.targets, scores)
    return certainty.fitted_to(one, model.run, RECORDINGS, "all", items)


def make_clips() -> None:
    """A few songs and a mix of the built-in corpus as Ogg, with what is known about them."""
    place = paths.starter() / "clips"
    place.mkdir(parents=True, exist_ok=True)
    songs, mixes = datasets.load("cues", "emotion"), datasets.load("cues", "instruments")
    about: dict[str, dict[str, str]] = {}
    changing = [number for number, item in enumerate(songs.items) if str(item) in songs.traces]
    halves = {number: _halves(songs.traces[str(songs.items[number])]) for number in changing}
    rising = max(changing, key=lambda number: halves[number])
    falling = min(changing, key=lambda number: halves[number])
    for number, title in ((rising, "A song that wakes up"), (falling, "A song that calms down")):
        times_s, values = songs.traces[str(songs.items[number])]
        start_s = max((times_s[-1] + times_s[1]) / 2 - CLIP_SECONDS / 2, 0.0)  # the clip is the middle of the song
        change_s = times_s[abs(values[1:] - values[:-1]).sum(axis=1).argmax() + 1]
        text = f"Generated; its cues change after {change_s - start_s:g} s."
        about |= _clip(place, songs, number, title, start_s, text)
    several = [number for number, target in enumerate(mixes.targets) if target.sum() >= 3]
    number = several[0]
    names = ", ".join(INSTRUMENT_NAMES[mixes.labels[column]] for column in mixes.targets[number].nonzero()[0])
    about |= _clip(place, mixes, number, "Three instruments at once", 0.0, f"Generated; {names} play.")
    (place / "clips.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _halves(trace: tuple[Any, Any]) -> float:
    """How much arousal rises from the first half of a trace to the second."""
    values = trace[1][:, 1]
    half = len(values) // 2
    return float(values[half:].mean() - values[:half].mean())


def _clip(place: Path, dataset: Any, number: int, title: str, start_s: float, text: str) -> dict[str, dict[str, str]]:
    clip = audio.decode(dataset.audio(number))
    first = int(start_s * clip.sample_rate_hz)
    samples = clip.mono()[first : first + int(CLIP_SECONDS * clip.sample_rate_hz)]
    name = f"{title.lower().replace(' ', '-')}.ogg"
    with soundfile.SoundFile(place / name, "w", clip.sample_rate_hz, 1, format="OGG", subtype="VORBIS") as file:
        for block in range(0, len(samples), 65_536):  # libsndfile fails on long Vorbis writes
            file.write(samples[block : block + 65_536])
    return {name: {"title": title, "about": text}}


def make_predictions() -> None:
    """What the shipped runs hear in the shipped clips, so that the first page needs neither torch nor XGBoost."""
    shutil.rmtree(listening.shipped(), ignore_errors=True)
    models = [listening.load(f"starter-{name}") for name in sorted(RUNS)]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["EARSHOT_CACHE"] = cache  # the features in the user's cache may come from an older state of the code
        for path in sorted((paths.starter() / "clips").glob("*.ogg")):
            clip = audio.decode(path)
            for model in models:
                listening.ship(clip, model)


def main(names: list[str]) -> None:
    """Make the named runs and the clips (all of it where nothing is named), and always the predictions."""
    unknown = set(names) - {*RUNS, "clips", "predictions"}
    if unknown:
        choices = f"{', '.join(RUNS)}, clips and predictions"
        sys.exit(f"There is no starter run {', '.join(sorted(unknown))}; there are {choices}.")
    for name in names or [*RUNS, "clips"]:
        if name == "clips":
            make_clips()
        elif name in RUNS:
            make_run(name)
        sys.stderr.write(f"{name}: done\n")
    rundir.write_json(paths.starter() / "pins.json", PINNED)
    make_predictions()  # of other weights or other clips the old ones would be of no use


if __name__ == "__main__":
    main(sys.argv[1:])
