"""Tables behind the charts of a polyphonic evaluation, and every drawing from nothing and from plenty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core import calibration, multilabel, polycharts, polyreports
from core.datasets import IRMAS_CLASSES
from pages import palette

COLOURS = palette.ROLES["light"]
N = len(IRMAS_CLASSES)


def side(truth: np.ndarray, said: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    found = multilabel.values(truth, said, scores) if len(truth) else {}
    bins = calibration.curve(truth, scores).to_dict("records")
    return {
        "n_items": len(truth),
        "metrics": {name: {"value": value, "low": None, "high": None} for name, value in found.items()},
        "calibration": {"bins": bins},
    }


def report(truth: np.ndarray, scores: np.ndarray, run: str = "a") -> dict[str, Any]:
    limits = np.full(N, 0.5)
    said = (scores >= limits).astype(int)
    groups = [str(i) for i in range(len(truth))]
    drawn = multilabel.resampled(truth, said, scores, groups, 50)
    n, counts, none = multilabel.missed(truth, said)
    return {
        "run": run, "data": "d", "data_version": "1", "labels": list(IRMAS_CLASSES),
        "classes": multilabel.class_rows(truth, said, scores, IRMAS_CLASSES, limits, drawn),
        "mono": side(truth[:0], said[:0], scores[:0]), "polyphonic": side(truth, said, scores),
        "confusion": multilabel.confusion(truth, scores, np.ones(len(truth), bool)).tolist(),
        "missed": {"n": n.tolist(), "counts": counts.tolist(), "none": none.tolist()},
        "items": {"item": groups, "group": groups, "truth": truth.tolist(), "scores": scores.tolist(),
                  "said": said.tolist()},
    }  # fmt: skip


@pytest.fixture
def plenty() -> dict[str, Any]:
    random = np.random.default_rng(2)
    truth = (random.random((60, N)) < 0.2).astype(int)
    truth[:, 10] = 0  # no voice anywhere
    truth[:20] = np.eye(N, dtype=int)[random.integers(0, 10, 20)]
    scores = np.clip(0.4 * truth + 0.6 * random.random((60, N)), 0, 1)
    scores[:, 0] = 0.1  # a cello is never said
    return report(truth, scores)


def test_classes_say_what_is_special(plenty: dict[str, Any]) -> None:
    table = polycharts.class_table(plenty).set_index("name")
    assert len(table) == N and table.loc["cello", "text"].endswith("never predicted")
    assert table.loc["cello", "value"] == 0.0 and np.isnan(table.loc["voice", "value"])
    assert table.loc["voice", "text"].startswith("in 0, in no item")


def test_rows_of_what_is_taken_for_what_are_shares(plenty: dict[str, Any]) -> None:
    single = polycharts.confusion_table(plenty)
    assert single.groupby("row")["share"].sum().to_numpy() == pytest.approx(1.0)
    assert single["n"].sum() >= 20 and not single["row"].str.startswith("voice").any()
    missed = polycharts.missed_table(plenty)
    assert set(missed["column"]) == {*map(polycharts.name, IRMAS_CLASSES), polycharts.NONE}
    cello = missed[missed["row"].str.startswith("cello")]
    assert cello["total"].unique() == [plenty["missed"]["n"][0]]
    assert (cello[cello["is_same"]]["share"] == 0).all()  # what is there is never said in its own place


def test_every_drawing_from_plenty(plenty: dict[str, Any]) -> None:
    other = report(np.array(plenty["items"]["truth"]), np.array(plenty["items"]["scores"])[:, ::-1].copy(), "b")
    compared = polyreports.compare(plenty, other)
    differences = polycharts.difference_table(compared)
    assert differences["name"].tolist()[-2:] == list(polycharts.TOTALS.values())
    drawings = [
        polycharts.class_drawing(polycharts.class_table(plenty), COLOURS),
        polycharts.calibration_drawing(polycharts.calibration_table(plenty), COLOURS),
        polycharts.cells_drawing(polycharts.confusion_table(plenty), "A", "b", COLOURS),
        polycharts.cells_drawing(polycharts.missed_table(plenty), "A", "b", COLOURS),
        polycharts.difference_drawing(differences, "a", "b", COLOURS),
    ]
    for drawing in drawings:
        spec = drawing.to_dict()
        assert spec["title"] and len(spec["description"]) > 40


def test_every_drawing_from_nothing() -> None:
    empty = report(np.zeros((1, N), dtype=int), np.zeros((1, N)))
    empty["polyphonic"]["calibration"]["bins"] = []
    for drawing in (
        polycharts.class_drawing(polycharts.class_table(empty), COLOURS),
        polycharts.calibration_drawing(polycharts.calibration_table(empty), COLOURS),
        polycharts.cells_drawing(polycharts.confusion_table(empty), "A", "b", COLOURS),
        polycharts.cells_drawing(polycharts.missed_table(empty), "A", "b", COLOURS),
    ):
        assert drawing.to_dict()["title"]
