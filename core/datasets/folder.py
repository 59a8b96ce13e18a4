"""Any folder of audio with a CSV of labels: `folder:PATH`, for your own recordings.

The CSV is manifest.csv, labels.csv or the only one there, with a column `path` (or `file`), relative to the folder,
and either `label` (IRMAS codes, several separated by `|` or `;`) or `valence` and `arousal` (1–9). Optional: `group`
(song, recording, player: never on two sides of a split), `source` (for leave-source:NAME), `licence`. PATH is
absolute, or relative to EARSHOT_DATA, or to the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from core import paths
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES, Dataset, Progress
from core.events import Part

TASKS = ("instruments", "emotion")
INPUTS = {"instruments": ("logmel", "wave16k", "lib164", "lib73"), "emotion": ("lib164", "logmel", "lib73")}
FORM = "path (or file) and either label, or valence and arousal"
LOW, HIGH = 1.0, 9.0


def load(task: str | None, progress: Progress, place: str) -> Dataset:
    """The folder as a data set; its columns choose the task where it is None.

    Raises ValueError, one sentence each: no such folder, no CSV, a wrong header, a listed file that is not there, a
    path listed twice, an unknown class, a label out of range.
    """
    folder = find_folder(place)
    file = find_csv(folder)
    table = _read(file)
    task = _task(file, table, task)
    items = table["path"].to_numpy(dtype=str)
    files = _audio_files(folder, file, items)
    targets = _classes(file, table) if task == "instruments" else _emotions(file, table)
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
    if "path" not in table and "file" in table:
        table = table.rename(columns={"file": "path"})
    if "path" not in table or not ("label" in table or {"valence", "arousal"} <= set(table.columns)):
        raise ValueError(f"{file}: expected the columns {FORM}, and found {', '.join(table.columns)}.")
    table = table.apply(lambda column: column.str.strip())
    if table.empty:
        raise ValueError(f"{file} lists no recording.")
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise ValueError(f"{file} lists {twice.iloc[0]!r} more than once.")
    return table


def _task(file: Path, table: pd.DataFrame, task: str | None) -> str:
    has = {"instruments": "label" in table, "emotion": {"valence", "arousal"} <= set(table.columns)}
    if task is None:
        return "instruments" if has["instruments"] else "emotion"
    if not has[task]:
        needs = "a column label" if task == "instruments" else "the columns valence and arousal"
        raise ValueError(f"{file} has no labels for {task}: that needs {needs}; it has {', '.join(table.columns)}.")
    return task


def _audio_files(folder: Path, file: Path, items: np.ndarray) -> list[Path]:
    files = [folder / item for item in items]
    outside = [str(item) for item, path in zip(items, files, strict=True) if not path.resolve().is_relative_to(folder)]
    if outside:
        raise ValueError(f"{file} lists {outside[0]!r}, which lies outside the folder; paths are relative to it.")
    absent = [str(item) for item, path in zip(items, files, strict=True) if not path.is_file()]
    if absent:
        raise ValueError(f"{file} lists {len(absent)} of {len(items)} files that are not there; first {absent[0]!r}.")
    return files


def _classes(file: Path, table: pd.DataFrame) -> np.ndarray:
    targets = np.zeros((len(table), len(IRMAS_CLASSES)))
    for row, (item, text) in enumerate(zip(table["path"], table["label"], strict=True)):
        codes = [code.strip().lower() for code in re.split(r"[|;]", text) if code.strip()]
        unknown = [code for code in codes if code not in IRMAS_CLASSES]
        if unknown or not codes:
            what = f"the unknown class {unknown[0]!r}" if unknown else "no label"
            raise ValueError(f"{file}: {item!r} has {what}; for now a label is one of {', '.join(IRMAS_CLASSES)}.")
        targets[row, [IRMAS_CLASSES.index(code) for code in codes]] = 1
    return targets


def _emotions(file: Path, table: pd.DataFrame) -> np.ndarray:
    values = np.column_stack([pd.to_numeric(table[label], errors="coerce").to_numpy() for label in EMOTION_LABELS])
    wrong = np.argwhere(~((values >= LOW) & (values <= HIGH)))  # also what is no number
    if len(wrong):
        row, label = wrong[0][0], EMOTION_LABELS[wrong[0][1]]
        given = table[label].iloc[row]
        raise ValueError(
            f"{file}: {table['path'].iloc[row]!r} has {label} {given!r}; it must be a number from {LOW:g} to {HIGH:g}."
        )
    return values.astype(float)


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    if name in table:
        return table[name].to_numpy(dtype=str)
    return np.full(len(table), "", dtype="<U1")
