"""Clips to listen to: those that ship, the user's own uploads and takes, and the clips of their data folder."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import audio, decoding, foreign, longclip, paths
from core.longclip import LongClip

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


@dataclass(frozen=True)
class Entry:
    """One clip of the library. `key` names it in an address, `shelf` says where it comes from."""

    key: str
    title: str
    shelf: str
    path: Path
    about: str = ""


def entries() -> list[Entry]:
    """All clips, the user's own first, then the ones that ship, then `EARSHOT_DATA/clips`."""
    shipped = paths.starter() / "clips"
    about = _about(shipped / "clips.json")
    found = [Entry(path.name, path.name.partition("-")[2], "yours", path) for path in _newest_first(folder())]
    found += [
        Entry(
            path.name,
            about.get(path.name, {}).get("title", path.stem),
            "shipped",
            path,
            about.get(path.name, {}).get("about", ""),
        )
        for path in _audio_files(shipped)
    ]
    root = paths.data()
    found += [
        Entry(path.name, path.stem, "data folder", path) for path in (_audio_files(root / "clips") if root else [])
    ]
    return found


def folder() -> Path:
    """Where uploads and takes are kept."""
    place = paths.cache() / "clips"
    place.mkdir(exist_ok=True)
    return place


def keep(
    data: bytes, name: str, tell: Callable[[float], None] = lambda fraction: None
) -> tuple[Entry, audio.Clip | LongClip]:
    """Decode an upload in a child process, and keep it under its hash; ValueError where it is no readable audio.

    `tell` hears how much of a long clip is unpacked, and of what FFmpeg reads how much is converted (half of the work
    there); it may raise to end it: nothing is kept then.
    """
    suffix = Path(audio.clean_name(name)).suffix.lower()
    # Ends in the number of this process: should it be killed, what it leaves is swept away (core/leftovers.py).
    handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".upload-", suffix=f".{os.getpid()}")
    converted = str(Path(temporary).with_suffix(f".flac.{os.getpid()}"))
    try:
        with os.fdopen(handle, "wb") as file:  # to the disk first: handed to the child, it would be in memory thrice
            file.write(data)
        if foreign.demuxer(data[:16]) and foreign.is_there():  # what is kept is the FLAC: everything here reads it
            suffix = ".flac"
            foreign.convert(Path(temporary), Path(converted), audio.clean_name(name), lambda share: tell(share / 2))
            os.replace(converted, temporary)
            clip = decoding.decode_safely(Path(temporary), name, tell=lambda share: tell((1 + share) / 2))
        else:
            clip = decoding.decode_safely(Path(temporary), name, tell=tell)
        stem = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in Path(clip.name).stem)[:60].strip(" .")
        stem = stem or "clip"
        path = folder() / f"{clip.sha256[:12]}-{stem}{suffix if suffix in SUFFIXES else '.wav'}"
        if not path.exists():
            os.replace(temporary, path)
    except OSError as error:
        name = audio.clean_name(name)
        raise ValueError(f"{name} cannot be kept ({error.strerror or error}); is the disk full?") from None
    finally:
        for left in (temporary, converted):
            Path(left).unlink(missing_ok=True)
    return Entry(path.name, path.name.partition("-")[2], "yours", path), clip


def is_ready(path: Path) -> bool:
    """Whether `opened` is quick: all but a long clip that is not unpacked."""
    return not longclip.is_long(path) or longclip.find(audio.file_hash(path), path.name) is not None


def opened(path: Path, tell: Callable[[float], None] = lambda fraction: None) -> audio.Clip | LongClip:
    """A clip of the library as it can be listened to. A long one is unpacked, in a child process, where it is not yet.

    Raises ValueError and OSError as `audio.decode`; `tell` as for `keep`.
    """
    if not longclip.is_long(path):
        return audio.decode(path) if _is_read_before(path) else decoding.decode_safely(path, path.name)
    found = longclip.find(audio.file_hash(path), path.name)
    if found is None:
        longclip.tidy()
        return decoding.decode_safely(path, path.name, tell=tell)
    return found


def _is_read_before(path: Path) -> bool:
    """Whether a child has read this file already, as it has every upload, or we made it: it will not crash the app."""
    return path.parent in (folder(), paths.starter() / "clips")


def _newest_first(place: Path) -> list[Path]:
    """The clips in a folder; what is being made there, or is gone just now, is none."""
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name[0] != "." and Path(entry.name).suffix.lower() in SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    found.append((-entry.stat().st_mtime, Path(entry.path)))
    return [path for _, path in sorted(found)]


def _audio_files(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES) if place.is_dir() else []


def _about(path: Path) -> dict[str, dict[str, str]]:
    return json.loads(path.read_text()) if path.exists() else {}
