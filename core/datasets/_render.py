"""From a score to a FLAC file: notes from a sound font, then a room, equaliser, noise, gain, at times a bad codec.

    python -m core.datasets._render        reads one JSON job a line, answers one JSON line each, until its input ends

It runs as a child with a time limit (see `_workers`), because the renderer can loop for ever on a note above an
instrument's samples.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from core.datasets import _listeners, _phrases, _score
from core.datasets._effects import finish, loudness, pitch_ratio, retuned, room, shelf, vibrato
from core.datasets._notes import SAMPLE_RATE_HZ, NoteBank
from core.datasets._score import Voice

_RELEASE_S = {0: 0.12, 4: 0.15, 11: 0.5, 46: 0.5, 48: 0.25, 49: 0.35, 52: 0.3, 53: 0.3, 89: 0.5}
_REFERENCE_DB = -23.0  # loudness of a song whose level cue is 0, before the codec
_LEVEL_DB = 4.5  # per standard deviation of the level cue


def render_voices(bank: NoteBank, voices: list[Voice], seconds: float, cents: int = 0) -> np.ndarray:
    """Voices as mono samples [seconds × 22,050], dry, `cents` (-25, 0 or 25, to 0.3) above concert pitch.

    Notes come at one pitch, since an instrument costs up to half a second when it is first used at another: what is
    to sound higher is played slower and then run faster.
    """
    ratio = pitch_ratio(cents)
    mixed = np.zeros(int(seconds * ratio * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, np.float32)
    bank.prepare(
        (voice.program, int(pitch), duration_s * ratio + _RELEASE_S.get(voice.program, 0.1))
        for voice in voices
        for _, duration_s, pitch, _ in voice.notes
    )
    for voice in voices:
        release = int(_RELEASE_S.get(voice.program, 0.1) * SAMPLE_RATE_HZ)
        fade = np.exp(-5.0 * np.arange(release, dtype=np.float32) / release)
        gain = 10 ** (voice.gain_db / 20)
        for start_s, duration_s, pitch, velocity in voice.notes:
            sounding = int(duration_s * ratio * SAMPLE_RATE_HZ)
            note = bank.note(voice.program, int(pitch))[: sounding + release].copy()
            note *= np.float32(gain * (velocity / 90) ** 1.6)
            tail = len(note) - sounding
            if tail > 0:
                note[sounding:] *= fade[:tail]
            first = int(start_s * ratio * SAMPLE_RATE_HZ)
            mixed[first : first + len(note)] += note[: max(len(mixed) - first, 0)]
    return retuned(mixed, cents)[: int(seconds * SAMPLE_RATE_HZ)]


def has_bad_codec(seed: int, index: int) -> bool:
    """One song in ten is stored at the lowest rate that the codec has, 23 kbit/s."""
    return bool(np.random.default_rng([seed, 8, index]).random() < 0.1)


def emotion(bank: NoteBank, seed: int, index: int, seconds: float, sampling: str, octave: int = 0) -> np.ndarray:
    """Song `index` as mono samples. Its cues decide the score, the level (also as gain) and the brightness."""
    song = _listeners.draw_song(seed, index, seconds, sampling)
    rng = np.random.default_rng([seed, 2, index])
    cents = int(rng.choice([-25, 0, 25]))
    edges = [0.0, seconds] if song.change_s is None else [0.0, song.change_s, seconds]
    samples = np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32)
    for section, cues in enumerate(song.cues):
        voices = _score.compose((seed, 3, index), cues, edges[section], edges[section + 1], octave)
        part = render_voices(bank, voices, seconds, cents)
        level, soft = cues[3], cues[5]
        part = shelf(part, 1800.0, 1.5 * level - 2.5 * soft)
        wanted = 10 ** ((_REFERENCE_DB + _LEVEL_DB * level) / 20)
        samples += part * np.float32(wanted / max(loudness(part[slice(*_span(edges, section))]), 1e-6))
    samples = room(samples, rng, rng.uniform(800, 4000), rng.uniform(-3, 3))
    return finish(samples * np.float32(10 ** (rng.uniform(-1.5, 1.5) / 20)), rng)


def _span(edges: list[float], section: int) -> tuple[int, int]:
    return int(edges[section] * SAMPLE_RATE_HZ), int(edges[section + 1] * SAMPLE_RATE_HZ)


def excerpt(bank: NoteBank, seed: int, label: str, recording: int, take: int, seconds: float = 3.0) -> np.ndarray:
    """Take `take` of a recording of one class: instrument, tuning, room and tone are the recording's."""
    number = sorted(_phrases.PROGRAMS).index(label)
    rng = np.random.default_rng([seed, 4, number, recording])
    program = int(rng.choice(_phrases.PROGRAMS[label]))
    cents = int(rng.choice([-25, 0, 25]))
    has_vibrato = rng.random() < _phrases.VIBRATO.get(label, 0.0)
    corner_hz, tilt_db, gain_db = rng.uniform(600, 4000), rng.uniform(-6, 6), rng.uniform(-30, -14)
    own = np.random.default_rng([seed, 5, number, recording, take])
    samples = render_voices(bank, [_phrases.phrase(own, label, program, seconds)], seconds, cents)
    if has_vibrato:
        samples = vibrato(samples, own)
    samples = room(samples, rng, corner_hz, tilt_db)
    return finish(samples * np.float32(10 ** (gain_db / 20) / max(loudness(samples), 1e-6)), own)


