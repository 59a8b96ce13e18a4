"""Excerpts of real recordings, each with the predominant one of eleven instruments, and a polyphonic test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.config import fingerprint
from core.datasets import IRMAS_CLASSES, Dataset, Missing, Progress
from core.datasets._irmas import ADDRESS, ARCHIVE, CLIPS, EXCERPTS, LICENCE, TRAINING, Clip, Found, locate, scan
from core.datasets.folder import Survey
from core.events import Part

__all__ = ["LICENCE", "TASKS", "load", "survey"]

TASKS = ("instruments",)
DEFAULT_SPLITS = {"instruments": "official"}
INPUTS = ("logmel", "wave16k", "lib164", "lib73")
HOMEPAGE = ADDRESS
SIZE = "four archives; the training part alone holds 3.5 GB of sound (6,705 × 3 s, stereo)"
LAYOUT = f"""irmas/
├─ {TRAINING}/              cel/ cla/ … voi/: 6,705 wav of 3 s
├─ IRMAS-TestingData-Part1/Part1/   807 wav, each with a txt of its labels
├─ IRMAS-TestingData-Part2/…        1,305
└─ IRMAS-TestingData-Part3/…        762
   from {ARCHIVE}; the Python package mirdata unpacks its downloads to the same folders.
   The training part alone is enough to train; then there is no official test set."""
PARTS = (
    (f"{TRAINING}/*/*.wav", sum(CLIPS.values()), "training excerpts"),
    *((f"*Part{part}/**/*.wav", wanted, f"test excerpts of part {part}") for part, wanted in EXCERPTS.items()),
)
NEEDED_PARTS = 1
CITATION = (
    "Bosch, Janer, Fuhrmann & Herrera 2012, A comparison of sound segregation techniques for predominant instrument "
    "recognition in musical audio signals, ISMIR"
)


def load(task: str, progress: Progress) -> Dataset:
    """The training clips, and the excerpts of the test parts that are here.

    Raises Missing where clips of a class, or excerpts of a part that is here, are not all there, ValueError for labels
    that cannot be used: a class that was never heard, or half a test set, would falsify every score.
    """
    found = scan(locate())
    more = "`python lab.py data check irmas` lists all that is wrong."
    for _, kind, sentence in found.left_out:
        if kind == "label":
            raise ValueError(f"IRMAS in {found.folder} cannot be used yet: {sentence} {more}")
    absent = [sentence.rstrip(".") for _, kind, sentence in found.left_out if kind == "missing"][:1]
    absent += [f"{item} has no label file" for item in found.unlabelled[:1]] if found.short else []
    if found.short or absent:
        what = "; ".join([*(sentence for _, sentence in found.short), *absent])
        raise Missing(f"IRMAS in {found.folder} is not whole: {what}. Get the rest from {ARCHIVE} ({LICENCE}). {more}")
    return _dataset(found)


def survey(place: str, task: str | None = None) -> Survey:
    """What is here and can be used, for a check, which goes on where `load` refuses; Missing where there is nothing.

    `place` is not looked at: IRMAS has one place.
    """
    found = scan(locate())
    left_out = found.left_out + [(place, "short", f"{sentence}.") for place, sentence in found.short]
    return Survey(found.folder, _dataset(found) if found.clips else None, left_out, found.unlabelled)


def _dataset(found: Found) -> Dataset:
    clips = found.clips
    items, groups = np.array([clip.item for clip in clips]), np.array([clip.song for clip in clips])
    targets = np.array([[float(code in clip.codes) for code in IRMAS_CLASSES] for clip in clips])
    is_test = np.array([clip.is_test for clip in clips])
    sizes = [clip.path.stat().st_size for clip in clips]
    return Dataset(
        name="irmas",
        version=fingerprint([items.tolist(), [clip.codes for clip in clips], sizes]),
        task="instruments",
        labels=IRMAS_CLASSES,
        unit="probability",
        items=items,
        groups=groups,
        targets=targets,
        inputs=INPUTS,
        rows=_rows(clips, items, groups, targets, is_test),
        licence=LICENCE,
        citation=CITATION,
        about=_about(found, groups, is_test),
        default_split="official" if is_test.any() else "grouped:0",
        official={clip.item: "test" if clip.is_test else "train" for clip in clips} if is_test.any() else {},
        is_test_sealed=True,
        audio=lambda index: clips[index].path,
    )


def _about(found: Found, groups: np.ndarray, is_test: np.ndarray) -> str:
    text = (
        f"{(~is_test).sum():,} training clips of 3 s from {len(set(groups[~is_test])):,} recordings, one instrument "
        f"each; {is_test.sum():,} test excerpts from {len(set(groups[is_test])):,} recordings, with one to five. "
        "Clips of one recording share a group, as far as file names tell; test excerpts are never trained on."
    )
    absent = [part for part in EXCERPTS if part not in found.parts]
    if absent:
        lacking = ", ".join(map(str, absent))
        text += f" Of the test parts {lacking} is not here: scores cannot be set beside published ones."
    return text


def _rows(
    clips: Sequence[Clip], items: np.ndarray, groups: np.ndarray, targets: np.ndarray, is_test: np.ndarray
) -> Callable[[str, Sequence[int] | np.ndarray, float, Progress], Part]:
    """The `rows` of the data set. Training clips are cut without overlap, test excerpts with half (3 s every 1.5 s is
    the published protocol). The sides are read and kept apart, so that a run that needs one does not wait for both."""

    def of_side(side: bool, chosen: np.ndarray, input: str, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        mine = np.flatnonzero(is_test == side)
        files: list[Path] = [clips[index].path for index in mine.tolist()]
        stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        key = f"irmas-{'test' if side else 'train'}-{fingerprint([items[mine].tolist(), stamps])}"
        return audio_rows(
            key, items[mine], groups[mine], targets[mine], {}, files.__getitem__, input, np.searchsorted(mine, chosen),
            window_s, progress, hop_s=window_s / 2 if side else None,
        )  # fmt: skip

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        if input not in INPUTS:
            raise ValueError(f"irmas has no input {input!r}; it offers {', '.join(INPUTS)}.")
        chosen = np.asarray(indices, dtype=int)
        sides = [side for side in (False, True) if (is_test[chosen] == side).any()] or [False]
        parts = [of_side(side, chosen[is_test[chosen] == side], input, window_s, progress) for side in sides]
        return parts[0] if len(parts) == 1 else _in_order(parts, items[chosen])

    return rows


def _in_order(parts: Sequence[Part], items: np.ndarray) -> Part:
    """Rows of both sides as one part, in the order of `items`."""
    place = {item: number for number, item in enumerate(items)}
    order = np.argsort([place[item] for part in parts for item in part.items], kind="stable")
    names = ("inputs", "targets", "items", "groups", "times_s")
    return Part(**{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in names})
