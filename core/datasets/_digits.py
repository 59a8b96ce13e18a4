"""Small grey pictures in ten classes as idx files, where and how torchvision keeps them: MNIST and its relatives.

Format: four bytes of magic (0, 0, 8 for bytes, number of dimensions), a big-endian 32-bit size per dimension, then the
bytes. Source: LeCun, Cortes & Burges, the MNIST database of handwritten digits. Read here with numpy, because
importing torchvision takes two seconds.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from core import paths, shelf
from core.config import fingerprint
from core.datasets import Dataset, Missing, Progress
from core.events import Part

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PIXELS = 28 * 28
CLASSES = 10


@dataclass(frozen=True)
class Source:
    """One of these data sets. `name` is the lab's, `folder` torchvision's class and the folder it makes."""

    name: str
    folder: str
    homepage: str
    size: str
    licence: str
    labels: tuple[str, ...]
    citation: str
    about: str

    @property
    def layout(self) -> str:
        """The folder it is expected as."""
        inside = "four idx files: train and t10k, images and labels, as .gz or unpacked"
        return f"{self.name}/\n└─ {self.folder}/raw/   {inside}"

    @property
    def parts(self) -> tuple[tuple[str, int, str], ...]:
        """What that folder must hold: (pattern, files, what)."""
        return tuple(
            (f"{self.folder}/raw/{file}*", 1, f"{part} {what}")
            for part, files in FILES.items()
            for file, what in zip(files, ("pictures", "labels"), strict=True)
        )


def load(source: Source, task: str) -> Dataset:
    """The pictures as `pixels` [n, 784], 0 to 1, the published training part first; their bytes are read on demand.

    Raises Missing where a file is not here, ValueError where one is not what it should be.
    """
    files = {part: tuple(_find(source, name) for name in names) for part, names in FILES.items()}
    labels = {part: _read(where[1], 1) for part, where in files.items()}
    for part, where in files.items():
        wrong = labels[part][labels[part] >= CLASSES]
        if len(wrong):
            raise ValueError(f"{where[1]} holds the label {wrong[0]}; there are {CLASSES} classes, 0 to {CLASSES - 1}.")
    items = np.array([f"{part}-{number:05d}" for part in FILES for number in range(len(labels[part]))])
    targets = np.eye(CLASSES)[np.concatenate(list(labels.values()))]

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        assert input == "pixels", input
        chosen = np.asarray(indices, dtype=int)
        bytes_ = _pictures(tuple((*where, *_stamp(where[0])) for where in files.values()))
        inputs = bytes_[chosen].astype(np.float32)
        inputs /= 255
        return Part(inputs, targets[chosen], items[chosen], items[chosen], np.zeros(len(chosen)))

    return Dataset(
        name=source.name,
        version=fingerprint([_content(file) for where in files.values() for file in where]),
        task=task,
        labels=source.labels,
        unit="probability",
        items=items,
        groups=items,
        has_groups=False,
        targets=targets,
        inputs=("pixels",),
        rows=rows,
        licence=source.licence,
        citation=source.citation,
        about=source.about,
        default_split="official",
        official={str(item): str(item).partition("-")[0] for item in items},
    )


def fetch(source: Source, progress: Progress) -> Path:
    """Have torchvision download the four files into the cache; returns the folder. Missing where that fails."""
    from torchvision import datasets as published

    place = paths.cache() / "data" / source.name
    progress(0.0, f"Fetching {source.name} ({source.size})")
    try:
        getattr(published, source.folder)(root=str(place), download=True)
    except (OSError, RuntimeError) as error:  # no internet, a mirror that is down, a checksum that does not fit
        reason = " ".join(str(error).split())[:200]
        raise Missing(f"{source.name} could not be fetched ({reason}). {_how(source)}") from error
    return place


def _how(source: Source) -> str:
    return (
        f"Get it from {source.homepage} ({source.size}; {source.licence}) and put the four files, packed or not, into "
        f"{source.name}/{source.folder}/raw/ of the folder that EARSHOT_DATA names."
    )


def _find(source: Source, name: str) -> Path:
    """The file `name`, unpacked or as .gz: in the folder that was added, in the data folder, or fetched."""
    root, added = paths.data(), shelf.added().get(source.name)
    bases = [added] if added else []
    bases += [root / source.name, root] if root else []
    bases.append(paths.cache() / "data" / source.name)
    for base in bases:
        for file in (name, f"{name}.gz"):
            if (found := base / source.folder / "raw" / file).is_file():
                return found
    raise Missing(
        f"{source.name} is not here: there is no {bases[0] / source.folder / 'raw' / name}(.gz). "
        f"python lab.py data get {source.name} fetches it where there is internet. {_how(source)}"
    )


def _stamp(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def _content(file: Path) -> list[int]:
    """Check sum (CRC-32) and length of a file's contents, the same packed and unpacked."""
    return _content_of(file, *_stamp(file))


@lru_cache(maxsize=32)
def _content_of(file: Path, size: int, changed_ns: int) -> list[int]:
    if file.suffix != ".gz":
        return [zlib.crc32(file.read_bytes()), size]
    with file.open("rb") as packed:  # gzip keeps both in its last eight bytes, and checks them when it unpacks
        packed.seek(max(0, size - 8))
        tail = packed.read(8)
    return [int.from_bytes(tail[:4], "little"), int.from_bytes(tail[4:], "little")]


@lru_cache(maxsize=1)
def _pictures(files: tuple[tuple, ...]) -> np.ndarray:
    """The pictures of both parts, bytes [n, 784]; the last data set asked for stays in memory (55 MB)."""
    parts = []
    for images, labels, *_ in files:
        part = _read(images, 3)
        if part.shape[1:] != (28, 28):
            raise ValueError(f"{images} holds pictures of {part.shape[1]} × {part.shape[2]}, not 28 × 28.")
        if len(part) != len(_read(labels, 1)):
            raise ValueError(f"{images} holds {len(part):,} pictures and {labels.name} another number of labels.")
        parts.append(part.reshape(-1, PIXELS))
    return np.concatenate(parts)


def _read(file: Path, dimensions: int) -> np.ndarray:
    """The bytes of an idx file as an array of so many dimensions; ValueError where it is damaged or another file."""
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be unpacked ({error}); fetch it again.") from error
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f"{file} is no idx file of bytes in {dimensions} dimensions; fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(data, dtype=">u4", count=dimensions, offset=4))
    if len(data) - header != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{file} should hold {shape} bytes and holds {len(data) - header:,}; fetch it again.")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
