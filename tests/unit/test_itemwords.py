"""Validation of single instruments beside a test of mixes: counted by hand, told wherever both scores stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core import cards, evaluation, itemwords, rundir, runview
from core.datasets import Dataset
from core.events import Inputs, Prediction
from core.itemwords import Items
from core.store import memory_store
from tests import made_runs

LABELS_OF_TEST = (1, 2, 3, 1, 2, 3, 3, 3)  # 18 labels on 8 items, two of them alone


def mixes() -> tuple[Dataset, np.ndarray]:
    """Twelve items with one label each, of which four validate, and eight of `LABELS_OF_TEST` that are the test."""
    dataset = made_runs.stand_in("cues", "instruments", "lib164", 3.0, n=20)
    targets = np.zeros((20, len(dataset.labels)))
    for item, n in enumerate([1] * 12 + list(LABELS_OF_TEST)):
        targets[item, (item + np.arange(n)) % len(dataset.labels)] = 1
    assignment = np.array(["train"] * 8 + ["validation"] * 4 + ["test"] * 8)
    made = dataset.rows

    def rows(input: str, indices: Any, window_s: float, progress: Any) -> Any:
        return replace(made(input, indices, window_s, progress), targets=targets[np.asarray(indices)])

    return replace(dataset, targets=targets, rows=rows), assignment


def report() -> dict[str, Any]:
    def predict(model: dict[str, Any], inputs: Inputs, *, device: str) -> Prediction:
        values = np.full((len(inputs.values), 11), 0.1)
        return Prediction(inputs.times_s, values, dataset.labels, "probability", [])

    dataset, assignment = mixes()
    model = evaluation.Model("run", "ridge", "instruments", "cues", "lib164", 3.0, {}, "final")
    found, _ = evaluation.evaluate(SimpleNamespace(predict=predict), model, dataset, assignment)  # type: ignore[arg-type]
    return found | {"split": "official", "is_leaky": False}


def test_a_report_counts_labels_and_the_items_of_accuracy() -> None:
    parts = report()["parts"]
    assert parts["validation"]["labels_per_item"] == 1.0 and parts["test"]["labels_per_item"] == 18 / 8
    assert (parts["test"]["n_items"], parts["test"]["metrics"]["accuracy"]["n_items"]) == (8, 2)
    assert parts["validation"]["metrics"]["accuracy"]["n_items"] == 4
    assert "n_items" not in parts["test"]["metrics"]["macro_f1"]
    having = [parts["test"]["metrics"][f"recall_{label}"]["n_items"] for label in mixes()[0].labels[1:]]
    assert having == mixes()[0].targets[12:, 1:].sum(axis=0).tolist() and sum(having) == 18
    assert "recall_cel" not in parts["test"]["metrics"]  # of a class that no item has there is none
    assert itemwords.of_report(report()) == {"validation": Items(4, 4, 1.0), "test": Items(8, 2, 2.25)}


def test_the_index_and_the_card_say_the_same(cache: Path) -> None:
    spec = rundir.Spec("run", "ridge", {}, "cues", "instruments", "official", 0, "cpu")
    folder = rundir.create(spec)
    rundir.write_json(folder / "evaluations" / "cues-official.json", report())
    index = memory_store()
    assert itemwords.of_scores(index.scores(["run"])) == itemwords.of_report(report())
    n_items = index.scores(["run"]).query("part == 'test'").set_index("metric")["n_items"]
    assert (n_items["accuracy"], n_items["macro_f1"]) == (2, 8)
    by_class = runview.per_label(index.scores(["run"]).query("part == 'test'")).set_index("label")["n"]
    assert by_class.sum() == 18 and by_class["tru"] == 3
    old = index.scores(["run"]).query("part == 'test'").assign(n_items=8)  # of a version that did not count
    assert "n" not in runview.per_label(old)
    index.close()
    model = evaluation.Model("run", "ridge", "instruments", "cues", "lib164", 3.0, {}, "final")
    card = cards.card(folder, mixes()[0], model)
    (row,) = (line for line in card.splitlines() if line.startswith("| test | accuracy |"))
    assert row.endswith("| 2 |")
    assert "a validation item has 1.0 instruments on average, a test item 2.2" in card
    assert "Accuracy counts only items with exactly one label: 2 of 8 test items." in card
    assert f"Items of each class in test: clarinet {by_class['cla']:.0f}, flute 1, acoustic" in card


def test_a_card_keeps_apart_what_was_scored_on_which_data(cache: Path) -> None:
    folder = rundir.create(rundir.Spec("run", "ridge", {}, "cues", "instruments", "official", 0, "cpu"))
    model = evaluation.Model("run", "ridge", "instruments", "cues", "lib164", 3.0, {}, "final")
    test_only = {"test": report()["parts"]["test"]}
    for data, split in (("cues", "official"), ("cues", "random:0"), ("/somewhere/band", "all")):
        scored = report() | {"data": data, "split": split, "is_leaky": split == "random:0"}
        scored |= {} if data == "cues" else {"parts": test_only}
        rundir.write_json(folder / "evaluations" / f"{data.replace('/', '-')}-{split[:6]}.json", scored)
    card = cards.card(folder, mixes()[0], model)
    places = [line for line in card.splitlines() if line.startswith("**On ")]
    assert places == [
        "**On cues**, split `official`:",
        "**On band**, which it did not learn from, split `all`:",
        "**On cues**, split `random:0` (which leaks: items of one group lie on both sides of it):",
    ]
    own, band, _ = (part.partition("**Limits")[0] for part in card.split("**On ")[1:])
    assert "| validation |" in own and "| validation |" not in band and band.count("| test | accuracy |") == 1
    heir = replace(rundir.read_spec(folder), id="heir", data="cues-small", inputs={"base": "gone"})
    stands_on_it = rundir.create(heir)
    rundir.write_json(stands_on_it / "evaluations" / "band.json", report() | {"data": "folder:/some/band/"})
    assert "**On band**, split `official`:" in cards.card(stands_on_it, mixes()[0], model)  # of one gone nobody knows
    assert "Validation and test ask for different things" in own and "different things" not in band
    assert "not from players" in card and "a model of listeners" not in card  # instruments are known, not judged


@pytest.mark.parametrize(
    ("validation", "test", "tells"),
    [(1.0, 2.5, True), (2.0, 1.0, True), (1.0, 1.2, False), (None, 2.5, False), (1.0, None, False), (0.0, 0.0, False)],
)
def test_only_parts_of_different_kind_are_told_of(validation: float | None, test: float | None, tells: bool) -> None:
    parts = {"validation": Items(9, labels=validation), "test": Items(9, labels=test)}
    assert bool(itemwords.unlike(parts, "instruments")) is tells
    assert itemwords.sentences({"test": Items(9, 9, 1.0)}, "digits") == []


def test_a_report_that_nobody_counted_says_nothing(cache: Path) -> None:
    old = report()
    for scores in old["parts"].values():
        del scores["labels_per_item"], scores["metrics"]["accuracy"]["n_items"]
    folder = rundir.create(rundir.Spec("run", "ridge", {}, "cues", "instruments", "official", 0, "cpu"))
    rundir.write_json(folder / "evaluations" / "cues-official.json", old)
    index = memory_store()
    assert itemwords.of_scores(index.scores(["run"])) == {"validation": Items(4), "test": Items(8)}
    assert itemwords.sentences(itemwords.of_report(old), "instruments") == []
    index.close()


def test_classes_of_few_items_are_named_where_a_mean_hangs_on_them() -> None:
    """Of the 8 test items 18 labels: by hand, every class has 1 to 3 but the first, which none has."""
    found = itemwords.of_report(report())["test"]
    counts = dict(zip(mixes()[0].labels, mixes()[0].targets[12:].sum(axis=0).astype(int).tolist(), strict=True))
    assert dict(found.few) == {label: n for label, n in counts.items() if n}
    assert [n for _, n in found.few] == sorted(n for _, n in found.few)
    told = itemwords.rare(Items(397, 397, 1.0, (("tru", 1), ("voi", 3))), "test")
    assert told == (
        "Macro scores count every class alike, also those of which there are few test items: trumpet 1, voice 3."
    )
    assert itemwords.rare(Items(397, 397, 1.0), "test") == "" == itemwords.rare(Items(9, few=(("tru", 1),)), "test")
    assert itemwords.rare(found, "test").endswith(f" and {len(found.few) - 6} more.")
