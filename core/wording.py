"""Numbers and names as a report writes them: "p = .012", ".93 [.81, .97]", "learning rate"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def words(name: str) -> str:
    """A column's name as words: "train/scale_free_loss" → "train scale free loss"."""
    return name.replace("_", " ").replace("/", " ").strip()


def sentence_case(text: str) -> str:
    """The same text with its first letter large."""
    return text[:1].upper() + text[1:]


def p_text(p: float) -> str:
    """A p value as reports write it: "p = .012", and "p < .001" below that; "p unknown" for NaN."""
    if not np.isfinite(p):
        return "p unknown"
    return "p < .001" if p < 0.001 else f"p = {share_text(p, 3)}"


def share_text(value: float, digits: int = 2) -> str:
    """A number that cannot pass 1 in size, without its leading zero: ".93", "−.20", "1.00"; "?" for NaN."""
    if not np.isfinite(value):
        return "?"
    text = f"{abs(value):.{digits}f}".removeprefix("0")
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def percent_text(share: float, decimals: int = 0) -> str:
    """A share in per cent, with a space and a real minus sign: "21 %", "−0.4 %"; "?" for NaN."""
    return f"{100 * share:.{decimals}f} %".replace("-", "−") if np.isfinite(share) else "?"


def number_text(value: float, digits: int = 3) -> str:
    """A number with three significant digits, a real minus sign and no exponent below a million; "?" for NaN."""
    if not np.isfinite(value):
        return "?" if np.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(float(f"{value:.{digits}g}"))
    if 1e-4 <= size < 1e6:
        decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
        text = f"{abs(value):,.{decimals}f}"
    else:
        text = f"{abs(value):.{digits}g}"
    return f"−{text}" if value < 0 else text


def df_text(value: float) -> str:
    """Degrees of freedom: whole where they are whole, else one decimal."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{value:.1f}"


def interval_text(low: float, high: float, *, share: bool = False) -> str:
    """ "[.81, .97]" for shares, "[−3.10, 12.4]" for others."""
    write = share_text if share else number_text
    return f"[{write(low)}, {write(high)}]"


def count_text(n: int, one: str, many: str = "") -> str:
    """ "1 run", "3 runs"; `many` where an s does not do."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def list_text(names: Sequence[str], most: int = 6) -> str:
    """ "a, b and c"; after `most` of them "and 4 more"."""
    shown = list(names[:most])
    if len(names) > most:
        return ", ".join(shown) + f" and {len(names) - most} more"
    return ", ".join(shown) if len(shown) < 2 else ", ".join(shown[:-1]) + f" and {shown[-1]}"
