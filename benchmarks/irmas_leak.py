"""The leak of IRMAS, shown: the same classifier on files split at random, and on whole recordings.

    EARSHOT_DATA=… python benchmarks/irmas_leak.py [--seeds 5] [--classifier svm forest] [--processes 2]

Published scores on IRMAS often come from a random split of its 6,705 training files; three of them are cut from one
recording, so nearly every test file has a sibling that was trained on. Here are 98 librosa features of 2,515 files of
four classes (electric and acoustic guitar, violin, trumpet), which a support vector machine tells apart. Each seed is
one 10-fold cross-validation of either kind, by the lab's split `cv10:S.F`, with a file or a recording as the group.
Accuracy is the share of files, each predicted once a seed by a model that was not given it; intervals come from a
bootstrap over recordings of the means over seeds (2,000 resamples, paired: the same recordings for both splits), so
what varies is the music.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402 (the number of threads must be set before)
import sklearn  # noqa: E402
from sklearn.dummy import DummyClassifier  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

from core import paths  # noqa: E402
from core.datasets import Dataset, splits  # noqa: E402
from core.datasets._irmas import class_of_clip, song_of_clip  # noqa: E402

TABLE = "irmas/librosa98_4classes_2515.csv.gz"
BESIDE = ("id", "clip name", "instrument", "instrument_label")  # its names of the classes are spelt in two ways
RESAMPLES = 2000
SPLITS = ("files at random (leak)", "whole recordings")
CLASSIFIERS = {
    "commonest class": lambda: DummyClassifier(),
    "svm": lambda: make_pipeline(StandardScaler(), SVC(C=10.0)),
    "forest": lambda: RandomForestClassifier(300, random_state=0),
}


def table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Names without .wav [n], recordings [n], classes [n], features [n, 98]; ValueError where it is absent."""
    root = paths.data()
    if root is None or not (root / TABLE).exists():
        raise ValueError(f"Set EARSHOT_DATA to a folder that holds {TABLE}.")
    with gzip.open(root / TABLE, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    stems = np.array([row["clip name"].removesuffix(".wav") for row in rows])
    songs = np.array([song_of_clip(stem) for stem in stems])
    classes = np.array([class_of_clip(stem) for stem in stems])
    columns = [column for column in rows[0] if column not in BESIDE]
    return stems, songs, classes, np.array([[float(row[column]) for column in columns] for row in rows])


def folds(groups: np.ndarray, stems: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each file [n], 0 to 9, in which it is tested."""
    dataset = Dataset(
        "irmas", "", "instruments", (), "", stems, groups, np.zeros((len(stems), 0)), (), lambda *_: None, "", "", ""
    )  # type: ignore[arg-type]
    found = np.full(len(stems), -1)
    for fold in range(splits.FOLDS):
        found[splits.assign(dataset, f"cv10:{seed}.{fold}") == "test"] = fold
    assert (found >= 0).all(), "a file was never in the test fold"
    return found


def hits(job: tuple[str, str, int]) -> np.ndarray:
    """Whether each file [n] is told right by the model of the fold in which it was tested."""
    classifier, split, seed = job
    stems, songs, classes, features = table()
    fold_of = folds(songs if split == SPLITS[1] else stems, stems, seed)
    right = np.zeros(len(stems), dtype=bool)
    for fold in range(splits.FOLDS):
        tested = fold_of == fold
        model = CLASSIFIERS[classifier]().fit(features[~tested], classes[~tested])
        right[tested] = model.predict(features[tested]) == classes[tested]
    return right


def report(classifier: str, right: np.ndarray, songs: np.ndarray) -> None:
    """Print the lines of one classifier; `right` [splits, seeds, n]."""
    of_file = right.mean(axis=1)  # [splits, n]
    which = np.unique(songs, return_inverse=True)[1]
    files = np.bincount(which).astype(float)
    sums = np.array([np.bincount(which, weights=one) for one in of_file])  # [splits, songs]
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(files), np.full(len(files), 1 / len(files)), size=RESAMPLES)
    samples = sums @ drawn.T / (drawn @ files)  # [splits, resamples]
    rows = [(split, of_file[i].mean(), samples[i], right[i].mean(axis=1)) for i, split in enumerate(SPLITS)]
    of_seed = right[0].mean(axis=1) - right[1].mean(axis=1)
    rows.append(("the leak", of_file[0].mean() - of_file[1].mean(), samples[0] - samples[1], of_seed))
    for name, value, sample, seeds in rows:
        low, high = np.percentile(sample, [2.5, 97.5])
        spread = f"seeds {seeds.min():.3f} to {seeds.max():.3f}"
        print(f"{classifier:16} {name:24} {value:.3f} [{low:.3f}, {high:.3f}]   {spread}", flush=True)


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--classifier", nargs="+", default=["commonest class", "svm"], choices=list(CLASSIFIERS))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    try:
        stems, songs, classes, features = table()
    except ValueError as error:  # `make bench` goes on where the data is not
        print(f"Skipped: {error}")
        return
    counts = ", ".join(f"{code} {(classes == code).sum():,}" for code in sorted(set(classes)))
    print(f"{len(stems):,} files of {len(set(songs)):,} recordings ({counts}), {features.shape[1]} features; "
          f"{chosen.seeds} × 10-fold; scikit-learn {sklearn.__version__}")  # fmt: skip
    own = folds(stems, stems, 0)
    seen = np.mean([(songs[own != own[i]] == songs[i]).any() for i in range(len(stems))])
    print(f"Split at random, {seen:.1%} of the files are tested by a model that heard their recording.\n")
    started = time.monotonic()
    with ProcessPoolExecutor(chosen.processes) as pool:
        for classifier in chosen.classifier:
            jobs = [(classifier, split, seed) for split in SPLITS for seed in range(chosen.seeds)]
            right = np.array(list(pool.map(hits, jobs))).reshape(len(SPLITS), chosen.seeds, len(stems))
            report(classifier, right, songs)
    print(f"\n({time.monotonic() - started:.0f} s with {chosen.processes} processes)")


if __name__ == "__main__":
    main()
