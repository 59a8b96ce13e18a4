"""Clips to listen to: those that ship, the user's own uploads and takes, and the clips of their data folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from core import audio, decoding, paths

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


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
    found = [
        Entry(path.name, path.name.partition("-")[2], "yours", path)
        for path in sorted(folder().iterdir(), key=lambda path: -path.stat().st_mtime)
        if path.suffix.lower() in SUFFIXES
    ]
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


def keep(data: bytes, name: str) -> tuple[Entry, audio.Clip]:
    """Decode an upload in a child process, and keep it under its hash; ValueError where it is no readable audio."""
    clip = decoding.decode_safely(data, name)
    suffix = Path(clip.name).suffix.lower()
    stem = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in Path(clip.name).stem)[:60].strip(" .") or "clip"
    path = folder() / f"{clip.sha256[:12]}-{stem}{suffix if suffix in SUFFIXES else '.wav'}"
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(data)
        os.replace(temporary, path)
    return Entry(path.name, path.name.partition("-")[2], "yours", path), clip


def _audio_files(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES) if place.is_dir() else []


def _about(path: Path) -> dict[str, dict[str, str]]:
    return json.loads(path.read_text()) if path.exists() else {}
