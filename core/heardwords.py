"""Which instruments a model heard in a whole clip, in words: the same on the page and in the terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core import ancestors, certainty, evaluation, rundir
from core.datasets import INSTRUMENT_NAMES

LEAST_SCORE = 0.3
"""Where scores are not calibrated and all are lower, saying nothing is more honest than naming the best."""

MOST = 3
SUREST = 0.994  # nothing here is known so well that it is 1.00


@dataclass(frozen=True)
class Said:
    """What is said of a clip.

    `words` are the names that reach the threshold, the best first, three with their numbers and then how many more, or
    that none does; `note` says what the numbers are. `scores` has every class in the model's order, `probability` too
    where the scores are calibrated. `threshold` is in the unit of the words, `threshold_score` the same as a score
    (None where no score reaches it). Where nothing in the clip has a pitch (`has_pitch`), no class is named, whatever
    its score, and there is no probability; of silence there is no note either.
    """

    words: str
    note: str
    scores: dict[str, float]
    probability: dict[str, float] | None
    threshold: float
    threshold_score: float | None
    has_pitch: bool = True

    @property
    def named(self) -> list[str]:
        """The classes that reach the threshold, in the model's order."""
        shown = self.probability or self.scores
        if not self.has_pitch:
            return []
        return [label for label, number in shown.items() if number >= self.threshold]


def of(model: evaluation.Model, song: Mapping[str, float], has_pitch: bool = True) -> Said:
    """Words for the clip's scores `song`, label → mean score over the clip (0 to 1; NaN where it is silent), where
    something in the clip has a pitch or not (core/pitch.py)."""
    return say(song, *certainty.of(model), has_pitch)


def say(song: Mapping[str, float], known: certainty.Certainty | None, why: str = "", has_pitch: bool = True) -> Said:
    """`of`, with the calibration `known`, or without one, `why` being the end of a sentence."""
    scores = {label: float(score) for label, score in song.items()}
    threshold_score: float | None
    if known is None:
        numbers, probability, threshold, threshold_score = scores, None, LEAST_SCORE, LEAST_SCORE
        note = (
            f"Scores, not calibrated{f': {why}' if why else ''}. A class is named whose score over the whole clip is "
            f"{LEAST_SCORE:.2f} or more."
        )
    else:
        probability = dict(zip(scores, map(float, known.probability(np.array(list(scores.values())))), strict=True))
        numbers, threshold, threshold_score = probability, known.named_from, known.named_from_score
        those = f"{known.n_items:,} {known.items or f'validation items of {known.data}'}"
        how = (
            f"Probabilities, calibrated on {those}: true of sounds like those, a guess for others."
            if known.is_fitted
            else f"Probabilities: on {those} its scores came true about as often as they say, and no calibration made "
            "them truer; of other sounds they are a guess."
        )
        note = f"{how} A class is named whose probability over the whole clip is {threshold:.2f} or more."
    if not has_pitch:
        numbers, probability = scores, None
        note = "All that it knows have a pitch: whatever it scores here, no instrument is named."
    if not np.isfinite(list(scores.values())).all():
        note = ""
    shown = numbers if probability is None else {label: min(p, SUREST) for label, p in probability.items()}
    words = _words(shown, threshold, has_pitch)
    return Said(words, note, scores, probability, threshold, threshold_score, has_pitch)


def for_a_while(said: Said, labels: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """The classes that windows reach the threshold with and the whole clip does not, each with its share of the windows
    that can be heard; most first. `values` are scores [windows, classes], NaN where it is silent."""
    heard = values[np.isfinite(values).all(axis=1)]
    if said.threshold_score is None or not said.has_pitch or not len(heard):
        return {}
    shares = dict(zip(labels, (heard >= said.threshold_score).mean(axis=0).tolist(), strict=True))
    brief = {label: share for label, share in shares.items() if share > 0 and label not in said.named}
    return dict(sorted(brief.items(), key=lambda pair: -pair[1]))


def while_words(shares: Mapping[str, float], is_any_named: bool = True) -> str:
    """What `for_a_while` found, a sentence, beside words that name a class or none; "" where that is nothing."""
    told = [f"{INSTRUMENT_NAMES.get(label, label)} ({_percent(share)})" for label, share in shares.items()]
    if not told:
        return ""
    more = f", and {len(told) - MOST} more" if len(told) > MOST else ""
    head = (
        "Heard in some of its windows" if is_any_named else "That is of the whole clip; in some of its windows it hears"
    )
    return f"{head}: {', '.join(told[:MOST])}{more}."


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{min(round(100 * share), 99)} %"


def _words(numbers: Mapping[str, float], threshold: float, has_pitch: bool) -> str:
    if not numbers or not np.isfinite(list(numbers.values())).all():
        return "it is silent"
    best = sorted(numbers.items(), key=lambda pair: -pair[1])[:MOST]
    named = [_one(*pair) for pair in best if pair[1] >= threshold and has_pitch]
    if named:
        more = sum(number >= threshold for number in numbers.values()) - len(named)
        return ", ".join(named) + (f", and {more} more" if more else "")
    count = "eleven" if len(numbers) == len(INSTRUMENT_NAMES) else f"{len(numbers)} it knows"
    if not has_pitch:
        return f"none of the {count}, or not music: nothing in it has a pitch"
    return f"none of the {count}, or not music (highest: {_one(*best[0])})"


def _one(label: str, number: float) -> str:
    return f"{INSTRUMENT_NAMES.get(label, label)} {number:.2f}"


def on_other_data(model: evaluation.Model) -> str:
    """How often the highest score of the run was right on data of another kind than it learned from, by the evaluations
    that are kept beside it; "" where there are none."""
    found = []
    try:
        folder = rundir.find(model.run.partition("@")[0])
    except ValueError:  # deleted since it was heard
        return ""
    for path in sorted((folder / "evaluations").glob("*.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            part, name = report["parts"]["test"], str(report["data"])
            score = part["metrics"]["accuracy"]
            if not ancestors.may_know(folder.name, name):
                found.append(f"{evaluation.short_name(name)} {_share(score)} (n = {part['n_items']:,})")
        except (OSError, ValueError, TypeError, KeyError):  # damaged, or of another task
            continue
    if not found:
        return ""
    return (
        f"On data that it did not learn from, its highest score was right in this share of clips: {', '.join(found)}."
    )


def made_of(model: evaluation.Model) -> str:
    """The other runs whose weights are in this one's, a sentence; "" where there are none."""
    inputs = rundir.read_spec(rundir.find(model.run.partition("@")[0])).inputs.values()
    seeds: dict[str, list[str]] = {}
    for run in inputs:
        spec = None
        with contextlib.suppress(ValueError):  # its weights are here all the same
            spec = next(ancestors.of(run), None)
        if spec is None:
            seeds[f"{run}, which cannot be read any more"] = []
        else:
            seeds.setdefault(f"{spec.trainer} on {spec.data}", []).append(str(spec.seed))
    kinds = [f"{kind}, seed{'s' * (len(of) > 1)} {', '.join(of)}" if of else kind for kind, of in seeds.items()]
    return f"Made of {len(inputs)} other run{'s' * (len(inputs) > 1)} ({'; '.join(kinds)})." if inputs else ""


def _share(score: Mapping[str, float | None]) -> str:
    ends = score["low"], score["high"]
    inside = f" [{ends[0]:.2f}, {ends[1]:.2f}]" if None not in ends else ""
    return f"{score['value']:.2f}{inside}"
