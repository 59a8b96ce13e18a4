"""The spectrogram of a sound as a chart with axes: a picture of one pixel a value, drawn once, and its scales."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core import spectrogram

COLUMNS, ROWS, DEPTH_DB = 220, 96, 80.0
HEIGHT = 190

VIRIDIS = (
    (68, 1, 84), (72, 40, 120), (62, 73, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
    (110, 206, 88), (181, 222, 43), (253, 231, 37),
)  # fmt: skip
"""Ten stops of matplotlib's viridis (CC0), the darkest first; the player has the same."""


@dataclass(frozen=True)
class Picture:
    """A spectrogram as a PNG in a `data:` address, and what its edges are."""

    url: str
    seconds: float
    low_hz: float
    high_hz: float


def picture(mono: np.ndarray, sample_rate_hz: int) -> Picture:
    """The picture of one channel [samples]: time to the right, frequency upwards in equal musical steps, 80 dB deep."""
    seconds = len(mono) / sample_rate_hz
    columns = max(1, min(COLUMNS, len(mono)))
    levels, frequencies_hz, _ = spectrogram.spectrogram_db(mono, sample_rate_hz, columns, ROWS, DEPTH_DB)
    indices = np.rint((levels[::-1] / DEPTH_DB + 1) * 255).astype(np.uint8)  # the first row of a PNG is the top one
    half_step = np.sqrt(frequencies_hz[1] / frequencies_hz[0])
    low_hz, high_hz = float(frequencies_hz[0] / half_step), float(frequencies_hz[-1] * half_step)
    url = f"data:image/png;base64,{base64.b64encode(png(indices)).decode('ascii')}"
    return Picture(url, seconds, low_hz, high_hz)


def drawing(shown: Picture, what: str) -> alt.LayerChart | alt.FacetChart:
    """The picture between its axes; `what` is whose spectrogram it is, for who cannot see it."""
    middle = pd.DataFrame(
        {"url": [shown.url], "s": [shown.seconds / 2], "hz": [np.sqrt(shown.low_hz * shown.high_hz)], "db": [0.0]}
    )
    ticks = [hz for hz in (100, 200, 500, 1000, 2000, 5000, 10_000) if shown.low_hz <= hz <= shown.high_hz]
    x = alt.X("s:Q", scale=alt.Scale(domain=[0, shown.seconds], nice=False), title="s", axis=alt.Axis(grid=False))
    y = alt.Y(
        "hz:Q",
        scale=alt.Scale(type="log", domain=[shown.low_hz, shown.high_hz], nice=False),
        title="Hz",
        axis=alt.Axis(values=ticks, format="~s", grid=False),
    )
    # As large as the room between the axes turns out to be: whoever shows a chart may fit it into less.
    size: dict[str, Any] = {"width": alt.ExprRef("width"), "height": alt.ExprRef("height")}
    image = alt.Chart(middle).mark_image(aspect=False, **size).encode(x=x, y=y, url="url:N")
    colour = alt.Color(
        "db:Q",
        scale=alt.Scale(scheme="viridis", domain=[-DEPTH_DB, 0]),
        legend=alt.Legend(title="dB", gradientLength=HEIGHT // 2, values=[-80, -40, 0]),
    )
    key = alt.Chart(middle).mark_point(opacity=0).encode(x=x, y=y, color=colour)  # for its legend alone
    about = f"Spectrogram of {what}: {shown.seconds:.1f} s, {shown.low_hz:.0f} to {shown.high_hz:.0f} Hz."
    return alt.layer(image, key).properties(height=HEIGHT, description=about)


def png(indices: np.ndarray) -> bytes:
    """A PNG of pixels [height, width] from 0 (darkest) to 255 in viridis. Source: PNG specification (ISO 15948)."""
    assert indices.ndim == 2 and indices.dtype == np.uint8, (indices.shape, indices.dtype)
    height, width = indices.shape
    stops = np.linspace(0, 255, len(VIRIDIS))
    colours = np.stack([np.interp(np.arange(256), stops, [stop[c] for stop in VIRIDIS]) for c in range(3)], axis=1)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1)  # each line begins with "no filter"
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"PLTE", np.rint(colours).astype(np.uint8).tobytes())]
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
