"""Why scores on polyphonic music lie below those on single instruments: in precision, in recall, in calibration."""

from __future__ import annotations

from typing import Any

from core import wording


def shares(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    """What precision and recall each add to F1(after) − F1(before); the two add up to that difference.

    `before` and `after` are (precision, recall). Each is changed alone, before and after the other, and the mean of
    both is its share: Shapley's value. Source: Shapley 1953, in Contributions to the Theory of Games II, 307–317.
    """
    (p0, r0), (p1, r1) = before, after
    of_precision = (f1(p1, r0) - f1(p0, r0) + f1(p1, r1) - f1(p0, r1)) / 2
    of_recall = (f1(p0, r1) - f1(p0, r0) + f1(p1, r1) - f1(p1, r0)) / 2
    return of_precision, of_recall


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean; 0 where both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def explained(mono: dict[str, Any], polyphonic: dict[str, Any]) -> str:
    """The gap in a sentence or two, from two sides of a report; "" where one of them has no micro F1."""
    names = ("micro_f1", "micro_precision", "micro_recall")
    if not all(name in side["metrics"] for side in (mono, polyphonic) for name in names):
        return ""
    (f0, p0, r0), (f1_, p1, r1) = ([side["metrics"][name]["value"] for name in names] for side in (mono, polyphonic))
    of_precision, of_recall = shares((p0, r0), (p1, r1))
    text = (
        f"Micro F1 is {_number(f1_)} on polyphonic items (n = {polyphonic['n_items']}) and {_number(f0)} on validation "
        f"clips (n = {mono['n_items']}): {_number(abs(f1_ - f0))} {'lower' if f1_ < f0 else 'higher'}. Recall "
        f"({_number(r0)} → {_number(r1)}) accounts for {_signed(of_recall)}, precision ({_number(p0)} → {_number(p1)}) "
        f"for {_signed(of_precision)}. Of {polyphonic['labels_per_item']:.1f} labels an item "
        f"{polyphonic['said_per_item']:.1f} are said, where it was {mono['said_per_item']:.1f} of "
        f"{mono['labels_per_item']:.1f}."
    )
    return f"{text} {_calibrated(mono['calibration'], polyphonic['calibration'])}"


def _calibrated(mono: dict[str, Any], polyphonic: dict[str, Any]) -> str:
    way = "too high" if polyphonic["bias"] > 0 else "too low"
    was = "too high" if mono["bias"] > 0 else "too low"
    return (
        f"Scores are {_number(abs(polyphonic['bias']))} {way} on average ({_number(abs(mono['bias']))} {was} on "
        f"validation); the calibration error is {_number(polyphonic['error'])} where it was {_number(mono['error'])}."
    )


def _number(value: float) -> str:
    return wording.share_text(value)


def _signed(value: float) -> str:
    text = wording.share_text(value)
    return text if text.startswith("−") else f"+{text}"
