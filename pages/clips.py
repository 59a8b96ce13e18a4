"""The clip a page is about: chosen, uploaded or recorded, decoded once, and as the player draws it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core import audio, background, foreign, library, longclip, spectrogram
from core.longclip import LongClip
from pages import address, shared, waiting

Clip = audio.Clip | LongClip

SPECTROGRAM = (900, 96)


def choose() -> library.Entry | None:
    """The selector with upload and recording beside it; None where there is no clip yet, which it then says."""
    place, upload, record = st.columns([4, 1.1, 1.1], vertical_alignment="bottom")
    with upload, st.popover("Upload", icon=":material/upload:", width="stretch"):
        files = st.file_uploader(
            "Audio files",
            type=[suffix[1:] for suffix in (*library.SUFFIXES, *(foreign.SUFFIXES if foreign.is_there() else ()))],
            accept_multiple_files=True,
            key=f"uploads.{st.session_state.get('uploads.let go', 0)}",
            help="Up to 300 MB and 6 hours each.",
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
        address.tell_missing("clip", "the clip", keys)
        first = _first(entries)
        st.session_state["clip"] = asked if asked in keys or first is None else first.key
    with place:
        chosen = st.selectbox(
            "Clip", keys, key="clip", format_func=lambda key: f"{by_key[key].title} ({by_key[key].shelf})"
        )
    st.query_params["clip"] = chosen
    return by_key[chosen] if _unpacked(by_key[chosen]) else None


def begin() -> None:
    """Prepare the clip that a first visit shows."""
    first = _first(library.entries())
    if first is not None and not longclip.is_long(first.path):
        prepared(first.path)


def _first(entries: list[library.Entry]) -> library.Entry | None:
    """The clip that is shown where none was asked for: none of the user's own, else any."""
    return next((entry for entry in entries if entry.shelf != "yours"), next(iter(entries), None))


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
    if known.setdefault(file.file_id, False):
        return
    data, name, key = file.getvalue(), file.name, ("keep", file.file_id)
    job = background.start(key, lambda tell: library.keep(data, name, lambda share: tell(share, "")))
    if not waiting.ended(job, f"Reading {file.name}", key=f"keep.{file.file_id}"):
        return
    known[file.file_id] = True
    try:
        entry, clip = job.result()
        prepared(entry.path, clip)
        st.session_state["clip"] = entry.key
        if isinstance(
            clip, LongClip
        ):  # an uploader under a new name lets go of the bytes, which the server still holds
            st.session_state["uploads.let go"] = st.session_state.get("uploads.let go", 0) + 1
    except background.Cancelled:
        st.session_state.setdefault("unread", {})[file.file_id] = (
            f"{file.name} was not read to its end; nothing was kept."
        )
    except (ValueError, OSError) as error:
        st.session_state.setdefault("unread", {})[file.file_id] = shared.reason(error)
    background.forget(key)


def _unpacked(entry: library.Entry) -> bool:
    """Whether the clip can be shown at once; where it is a long one that is not unpacked yet, that goes on here."""
    try:
        if _is_ready(str(entry.path), entry.path.stat().st_mtime_ns):
            return True
    except OSError:
        return True  # whoever opens it says what is wrong
    key = ("open", str(entry.path))
    job = background.start(key, lambda tell: library.opened(entry.path, lambda share: tell(share, "")))
    if not waiting.ended(job, f"Reading {entry.title}", key="open"):
        return False
    try:
        job.result()
        background.forget(key)
        return True
    except background.Cancelled:
        st.info("Reading was ended. Choose another clip, or read this one again.", icon=":material/cancel:")
        st.button("Read it", on_click=background.forget, args=[key])
    except (ValueError, OSError) as error:
        shared.failed(error)
        st.button("Try again", icon=":material/refresh:", on_click=background.forget, args=[key], key="open.again")
    return False


def _is_ready(path: str, modified_ns: int) -> bool:
    """`library.is_ready`, which reads a long file whole; what is known of an unchanged one is kept for the session."""
    ready = st.session_state.setdefault("ready", {})
    if (path, modified_ns) not in ready:
        with st.spinner("Looking at the clip …"):
            is_long = longclip.is_long(Path(path))
            ready[path, modified_ns] = audio.file_hash(Path(path)) if is_long else ""
    sha256 = ready[path, modified_ns]
    return not sha256 or longclip.find(sha256, Path(path).name) is not None


def prepared(path: Path, decoded: Clip | None = None) -> tuple[Clip, dict[str, Any]]:
    """A clip, and the words of `deck` that say how it is drawn and played; kept by path and time of change.

    `decoded` spares the decoding where it was done a moment ago. Raises ValueError and OSError as `audio.decode`.
    """
    clip, view = _prepared(str(path), path.stat().st_mtime_ns, decoded)
    if isinstance(clip, LongClip) and not clip.sound.exists():  # made room for others since
        _prepared.clear(str(path), path.stat().st_mtime_ns, decoded)
        return _prepared(str(path), path.stat().st_mtime_ns, None)
    return clip, view


@st.cache_resource(max_entries=4, show_spinner="Reading the clip …")
def _prepared(path: str, modified_ns: int, _decoded: Clip | None) -> tuple[Clip, dict[str, Any]]:
    clip: Clip = replace(_decoded, name=Path(path).name) if _decoded else library.opened(Path(path))
    if isinstance(clip, LongClip):
        return clip, {"audio": clip.sound, "seconds": clip.seconds, **clip.picture()}
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
