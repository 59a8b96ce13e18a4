"""What is wrong with sound files, many at a time: each is read in a child process that a bad file cannot take along.

python -m core.soundcheck        the child: one JSON request per line on stdin, one answer per line; not for people

`core.decoding.decode_safely` starts a process for each file, which costs more than reading it; here a child reads file
after file under the same limits, and the one that crashes it, or takes too long, is named and the next child goes on.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core import audio, likeness, paths
from core.decoding import MEMORY_LIMIT_BYTES

LIMIT_S = 60.0  # for one file; the longest that is read, 30 min, takes a few
CHILDREN = 2
START_WITHIN_S, READY = 120.0, b"ready\n"
FULL_SCALE, SHORTEST_RUN = 0.9999, 3
"""Clipping is three samples in a row at full scale: a loud peak touches it once."""


class Cancelled(Exception):
    """Somebody asked for an end."""


@dataclass(frozen=True)
class Sound:
    """What one file holds. `problem` is "" or a kind: missing, short, unreadable; `why` its sentence.

    `seconds`, `loudness_db` (root mean square, of full scale), `peak_db`, `clipped_share` (0 to 1), `not_numbers` (how
    many samples), `samples_hash` of the decoded samples, `profile` [48] in dB, `warnings` of the decoder.
    """

    problem: str = ""
    why: str = ""
    seconds: float = 0.0
    loudness_db: float = -120.0
    peak_db: float = -120.0
    clipped_share: float = 0.0
    not_numbers: int = 0
    samples_hash: str = ""
    profile: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def examine(path: Path, sketch_file: Path | None = None) -> Sound:
    """One file, read in this process; its sketch (see `likeness`) goes to `sketch_file`."""
    if not path.is_file():
        return Sound("missing", f"There is no file {path.name}.")
    try:
        clip = audio.decode(path)
    except ValueError as error:
        return Sound("short" if f"at least {audio.SHORTEST_S:g} s" in str(error) else "unreadable", str(error))
    except MemoryError:
        return Sound("unreadable", f"{path.name} needs too much memory.")
    mono = clip.mono()
    if sketch_file is not None:
        np.save(sketch_file, likeness.sketch(mono, clip.sample_rate_hz))
    peak = float(np.abs(clip.samples).max())
    counted = next((re.match(r"([\d,]+) of", text) for text in clip.warnings if "not numbers" in text), None)
    return Sound(
        seconds=clip.seconds,
        loudness_db=audio.loudness_db(mono),
        peak_db=20 * float(np.log10(max(peak, 1e-6))),
        clipped_share=clipped_share(clip.samples),
        not_numbers=int(counted.group(1).replace(",", "")) if counted else 0,
        samples_hash=audio.file_hash(clip.samples.tobytes() + str(clip.sample_rate_hz).encode()),
        profile=[float(f"{value:.4g}") for value in likeness.profile(mono, clip.sample_rate_hz)],
        warnings=[text for text in clip.warnings if "not numbers" not in text and "silence" not in text],
    )


def clipped_share(samples: np.ndarray) -> float:
    """Share of `samples` [channels, n] in runs of at least three at full scale, of one sign, 0 to 1."""
    found = 0
    for channel in samples:
        for side in (channel, -channel):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], side >= FULL_SCALE, [False]]).astype(np.int8)))
            lengths = edges[1::2] - edges[::2]
            found += int(lengths[lengths >= SHORTEST_RUN].sum())
    return found / max(samples.size, 1)


def examine_all(
    files: Sequence[Path],
    sketches: Path,
    progress: Callable[[int], None] = lambda done: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    limit_s: float = LIMIT_S,
) -> list[Sound]:
    """Every file in turn, in children; sketches are written to `sketches` as <index>.npy. Raises Cancelled."""
    results: list[Sound | None] = [None] * len(files)
    waiting = iter(range(len(files)))  # its `next` is one step of C: two threads may share it

    def work() -> None:
        child = _Child()
        try:
            for index in waiting:
                if is_cancelled():
                    return
                results[index] = child.ask(files[index], sketches / f"{index}.npy", limit_s)
                progress(sum(result is not None for result in results))
        finally:
            child.end()

    with ThreadPoolExecutor(CHILDREN) as pool:
        for task in [pool.submit(work) for _ in range(min(CHILDREN, len(files)))]:
            task.result()
    done = [result for result in results if result is not None]
    if len(done) < len(files):
        raise Cancelled
    return done


class _Child:
    """A reading process, started when it is needed and again after one has died."""

    process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, sketch_file: Path, limit_s: float) -> Sound:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.soundcheck"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=paths.PROJECT,
            )
            started = self._answer(START_WITHIN_S)  # a child that cannot even start is no file's fault
            assert started == READY, f"python -m core.soundcheck does not start: it said {started!r}"
        assert self.process.stdin is not None
        try:
            request = json.dumps({"path": str(path), "sketch_file": str(sketch_file)})
            self.process.stdin.write(request.encode() + b"\n")
            self.process.stdin.flush()
            answer = self._answer(limit_s)
        except OSError:  # it died before it was asked
            answer = b""
        if answer is None:
            self.end()
            return Sound("unreadable", f"{path.name} took more than {limit_s:g} s to read and was given up.")
        if not answer.endswith(b"\n"):
            self.end()
            return Sound("unreadable", f"{path.name} made the decoder crash; copy or convert it.")
        return Sound(**json.loads(answer))

    def _answer(self, limit_s: float) -> bytes | None:
        """One line; less where the child died, None where the time is over."""
        assert self.process is not None and self.process.stdout is not None
        pipe, got, end = self.process.stdout.fileno(), b"", time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not got.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                piece = os.read(pipe, 65_536)
                if not piece:
                    break
                got += piece
        return got

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def main() -> None:
    """The child: answers until its stdin ends."""
    try:
        import resource  # not on Windows: there the time limit alone guards

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError):
        pass
    sys.stdout.write(READY.decode())
    sys.stdout.flush()
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        sound = examine(Path(request["path"]), Path(request["sketch_file"]))
        sys.stdout.write(json.dumps(sound.__dict__) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
