"""Rows of any data set that has audio: songs cut into windows, each with its numbers, its target and its place.

The numbers of all items are made once and kept in the cache (`features/`), so a second run starts at once; targets
are read from the labels each time, so that a corrected label never meets an old cache.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import audio as sound
from core import features, paths, windows
from core.datasets import Progress
from core.events import Part

Traces = Mapping[str, tuple[np.ndarray, np.ndarray]]
FULL_SCALE = 32_767  # waves are kept as whole numbers of 16 bits, half the size
THREADS = 2  # decoding and the transforms leave Python's lock to others


@dataclass(frozen=True)
class _Table:
    """Windows of all items. `values` [n, ...]; `item` [n] which one; `start_s` and `end_s` [n]."""

    values: np.ndarray
    item: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray


def audio_rows(
    dataset_key: str,
    items: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    traces: Traces,
    audio: Callable[[int], Path],
    input: str,
    indices: Sequence[int] | np.ndarray,
    window_s: float,
    progress: Progress,
    hop_s: float | None = None,
    max_windows: int | None = None,
) -> Part:
    """Windows of the items `indices`, item by item and in time order.

    `dataset_key` names the data set with its version (it is part of a file name). A window's target is the mean of
    the item's trace over it, where there is a trace with a moment inside, else the item's target. Windows follow each
    other every `hop_s` seconds (default: `window_s`, no overlap); an item gives at most `max_windows`, evenly spread,
    and at least one, however short it is. `window_s` 0 takes the whole item (`lib164` and `lib73` only).
    Raises ValueError for another input than those of `windows.CHOICES`, and for a file that cannot be read.
    """
    if input not in windows.CHOICES:
        raise ValueError(f"There is no input {input!r} of audio; there are {', '.join(windows.CHOICES)}.")
    if input in ("logmel", "wave16k") and window_s <= 0:
        raise ValueError(f"Windows of {input} need a length: window_s must be above 0.")
    stored = "lib164" if input == "lib73" else input
    hop_s = hop_s or window_s
    limit = "" if max_windows is None else f"-m{max_windows}"
    name = f"{dataset_key}-{stored}-w{window_s:g}-h{hop_s:g}{limit}-v{windows.FEATURES_VERSION}.npz"
    path = paths.cache() / "features" / name
    table = _read(path, len(items))
    if table is None:
        table = _make(items, audio, stored, window_s, hop_s, max_windows, progress)
        _write(path, table)
    return _select(table, items, groups, targets, traces, input, np.asarray(indices, int))


def _select(
    table: _Table,
    items: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    traces: Traces,
    input: str,
    indices: np.ndarray,
) -> Part:
    # The table is sorted by item, so an item's rows are one slice.
    first = np.searchsorted(table.item, indices, side="left")
    end = np.searchsorted(table.item, indices, side="right")
    picks = [np.arange(a, b) for a, b in zip(first, end, strict=True)]
    rows = np.concatenate(picks) if picks else np.zeros(0, int)
    item, start_s, end_s = table.item[rows], table.start_s[rows], table.end_s[rows]
    wanted = targets[item].astype(float)
    for row in range(len(rows)):
        trace = traces.get(str(items[item[row]]))
        if trace is not None:
            times_s, values = trace
            inside = (times_s >= start_s[row] - 1e-9) & (times_s < end_s[row] - 1e-9)
            if inside.any():
                wanted[row] = values[inside].mean(axis=0)
    values = table.values[rows].astype(np.float32)
    if input == "wave16k":
        values /= FULL_SCALE
    return Part(
        inputs=features.lib73_from_lib164(values) if input == "lib73" else values,
        targets=wanted,
        items=items[item],
        groups=groups[item],
        times_s=(start_s + end_s) / 2,
    )


def _starts(seconds: float, window_s: float, hop_s: float, max_windows: int | None) -> np.ndarray:
    """First seconds of the windows that fit into a clip, at least one."""
    if window_s <= 0 or seconds < window_s + hop_s - 0.01:
        return np.zeros(1)
    # A file can miss its nominal length by a codec's frame: 0.01 s short still counts as whole.
    starts = np.arange(int(np.floor((seconds - window_s + 0.01) / hop_s)) + 1) * hop_s
    starts = np.minimum(starts, max(seconds - window_s, 0.0))
    if max_windows is not None and len(starts) > max_windows:
        starts = starts[np.linspace(0, len(starts) - 1, max_windows).round().astype(int)]
    return starts


def _windows_of(
    path: Path, input: str, window_s: float, hop_s: float, max_windows: int | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Values, first seconds and window length of one file."""
    clip = sound.decode(path)
    starts = _starts(clip.seconds, window_s, hop_s, max_windows)
    length_s = min(window_s, clip.seconds) if window_s > 0 else clip.seconds
    if input == "logmel":
        values = windows.inputs(clip, input, starts + length_s / 2, window_s).values.astype(np.float16)
    elif input == "wave16k":
        waves = windows.inputs(clip, input, starts + length_s / 2, window_s).values
        values = np.rint(np.clip(waves, -1, 1) * FULL_SCALE).astype(np.int16)
    else:
        mono = sound.resample(clip.mono(), clip.sample_rate_hz, features.RATE_HZ)
        values = features.pool(features.descriptors(mono), starts, length_s)
    return values, starts, length_s


def _make(
    items: np.ndarray,
    audio: Callable[[int], Path],
    input: str,
    window_s: float,
    hop_s: float,
    max_windows: int | None,
    progress: Progress,
) -> _Table:
    import torch

    made = []
    # One thread of torch in each of ours: two times two on two cores took four times as long.
    before = torch.get_num_threads()
    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        tasks = [
            pool.submit(_windows_of, audio(index), input, window_s, hop_s, max_windows) for index in range(len(items))
        ]
        try:
            for count, task in enumerate(tasks, 1):
                made.append(task.result())
                if count % 10 == 0 or count == len(items):
                    progress(count / len(items), f"Listening ({input}): {count:,} of {len(items):,} files")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(before)  # a thread's setting is what threads that start later begin with
    counts = [len(starts) for _, starts, _ in made]
    start_s = np.concatenate([starts for _, starts, _ in made])
    return _Table(
        values=np.concatenate([values for values, _, _ in made]),
        item=np.repeat(np.arange(len(items)), counts),
        start_s=start_s,
        end_s=start_s + np.repeat([length_s for _, _, length_s in made], counts),
    )


def _read(path: Path, items: int) -> _Table | None:
    """A kept table; None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            table = _Table(file["values"], file["item"], file["start_s"], file["end_s"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = len(table.values) == len(table.item) == len(table.start_s) == len(table.end_s)
    return table if whole and len(np.unique(table.item)) == items else None


def _write(path: Path, table: _Table) -> None:
    """Keep a table; a cache that cannot be written costs time later, not the result now."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, values=table.values, item=table.item, start_s=table.start_s, end_s=table.end_s)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
