"""Polyphonic evaluation: what a model that learned from single instruments hears where several sound at once.

Every item is heard in windows, whose scores are put together (core/aggregation.py). Thresholds are chosen on mixtures
of the run's training clips (core/mixtures.py, core/thresholds.py), never on what is scored. The report lies beside the
run in `polyphonic/`, which the index does not read: it ranks nothing. That of a run that ships lies in the cache.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core import (
    aggregation,
    calibration,
    classmetrics,
    datasets,
    evaluation,
    lineage,
    listening,
    mixtures,
    multilabel,
    polygap,
    polyreports,
    polywindows,
    rundir,
    thresholds,
)
from core.datasets import Dataset, Progress, no_progress, splits
from core.polyreports import Settings

SEED = 0
SCORING = 0.95  # how much is done once all is heard


@dataclass(frozen=True)
class _Asked:
    """A run, what it learned from with the part of each item, and the items of `dataset` that it is scored on."""

    model: evaluation.Model
    spec: rundir.Spec
    trained: Dataset
    assignment: np.ndarray
    dataset: Dataset
    chosen: np.ndarray
    settings: Settings


@dataclass(frozen=True)
class _Heard:
    """Thresholds and what sounds in the mixtures that they were chosen on; validation clips (their rows) and items."""

    picked: thresholds.Chosen
    mixed: np.ndarray
    clips: np.ndarray
    on_clips: polywindows.Curves
    on_items: polywindows.Curves


def evaluate(
    run: str, data: str | None = None, settings: Settings | None = None, progress: Progress = no_progress
) -> dict[str, Any]:
    """Score a run (a name as `listening.load` takes it) on polyphonic items of `data`, its own where None.

    Those are the official test items of a data set that has such, the test part of the run's split where it is the
    run's own, else all. Returns the report and keeps it. `progress` may raise to end it. Raises ValueError where the
    run is not for instruments or cannot listen, no item there has several labels, a class list differs, or the run
    learned from what is scored.
    """
    settings = settings or Settings()
    settings.check()
    asked = _asked(run, data, settings)
    heard = _listened(asked, progress)
    progress(SCORING, "Scoring")
    report = _scored(asked, heard)
    report["explained"] = polygap.explained(report["mono"], report["usual"], report["polyphonic"])
    warnings = [*heard.on_items.warnings, *heard.on_clips.warnings]
    report["notes"] = [*_other_data(asked), *_notes(report, warnings)]
    kept = polyreports.write(report)
    progress(1.0, "Scored")
    return kept


def _asked(run: str, data: str | None, settings: Settings) -> _Asked:
    model, folder = listening.load(run), listening.folder_of(run)
    spec = rundir.read_spec(folder)
    if model.task != "instruments":
        raise ValueError(f"Run {model.run} is for {model.task}; a polyphonic evaluation needs one for instruments.")
    if model.window_s >= listening.LONG_WINDOW_S and settings.window_s != model.window_s:
        raise ValueError(
            f"Run {model.run} learned from {model.window_s:g} s at a time and is never given other windows."
        )
    trained = datasets.load(spec.data, spec.task)
    name = datasets.settled(data or spec.data)
    dataset = trained if name == datasets.settled(spec.data) else datasets.load(name, spec.task)
    assignment = splits.assign(trained, spec.split)
    judged = _judged(dataset, assignment if dataset is trained else None)
    _refuse(dataset, judged, tuple(model.model["labels"]), folder.name)
    return _Asked(model, spec, trained, assignment, dataset, np.flatnonzero(judged == "test"), settings)


def _listened(asked: _Asked, progress: Progress) -> _Heard:
    """All that has to be heard, after making the sound that is made here and has not been."""
    both = (asked.trained,) if asked.dataset is asked.trained else (asked.trained, asked.dataset)
    silent = [one for one in both if not polywindows.has_sound(one)]
    for number, one in enumerate(silent):
        polywindows.make_sound(one, _stretch(progress, 0.3 * number / len(silent), 0.3 * (number + 1) / len(silent)))
    rest = _stretch(progress, 0.3 if silent else 0.0, SCORING)

    def listened(of: Dataset, rows: np.ndarray, what: str, begin: float, end: float) -> polywindows.Curves:
        how = asked.settings
        return polywindows.of_items(of, rows, asked.model, how.window_s, how.hop_s, _stretch(rest, begin, end), what)

    picked, mixed = _thresholds(asked, _stretch(rest, 0.0, 0.3))
    clips = _mono(asked.trained, asked.assignment == "validation")
    on_clips = listened(asked.trained, clips, "validation clips", 0.3, 0.45)
    on_items = listened(asked.dataset, asked.chosen, "test items", 0.45, 1.0)
    return _Heard(picked, mixed, clips, on_clips, on_items)


def _scored(asked: _Asked, heard: _Heard) -> dict[str, Any]:
    """The report, but for the sentences about its numbers."""
    dataset, trained, picked, on_items = asked.dataset, asked.trained, heard.picked, heard.on_items
    how, labels = asked.settings, dataset.labels
    of_clips = aggregation.aggregate(heard.on_clips.values, heard.on_clips.counts, how.aggregate)
    scores = aggregation.aggregate(on_items.values, on_items.counts, how.aggregate)
    truth, groups = dataset.targets[asked.chosen], np.asarray(dataset.groups, dtype=str)[asked.chosen]
    said = thresholds.said(scores, picked.values)
    resamples = multilabel.resampled(truth, said, scores, groups)
    half, everything = np.full(truth.shape[1], classmetrics.THRESHOLD), np.ones_like(truth)
    groups_of_clips = np.asarray(trained.groups, dtype=str)[heard.clips]
    return {
        **_about(asked), **asdict(how),
        "n_windows": int(on_items.counts.sum()), "n_silent": int(on_items.is_silent.sum()),
        "n_short": int((on_items.seconds < how.window_s - 0.01).sum()),
        "chosen": _chosen(picked, heard.mixed, labels),
        "polyphonic": _side(truth, scores, groups, picked.values, resamples),
        "usual": _side(truth, scores, groups, half),
        "mono": _side(trained.targets[heard.clips], of_clips, groups_of_clips, half),
        "baseline": multilabel.values(truth, everything, everything),
        "classes": multilabel.class_rows(truth, said, scores, labels, picked.values, resamples),
        "confusion": multilabel.confusion(truth, scores, ~on_items.is_silent).tolist(),
        "missed": dict(zip(("n", "counts", "none"), (a.tolist() for a in multilabel.missed(truth, said)), strict=True)),
        "items": {"item": dataset.items[asked.chosen].tolist(), "group": groups.tolist(),
                  "truth": truth.astype(int).tolist(), "scores": scores.round(5).tolist(),
                  "said": said.astype(int).tolist()},
    }  # fmt: skip


def _about(asked: _Asked) -> dict[str, Any]:
    """Which model was scored on which data."""
    model, dataset = asked.model, asked.dataset
    return {
        "version": polyreports.VERSION, "run": model.run, "trainer": model.trainer, "weights": model.weights,
        "stamp": model.stamp, "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "trained_on": asked.spec.data, "split": asked.spec.split,
        "data": dataset.name, "data_version": dataset.version, "labels": list(dataset.labels),
    }  # fmt: skip


def _judged(dataset: Dataset, assignment: np.ndarray | None) -> np.ndarray:
    """ "test" for the items that are scored. `assignment` is that of the run's split where this is its data set."""
    if dataset.official:
        return np.array(["test" if dataset.official.get(str(item)) == "test" else "" for item in dataset.items])
    if assignment is not None:
        return np.where(assignment == "test", "test", "")
    return np.full(len(dataset.items), "test")


