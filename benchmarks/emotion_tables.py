"""Ridge, SVR and boosted trees on DEAM's tables: grouped 10-fold, repeated, against the mean and the raters' ceiling.

    EARSHOT_DATA=… python benchmarks/emotion_tables.py [--data deam deam-opensmile] [--repeats 5] [--processes 2]

Every song is predicted once per repeat by a model that never saw it (train 8 folds, validate 1, test 1). Scores are
means over the repeats; intervals and differences come from a paired bootstrap by song (1,000 resamples), the same
songs for every trainer, so what varies is the songs and not the folds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402 (the number of threads must be set before)

import trainers  # noqa: E402
from core import config, datasets, metrics, stats  # noqa: E402
from core.datasets import no_progress, splits  # noqa: E402
from core.events import Done, FitData, Inputs  # noqa: E402

TRAINERS = ("ridge", "svr", "boosted_trees")
NAMES = ("r2_valence", "r2_arousal", "ccc_valence", "ccc_arousal")


def out_of_fold(trainer: str, data: str, repeat: int) -> np.ndarray:
    """Predictions [n, 2] for every song, each by the model of the fold in which it was test."""
    dataset, module = datasets.load(data, "emotion"), trainers.load(trainer)
    name = dataset.inputs[0]
    found = np.full(dataset.targets.shape, np.nan)
    for fold in range(splits.FOLDS):
        part_of = splits.assign(dataset, f"cv10:{repeat}.{fold}")
        parts = {p: dataset.rows(name, np.flatnonzero(part_of == p), 0.0, no_progress) for p in splits.PARTS}
        fit_data = FitData(parts["train"], parts["validation"], "emotion", dataset.labels, dataset.unit, name)
        generator = np.random.default_rng(repeat)
        for event in module.fit(fit_data, config.make(module.Config), generator=generator, device="cpu"):
            if isinstance(event, Done):
                inputs = Inputs(name, parts["test"].inputs, parts["test"].times_s)
                found[part_of == "test"] = module.predict(event.model, inputs).values
    assert np.isfinite(found).all(), "a song was never in the test fold"
    return found


def collect(data: str, repeats: int, processes: int) -> dict[str, list[np.ndarray]]:
    """Out-of-fold predictions of every trainer and repeat, computed in child processes."""
    jobs = list(itertools.product(TRAINERS, range(repeats)))
    found: dict[str, list[np.ndarray]] = {trainer: [] for trainer in TRAINERS}
    running: list[tuple[str, subprocess.Popen]] = []
    while jobs or running:
        while jobs and len(running) < processes:
            trainer, repeat = jobs.pop(0)
            words = [sys.executable, __file__, "--child", trainer, data, str(repeat)]
            running.append((trainer, subprocess.Popen(words, stdout=subprocess.PIPE)))
        trainer, child = running.pop(0)
        blob, _ = child.communicate()
        assert child.returncode == 0, f"{trainer} failed"
        found[trainer].append(np.frombuffer(blob).reshape(-1, 2))
    return found


def report(data: str, found: dict[str, list[np.ndarray]]) -> None:
    """Print the table of one data set and the paired differences."""
    dataset = datasets.load(data, "emotion")

    def both(prediction: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        place = ("emotion", dataset.targets, prediction, dataset.labels, dataset.items)
        return metrics.score(*place), stats.resampled_scores(*place, dataset.groups, seed=0)

    print(f"\n{data}: {len(dataset.items)} songs, {len(found['ridge'])} × grouped 10-fold")
    print(f"{'':16}" + "".join(f"{name:>26}" for name in NAMES))
    samples: dict[str, dict[str, np.ndarray]] = {}
    mean = metrics.score(
        "emotion", dataset.targets, metrics.baseline("emotion", dataset.targets, len(dataset.items)), dataset.labels
    )
    print(f"{'predict the mean':16}" + "".join(f"{mean.get(name, 0.0):26.3f}" for name in NAMES))
    for trainer, predictions in found.items():
        scored = [both(prediction) for prediction in predictions]
        samples[trainer] = {name: np.mean([sample[name] for _, sample in scored], axis=0) for name in NAMES}
        cells = []
        for name in NAMES:
            value = np.mean([score[name] for score, _ in scored])
            low, high = np.percentile(samples[trainer][name], [2.5, 97.5])
            cells.append(f"{value:8.3f} [{low:.3f}, {high:.3f}]".rjust(26))
        print(f"{trainer:16}" + "".join(cells))
    print(f"{'ceiling (raters)':16}" + "".join(f"{dataset.ceiling.get(name, np.nan):26.3f}" for name in NAMES))
    for first, second in itertools.combinations(TRAINERS, 2):
        cells = []
        for name in NAMES:
            difference = samples[second][name] - samples[first][name]
            low, high = np.percentile(difference, [2.5, 97.5])
            cells.append(f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]".rjust(26))
        print(f"{second} − {first}: " + "".join(cells))


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["deam", "deam-opensmile", "deam-opensmile-405"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        trainer, data, repeat = chosen.child
        sys.stdout.buffer.write(out_of_fold(trainer, data, int(repeat)).tobytes())
        return
    for data in chosen.data:
        started = time.monotonic()
        report(data, collect(data, chosen.repeats, chosen.processes))
        print(f"({time.monotonic() - started:.0f} s with {chosen.processes} processes)", flush=True)


if __name__ == "__main__":
    main()
