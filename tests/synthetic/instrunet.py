"""Runs of InstruNet made from what the write-up says of them, and from worlds in which it is not so.

A run's kind is what regularises it. A world says for each kind what its numbers are on average, and how far they
scatter from seed to seed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core.datasets import IRMAS_CLASSES
from core.verdicts import PREDICTED, Runs, no_predictions

PRIOR = 0.3046
EPOCHS = 50
Knobs = tuple[bool, float, float, float]
"""batch_norm, block_dropout, dropout, weight_decay."""
Kinds = tuple[float, float, float]
"""A number with dropout at the head and L2, with dropout in the blocks, and with neither."""

BASELINE, PLAIN, BLOCKS = (False, 0.0, 0.0, 0.0), (True, 0.0, 0.0, 0.0), (True, 0.4, 0.0, 0.0)
HEAD, L2, BOTH = (True, 0.0, 0.4, 0.0), (True, 0.0, 0.0, 1e-4), (True, 0.0, 0.4, 1e-4)
SIX = (BASELINE, PLAIN, BLOCKS, HEAD, L2, BOTH)
ALL = tuple((n, b, d, w) for n in (False, True) for b in (0.0, 0.4) for d in (0.0, 0.4) for w in (0.0, 1e-4))


def regularised(kind: Knobs) -> bool:
    """Whether it has dropout at the head and L2, and no more."""
    return kind[1] == 0 and kind[2] > 0 and kind[3] > 0


def of(numbers: Kinds, kind: Knobs) -> float:
    """The number of this kind, by what regularises it."""
    return numbers[0] if regularised(kind) else numbers[1] if kind[1] > 0 else numbers[2]


@dataclass(frozen=True)
class World:
    """What is so of each kind, and the standard deviation from seed to seed. `plateau` is how many epochs networks
    without batch norm stand at the prior, `taken` the share of saxophones that each seed takes for trumpets, `hits` the
    share of instruments found in polyphonic excerpts, `right` that of excerpts answered rightly where songs are split,
    and where files are."""

    f1: Kinds = (0.65, 0.55, 0.55)
    f1_by_norm: float = 0.2
    f1_sd: float = 0.01
    last: Kinds = (46, 32, 26)
    last_sd: float = 1.5
    train: Kinds = (0.07, 0.05, 0.05)
    validation: Kinds = (0.12, 0.2, 0.2)
    loss_sd: float = 0.004
    wobble: Kinds = (0.002, 0.01, 0.01)
    wobble_sd: float = 0.05
    plateau: float = 20.0
    plateau_sd: float = 1.0
    recall: Kinds = (0.6, 0.35, 0.35)
    recall_sd: float = 0.02
    precise: float = 9
    precise_sd: float = 0.5
    taken: Sequence[float] = (0.4, 0.35, 0.5)
    hits: Kinds = (0.8, 0.5, 0.5)
    hits_sd: float = 0.02
    right: tuple[float, float] = (0.6, 0.95)


def made(
    world: World | None = None,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    cells: Sequence[Knobs] = SIX,
    factorial: bool = False,
    stages: Sequence[str] = ("polyphonic", "leak"),
    songs: int = 12,
    epochs: int = EPOCHS,
    diverged: Sequence[int] = (),
) -> Runs:
    """The six cells, or all sixteen, and these stages, each with these seeds; each class has `songs` songs of two
    excerpts in a part; `diverged` are numbers of runs that did."""
    real = world or World()
    planned = [("main", kind) for kind in cells]
    planned += [("factorial", kind) for kind in ALL if kind not in cells] if factorial else []
    planned += [("polyphonic", kind) for kind in (PLAIN, BOTH)] if "polyphonic" in stages else []
    planned += [("leak", BOTH)] if "leak" in stages else []
    noise = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[pd.DataFrame]] = {"train/loss": [], "validation/loss": []}
    told: dict[str, tuple[str, Knobs, float]] = {}
    for cell, (stage, kind) in enumerate(planned):
        for turn, seed in enumerate(seeds):
            run = f"r{len(rows)}"
            state = "diverged" if len(rows) in diverged else "done"
            rows.append(
                {"run": run, "stage": stage, "cell": cell, "config_id": f"c{cell}", "seed": seed, "state": state,
                 "diverged": state == "diverged", "seconds": 60.0, "epoch_seconds": 1.0, "together": False,
                 "batch_norm": kind[0], "block_dropout": kind[1], "dropout": kind[2], "weight_decay": kind[3],
                 "epochs": epochs, "train/prior_loss": PRIOR, **_finals(real, kind, noise)}
            )  # fmt: skip
            for name, values in _curves(real, kind, epochs, noise).items():
                epoch = np.arange(1.0, len(values) + 1)
                curves[name].append(
                    pd.DataFrame({"run": run, "cell": cell, "seed": seed, "step": 37 * epoch.astype(int),
                                  "epoch": epoch, "value": values})
                )  # fmt: skip
            told[run] = stage, kind, real.taken[turn % len(real.taken)]
    frames = {name: pd.concat(parts, ignore_index=True) for name, parts in curves.items()}
    none = frames["train/loss"][:0]

    @functools.cache
    def predictions(run: str) -> pd.DataFrame:
        """Made when they are asked for, which few checks do."""
        return _predictions(real, *told[run], songs, np.random.default_rng(int(run[1:])))

    def polyphonic(run: str) -> dict[str, Any] | None:
        """A run of the stage has such an evaluation, no other."""
        stage, kind, _ = told.get(run, ("", PLAIN, 0.0))
        return _evaluation(real, kind, songs, np.random.default_rng(int(run[1:]))) if stage == "polyphonic" else None

    return Runs(
        pd.DataFrame(rows), lambda metric: frames.get(metric, none),
        ("batch_norm", "block_dropout", "dropout", "weight_decay"),
        predictions=lambda run: predictions(run) if run in told else no_predictions(run), polyphonic=polyphonic,
    )  # fmt: skip


def _finals(real: World, kind: Knobs, noise: np.random.Generator) -> dict[str, float]:
    f1 = of(real.f1, kind) - real.f1_by_norm * (not kind[0]) + real.f1_sd * noise.standard_normal()
    found = {"test/macro_f1": f1, "test/micro_f1": f1 + 0.02}
    precise = round(real.precise + real.precise_sd * noise.standard_normal())
    for number, label in enumerate(IRMAS_CLASSES):
        found[f"test/recall_{label}"] = of(real.recall, kind) + real.recall_sd * noise.standard_normal()
        found[f"test/precision_{label}"] = 0.8 if number < precise else 0.5
    return found


def _curves(real: World, kind: Knobs, epochs: int, noise: np.random.Generator) -> dict[str, np.ndarray]:
    last = int(np.clip(of(real.last, kind) + real.last_sd * noise.standard_normal(), 5, epochs))
    plateau = 0.0 if kind[0] or not real.plateau else real.plateau + real.plateau_sd * noise.standard_normal()
    wobble = of(real.wobble, kind) * float(np.exp(real.wobble_sd * noise.standard_normal()))
    found = {}
    for name, level in (("train/loss", of(real.train, kind)), ("validation/loss", of(real.validation, kind))):
        end = level + real.loss_sd * noise.standard_normal()
        falls = np.clip(np.arange(1.0, last + 1) - round(max(plateau, 0.0)), 0, None)
        values = end + (PRIOR - end) * np.exp(-falls / 4)
        found[name] = values + (wobble if name == "validation/loss" else 1e-4) * noise.standard_normal(last)
    return found


def _evaluation(real: World, kind: Knobs, songs: int, noise: np.random.Generator) -> dict[str, Any]:
    """What a polyphonic evaluation says of excerpts with two instruments each, two excerpts a song."""
    k = len(IRMAS_CLASSES)
    label = np.arange(2 * songs * k) % k
    truth = np.eye(k)[label] + np.eye(k)[(label + 3) % k]
    share = of(real.hits, kind) + real.hits_sd * noise.standard_normal()
    said = (truth > 0) & (noise.random(truth.shape) < share)
    names = [f"{one}-{number // k // 2}" for number, one in enumerate(label)]
    items = [f"{name}-{number}" for number, name in enumerate(names)]
    return {
        "labels": list(IRMAS_CLASSES),
        "items": {
            "item": items,
            "group": names,
            "truth": truth.astype(int).tolist(),
            "said": said.astype(int).tolist(),
        },
    }


def _predictions(
    real: World, stage: str, kind: Knobs, taken: float, songs: int, noise: np.random.Generator
) -> pd.DataFrame:
    """Excerpts of one instrument for validation and test."""
    k = len(IRMAS_CLASSES)
    sax, tru = IRMAS_CLASSES.index("sax"), IRMAS_CLASSES.index("tru")
    parts = []
    for part in ("validation", "test"):
        for number in range(2 * songs * k):
            label, item = number % k, f"{part}-{number}"
            answer = label if noise.random() < real.right[stage == "leak"] else int(noise.integers(k))
            if label == sax:
                answer = tru if noise.random() < taken else sax
            scores = np.where(np.arange(k) == answer, 0.8, 0.1)
            parts.append((part, item, f"{part}-{label}-{number // k // 2}", np.eye(k)[label], scores))
    return pd.DataFrame(
        {"part": np.repeat([p[0] for p in parts], k), "item": np.repeat([p[1] for p in parts], k),
         "group": np.repeat([p[2] for p in parts], k), "time_s": 0.0, "label": np.tile(IRMAS_CLASSES, len(parts)),
         "truth": np.concatenate([p[3] for p in parts]), "prediction": np.concatenate([p[4] for p in parts])},
        columns=list(PREDICTED),
    )  # fmt: skip


TRUE = World()
ONE_SEED, NO_STAGES = made(seeds=(1,)), made(stages=())


def changed(**values: Any) -> Runs:
    """The six cells and the stages in a world that differs from the write-up's in these."""
    return made(replace(TRUE, **values))


