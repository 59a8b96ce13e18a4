"""Instruments of a source that nothing was learned from: generated sounds, real clips of other sources, or both.

    EARSHOT_DATA=… python benchmarks/leave_source.py [--data cues-fonts] [--takes 2] [--seeds 3] [--network EPOCHS]
    EARSHOT_DATA=… python benchmarks/leave_source.py --runs starter-fonts-committee

Two of the four sources of `folder:instruments` carry a fold: fsdkaggle2018 (cello, clarinet, flute, acoustic guitar,
saxophone, violin; 30 recordings each) and tonejs-instruments (acoustic guitar, electric guitar, piano; notes of one
instrument each). Voice and trumpet have 3 clips and 1 in all: they are untested. A model answers with the highest of
all eleven scores; macro F1 is the mean over the classes of which the fold has 10 clips or more.

Nothing is chosen on a fold. Each recipe is also scored "inside": every source but the one held out is left out in
turn (so that model has seen neither), and the answers are scored together. The recipe with the best score inside is
marked with a star, and its score on the fold is the one to report for that kind of training data.

Intervals are 95 % percentiles of a bootstrap (1,000 resamples of the mean over seeds) over groups within each class. A
class that is one group (all of tonejs) is resampled by clip: such an interval says nothing about other instruments.

`--network` adds instrument_net, its preset for sources it never heard, for that many epochs (12 take a quarter of an
hour of one core for each training), and the committee of the seeds (the trainer `committee`); `--training` and
`--network-only` leave the rest out.

`--runs` asks stored runs that learned from no clip here: of the first 3 s, and of the whole clip as Listen hears it.
Runs ship without their answers to the validation part; `python -m starter.make NAME` makes a run with them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402 (the number of threads must be set before)
import sklearn  # noqa: E402
import torch  # noqa: E402
import torchaudio.functional as AF  # noqa: E402
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.metrics import f1_score, log_loss  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

import trainers  # noqa: E402
from core import (  # noqa: E402
    certainty,
    config,
    datasets,
    evaluation,
    lineage,
    listening,
    paths,
    rundir,
    scored,
)
from core.datasets import IRMAS_CLASSES, Dataset, no_progress, splits  # noqa: E402
from core.events import Done, FitData, Inputs, Part  # noqa: E402
from trainers import _waves, instrument_net  # noqa: E402

REAL = "folder:instruments"
FOLDS = ("fsdkaggle2018", "tonejs-instruments")
TRAINING = ("generated", "real", "generated + real")
RATE_HZ, FFT_SIZE, HOP = 16_000, 1024, 256
FEWEST = 10  # clips of a class, for it to count in macro F1
REAL_SHARE = 0.3  # of what a class is learned from, where generated and real sounds are mixed
FEWEST_REAL = 5  # clips of a class, for them to be mixed in: one clip again and again teaches that clip
RESAMPLES = 1000
BATCH = 32
MEL = AF.melscale_fbanks(FFT_SIZE // 2 + 1, 50.0, 8000.0, 40, RATE_HZ, None, "htk")
COSINES = AF.create_dct(20, 40, "ortho")
FFT_WAVE = 2**16  # an excerpt, and the tail of what is done to it
RECIPES: dict[str, tuple[str, bool]] = {
    "MFCC SVM": ("svm", False),
    "MFCC LDA": ("lda", False),
    "MFCC SVM, disturbed": ("svm", True),
    "MFCC LDA, disturbed": ("lda", True),
}
"""Classifier, and whether the sounds it learns from are disturbed (see `disturbed`)."""
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "svm": lambda: make_pipeline(StandardScaler(), SVC(C=3.0)),
    "lda": lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis("lsqr", shrinkage="auto")),
}

Answers = dict[tuple[str, ...], np.ndarray]
"""Sources left out → the class [n] given to each real clip by a model that heard none of them."""
Tables = dict[bool, tuple[np.ndarray, np.ndarray]]
"""Whether sounds are disturbed → cepstra of the generated and of the real ones."""


@dataclass(frozen=True)
class Sounds:
    """Excerpts of 3 s: `waves` [n, samples] at 16 kHz, `classes` [n], `sources` and `groups` n strings."""

    waves: np.ndarray
    classes: np.ndarray
    sources: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.waves)


def generated(data: str, takes: int) -> Sounds:
    """`takes` generated excerpts of each recording."""
    made = datasets.load(data, "instruments")
    names = [str(item) for item in made.items]
    is_wanted = [made.official[name] == "train" and int(name.rpartition("-")[2]) < takes for name in names]
    return _excerpts(made, np.flatnonzero(is_wanted), {})


def recorded() -> Sounds:
    """The first 3 s of each real clip."""
    real = datasets.load(REAL, "instruments")
    assert real.sources is not None
    return _excerpts(real, np.arange(len(real.items)), dict(zip(real.items, real.sources, strict=True)))


def _excerpts(dataset: Dataset, rows: np.ndarray, source_of: dict[str, str]) -> Sounds:
    part = dataset.rows("wave16k", rows, 3.0, no_progress)
    first = np.unique(part.items, return_index=True)[1]
    sources = np.array([source_of.get(item, "") for item in part.items[first]])
    return Sounds(part.inputs[first], part.targets[first].argmax(axis=1), sources, part.groups[first])


def cepstra(waves: np.ndarray, seed: int | None = None) -> np.ndarray:
    """Mean and deviation of 20 cepstral coefficients over the frames of waves [n, samples] that are at most 35 dB below
    the loudest, without the mean of the first, which is the level: [n, 39]. With a seed each sound is disturbed."""
    noise = torch.Generator().manual_seed(seed or 0)
    window, made = torch.hann_window(FFT_SIZE), []
    for start in range(0, len(waves), BATCH):
        batch = torch.from_numpy(np.array(waves[start : start + BATCH], np.float32))
        batch = batch if seed is None else disturbed(batch, noise)
        power = torch.stft(batch, FFT_SIZE, HOP, window=window, return_complex=True).abs().square()
        level = 10 * torch.log10(power.sum(dim=1) + 1e-12)
        is_heard = (level > level.amax(dim=1, keepdim=True) - 35)[:, None].float()
        bands = 10 * torch.log10(MEL.T @ power + 1e-12)
        bands = torch.maximum(bands, bands.amax(dim=(1, 2), keepdim=True) - 70)
        values, count = COSINES.T @ bands, is_heard.sum(dim=2)
        mean = (values * is_heard).sum(dim=2) / count
        apart = (values - mean[:, :, None]).square() * is_heard
        made.append(torch.cat([mean[:, 1:], (apart.sum(dim=2) / count).sqrt()], dim=1).numpy())
    return np.concatenate(made)


def disturbed(waves: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
    """Excerpts [n, samples] played up to 4 semitones faster or slower, half of them cut to a note or a few, in a room,
    through an equaliser of up to 12 dB and at times a narrower band, with noise from white to brown 12–62 dB below."""
    n, samples = waves.shape
    place = torch.arange(samples)[None] * 2 ** (_waves.uniform(-4, 4, (n, 1), noise) / 12)
    below = place.long().clamp(max=samples - 2)
    share = place - below
    played = waves.gather(1, below) * (1 - share) + waves.gather(1, below + 1) * share
    waves = notes(played * (place <= samples - 1), noise)
    waves = _waves.rooms(waves, 0.8, RATE_HZ, noise)
    bins = FFT_WAVE // 2 + 1
    hz = torch.linspace(0, RATE_HZ / 2, bins)[None]
    power = _waves.equalisers(n, bins, 12.0, RATE_HZ, noise)
    upper, lower = 2500 * 3.2 ** _waves.uniform(0, 1, (n, 1), noise), 40 * 6 ** _waves.uniform(0, 1, (n, 1), noise)
    is_upper, is_lower = (_waves.uniform(0, 1, (n, 1), noise) < 0.4 for _ in range(2))
    power = torch.where(is_upper, power / (1 + (hz / upper) ** 8), power)
    power = torch.where(is_lower, power / (1 + (lower / hz.clamp(min=1e-3)) ** 4), power)
    waves = torch.fft.irfft(torch.fft.rfft(waves, FFT_WAVE) * power.sqrt(), FFT_WAVE)[:, :samples]
    white = torch.fft.rfft(torch.randn((n, FFT_WAVE), generator=noise))
    tilted = torch.fft.irfft(white / (hz + 50) ** _waves.uniform(0, 1, (n, 1), noise), FFT_WAVE)[:, :samples]
    gain = 10 ** (_waves.uniform(-62, -12, (n, 1), noise) / 20)
    return waves + tilted * gain * _waves.level(waves) / _waves.level(tilted)


def notes(waves: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
    """Half of the excerpts [n, samples] cut to 0.35–2.5 s that begin where the sound rises by 7 dB in 40 ms."""
    n, samples = waves.shape
    step = RATE_HZ // 100
    level = 10 * torch.log10(waves.unfold(1, step, step).square().mean(dim=2) + 1e-9)
    level = torch.maximum(level, level.amax(dim=1, keepdim=True) - 45)
    rise = level[:, 4:] - level[:, :-4]
    is_onset = (rise > 7) & (rise >= torch.nn.functional.max_pool1d(rise, 5, 1, 2))
    chances = is_onset.float()
    chances[:, 0] += 1e-6  # where nothing rises: from the beginning
    first = torch.multinomial(chances, 1, generator=noise) * step
    length = 0.35 * (2.5 / 0.35) ** _waves.uniform(0, 1, (n, 1), noise) * RATE_HZ
    place = torch.arange(samples)[None]
    fade = ((length - place) / (0.05 * RATE_HZ)).clamp(0, 1) * (place / 100).clamp(max=1)
    cut = waves.gather(1, (first + place).clamp(max=samples - 1)) * (first + place < samples) * fade
    return torch.where(_waves.uniform(0, 1, (n, 1), noise) < 0.5, cut, waves)


def drawn(kind: str, made: Sounds, real: Sounds, without: tuple[str, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `made` and rows of `real` to learn from, drawn with replacement, none from the sources `without`.

    Every class is as likely as any other; "real" alone has only those that are there. Where both are mixed, a share of
    each class with a few real clips is real, so that no class is told by its sounding real. Real clips of a class are
    drawn by the root of how many its source has.
    """
    generator = np.random.default_rng(seed)
    share = {"generated": 0.0, "real": 1.0, "generated + real": REAL_SHARE}[kind]
    open_rows = np.flatnonzero(~np.isin(real.sources, without))
    classes = np.unique(real.classes[open_rows]) if kind == "real" else np.arange(len(IRMAS_CLASSES))
    generated, recorded = [], []
    for code in classes:
        own = open_rows[real.classes[open_rows] == code]
        n_real = round(share * len(made) / len(classes)) if len(own) >= (1 if kind == "real" else FEWEST_REAL) else 0
        if n_real:
            of_source, counts = np.unique(real.sources[own], return_inverse=True, return_counts=True)[1:]
            likely = 1 / np.sqrt(counts[of_source])
            recorded.append(generator.choice(own, n_real, p=likely / likely.sum()))
        n_made = round(len(made) / len(classes)) - n_real
        generated.append(generator.choice(np.flatnonzero(made.classes == code), n_made if share < 1 else 0))
    none = np.array([], dtype=int)
    return np.concatenate([none, *generated]), np.concatenate([none, *recorded])


