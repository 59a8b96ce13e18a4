"""Handwritten digits: 70,000 grey pictures of 28 × 28, 60,000 of them for training."""

from __future__ import annotations

from pathlib import Path

from core.datasets import Dataset, Progress, _digits

TASKS = ("digits",)
DEFAULT_SPLITS = {"digits": "official"}
HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
SIZE, LICENCE = "11 MB", "CC BY-SA 3.0"
SOURCE = _digits.Source(
    name="mnist",
    folder="MNIST",
    homepage=HOMEPAGE,
    size=SIZE,
    licence=LICENCE,
    labels=tuple("0123456789"),
    citation="LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document recognition",
    about="Digits written by pupils and census clerks, centred by mass. A linear model gets 92 % of them right.",
)
LAYOUT, PARTS = SOURCE.layout, SOURCE.parts


def load(task: str, progress: Progress) -> Dataset:
    """The 70,000 pictures; Missing where a file is not here, ValueError where one is damaged."""
    return _digits.load(SOURCE, task)


def fetch(progress: Progress) -> Path:
    """Download the four files into the cache, where there is internet; Missing where that fails."""
    return _digits.fetch(SOURCE, progress)
