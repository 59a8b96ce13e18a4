"""The clip a page is about: chosen, uploaded or recorded, decoded once, and as the player draws it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core import audio, library, spectrogram
from pages import shared

SPECTROGRAM = (900, 96)


def choose() -> library.Entry | None:
    """The selector with upload and recording beside it; None where there is no clip yet, which it then says."""
    place, upload, record = st.columns([4, 1.1, 1.1], vertical_alignment="bottom")
    with upload, st.popover("Upload", icon=":material/upload:", width="stretch"):
        files = st.file_uploader(
            "Audio files",
            type=["wav", "flac", "ogg", "mp3"],
            accept_multiple_files=True,
            key="uploads",
            help="Up to 300 MB each.",
        )
    with record, st.popover("Record", icon=":material/mic:", width="stretch"):
        take = st.audio_input("Record with this browser's microphone", sample_rate=44100, key="take")
    _keep([*files, *([take] if take else [])])
    entries = library.entries()
    if not entries:
        st.info(
            "Upload or record a clip; it will be played here with what the models hear in it.",
            icon=":material/hearing:",
        )
        return None
    by_key = {entry.key: entry for entry in entries}
    keys = list(by_key)
    if st.session_state.get("clip") not in keys:
        asked = st.query_params.get("clip")
        st.session_state["clip"] = (
            asked if asked in keys else next((e.key for e in entries if e.shelf != "yours"), keys[0])
        )
    with place:
        chosen = st.selectbox(
            "Clip", keys, key="clip", format_func=lambda key: f"{by_key[key].title} ({by_key[key].shelf})"
        )
    st.query_params["clip"] = chosen
    return by_key[chosen]


def _keep(uploads: list[Any]) -> None:
    """Take new uploads into the library; what could not be read is said as long as its file is there."""
    if any(file.file_id not in st.session_state.get("kept", {}) for file in uploads):
        st.session_state["unread"] = {}  # what an earlier batch said has been read
    for file in uploads:
        _keep_once(file)
    there = {file.file_id for file in uploads}
    for file_id, text in st.session_state.get("unread", {}).items():
        if file_id in there:
            st.error(shared.plain(text), icon=":material/error:")


def _keep_once(file: Any) -> None:
    """Take an upload into the library, once per file, and choose it; say in one sentence if it cannot be read."""
    known = st.session_state.setdefault("kept", {})
    if file.file_id not in known:
        known[file.file_id] = None
        try:
            with st.spinner(f"Reading {shared.plain(file.name)} …"):
                entry, clip = library.keep(file.getvalue(), file.name)
                prepared(entry.path, clip)
            st.session_state["clip"] = entry.key
        except ValueError as error:
            st.session_state.setdefault("unread", {})[file.file_id] = str(error)


def prepared(path: Path, decoded: audio.Clip | None = None) -> tuple[audio.Clip, dict[str, Any]]:
    """A clip, and the words of `deck` that say how it is drawn and played; kept by path and time of change.

    `decoded` spares the decoding where it was done a moment ago. Raises ValueError and OSError as `audio.decode`.
    """
    return _prepared(str(path), path.stat().st_mtime_ns, decoded)


@st.cache_resource(max_entries=4, show_spinner="Reading the clip …")
def _prepared(path: str, modified_ns: int, _decoded: audio.Clip | None) -> tuple[audio.Clip, dict[str, Any]]:
    clip = replace(_decoded, name=Path(path).name) if _decoded else audio.decode(Path(path))
    mono = clip.mono()
    rate = min(clip.sample_rate_hz, 44_100 if clip.seconds < 90 else 22_050)
    sound = audio.resample(mono, clip.sample_rate_hz, rate) if rate != clip.sample_rate_hz else mono
    levels, frequencies_hz, _ = spectrogram.spectrogram_db(mono, clip.sample_rate_hz, *SPECTROGRAM)
    view = {
        "audio": audio.wav_bytes(sound, rate),
        "seconds": clip.seconds,
        "peaks": audio.peaks(mono, 1200),
        "spectrogram_db": levels,
        "spectrogram_hz": frequencies_hz,
    }
    return clip, view