CASES: dict[str, dict[str, Runs]] = {
    "head-not-blocks": {
        "true": made(factorial=True),
        "false": changed(f1=(0.55, 0.6, 0.55)),
        "underpowered": changed(f1_sd=0.12),
        "lacking": made(cells=SIX[:2]),
    },
    "stops-later": {
        "true": made(),
        "false": changed(last=(26, 40, 26)),
        "underpowered": changed(last=(36, 32, 32), last_sd=9.0),
        "lacking": changed(last=(90, 90, 90)),
    },
    "gap-shrinks": {
        "true": made(),
        "false": changed(train=(0.05, 0.05, 0.05), validation=(0.22, 0.2, 0.2)),
        "artefact": changed(train=(0.12, 0.05, 0.05), validation=(0.2, 0.2, 0.2)),
        "underpowered": changed(loss_sd=0.08),
        "lacking": made(epochs=6),
    },
    "steadier": {
        "true": made(),
        "false": changed(wobble=(0.02, 0.01, 0.01)),
        "underpowered": changed(wobble=(0.015, 0.01, 0.01), wobble_sd=0.9),
        "lacking": made(epochs=8),
    },
    "weak-classes": {
        "true": made(),
        "false": changed(recall=(0.05, 0.35, 0.35)),
        "underpowered": changed(recall_sd=0.3),
        "lacking": ONE_SEED,
    },
    "precision": {
        "true": made(),
        "false": changed(precise=3),
        "underpowered": changed(precise=6, precise_sd=3.0),
        "lacking": ONE_SEED,
    },
    "sax-trumpet": {
        "true": made(),
        "false": changed(taken=(0.0, 0.0, 0.0)),
        "underpowered": changed(taken=(0.0, 0.05, 0.6)),
        "lacking": made(songs=1),
    },
    "polyphonic": {
        "true": made(),
        "false": changed(hits=(0.4, 0.8, 0.8)),
        "underpowered": changed(hits=(0.55, 0.5, 0.5), hits_sd=0.3),
        "lacking": NO_STAGES,
    },
    "plateau": {
        "true": made(factorial=True),
        "false": changed(plateau=0.0),
        "underpowered": changed(plateau=7.0, plateau_sd=12.0),
        "lacking": made(epochs=8),
    },
    "batch-norm-first": {
        "true": made(),
        "false": changed(f1_by_norm=0.02),
        "underpowered": changed(f1_sd=0.08),
        "lacking": made(cells=SIX[1:]),
    },
    "leak": {
        "true": made(),
        "false": changed(right=(0.9, 0.5)),
        "underpowered": changed(right=(0.7, 0.72)),
        "lacking": NO_STAGES,
    },
}
