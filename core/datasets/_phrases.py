"""Phrases for the instrument side of `cues`: one instrument alone, or a few together.

A recording fixes an instrument (a General MIDI program of one of the eleven IRMAS classes) and how it is played; its
excerpts are different phrases. A mix sets one to four classes side by side, some over bass and percussion.
"""

from __future__ import annotations

import numpy as np

from core.datasets import IRMAS_CLASSES
from core.datasets._score import HAT, KICK, PROGRESSIONS, RANGES, SCALES, SNARE, Voice

Row = tuple[float, float, int, float]  # start and length in s, MIDI pitch, added velocity
Chords = list[list[int]]

PROGRAMS: dict[str, tuple[int, ...]] = {
    "cel": (42,),
    "cla": (71,),
    "flu": (73,),
    "gac": (24, 25),
    "gel": (26, 27, 28, 29, 30),
    "org": (16, 17, 18, 19),
    "pia": (0, 1, 2, 3),
    "sax": (64, 65, 66, 67),
    "tru": (56, 59),
    "vio": (40, 110),
    "voi": (52, 53, 54, 85),
}
"""General MIDI programs of each class."""

_STYLES = {
    "cel": ("line", "line", "long"),
    "cla": ("line", "line", "long"),
    "flu": ("line", "line", "long"),
    "gac": ("arpeggio", "strum", "line"),
    "gel": ("line", "strum", "arpeggio"),
    "org": ("chords", "line", "chords"),
    "pia": ("chords", "arpeggio", "line", "two hands"),
    "sax": ("line", "line", "long"),
    "tru": ("line", "line", "long"),
    "vio": ("line", "line", "long"),
    "voi": ("long", "chords", "line"),
}
"""How each class tends to play; repeated means likelier."""

VIBRATO = {"cel": 0.7, "vio": 0.7, "flu": 0.5, "voi": 0.6, "sax": 0.4, "tru": 0.3}
"""Chance that a recording of the class is played with vibrato."""


def phrase(rng: np.random.Generator, label: str, program: int, seconds: float) -> Voice:
    """A phrase of one instrument over `seconds`; pitches cover its natural range from excerpt to excerpt."""
    low, high = RANGES[program]
    centre = rng.uniform(low + 6, high - 6)
    mode, tonic = int(rng.choice([1, -1])), int(rng.integers(12))
    beat_s = 60 / rng.uniform(66, 152)
    velocity = rng.uniform(45, 112)
    style = str(rng.choice(_STYLES[label]))
    fraction = rng.uniform(0.35, 1.04) if style == "line" else rng.uniform(0.75, 1.04)
    chords = _chords(rng, mode, tonic, centre, low, high)
    start = -rng.uniform(0, 0.5) * beat_s
    makers = {"line": _line, "long": _line, "arpeggio": _arpeggio, "strum": _strum, "chords": _block, "two hands": _two}
    rows = makers[style](rng, chords, _ladder(mode, tonic, centre, low, high), beat_s, seconds, style)
    notes = np.array(rows, dtype=float)
    notes[:, 0] = np.maximum(notes[:, 0] + start + rng.normal(0, 0.008, len(notes)), 0.0)
    notes[:, 1] = np.maximum(notes[:, 1] * fraction, 0.07)
    notes[:, 3] = np.clip(velocity + notes[:, 3] + rng.normal(0, 6, len(notes)), 20, 125)
    notes = notes[notes[:, 0] < seconds - 0.1]
    notes[:, 1] = np.minimum(notes[:, 1], seconds - notes[:, 0])
    return Voice(program, notes)


def _ladder(mode: int, tonic: int, centre: float, low: int, high: int) -> list[int]:
    return [p for p in range(low, high + 1) if (p - tonic) % 12 in SCALES[mode] and abs(p - centre) <= 9]


def _chords(rng: np.random.Generator, mode: int, tonic: int, centre: float, low: int, high: int) -> list[list[int]]:
    """Four chords of a progression as pitches near the centre, inside the range."""
    chosen = PROGRESSIONS[mode][int(rng.integers(len(PROGRESSIONS[mode])))]
    steps = {"M": (0, 4, 7, 12), "m": (0, 3, 7, 12)}
    chords = []
    for root, kind in chosen:
        base = (tonic + root) % 12
        base += 12 * round((centre - 6 - base) / 12)
        pitches = [base + step for step in steps[kind]]
        chords.append(sorted({p + 12 * (p < low) - 12 * (p > high) for p in pitches if low - 12 <= p <= high + 12}))
    return [[p for p in chord if low <= p <= high] for chord in chords]


