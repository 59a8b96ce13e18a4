"""Small static pictures as SVG text, for a report that must open anywhere: no script, no fonts, no network.

A plot is a few layers on two axes. Colours stand in the drawing; lines and text follow the colour of the page's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

WIDTH, RIGHT, TOP, BOTTOM = 720, 18, 60, 44
DASHES = ("", "6 3", "2 2", "8 3 2 3", "4 4", "1 3")
LETTER = 6.3
"""Width of a letter of the labels, in pixels, about."""


@dataclass(frozen=True)
class Axis:
    """Title, and what it measures: "linear", "log", or evenly spaced `names` (values are then their places 0, 1, …)."""

    title: str
    kind: str = "linear"
    names: Sequence[str] = ()
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layer:
    """`kind` "dots" (x, y), "line" (x, y), "band" (x, y to y2) or "rules" (from x, y to x2, y2); arrays of one length.

    What is not finite is left out. Layers with a `name` stand in the legend.
    """

    kind: str
    x: np.ndarray
    y: np.ndarray
    x2: np.ndarray | None = None
    y2: np.ndarray | None = None
    colour: str = "#33586e"
    name: str = ""
    size: float = 3.0
    opacity: float = 1.0
    dash: str = ""
    titles: Sequence[str] = field(default_factory=tuple)


def plot(title: str, layers: Sequence[Layer], x: Axis, y: Axis, *, height: int = 300) -> str:
    """The picture as SVG text, its title and layers told to screen readers. Layers without a finite point are nothing;
    with none at all the picture says "no data"."""
    told = [_cleaned(layer, x, y) for layer in layers]
    told = [layer for layer in told if len(layer.x)]
    left = 24 + LETTER * max([len(_short(name)) for name in y.names] or [8])
    height = max(height, TOP + BOTTOM + 20 * len(y.names)) if y.names else height
    box = (left, float(TOP), float(WIDTH - RIGHT), float(height - BOTTOM))
    across = _scale(x, _extent(told, "x", "x2", x), box[0], box[2])
    up = _scale(y, _extent(told, "y", "y2", y), box[3], box[1])
    if y.names:  # the first name on top
        up = _Scale(up.low, up.high, box[1], box[3], up.is_log)
    parts = [_text(8, 18, title, weight=600, size=13)]
    parts += _axes(x, y, across, up, box)
    parts += [mark for layer in told for mark in _marks(layer, across, up)]
    parts += _legend([layer for layer in told if layer.name], box[0])
    if not told:
        parts.append(_text((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, "no data", anchor="middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="currentColor" stroke-linejoin="round">{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float, *, is_log: bool = False, most: int = 6) -> list[float]:
    """Round numbers between low and high: powers of ten, or steps of 1, 2 or 5 times one."""
    if is_log:
        powers = np.arange(np.ceil(np.log10(low) - 1e-9), np.floor(np.log10(high) + 1e-9) + 1)
        found = [float(10.0**p) for p in powers[:: max(1, -(-len(powers) // most))]]
        return found if len(found) > 1 else [low, high]
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = np.ceil(low / step - 1e-9)
    return [float(round(k * step, 12)) + 0.0 for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def at(self, values: np.ndarray | float) -> np.ndarray:
        values = np.asarray(values, dtype=float)
        low, high = (np.log10(self.low), np.log10(self.high)) if self.is_log else (self.low, self.high)
        values = np.log10(values) if self.is_log else values
        return self.start + (values - low) / (high - low) * (self.end - self.start)


def _cleaned(layer: Layer, x: Axis, y: Axis) -> Layer:
    columns = [np.asarray(c, dtype=float) for c in (layer.x, layer.y, layer.x2, layer.y2) if c is not None]
    keep = np.all([np.isfinite(c) for c in columns], axis=0) if columns else np.zeros(0, dtype=bool)
    for axis, pair in ((x, (layer.x, layer.x2)), (y, (layer.y, layer.y2))):
        if axis.kind == "log":
            for column in pair:
                keep = keep if column is None else keep & (np.asarray(column, dtype=float) > 0)

    def cut(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else np.asarray(column, dtype=float)[keep]

    titles = [text for text, kept in zip(layer.titles, keep, strict=True) if kept] if len(layer.titles) else ()
    first, second = cut(layer.x), cut(layer.y)
    assert first is not None and second is not None
    return Layer(
        layer.kind, first, second, cut(layer.x2), cut(layer.y2), layer.colour, layer.name, layer.size, layer.opacity,
        layer.dash, titles,
    )  # fmt: skip


def _extent(layers: Sequence[Layer], first: str, second: str, axis: Axis) -> tuple[float, float]:
    if axis.names:
        return -0.6, len(axis.names) - 0.4
    if axis.ends is not None:
        return axis.ends
    values = [getattr(layer, name) for layer in layers for name in (first, second) if getattr(layer, name) is not None]
    if not values:
        return (1.0, 10.0) if axis.kind == "log" else (0.0, 1.0)
    every = np.concatenate(values)
    low, high = float(every.min()), float(every.max())
    if axis.kind == "log":
        room = max((high / low) ** 0.04, 1.1)
        return low / room, high * room
    room = 0.04 * (high - low) or max(0.05 * abs(high), 0.5)
    return low - room, high + room


def _scale(axis: Axis, ends: tuple[float, float], start: float, end: float) -> _Scale:
    return _Scale(ends[0], ends[1], start, end, axis.kind == "log")


def _axes(x: Axis, y: Axis, across: _Scale, up: _Scale, box: tuple[float, float, float, float]) -> list[str]:
    left, top, right, bottom = box
    frame = f"M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"
    parts = [f'<path d="{frame}" fill="none" stroke="currentColor" stroke-opacity=".5"/>']
    for place, text in _labels(x, across):
        parts.append(_text(place, bottom + 15, text, anchor="middle"))
    for place, text in _labels(y, up):
        parts.append(
            f'<path d="M{left:.1f} {place:.1f}H{right:.1f}" stroke="currentColor" stroke-opacity=".12" fill="none"/>'
        )
        parts.append(_text(left - 6, place + 4, text, anchor="end"))
    parts.append(_text((left + right) / 2, bottom + 34, x.title, anchor="middle"))
    parts.append(_text(8, top - 9, y.title))
    return parts


def _labels(axis: Axis, scale: _Scale) -> list[tuple[float, str]]:
    if axis.names:
        return [(float(scale.at(k)), _short(name)) for k, name in enumerate(axis.names)]
    return [
        (float(scale.at(v)), f"{v:,.6g}".replace("-", "−")) for v in ticks(scale.low, scale.high, is_log=scale.is_log)
    ]


def _marks(layer: Layer, across: _Scale, up: _Scale) -> list[str]:
    x, y = across.at(layer.x), up.at(layer.y)
    paint = f'stroke="{layer.colour}" stroke-width="{layer.size:g}" stroke-opacity="{layer.opacity:g}" fill="none"'
    dash = f' stroke-dasharray="{layer.dash}"' if layer.dash else ""
    if layer.kind == "dots":
        titles = [f"<title>{escape(text)}</title>" for text in layer.titles] or [""] * len(x)
        fill = f'fill="{layer.colour}" fill-opacity="{layer.opacity:g}"'
        return [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{layer.size:g}" {fill}>{told}</circle>'
            for a, b, told in zip(x, y, titles, strict=True)
        ]
    if layer.kind == "line":
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        return [f'<polyline points="{points}" {paint}{dash}/>']
    if layer.kind == "band":
        assert layer.y2 is not None
        there = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
        back = [f"{a:.1f},{b:.1f}" for a, b in zip(x, up.at(layer.y2), strict=True)][::-1]
        return [f'<polygon points="{" ".join(there + back)}" fill="{layer.colour}" fill-opacity="{layer.opacity:g}"/>']
    assert layer.kind == "rules" and layer.x2 is not None and layer.y2 is not None, layer.kind
    ends = zip(x, y, across.at(layer.x2), up.at(layer.y2), strict=True)
    return [f'<path d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" {paint}{dash}/>' for a, b, c, d in ends]


def _legend(layers: Sequence[Layer], left: float) -> list[str]:
    parts, at, line = [], left, 0
    for layer in layers:
        width = 30 + LETTER * len(_short(layer.name))
        if at + width > WIDTH - RIGHT and at > left:
            at, line = left, line + 1
        if line > 0:  # there is room for one line of names; the table has them all
            break
        dash = f' stroke-dasharray="{layer.dash}"' if layer.dash else ""
        parts.append(f'<path d="M{at:.0f} 30h18" stroke="{layer.colour}" stroke-width="3"{dash}/>')
        parts.append(_text(at + 22, 34, _short(layer.name)))
        at += width + 8
    return parts


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
