"""IRMAS as it is distributed: its folders, its label files, and the song each clip was cut from.

Training clips lie in a folder per class and carry their labels in their names, `[cel][nod][cla]0058__2.wav`: class,
drums, genre, the number of the recording, and which clip of it this is. Test excerpts have a text file of labels each,
one a line and, as published, with a tab after it: `gel⇥`. Whoever splits such a file at line ends and looks the lines
up as they are finds one label where there are several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core import paths, shelf
from core.datasets import IRMAS_CLASSES, Missing

ADDRESS = "https://www.upf.edu/web/mtg/irmas"
ARCHIVE = "https://doi.org/10.5281/zenodo.1290750"
LICENCE = "CC BY-NC-SA 3.0"
TRAINING = "IRMAS-TrainingData"
CLIPS = dict(zip(IRMAS_CLASSES, (388, 505, 451, 637, 760, 682, 721, 626, 577, 580, 778), strict=True))
"""Published training clips per class, 6,705 in all."""
EXCERPTS = {1: 807, 2: 1305, 3: 762}
"""Published test excerpts per part, 2,874 in all."""
NAME = re.compile(r"(?:\d+__)?\[(?P<code>[^\[\]]*)\](?:\[[^\[\]]*\])*(?P<song>\d+)__\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Clip:
    """One recording with usable labels. `item` is its name in the lab, `song` the recording it was cut from."""

    item: str
    path: Path
    codes: tuple[str, ...]
    song: str
    is_test: bool


@dataclass
class Found:
    """A folder read as far as it can be. `left_out` has (item, "missing" or "label", sentence) of what cannot be used,
    `unlabelled` test recordings without a label file, `short` (folder, sentence) of what is not whole, `parts` the test
    parts in it."""

    folder: Path
    clips: list[Clip] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    short: list[tuple[str, str]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)


def locate() -> Path:
    """The folder that holds IRMAS: the one that was added as irmas, else irmas/, IRMAS/ or the data folder itself.

    Raises Missing, which says what is expected where, and where to get it, where no training folder is in any.
    """
    root, added = paths.data(), shelf.added().get("irmas")
    bases = ([added] if added else []) + ([root / base for base in ("irmas", "IRMAS", "")] if root else [])
    for base in bases:
        if (base / TRAINING).is_dir():
            return base
    get = f"Get it from {ADDRESS} (archives: {ARCHIVE}; {LICENCE}) and unpack all four archives into one folder"
    if not bases:
        raise Missing(f"IRMAS is not here. {get}, then say where it lies: python lab.py data add irmas PATH.")
    raise Missing(f"IRMAS is not here: there is no {bases[0] / TRAINING}. {get}.")


def song_of_clip(stem: str) -> str:
    """The recording a training clip was cut from, from its name without `.wav`; ValueError for a name without one.

    The number alone decides. Twelve recordings appear under two spellings, `[cla][cla]0150__1` and
    `017__[cla][nod][cla]0150__1`, and would fall apart if what stands before the number counted.
    """
    return f"train/{_named(stem)['song']}"


def class_of_clip(stem: str) -> str:
    """The class in a training clip's name: the first tag, since `[cla]` is a genre, too. Errors as `song_of_clip`."""
    return _named(stem)["code"].lower()


def _named(stem: str) -> re.Match[str]:
    match = NAME.fullmatch(stem)
    if not match:
        raise ValueError(f"{stem!r} is no name of a training clip, such as [cel][nod][cla]0058__2: no song is known.")
    return match


def song_of_excerpt(stem: str) -> str:
    """The recording a test excerpt was cut from: its name without `.wav` and without the number of the excerpt.

    The part does not count: excerpts of one recording stay together if they lie in two.
    """
    return f"test/{re.sub(r'-[0-9]+$', '', stem)}"


