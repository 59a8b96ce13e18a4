"""How sure a run's scores are: what turns them into probabilities, fitted once on the run's own validation part, or,
for what ships to hear recordings, on recordings that it did not learn from. Where no fit is truer of groups that it did
not see than the scores are, they are the probabilities.

A score of .9 need not come true nine times in ten: a network that learned its training part by heart is too sure, one
that learned from smoothed labels not sure enough. Here p = σ(scale · logit(score) + shift), one scale and one shift for
all classes, fitted to Platt's smoothed targets (Platt 1999, Probabilistic outputs for support vector machines): two
numbers can be learned from a hundred items, where a curve for each class would follow chance. What is learned is true
of sounds like those of that part; of others it is a guess.

Kept as plain JSON under the content of the weights, so that the first page needs neither pandas nor scikit-learn.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core import classmetrics, evaluation, paths, rundir, scored

VERSION = 2
"""Raised where the numbers would come out otherwise: what was kept before is fitted again."""

FEWEST_ITEMS, FEWEST_PRESENT = 20, 10
"""Items, and labels that are there, below which two numbers cannot be told from chance."""

LOWEST, HIGHEST = 0.3, 0.5
"""From which probability on a class is named lies between these. On probabilities the best F1 is never reached above a
half (Lipton, Elkan & Naryanaswamy 2014); without the lower end a model that knows nothing would name every class."""

EDGE = 1e-6  # scores nearer to 0 or 1 count as that near
FOLDS, FEWEST_GROUPS = 5, 3


@dataclass(frozen=True)
class Certainty:
    """What makes probabilities of a run's scores, and how it was found.

    `named_from` is the probability from which a class is named: where micro F1 on the items is best. `loss_before` and
    `loss_after` (nats per label) are mean log losses of scores and of a fit, each group's from a fit to the other
    groups; None where there are too few groups. Where the fit does not lose less, it is not used: scale 1, shift 0.
    `items` says in words what was fitted to; empty where it is the run's validation part. Else `data` and `split` are
    those of the items.
    """

    run: str
    data: str
    split: str
    scale: float
    shift: float
    named_from: float
    n_items: int
    n_groups: int
    loss_before: float | None
    loss_after: float | None
    items: str = ""
    version: int = VERSION

    @property
    def is_fitted(self) -> bool:
        """Whether probabilities are anything else than the scores."""
        return (self.scale, self.shift) != (1.0, 0.0)

    def probability(self, scores: np.ndarray | float) -> np.ndarray:
        """Probabilities of scores of any shape; NaN stays NaN."""
        return _sigmoid(self.scale * _logit(np.asarray(scores, dtype=float)) + self.shift)

    @property
    def named_from_score(self) -> float | None:
        """The score at which the probability is `named_from`; None where scores say nothing (scale 0)."""
        if self.scale <= 0:
            return None
        return float(_sigmoid((_logit(np.array(self.named_from)) - self.shift) / self.scale))


def of(model: evaluation.Model) -> tuple[Certainty | None, str]:
    """The calibration of a model, and an empty text; or None, and why there is none, as the end of a sentence.

    Read where it is kept, else fitted to the run's stored validation predictions and kept.
    """
    if "@" in model.run or model.weights != "final":
        return None, "only the final weights of a run are"
    for place in (kept(), shipped()):
        found = _read(place / f"{model.stamp}.json")
        if found is not None:
            return found, ""
    try:
        made = fitted(model)
    except ValueError as error:
        return None, str(error)
    _write(kept(), model, made)
    return made, ""


def fitted(model: evaluation.Model) -> Certainty:
    """Fit to the run's stored validation predictions; ValueError, the end of a sentence, where they will not do."""
    folder = rundir.find(model.run)
    spec, path = rundir.read_spec(folder), folder / "predictions.parquet"
    one = scored.read(path, "validation")
    with contextlib.suppress(FileNotFoundError):
        if (folder / "checkpoints" / "final.safetensors").stat().st_mtime_ns > path.stat().st_mtime_ns:
            raise ValueError("its stored predictions are older than its weights")
    return fitted_to(one, spec.id, spec.data, spec.split)