def _line(
    rng: np.random.Generator, chords: Chords, ladder: list[int], beat_s: float, seconds: float, style: str
) -> list[Row]:
    rows: list[Row] = []
    time_s, place = 0.0, int(rng.integers(len(ladder)))
    lengths = (2, 2, 3, 4) if style == "long" else (0.25, 0.5, 0.5, 0.5, 1, 1, 1.5)
    while time_s < seconds:
        length = float(rng.choice(lengths)) * beat_s
        place = int(np.clip(place + rng.choice([-3, -2, -1, -1, 1, 1, 2, 4]), 0, len(ladder) - 1))
        rows.append((time_s, length, ladder[place], rng.uniform(-6, 6)))
        time_s += length * (1.5 if rng.random() < 0.08 else 1.0)
    return rows


def _arpeggio(
    rng: np.random.Generator, chords: Chords, ladder: list[int], beat_s: float, seconds: float, style: str
) -> list[Row]:
    rows: list[Row] = []
    step_s, k = beat_s / int(rng.choice([2, 3, 4])), 0
    up = rng.random() < 0.6
    while k * step_s < seconds:
        chord = chords[int(k * step_s / (4 * beat_s)) % 4]
        order = chord if up else [*chord, *chord[-2:0:-1]]
        rows.append((k * step_s, step_s * float(rng.choice([1, 2, 3])), order[k % len(order)], 4.0 * (k % 4 == 0)))
        k += 1
    return rows


def _strum(
    rng: np.random.Generator, chords: Chords, ladder: list[int], beat_s: float, seconds: float, style: str
) -> list[Row]:
    rows: list[Row] = []
    for k in range(int(seconds / beat_s * 2) + 1):
        if k % 2 and rng.random() < 0.5:
            continue
        chord = chords[k // 8 % 4]
        order = chord if k % 2 == 0 else chord[::-1]
        rows += [(k * beat_s / 2 + 0.012 * j, beat_s * 0.9, p, -4.0 * (k % 2)) for j, p in enumerate(order)]
    return rows


def _block(
    rng: np.random.Generator, chords: Chords, ladder: list[int], beat_s: float, seconds: float, style: str
) -> list[Row]:
    hold = int(rng.choice([1, 2, 4]))
    count = int(seconds / (hold * beat_s)) + 1
    return [(k * hold * beat_s, hold * beat_s, p, 0.0) for k in range(count) for p in chords[k * hold // 4 % 4]]


def _two(
    rng: np.random.Generator, chords: Chords, ladder: list[int], beat_s: float, seconds: float, style: str
) -> list[Row]:
    return _line(rng, chords, ladder, beat_s, seconds, "line") + _block(rng, chords, ladder, beat_s, seconds, style)


def mix_labels(rng: np.random.Generator) -> list[str]:
    """One to four different classes."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.3, 0.15]))
    return sorted(str(c) for c in rng.choice(IRMAS_CLASSES, size=count, replace=False))


def backing(rng: np.random.Generator, seconds: float) -> list[Voice]:
    """Bass and percussion under a mix: sounds without a label, as most polyphonic recordings have."""
    beat_s = 60 / rng.uniform(76, 140)
    beats = int(seconds / beat_s) + 1
    root = int(rng.integers(28, 40))
    bass = [(k * beat_s, beat_s, root + int(rng.choice([0, 0, 7, 12])), 85.0) for k in range(beats)]
    drums = [(k * beat_s, 0.1, KICK if k % 2 == 0 else SNARE, 90.0) for k in range(beats)]
    drums += [((k + half) * beat_s, 0.05, HAT, 60.0) for k in range(beats) for half in (0.0, 0.5)]
    voices = [Voice(int(rng.choice([32, 33, 34])), np.array(bass), -4.0), Voice(-1, np.array(drums), -10.0)]
    kept = [voice.notes[voice.notes[:, 0] < seconds - 0.15] for voice in voices]
    return [Voice(voice.program, notes, voice.gain_db) for voice, notes in zip(voices, kept, strict=True)]
