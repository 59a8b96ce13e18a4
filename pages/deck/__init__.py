"""The deck: one player component, on one clock with its audio, showing what models hear in a clip.

    deck(key="listen", audio=wav_bytes, seconds=45.0, peaks=peaks, spectrogram_db=levels, spectrogram_hz=frequencies,
         series=[Series("ridge", times_s, valence, arousal, is_primary=True)], strip=None, song=[], title="clip.wav")

Everything moves in the browser: playing and seeking cause no rerun of the script. Mounted again under the same key
with the same audio, the sound and the position stay as they are and only the drawing changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from streamlit import runtime

from core.datasets import INSTRUMENT_NAMES
from pages import palette

NAME = "earshot_deck"
HERE = Path(__file__).parent
SCRIPTS = ("draw.js", "time.js", "strip.js", "plane.js", "table.js", "rate.js", "deck.js")
SPECTROGRAM_RANGE_DB = 80.0
QUIETEST_TOP_DB = -60.0
SPECTROGRAM_COLUMNS_MAX = 1600


@dataclass(frozen=True)
class Series:
    """What one run says about a clip over time. `valence` and `arousal` [t] are on 1-9; NaN is a gap."""

    name: str
    times_s: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray
    is_primary: bool = False


@dataclass(frozen=True)
class Strip:
    """Instrument scores over time: `scores` [t, labels] within 0-1, `times_s` [t] the centre of each window.

    Rows stay in the order of `labels`; NaN is a gap. `label_names` are the words shown; None takes the plain names of
    the eleven IRMAS classes. Scores from `threshold` on are underlined; without one the best is always named.
    `calibration` (scale, shift) makes probabilities of scores, σ(scale · logit(score) + shift), shown beside them.
    `word` is what a score is called: "probability" where it is one already.
    """

    labels: Sequence[str]
    label_names: Sequence[str] | None
    times_s: np.ndarray
    scores: np.ndarray
    threshold: float | None = None
    calibration: tuple[float, float] | None = None
    word: str = "score"

    @property
    def names(self) -> list[str]:
        """One name per row, in words."""
        return list(self.label_names or [INSTRUMENT_NAMES.get(label, label) for label in self.labels])


@dataclass(frozen=True)
class Point:
    """One value for the whole clip on 1-9, shown as a cross: a song-level prediction or a listener's rating."""

    name: str
    valence: float
    arousal: float


def deck(
    *,
    key: str,
    audio: bytes | Path,
    seconds: float,
    peaks: np.ndarray,
    spectrogram_db: np.ndarray,
    spectrogram_hz: Sequence[float],
    series: Sequence[Series],
    strip: Strip | None,
    song: Sequence[Point],
    title: str,
    markers: Sequence[tuple[float, str]] | None = None,
    height: int | None = None,
    start_s: float = 0.0,
    unheard: Sequence[str] = (),
    rating: Mapping[str, Any] | None = None,
    on_takes: Callable[[], None] | None = None,
) -> None:
    """Mount the player.

    `audio` is a 16-bit WAV or the path of an Ogg file; the browser fetches it from the server, beside the drawing.
    `peaks` [n, 2] are the lowest and highest sample of n equal stretches, full scale 1. `spectrogram_db` [rows,
    columns] spans the whole clip, row r at `spectrogram_hz[r]`, ascending in any spacing. `markers` are (seconds,
    text). `height` is the time panels' height in pixels; None is natural. `start_s` counts the first time this audio
    is mounted. `unheard` names the tasks of which a model is chosen that has not heard the clip: an empty panel says
    that, in place of that none is chosen.

    With `rating` the plane takes a listener's rating: `clip` (SHA-256 of the file), `rater`, and `saved` (take →
    moments on the disk). Then `st.session_state[key]["takes"]` holds what was last sent, `on_takes` is called when it
    came, and the player sends a take again until `saved` says that all of it is there.
    """
    data = payload(
        audio=audio,
        seconds=seconds,
        peaks=peaks,
        spectrogram_db=spectrogram_db,
        spectrogram_hz=spectrogram_hz,
        series=series,
        strip=strip,
        song=song,
        title=title,
        markers=markers or (),
        height=height,
        start_s=start_s,
        unheard=unheard,
    )
    # No container around it: the key alone keeps the player in place when an element appears above it, but inside a
    # container, keyed or not, Streamlit 1.67 mounts it anew. deck.js then takes over the audio that is still playing.
    # In a tuple: Streamlit imports pandas to look whether a part of a dictionary is a frame.
    if rating is None:
        _MOUNT(key=key, data=(data,))
    else:
        _MOUNT(key=key, data=(data | {"rating": dict(rating)},), on_takes_change=on_takes or (lambda: None))


def payload(
    *,
    audio: bytes | Path,
    seconds: float,
    peaks: np.ndarray,
    spectrogram_db: np.ndarray,
    spectrogram_hz: Sequence[float],
    series: Sequence[Series],
    strip: Strip | None,
    song: Sequence[Point],
    title: str,
    markers: Sequence[tuple[float, str]] = (),
    height: int | None = None,
    start_s: float = 0.0,
    unheard: Sequence[str] = (),
) -> dict[str, Any]:
    """What travels to the browser: JSON with arrays in base64. `audio_hash` decides whether the sound is replaced."""
    assert isinstance(audio, Path) or audio[:4] == b"RIFF", "audio must be a WAV file"
    assert seconds > 0, f"seconds is {seconds}"
    shown = {
        "seconds": float(seconds),
        "title": str(title),
        "peaks": _peaks(peaks),
        "spectrogram": _spectrogram(spectrogram_db, spectrogram_hz),
        "series": [_series(one) for one in sorted(series, key=lambda one: not one.is_primary)],
        "strip": None if strip is None else _strip(strip),
        "song": [_point(point) for point in song if math.isfinite(point.valence) and math.isfinite(point.arousal)],
        "markers": [{"time": float(time_s), "text": str(text)} for time_s, text in markers],
        "height": height,
        "unheard": list(unheard),
        "roles": {theme: _role_pair(roles) for theme, roles in palette.ROLES.items()},
    }
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]
    return shown | {
        "start": float(start_s),
        "data_hash": digest,
        **_sound(audio),
    }


