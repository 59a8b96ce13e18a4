"""Tables behind the charts of data sets, by hand counts; each chart drawn from nothing and from plenty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import datacharts, datasets, stats
from core.datasets import splits


def test_a_label_lies_in_its_cell_and_nine_in_the_last() -> None:
    table = datacharts.coverage_table(np.array([[1.0, 1.0], [9.0, 9.0], [9.0, 9.0], [5.0, 4.9]]))
    assert len(table) == 256 and table["n"].sum() == 4
    cells = {(row.valence, row.arousal): row.n for row in table[table["n"] > 0].itertuples()}
    assert cells == {(1.0, 1.0): 1, (8.5, 8.5): 2, (5.0, 4.5): 1}
    assert ((table["valence_end"] - table["valence"]) == 0.5).all()


def test_corners_are_counted_from_five() -> None:
    table = datacharts.thin_quadrants(np.array([[1, 1], [6, 1], [7, 2], [9, 9]]))
    counts = dict(zip(table["corner"], table["n"], strict=True))
    assert counts == {
        "low valence, high arousal": 0, "low valence, low arousal": 1,
        "high valence, high arousal": 1, "high valence, low arousal": 2,
    }  # fmt: skip
    assert table["n"].is_monotonic_increasing and table["share"].sum() == pytest.approx(1)


def test_classes_are_counted_with_their_names() -> None:
    data = datasets.load("cues-small", "instruments")
    table = datacharts.balance_table(data).set_index("label")
    assert table.loc["cel", "name"] == "cello"
    assert (table["n"] >= 60).all() and table["n"].sum() == data.targets.sum()


@pytest.mark.parametrize("name", ["grouped:0", "cv10:3.2", "official", "all"])
def test_a_split_adds_up_and_no_group_is_counted_twice(name: str) -> None:
    data = datasets.load("cues-small", "instruments")
    parts = splits.assign(data, name)
    table = datacharts.split_table(data, parts)
    assert table["items"].sum() == len(data.items) and table["share"].sum() == pytest.approx(1)
    assert table["groups"].sum() == len(set(data.groups)) and splits.shared_groups(data, parts) == []


def test_groups_that_cross_are_named() -> None:
    data = datasets.load("toy")
    crossing = splits.shared_groups(data, splits.assign(data, "random:0"))
    assert crossing and set(crossing) <= set(data.groups)
    assert "random:0" in splits.offered(data) and splits.offered(data)[0] == data.default_split
    for name in splits.offered(data):
        splits.assign(data, name)  # whatever is offered works


def test_the_ceiling_on_the_page_is_the_one_of_the_ratings() -> None:
    data = datasets.load("cues-small", "emotion")
    table = datacharts.rater_summary(data).set_index("label")
    assert table.loc["valence", "ceiling_r2"] == stats.rater_ceiling(data.raters)["r2_valence"]
    assert (table["ratings_per_item"] == 10).all() and (table["spread"] > 0.5).all()
    assert (
        datacharts.rater_summary(datasets.load("toy")).empty and datacharts.distance_table(datasets.load("toy")).empty
    )


def test_every_chart_draws_nothing_and_plenty_and_says_what_it_shows() -> None:
    data = datasets.load("cues-small", "instruments")
    none = replace(data, items=data.items[:0], groups=data.groups[:0], targets=data.targets[:0])
    colour = "#336699"
    random = np.random.default_rng(0)
    distances = pd.DataFrame({"rater": ["a"] * 900, "distance": random.random(900), "ratings": 20, "far": [True] * 900})
    drawings = [
        datacharts.balance_drawing(datacharts.balance_table(data), colour),
        datacharts.balance_drawing(datacharts.balance_table(none), colour),
        datacharts.coverage_drawing(datacharts.coverage_table(random.uniform(1, 9, (5000, 2))), colour),
        datacharts.coverage_drawing(datacharts.coverage_table(np.zeros((0, 2))), colour),
        datacharts.distance_drawing(distances, colour, colour),
        datacharts.distance_drawing(distances[:0], colour, colour),
    ]
    for drawing in drawings:
        spec = drawing.to_dict()
        assert len(spec["description"]) > 20
