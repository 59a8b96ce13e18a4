"""Damaged sound files by the thousand, decoded as uploads are: each in a child of its own with limits.

    python -m tests.soak.fuzz_audio --mutants 2000 [--seed 0]

Mutants are made from small clips of wav, flac, ogg and mp3, and where FFmpeg is installed of m4a and webm, which it
converts: bytes flipped, stretches cut out, ends cut off, headers edited. Each must decode, in whole or in part, or be
refused in one sentence; a crash or a traceback is a failure. A child is forked from this process, which has what it
needs imported: starting one for each file would take most of the time. Every fiftieth goes the whole way of an upload.
Prints one JSON object; exit status 1 where anything failed, or less than 30 % decoded.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import soundfile

from core import decoding, foreign

KINDS = ("WAV", "FLAC", "OGG", "MP3")
THROUGH_FFMPEG = {"M4A": ["-c:a", "aac"], "WEBM": ["-c:a", "libopus"]}
WHOLE_WAY_EVERY = 50
LEAST_SHARE = 0.3
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
    if foreign.is_there():
        with tempfile.TemporaryDirectory(prefix="earshot-fuzz-") as place:
            (Path(place) / "clip.wav").write_bytes(made["WAV"])
            for kind, codec in THROUGH_FFMPEG.items():
                target = Path(place) / f"clip.{kind.lower()}"
                command = ["ffmpeg", "-v", "error", "-i", str(Path(place) / "clip.wav"), *codec, str(target)]
                if subprocess.run(command, capture_output=True).returncode == 0:  # else built without the codec
                    made[kind] = target.read_bytes()
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
        kind = list(whole)[number % len(whole)]
        yield f"mutant-{number}.{kind.lower()}", mutant(whole[kind], random)


def outcome(name: str, data: bytes) -> tuple[str, str]:
    """What became of it on the whole way of an upload (see `judged`), and the sentence."""
    try:
        clip = decoding.decode_safely(data, name, timeout_s=TIMEOUT_S)
    except ValueError as error:
        return judged(name, str(error))
    except Exception as error:  # whatever else came out is what is looked for
        return "wrong", f"{name}: {type(error).__name__}: {error}"
    return sound(name, clip.samples, clip.seconds, clip.warnings)


def judged(name: str, said: str) -> tuple[str, str]:
    """Refused, crashed, slow or wrong: what a sentence in place of a clip means."""
    if CRASHED in said:
        return "crashed", said
    if "more than" in said and "given up" in said:
        return "slow", said
    is_sentence = said.startswith(name) and said.endswith(".") and "\n" not in said and "Traceback" not in said
    return ("refused" if is_sentence else "wrong"), said


def sound(name: str, samples: np.ndarray, seconds: float, warnings: list[str]) -> tuple[str, str]:
    """Decoded, with a warning or without, where it is sound at all."""
    if not (np.isfinite(samples).all() and samples.ndim == 2 and seconds >= 0.1):
        return "wrong", f"{name}: {samples.shape}, {seconds} s"
    return ("decoded with a warning" if warnings else "decoded"), ""


def forked(name: str, data: bytes, folder: Path) -> tuple[str, str]:
    """As `outcome`, in a child forked from here with the same limits; a traceback it writes counts as wrong."""
    source, target, errors, answer = (folder / one for one in ("source", "samples", "errors", "answer"))
    shutil.rmtree(folder)
    folder.mkdir()
    source.write_bytes(data)
    child = os.fork()
    if child == 0:
        _decode_here(name, source, target, errors, answer)
    end = time.monotonic() + TIMEOUT_S
    while not (status := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "slow", f"{name} took more than {TIMEOUT_S:g} s and was given up."
        time.sleep(0.001)
    if "Traceback" in errors.read_text(errors="replace"):
        return "wrong", f"{name}: {errors.read_text(errors='replace')[-300:]}"
    if status[1] != 0 or not answer.exists():
        return "crashed", f"{name} {CRASHED}: status {status[1]}."
    found = json.loads(answer.read_text())
    if "error" in found:
        return judged(name, found["error"])
    if "shape" not in found:  # a header that promises hours made it a long clip
        return "decoded with a warning", ""
    samples = np.fromfile(target, np.float32).reshape(found["shape"])
    return sound(name, samples, samples.shape[1] / found["sample_rate_hz"], found["warnings"])


def _decode_here(name: str, source: Path, target: Path, errors: Path, answer: Path) -> NoReturn:
    """The forked child: what `core.decoding`'s child does with a file, then the end."""
    status = 1
    try:
        os.dup2(os.open(errors, os.O_CREAT | os.O_WRONLY), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        decoding.limit()
        if foreign.demuxer(source.read_bytes()[:16]) and foreign.is_there():
            converted = source.with_suffix(".flac")
            try:
                foreign.convert(source, converted, name)
            except ValueError as error:
                found: dict[str, Any] = {"error": str(error)}
            else:
                found = decoding.reply(name, str(target), str(converted), str(source.parent / "long"))
        else:
            found = decoding.reply(name, str(target), str(source), str(source.parent / "long"))
        answer.write_text(json.dumps(found))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _share(mutants: list[tuple[int, str, bytes]]) -> list[tuple[str, str, str]]:
    """Kind, outcome and sentence of some mutants, one after the other."""
    found = []
    with tempfile.TemporaryDirectory(prefix="earshot-fuzz-") as place:
        for number, name, data in mutants:
            is_whole_way = number % WHOLE_WAY_EVERY == 0 and foreign.demuxer(data[:16]) is None
            what, said = outcome(name, data) if is_whole_way else forked(name, data, Path(place))
            found.append((Path(name).suffix[1:], what, said))
    return found


def campaign(n: int, seed: int = 0, workers: int = 2) -> dict[str, Any]:
    """Decode `n` mutants; counts by outcome and kind, and the sentences of what went wrong."""
    began = time.monotonic()
    whole = [(number, name, data) for number, (name, data) in enumerate(mutants(n, seed))]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(_share, [whole[number :: workers * 4] for number in range(workers * 4)])
        found = [one for part in parts for one in part]
    counts = Counter(what for _, what, _ in found)
    decoded = counts["decoded"] + counts["decoded with a warning"]
    by_kind = {kind: dict(Counter(what for other, what, _ in found if other == kind)) for kind, _, _ in found}
    return {
        "mutants": n,
        "outcomes": dict(counts),
        "by_kind": by_kind,
        "decoded_share": round(decoded / n, 3),
        "failures": [said for _, what, said in found if what in ("wrong", "crashed", "slow")],
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
    return 1 if report["failures"] or report["decoded_share"] < LEAST_SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
