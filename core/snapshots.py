"""What a trainer showed while it learned, read back from its run directory: pictures, sounds, tables, histograms.

A payload is JSON with a `kind` and its data:
image      `pixels` [height][width] of 0 to 1, or [height][width][3]; or `png`, base64
audio      `samples` [n] of -1 to 1 with `sample_rate_hz`; or `wav`, base64
table      `columns` [k] and `rows` [n][k]
histogram  `edges` [n + 1] and `counts` [n]
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from core import audio

MOST_BYTES = 30_000_000


class Shown(NamedTuple):
    """A snapshot, ready to be shown. `data` is an array or PNG bytes (image), WAV bytes (audio), a frame (table, and
    histogram with low, high and count)."""

    kind: str
    data: Any


def read(folder: Path, file: str) -> Shown:
    """The snapshot `file` of the run in `folder`; ValueError where it is gone, damaged or of an unknown kind."""
    if not file or Path(file).name != file:
        raise ValueError(f"{file!r} is not the name of a snapshot.")
    path = folder / "snapshots" / file
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES / 1e6:g} MB")
        payload = json.loads(path.read_text())
        kind = payload["kind"]
        if kind not in _READERS:
            raise ValueError(f"its kind {kind!r} is none of {', '.join(_READERS)}")
        return Shown(kind, _READERS[kind](payload))
    except FileNotFoundError:
        raise ValueError(f"The snapshot {file} is no longer there.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"The snapshot {file} cannot be read ({error}).") from error


def _image(payload: dict[str, Any]) -> Any:
    if "png" in payload:
        blob = base64.b64decode(payload["png"], validate=True)
        if not blob.startswith(b"\x89PNG"):
            raise ValueError("it is no PNG")
        return blob
    pixels = np.asarray(payload["pixels"], dtype=float)
    if pixels.ndim not in (2, 3) or pixels.size == 0 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"its pixels have the shape {pixels.shape}")
    return np.clip(np.nan_to_num(pixels), 0.0, 1.0)


def _audio(payload: dict[str, Any]) -> bytes:
    if "wav" in payload:
        blob = base64.b64decode(payload["wav"], validate=True)
        if not blob.startswith(b"RIFF"):
            raise ValueError("it is no WAV")
        return blob
    samples = np.asarray(payload["samples"], dtype=np.float32)
    rate_hz = int(payload["sample_rate_hz"])
    if samples.ndim != 1 or not len(samples) or not 1000 <= rate_hz <= 384_000:
        raise ValueError(f"its samples have the shape {samples.shape} at {rate_hz} Hz")
    return audio.wav_bytes(np.clip(np.nan_to_num(samples), -1.0, 1.0), rate_hz)


def _table(payload: dict[str, Any]) -> pd.DataFrame:
    columns = [str(name) for name in payload["columns"]]
    if len(set(columns)) < len(columns):
        raise ValueError("two of its columns have one name")
    return pd.DataFrame(payload["rows"], columns=columns)


def _histogram(payload: dict[str, Any]) -> pd.DataFrame:
    edges, counts = np.asarray(payload["edges"], dtype=float), np.asarray(payload["counts"], dtype=float)
    if edges.ndim != 1 or len(edges) != len(counts) + 1:
        raise ValueError(f"{len(edges)} edges do not fit {len(counts)} counts")
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


_READERS = {"image": _image, "audio": _audio, "table": _table, "histogram": _histogram}
