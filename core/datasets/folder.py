"""Any folder of audio with a CSV of labels: `folder:PATH`, for your own recordings.

The CSV is manifest.csv, labels.csv or the only one there, with a column `path` (or `file`), relative to the folder,
and either `label` (IRMAS codes or their names in words, several separated by `|` or `;`) or `valence` and `arousal`
(1–9). Optional: `group` (song, recording, player: never on two sides of a split), `source` (for leave-source:NAME),
`licence`. PATH is absolute, or relative to EARSHOT_DATA, or to the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core import paths
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, INSTRUMENT_NAMES, IRMAS_CLASSES, Dataset, Progress
from core.events import Part
from core.wording import count_text

TASKS = ("instruments", "emotion")
INPUTS = {"instruments": ("logmel", "wave16k", "lib164", "lib73"), "emotion": ("lib164", "logmel", "lib73")}
HOMEPAGE, SIZE, LICENCE = "", "", "as your CSV says"
LAYOUT = """PATH/
├─ manifest.csv      path,label,group   or   path,valence,arousal,group; a label is pia or piano, several pia|voi
└─ anything.wav …    also in folders below"""
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
FORM = "path (or file) and either label, or valence and arousal"
CODES = {name: code for code, name in INSTRUMENT_NAMES.items()}
KNOWN_LABELS = f"{', '.join(IRMAS_CLASSES)}, or one in words ({', '.join(CODES)})"
LOW, HIGH = 1.0, 9.0
OUTSIDE = "lies outside the folder"


def load(task: str | None, progress: Progress, place: str) -> Dataset:
    """The folder as a data set; its columns choose the task where it is None.

    Raises ValueError, one sentence each: no such folder, no CSV, a wrong header, a listed file that is not there, a
    path listed twice, an unknown class, a label out of range.
    """
    folder = find_folder(place)
    file = find_csv(folder)
    table = _read(file)
    task = _task(file, table, task)
    for problem in (*_table_mistakes(file, table), *_row_mistakes(folder, file, table, task)):
        raise ValueError(problem)
    return _dataset(place, folder, file, table, task)


def mistakes(place: str) -> list[str]:
    """Everything that keeps a folder from being a data set, one sentence each; empty where nothing does."""
    try:
        folder = find_folder(place)
        file = find_csv(folder)
        table = _read(file)
    except ValueError as error:
        return [str(error)]
    found = list(_table_mistakes(file, table))
    has = [task for task in TASKS if _has(table, task)]
    for task in has:
        found += _row_mistakes(folder, file, table.drop_duplicates("path"), task)
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Survey:
    """A folder read as far as it can be: the `dataset` of its sound rows (None where there is none), the rows left out
    as (path, kind, sentence) with kind "missing", "label" or "twice", and audio files that no row names."""

    folder: Path
    dataset: Dataset | None
    left_out: list[tuple[str, str, str]]
    unlisted: list[str]


def survey(place: str, task: str | None = None) -> Survey:
    """The folder for a check, which goes on where `load` refuses; ValueError where there is no folder or table."""
    folder = find_folder(place)
    file = find_csv(folder)
    table = _read(file)
    task = _task(file, table, task)
    twice = table["path"].duplicated()
    left_out = [(path, "twice", f"{path} is listed more than once.") for path in table.loc[twice, "path"].unique()]
    table = table[~twice].reset_index(drop=True)
    listed = set(table["path"])
    wrong: dict[str, tuple[str, str]] = {}
    for path, why in _label_mistakes(table, task):
        before = f"{wrong[path][1]} " if path in wrong else ""
        wrong[path] = "label", f"{before}{why}"
    for path in table["path"]:
        if why := _absence(folder, path):
            wrong[path] = ("missing", f"{path} {why}.")
    left_out += [(path, *wrong[path]) for path in table["path"] if path in wrong]
    table = table[~table["path"].isin(set(wrong))].reset_index(drop=True)
    there = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())
    names = (path.relative_to(folder).as_posix() for path in there)
    unlisted = [name for name in names if name not in listed and not name.startswith(".")]
    return Survey(folder, _dataset(place, folder, file, table, task) if len(table) else None, left_out, unlisted)


def _dataset(place: str, folder: Path, file: Path, table: pd.DataFrame, task: str) -> Dataset:
    items = table["path"].to_numpy(dtype=str)
    files = [folder / item for item in items]
    targets = _classes(table) if task == "instruments" else _emotions(table)
    groups = _column(table, "group")
    sizes = [path.stat().st_size for path in files]
    version = fingerprint([table.to_csv(index=False), sizes])  # a recording exchanged under its name counts
    # Copying a folder changes the times but not the data: they name the cache of features, not the version.
    changed = fingerprint([path.stat().st_mtime_ns for path in files])

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        if input not in made.inputs:
            raise ValueError(f"{made.name} has no input {input!r}; it offers {', '.join(made.inputs)}.")
        return audio_rows(
            f"folder-{version}-{changed}", made.items, made.groups, made.targets, {}, files.__getitem__, input, indices,
            window_s, progress,
        )  # fmt: skip

    licences = sorted(set(_column(table, "licence")) - {""})
    made = Dataset(
        name=f"folder:{place}",
        version=version,
        task=task,
        labels=IRMAS_CLASSES if task == "instruments" else EMOTION_LABELS,
        unit="probability" if task == "instruments" else "1–9",
        items=items,
        groups=np.where(groups == "", items, groups),
        has_groups=bool((groups != "").any()),
        sources=_column(table, "source"),
        targets=targets,
        inputs=INPUTS[task],
        rows=rows,
        licence="; ".join(licences) or "not stated",
        citation="",
        about=f"{len(items):,} recordings listed in {file.name} of the folder {folder.name}.",
        audio=files.__getitem__,
    )
    return made


def find_folder(place: str) -> Path:
    """The folder that PATH means: absolute, else under EARSHOT_DATA, else under the working directory."""
    given = _given(place)
    bases = [Path()] if given.is_absolute() else [base for base in (paths.data(), Path.cwd()) if base]
    for base in bases:
        if _is_folder(base / given):
            return (base / given).resolve()
    looked = " nor ".join(str(base / given) for base in bases)
    raise ValueError(f"There is no folder {looked}; give folder:PATH an existing folder of audio with a CSV.")


def settled(place: str) -> str:
    """PATH as any process finds it: as it is where absolute or under EARSHOT_DATA, else absolute."""
    given, root = _given(place), paths.data()
    if given.is_absolute() or (root and _is_folder(root / given)):
        return str(given)
    return str(find_folder(place))


def stamp(place: str) -> list[tuple[str, int, int]]:
    """Name, time of change (ns) and size of each table in the folder."""
    found = [(path.name, path.stat()) for path in sorted(find_folder(place).glob("*.csv"))]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in found]


def _given(place: str) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError:  # ~ and the name of nobody
        return Path(place)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def find_csv(folder: Path) -> Path:
    """manifest.csv, labels.csv or the only *.csv of the folder; ValueError where that leaves none or several."""
    for name in ("manifest.csv", "labels.csv"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.csv"))
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{folder} has {len(found)} CSV files; name the one with the labels manifest.csv.")
    raise ValueError(f"{folder} has no CSV of labels; add a manifest.csv with the columns {FORM}.")


def _read(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise ValueError(f"{file} is empty; it needs the columns {FORM}.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{file} cannot be read as a table: {str(error).strip()}.") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas would take the first column for row names
        raise ValueError(f"{file}: a row has more values than the header has columns.")
    table.columns = [str(column).strip().lower() for column in table.columns]
    found = ", ".join(table.columns)
    if "path" not in table and "file" in table:
        table = table.rename(columns={"file": "path"})
    if "path" not in table or not any(_has(table, task) for task in TASKS):
        raise ValueError(f"{file}: expected the columns {FORM}, and found {found}.")
    table = table.apply(lambda column: column.str.strip())
    if table.empty:
        raise ValueError(f"{file} lists no recording.")
    return table


def _has(table: pd.DataFrame, task: str) -> bool:
    return "label" in table if task == "instruments" else {"valence", "arousal"} <= set(table.columns)


def _table_mistakes(file: Path, table: pd.DataFrame) -> Iterator[str]:
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        yield f"{file} lists {twice.iloc[0]!r} more than once."


def _row_mistakes(folder: Path, file: Path, table: pd.DataFrame, task: str) -> Iterator[str]:
    """One sentence for each kind of thing wrong with the rows, naming the first."""
    reasons = {path: why for path in table["path"] if (why := _absence(folder, path))}
    outside = [path for path, why in reasons.items() if why == OUTSIDE]
    if outside:
        yield f"{file} lists {outside[0]!r}, which lies outside the folder; paths are relative to it."
    absent = [path for path, why in reasons.items() if why != OUTSIDE]
    if absent:
        yield f"{file} lists {len(absent)} of {len(table)} files that are not there; first {absent[0]!r}."
    labels = [why for _, why in _label_mistakes(table, task)]
    if labels:
        more = f" (And {count_text(len(labels) - 1, 'more such mistake')}.)" if len(labels) > 1 else ""
        yield f"{file}: {labels[0]}{more}"


def _absence(folder: Path, path: str) -> str:
    """Why there is no file for a row; empty where there is one."""
    try:
        if not (folder / path).resolve().is_relative_to(folder):
            return OUTSIDE
        return "" if (folder / path).is_file() else "is listed, and there is no such file"
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return "is listed, and no file can have that name"


def _task(file: Path, table: pd.DataFrame, task: str | None) -> str:
    if task is None:
        return next(task for task in TASKS if _has(table, task))
    if not _has(table, task):
        needs = "a column label" if task == "instruments" else "the columns valence and arousal"
        raise ValueError(f"{file} has no labels for {task}: that needs {needs}; it has {', '.join(table.columns)}.")
    return task


def _label_mistakes(table: pd.DataFrame, task: str) -> Iterator[tuple[str, str]]:
    """(path, sentence) of each row whose label cannot be used."""
    if task == "instruments":
        for path, text in zip(table["path"], table["label"], strict=True):
            codes = _codes(text)
            unknown = [code for code in codes if code not in IRMAS_CLASSES]
            if unknown or not codes:
                what = f"the unknown class {unknown[0]!r}" if unknown else "no label"
                yield path, f"{path!r} has {what}; for now a label is one of {KNOWN_LABELS}."
        return
    values = _emotions(table)
    for row, column in np.argwhere(~((values >= LOW) & (values <= HIGH))):  # also what is no number
        path, label = table["path"].iloc[row], EMOTION_LABELS[column]
        given = table[label].iloc[row]
        yield path, f"{path!r} has {label} {given!r}; it must be a number from {LOW:g} to {HIGH:g}."


def _codes(text: str) -> list[str]:
    given = [code.strip().lower() for code in re.split(r"[|;]", text) if code.strip()]
    return [CODES.get(code, code) for code in given]


def _classes(table: pd.DataFrame) -> np.ndarray:
    targets = np.zeros((len(table), len(IRMAS_CLASSES)))
    for row, text in enumerate(table["label"]):
        targets[row, [IRMAS_CLASSES.index(code) for code in _codes(text)]] = 1
    return targets


def _emotions(table: pd.DataFrame) -> np.ndarray:
    columns = [pd.to_numeric(table[label], errors="coerce").to_numpy(dtype=float) for label in EMOTION_LABELS]
    return np.column_stack(columns)


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    if name in table:
        return table[name].to_numpy(dtype=str)
    return np.full(len(table), "", dtype="<U1")
