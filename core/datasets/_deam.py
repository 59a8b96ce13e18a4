"""DEAM's own files: finding them, reading their labels, and saying clearly what is missing or wrong.

Labels are 1–9 per song, and −1…1 every half second from 15.0 s on, stored here as 5 + 4x. 1,744 songs (ids up to
2000) come from the years 2013 and 2014, the official 58 test songs (ids above 2000) from 2015.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from core import paths, shelf, stats
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, Dataset, Missing, Progress
from core.events import Part

ADDRESS = "https://cvml.unige.ch/databases/DEAM/"
LICENCE = "non-commercial research (DEAM)"
CITATION = (
    "Aljanaki, Yang & Soleymani 2017, Developing a benchmark for emotional analysis of music, PLoS ONE 12(3): e0173392"
)
LAST_TRAINING_ID = 2000
LAYOUT = """deam/
├─ annotations/
│  ├─ annotations averaged per song/song_level/                        2 csv
│  ├─ annotations averaged per song/dynamic (per second annotations)/  valence.csv, arousal.csv
│  └─ annotations per each rater/song_level/                           2 csv
"""
LOW, HIGH = 1.0, 9.0

AVERAGED = "annotations/annotations averaged per song/song_level"
RATED = "annotations/annotations per each rater/song_level"
DYNAMIC = "annotations/annotations averaged per song/dynamic (per second annotations)"
FILES = {
    "songs 1–2000": f"{AVERAGED}/static_annotations_averaged_songs_1_2000.csv",
    "songs 2001–2058": f"{AVERAGED}/static_annotations_averaged_songs_2000_2058.csv",
    "raters of songs 1–2000": f"{RATED}/static_annotations_songs_1_2000.csv",
    "raters of songs 2001–2058": f"{RATED}/static_annotations_songs_2000_2058.csv",
    "valence over time": f"{DYNAMIC}/valence.csv",
    "arousal over time": f"{DYNAMIC}/arousal.csv",
}
PARTS = tuple((relative, 1, f"labels ({key})") for key, relative in FILES.items())

Trace = tuple[np.ndarray, np.ndarray]


def locate(relative: str, what: str, size: str) -> Path:
    """The file or folder `relative` of DEAM: in the folder that was added as deam, else in deam/, DEAM/ or directly
    in the data folder.

    Raises Missing, which says what is missing, where it should lie, where to get it, its size and its licence.
    """
    get = f"Get it from {ADDRESS} ({size}; {LICENCE})"
    root, added = paths.data(), shelf.added().get("deam")
    bases = ([added] if added else []) + ([root / base for base in ("deam", "DEAM", "")] if root else [])
    if not bases:
        raise Missing(
            f"DEAM's {what} is not here: set EARSHOT_DATA to a folder that holds deam/{relative}, or say where it lies "
            f"(python lab.py data add deam PATH). {get}."
        )
    folders = [base / inner for base in bases for inner in ("", "DEAM_Annotations")]
    for folder in folders:
        if (folder / relative).exists():
            return folder / relative
    raise Missing(f"DEAM's {what} is missing: there is no {folders[0] / relative}. {get} and unpack it there.")


def song_labels() -> tuple[np.ndarray, np.ndarray, list[Path]]:
    """Song ids [n] in rising order, labels [n, 2] (valence, arousal, 1–9), and the two files they come from.

    Raises Missing for an absent file, ValueError for a wrong header, a label outside 1–9 or a song twice.
    """
    files = [locate(FILES[key], f"song-level labels ({key})", "about 3 MB") for key in list(FILES)[:2]]
    tables = [read_table(file, ("song_id", "valence_mean", "arousal_mean")) for file in files]
    for file, table in zip(files, tables, strict=True):
        check_range(file, table["song_id"], table[["valence_mean", "arousal_mean"]], LOW, HIGH)
    table = pd.concat(tables).sort_values("song_id")
    twice = table["song_id"][table["song_id"].duplicated()]
    if len(twice):
        raise ValueError(f"{files[0].parent}: song {int(twice.iloc[0])} has song-level labels twice.")
    return table["song_id"].to_numpy(dtype=int), table[["valence_mean", "arousal_mean"]].to_numpy(dtype=float), files


def rater_table() -> tuple[pd.DataFrame, list[Path]]:
    """One row per rating: item, rater, valence, arousal (1–9), from both per-rater files; errors as `song_labels`."""
    files = [locate(FILES[key], f"ratings ({key})", "about 3 MB") for key in list(FILES)[2:4]]
    headers = (
        {"SongId": "item", "workerID": "rater", "Valence": "valence", "Arousal": "arousal"},
        {"SongId": "item", "WorkerId": "rater", "Valence_Average": "valence", "Arousal_Average": "arousal"},
    )
    tables = []
    for file, names in zip(files, headers, strict=True):
        table = read_table(file, tuple(names), text=("workerID", "WorkerId")).rename(columns=names)
        check_range(file, table["item"], table[list(EMOTION_LABELS)], LOW, HIGH)
        tables.append(table[["item", "rater", *EMOTION_LABELS]])
    table = pd.concat(tables, ignore_index=True)
    return table.assign(item=table["item"].astype(int).astype(str)), files


def song_traces() -> tuple[dict[str, Trace], list[Path]]:
    """Item → (times_s [t], values [t, 2] on 1–9) where both labels are known; errors as `song_labels`."""
    files = [locate(FILES[f"{label} over time"], f"{label} over time", "about 3 MB") for label in EMOTION_LABELS]
    tables = [_dynamic(file) for file in files]
    songs = tables[0].index.intersection(tables[1].index)
    times = tables[0].columns.intersection(tables[1].columns)
    values = np.stack([table.loc[songs, times].to_numpy() for table in tables], axis=2)
    known = np.isfinite(values).all(axis=2)
    times_s = np.asarray(times, dtype=float)
    return {
        str(song): (times_s[known[i]], 5 + 4 * values[i, known[i]]) for i, song in enumerate(songs) if known[i].any()
    }, files


def _dynamic(file: Path) -> pd.DataFrame:
    table = read_table(file, ("song_id",)).set_index("song_id")
    samples = {c: c.removeprefix("sample_").removesuffix("ms") for c in table.columns}
    wrong = [c for c, number in samples.items() if not number.isdigit()]
    if wrong or not samples:
        raise ValueError(
            f"{file}: expected the columns song_id, sample_15000ms, sample_15500ms … and found {_shown(table)}."
        )
    outside = np.argwhere(table.to_numpy(dtype=float) ** 2 > 1)
    if len(outside):
        row, column = outside[0]
        value = table.iat[row, column]
        raise ValueError(f"{file}: song {int(table.index[row])} has a label {value:g}, outside −1 to 1.")
    table.index = table.index.astype(int)
    return table.rename(columns={c: int(number) / 1000 for c, number in samples.items()})


def read_table(file: Path, needed: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV (also .gz) of numbers with blanks stripped from its header; columns in `text` stay strings.

    Raises ValueError that names the file: a wrong header (with what was expected and found), or a cell that is no
    number.
    """
    try:
        table = pd.read_csv(file, skipinitialspace=True, dtype={name: str for name in text})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, EOFError, OSError) as error:
        raise ValueError(f"{file} cannot be read as a table: {str(error).strip()}.") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas would take the first column for row names
        raise ValueError(f"{file}: a row has more values than the header has columns.")
    table.columns = [str(column).strip() for column in table.columns]
    if not set(needed) <= set(table.columns):
        raise ValueError(f"{file}: expected the columns {', '.join(needed)} and found {_shown(table)}.")
    for column in table.columns:
        if column in text or pd.api.types.is_numeric_dtype(table[column]):
            continue
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = table[column][numbers.isna() & table[column].notna()]
        raise ValueError(f"{file}: {column} holds {bad.iloc[0]!r} in data row {bad.index[0] + 1}, not a number.")
    return table


