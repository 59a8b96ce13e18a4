"""The built-in corpus: music made from musical cues, with labels from a model of listeners, rendered on first use.

Emotion: songs whose valence and arousal follow published weights of mode, register, tempo, level, articulation and
timbre (see `_listeners`). Instruments: the eleven IRMAS classes, 3 s excerpts of one instrument to train and
polyphonic mixes to test. Nothing is downloaded; the same seed gives the same corpus on every machine.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core import paths, stats
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES, Dataset, Progress, no_progress
from core.datasets import _listeners as listeners
from core.datasets._workers import Job, render_all
from core.events import Part

TASKS = ("emotion", "instruments")
DEFAULT_SPLITS = {"instruments": "official"}
INPUTS_MADE_HERE = {"emotion": ("lib164", "logmel"), "instruments": ("logmel", "lib164", "wave16k")}
VERSION = "3"
FIRST_USE = (
    "Rendered and listened to on first use: a quarter of an hour on two cores, and 2 GB of disk; kept afterwards."
)
EXCERPT_SECONDS = 3.0

LICENCE = (
    "CC0 1.0 for the generated scores, labels and audio; rendered with the sound font TimGM6mb by Tim Brechbill as "
    "shipped in pretty_midi, which names no licence for it (Debian distributes it under the GPL, version 2)"
)
CITATION = (
    "Cue weights after T. Eerola, A. Friberg, R. Bresin (2013). Emotional expression in music: contribution, "
    "linearity, and additivity of primary musical cues. Frontiers in Psychology 4:487."
)
NOT_LISTENERS = (
    "These labels come from a model of listeners, not from listeners: a formula over six musical cues, a melody "
    "effect and ten simulated raters."
)


class Plan(Protocol):
    """What is rendered into a folder of its own; a dataclass."""

    @property
    def name(self) -> str: ...
    def version(self, task: str) -> str: ...
    def folder(self, task: str) -> Path: ...


@dataclass(frozen=True)
class Corpus:
    """How much to make. `sampling` is "DEAM-like" or "factorial"; recordings and takes are per instrument class."""

    name: str
    songs: int
    song_seconds: float
    recordings: int
    takes: int
    mixes: int
    seed: int = 0
    sampling: str = "DEAM-like"

    def version(self, task: str) -> str:
        """Changes with anything that changes the audio or the labels of this task."""
        sizes = asdict(self)
        unused = ("recordings", "takes", "mixes") if task == "emotion" else ("songs", "song_seconds", "sampling")
        return f"{VERSION}-{fingerprint({key: sizes[key] for key in sizes if key not in unused})[:6]}"

    def folder(self, task: str) -> Path:
        return paths.cache() / "data" / f"{self.name}-{task}-{self.version(task)}"


def counts(corpus: Corpus) -> dict[str, tuple[int, int]]:
    """Task → (items, groups), known without making anything."""
    recordings = len(IRMAS_CLASSES) * corpus.recordings
    return {
        "emotion": (corpus.songs, corpus.songs),
        "instruments": (recordings * corpus.takes + corpus.mixes, recordings + corpus.mixes),
    }


def is_rendered(corpus: Corpus, task: str) -> bool:
    """Whether the sound of this side is in the cache already."""
    return (corpus.folder(task) / "manifest.json").exists()


FULL = Corpus("cues", songs=1744, song_seconds=45.0, recordings=80, takes=5, mixes=300)
COUNTS = counts(FULL)
SIZE = "made here: 2 GB in the cache"


def load(task: str, progress: Progress = no_progress) -> Dataset:
    """The full corpus: 1,744 songs of 45 s, or 4,400 excerpts of 3 s and 300 mixes. Rendered when not in the cache."""
    return build(FULL, task)


def is_ready(task: str) -> bool:
    """Whether its sound can be played without being rendered first."""
    return is_rendered(FULL, task)


def build(corpus: Corpus, task: str) -> Dataset:
    """A corpus of any size; its sound is rendered when rows or a file of it are first asked for.

    Raises ValueError for a task that it does not have.
    """
    if task not in TASKS:
        raise ValueError(f"{corpus.name} has no labels for {task}; it has {', '.join(TASKS)}.")
    jobs = emotion_jobs(corpus) if task == "emotion" else instrument_jobs(corpus)
    return _emotion(corpus, jobs) if task == "emotion" else _instruments(corpus, jobs)


def emotion_jobs(corpus: Corpus) -> list[Job]:
    """What to render for the emotion side, one job a song."""
    folder = corpus.folder("emotion")
    return [
        {
            "kind": "emotion",
            "path": str(folder / f"song-{index:04d}.flac"),
            "item_number": index,
            "seed": corpus.seed,
            "index": index,
            "seconds": corpus.song_seconds,
            "sampling": corpus.sampling,
            "octave": 0,
        }
        for index in range(corpus.songs)
    ]


def instrument_jobs(corpus: Corpus) -> list[Job]:
    """What to render for the instrument side: takes of every recording of every class, then the mixes."""
    folder = corpus.folder("instruments")
    jobs: list[Job] = []
    for label in IRMAS_CLASSES:
        for recording in range(corpus.recordings):
            for take in range(corpus.takes):
                path = str(folder / f"{label}-{recording:03d}-{take}.flac")
                voice = {"label": label, "recording": recording, "take": take}
                jobs.append({"kind": "excerpt", "path": path, "item_number": len(jobs), "seed": corpus.seed, **voice})
    for index in range(corpus.mixes):
        path = str(folder / f"mix-{index:03d}.flac")
        jobs.append({"kind": "mix", "path": path, "item_number": len(jobs), "seed": corpus.seed, "index": index})
    return jobs


def rendered(corpus: Corpus, task: str, jobs: list[Job], index: int, progress: Progress = no_progress) -> Path:
    """The file of one item, after rendering what is missing of its side."""
    ensure_rendered(corpus, task, jobs, progress)
    return Path(jobs[index]["path"])


def ensure_rendered(corpus: Plan, task: str, jobs: list[Job], progress: Progress, **pool: Any) -> None:
    """Render what is not there yet and write the manifest. A half-made folder goes on where it stopped."""
    folder = corpus.folder(task)
    manifest = folder / "manifest.json"
    if manifest.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs that want the same corpus: the second finds it made
        if not manifest.exists():
            _render_missing(corpus, task, jobs, folder, progress, pool)


def _render_missing(
    corpus: Plan, task: str, jobs: list[Job], folder: Path, progress: Progress, pool: dict[str, Any]
) -> None:
    manifest = folder / "manifest.json"
    there = {entry.name for entry in os.scandir(folder)}
    missing = [job for job in jobs if Path(job["path"]).name not in there]
    # The audio seconds are very unequal, and the long ones last would leave one process idle.
    missing.sort(key=lambda job: job["kind"] != "mix")
    what = "songs" if task == "emotion" else "clips"

    def done(count: int) -> None:
        ready = len(jobs) - len(missing) + count
        progress(ready / len(jobs), f"Rendering {corpus.name}: {ready:,} of {len(jobs):,} {what}")

    second_tries = render_all(missing, done, **pool) if missing else []
    for leftover in folder.glob("*.part"):
        leftover.unlink(missing_ok=True)
    text = json.dumps(
        {
            "version": corpus.version(task),
            "task": task,
            "corpus": asdict(corpus),  # type: ignore[call-overload]  # every plan is a dataclass
            "items": [Path(job["path"]).name for job in jobs],
            "rendered_on_second_try": sorted(Path(path).name for path in second_tries),
        },
        indent=1,
    )
    temporary = manifest.with_suffix(f".{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, manifest)


def _emotion(corpus: Corpus, jobs: list[Job]) -> Dataset:
    items = np.array([Path(job["path"]).stem for job in jobs])
    songs = [
        listeners.draw_song(corpus.seed, index, corpus.song_seconds, corpus.sampling) for index in range(corpus.songs)
    ]
    targets = np.array([song.label for song in songs])
    traces = {
        str(item): (song.times_s(), song.trace())
        for item, song in zip(items, songs, strict=True)
        if song.change_s is not None
    }
    raters = listeners.rater_table(songs, items)
    inputs = INPUTS_MADE_HERE["emotion"]
    return Dataset(
        name=corpus.name,
        version=corpus.version("emotion"),
        task="emotion",
        labels=EMOTION_LABELS,
        unit="1–9",
        items=items,
        groups=items.copy(),  # every song has a melody of its own
        targets=targets,
        inputs=inputs,
        rows=_rows(corpus, "emotion", jobs, inputs, items, items, targets, traces),
        licence=LICENCE,
        citation=CITATION,
        about=f"{corpus.songs:,} generated songs of {corpus.song_seconds:g} s. {NOT_LISTENERS}",
        ceiling=stats.rater_ceiling(raters),
        raters=raters,
        traces=traces,
        audio=lambda index: rendered(corpus, "emotion", jobs, index),
    )


def _instruments(corpus: Corpus, jobs: list[Job]) -> Dataset:
    from core.datasets._render import mix_plan

    items = np.array([Path(job["path"]).stem for job in jobs])
    is_mix = np.array([job["kind"] == "mix" for job in jobs])
    groups = np.array([item if mixed else item.rpartition("-")[0] for item, mixed in zip(items, is_mix, strict=True)])
    targets = np.zeros((len(jobs), len(IRMAS_CLASSES)))
    for row, job in enumerate(jobs):
        heard = mix_plan(corpus.seed, job["index"])[0] if job["kind"] == "mix" else [job["label"]]
        targets[row, [IRMAS_CLASSES.index(label) for label in heard]] = 1.0
    inputs = INPUTS_MADE_HERE["instruments"]
    return Dataset(
        name=corpus.name,
        version=corpus.version("instruments"),
        task="instruments",
        labels=IRMAS_CLASSES,
        unit="probability",
        items=items,
        groups=groups,
        targets=targets,
        inputs=inputs,
        rows=_rows(corpus, "instruments", jobs, inputs, items, groups, targets, {}),
        licence=LICENCE,
        citation=CITATION,
        about=(
            f"{(~is_mix).sum():,} generated excerpts of 3 s with one of eleven instruments, and {is_mix.sum()} mixes "
            "of up to four: a General MIDI sound font, not recordings of players. The labels are what was rendered."
        ),
        default_split="official",
        official={str(item): "test" if mixed else "train" for item, mixed in zip(items, is_mix, strict=True)},
        audio=lambda index: rendered(corpus, "instruments", jobs, index),
    )


def _rows(
    corpus: Corpus,
    task: str,
    jobs: list[Job],
    inputs: tuple[str, ...],
    items: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    traces: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Callable[[str, Sequence[int] | np.ndarray, float, Progress], Part]:
    """The `rows` of a Dataset. Windows of mixes overlap by half; songs are cut without overlap."""

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        def file(index: int) -> Path:
            return rendered(corpus, task, jobs, index, progress)

        if input not in inputs:
            raise ValueError(f"{corpus.name} has no input {input!r} for {task}; it offers {', '.join(inputs)}.")
        return audio_rows(
            f"{corpus.name}-{task}-{corpus.version(task)}",
            items,
            groups,
            targets,
            traces,
            file,
            input,
            indices,
            window_s,
            progress,
            hop_s=window_s / 2 if task == "instruments" else None,
        )

    return rows
