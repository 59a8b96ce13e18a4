"""Seconds for the 164 numbers: through librosa and through core.features, on one thread.

    python benchmarks/features.py [SOUND …] [--repeats 3]

Without files: everything in EARSHOT_DATA/clips that lasts 3 s or longer, at most 45 s of each. librosa runs once
before the clock, so that its compiling is not counted; each time is the median of the repeats. Where the package
`opensmile` is installed, its functionals of eGeMAPSv02 (88 numbers) and ComParE_2016 (6,373) are timed beside them on
one thread: other descriptors, so it says what an established extractor costs, not the same work twice.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core import audio, features, paths

LONGEST_S = 45


def through_librosa(mono: np.ndarray) -> dict[str, np.ndarray]:
    """All 41 descriptors of `mono` at 22,050 Hz by librosa's defaults: [frames], chroma and contrast [bins, frames]."""
    import librosa

    rate = features.RATE_HZ
    mfcc = librosa.feature.mfcc(y=mono, sr=rate, n_mfcc=13)
    delta = librosa.feature.delta(mfcc)
    tonnetz = librosa.feature.tonnetz(y=librosa.effects.harmonic(mono), sr=rate)
    return {
        **{f"mfcc{i + 1}": row for i, row in enumerate(mfcc)},
        **{f"delta_mfcc{i + 1}": row for i, row in enumerate(delta)},
        **{f"tonnetz{i + 1}": row for i, row in enumerate(tonnetz)},
        "chroma": librosa.feature.chroma_stft(y=mono, sr=rate),
        "contrast": librosa.feature.spectral_contrast(y=mono, sr=rate),
        "bandwidth": librosa.feature.spectral_bandwidth(y=mono, sr=rate)[0],
        "rolloff": librosa.feature.spectral_rolloff(y=mono, sr=rate)[0],
        "zcr": librosa.feature.zero_crossing_rate(mono)[0],
        "centroid": librosa.feature.spectral_centroid(y=mono, sr=rate)[0],
        "flatness": librosa.feature.spectral_flatness(y=mono)[0],
        "rms": librosa.feature.rms(y=mono)[0],
        "onset": librosa.onset.onset_strength(y=mono, sr=rate),
    }


def librosa164(mono: np.ndarray) -> np.ndarray:
    """The 164 numbers [164] from librosa's frames."""
    frames = through_librosa(mono)
    parts = [frames[name] for name in features.DESCRIPTORS]
    return np.array([value for part in parts for value in (part.mean(), part.std(), part.min(), part.max())])


def through_opensmile(mono: np.ndarray, repeats: int) -> dict[str, float]:
    """Seconds by feature set for the functionals of `mono` at 22,050 Hz; empty where opensmile is not installed."""
    if importlib.util.find_spec("opensmile") is None:
        return {}
    import opensmile

    found = {}
    for name in ("eGeMAPSv02", "ComParE_2016"):
        smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals, num_workers=1)
        found[name] = seconds(lambda smile=smile: smile.process_signal(mono, features.RATE_HZ), repeats)
    return found


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Time every clip both ways and print the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sounds", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sounds, folder = chosen.sounds, paths.data()
    if not sounds and folder is not None:
        sounds = sorted(path for path in (folder / "clips").iterdir() if path.suffix != ".txt")
    if not sounds:
        raise SystemExit("Name some sound files, or set EARSHOT_DATA.")
    print(
        f"{'clip':42} {'length':>7} {'librosa':>8} {'ours':>8} {'ratio':>6} {'x real time':>11} {'sliding':>8} {'n':>3}"
    )
    ratios = []
    for path in sounds:
        clip = audio.decode(path)
        mono = audio.resample(clip.mono(), clip.sample_rate_hz, features.RATE_HZ)[: LONGEST_S * features.RATE_HZ]
        length_s = len(mono) / features.RATE_HZ
        if length_s < 3:
            continue
        if not ratios:
            librosa164(mono[: 3 * features.RATE_HZ])
            features.lib164(mono[None, : 3 * features.RATE_HZ])
        theirs = seconds(lambda mono=mono: librosa164(mono), chosen.repeats)
        ours = seconds(lambda mono=mono: features.lib164(mono[None]), chosen.repeats)
        starts = np.arange(0, length_s - 3, 0.5)
        sliding = seconds(
            lambda mono=mono, starts=starts: features.pool(features.descriptors(mono), starts, 3.0), chosen.repeats
        )
        smile = through_opensmile(mono, chosen.repeats)
        ratios.append(theirs / ours)
        print(
            f"{clip.name[:42]:42} {length_s:5.1f} s {theirs:6.2f} s {ours:6.3f} s {theirs / ours:6.1f} "
            f"{length_s / ours:11.0f} {sliding:6.3f} s {chosen.repeats:3}"
            + "".join(f"  {name} {taken:.2f} s" for name, taken in smile.items())
        )
    if importlib.util.find_spec("opensmile") is None:
        print("opensmile is not installed here, so it is not timed beside them.")
    print(f"median ratio {np.median(ratios):.1f} over {len(ratios)} clips; sliding: all 3 s windows every 0.5 s")


if __name__ == "__main__":
    main()
