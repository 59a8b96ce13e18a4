"""Scores for `cues`: chords, a melody with a contour, bass, inner voices and percussion from musical cues.

A score is a list of voices; a voice is a General MIDI program (−1: percussion) with notes [n, 4] of start (s),
duration (s), MIDI pitch and velocity. Every pitch lies inside `RANGES`, the instrument's natural range: above it the
renderer can loop for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RANGES: dict[int, tuple[int, int]] = {
    # keyboards and mallets
    0: (24, 100), 1: (24, 100), 2: (28, 96), 3: (28, 96), 4: (33, 88), 5: (33, 88), 6: (34, 86), 7: (36, 84),
    8: (60, 96), 10: (60, 88), 11: (53, 88), 12: (48, 84), 16: (36, 88), 17: (36, 84), 18: (36, 84), 19: (36, 88),
    20: (41, 84), 21: (53, 86), 22: (60, 86), 23: (48, 86),
    # guitars and basses
    24: (40, 79), 25: (40, 79), 26: (40, 79), 27: (40, 79), 28: (40, 76), 29: (40, 76), 30: (40, 76),
    32: (28, 55), 33: (28, 55), 34: (28, 55), 35: (28, 55), 38: (28, 55), 43: (28, 55),
    # strings and voices
    40: (55, 88), 41: (48, 79), 42: (36, 74), 45: (43, 84), 46: (31, 91), 48: (40, 84), 49: (40, 84),
    52: (43, 79), 53: (45, 79), 54: (45, 79), 85: (50, 79), 91: (48, 79),
    # brass and reeds
    56: (52, 82), 57: (40, 70), 58: (28, 55), 59: (52, 79), 60: (41, 72), 61: (40, 77), 62: (40, 79),
    64: (56, 84), 65: (49, 80), 66: (44, 75), 67: (37, 68), 68: (58, 86), 69: (52, 79), 70: (35, 70), 71: (50, 88),
    # pipes, synthesisers, plucked
    73: (60, 90), 75: (60, 88), 79: (60, 84), 80: (45, 84), 81: (45, 84), 89: (40, 84), 110: (55, 84),
}  # fmt: skip
"""Natural range of every program used: (lowest, highest) MIDI pitch."""

# From bright to soft: melody, accompaniment and bass programs that the timbre cue chooses from.
PALETTES = (
    ((62, 56, 30, 81, 61), (62, 81, 61), (38, 34)),
    ((6, 68, 27, 40, 80, 65), (6, 27, 16), (34, 33)),
    ((0, 25, 22, 21, 66, 16), (0, 25, 21), (33, 34)),
    ((71, 4, 11, 24, 48, 41), (4, 48, 24), (32, 35)),
    ((73, 52, 89, 53, 46, 60, 79), (89, 49, 46, 52), (35, 32)),
)

SCALES = {1: (0, 2, 4, 5, 7, 9, 11), -1: (0, 2, 3, 5, 7, 8, 10)}
_TRIADS = {"M": (0, 4, 7), "m": (0, 3, 7)}
# Four bars each: (root in semitones above the tonic, triad). The minor ones use the harmonic V where they cadence.
PROGRESSIONS = {
    1: (
        ((0, "M"), (7, "M"), (9, "m"), (5, "M")),
        ((0, "M"), (9, "m"), (5, "M"), (7, "M")),
        ((0, "M"), (5, "M"), (0, "M"), (7, "M")),
        ((9, "m"), (5, "M"), (0, "M"), (7, "M")),
        ((0, "M"), (4, "m"), (5, "M"), (7, "M")),
        ((0, "M"), (2, "m"), (7, "M"), (0, "M")),
    ),
    -1: (
        ((0, "m"), (8, "M"), (3, "M"), (10, "M")),
        ((0, "m"), (5, "m"), (7, "M"), (0, "m")),
        ((0, "m"), (10, "M"), (8, "M"), (7, "M")),
        ((0, "m"), (3, "M"), (10, "M"), (5, "m")),
        ((0, "m"), (5, "m"), (8, "M"), (7, "M")),
        ((0, "m"), (8, "M"), (5, "m"), (7, "M")),
    ),
}
_BAR_FORMS = ("AABA", "ABAC", "AABC", "ABAB")
KICK, SNARE, HAT = 36, 38, 42


@dataclass(frozen=True)
class Voice:
    """One instrument's part. `notes` [n, 4]: start s, duration s, pitch, velocity; `gain_db` its place in the mix."""

    program: int
    notes: np.ndarray
    gain_db: float = 0.0


