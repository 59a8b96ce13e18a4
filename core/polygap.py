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


def explained(mono: dict[str, Any], usual: dict[str, Any], chosen: dict[str, Any]) -> str:
    """The gap in a few sentences: sides of a report, single clips and polyphonic items at the usual threshold of 0.5,
    and those items at the chosen ones. "" where one of them has no micro F1."""
    names = ("micro_f1", "micro_precision", "micro_recall")
    sides = (mono, usual, chosen)
    if not all(name in side["metrics"] for side in sides for name in names):
        return ""
    (f0, p0, r0), (f1_, p1, r1), (f2, p2, r2) = ([side["metrics"][name]["value"] for name in names] for side in sides)
    of_precision, of_recall = shares((p0, r0), (p1, r1))
    return (
        f"At the usual threshold of 0.5 micro F1 is {_number(f1_)} on polyphonic items (n = {usual['n_items']:,}) and "
        f"{_number(f0)} on validation clips (n = {mono['n_items']:,}): {_number(abs(f1_ - f0))} "
        f"{'lower' if f1_ < f0 else 'higher'}. "
        f"Recall ({_number(r0)} → {_number(r1)}) accounts for {_signed(of_recall)}, "
        f"precision ({_number(p0)} → {_number(p1)}) for {_signed(of_precision)}. Of {usual['labels_per_item']:.1f} "
        f"labels an item {usual['said_per_item']:.1f} are said; the thresholds chosen on mixtures make it "
        f"{chosen['said_per_item']:.1f}, and micro F1 {_number(f2)} (precision {_number(p2)}, recall {_number(r2)}). "
        f"{_calibrated(mono['calibration'], usual['calibration'])}"
    )


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