def classified(kind: str, learned: np.ndarray, classes: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class [n] that a model of `learned` [m, d] gives to each row of `asked` [n, d]."""
    return CLASSIFIERS[kind]().fit(learned, classes).predict(asked)


def macro_f1(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Macro F1 [resamples] of answers [n] over the classes with enough clips, rows counted `weights` [resamples, n]."""
    weights = np.ones((1, len(truth))) if weights is None else weights
    scores = []
    for code in np.flatnonzero(np.bincount(truth, minlength=len(IRMAS_CLASSES)) >= FEWEST):
        is_it, is_said = truth == code, answers == code
        hits, total = weights @ (is_it & is_said), weights @ is_it.astype(float) + weights @ is_said.astype(float)
        scores.append(2 * hits / np.maximum(total, 1e-9))
    return np.mean(scores, axis=0)


def resamples(real: Sounds, rows: np.ndarray) -> np.ndarray:
    """How often each of the `rows` is drawn [resamples, n]: groups within each class, clips where it is one group."""
    generator = np.random.default_rng(0)
    weights = np.zeros((RESAMPLES, len(rows)))
    for code in np.unique(real.classes[rows]):
        members = np.flatnonzero(real.classes[rows] == code)
        groups = np.unique(real.groups[rows][members], return_inverse=True)[1]
        units = groups if groups.max() > 0 else np.arange(len(members))
        count = units.max() + 1
        weights[:, members] = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)[:, units]
    return weights


