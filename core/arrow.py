"""Arrow arrays of plain Python values without pandas, which pyarrow imports for any other way to make one.

That import is half a second, and the index is filled before the first page of the app is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

TYPES = {"VARCHAR": pa.large_string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_()}
"""DuckDB's types as Arrow has them."""

_KINDS: dict[str, tuple[type, ...]] = {"VARCHAR": (str,), "BIGINT": (int,), "DOUBLE": (float, int), "BOOLEAN": (bool,)}
_EXACT_UP_TO = 2**53  # whole numbers that a float holds as they are


def array(values: Sequence[Any], kind: str) -> pa.Array | None:
    """Values of DuckDB's type `kind` as an array; None and NaN are empty places.

    None where a value is of another type, or does not fit: pyarrow itself may know what to do with it.
    """
    kinds = set(map(type, values))
    has_gaps = type(None) in kinds
    if kinds - {type(None), *_KINDS[kind]}:
        return None
    if kind == "DOUBLE" and int in kinds and max(abs(one) for one in values if type(one) is int) > _EXACT_UP_TO:
        return None
    try:
        if kind == "VARCHAR":
            is_there = np.array([value is not None for value in values], bool) if has_gaps else None
            return texts([value.encode() if value else b"" for value in values], is_there)
        zero = _KINDS[kind][0]()
        filled = np.array([zero if value is None else value for value in values], TYPES[kind].to_pandas_dtype())
    except (UnicodeError, OverflowError):
        return None
    is_there = np.array([value is not None for value in values], bool) if has_gaps else np.ones(len(values), bool)
    if kind == "DOUBLE":
        is_there &= ~np.isnan(filled)
    data = np.packbits(filled, bitorder="little") if kind == "BOOLEAN" else filled
    return pa.Array.from_buffers(TYPES[kind], len(filled), [_bitmap(is_there), pa.py_buffer(data)])


def texts(lines: Sequence[bytes], is_there: np.ndarray | None = None) -> pa.Array:
    """Lines of UTF-8, which is not looked at, as an array of texts."""
    ends = np.fromiter(chain([0], map(len, lines)), np.int64, len(lines) + 1).cumsum()
    buffers = [_bitmap(is_there), pa.py_buffer(ends), pa.py_buffer(b"".join(lines))]
    return pa.Array.from_buffers(TYPES["VARCHAR"], len(lines), buffers)


def numbers(values: Sequence[int]) -> pa.Array:
    """Whole numbers below 2^63."""
    return pa.Array.from_buffers(TYPES["BIGINT"], len(values), [None, pa.py_buffer(np.array(values, np.int64))])


def repeated(names: Sequence[str], counts: Sequence[int]) -> pa.DictionaryArray:
    """Each name as often as its count says, kept once."""
    places = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    indices = pa.Array.from_buffers(pa.int32(), len(places), [None, pa.py_buffer(places)])
    return pa.DictionaryArray.from_arrays(indices, texts([name.encode() for name in names]))


def _bitmap(is_there: np.ndarray | None) -> pa.Buffer | None:
    if is_there is None or is_there.all():
        return None
    return pa.py_buffer(np.packbits(is_there, bitorder="little"))
