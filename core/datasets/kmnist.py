"""Cursive Japanese characters in ten classes: 70,000 pictures of 28 × 28, 60,000 of them for training."""

from __future__ import annotations

from pathlib import Path

from core.datasets import Dataset, Progress, _digits

TASKS = ("images",)
DEFAULT_SPLITS = {"images": "official"}
HOMEPAGE = "http://codh.rois.ac.jp/kmnist/"
SIZE, LICENCE = "21 MB", "CC BY-SA 4.0"
SOURCE = _digits.Source(
    name="kmnist",
    folder="KMNIST",
    homepage=HOMEPAGE,
    size=SIZE,
    licence=LICENCE,
    labels=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    citation="Clanuwat et al. 2018, Deep Learning for Classical Japanese Literature, arXiv:1812.01718",
    about="Hiragana cut from classical books, in the form and size of MNIST.",
)
LAYOUT, PARTS = SOURCE.layout, SOURCE.parts


def load(task: str, progress: Progress) -> Dataset:
    """The 70,000 pictures; Missing where a file is not here, ValueError where one is damaged."""
    return _digits.load(SOURCE, task)


def fetch(progress: Progress) -> Path:
    """Download the four files into the cache, where there is internet; Missing where that fails."""
    return _digits.fetch(SOURCE, progress)