@dataclass(frozen=True)
class _Frame:
    """What all voices of a section share: time grid, key and the melody's own seed."""

    seed: tuple[int, ...]
    start_s: float
    end_s: float
    beat_s: float
    per_beat: int
    mode: int
    tonic: int
    progression: int
    fraction: float
    velocity: float
    octave: int

    def rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, *purpose])

    def chord(self, bar: int) -> tuple[int, ...]:
        """Pitch classes of the chord in this bar, root first."""
        root, kind = PROGRESSIONS[self.mode][self.progression][bar % 4]
        return tuple((self.tonic + root + step) % 12 for step in _TRIADS[kind])

    @property
    def bars(self) -> int:
        return int(np.ceil((self.end_s - self.start_s) / (4 * self.beat_s)))


def notes_per_second(tempo: float) -> float:
    """Melody notes per second for the standardised tempo cue: a log2 scale, 2.5 a second in the middle."""
    return float(2 ** (1.3 + 0.75 * tempo))


def melody_centre(register: float) -> float:
    """MIDI pitch around which the melody moves: 66 (F sharp 4) in the middle, 7 semitones per standard deviation."""
    return 66.0 + 7.0 * register


def sounding_fraction(staccato: float) -> float:
    """Part of its time that a note sounds: 1.04 (legato, overlapping) to 0.18 (staccato)."""
    return 0.61 - 0.25 * staccato


def compose(seed: tuple[int, ...], cues: np.ndarray, start_s: float, end_s: float, octave: int = 0) -> list[Voice]:
    """The voices of one section between `start_s` and `end_s` seconds from cues [6] (see `_listeners.CUES`).

    `seed` is the song's: key, motif, rhythm and form come from it, so two sections of a song share their melody.
    `octave` moves everything down, for a second try at a note that would not render.
    """
    mode, register, tempo, level, staccato, soft = (float(cue) for cue in cues)
    rng = np.random.default_rng([*seed, 0])
    speed = notes_per_second(tempo)
    per_beat = 1 if speed < 2.1 else 2 if speed < 4.4 else 4
    frame = _Frame(
        seed=seed,
        start_s=start_s,
        end_s=end_s,
        beat_s=per_beat / speed,
        per_beat=per_beat,
        mode=1 if mode > 0 else -1,
        tonic=int(rng.integers(12)),
        progression=int(rng.integers(6)),
        fraction=sounding_fraction(staccato),
        velocity=74 + 16 * level,
        octave=octave,
    )
    count = int(rng.choice([1, 2, 3, 4], p=[0.08, 0.27, 0.4, 0.25]))
    palette = PALETTES[int(np.clip((soft + np.sqrt(3)) / (2 * np.sqrt(3)) * 5, 0, 4.999))]
    centre = melody_centre(register)
    lead = _suited(rng, palette[0], centre)
    voices = [_melody(frame, lead, centre)]
    if count >= 2:
        voices.append(_accompaniment(frame, _suited(rng, palette[1], centre - 9), centre - 9, tempo, staccato))
    if count >= 3:
        voices.append(_bass(frame, int(rng.choice(palette[2]))))
    if count >= 4 and tempo > 0.3:
        voices.append(_percussion(frame))
    elif count >= 4:
        voices.append(_second_melody(voices[0], frame, _suited(rng, palette[0], centre - 5)))
    return [_trimmed(voice, end_s) for voice in voices]


def _suited(rng: np.random.Generator, programs: tuple[int, ...], centre: float) -> int:
    """A program whose natural range holds most of centre ± 8; a random one among the best."""
    cover = [min(RANGES[p][1], centre + 8) - max(RANGES[p][0], centre - 8) for p in programs]
    best = [p for p, held in zip(programs, cover, strict=True) if held >= max(cover) - 2.0]
    return int(rng.choice(best))


