"""Pictures of clothes in ten classes: 70,000 of 28 × 28, 60,000 of them for training; MNIST's form, and harder."""

from __future__ import annotations

from pathlib import Path

from core.datasets import Dataset, Progress, _digits

TASKS = ("images",)
DEFAULT_SPLITS = {"images": "official"}
HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"
SIZE, LICENCE = "30 MB", "MIT"
SOURCE = _digits.Source(
    name="fashion-mnist",
    folder="FashionMNIST",
    homepage=HOMEPAGE,
    size=SIZE,
    licence=LICENCE,
    labels=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    citation="Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
    about="Articles of a shop in grey, in the form and size of MNIST.",
)
LAYOUT, PARTS = SOURCE.layout, SOURCE.parts


def load(task: str, progress: Progress) -> Dataset:
    """The 70,000 pictures; Missing where a file is not here, ValueError where one is damaged."""
    return _digits.load(SOURCE, task)


def fetch(progress: Progress) -> Path:
    """Download the four files into the cache, where there is internet; Missing where that fails."""
    return _digits.fetch(SOURCE, progress)
