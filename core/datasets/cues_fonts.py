"""The instrument side of the built-in corpus, rendered with every sound font of this machine.

A model that learns instruments from one sound font learns the font. Each font here is a source of its own
(`leave-source:NAME` holds one out), and every recording has its own instrument, player, room, microphone and noise.
One font comes with the lab; more make it better: Debian's packages fluid-soundfont-gm, csound-soundfont and
musescore-general-soundfont-lossless, the Python package scamp, or any folder of .sf2 files named by EARSHOT_FONTS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core import paths
from core.config import fingerprint
from core.datasets import IRMAS_CLASSES, Dataset, Missing, Progress, _soundfonts, no_progress
from core.datasets._workers import Job
from core.datasets.cues import EXCERPT_SECONDS, ensure_rendered
from core.events import Part

TASKS = ("instruments",)
DEFAULT_SPLITS = {"instruments": "official"}
INPUTS_MADE_HERE = {"instruments": ("wave16k", "logmel", "lib164")}
SIZE = "made here: about 0.3 GB in the cache for each sound font"
FIRST_USE = (
    "Rendered on first use with each sound font of this machine: some two minutes a font on two cores; kept afterwards."
)
LICENCE = (
    "CC0 1.0 for the generated phrases; the sounds are those of the fonts: TimGM6mb (GPL 2 in Debian), and where "
    "installed FluidR3 GM and MuseScore General (MIT), the GM bank of csound (public domain), Merlin (with scamp, "
    "GPL 3), Sonivox (with alphaTab, Apache 2.0), or your own"
)
CITATION = "Made by Earshot."
VERSION = "1"


@dataclass(frozen=True)
class Corpus:
    """How much to make: recordings of a class with each font, takes of a recording, mixes in all."""

    name: str = "cues-fonts"
    recordings: int = 100
    takes: int = 2
    mixes: int = 300
    seed: int = 0
    fonts: tuple[str, ...] = ()

    def version(self, task: str = "instruments") -> str:
        """Changes with anything that changes the sound: the sizes, and which fonts are here (by name and bytes)."""
        fonts = {Path(font).name: Path(font).stat().st_size for font in self.fonts}
        return f"{VERSION}-{fingerprint({**asdict(self), 'fonts': fonts})[:6]}"

    def folder(self, task: str = "instruments") -> Path:
        return paths.cache() / "data" / f"{self.name}-{self.version()}"


def corpus() -> Corpus:
    """The corpus of this machine's fonts; Missing where none has all eleven instruments."""
    from core.datasets._fontphrases import PROGRAMS

    usable = []
    for font in _soundfonts.found():
        try:
            programs = _soundfonts.opened(str(font)).programs
        except ValueError:  # somebody's file that is no sound font is not ours to judge: the others are enough
            continue
        if all(programs & set(wanted) for wanted in PROGRAMS.values()):
            usable.append(str(font))
    if not usable:
        raise Missing(
            "No sound font with all eleven instruments is here. Install pretty_midi, which brings one, or set "
            "EARSHOT_FONTS to a folder of General MIDI .sf2 files."
        )
    return Corpus(fonts=tuple(usable))


def load(task: str, progress: Progress = no_progress) -> Dataset:
    """Excerpts of 3 s from every font, and mixes of up to four; rendered when its sound is first needed."""
    made = corpus()
    return _dataset(made, jobs_of(made))


def jobs_of(made: Corpus) -> list[Job]:
    """What to render: takes of every recording of every class with every font, then the mixes."""
    folder = made.folder()
    jobs: list[Job] = []
    for font in made.fonts:
        for label in IRMAS_CLASSES:
            for recording in range(made.recordings):
                for take in range(made.takes):
                    path = str(folder / f"{Path(font).stem}-{label}-{recording:03d}-{take}.flac")
                    job: Job = {"kind": "font excerpt", "path": path, "item_number": len(jobs), "seed": made.seed}
                    jobs.append(job | {"font": font, "label": label, "recording": recording, "take": take})
    for index in range(made.mixes):
        job = {"kind": "font mix", "path": str(folder / f"mix-{index:03d}.flac"), "item_number": len(jobs)}
        jobs.append(job | {"seed": made.seed, "fonts": list(made.fonts), "index": index})
    return jobs


def is_ready(task: str) -> bool:
    """Whether its sound can be played without being rendered first."""
    return (corpus().folder() / "manifest.json").exists()


def _dataset(made: Corpus, jobs: list[Job]) -> Dataset:
    from core.datasets._render import mix_plan

    items = np.array([Path(job["path"]).stem for job in jobs])
    is_mix = np.array(["fonts" in job for job in jobs])
    groups = np.array([item if mixed else item.rpartition("-")[0] for item, mixed in zip(items, is_mix, strict=True)])
    sources = np.array([Path(job["font"]).stem if "font" in job else "" for job in jobs])
    targets = np.zeros((len(jobs), len(IRMAS_CLASSES)))
    for row, job in enumerate(jobs):
        heard = mix_plan(made.seed, job["index"])[0] if "fonts" in job else [job["label"]]
        targets[row, [IRMAS_CLASSES.index(label) for label in heard]] = 1.0

    def file(index: int, progress: Progress = no_progress) -> Path:
        ensure_rendered(made, "instruments", jobs, progress)
        return Path(jobs[index]["path"])

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        if input not in INPUTS_MADE_HERE["instruments"]:
            offered = ", ".join(INPUTS_MADE_HERE["instruments"])
            raise ValueError(f"{made.name} has no input {input!r}; it offers {offered}.")

        def audio(index: int) -> Path:
            return file(index, progress)

        key, hop_s = f"{made.name}-{made.version()}", window_s / 2
        return audio_rows(key, items, groups, targets, {}, audio, input, indices, window_s, progress, hop_s=hop_s)

    named = ", ".join(Path(font).stem for font in made.fonts)
    return Dataset(
        name=made.name,
        version=made.version(),
        task="instruments",
        labels=IRMAS_CLASSES,
        unit="probability",
        items=items,
        groups=groups,
        targets=targets,
        inputs=INPUTS_MADE_HERE["instruments"],
        rows=rows,
        licence=LICENCE,
        citation=CITATION,
        about=(
            f"{(~is_mix).sum():,} generated excerpts of {EXCERPT_SECONDS:g} s with one of eleven instruments, and "
            f"{is_mix.sum()} mixes of up to four, from {len(made.fonts)} sound "
            f"{'font' if len(made.fonts) == 1 else 'fonts'} ({named}): not recordings of players."
        ),
        default_split="official",
        sources=sources,
        official={str(item): "test" if mixed else "train" for item, mixed in zip(items, is_mix, strict=True)},
        audio=file,
    )
