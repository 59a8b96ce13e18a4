"""DEAM's songs as audio, with their labels over time: for models that hear windows and follow the music."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.config import fingerprint
from core.datasets import Dataset, Missing, Progress
from core.datasets._deam import ADDRESS, LICENCE, PARTS, all_annotations, emotion_set, locate
from core.datasets._deam import LAYOUT as LABELS_LAYOUT
from core.datasets.folder import Survey
from core.events import Part

__all__ = ["LICENCE", "PARTS", "TASKS", "load", "survey"]

TASKS = ("emotion",)
INPUTS = ("lib164", "logmel", "lib73")
FOLDERS = ("DEAM_audio/MEMD_audio", "MEMD_audio")
HOMEPAGE, PLACE, SIZE = ADDRESS, "deam", "audio about 1.3 GB, labels about 3 MB"
LAYOUT = f"{LABELS_LAYOUT}└─ MEMD_audio/   or DEAM_audio/MEMD_audio/: 2.mp3 … 2058.mp3"
SUFFIXES = (".mp3", ".wav", ".ogg", ".flac")


def load(task: str, progress: Progress) -> Dataset:
    """All songs with `lib164` and `logmel`; Missing where labels are not here or a song has no audio file."""
    ids = all_annotations()[0]
    folder, files = _folder(), _files()
    absent = [str(song) for song in ids if str(song) not in files]
    if absent:
        raise Missing(
            f"{len(absent)} of DEAM's {len(ids)} songs have no audio file in {folder} (the first is song "
            f"{absent[0]}: expected {absent[0]}.mp3; `python lab.py data check deam-audio` lists them all). "
            f"Get the audio from {ADDRESS} (about 1.3 GB; {LICENCE})."
        )
    return _of_songs(ids, files)


def survey(place: str, task: str | None = None) -> Survey:
    """The songs that are here, for a check, which goes on where `load` refuses; Missing where labels or the folder are.

    `place` is not looked at: DEAM has one place.
    """
    ids, folder, files = all_annotations()[0], _folder(), _files()
    songs = {str(song) for song in ids}
    left_out = [(str(song), "missing", f"{song}.mp3 is not in {folder}.") for song in ids if str(song) not in files]
    here = ids[[str(song) in files for song in ids]]
    unlisted = [file.name for stem, file in files.items() if stem not in songs]
    return Survey(folder, _of_songs(here, files) if len(here) else None, left_out, unlisted)


def _of_songs(ids: np.ndarray, files: dict[str, Path]) -> Dataset:
    labels_version = all_annotations()[-1]
    version = fingerprint([labels_version, [(str(song), files[str(song)].stat().st_size) for song in ids]])

    def audio(index: int) -> Path:
        return files[str(ids[index])]

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        if input not in INPUTS:
            raise ValueError(f"deam-audio has no input {input!r}; it offers {', '.join(INPUTS)}.")
        return audio_rows(
            f"deam-audio-{version}", made.items, made.groups, made.targets, made.traces, audio, input, indices,
            window_s, progress,
        )  # fmt: skip

    about = f"{len(ids):,} songs of 45 s with song-level labels and labels every half second from 15 s on."
    made = emotion_set("deam-audio", ids, version, about, INPUTS, rows, audio=audio)
    return made


def _files() -> dict[str, Path]:
    """The audio files by the number of their song."""
    return {file.stem: file for file in sorted(_folder().iterdir()) if file.suffix.lower() in SUFFIXES}


def _folder() -> Path:
    for relative in FOLDERS[:-1]:
        try:
            return locate(relative, "audio", "about 1.3 GB")
        except Missing:
            continue
    return locate(FOLDERS[-1], "audio", "about 1.3 GB")
