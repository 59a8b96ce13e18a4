"""Foreign files: damaged, long and large. The app lives, says what is wrong, and takes little memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from core import audio, decoding, library, paths
from core.longclip import LongClip
from tests.soak import fuzz_audio


def test_a_hundred_mutants_decode_or_are_refused_in_a_sentence() -> None:
    """In this process's decoder, which costs no process each; `make soak` has two thousand in children."""
    refused = 0
    for name, data in fuzz_audio.mutants(100, seed=11):
        try:
            clip = audio.decode(data, name)
        except ValueError as error:
            said = str(error)
            assert said.startswith(name) and said.endswith(".") and "\n" not in said
            refused += 1
            continue
        assert np.isfinite(clip.samples).all() and clip.seconds >= audio.SHORTEST_S
    assert refused <= 70  # at least 30 % decode in part


def test_a_few_mutants_in_children() -> None:
    # In a process of its own: after a page test `__main__` is that page here, and every spawned child would open it.
    campaign = "import json; from tests.soak import fuzz_audio; print(json.dumps(fuzz_audio.campaign(12, seed=3)))"
    told = subprocess.run([sys.executable, "-c", campaign], capture_output=True, text=True, cwd=paths.PROJECT)
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout.splitlines()[-1])
    assert report["failures"] == []
    assert sum(report["outcomes"].values()) == 12
    assert set(report["by_kind"]) >= {"wav", "flac", "ogg", "mp3"}


def encoded(seconds: float, kind: str, channels: int = 1, rate: int = 44_100) -> bytes:
    """A tone with a little noise, written block by block."""
    file, random = io.BytesIO(), np.random.default_rng(0)
    block = 0.3 * np.sin(2 * np.pi * 220 * np.arange(rate * 10) / rate)
    with soundfile.SoundFile(file, "w", rate, channels, format=kind, subtype="PCM_16") as target:
        for _ in range(round(seconds / 10)):
            noisy = block[:, None] + random.normal(0, 1e-3, (len(block), 1))
            target.write(np.repeat(noisy, channels, axis=1).astype(np.float32))
    return file.getvalue()


def peak_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns (or its ValueError), and the most memory that it and its children took beyond before (B)."""
    me, over = psutil.Process(), threading.Event()
    before, peak = me.memory_info().rss, 0.0

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            total = me.memory_info().rss - before
            for child in me.children(recursive=True):
                try:
                    total += child.memory_full_info().uss  # what it shares with us, before it becomes itself, is ours
                except psutil.NoSuchProcess:
                    continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = work()
    except ValueError as error:
        found = error
    over.set()
    watcher.join()
    return found, peak


@pytest.fixture
def nothing_waits() -> Iterator[None]:
    """No decoder is left waiting from another test."""
    for child in decoding._ready:
        child.kill()
        child.wait()
    decoding._ready.clear()
    yield


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARSHOT_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hours_are_unpacked_in_little_memory(nothing_waits: None, place: Path) -> None:
    path = place / "night.flac"
    path.write_bytes(encoded(3 * 3600, "FLAC"))
    heard: list[float] = []
    found, peak = peak_of(lambda: decoding.decode_safely(path, path.name, timeout_s=280, tell=heard.append))
    assert isinstance(found, LongClip) and found.seconds == 3 * 3600
    assert heard == sorted(heard) and len(heard) > 100
    assert peak < 0.3e9, f"{peak / 1e9:.2f} GB"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_megabytes_fit(nothing_waits: None, place: Path) -> None:
    data = encoded(1700, "WAV", channels=2)
    assert 299e6 < len(data) < 315e6
    (_, found), peak = peak_of(lambda: library.keep(data, "set.wav"))
    assert isinstance(found, LongClip) and found.seconds == 1700
    assert peak < 0.3e9, f"{peak / 1e9:.2f} GB"  # beyond the upload itself, which the server holds


def test_a_decoder_that_is_given_up_ends() -> None:
    """Cancel is the end of the child: whoever waits is told, and no process stays."""
    before = {child.pid for child in psutil.Process().children()}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(decoding.decode_safely, encoded(300, "FLAC"), "long.flac", 0.01)
        with pytest.raises(ValueError, match=r"long\.flac took more than 0\.01 s to decode"):
            waiting.result(timeout=60)
    end = time.monotonic() + 30
    while {child.pid for child in psutil.Process().children()} - before:
        assert time.monotonic() < end
        time.sleep(0.02)