def fitted_to(one: scored.Scored, run: str, data: str, split: str, items: str = "") -> Certainty:
    """Fit to what `run` says of these items of that data and split; `items` are words for them, empty where they are
    the run's validation part. ValueError, the end of a sentence, where they are too few."""
    n_there = int((one.truth > 0).sum())
    if len(one) < FEWEST_ITEMS or n_there < FEWEST_PRESENT or n_there > one.truth.size - FEWEST_PRESENT:
        what = "what it was asked about" if items else "its validation part"
        raise ValueError(f"{what} has only {len(one)} items with {n_there} labels")
    scale, shift = fit(one.truth, one.scores)
    before, after = held_out_losses(one)
    if before is not None and after is not None and after >= before:
        scale, shift = 1.0, 0.0
    best = classmetrics.threshold_f1(one.truth, _sigmoid(scale * _logit(one.scores) + shift))
    named_from = float(np.clip(best, LOWEST, HIGHEST))
    n_groups = len(set(one.groups))
    return Certainty(run, data, split, scale, shift, named_from, len(one), n_groups, before, after, items)


def fit(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Scale (never below 0) and shift with the greatest likelihood of truth [n, classes] given scores [n, classes].

    Scores that rise where the truth falls, or never change, say nothing: scale 0, and the base rate as the shift.
    """
    z, is_there = _logit(np.asarray(scores, dtype=float)).ravel(), np.asarray(truth).ravel() > 0
    n_there, n_absent = int(is_there.sum()), int((~is_there).sum())
    wanted = np.where(is_there, (n_there + 1) / (n_there + 2), 1 / (n_absent + 2))
    base = float(_logit(wanted.mean()))
    if np.ptp(z) < 1e-9:
        return 0.0, base
    columns = np.column_stack([z, np.ones_like(z)])
    at = np.array([0.0, base])
    loss = _loss(columns @ at, wanted)
    for _ in range(100):  # Newton's method; the loss is convex, and a step that is too long is halved
        p = _sigmoid(columns @ at)
        gradient = columns.T @ (p - wanted)
        curvature = (columns * (p * (1 - p))[:, None]).T @ columns + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while _loss(columns @ (at - step), wanted) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        at = at - step
        loss = _loss(columns @ at, wanted)
        if np.abs(step).max() < 1e-10:
            break
    return (float(at[0]), float(at[1])) if at[0] > 0 else (0.0, base)


def held_out_losses(one: scored.Scored) -> tuple[float | None, float | None]:
    """Mean log loss of the scores as they are and of probabilities, nats per label; a group's come from the others."""
    names, which = np.unique(one.groups, return_inverse=True)
    if len(names) < FEWEST_GROUPS:
        return None, None
    fold, logits = which % FOLDS, np.zeros_like(one.scores)
    for number in range(min(FOLDS, len(names))):
        scale, shift = fit(one.truth[fold != number], one.scores[fold != number])
        logits[fold == number] = scale * _logit(one.scores[fold == number]) + shift
    is_there = (one.truth > 0).astype(float)
    return _loss(_logit(one.scores), is_there) / is_there.size, _loss(logits, is_there) / is_there.size


def kept() -> Path:
    """Where calibrations are kept."""
    return paths.cache() / "calibrations"


def shipped() -> Path:
    """Where those of the shipped runs lie, whose predictions do not ship."""
    return paths.starter() / "calibrations"


def ship(model: evaluation.Model, known: Certainty | None = None) -> Path:
    """Put what is known, or else a fit to the run's validation part, where it ships, in place of that of other weights
    of this run."""
    known = known or fitted(model)
    for path in shipped().glob("*.json"):
        before = _read(path)
        if before is None or before.run == model.run:
            path.unlink()
    return _write(shipped(), model, known)


def _read(path: Path) -> Certainty | None:
    try:
        found = Certainty(**json.loads(path.read_text(encoding="utf-8")))
        numbers = np.array([found.scale, found.shift, found.named_from], dtype=float)
    except (OSError, ValueError, TypeError):  # not fitted yet, damaged, or of another version
        return None
    is_whole = found.version == VERSION and np.isfinite(numbers).all() and found.scale >= 0 < found.named_from < 1
    return found if is_whole else None


def _write(folder: Path, model: evaluation.Model, made: Certainty) -> Path:
    """Keep a calibration; a cache that cannot be written costs time later, not the result now."""
    path = folder / f"{model.stamp}.json"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        rundir.write_json(path, asdict(made))
    return path


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, EDGE, 1 - EDGE)
    return np.log(p) - np.log1p(-p)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))


def _loss(logits: np.ndarray, wanted: np.ndarray) -> float:
    """Cross-entropy in nats, summed."""
    return float((np.logaddexp(0, logits) - wanted * logits).sum())
