"""Sound fonts on this machine, and single notes read straight from their samples.

A reader of its own rather than a synthesiser: a note can then be made from the samples of a neighbouring pitch, which
moves its formants, from any layer of loudness, and at any tuning, and no note can take for ever. Of the format
(SoundFont Technical Specification 2.04) it knows what decides a note's sound: key and velocity ranges, root key and
tuning, loops, the decay of the volume envelope and the level. Filters, modulators and stereo places are left out.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets._notes import SAMPLE_RATE_HZ

PLACES = ("/usr/share/sounds/sf2", "/usr/share/soundfonts")
"""Where Linux distributions put sound fonts."""
PACKAGES = (("pretty_midi", "TimGM6mb.sf2"), ("scamp", "soundfonts/Merlin.sf2"))
"""Python packages that bring a sound font along, and where it lies in them."""
SMALLEST = 500_000  # bytes; a smaller file is no General MIDI font

KEYS, VELOCITIES, INSTRUMENT, SAMPLE, LOOPS, ROOT = 43, 44, 41, 53, 54, 58
ATTENUATION, COARSE, FINE, DECAY, SUSTAIN = 48, 51, 52, 36, 37
STARTS, ENDS, LOOP_STARTS, LOOP_ENDS = (0, 4), (1, 12), (2, 45), (3, 50)  # fine and coarse offsets
CHUNKS = {
    b"phdr": "<20sHHHIII", b"pbag": "<HH", b"pgen": "<HH", b"inst": "<20sH", b"ibag": "<HH", b"igen": "<HH",
    b"shdr": "<20sIIIIIBbHH",
}  # fmt: skip


@dataclass(frozen=True)
class Zone:
    """One sample and the notes it serves. Places are samples from its start; decay in s for 100 dB."""

    keys: tuple[int, int]
    velocities: tuple[int, int]
    root: float
    rate_hz: float
    start: int
    end: int
    loop: tuple[int, int] | None
    decay_s: float
    sustain_db: float
    gain_db: float


class SoundFont:
    """One file, mapped rather than read. `programs` are the General MIDI programs of its first bank."""

    def __init__(self, path: str | Path) -> None:
        """Raises ValueError for a file that is no SoundFont 2."""
        try:
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            places = _chunks(self._bytes)
            tables = {
                tag: list(struct.iter_unpack(form, self._bytes[places[tag][0] : sum(places[tag])]))
                for tag, form in CHUNKS.items()
            }
            first, size = places[b"smpl"]
            self._samples = np.frombuffer(self._bytes, "<i2", size // 2, first)
            self._zones = _presets(tables)
        except (KeyError, IndexError, struct.error, ValueError) as error:
            raise ValueError(
                f"{Path(path).name} is no sound font that can be read (SoundFont 2, uncompressed)."
            ) from error

    @property
    def programs(self) -> set[int]:
        """The programs 0–127 of bank 0."""
        return set(self._zones)

    def note(self, program: int, pitch: float, velocity: int, seconds: float, shift: int = 0) -> np.ndarray:
        """Mono float32 samples of one note, [seconds × 22,050], levels as in the font.

        `pitch` is a MIDI pitch and need not be whole. The samples are those that serve the pitch `shift` semitones
        higher, played slower: with a shift the same note sounds as of a larger or smaller instrument.
        """
        asked = int(np.clip(round(pitch) + shift, 0, 127))
        out, t = np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32), np.arange(int(seconds * SAMPLE_RATE_HZ))
        for zone in self._serving(program, asked, velocity):
            ratio = zone.rate_hz / SAMPLE_RATE_HZ * 2 ** ((pitch - zone.root) / 12)
            data = self._samples[zone.start : zone.end].astype(np.float32) / 32768
            place = t * ratio
            if zone.loop is not None:
                begin, end = zone.loop
                place = np.where(place < end, place, begin + (place - begin) % (end - begin))
            if ratio > 1.3:  # what lies above half of the new rate would fold over: a running mean takes most of it
                width = int(np.ceil(ratio))
                data = np.convolve(data, np.full(width, 1 / width, np.float32), "same")
            heard = np.interp(place, np.arange(len(data)), data, right=0.0)
            fallen_db = np.minimum(t / SAMPLE_RATE_HZ * 100 / zone.decay_s, zone.sustain_db)
            out += (heard * 10 ** ((zone.gain_db - fallen_db) / 20)).astype(np.float32)
        return out

    def _serving(self, program: int, key: int, velocity: int) -> list[Zone]:
        """The zones of a note: left and right where it is stereo; the nearest one where the font has a gap."""
        zones = self._zones[program]
        hit = [zone for zone in zones if _gap(zone.keys, key) == 0 and _gap(zone.velocities, velocity) == 0]
        return hit[:4] or [min(zones, key=lambda zone: _gap(zone.keys, key) + 0.01 * _gap(zone.velocities, velocity))]


def _gap(span: tuple[int, int], value: int) -> int:
    return max(span[0] - value, value - span[1], 0)


def _chunks(data: mmap.mmap) -> dict[bytes, tuple[int, int]]:
    """Tag → first byte and size of every chunk of a RIFF file."""
    found, waiting = {}, [(0, len(data))]
    while waiting:
        at, end = waiting.pop()
        while at + 8 <= end:
            tag, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
            if tag in (b"RIFF", b"LIST"):
                waiting.append((at + 12, min(at + 8 + size, end)))
            else:
                found[tag] = (at + 8, size)
            at += 8 + size + size % 2
    return found


def _presets(tables: dict[bytes, list[Any]]) -> dict[int, list[Zone]]:
    """Program → zones, of bank 0."""
    headers, instruments, found = tables[b"phdr"], tables[b"inst"], {}
    for header, after in itertools.pairwise(headers):
        program, bank, first = header[1:4]
        if bank != 0:
            continue
        zones = []
        for preset in _generators(tables[b"pbag"], tables[b"pgen"], first, after[3], INSTRUMENT):
            place = preset[INSTRUMENT]
            inner = instruments[place][1], instruments[place + 1][1]
            for own in _generators(tables[b"ibag"], tables[b"igen"], *inner, SAMPLE):
                zone = _zone(preset, own, tables[b"shdr"][own[SAMPLE]])
                zones += [zone] if zone is not None else []
        if zones:
            found[program] = zones
    return found


def _generators(bags: list[Any], generators: list[Any], first: int, last: int, needed: int) -> list[dict[int, int]]:
    """The zones between two bags as generator → amount, over the first where that is the one for all (it has no
    `needed` generator)."""
    common: dict[int, int] = {}
    zones = []
    for k in range(first, last):
        zone = dict(generators[bags[k][0] : bags[k + 1][0]])
        if needed in zone:
            zones.append(common | zone)
        elif k == first:
            common = zone
    return zones


def _zone(preset: dict[int, int], own: dict[int, int], sample: tuple[Any, ...]) -> Zone | None:
    """What an instrument's zone says, moved by what the preset adds; None where it serves no note or has no sound."""
    _, start, end, loop_start, loop_end, rate_hz, pitch, correction = sample[:8]

    def offset(pair: tuple[int, int]) -> int:
        return _signed(own.get(pair[0], 0)) + 32_768 * _signed(own.get(pair[1], 0))

    def amount(generator: int, default: int = 0) -> int:
        return _signed(own.get(generator, default & 0xFFFF)) + _signed(preset.get(generator, 0))

    keys, velocities = (_overlap(preset.get(kind), own.get(kind)) for kind in (KEYS, VELOCITIES))
    first, last = start + offset(STARTS), end + offset(ENDS)
    if keys[0] > keys[1] or velocities[0] > velocities[1] or last - first < 16:
        return None
    loop = loop_start + offset(LOOP_STARTS) - first, loop_end + offset(LOOP_ENDS) - first
    is_inside = loop[0] >= 0 and loop[1] - loop[0] > 8 and loop[1] <= last - first
    is_looped = is_inside and own.get(LOOPS, 0) & 3 in (1, 3)
    root = own.get(ROOT, 255)
    return Zone(
        keys,
        velocities,
        (root if root <= 127 else pitch) - (amount(COARSE) + (amount(FINE) + correction) / 100),
        float(rate_hz),
        first,
        last,
        loop if is_looped else None,
        max(2 ** (amount(DECAY, -12_000) / 1200), 1e-3),
        float(np.clip(amount(SUSTAIN) / 10, 0, 100)),
        -0.04 * amount(ATTENUATION),  # centibels, of which synthesisers by custom heed 0.4
    )


def _signed(amount: int) -> int:
    return amount - 65_536 if amount >= 32_768 else amount


def _overlap(first: int | None, second: int | None) -> tuple[int, int]:
    low, high = 0, 127
    for span in (first, second):
        if span is not None:
            low, high = max(low, span & 255), min(high, span >> 8)
    return low, high


@functools.cache
def opened(path: str) -> SoundFont:
    """A font that stays mapped as long as this process lives."""
    return SoundFont(path)


def found() -> list[Path]:
    """Every sound font of this machine, by name: those of packages, of the distribution and of EARSHOT_FONTS."""
    places = [Path(place) for place in (os.environ.get("EARSHOT_FONTS", ""), *PLACES) if place]
    fonts = [path for place in places if place.is_dir() for path in sorted(place.glob("*.sf2"))]
    for package, inside in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            fonts.append(Path(spec.origin).parent / inside)
    named = {path.name: path.resolve() for path in fonts if path.is_file() and path.stat().st_size >= SMALLEST}
    return [named[name] for name in sorted(named)]
