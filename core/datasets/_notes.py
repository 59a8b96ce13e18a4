"""Single notes of the General MIDI sound font, each rendered alone and levelled, kept for the next song.

The renderer ignores velocity (measured: symusic 0.5.9), so touch and tail are given to a note where it is used. It can
loop for ever on a note above an instrument's samples: only a child with a time limit calls this (see `_workers`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE_HZ = 22_050
_NOTE_RMS = 0.1
# Interpolation between samples. The renderer converts an instrument's samples to its own rate when it is first used:
# all 36 instruments of the songs in 2.3 s at quality 4, in 0.8 s at 3, which differs from it by -23 dB or less.
# Quality 6 renders most instruments as silence (measured), 3 renders all.
_QUALITY = 3


class NoteBank:
    """Single notes of the sound font, levelled to the same loudness and kept for the next song."""

    _most_kept_samples = 60_000_000

    def __init__(self) -> None:
        self._synthesizer: Any = None
        self._notes: dict[tuple[int, int], np.ndarray] = {}

    def prepare(self, wanted: Iterable[tuple[int, int, float]]) -> None:
        """Render all notes (program, pitch, seconds) that are not kept yet in one call: a call costs 2 ms of its own.

        A short note is the beginning of a long one, so what is kept never changes what is heard.
        """
        wanted = list(wanted)
        missing: dict[tuple[int, int], int] = {}
        for program, pitch, seconds in wanted:
            length = next(size for size in (1, 2, 4, 8, 16, 32, 64) if size - 0.05 >= min(seconds, 60.0))
            kept = self._notes.get((program, pitch))
            if kept is None or len(kept) < 0.97 * (length - 0.05) * SAMPLE_RATE_HZ:
                missing[program, pitch] = max(length, missing.get((program, pitch), 0))
        if sum(map(len, self._notes.values())) > self._most_kept_samples:
            self._notes.clear()
            return self.prepare(wanted)
        self._notes |= self._render(missing)
        return None

    def note(self, program: int, pitch: int) -> np.ndarray:
        """Mono samples of a prepared note, at least as long as was asked for."""
        return self._notes[program, pitch]

    def _render(self, lengths: dict[tuple[int, int], int]) -> dict[tuple[int, int], np.ndarray]:
        if not lengths:
            return {}
        from symusic import Note, Score, Synthesizer, Track

        if self._synthesizer is None:
            self._synthesizer = Synthesizer(str(sound_font()), SAMPLE_RATE_HZ, _QUALITY)
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
        samples = np.asarray(self._synthesizer.render(score, stereo=False))[0].astype(np.float32)
        return {
            key: self._levelled(
                samples[starts[key] * SAMPLE_RATE_HZ : int((starts[key] + length - 0.05) * SAMPLE_RATE_HZ)], key
            )
            for key, length in lengths.items()
        }

    def _levelled(self, samples: np.ndarray, key: tuple[int, int]) -> np.ndarray:
        window = SAMPLE_RATE_HZ // 5
        loudest = np.sqrt(max(float(np.square(samples[k : k + window]).mean()) for k in (0, window, 2 * window)))
        if loudest < 1e-4:  # a hole in the sound font (alto saxophone, E 4): its neighbour, a semitone slower
            length = int(np.ceil(len(samples) / SAMPLE_RATE_HZ)) + 1
            above = self._render({(key[0], key[1] + 1): length})[key[0], key[1] + 1]
            return np.interp(np.arange(len(samples)) * 2 ** (-1 / 12), np.arange(len(above)), above).astype(np.float32)
        return samples * np.float32(_NOTE_RMS / loudest)


def sound_font() -> Path:
    """The General MIDI sound font that pretty_midi brings along; ValueError where the package is not installed."""
    found = importlib.util.find_spec("pretty_midi")
    if found is None or found.origin is None:
        raise ValueError("The sound font is missing: install pretty_midi, which brings TimGM6mb.sf2.")
    return Path(found.origin).parent / "TimGM6mb.sf2"
