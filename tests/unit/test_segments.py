"""The chosen segment of a control can be read in both themes: WCAG 2's contrast of its colours as they are set."""

from __future__ import annotations

import re
import tomllib

import numpy as np
import pytest

from core import paths
from pages import shared

RULE = re.compile(
    r'\[data-testid="stButtonGroup"\] button\[data-selected\]:not\(\[data-disabled\]\) \{\s*color: inherit; '
    r"background: rgb\((\d+) (\d+) (\d+) / ([\d.]+)\);"
)
"""As specific as the rule of Streamlit 1.67, a class with both attributes, and by the element more so."""


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], dtype=float)


def light(colour: np.ndarray) -> float:
    """Relative luminance of sRGB."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_chosen_segment_can_be_read(name: str) -> None:
    found = RULE.search(shared.STYLE)
    assert found, "the rule of the chosen segment is gone"
    *tint, share = map(float, found.groups())
    theme = tomllib.loads((paths.PROJECT / ".streamlit" / "config.toml").read_text())["theme"][name]
    behind = share * np.array(tint) + (1 - share) * rgb(theme["backgroundColor"])
    assert contrast(rgb(theme["textColor"]), behind) > 7
    assert contrast(rgb("#ffffff"), rgb("#000000")) == pytest.approx(21)