def network(epochs: int, made: Sounds, real: Sounds, rows: tuple[np.ndarray, np.ndarray], seed: int) -> np.ndarray:
    """Probabilities [n, classes] that instrument_net gives to each real clip, trained on the rows; a tenth of groups
    validates."""
    waves = np.concatenate([made.waves[rows[0]], real.waves[rows[1]]])
    targets = np.eye(len(IRMAS_CLASSES))[np.concatenate([made.classes[rows[0]], real.classes[rows[1]]])]
    groups = np.concatenate([made.groups[rows[0]], real.groups[rows[1]]])
    names = np.unique(groups)
    held = np.random.default_rng(seed).permutation(names)[: -(-len(names) // 10)]  # rows come twice, groups do not
    parts = []
    for chosen in (~np.isin(groups, held), np.isin(groups, held)):
        items = np.flatnonzero(chosen).astype(str)
        parts.append(Part(waves[chosen], targets[chosen], items, groups[chosen], np.full(len(items), 1.5)))
    given = FitData(parts[0], parts[1], "instruments", IRMAS_CLASSES, "probability", "wave16k", (), 3.0)
    settings = config.make(instrument_net.Config, instrument_net.UNSEEN | {"epochs": epochs})
    for event in instrument_net.fit(given, settings, generator=np.random.default_rng(seed)):
        if isinstance(event, Done):
            asked = Inputs("wave16k", real.waves, np.full(len(real), 1.5))
            return instrument_net.predict(event.model, asked).values
    raise AssertionError("the training ended without a model")


def scores_of_run(run: str, real: Sounds) -> np.ndarray:
    """What a finished run says [n, classes] of each real clip; ValueError where it learned from one of them."""
    folder = rundir.find(run)
    clips = datasets.load(REAL, "instruments")
    lineage.refuse_leak(folder.name, clips, splits.assign(clips, "all"))
    model = evaluation.load_model(folder)
    if (model.input, model.window_s) != ("wave16k", 3.0):
        raise ValueError(f"{run} eats {model.window_s:g} s of {model.input}; here it would be given 3 s of wave16k.")
    asked = Inputs("wave16k", real.waves, np.full(len(real), 1.5))
    return trainers.load(model.trainer).predict(model.model, asked).values


def calibrated(run: str, scores: np.ndarray, real: Sounds, fold: str) -> str:
    """Log loss (nats per label) on a fold of what a run says [n, classes] of whole clips, micro F1 of what it names:
    calibrated on all other sources, as what ships is, and on the run's validation part, where its answers are kept."""
    truth, names, is_it = np.eye(len(IRMAS_CLASSES))[real.classes], np.arange(len(real)), real.sources == fold
    others = scored.of_rows(tuple(IRMAS_CLASSES), names[~is_it], real.sources[~is_it], truth[~is_it], scores[~is_it])
    known = [certainty.fitted_to(others, run, REAL, "all", "other sources")]
    with contextlib.suppress(ValueError):
        known.append(certainty.fitted(evaluation.load_model(rundir.find(run))))
    told = []
    for one in known:
        p = one.probability(scores[is_it])
        loss, named = log_loss(truth[is_it].ravel(), p.ravel()), p >= one.named_from
        f1 = f1_score(truth[is_it], named, average="micro")
        told.append(
            f"by {one.items or 'its validation part'} (× {one.scale:.2f} {one.shift:+.2f}) {loss:.3f}, {f1:.3f}"
        )
    return f"{fold:20} whole clip   log loss per label, micro F1 of what is named: {'; '.join(told)}"


def answers_of(recipe: str, kind: str, made: Sounds, real: Sounds, tables: Tables, seed: int) -> Answers:
    """What one recipe says of every real clip, for both folds and for each choice inside them."""
    classifier, is_disturbed = RECIPES[recipe]
    learned, plain = tables[is_disturbed], tables[False][1]
    found: Answers = {}
    for fold in FOLDS:
        for without in [(fold,), *((fold, other) for other in sorted(set(real.sources)) if other != fold)]:
            key: tuple[str, ...] = () if kind == "generated" else without
            if key not in found:
                rows, others = drawn(kind, made, real, without, seed)
                values = np.concatenate([learned[0][rows], learned[1][others]])
                classes = np.concatenate([made.classes[rows], real.classes[others]])
                found[key] = classified(classifier, values, classes, plain)
            found[without] = found[key]
    return found


def inside(found: Answers, real: Sounds, fold: str) -> float:
    """Macro F1 over the clips of all sources but `fold`, each answered without its own source and without `fold`."""
    answers = np.zeros(len(real), int)
    for other in set(real.sources) - {fold}:
        answers[real.sources == other] = found[fold, other][real.sources == other]
    is_asked = real.sources != fold
    return float(macro_f1(real.classes[is_asked], answers[is_asked])[0])


def line(name: str, kind: str, fold: str, answers: list[np.ndarray], real: Sounds, tail: str) -> str:
    """One line of the table; `answers` holds [n] for each seed."""
    rows = np.flatnonzero(real.sources == fold)
    truth, weights = real.classes[rows], resamples(real, rows)
    values = [float(macro_f1(truth, one[rows])[0]) for one in answers]
    low, high = np.percentile(np.mean([macro_f1(truth, one[rows], weights) for one in answers], axis=0), [2.5, 97.5])
    spread = f"seeds {min(values):.3f} to {max(values):.3f}"
    return f"{fold:20} {kind:12} {name:24} {np.mean(values):.3f} [{low:.3f}, {high:.3f}]  {spread}  {tail}"


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cues-fonts", choices=["cues", "cues-fonts", "cues-small"])
    parser.add_argument("--takes", type=int, default=2, help="generated excerpts of each recording, 1 to 5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--network", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--network-only", action="store_true")
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="ask these (3 s of wave16k), train nothing")
    parser.add_argument("--folds", nargs="+", default=list(FOLDS), choices=FOLDS, help="of the network and of --runs")
    parser.add_argument("--training", nargs="+", default=list(TRAINING), choices=TRAINING)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    root = paths.data()
    if root is None or not (root / "instruments" / "manifest.csv").exists():  # `make bench` goes on where it is not
        print("Skipped: set EARSHOT_DATA to a folder that holds instruments/manifest.csv.")
        return
    real = recorded()
    for fold in FOLDS:
        counts = np.bincount(real.classes[real.sources == fold], minlength=len(IRMAS_CLASSES))
        held = ", ".join(f"{code} {n}" for code, n in zip(IRMAS_CLASSES, counts, strict=True) if n)
        groups = len(set(real.groups[real.sources == fold]))
        print(f"{fold}: {counts.sum()} clips of {groups} groups ({held}); voice and trumpet untested")
    for run in chosen.runs or ():
        scores = scores_of_run(run, real)
        whole = listening.songs(listening.load(run), datasets.load(REAL, "instruments"))
        for fold in chosen.folds:
            print(line(run, "first 3 s", fold, [scores.argmax(axis=1)], real, "not chosen"))
            print(line(run, "whole clip", fold, [whole.argmax(axis=1)], real, "not chosen"))
            print(calibrated(run, whole, real, fold), flush=True)
    if chosen.runs:
        return
    made = generated(chosen.data, chosen.takes)
    print(
        f"{len(made):,} generated excerpts ({chosen.data}), {chosen.seeds} seeds; scikit-learn {sklearn.__version__}\n"
    )
    started = time.process_time()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    tables: Tables = {}
    if not chosen.network_only:
        tables[False] = cepstra(made.waves), cepstra(real.waves)
        tables[True] = cepstra(made.waves, 0), cepstra(real.waves, 1)  # one copy: seeds differ in what is drawn from it
    for kind in chosen.training:
        recipes = () if chosen.network_only else RECIPES
        found = {name: [answers_of(name, kind, made, real, tables, seed) for seed in seeds] for name in recipes}
        for fold in FOLDS if recipes else ():
            scores = {name: float(np.mean([inside(one, real, fold) for one in found[name]])) for name in RECIPES}
            best = max(scores, key=lambda name: scores[name])
            for name in RECIPES:
                tail = f"inside {scores[name]:.3f}{' *' if name == best else ''}"
                print(line(name, kind, fold, [one[fold,] for one in found[name]], real, tail), flush=True)
        if chosen.network:
            for fold in chosen.folds if kind != "generated" else chosen.folds[:1]:
                rows = [drawn(kind, made, real, (fold,), seed) for seed in seeds]
                said = [network(chosen.network, made, real, one, seed) for seed, one in zip(seeds, rows, strict=True)]
                answers, together = [one.argmax(axis=1) for one in said], np.mean(said, axis=0).argmax(axis=1)
                for asked in FOLDS if kind == "generated" else (fold,):
                    name = f"instrument_net, {chosen.network}"
                    print(line(name, kind, asked, answers, real, "not chosen"), flush=True)
                    if len(said) > 1:
                        name = f"committee of {len(said)}"
                        print(line(name, kind, asked, [together], real, "not chosen"), flush=True)
    print(f"\n({time.process_time() - started:.0f} s of one processor)")


if __name__ == "__main__":
    main()