def _sound(audio: bytes | Path) -> dict[str, Any]:
    """Where the browser finds the sound, and what decides whether it is another one than before."""
    sound: bytes | str
    if isinstance(audio, bytes):
        sound, kind, known_by = audio, "audio/wav", audio
    else:
        about = audio.stat()
        sound, kind, known_by = str(audio), "audio/ogg", f"{audio} {about.st_size} {about.st_mtime_ns}".encode()
    digest = hashlib.sha256(known_by).hexdigest()[:16]
    url = ""
    if runtime.exists():  # in a page test there is no server to ask
        url = runtime.get_instance().media_file_mgr.add(sound, kind, f"deck {digest}")
        url = f"{(st.get_option('server.baseUrlPath') or '').rstrip('/')}{url}"
    return {"audio_hash": digest, "audio_url": url}


def _register() -> Any:
    text = {path.name: path.read_text(encoding="utf-8") for path in HERE.iterdir() if path.suffix in (".js", ".css")}
    return st.components.v2.component(
        NAME,
        html=(HERE / "deck.html").read_text(encoding="utf-8"),
        css=text["deck.css"],
        js="\n".join(text[name] for name in SCRIPTS),
    )


# Once per process: a mount in another app of the process (as in page tests) registers it there by itself.
_MOUNT = _register()


def _role_pair(roles: Mapping[str, Any]) -> dict[str, str]:
    return {"valence": roles["valence"], "arousal": roles["arousal"]}


def _base64(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")


def _peaks(peaks: np.ndarray) -> dict[str, Any]:
    """Low and high as signed bytes of the clip's own peak, and that peak in dB of full scale (None for silence)."""
    peaks = np.nan_to_num(np.asarray(peaks, dtype=np.float64).reshape(-1, 2))
    largest = float(np.abs(peaks).max(initial=0.0))
    scaled = np.round(peaks / largest * 127) if largest > 0 else peaks
    return {"values": _base64(scaled, "<i1"), "peak_db": 20 * math.log10(largest) if largest > 0 else None}


def _spectrogram(levels_db: np.ndarray, frequencies_hz: Sequence[float]) -> dict[str, Any] | None:
    """The upper 80 dB as bytes, lowest frequency first; None where there is nothing to draw."""
    levels_db = np.asarray(levels_db, dtype=np.float64)
    frequencies = np.asarray(frequencies_hz, dtype=np.float64)
    if levels_db.size == 0 or not np.isfinite(levels_db).any():
        return None
    assert levels_db.ndim == 2 and len(frequencies) == len(levels_db), f"{levels_db.shape} and {len(frequencies)} rows"
    stride = math.ceil(levels_db.shape[1] / SPECTROGRAM_COLUMNS_MAX)
    if stride > 1:
        # Keep the loudest of each group, so that a short click stays visible; the last group may be repeated columns.
        spare = -levels_db.shape[1] % stride
        padded = np.pad(levels_db, ((0, 0), (0, spare)), mode="edge")
        levels_db = np.fmax.reduce(padded.reshape(len(levels_db), -1, stride), axis=2)
    finite = levels_db[np.isfinite(levels_db)]
    high_db = max(float(finite.max()), QUIETEST_TOP_DB)  # silence is dark, not bright
    low_db = high_db - SPECTROGRAM_RANGE_DB
    unit = np.clip(
        (np.nan_to_num(levels_db, nan=low_db, neginf=low_db, posinf=high_db) - low_db) / SPECTROGRAM_RANGE_DB, 0, 1
    )
    return {
        "rows": levels_db.shape[0],
        "columns": levels_db.shape[1],
        "low_db": low_db,
        "high_db": high_db,
        "hz": [round(float(hertz), 3) for hertz in frequencies],
        "values": _base64(np.round(unit * 255), "u1"),
    }


def _series(series: Series) -> dict[str, Any]:
    lengths = {len(series.times_s), len(series.valence), len(series.arousal)}
    assert len(lengths) == 1, f"{series.name}: times, valence and arousal differ in length: {sorted(lengths)}"
    curves = {name: _base64(getattr(series, name), "<f4") for name in ("valence", "arousal")}
    return {"name": str(series.name), "times": _base64(series.times_s, "<f4"), **curves}


def _strip(strip: Strip) -> dict[str, Any]:
    shape = (len(strip.times_s), len(strip.labels))
    assert np.shape(strip.scores) == shape, f"scores have shape {np.shape(strip.scores)}, expected {shape}"
    assert len(strip.names) == len(strip.labels), f"{len(strip.names)} names for {len(strip.labels)} labels"
    return {
        "names": strip.names,
        "times": _base64(strip.times_s, "<f4"),
        "scores": _base64(strip.scores, "<f4"),
        "word": strip.word,
        "threshold": None if strip.threshold is None else float(strip.threshold),
        "calibration": None if strip.calibration is None else [float(number) for number in strip.calibration],
    }


def _point(point: Point) -> dict[str, Any]:
    return {"name": str(point.name), "valence": float(point.valence), "arousal": float(point.arousal)}
