"""The charts of a study's table: where each mark lies, and what is left out."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from core import studycharts
from pages import palette

NAN = float("nan")
ROWS = pd.DataFrame(
    {
        "optimizer": ["sgd", "sgd", "adam", "adam"],
        "learning_rate": [0.0001, 0.1, 0.0001, 0.1],
        "published": [-520.0, -967.0, -745.0, -1420.0],
        "published_sd": [0.0, 18.0, NAN, 13.0],
        "measured": [-519.0, -953.0, -746.0, NAN],
        "low": [-521.0, -976.0, NAN, NAN],
        "high": [-517.0, -930.0, NAN, NAN],
        "n": [3, 3, 1, 0],
    }
)
"""Published and measured as the encoder study has them; the intervals are round numbers."""


def table() -> pd.DataFrame:
    return studycharts.beside_table(ROWS, ("optimizer", "learning_rate"), 1.0).set_index("name")


def test_a_difference_is_told_in_published_deviations_of_half_a_digit_or_more() -> None:
    found = table()
    assert list(found.index) == ["sgd · 0.0001", "sgd · 0.1", "adam · 0.0001", "adam · 0.1"]
    rounded = found.loc["sgd · 0.0001"]  # ± 0 printed: half of the last digit, 0.5
    assert (rounded["published_low"], rounded["published_high"]) == (-520.5, -519.5)
    assert (rounded["in_sd"], rounded["in_sd_low"], rounded["in_sd_high"]) == (2.0, -2.0, 6.0)
    assert found.loc["sgd · 0.1", "in_sd"] == pytest.approx(14 / 18)
    assert found.loc["sgd · 0.1", "in_sd_low"] == pytest.approx(-9 / 18)
    assert math.isnan(found.loc["adam · 0.0001", "in_sd"]) and math.isnan(found.loc["adam · 0.1", "in_sd"])
    assert list(studycharts.told_in_sd(found.reset_index())["name"]) == ["sgd · 0.0001", "sgd · 0.1"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_charts_say_their_numbers_to_who_cannot_see_them(theme: str) -> None:
    made = table().reset_index()
    whole = studycharts.beside_drawing(made, "train/loss", palette.ROLES[theme]).to_dict()
    said = "sgd · 0.1: published −967, ours −953; adam · 0.0001: published −745, ours −746; adam · 0.1: published −1,420, ours not run."  # noqa: E501
    assert whole["description"].endswith(said) and whole["title"] == "Train loss, published and ours"
    (data,) = whole["datasets"].values()
    drawn = pd.DataFrame(data)
    assert sorted(drawn["value"]) == [-1420, -967, -953, -746, -745, -520, -519]  # what was not run has no mark
    apart = studycharts.sd_drawing(made, "train/loss", palette.ROLES[theme]).to_dict()
    assert "1 of 2 means within ± 1. sgd · 0.0001: +2.0; sgd · 0.1: +0.8." in apart["description"]
    assert "symlog" not in json.dumps(apart)


def test_few_far_cells_do_not_flatten_the_others() -> None:
    far = studycharts.beside_table(ROWS.assign(measured=[-200.0, -953, -746, NAN]), ("optimizer", "learning_rate"), 1.0)
    assert "symlog" in json.dumps(studycharts.sd_drawing(far, "train/loss", palette.ROLES["light"]).to_dict())


def test_pictures_of_a_report_hold_every_cell_also_without_a_run() -> None:
    made = table().reset_index()
    picture = studycharts.beside_figure(made, "train/loss")
    assert all(name in picture for name in made["name"]) and "no data" not in picture
    assert picture.count("<circle") == 7
    assert studycharts.sd_figure(made, "train/loss").count("<circle") == 2
    empty = made.assign(
        **{name: np.nan for name in ("measured", "low", "high", "in_sd", "in_sd_low", "in_sd_high")}, n=0
    )
    assert "sgd · 0.1" in studycharts.beside_figure(empty, "train/loss")
    assert studycharts.sd_drawing(empty, "x", palette.ROLES["light"]).to_dict()["description"].startswith("X: our")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_legend_is_as_hollow_as_the_marks(theme: str) -> None:
    whole = studycharts.beside_drawing(table().reset_index(), "train/loss", palette.ROLES[theme]).to_dict()
    (points,) = (layer for layer in whole["layer"] if layer["mark"]["type"] == "point")
    fill, stroke, shape = (points["encoding"][channel] for channel in ("fill", "stroke", "shape"))
    inside = dict(zip(fill["scale"]["domain"], fill["scale"]["range"], strict=True))
    assert inside[studycharts.PUBLISHED] == "transparent" and inside[studycharts.OURS] == stroke["scale"]["range"][1]
    # Vega draws one legend of channels that share all of this, and the marks take the same scales.
    assert len({(str(one["scale"]["domain"]), one["title"], str(one["legend"])) for one in (fill, stroke, shape)}) == 1
