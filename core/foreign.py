"""Sound that libsndfile cannot read, through FFmpeg where the machine has it: m4a, mp4 and webm become FLAC."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SUFFIXES = (".m4a", ".mp4", ".webm")
MEMORY_BYTES = 2 * 2**30
PROCESSOR_S = 600
TIMEOUT_S = 600.0
LONGEST_S = 6 * 3600


def demuxer(head: bytes) -> str | None:
    """FFmpeg's name for what a file's first bytes say it is; None where it is nothing that needs FFmpeg."""
    if head[4:8] == b"ftyp":
        return "mov"
    return "matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else None


def is_there() -> bool:
    """Whether FFmpeg is installed."""
    return shutil.which("ffmpeg") is not None


def convert(source: Path, target: Path, name: str) -> None:
    """Write the first sound track of `source` to `target` as FLAC of 16 bits, in a process with limits.

    The kind of file is fixed from its first bytes and nothing but files may be opened, so that no playlist inside it
    is followed. What precedes any damage is kept. ValueError, one sentence, where nothing can be read.
    """
    with source.open("rb") as file:
        kind = demuxer(file.read(16))
    assert kind is not None, name
    before = ["-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", kind]
    track = ["-map", "0:a:0", "-map_metadata", "-1", "-fflags", "+bitexact", "-t", str(LONGEST_S + 60)]
    kept = ["-c:a", "flac", "-sample_fmt", "s16", "-f", "flac", "-y"]
    try:
        subprocess.run(
            ["ffmpeg", *before, "-i", str(source), *track, *kept, str(target)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            preexec_fn=_limit,
        )
    except FileNotFoundError:
        raise ValueError(f"{name} needs FFmpeg, which is not installed; convert it to flac, ogg or mp3.") from None
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{name} took FFmpeg more than {TIMEOUT_S:g} s and was given up; convert it to flac."
        ) from None
    if not target.exists() or target.stat().st_size == 0:
        raise ValueError(f"{name} is cut off or damaged, or holds no sound: FFmpeg could read nothing in it.")


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
