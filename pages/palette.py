"""One colour per role for both themes, the contrast they must keep, and a colour for each run.

A colour is never the only carrier: training is solid and validation dashed, synthetic is drawn hollow in the grey of
real, a comparison run is dashed, and names stand beside lines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any

LOWEST_CONTRAST = 3.0  # WCAG 2.2, success criterion 1.4.11: graphical objects

ROLES: dict[str, dict[str, Any]] = {
    "light": {
        "valence": "#0072b2",
        "arousal": "#cc4e00",
        "generator": "#8446b5",
        "discriminator": "#0b7d55",
        "real": "#6a7276",
        "synthetic": "#6a7276",
        "train": "#33586e",
        "validation": "#a2477c",
        "runs": ["#2b6cb0", "#b8500c", "#6b4bb3", "#2f7d32", "#b0285f", "#7d6a00", "#00808a", "#5b6268"],
    },
    "dark": {
        "valence": "#56a8e0",
        "arousal": "#f07f3c",
        "generator": "#b98ae6",
        "discriminator": "#3fbd8b",
        "real": "#9aa4a9",
        "synthetic": "#9aa4a9",
        "train": "#8fb4ca",
        "validation": "#dd8bb8",
        "runs": ["#5fa8e8", "#f2894b", "#ab93f0", "#7cc46a", "#ee7fa8", "#d3b53d", "#3fc4c4", "#a9b1b6"],
    },
}

BACKGROUND = {"light": "#fafaf8", "dark": "#14191c"}
"""The page behind the charts, as in .streamlit/config.toml: for what must cover lines."""

RAMP = {
    "light": ["#440154", "#3b528b", "#21918c", "#3f9a45", "#8f8a00"],
    "dark": ["#8a7be0", "#5b8fd6", "#2fa8a0", "#5ec962", "#fde725"],
}
"""Low to high for thin lines: viridis without the end that is lost on the page."""


def contrast(first: str, second: str) -> float:
    """Contrast of two colours like "#0072b2", 1 to 21, the same either way round.

    Source: WCAG 2.2, "contrast ratio" and "relative luminance". Raises ValueError for anything but #rrggbb.
    """
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def run_colour(identity: str, taken: Collection[str] = (), theme: str = "light") -> str:
    """The colour of a run or configuration: the same on every page, in every session, on every machine.

    `taken` are colours of that theme already in use beside it: the next free one is chosen, and once all eight are in
    use the own one is used again (then the dash or the label tells them apart).
    """
    runs = ROLES[theme]["runs"]
    first = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") % len(runs)
    in_order = [runs[(first + offset) % len(runs)] for offset in range(len(runs))]
    return next((colour for colour in in_order if colour not in taken), in_order[0])


def _luminance(colour: str) -> float:
    if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise ValueError(f"{colour!r} is not a colour; write it like #0072b2")
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