def read_labels(file: Path) -> tuple[str, ...]:
    """The classes that a label file names, each once, in the order of the lab.

    Line ends of any system, blanks and tabs around a label, empty lines, a missing last line end, a byte order mark,
    capitals and repeated lines do not matter. Raises ValueError, one sentence that names the file, for a class that
    IRMAS has not, for a file without any, and for one that cannot be read.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise ValueError(f"{file.name} cannot be read ({error.strerror or error}); check its permissions.") from None
    codes = {word.lower() for word in text.split()}  # at every kind of blank: labels have none inside
    for word in text.split():
        _known(word.lower(), file.name)
    if not codes:
        raise ValueError(f"{file.name} names no instrument; it must name at least one of {', '.join(IRMAS_CLASSES)}.")
    return tuple(code for code in IRMAS_CLASSES if code in codes)


def scan(folder: Path) -> Found:
    """Everything that lies in an IRMAS folder, in a fixed order: training clips by class, then test excerpts by part.

    Reads names and label files, no sound. A test part of which nothing is here is left to the caller to mind.
    """
    found = Found(folder)
    _scan_training(found)
    for part in EXCERPTS:
        _scan_part(found, part)
    items = [clip.item for clip in found.clips]
    assert len(set(items)) == len(items), "a path is an item once"
    return found


def _scan_training(found: Found) -> None:
    counts = dict.fromkeys(IRMAS_CLASSES, 0)
    place = found.folder / TRAINING
    for inner in sorted(path for path in place.iterdir() if path.is_dir() and not _is_hidden(path)):
        for path in _files(inner, ".wav"):
            item = f"{inner.name}/{path.relative_to(inner).as_posix()}"
            try:
                clip = _training_clip(item, path, inner.name)
            except ValueError as error:
                found.left_out.append((item, "label", str(error)))
                continue
            counts[inner.name] += 1
            found.clips.append(clip)
    found.short += [
        (f"{TRAINING}/{code}", f"{TRAINING}/{code} has {counts[code]:,} of {wanted:,} clips")
        for code, wanted in CLIPS.items()
        if counts[code] < wanted
    ]


def _training_clip(item: str, path: Path, code: str) -> Clip:
    _known(code, f"The folder {TRAINING}/{code}")
    named = class_of_clip(path.stem)
    if named != code:
        raise ValueError(f"{item} lies in the folder {code}, and its name says [{named}]; at most one is right.")
    return Clip(item, path, (code,), song_of_clip(path.stem), is_test=False)


def _scan_part(found: Found, part: int) -> None:
    place = next((path for path in sorted(found.folder.glob(f"*Part{part}")) if path.is_dir()), None)
    if place is None:
        return
    wavs, texts = _files(place, ".wav"), _files(place, ".txt")
    label_files = {file.with_suffix(""): file for file in texts}
    counted = 0
    for path in wavs:
        item = f"Part{part}/{path.relative_to(place).as_posix().removeprefix(f'Part{part}/')}"
        labels = label_files.pop(path.with_suffix(""), None)
        if labels is None:
            found.unlabelled.append(item)
            continue
        try:
            found.clips.append(Clip(item, path, read_labels(labels), song_of_excerpt(path.stem), is_test=True))
            counted += 1
        except ValueError as error:
            found.left_out.append((item, "label", str(error)))
    for stem, file in sorted(label_files.items()):
        if _are_labels(file):  # a README is no label file
            item = f"Part{part}/{stem.name}.wav"
            found.left_out.append((item, "missing", f"{file.name} holds labels, and there is no {stem.name}.wav."))
    if wavs or counted:
        found.parts.append(part)
        if counted < EXCERPTS[part]:
            sentence = f"{place.name} has {counted:,} of {EXCERPTS[part]:,} labelled excerpts"
            found.short.append((place.name, sentence))


def _known(code: str, where: str) -> None:
    if code not in IRMAS_CLASSES:
        raise ValueError(f"{where} has the unknown class {code!r}; IRMAS has {', '.join(IRMAS_CLASSES)}.")


def _are_labels(file: Path) -> bool:
    try:
        return bool(read_labels(file))
    except ValueError:
        return False


def _files(folder: Path, suffix: str) -> list[Path]:
    """Files below a folder by suffix, however it is written, in order; without what macOS and archives leave behind."""
    return sorted(_walk(folder, suffix))


def _walk(folder: Path, suffix: str) -> Iterator[Path]:
    for path in folder.rglob("*"):
        is_ours = path.suffix.lower() == suffix and not any(map(_is_hidden, (path, *path.relative_to(folder).parents)))
        if is_ours and path.is_file():
            yield path


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"