def mix_plan(seed: int, index: int) -> tuple[list[str], float]:
    """The classes heard in mix `index`, and its seconds (8–12)."""
    rng = np.random.default_rng([seed, 6, index])
    return _phrases.mix_labels(rng), round(float(rng.uniform(8, 12)), 2)


def mix(bank: NoteBank, seed: int, index: int) -> np.ndarray:
    """Several instruments at once, half of the time over bass and percussion."""
    labels, seconds = mix_plan(seed, index)
    rng = np.random.default_rng([seed, 7, index])
    cents, samples = int(rng.choice([-25, 0, 25])), np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32)
    for label in labels:
        voice = _phrases.phrase(rng, label, int(rng.choice(_phrases.PROGRAMS[label])), seconds)
        part = render_voices(bank, [voice], seconds, cents)
        if rng.random() < _phrases.VIBRATO.get(label, 0.0):
            part = vibrato(part, rng)
        samples += part * np.float32(10 ** (rng.uniform(-4, 2) / 20) / max(loudness(part), 1e-6))
    if rng.random() < 0.5:
        part = render_voices(bank, _phrases.backing(rng, seconds), seconds, cents)
        samples += part * np.float32(10 ** (rng.uniform(-10, -4) / 20) / max(loudness(part), 1e-6))
    samples = room(samples, rng, rng.uniform(800, 4000), rng.uniform(-4, 4))
    return finish(samples * np.float32(10 ** (rng.uniform(-26, -16) / 20) / max(loudness(samples), 1e-6)), rng)


def write_audio(path: Path, samples: np.ndarray, bad_codec: bool = False) -> None:
    """Write FLAC atomically, so that a file that is there is whole; `bad_codec` sends it through Vorbis first.

    FLAC because encoding Vorbis took as long as everything else together (0.5 s against 0.03 s for 45 s of sound).
    """
    assert np.isfinite(samples).all(), path
    if bad_codec:
        samples = _through_vorbis(samples)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    soundfile.write(temporary, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16", compression_level=0.0)
    os.replace(temporary, path)


def _through_vorbis(samples: np.ndarray) -> np.ndarray:
    """The same sound at about 23 kbit/s. Vorbis takes blocks: libsndfile fails on long writes."""
    coded = io.BytesIO()
    with soundfile.SoundFile(
        coded, "w", SAMPLE_RATE_HZ, 1, format="OGG", subtype="VORBIS", compression_level=0.95
    ) as file:
        for first in range(0, len(samples), 65_536):
            file.write(samples[first : first + 65_536])
    coded.seek(0)
    return soundfile.read(coded, dtype="float32")[0][: len(samples)]


def work(bank: NoteBank, job: dict[str, Any]) -> None:
    """One job: {"kind": "emotion" | "excerpt" | "mix" | "font excerpt" | "font mix", "path": …, and that function's
    arguments}."""
    arguments = {key: value for key, value in job.items() if key not in ("kind", "path", "item_number")}
    if job["kind"].startswith("font "):
        from core.datasets import _fontphrases

        maker: Any = {"font excerpt": _fontphrases.excerpt, "font mix": _fontphrases.mix}[job["kind"]]
        write_audio(Path(job["path"]), maker(**arguments))
        return
    maker = {"emotion": emotion, "excerpt": excerpt, "mix": mix}[job["kind"]]
    bad_codec = has_bad_codec(job["seed"], job["item_number"])
    write_audio(Path(job["path"]), maker(bank, **arguments), bad_codec)


def main() -> None:
    """Answer jobs from standard input until it ends, which it also does when the parent dies."""
    bank = NoteBank()
    for line in sys.stdin:
        answer = {"ok": True, "error": ""}
        try:
            work(bank, json.loads(line))
        except (ValueError, OSError, RuntimeError) as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
