"""The most memory that a long and a large file take, in a process that does nothing else (no test's left-overs count).

python -m tests.soak.large_files night PLACE     a FLAC file of three hours, unpacked
python -m tests.soak.large_files set PLACE       a wav upload of 300 MB, kept in the library
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from core import decoding, library
from core.longclip import LongClip


def encoded(seconds: float, kind: str, channels: int = 1, rate: int = 44_100) -> bytes:
    """A tone with a little noise, written block by block."""
    file, random = io.BytesIO(), np.random.default_rng(0)
    block = 0.3 * np.sin(2 * np.pi * 220 * np.arange(rate * 10) / rate)
    with soundfile.SoundFile(file, "w", rate, channels, format=kind, subtype="PCM_16") as target:
        for _ in range(round(seconds / 10)):
            noisy = block[:, None] + random.normal(0, 1e-3, (len(block), 1))
            target.write(np.repeat(noisy, channels, axis=1).astype(np.float32))
    return file.getvalue()


def peak_of(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `work` returns, and the most memory that this process took beyond before, and its children (B)."""
    me, over = psutil.Process(), threading.Event()
    before = me.memory_info().rss
    peak = {"own": 0.0, "children": 0.0, "together": 0.0}

    def watch() -> None:
        while not over.wait(0.02):
            own, theirs = me.memory_info().rss - before, 0
            for child in me.children(recursive=True):
                try:
                    theirs += child.memory_full_info().uss  # what it shares with us, before it becomes itself, is ours
                except psutil.NoSuchProcess:
                    continue
            for name, now in (("own", own), ("children", theirs), ("together", own + theirs)):
                peak[name] = max(peak[name], now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return work(), peak
    finally:
        over.set()
        watcher.join()


def measured(what: str, place: Path) -> dict[str, Any]:
    """Seconds found, fractions told, size of the file (B) and peaks (B) of one of the two files."""
    os.environ["EARSHOT_CACHE"] = str(place)
    told: list[float] = []
    if what == "night":
        path = place / "night.flac"
        path.write_bytes(encoded(3 * 3600, "FLAC"))
        size = path.stat().st_size
        found, peak = peak_of(lambda: decoding.decode_safely(path, path.name, timeout_s=280, tell=told.append))
    else:
        data = encoded(1700, "WAV", channels=2)
        size = len(data)
        (_, found), peak = peak_of(lambda: library.keep(data, "set.wav"))
    return {
        "seconds": found.seconds,
        "long": isinstance(found, LongClip),
        "told": len(told),
        "in_order": told == sorted(told),
        "bytes": size,
        "peak": peak,
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], Path(sys.argv[2]))))
