"""Phrases and single notes of one instrument from a sound font, each recorded as if by somebody else.

A model that hears one font learns that font. Here every recording draws a program, the size of its instrument (notes
made from the samples of a neighbouring pitch), tuning, attack, release, a room, an equaliser, the reach of its
microphone and a noise of its own; two in five takes are single notes, as most recordings of instruments are.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from core.datasets import _phrases, _soundfonts
from core.datasets._effects import convolved, finish, loudness, room
from core.datasets._notes import SAMPLE_RATE_HZ

PROGRAMS = {**_phrases.PROGRAMS, "vio": (40,), "voi": (52, 53, 54)}
"""General MIDI programs of each class, less those that stand for it only in a pinch (fiddle, synthetic voice)."""
SUSTAINED = frozenset({"cel", "cla", "flu", "org", "sax", "tru", "vio", "voi"})
VIBRATO_CHANCE = _phrases.VIBRATO
LONGEST_RELEASE_S = 1.0

Note = tuple[float, float, float, float]  # start s, length s, MIDI pitch, velocity


def excerpt(font: str, seed: int, label: str, recording: int, take: int, seconds: float = 3.0) -> np.ndarray:
    """Take `take` of a recording of a class with the font at path `font`: mono samples at 22,050 Hz."""
    place = (
        zlib.crc32(Path(font).name.encode()),
        sorted(PROGRAMS).index(label),
        recording,
    )  # whatever other fonts there are
    rng, own = np.random.default_rng([seed, 14, *place]), np.random.default_rng([seed, 15, *place, take])
    return recorded(heard(font, label, seconds, rng, own), rng, own)


def heard(font: str, label: str, seconds: float, rng: np.random.Generator, own: np.random.Generator) -> np.ndarray:
    """A `voice` that sounds: fonts have holes, and what falls into one is drawn again. ValueError if all do."""
    for _ in range(8):
        samples = voice(font, label, seconds, rng, own)
        if np.abs(samples).max() > 1e-4:
            return samples
    raise ValueError(f"the font has no sound for {label}")


def voice(font: str, label: str, seconds: float, rng: np.random.Generator, own: np.random.Generator) -> np.ndarray:
    """One instrument, dry; `rng` draws what belongs to the instrument and its player, `own` what it plays."""
    bank = _soundfonts.opened(font)
    program = int(rng.choice([program for program in PROGRAMS[label] if program in bank.programs]))
    shift = int(np.clip(round(rng.normal(0, 2)), -5, 5)) if rng.random() < 0.6 else 0
    detune = rng.uniform(-0.5, 0.5)
    attack_s = 10 ** rng.uniform(-3, -1) if label in SUSTAINED and rng.random() < 0.4 else 0.002
    release_s, decay = 10 ** rng.uniform(-1.3, 0.2), 0.0
    if label not in SUSTAINED and rng.random() < 0.6:
        decay = rng.uniform(0, 2.8)  # plucked and struck strings fall faster than the font's, e-folds a second
    swing = rng.uniform(0.05, 0.5) if rng.random() < VIBRATO_CHANCE.get(label, 0) else 0.0
    swing_hz = rng.uniform(4, 7.5)
    samples = np.zeros(int((seconds + 1) * SAMPLE_RATE_HZ), np.float32)
    for start_s, length_s, pitch, velocity in played(own, label, program, seconds):
        if start_s >= seconds:
            continue
        whole_s = min(length_s + min(release_s, LONGEST_RELEASE_S), seconds - start_s)
        note = bank.note(program, pitch + detune, int(np.clip(velocity, 20, 125)), whole_s, shift)
        t = np.arange(len(note), dtype=np.float32) / SAMPLE_RATE_HZ
        shape = np.minimum(t / attack_s, 1) * np.exp(-decay * t)
        shape *= np.exp(-5 * np.maximum(t - length_s, 0) / release_s)
        first = int(start_s * SAMPLE_RATE_HZ)
        samples[first : first + len(note)] += note * shape * np.float32((velocity / 90) ** 1.2)
    samples = samples[: int(seconds * SAMPLE_RATE_HZ)]
    if swing:
        t = np.arange(len(samples)) / SAMPLE_RATE_HZ
        moved = (2 ** (swing / 12) - 1) / (2 * np.pi * swing_hz) * np.sin(2 * np.pi * swing_hz * t)
        samples = np.interp(t + moved, t, samples).astype(np.float32)
    return samples


def played(rng: np.random.Generator, label: str, program: int, seconds: float) -> list[Note]:
    """What a take plays: three in ten a single note, one in ten a note again and again, the rest a phrase."""
    low, high = _phrases.RANGES[program]
    kind = rng.random()
    if kind >= 0.4:
        return [(s, d, float(p), v) for s, d, p, v in _phrases.phrase(rng, label, program, seconds).notes]
    pitch, velocity = float(rng.integers(low, high + 1)), rng.uniform(30, 120)
    length_s = rng.uniform(0.4, seconds) if rng.random() < 0.5 or kind < 0.1 else seconds
    if kind >= 0.1:
        return [(rng.uniform(0, 0.15), length_s, pitch, velocity)]
    steps = [0.0, 0.0, 2.0, 4.0, 5.0, 7.0, 12.0, -12.0]
    starts = np.arange(0, seconds, length_s)
    return [(float(s), length_s, float(np.clip(pitch + rng.choice(steps), low, high)), velocity) for s in starts]


def recorded(samples: np.ndarray, rng: np.random.Generator, own: np.random.Generator) -> np.ndarray:
    """The samples in a room, through an equaliser, a microphone of some reach, with its noise, at some level."""
    wet = room(samples, rng, rng.uniform(600, 4000), rng.uniform(-9, 9)) if rng.random() < 0.7 else samples
    wet = convolved(wet, reach(rng))
    hiss = coloured(len(wet), rng.uniform(0, 1), own)
    hiss *= np.float32(loudness(wet) * 10 ** (-rng.uniform(14, 62) / 20) / max(loudness(hiss), 1e-9))
    level = 10 ** (rng.uniform(-30, -14) / 20) / max(loudness(wet), 1e-6)
    return finish((wet + hiss) * np.float32(level), own)


def reach(rng: np.random.Generator, taps: int = 2048) -> np.ndarray:
    """Impulse response [taps] of a broad equaliser of up to 8 dB, two in five times dull and two in five times thin."""
    hz = np.fft.rfftfreq(taps, 1 / SAMPLE_RATE_HZ)
    octaves = np.log2(np.maximum(hz, 20) / 1000)
    bumps = [(rng.uniform(-8, 8), rng.uniform(-4, 3.3), rng.uniform(0.5, 1.5)) for _ in range(3)]
    gain_db = sum(most * np.exp(-(((octaves - centre) / wide) ** 2)) for most, centre, wide in bumps)
    power = 10 ** (gain_db / 10)
    if rng.random() < 0.4:
        power = power / (1 + (hz / (2500 * 3.2 ** rng.random())) ** 8)
    if rng.random() < 0.4:
        power = power / (1 + (40 * 6 ** rng.random() / np.maximum(hz, 1e-3)) ** 4)
    response = np.fft.irfft(np.sqrt(power), taps)
    return np.roll(response, taps // 8)[: taps // 4].astype(np.float32)  # the main part of a zero-phase response


def coloured(n: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise [n] between white (slope 0) and brown (1)."""
    size = 2 ** int(np.ceil(np.log2(n)))
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    return np.fft.irfft(spectrum / (np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ) + 50) ** slope, size)[:n].astype(
        np.float32
    )


def mix(fonts: list[str], seed: int, index: int) -> np.ndarray:
    """Several instruments at once, each from a font of its own; labels and seconds as `_render.mix_plan` says."""
    from core.datasets._render import mix_plan

    labels, seconds = mix_plan(seed, index)
    rng = np.random.default_rng([seed, 16, index])
    samples = np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32)
    for label in labels:
        part = heard(str(rng.choice(fonts)), label, seconds, rng, rng)
        samples += part * np.float32(10 ** (rng.uniform(-4, 2) / 20) / max(loudness(part), 1e-6))
    return recorded(samples, rng, rng)
