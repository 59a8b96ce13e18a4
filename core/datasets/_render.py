"""From a score to a FLAC file: notes from a sound font, then a room, equaliser, noise, gain, at times a bad codec.

    python -m core.datasets._render        reads one JSON job a line, answers one JSON line each, until its input ends

It runs as a child with a time limit (see `_workers`), because the renderer can loop for ever on a note above an
instrument's samples. The renderer ignores velocity and release (measured: symusic 0.5.9), so every note is rendered
alone, levelled, and given its touch and its tail here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from core.datasets import _listeners, _phrases, _score
from core.datasets._score import Voice

SAMPLE_RATE_HZ = 22_050
_NOTE_RMS = 0.1
_RELEASE_S = {0: 0.12, 4: 0.15, 11: 0.5, 46: 0.5, 48: 0.25, 49: 0.35, 52: 0.3, 53: 0.3, 89: 0.5}
_REFERENCE_DB = -23.0  # loudness of a song whose level cue is 0, before the codec
_LEVEL_DB = 4.5  # per standard deviation of the level cue


class NoteBank:
    """Single notes of the sound font at one tuning, levelled to the same loudness and kept for the next song."""

    _most_kept_samples = 60_000_000

    def __init__(self) -> None:
        self._synthesizers: dict[int, Any] = {}
        self._notes: dict[tuple[int, int, int], np.ndarray] = {}

    def prepare(self, wanted: Iterable[tuple[int, int, float]], cents: int) -> None:
        """Render all notes (program, pitch, seconds) that are not kept yet in one call: a call costs 2 ms of its own.

        `cents` detunes by rendering at another sample rate. A short note is the beginning of a long one, so what is
        kept never changes what is heard.
        """
        missing: dict[tuple[int, int], int] = {}
        for program, pitch, seconds in wanted:
            length = next(size for size in (1, 2, 4, 8, 16, 32, 64) if size - 0.05 >= min(seconds, 60.0))
            kept = self._notes.get((program, pitch, cents))
            if kept is None or len(kept) < 0.97 * (length - 0.05) * SAMPLE_RATE_HZ:
                missing[program, pitch] = max(length, missing.get((program, pitch), 0))
        if sum(map(len, self._notes.values())) > self._most_kept_samples:
            self._notes.clear()
            return self.prepare(wanted, cents)
        for key, samples in self._render(missing, cents).items():
            self._notes[*key, cents] = samples
        return None

    def note(self, program: int, pitch: int, cents: int) -> np.ndarray:
        """Mono samples of a prepared note, at least as long as was asked for."""
        return self._notes[program, pitch, cents]

    def _render(self, lengths: dict[tuple[int, int], int], cents: int) -> dict[tuple[int, int], np.ndarray]:
        if not lengths:
            return {}
        from symusic import Note, Score, Synthesizer, Track

        rate = round(SAMPLE_RATE_HZ / 2 ** (cents / 1200))
        if cents not in self._synthesizers:
            # Quality 6 renders most instruments as silence (measured), 4 renders all.
            self._synthesizers[cents] = Synthesizer(str(sound_font()), rate, 4)
        score: Any = Score(ttype="second")  # symusic types a score as any of three time units
        tracks: dict[int, Any] = {}
        starts: dict[tuple[int, int], int] = {}
        start = 0
        for (program, pitch), length in lengths.items():
            if program not in tracks:
                tracks[program] = Track(program=max(program, 0), is_drum=program < 0, ttype="second")
            tracks[program].notes.append(Note(float(start), float(length), pitch, 100, ttype="second"))
            starts[program, pitch] = start
            start += length + 1  # whole seconds are whole samples, so a note is the same wherever it is rendered
        for track in tracks.values():
            score.tracks.append(track)
        samples = np.asarray(self._synthesizers[cents].render(score, stereo=False))[0].astype(np.float32)
        return {
            key: self._levelled(samples[starts[key] * rate : int((starts[key] + length - 0.05) * rate)], key, cents)
            for key, length in lengths.items()
        }

    def _levelled(self, samples: np.ndarray, key: tuple[int, int], cents: int) -> np.ndarray:
        window = SAMPLE_RATE_HZ // 5
        loudest = np.sqrt(max(float(np.square(samples[k : k + window]).mean()) for k in (0, window, 2 * window)))
        if loudest < 1e-4:  # a hole in the sound font (alto saxophone, E 4): its neighbour, a semitone slower
            length = int(np.ceil(len(samples) / SAMPLE_RATE_HZ)) + 1
            above = self._render({(key[0], key[1] + 1): length}, cents)[key[0], key[1] + 1]
            return np.interp(np.arange(len(samples)) * 2 ** (-1 / 12), np.arange(len(above)), above).astype(np.float32)
        return samples * np.float32(_NOTE_RMS / loudest)


def sound_font() -> Path:
    """The General MIDI sound font that pretty_midi brings along; ValueError where the package is not installed."""
    found = importlib.util.find_spec("pretty_midi")
    if found is None or found.origin is None:
        raise ValueError("The sound font is missing: install pretty_midi, which brings TimGM6mb.sf2.")
    return Path(found.origin).parent / "TimGM6mb.sf2"


def render_voices(bank: NoteBank, voices: list[Voice], seconds: float, cents: int = 0) -> np.ndarray:
    """Voices as mono samples [seconds × 22,050], dry."""
    mixed = np.zeros(int(seconds * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, np.float32)
    wanted = [
        (voice.program, int(pitch), duration_s + _RELEASE_S.get(voice.program, 0.1))
        for voice in voices
        for _, duration_s, pitch, _ in voice.notes
    ]
    bank.prepare(wanted, cents)
    for voice in voices:
        release_s = _RELEASE_S.get(voice.program, 0.1)
        release = int(release_s * SAMPLE_RATE_HZ)
        fade = np.exp(-5.0 * np.arange(release, dtype=np.float32) / release)
        gain = 10 ** (voice.gain_db / 20)
        for start_s, duration_s, pitch, velocity in voice.notes:
            sounding = int(duration_s * SAMPLE_RATE_HZ)
            note = bank.note(voice.program, int(pitch), cents)[: sounding + release].copy()
            note *= np.float32(gain * (velocity / 90) ** 1.6)
            tail = len(note) - sounding
            if tail > 0:
                note[sounding:] *= fade[:tail]
            first = int(start_s * SAMPLE_RATE_HZ)
            mixed[first : first + len(note)] += note[: max(len(mixed) - first, 0)]
    return mixed[: int(seconds * SAMPLE_RATE_HZ)]


def loudness(samples: np.ndarray) -> float:
    """Root mean square of the louder parts: the 90th percentile over blocks of 50 ms, so that pauses count little."""
    block = SAMPLE_RATE_HZ // 20
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    return float(np.sqrt(np.percentile(np.square(blocks).mean(axis=1), 90)))


def shelf(samples: np.ndarray, corner_hz: float, gain_db: float) -> np.ndarray:
    """A first-order high shelf: `gain_db` well above the corner, nothing well below it (bilinear transform).

    Its impulse response is cut where it has fallen below 1e-5, so that a child starts without SciPy (2 s).
    """
    gain, k = 10 ** (gain_db / 20), np.tan(np.pi * corner_hz / SAMPLE_RATE_HZ)
    first, second, pole = (gain + k) / (1 + k), (k - gain) / (1 + k), (1 - k) / (1 + k)
    taps = int(np.log(1e-5) / np.log(pole)) + 2
    response = np.concatenate([[first], (first * pole + second) * pole ** np.arange(taps)])
    return np.convolve(samples, response.astype(np.float32))[: len(samples)].astype(np.float32)


def room(samples: np.ndarray, rng: np.random.Generator, corner_hz: float, tilt_db: float) -> np.ndarray:
    """Equaliser and reverberation in one convolution: a high shelf, then noise that decays by 60 dB in 0.15–1.2 s and
    carries 8–35 % of the amplitude."""
    decay_s, share = rng.uniform(0.15, 1.2), rng.uniform(0.08, 0.35)
    t = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = np.convolve(rng.normal(size=len(t)) * np.exp(-6.91 * t / decay_s), [0.5, 0.5])
    response = np.concatenate([np.zeros(int(rng.uniform(0.003, 0.02) * SAMPLE_RATE_HZ)), tail])
    response *= share / np.sqrt(np.square(response).sum())
    response[0] = 1 - share
    response = shelf(response, corner_hz, tilt_db).astype(np.float32)
    size = _fast_size(len(samples) + len(response) - 1)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return wet[: len(samples)].astype(np.float32)


def _fast_size(least: int) -> int:
    """The smallest 2^a · {1, 3, 5, 9, 15} from `least` on: such transforms are fast, and a power of two alone may be
    nearly twice as long as needed."""
    return min(odd << max((least - 1) // odd, 1).bit_length() for odd in (1, 3, 5, 9, 15))


def vibrato(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the pitch by 8–30 cents, 4.5–6.5 times a second, and the level a little with it."""
    rate_hz, cents = rng.uniform(4.5, 6.5), rng.uniform(8, 30)
    t = np.arange(len(samples)) / SAMPLE_RATE_HZ
    swing_s = (2 ** (cents / 1200) - 1) / (2 * np.pi * rate_hz)
    phase = 2 * np.pi * rate_hz * t + rng.uniform(0, 2 * np.pi)
    moved = np.interp(t + swing_s * np.sin(phase), t, samples)
    return (moved * (1 + 0.08 * np.sin(phase + 1.0))).astype(np.float32)


def finish(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A noise floor 45–75 dB below the music, and a soft limit near full scale."""
    noise = rng.standard_normal(len(samples), dtype=np.float32)
    noise *= np.float32(loudness(samples) * 10 ** (-rng.uniform(45, 75) / 20))
    noise += samples
    loud = np.abs(noise) > 0.7
    noise[loud] = np.sign(noise[loud]) * (0.7 + 0.28 * np.tanh((np.abs(noise[loud]) - 0.7) / 0.28))
    return noise


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
    """One job: {"kind": "emotion" | "excerpt" | "mix", "path": …, and that function's arguments}."""
    arguments = {key: value for key, value in job.items() if key not in ("kind", "path", "item_number")}
    maker: Any = {"emotion": emotion, "excerpt": excerpt, "mix": mix}[job["kind"]]
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
