"""Damaged sound files by the thousand, decoded as uploads are: in a child with limits.

    python -m tests.soak.fuzz_audio --mutants 2000 [--seed 0]

Mutants are made from small clips of wav, flac, ogg and mp3: bytes flipped, stretches cut out, ends cut off, headers
edited. Each must decode, in whole or in part, or be refused in one sentence; a crash or a traceback is a failure.
Prints one JSON object; exit status 1 where there was one.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import soundfile

from core import decoding

KINDS = ("WAV", "FLAC", "OGG", "MP3")
TIMEOUT_S = 60.0
CRASHED = "made the decoder crash"


def clips() -> dict[str, bytes]:
    """One small clip of each kind: a chord with noise, 1.5 s, stereo."""
    rate = 22_050
    t = np.arange(int(1.5 * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, (2, len(t)))
    chord = sum(0.2 * np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330)) + noise
    made = {}
    for kind in KINDS:
        file = io.BytesIO()
        soundfile.write(file, chord.T.astype(np.float32), rate, format=kind)
        made[kind] = file.getvalue()
    return made


def mutant(blob: bytes, random: np.random.Generator) -> bytes:
    """One way to damage a file."""
    way, data = int(random.integers(6)), bytearray(blob)
    if way == 0:  # single bits, anywhere
        for place in random.integers(0, len(data), int(random.integers(1, 20))):
            data[place] ^= 1 << int(random.integers(8))
    elif way == 1:  # the end is missing
        del data[int(random.integers(len(data))) :]
    elif way == 2:  # a stretch is something else
        start = int(random.integers(len(data)))
        length = int(random.integers(1, 400))
        data[start : start + length] = random.integers(0, 256, len(data[start : start + length]), np.uint8).tobytes()
    elif way == 3:  # a stretch is missing
        start = int(random.integers(len(data)))
        del data[start : start + int(random.integers(1, 2000))]
    elif way == 4:  # the header
        for place in random.integers(0, min(len(data), 64), int(random.integers(1, 4))):
            data[place] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
    else:  # twice the same, or another file behind it
        start = int(random.integers(len(data)))
        data[start:start] = data[: int(random.integers(1, len(data)))]
    return bytes(data)


def mutants(n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`n` names and files, the kinds in turn."""
    random, whole = np.random.default_rng(seed), clips()
    for number in range(n):
        kind = KINDS[number % len(KINDS)]
        yield f"mutant-{number}.{kind.lower()}", mutant(whole[kind], random)


def outcome(name: str, data: bytes) -> tuple[str, str]:
    """What became of it (decoded, with a warning, refused, crashed, slow, wrong) and the sentence."""
    try:
        clip = decoding.decode_safely(data, name, timeout_s=TIMEOUT_S)
    except ValueError as error:
        said = str(error)
        if CRASHED in said:
            return "crashed", said
        if "more than" in said and "to decode" in said:
            return "slow", said
        is_sentence = said.startswith(name) and said.endswith(".") and "\n" not in said and "Traceback" not in said
        return ("refused" if is_sentence else "wrong"), said
    except Exception as error:  # whatever else came out is what is looked for
        return "wrong", f"{name}: {type(error).__name__}: {error}"
    is_sound = np.isfinite(clip.samples).all() and clip.samples.ndim == 2 and clip.seconds >= 0.1
    if not is_sound:
        return "wrong", f"{name}: {clip.samples.shape}, {clip.seconds} s"
    return ("decoded with a warning" if clip.warnings else "decoded"), ""


def campaign(n: int, seed: int = 0, workers: int = 2) -> dict[str, Any]:
    """Decode `n` mutants; counts by outcome, and the sentences of what went wrong."""
    began = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda one: outcome(*one), mutants(n, seed)))
    counts = Counter(what for what, _ in found)
    decoded = counts["decoded"] + counts["decoded with a warning"]
    return {
        "mutants": n,
        "outcomes": dict(counts),
        "decoded_share": round(decoded / n, 3),
        "failures": [said for what, said in found if what in ("wrong", "crashed", "slow")],
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """The campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = campaign(given.mutants, given.seed)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
