"""The gap explained: shares add up to it, and a side that did not change has none."""

from __future__ import annotations

from typing import Any

import pytest

from core import polygap


@pytest.mark.parametrize("after", [(0.8, 0.3), (0.4, 0.8), (0.5, 0.5), (0.9, 0.9), (0.0, 0.0), (1.0, 0.1)])
def test_shares_add_up(after: tuple[float, float]) -> None:
    of_precision, of_recall = polygap.shares((0.8, 0.8), after)
    assert of_precision + of_recall == pytest.approx(polygap.f1(*after) - 0.8)
    assert (of_precision == 0) == (after[0] == 0.8)
    assert (of_recall == 0) == (after[1] == 0.8)


def test_both_alike_share_alike() -> None:
    assert polygap.shares((0.8, 0.8), (0.5, 0.5)) == pytest.approx((-0.15, -0.15))


def side(precision: float, recall: float, bias: float, said: float, labels: float) -> dict[str, Any]:
    scores = {"f1": polygap.f1(precision, recall), "precision": precision, "recall": recall}
    return {
        "metrics": {f"micro_{name}": {"value": value} for name, value in scores.items()},
        "n_items": 40, "labels_per_item": labels, "said_per_item": said,
        "calibration": {"error": abs(bias), "bias": bias},
    }  # fmt: skip


def test_the_sentence_says_where_it_was_lost() -> None:
    mono, usual, chosen = side(0.8, 0.8, 0.02, 1.0, 1.0), side(0.8, 0.4, -0.1, 1.2, 2.4), side(0.7, 0.7, -0.1, 2.4, 2.4)
    assert polygap.explained(mono, usual, chosen) == (
        "At the usual threshold of 0.5 micro F1 is .53 on polyphonic items (n = 40) and .80 on validation clips (n = "
        "40): .27 lower. Recall (.80 → .40) accounts for −.27, precision (.80 → .80) for +.00. Of 2.4 labels an item "
        "1.2 are said; the thresholds chosen on mixtures make it 2.4, and micro F1 .70 (precision .70, recall .70). "
        "Scores are .10 too low on average (.02 too high on validation); the calibration error is .10 where it was .02."
    )
    assert polygap.explained(mono | {"metrics": {}}, usual, chosen) == ""
