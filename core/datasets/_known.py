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
}
