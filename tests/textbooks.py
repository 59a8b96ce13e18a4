"""Data of textbooks and certified sets whose answers are published."""

from __future__ import annotations

import numpy as np
import pandas as pd


def batteries() -> pd.DataFrame:
    """Life in hours of batteries of three materials at three temperatures: Montgomery, table 5.1."""
    lives = {
        ("1", 15): (130, 155, 74, 180), ("1", 70): (34, 40, 80, 75), ("1", 125): (20, 70, 82, 58),
        ("2", 15): (150, 188, 159, 126), ("2", 70): (136, 122, 106, 115), ("2", 125): (25, 70, 58, 45),
        ("3", 15): (138, 110, 168, 160), ("3", 70): (174, 120, 150, 139), ("3", 125): (96, 104, 82, 60),
    }  # fmt: skip
    return pd.DataFrame([{"material": m, "temperature": t, "life": v} for (m, t), vs in lives.items() for v in vs])


def warpbreaks() -> pd.DataFrame:
    """Breaks of yarn: Tukey 1977, Exploratory Data Analysis; R's `warpbreaks`."""
    breaks = {
        ("A", "L"): (26, 30, 54, 25, 70, 52, 51, 26, 67), ("A", "M"): (18, 21, 29, 17, 12, 18, 35, 30, 36),
        ("A", "H"): (36, 21, 24, 18, 10, 43, 28, 15, 26), ("B", "L"): (27, 14, 29, 19, 29, 31, 41, 20, 44),
        ("B", "M"): (42, 26, 19, 16, 39, 28, 21, 39, 29), ("B", "H"): (20, 21, 24, 17, 13, 15, 15, 16, 28),
    }  # fmt: skip
    return pd.DataFrame([{"wool": w, "tension": t, "breaks": v} for (w, t), vs in breaks.items() for v in vs])


def npk() -> pd.DataFrame:
    """Peas on six blocks with nitrogen, phosphate, potash: Venables & Ripley, MASS; R's `npk`."""
    yields = [49.5, 62.8, 46.8, 57.0, 59.8, 58.5, 55.5, 56.0, 62.8, 55.8, 69.5, 55.0, 62.0, 48.8, 45.5, 44.2, 52.0,
              51.5, 49.8, 48.8, 57.2, 59.0, 53.2, 56.0]  # fmt: skip
    given = {"N": "010111000110110010101100", "P": "110001011100010110010110", "K": "100101100101011000111010"}
    columns = {name: [int(digit) for digit in digits] for name, digits in given.items()}
    return pd.DataFrame({"block": np.repeat(np.arange(6), 4), **columns, "yield": yields})


def simon_and_lesage(offset: float = 0.0) -> pd.DataFrame:
    """NIST StRD SmLs01 (offset 0) and SmLs04 (1,000,000): nine treatments of 21 values, 0.1 apart."""
    steps = [0.0, *[-0.1, 0.1] * 10]
    shifts = [0.0, *[-0.1, 0.1] * 4]
    rows = [(k, offset + 1.4 + shift + step) for k, shift in enumerate(shifts) for step in steps]
    return pd.DataFrame(rows, columns=["treatment", "y"])


def silicon() -> pd.DataFrame:
    """Resistivity of silicon measured by five instruments: NIST StRD SiRstv."""
    measured = [
        (196.3052, 196.1240, 196.1890, 196.2569, 196.3403), (196.3042, 196.3825, 196.1669, 196.3257, 196.0422),
        (196.1303, 196.2005, 196.2889, 196.0343, 196.1811), (196.2795, 196.1748, 196.1494, 196.1485, 195.9885),
        (196.2119, 196.1051, 196.1850, 196.0052, 196.2090),
    ]  # fmt: skip
    return pd.DataFrame([{"instrument": k + 1, "ohm_cm": v} for k, values in enumerate(measured) for v in values])


ROUNDING_TIMES = np.array(
    [
        [5.40, 5.50, 5.55], [5.85, 5.70, 5.75], [5.20, 5.60, 5.50], [5.55, 5.50, 5.40], [5.90, 5.85, 5.70],
        [5.45, 5.55, 5.60], [5.40, 5.40, 5.35], [5.45, 5.50, 5.35], [5.25, 5.15, 5.00], [5.85, 5.80, 5.70],
        [5.25, 5.20, 5.10], [5.65, 5.55, 5.45], [5.60, 5.35, 5.45], [5.05, 5.00, 4.95], [5.50, 5.50, 5.40],
        [5.45, 5.55, 5.50], [5.55, 5.55, 5.35], [5.45, 5.50, 5.55], [5.50, 5.45, 5.25], [5.65, 5.60, 5.40],
        [5.70, 5.65, 5.55], [6.30, 6.30, 6.25],
    ]
)  # fmt: skip
"""Three ways to round first base, 22 players: Hollander & Wolfe 1973, p. 140."""
