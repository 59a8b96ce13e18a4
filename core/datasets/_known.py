"""Data sets that the lab knows by name and cannot load yet: where they come from, and how their folder looks.

An entry goes when a data set file of the same name arrives, which then carries these facts itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """`parts` are (pattern, number of files, what they are) of the folder; `layout` is that folder as a short tree."""

    homepage: str
    size: str
    licence: str
    layout: str
    parts: tuple[tuple[str, int, str], ...]
    tasks: tuple[str, ...]
    about: str


FACTS = {
    "cifar10": Facts(
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        size="163 MB",
        licence="none stated; cite Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        layout="cifar10/\n└─ cifar-10-batches-py/   data_batch_1 … data_batch_5, test_batch, batches.meta",
        parts=(
            ("cifar-10-batches-py/data_batch_[1-5]", 5, "training batches"),
            ("cifar-10-batches-py/test_batch", 1, "test batch"),
        ),
        tasks=("images",),
        about="60,000 colour pictures of 32 × 32 in ten classes, 50,000 of them for training.",
    ),
    "irmas": Facts(
        homepage="https://www.upf.edu/web/mtg/irmas",
        size="several GB: training part and three test parts, each a zip",
        licence="CC BY-NC-SA 3.0",
        layout=(
            "irmas/\n"
            "├─ IRMAS-TrainingData/        cel/ cla/ … voi/, 6,705 wav of 3 s\n"
            "├─ IRMAS-TestingData-Part1/   807 wav, each with a txt of its labels\n"
            "├─ IRMAS-TestingData-Part2/   1,305\n"
            "└─ IRMAS-TestingData-Part3/   762"
        ),
        parts=(
            ("IRMAS-TrainingData/*/*.wav", 6705, "training excerpts"),
            ("*Part1/**/*.wav", 807, "test excerpts of part 1"),
            ("*Part2/**/*.wav", 1305, "test excerpts of part 2"),
            ("*Part3/**/*.wav", 762, "test excerpts of part 3"),
        ),
        tasks=("instruments",),
        about="Excerpts of real recordings with the predominant one of eleven instruments.",
    ),
}