def _refuse(dataset: Dataset, judged: np.ndarray, labels: tuple[str, ...], run: str) -> None:
    if tuple(dataset.labels) != labels:
        raise ValueError(f"Run {run} tells {', '.join(labels)} apart; {dataset.name} has {', '.join(dataset.labels)}.")
    chosen = judged == "test"
    if not ((dataset.targets > 0).sum(axis=1)[chosen] > 1).any():
        raise ValueError(
            f"None of the {int(chosen.sum()):,} items of {dataset.name} to be scored has more than one label, so there "
            "is nothing polyphonic in it; choose another data set, such as cues-small or irmas with its test parts."
        )
    lineage.refuse_leak(run, dataset, judged)


def _mono(trained: Dataset, is_validation: np.ndarray) -> np.ndarray:
    """The validation items with one label; all that have any where none has."""
    n_labels = (trained.targets > 0).sum(axis=1)
    single = np.flatnonzero(is_validation & (n_labels == 1))
    return single if len(single) else np.flatnonzero(is_validation & (n_labels > 0))


def _thresholds(asked: _Asked, progress: Progress) -> tuple[thresholds.Chosen, np.ndarray]:
    """Thresholds, and what sounds in the mixtures [n, classes] that they were chosen on."""
    trained, how = asked.trained, asked.settings
    plans = mixtures.plan(trained, asked.assignment == "train", seed=SEED)
    seconds = mixtures.length_s(how.window_s)
    heard = polywindows.of_sounds(
        mixtures.content(trained, plans, seconds),
        len(plans),
        lambda i: mixtures.sound(trained, plans[i], seconds),
        asked.model,
        how.window_s,
        how.hop_s,
        progress,
        "mixtures of training clips",
    )
    mixed = mixtures.truth(trained, plans)
    scores = aggregation.aggregate(heard.values, heard.counts, how.aggregate)
    return thresholds.choose(how.thresholds, mixed, scores), mixed