def _shown(table: pd.DataFrame) -> str:
    columns = [str(column) for column in table.columns[:6]]
    return ", ".join(columns) + (f" … ({len(table.columns)} columns)" if len(table.columns) > 6 else "")


def check_range(file: Path, songs: pd.Series, labels: pd.DataFrame, low: float, high: float) -> None:
    """Raises ValueError naming file, song and column where a label is missing or outside [low, high]."""
    values = labels.to_numpy(dtype=float)
    outside = np.argwhere(~((values >= low) & (values <= high)))
    if len(outside):
        row, column = outside[0]
        raise ValueError(
            f"{file}: song {songs.iloc[row]:g} has {labels.columns[column].strip()} {values[row, column]:g}, "
            f"outside {low:g} to {high:g}."
        )


def hash_files(files: Sequence[Path]) -> str:
    """A version: the fingerprint of what the files hold, wherever they lie."""
    return fingerprint([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])


@lru_cache(maxsize=4)
def _annotations(stamp: tuple[tuple[str, int, int], ...]) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, dict, str]:
    ids, labels, label_files = song_labels()
    raters, rater_files = rater_table()
    traces, trace_files = song_traces()
    return ids, labels, raters, traces, hash_files([*label_files, *rater_files, *trace_files])


def all_annotations() -> tuple[np.ndarray, np.ndarray, pd.DataFrame, dict[str, Trace], str]:
    """Ids [n], labels [n, 2], ratings, traces and their version; read again only when a file has changed."""
    files = [locate(relative, f"labels ({key})", "about 3 MB") for key, relative in FILES.items()]
    return _annotations(tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files))


