"""Foreign files: damaged, long and large. The app lives, says what is wrong, and takes little memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core import audio, decoding, paths
from tests.soak import fuzz_audio, large_files


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


def measured(what: str, place: Path) -> dict[str, Any]:
    """What `large_files` says of one of its files: in a process of its own, as tests leave work behind here."""
    command = [sys.executable, "-m", "tests.soak.large_files", what, str(place)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=paths.PROJECT)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hours_are_unpacked_in_little_memory(tmp_path: Path) -> None:
    found = measured("night", tmp_path)
    assert found["long"] and found["seconds"] == 3 * 3600
    assert found["in_order"] and found["told"] > 100
    assert found["peak"]["together"] < 0.3e9, found["peak"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_megabytes_fit(tmp_path: Path) -> None:
    found = measured("set", tmp_path)
    assert 299e6 < found["bytes"] < 315e6
    assert found["long"] and found["seconds"] == 1700
    assert found["peak"]["together"] < 0.3e9, found["peak"]  # beyond the upload itself, which the server holds


def test_a_decoder_that_is_given_up_ends() -> None:
    """Cancel is the end of the child: whoever waits is told, and no process stays."""
    before = {child.pid for child in psutil.Process().children()}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(decoding.decode_safely, large_files.encoded(300, "FLAC"), "long.flac", 0.01)
        with pytest.raises(ValueError, match=r"long\.flac took more than 0\.01 s to decode"):
            waiting.result(timeout=60)
    end = time.monotonic() + 30
    while {child.pid for child in psutil.Process().children()} - before:
        assert time.monotonic() < end
        time.sleep(0.02)