def _chosen(picked: thresholds.Chosen, mixed: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    return {
        "values": dict(zip(labels, map(float, picked.values), strict=True)),
        "of_all": picked.of_all,
        "floored": [labels[k] for k in picked.floored],
        "n": picked.n,
        "counts": dict(zip(labels, map(int, picked.counts), strict=True)),
        "labels_per_item": float(mixed.sum(axis=1).mean()),
        "micro_f1": picked.micro_f1,
        "seed": SEED,
    }


def _side(
    truth: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    limits: np.ndarray,
    resamples: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Scores of one kind of items at thresholds `limits` [classes]: n, metrics with intervals, labels, calibration."""
    said = thresholds.said(scores, limits)
    if resamples is None:
        resamples = multilabel.resampled(truth, said, scores, groups) if len(truth) else {}
    found = multilabel.values(truth, said, scores) if len(truth) else {}
    ends = {name: multilabel.interval(resamples.get(name)) for name in found}
    table = calibration.curve(truth, scores)
    return {
        "n_items": len(truth),
        "n_groups": len(set(groups)),
        "metrics": {name: {"value": found[name], "low": ends[name][0], "high": ends[name][1]} for name in found},
        "labels_per_item": float((truth > 0).sum(axis=1).mean()) if len(truth) else 0.0,
        "said_per_item": float(said.sum(axis=1).mean()) if len(truth) else 0.0,
        "calibration": {
            "bins": table.to_dict("records"), "error": calibration.error(table), "bias": calibration.bias(table),
        },
    }  # fmt: skip


def _notes(report: dict[str, Any], warnings: list[str]) -> list[str]:
    """What to keep in mind with these numbers."""
    notes, n = [], report["polyphonic"]["n_items"]
    if report["n_silent"]:
        notes.append(f"{report['n_silent']} of {n} items are silent: nothing is predicted for them.")
    if report["n_short"]:
        notes.append(f"{report['n_short']} of {n} items are shorter than one window of {report['window_s']:g} s.")
    mixed, there = report["chosen"]["labels_per_item"], report["polyphonic"]["labels_per_item"]
    if mixed > 1.25 * there:
        notes.append(
            f"The mixtures have {mixed:.1f} labels each and the items {there:.1f}: thresholds chosen where labels are "
            "more common lie lower than would be best here."
        )
    if report["chosen"]["floored"]:
        names = ", ".join(datasets.INSTRUMENT_NAMES.get(label, label) for label in report["chosen"]["floored"])
        notes.append(f"In fewer than {thresholds.FEWEST} mixtures, and so at the floor of thresholds: {names}.")
    if report["aggregate"] == "sum-max":
        notes.append("Sums divided by the largest are no probabilities: read the calibration curve with that in mind.")
    if not report["mono"]["n_items"]:
        notes.append("The run's split has no validation clip to set beside these scores.")
    if report["polyphonic"]["n_groups"] < 2:
        notes.append("All items are of one group, so no interval can be given.")
    return [*notes, *dict.fromkeys(warnings)]


def _other_data(asked: _Asked) -> list[str]:
    """Where thresholds and validation clips are of other data than what is scored, or than the run learned from."""
    trained, dataset, notes = asked.trained, asked.dataset, []
    name, other = evaluation.short_name(trained.name), evaluation.short_name(dataset.name)
    if dataset is not trained:
        notes.append(
            f"Thresholds and validation clips are of {name}, what is scored is of {other}: some of what lies between "
            "them is the data's."
        )
    events, _ = rundir.read_events(listening.folder_of(asked.spec.id))
    learned = next((event["version"] for event in events if event["kind"] == "data"), trained.version)
    if learned != trained.version:
        notes.append(
            f"The run learned from version {learned} of {name}; mixtures and validation clips are of the one that is "
            f"here, {trained.version}."
        )
    return notes


def _stretch(progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of the work that takes all of it from `begin` to `end`."""
    return lambda fraction, sentence: progress(begin + (end - begin) * fraction, sentence)
