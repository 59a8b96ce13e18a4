"""The stored predictions of a run, an item a row, read without pandas: the first page asks for them, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core import metrics

if TYPE_CHECKING:
    import pyarrow as pa

NAMES, NUMBERS = ("part", "item", "group", "label"), ("truth", "prediction")


@dataclass(frozen=True)
class Scored:
    """n items of one part of a split: `items` and `groups` n strings, `truth` and `scores` [n, labels].

    Truth is 0 or 1. The windows of an item are averaged, as in every score; items whose score is no number are left
    out. Items are in the order of their names.
    """

    labels: tuple[str, ...]
    items: np.ndarray
    groups: np.ndarray
    truth: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.items), len(self.labels))
        assert self.truth.shape == self.scores.shape == shape and len(self.groups) == shape[0], (shape, self.scores)

    def __len__(self) -> int:
        return len(self.items)


def of_rows(
    labels: tuple[str, ...], items: np.ndarray, groups: np.ndarray, truth: np.ndarray, scores: np.ndarray
) -> Scored:
    """The items of rows that may be windows of them: [rows] names and [rows, labels] numbers."""
    truths, means, first = metrics.per_item("instruments", truth, scores, items)
    is_known = np.isfinite(means).all(axis=1)
    names, sides = np.asarray(items, dtype=str)[first], np.asarray(groups, dtype=str)[first]
    return Scored(labels, names[is_known], sides[is_known], truths[is_known], means[is_known])


def read(path: Path, part: str) -> Scored:
    """One part of a `predictions.parquet`; ValueError where there is no such file, no such part, or damage."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Not read_table, nor to_numpy, which import pandas.
        table = parquet.ParquetFile(path, read_dictionary=list(NAMES)).read(columns=[*NAMES, *NUMBERS])
        names = {name: _concatenated(table, name, _texts) for name in NAMES}
        values = [_concatenated(table, name, _numbers).astype(float) for name in NUMBERS]
    except FileNotFoundError:
        raise ValueError("its predictions are not kept") from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"its predictions cannot be read ({reason})") from None
    rows = names["part"] == part
    labels = tuple(dict.fromkeys(names["label"][rows].tolist()))
    if not labels:
        raise ValueError(f"its predictions have no {part} part")
    told = names["label"][rows]
    if len(told) % len(labels) or (told.reshape(-1, len(labels)) != np.array(labels)).any():
        raise ValueError("its predictions cannot be read (they lack labels of some items)")
    truth, scores = (column[rows].reshape(-1, len(labels)) for column in values)
    every = slice(None, None, len(labels))
    return of_rows(labels, names["item"][rows][every], names["group"][rows][every], truth, scores)


def _concatenated(table: pa.Table, name: str, read_one: Callable[[pa.Array], np.ndarray]) -> np.ndarray:
    parts = [read_one(chunk) for chunk in table.column(name).chunks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _texts(array: pa.DictionaryArray) -> np.ndarray:
    return np.array(array.dictionary.to_pylist(), dtype=str)[_numbers(array.indices)]


def _numbers(array: pa.Array) -> np.ndarray:
    if array.null_count:
        raise ValueError("they have gaps")
    kind = np.dtype({"float": "f4", "double": "f8"}.get(str(array.type), str(array.type)))
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]
