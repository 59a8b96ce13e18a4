"""Lines of equal value on surfaces whose lines are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import contours
from pages import palette


def test_the_line_of_a_bowl_is_a_circle() -> None:
    """x² + y² = 1: every end lies on the unit circle, and the pieces together are 2π long."""
    axis = np.linspace(-1.5, 1.5, 61)
    pieces = contours.segments(axis, axis, axis[None] ** 2 + axis[:, None] ** 2, 1.0)
    ends = np.vstack([pieces[:, :2], pieces[:, 2:]])
    assert np.hypot(*ends.T) == pytest.approx(1.0, abs=1e-3)
    assert np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1]).sum() == pytest.approx(
        2 * np.pi, rel=2e-3
    )


def test_a_saddle_has_two_lines_that_do_not_meet() -> None:
    """x·y = 0.1 on one cell: the middle, 0, lies below, so each high corner is cut off by itself."""
    ends = np.array([-1.0, 1.0])
    pieces = contours.segments(ends, ends, ends[None] * ends[:, None], 0.1)
    assert len(pieces) == 2 and (np.sign(pieces[:, 0]) * np.sign(pieces[:, 1]) > 0).all()
    assert {tuple(np.sign(piece[:2] + piece[2:])) for piece in pieces} == {(1.0, 1.0), (-1.0, -1.0)}


def test_what_is_unknown_has_no_line_and_levels_are_round() -> None:
    axis = np.arange(3.0)
    flat = np.tile(axis, (3, 1))
    flat[1, 1] = np.nan
    assert not len(contours.segments(axis, axis, flat, 0.5))
    assert contours.levels_between(0.0, 1.0).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert contours.levels_between(-745.0, -731.0).tolist() == [-744, -742, -740, -738, -736, -734, -732]
    assert not len(contours.levels_between(1.0, 1.0))


def pairs(rates: list[float], widths: list[float]) -> pd.DataFrame:
    rows = [(f"{a:g}", a, f"{b:g}", np.log10(a) + b / 10) for a in rates for b in widths]
    table = pd.DataFrame(rows, columns=["level", "at", "other", "mean"])
    return table.assign(low=table["mean"], high=table["mean"], n=3)


def test_levels_far_apart_are_interpolated_as_they_are_drawn() -> None:
    """The mean is linear in log rate and width, so its lines are straight there: log₁₀ x + y/10 = value exactly."""
    lines = contours.table(pairs([1e-4, 1e-3, 1e-2, 1e-1], [2, 5, 8]))
    value = lines["value"].to_numpy()
    assert len(lines) and (np.log10(lines["x"]) + lines["y"] / 10).to_numpy() == pytest.approx(value)
    assert (np.log10(lines["x2"]) + lines["y2"] / 10).to_numpy() == pytest.approx(value)
    chart = contours.drawing(
        pairs([1e-4, 1e-3, 1e-2], [2, 5, 8]), "learning_rate", "width", "train/loss", palette.ROLES["light"]
    )
    told = chart.to_dict()
    assert told["description"].startswith("Lines of equal")
    assert told["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_two_levels_or_words_have_no_lines() -> None:
    assert contours.table(pairs([1e-4, 1e-3], [2, 5, 8])).empty
    assert contours.table(pairs([1e-4, 1e-3, 1e-2], [2, 5, 8]).assign(other="adam")).empty
    assert contours.table(pairs([], [])).empty


def test_every_line_is_named_once_and_apart_from_the_others() -> None:
    """A fan of lines through one corner: at their ends all names would stand in one place."""
    steps = np.linspace(1.0, 5.0, 9)
    rows = [(f"{a:g}", a, f"{b:g}", np.arctan2(b - 0.999, a - 0.999)) for a in steps for b in steps]
    table = pd.DataFrame(rows, columns=["level", "at", "other", "mean"])
    lines = contours.table(table.assign(low=table["mean"], high=table["mean"], n=3))
    linear = {"x": False, "y": False}
    named = contours.labels(lines, linear)
    assert sorted(named["value"]) == pytest.approx(sorted(set(lines["value"]))) and len(named) >= 5
    for row in named.itertuples():
        own = lines[lines["value"] == row.value]
        on = np.hypot((own["x"] + own["x2"]) / 2 - row.x, (own["y"] + own["y2"]) / 2 - row.y)
        assert on.min() == pytest.approx(0.0, abs=1e-9)  # on its own line
    across, along = (20 / 4 * named["x"].to_numpy(), 18 / 4 * named["y"].to_numpy())  # in widths and heights of a name
    apart = np.maximum(np.abs(across[:, None] - across), np.abs(along[:, None] - along))
    assert apart[~np.eye(len(named), dtype=bool)].min() > 1.0
    assert contours.labels(lines[:0], linear).empty
