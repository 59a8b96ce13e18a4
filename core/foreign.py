"""Sound that libsndfile cannot read, through FFmpeg where the machine has it: m4a, mp4 and webm become FLAC."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

SUFFIXES = (".m4a", ".mp4", ".webm")
MEMORY_BYTES = 2 * 2**30
PROCESSOR_S = 600
TIMEOUT_S = 600.0
LONGEST_S = 6 * 3600
TELL_EVERY_S = 0.2

Tell = Callable[[float], None]


def demuxer(head: bytes) -> str | None:
    """FFmpeg's name for what a file's first bytes say it is; None where it is nothing that needs FFmpeg."""
    if head[4:8] == b"ftyp":
        return "mov"
    return "matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else None


def is_there() -> bool:
    """Whether FFmpeg is installed."""
    return shutil.which("ffmpeg") is not None


def as_well() -> str:
    """What a sentence about readable files adds where FFmpeg is here."""
    *first, last = (suffix[1:] for suffix in SUFFIXES)
    return f", uploads also as {', '.join(first)} or {last}" if is_there() else ""


def convert(source: Path, target: Path, name: str, tell: Tell = lambda fraction: None) -> None:
    """Write the first sound track of `source` to `target` as FLAC of 16 bits, in a process with limits.

    The kind of file is fixed from its first bytes and nothing but files may be opened, so that no playlist inside it
    is followed. What precedes any damage is kept. `tell` hears several times a second how much is done (0 as long as
    the file does not say how long it is), and may raise to end it. ValueError, one sentence, where nothing can be read.
    """
    with source.open("rb") as file:
        kind = demuxer(file.read(16))
    assert kind is not None, name
    before = ["-nostdin", "-hide_banner", "-nostats", "-progress", "pipe:1", "-protocol_whitelist", "file", "-f", kind]
    track = ["-map", "0:a:0", "-map_metadata", "-1", "-fflags", "+bitexact", "-t", str(LONGEST_S + 60)]
    kept = ["-c:a", "flac", "-sample_fmt", "s16", "-f", "flac", "-y"]
    try:
        process = subprocess.Popen(
            ["ffmpeg", *before, "-i", str(source), *track, *kept, str(target)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_limit,
        )
    except FileNotFoundError:
        raise ValueError(f"{name} needs FFmpeg, which is not installed; convert it to flac, ogg or mp3.") from None
    if not _is_ended(process, tell):
        raise ValueError(f"{name} took FFmpeg more than {TIMEOUT_S:g} s and was given up; convert it to flac.")
    if not target.exists() or target.stat().st_size == 0:
        raise ValueError(f"{name} is cut off or damaged, or holds no sound: FFmpeg could read nothing in it.")


def _is_ended(process: subprocess.Popen[bytes], tell: Tell) -> bool:
    """Whether it ended within the time limit; it is gone afterwards, whatever `tell` raised."""
    done = [0.0]
    listener = threading.Thread(target=_listen, args=(process, done), daemon=True)  # drained, so that it never blocks
    listener.start()
    end_s = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < end_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TELL_EVERY_S)
                return True
            tell(done[0])
        return False
    finally:
        process.kill()
        process.wait()
        listener.join()


def _listen(process: subprocess.Popen[bytes], done: list[float]) -> None:
    """Keep in `done` the share of the sound that FFmpeg says it has written, once it has said how long it is."""
    seconds = 0.0
    with process.stdout:  # type: ignore[union-attr]
        for line in process.stdout:  # type: ignore[union-attr]
            if not seconds and (found := re.match(rb"\s*Duration: (\d{1,4}):(\d\d):(\d\d)", line)):
                hours, minutes, rest = (int(part) for part in found.groups())
                seconds = 3600.0 * hours + 60 * minutes + rest
            elif seconds and (found := re.match(rb"out_time_us=(\d{1,15})\s", line)):
                done[0] = min(int(found[1]) / 1e6 / seconds, 1.0)


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
