"""How often the analysis of a sweep raises a false alarm, and how often it finds what is there.

    python benchmarks/null_sweeps.py [--sweeps 2000]

Simulated sweeps of 2 × 4 and 3 × 3 cells in which no knob does anything: the classical F test at α = .05 must find
something in 3.7 to 6.3 % of them, HC3 stands beside it. Then an interaction is planted: the share of sweeps that show
it stands beside the power that core/power.py promises. The exit status is 1 where a share lies outside its band.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

from core import factorial, power

ALPHA = 0.05
BAND = (0.037, 0.063)
SHAPES = ((2, 4, 3), (3, 3, 5))
"""Levels of the first knob, of the second, seeds."""
SEED_SPREAD = 1.0
"""Standard deviation of what a seed does to all cells alike; the runs' own is 1."""
WILD = 10.0


def simulate(
    shape: tuple[int, int, int], sweeps: int, seed: int, planted: np.ndarray | None = None, wild: float = 1.0
) -> factorial.FTests:
    """Tests of `sweeps` sweeps at once: normal runs of spread 1, in the first cell `wild` times that; seeds that shift
    all their runs; cell means `planted` [a, b]."""
    a, b, seeds = shape
    codes = np.array([(i, j) for i in range(a) for j in range(b) for _ in range(seeds)])
    blocks = np.tile(np.arange(seeds), a * b)
    generator = np.random.default_rng(seed)
    runs = generator.normal(size=(len(codes), sweeps)) * np.where(codes.any(axis=1), 1.0, wild)[:, None]
    runs += SEED_SPREAD * generator.normal(size=(seeds, sweeps))[blocks]
    if planted is not None:
        runs += planted[codes[:, 0], codes[:, 1]][:, None]
    model = factorial.design(codes, (a, b), factorial.all_terms(2, 2), blocks)
    return factorial.f_tests(model, runs)


def plant(shape: tuple[int, int, int], wanted: float) -> np.ndarray:
    """Cell means [a, b] of one interaction, the first cell against its row and column, seen with power `wanted`."""
    from scipy.optimize import brentq

    a, b, seeds = shape
    one = np.zeros((a, b))
    one[0, 0] = 1.0
    rest = one - one.mean(axis=0) - one.mean(axis=1)[:, None] + one.mean()
    size = brentq(lambda x: power.interaction_power(x * rest, 1.0, seeds) - wanted, 0.0, 100.0)
    return size * rest


def alarms(shape: tuple[int, int, int], sweeps: int, seed: int = 0, wild: float = 1.0) -> pd.DataFrame:
    """False alarms of both tests by term: term, classical, hc3 (shares of sweeps)."""
    told = simulate(shape, sweeps, seed, wild=wild)
    shares = {"classical": (told.p < ALPHA).mean(axis=1), "hc3": (told.p_hc3 < ALPHA).mean(axis=1)}
    return pd.DataFrame({"term": ["first knob", "second knob", "interaction"], **shares})


def found(shape: tuple[int, int, int], sweeps: int, wanted: float, seed: int = 1) -> tuple[float, float]:
    """Shares of sweeps that show an interaction planted for a power of `wanted`: by the classical F, by HC3."""
    told = simulate(shape, sweeps, seed, plant(shape, wanted))
    return float((told.p[2] < ALPHA).mean()), float((told.p_hc3[2] < ALPHA).mean())


def main() -> None:
    """Print both tables; exit with 1 where a share lies outside its band."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sweeps", type=int, default=2000)
    sweeps, started, is_right = options.parse_args().sweeps, time.perf_counter(), True
    print(f"{sweeps:,} null sweeps each, α = {ALPHA}, band of the classical F {BAND[0]:.1%} to {BAND[1]:.1%}")
    for shape in SHAPES:
        name = "{} × {} cells × {} seeds".format(*shape)
        for row in alarms(shape, sweeps).itertuples():
            is_inside = BAND[0] <= row.classical <= BAND[1]
            is_right &= is_inside
            verdict = "inside" if is_inside else "OUTSIDE"
            print(f"  {name}: {row.term:12} classical {row.classical:6.2%} {verdict}   HC3 {row.hc3:6.2%}")
    print(f"one cell scatters {WILD:g} times as much as the others: what the classical F was not made for, no band")
    for shape in SHAPES:
        name = "{} × {} cells × {} seeds".format(*shape)
        for row in alarms(shape, sweeps, wild=WILD).itertuples():
            print(f"  {name}: {row.term:12} classical {row.classical:6.2%}          HC3 {row.hc3:6.2%}")
    print("planted interaction: promised power, share found (classical, HC3)")
    for shape in SHAPES:
        for wanted in (0.5, 0.8, 0.95):
            classical, hc3 = found(shape, sweeps, wanted)
            is_near = abs(classical - wanted) < 3.3 * np.sqrt(wanted * (1 - wanted) / sweeps)
            is_right &= bool(is_near)
            verdict = "as promised" if is_near else "NOT as promised"
            name = "{} × {} cells × {} seeds".format(*shape)
            print(f"  {name}: {wanted:.0%} → classical {classical:6.2%} {verdict}   HC3 {hc3:6.2%}")
    print(f"{time.perf_counter() - started:.1f} s")
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