def emotion_set(
    name: str,
    ids: np.ndarray,
    version: str,
    about: str,
    inputs: tuple[str, ...],
    rows: Callable[..., Part],
    **more: object,
) -> Dataset:
    """The Dataset of the songs `ids`, with DEAM's labels, raters, traces, ceiling and official split."""
    all_ids, all_labels, raters, traces, _ = all_annotations()
    unlabelled = sorted(set(ids.tolist()) - set(all_ids.tolist()))
    if unlabelled:
        raise ValueError(f"{name}: song {unlabelled[0]} has features but no label ({len(unlabelled)} such songs).")
    items = ids.astype(str)
    official = {str(i): "train" if i <= LAST_TRAINING_ID else "test" for i in ids}
    rated = raters[raters["item"].isin(set(items))].reset_index(drop=True)
    return Dataset(
        name=name,
        version=version,
        task="emotion",
        labels=EMOTION_LABELS,
        unit="1–9",
        items=items,
        groups=items.copy(),  # DEAM's label files name no artist: a song is its own group
        has_groups=False,
        targets=all_labels[np.searchsorted(all_ids, ids)],
        inputs=inputs,
        rows=rows,
        licence=LICENCE,
        citation=CITATION,
        about=about,
        default_split="grouped:0",
        official=official if "test" in official.values() else {},
        ceiling=stats.rater_ceiling(rated),
        raters=rated,
        traces={item: traces[item] for item in items if item in traces},
        **more,  # type: ignore[arg-type]
    )


def table_set(
    name: str, file: Path, table: pd.DataFrame, input: str, columns: tuple[str, ...], window_s: float, about: str,
    sources: np.ndarray | None = None,
) -> Dataset:  # fmt: skip
    """A Dataset whose one input is a table with a row per song: `table` has song_id and `columns`."""
    ids, values = table["song_id"].to_numpy(dtype=int), table[list(columns)].to_numpy(dtype=np.float32)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise ValueError(f"{file}: song {ids[row]} has a feature that is not a finite number.")
    targets = np.zeros((0, 2))

    def rows(wanted: str, indices: Sequence[int] | np.ndarray, seconds: float, progress: Progress) -> Part:
        if wanted != input:
            raise ValueError(f"{name} has no input {wanted!r}; it offers {input}.")
        chosen = np.asarray(indices, dtype=int)
        items = ids[chosen].astype(str)
        return Part(values[chosen], targets[chosen], items, items.copy(), np.full(len(chosen), window_s / 2))

    version = fingerprint([hash_files([file]), all_annotations()[-1], len(ids)])
    made = emotion_set(
        name, ids, version, about, (input,), rows,
        sources=sources, columns={input: columns}, window_s={input: window_s},
    )  # fmt: skip
    targets = made.targets
    return made


def read_feature_csv(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """One of DEAM's released feature files: times_s [t], values [t, 260] and the 260 names.

    The files are separated by `;` and start with frameTime in seconds, every 0.5 s. Raises ValueError, naming the
    file, for another header, a row of another length, and a cell that is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file, delimiter=";")) or [[]]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file.") from None
    if not header or header[0].strip() != "frameTime" or len(header) < 2:
        found = "; ".join(header[:3]) or "an empty file"
        raise ValueError(f"{path}: expected a header frameTime;F0final_sma_stddev;… and found {found}.")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise ValueError(f"{path}: line {number} has {len(line)} values where the header has {len(header)}.")
    try:
        values = np.array(lines, dtype=float).reshape(len(lines), len(header))
    except ValueError as error:
        raise ValueError(f"{path}: a cell is no number ({error}).") from None
    return values[:, 0], values[:, 1:], tuple(name.strip() for name in header[1:])
