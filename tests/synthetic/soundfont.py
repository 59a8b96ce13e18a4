"""A sound font made of sines, small enough to know every sample of it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE_HZ = 44_100


def write(path: Path, programs: dict[int, list[dict[str, float]]], pad: int = 600_000) -> Path:
    """A SoundFont 2 file. A program is a list of zones with "hertz" and, where wanted, "root" (MIDI pitch), "low" and
    "high" (keys), "soft" and "loud" (velocities), "fine" (cents), "seconds", "looped", "decay_s" and "sustain_db"."""
    samples, headers, instruments, bags, generators = [], [], [], [], []
    preset_headers, preset_bags, preset_generators, at = [], [], [], 0
    for program, zones in programs.items():
        preset_headers.append(struct.pack("<20sHHHIII", f"p{program}".encode(), program, 0, len(preset_bags), 0, 0, 0))
        preset_bags.append(struct.pack("<HH", len(preset_generators), 0))
        preset_generators.append(struct.pack("<HH", 41, len(instruments)))
        instruments.append(struct.pack("<20sH", f"i{program}".encode(), len(bags)))
        for zone in zones:
            n = round(zone.get("seconds", 1.0) * RATE_HZ)
            wave = np.sin(2 * np.pi * zone["hertz"] / RATE_HZ * np.arange(n)) * 16_000
            samples += [wave.astype("<i2"), np.zeros(46, "<i2")]
            bags.append(struct.pack("<HH", len(generators), 0))
            chosen = {43: _span(zone.get("low", 0), zone.get("high", 127))}
            chosen |= {44: _span(zone.get("soft", 0), zone.get("loud", 127))}
            chosen |= {52: int(zone.get("fine", 0)) & 0xFFFF, 54: int(zone.get("looped", 0))}
            chosen |= {36: round(1200 * np.log2(zone.get("decay_s", 1.0))) & 0xFFFF}
            chosen |= {37: round(10 * zone.get("sustain_db", 0)), 53: len(headers)}
            generators += [struct.pack("<HH", kind, amount) for kind, amount in chosen.items()]
            root = int(zone.get("root", 69))
            # the loop is a whole number of periods, so that a held note has no seam
            period = RATE_HZ / max(zone["hertz"], 100)
            loop = at + round(10 * period), at + round(10 * period) + round(period * int((n - 20 * period) / period))
            headers.append(struct.pack("<20sIIIIIBbHH", b"s", at, at + n, *loop, RATE_HZ, root, 0, 0, 1))
            at += n + 46
    ends = (
        (preset_headers, struct.pack("<20sHHHIII", b"EOP", 0, 0, len(preset_bags), 0, 0, 0)),
        (preset_bags, struct.pack("<HH", len(preset_generators), 0)),
        (preset_generators, struct.pack("<HH", 0, 0)),
        (instruments, struct.pack("<20sH", b"EOI", len(bags))),
        (bags, struct.pack("<HH", len(generators), 0)),
        (generators, struct.pack("<HH", 0, 0)),
        (headers, struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    )
    tags = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen", b"shdr")
    tables = b"".join(_chunk(tag, b"".join([*rows, last])) for tag, (rows, last) in zip(tags, ends, strict=True))
    sound = np.concatenate([*samples, np.zeros(pad, "<i2")]).tobytes()
    body = _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 4)))
    body += _list(b"sdta", _chunk(b"smpl", sound)) + _list(b"pdta", tables)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"sfbk" + body)
    return path


def _span(low: float, high: float) -> int:
    return int(low) | int(high) << 8


def _chunk(tag: bytes, data: bytes) -> bytes:
    return tag + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(tag: bytes, data: bytes) -> bytes:
    return b"LIST" + struct.pack("<I", len(data) + 4) + tag + data