def _fold(pitch: float, program: int) -> int:
    """The pitch moved by octaves into the natural range of the program."""
    low, high = RANGES[program]
    while pitch > high:
        pitch -= 12
    while pitch < low:
        pitch += 12
    assert low <= pitch <= high, (program, pitch)
    return int(pitch)


def _rhythm(rng: np.random.Generator, per_bar: int) -> np.ndarray:
    """Onsets of `per_bar` notes in one bar, in bars [0, 1): an even grid with some notes moved or dotted."""
    onsets = np.arange(per_bar) / per_bar
    for k in range(1, per_bar):
        if rng.random() < 0.3:
            onsets[k] += rng.choice([-0.5, 0.5]) / per_bar
    return np.unique(onsets)


def _melody(frame: _Frame, program: int, centre: float) -> Voice:
    low, high = RANGES[program]
    ladder_low, ladder_high = max(low, centre - 10), min(high, centre + 10)
    ladder = [p for p in range(128) if ladder_low <= p <= ladder_high and (p - frame.tonic) % 12 in SCALES[frame.mode]]
    if len(ladder) < 7:  # the range hardly reaches the register: play in the nearest octave that it has
        low, high = RANGES[program]
        ladder = [p for p in range(low, high + 1) if (p - frame.tonic) % 12 in SCALES[frame.mode]]
        ladder = sorted(sorted(ladder, key=lambda p: abs(p - centre))[:9])
    form = _BAR_FORMS[int(frame.rng(1).integers(len(_BAR_FORMS)))]
    arch = frame.rng(2).uniform(-1.0, 1.0)
    place, rows = len(ladder) // 2, []
    for bar in range(frame.bars):
        shape = frame.rng(3, ord(form[bar % 4]))
        onsets = _rhythm(shape, 4 * frame.per_beat)
        steps = shape.choice([-4, -2, -1, -1, 0, 1, 1, 2, 3], size=len(onsets))
        aim = (len(ladder) - 1) / 2 * (1 + 0.7 * arch * np.sin(np.pi * (bar % 4 + 0.5) / 2))
        for k, onset in enumerate(onsets):
            place = int(np.clip(round(place + steps[k] + 0.25 * (aim - place)), 0, len(ladder) - 1))
            strong = k == 0 or abs(onset - 0.5) < 1e-9
            if strong:
                place = _nearest_chord_tone(ladder, place, frame.chord(bar))
            until = onsets[k + 1] if k + 1 < len(onsets) else 1.0
            if bar % 4 == 3 and onset >= 0.5:  # a phrase ends on one long chord tone
                until = 1.0
                place = _nearest_chord_tone(ladder, place, frame.chord(bar))
            rows.append((bar + onset, until - onset, ladder[place], 8 if strong else 0))
            if until == 1.0:
                break
    return Voice(program, _timed(frame, rows, program, 5))


def _nearest_chord_tone(ladder: list[int], place: int, chord: tuple[int, ...]) -> int:
    tones = [k for k, pitch in enumerate(ladder) if pitch % 12 in chord] or [place]
    return min(tones, key=lambda k: abs(k - place))


def _accompaniment(frame: _Frame, program: int, centre: float, tempo: float, staccato: float) -> Voice:
    rng = frame.rng(6)
    held = 0.55 - 0.2 * tempo - 0.15 * staccato
    style = rng.choice(["pad", "block", "arpeggio"], p=_shares(held, 0.4, 0.35 + 0.1 * tempo))
    held_notes = _close_to(frame.chord(0), centre, program)
    rows: list[tuple[float, float, int, int]] = []
    for bar in range(frame.bars):
        held_notes = _voice_led(held_notes, frame.chord(bar), centre, program)
        if style == "pad":
            rows += [(bar, 1.0, pitch, -6) for pitch in held_notes]
        elif style == "block":
            rows += [(bar + beat / 4, 0.25, pitch, -4 if beat else 2) for beat in range(4) for pitch in held_notes]
        else:
            order = [*held_notes, held_notes[1]]
            parts = 4 if frame.per_beat == 1 else 8
            rows += [(bar + k / parts, 1 / parts, order[k % 4], -3) for k in range(parts)]
    return Voice(program, _timed(frame, rows, program, 7), gain_db=-7.0 if style == "pad" else -5.0)


def _shares(*weights: float) -> np.ndarray:
    kept = np.maximum(weights, 0.05)
    return kept / kept.sum()


def _close_to(chord: tuple[int, ...], centre: float, program: int) -> list[int]:
    base = [pitch_class + 12 * round((centre - pitch_class) / 12) for pitch_class in chord]
    return sorted(_fold(pitch, program) for pitch in base)


def _voice_led(before: list[int], chord: tuple[int, ...], centre: float, program: int) -> list[int]:
    """The inversion of the chord that moves least from the notes before and stays near the centre."""
    base = _close_to(chord, centre, program)
    inversions = [sorted(_fold(p + 12 * (k == j) * side, program) for k, p in enumerate(base))
                  for j in range(4) for side in (-1, 1)]  # fmt: skip
    distinct = [notes for notes in inversions if len(set(notes)) == 3] or [base]

    def cost(notes: list[int]) -> float:
        return sum(abs(a - b) for a, b in zip(notes, before, strict=True)) + 0.5 * abs(float(np.mean(notes)) - centre)

    return min(distinct, key=cost)


def _bass(frame: _Frame, program: int) -> Voice:
    rng, rows = frame.rng(8), []
    pattern = ((0.0, 0), (0.5, 0)) if rng.random() < 0.5 else ((0.0, 0), (0.5, 2))
    for bar in range(frame.bars):
        chord = frame.chord(bar)
        for onset, tone in pattern:
            rows.append(
                (bar + onset, 0.5, _fold(36 + (chord[tone] - 36) % 12 - (chord[tone] % 12 > 6) * 12, program), 2)
            )
    return Voice(program, _timed(frame, rows, program, 9), gain_db=-3.0)


def _second_melody(lead: Voice, frame: _Frame, program: int) -> Voice:
    """The melody again a third below in the scale, softer."""
    notes = lead.notes.copy()
    for row in notes:
        third = next(d for d in (3, 4, 5) if (row[2] - d - frame.tonic) % 12 in SCALES[frame.mode])
        row[2] = _fold(row[2] - third, program)
    return Voice(program, notes, gain_db=-6.0)


def _percussion(frame: _Frame) -> Voice:
    rows = []
    for bar in range(frame.bars):
        rows += [
            (bar, 0.1, KICK, 4),
            (bar + 0.5, 0.1, KICK, 0),
            (bar + 0.25, 0.1, SNARE, 0),
            (bar + 0.75, 0.1, SNARE, 2),
        ]
        rows += [(bar + k / 8, 0.05, HAT, -12 if k % 2 else -6) for k in range(8)]
    return Voice(-1, _timed(frame, rows, -1, 10), gain_db=-9.0)


def _timed(frame: _Frame, rows: list[tuple[float, float, int, int]], program: int, purpose: int) -> np.ndarray:
    """Bars to seconds, articulation, a little human timing and touch, and the octave of a second try."""
    rng, notes = frame.rng(purpose), np.array(sorted(rows), dtype=float)
    bar_s = 4 * frame.beat_s
    n = len(notes)
    notes[:, 0] = frame.start_s + notes[:, 0] * bar_s + np.maximum(rng.normal(0, 0.006, n), -notes[:, 0] * bar_s)
    notes[:, 1] = np.maximum(notes[:, 1] * bar_s * frame.fraction, 0.06)
    notes[:, 3] = np.clip(np.rint(frame.velocity + notes[:, 3] + rng.normal(0, 4, n)), 15, 125)
    if program >= 0 and frame.octave:
        notes[:, 2] = [_fold(pitch + 12 * frame.octave, program) for pitch in notes[:, 2]]
    return notes


def _trimmed(voice: Voice, end_s: float) -> Voice:
    notes = voice.notes[voice.notes[:, 0] < end_s - 0.05].copy()
    notes[:, 1] = np.minimum(notes[:, 1], end_s - notes[:, 0])
    return Voice(voice.program, notes, voice.gain_db)


def outside_range(voices: list[Voice]) -> Iterator[tuple[int, int]]:
    """(program, pitch) of every note outside its instrument's natural range; nothing for a sound score."""
    for voice in voices:
        if voice.program >= 0:
            low, high = RANGES[voice.program]
            yield from ((voice.program, int(p)) for p in voice.notes[:, 2] if not low <= p <= high)
