"""Laws through a training curve: line, power, exponential, logarithm. Which of them holds says whether it has a limit.

Every law is linear in all its parameters but one rate; that rate is searched on a grid wide enough for any curve and
refined from the best places of the grid, and the rest is solved exactly. So there is no start value to get wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LINE, LOGARITHM = "straight line", "logarithm"
POWER, POWER_LIMIT, EXPONENTIAL = "power", "power with a limit", "exponential"
CLEAR = 2.0
"""A law is clearly better from this difference in AICc on. Source: Burnham & Anderson 2002, ch. 2.6."""
_GRID, _FINE, _REFINED, _RESTARTS = 48, 13, 5, 3


@dataclass(frozen=True)
class Fit:
    """A law through n points (x, y).

    `parameters` by the letters of `formula`; `residual_sd` in the unit of y; `aicc` is Akaike's criterion corrected
    for small n (lower is better); `limit` is where y goes for x → ∞, None where it has none.
    """

    law: str
    formula: str
    parameters: dict[str, float]
    residual_sd: float
    aicc: float
    n: int
    limit: float | None

    def at(self, x: np.ndarray) -> np.ndarray:
        """The law at x [n], in the unit of y."""
        p = self.parameters
        x = np.asarray(x, dtype=float)
        if self.law == LINE:
            return p["a"] - p["b"] * x
        if self.law == LOGARITHM:
            return p["a"] - p["b"] * np.log(x)
        if self.law == EXPONENTIAL:
            return p["a"] - p["b"] * np.exp(-p["c"] * x)
        return p.get("a", 0.0) - p["b"] * x ** -p["c"]


@dataclass(frozen=True)
class Fits:
    """All laws through one curve, best first; `sentence` is what a student can quote."""

    all: tuple[Fit, ...]
    sentence: str
    ends: tuple[float, float]
    """The best law at the first and the last x, in the unit of y."""

    @property
    def best(self) -> Fit:
        """The law with the lowest AICc."""
        return self.all[0]

    @property
    def lead(self) -> float:
        """By how much its AICc is below that of the second law."""
        return self.all[1].aicc - self.all[0].aicc

    @property
    def has_no_limit(self) -> bool:
        """Whether no limit is in sight: the logarithm or a straight line beats both laws that end in one, or the better
        of these ends farther away than the whole curve has come (a − b·x^−c with a small c is a logarithm that bends a
        little)."""
        limited = next(fit for fit in self.all if fit.limit is not None and fit.law != POWER)
        return min(self.of(LOGARITHM).aicc, self.of(LINE).aicc) < limited.aicc or _is_far(limited, self.ends)

    def of(self, law: str) -> Fit:
        """The fit of one law."""
        return next(fit for fit in self.all if fit.law == law)


def fit(x: np.ndarray, y: np.ndarray) -> Fits:
    """Five laws by least squares, ordered by AICc: a − b·x, a − b·ln x, −b·x^−c, a − b·x^−c, a − b·e^(−c·x), c > 0.

    x [n] above 0 (epochs or steps), y [n] in any unit; points that are not finite, beyond 1e100, or at x ≤ 0 are left
    out. With c above 0 the last two have the limit a; the logarithm is what a − b·x^−c becomes as c → 0, at one
    parameter less, so it wins exactly where no limit is in sight. AICc takes errors as independent, which curves
    smoothed or averaged are not: read small differences as none. Raises ValueError for fewer than 6 points or less than
    two values of x.
    Source: Hurvich & Tsai 1989, Biometrika 76(2), 297–307; families: Viering & Loog 2023, IEEE TPAMI 45(6).
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    kept = np.isfinite(x) & (np.abs(y) <= 1e100) & (x > 0)
    x, y = x[kept], y[kept]
    if len(x) < 6 or len(np.unique(x)) < 4:
        raise ValueError(f"A law needs at least 6 points beyond 0, this curve has {len(x)}.")
    laws = [_line(x, y), _logarithm(x, y), _power(x, y), _power_limit(x, y), _exponential(x, y)]
    ordered = tuple(sorted(laws, key=lambda law: law.aicc))
    first, last = ordered[0].at(np.array([x.min(), x.max()]))
    ends = (float(first), float(last))
    return Fits(ordered, _sentence(ordered, ends), ends)


@dataclass(frozen=True)
class Slope:
    """A straight line of y against ln x: `slope` per unit of ln x with its 95 % interval, `residual_sd` of y, n."""

    slope: float
    low: float
    high: float
    residual_sd: float
    n: int


def slope_against_log(x: np.ndarray, y: np.ndarray, first: float = 0.0, last: float = np.inf) -> Slope:
    """dy / d ln x by least squares over first ≤ x ≤ last (x above 0); NaN with fewer than 3 points.

    A curve C − K·ln t has the slope −K wherever it is taken. The interval takes errors as independent.
    """
    from scipy.stats import t

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    kept = np.isfinite(x) & np.isfinite(y) & (x > 0) & (x >= first) & (x <= last)
    z, y = np.log(x[kept]), y[kept]
    n = len(z)
    if n < 3 or np.ptp(z) == 0:
        return Slope(np.nan, np.nan, np.nan, np.nan, n)
    centred = z - z.mean()
    slope = float(centred @ y / (centred @ centred))
    residual_sd = float(np.sqrt(((y - y.mean() - slope * centred) ** 2).sum() / (n - 2)))
    half = float(t.ppf(0.975, n - 2)) * residual_sd / np.sqrt(centred @ centred)
    return Slope(slope, slope - half, slope + half, residual_sd, n)


# ---- the laws ----


def _line(x: np.ndarray, y: np.ndarray) -> Fit:
    a, b, rss = _solve(-x[None], y, True)
    return _made(LINE, "a − b·x", {"a": float(a[0]), "b": float(b[0])}, float(rss[0]), y, 2, None)


def _logarithm(x: np.ndarray, y: np.ndarray) -> Fit:
    a, b, rss = _solve(-np.log(x)[None], y, True)
    return _made(LOGARITHM, "a − b·ln x", {"a": float(a[0]), "b": float(b[0])}, float(rss[0]), y, 2, None)


def _power(x: np.ndarray, y: np.ndarray) -> Fit:
    _, b, c, rss = _best_rate(lambda c: -np.exp(-c * np.log(x)), y, 1e-3, 10.0, False)
    return _made(POWER, "−b·x^−c", {"b": b, "c": c}, rss, y, 2, 0.0)


def _power_limit(x: np.ndarray, y: np.ndarray) -> Fit:
    # With a rate below 1/100 it is the logarithm in all but name.
    a, b, c, rss = _best_rate(lambda c: -np.exp(-c * np.log(x)), y, 1e-2, 10.0, True)
    return _made(POWER_LIMIT, "a − b·x^−c", {"a": a, "b": b, "c": c}, rss, y, 3, a)


def _exponential(x: np.ndarray, y: np.ndarray) -> Fit:
    start, gap = float(x.min()), float(np.diff(np.unique(x)).min())
    a, b, c, rss = _best_rate(lambda c: -np.exp(-c * (x - start)), y, 0.1 / float(np.ptp(x)), 20.0 / gap, True)
    return _made(EXPONENTIAL, "a − b·e^(−c·x)", {"a": a, "b": b * np.exp(min(c * start, 700.0)), "c": c}, rss, y, 3, a)


def _solve(columns: np.ndarray, y: np.ndarray, has_constant: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = a + b·column by least squares for each of g columns [g, n]: a, b and the residual sum of squares, all [g]."""
    centres = columns.mean(axis=1) if has_constant else np.zeros(len(columns))
    centred, mean = columns - centres[:, None], y.mean() if has_constant else 0.0
    b = centred @ (y - mean) / np.maximum(np.einsum("gn,gn->g", centred, centred), 1e-300)
    residual = y - mean - b[:, None] * centred
    return mean - b * centres, b, np.einsum("gn,gn->g", residual, residual)


def _best_rate(
    columns: Callable[[np.ndarray], np.ndarray], y: np.ndarray, low: float, high: float, has_constant: bool
) -> tuple[float, float, float, float]:
    """a, b, the rate with the least residual and that residual: a grid, then finer ones around its three best places.

    `columns` gives [g, n] for rates [g, 1].
    """
    grid = np.geomspace(low, high, _GRID)
    rss = _solve(columns(grid[:, None]), y, has_constant)[2]
    inner = np.r_[np.inf, rss, np.inf]
    valleys = np.flatnonzero((rss <= inner[:-2]) & (rss <= inner[2:]))
    found = []
    for k in valleys[np.argsort(rss[valleys])][:_RESTARTS]:
        left, right = grid[max(k - 1, 0)], grid[min(k + 1, _GRID - 1)]
        for _ in range(_REFINED):
            fine = np.geomspace(left, right, _FINE)
            a, b, rss_fine = _solve(columns(fine[:, None]), y, has_constant)
            best = int(rss_fine.argmin())
            left, right = fine[max(best - 1, 0)], fine[min(best + 1, _FINE - 1)]
        found.append((float(rss_fine[best]), float(a[best]), float(b[best]), float(fine[best])))
    rss_best, a_best, b_best, c_best = min(found)
    return a_best, b_best, c_best, rss_best


def _made(
    law: str, formula: str, parameters: dict[str, float], rss: float, y: np.ndarray, k: int, limit: float | None
) -> Fit:
    n = len(y)
    # A curve without noise has no likelihood: beyond rounding in single precision one fit is no better than another.
    rss = max(rss, n * (1e-7 * max(float(np.abs(y).max()), 1e-12)) ** 2)
    k += 1  # the variance of the errors is a parameter, too
    correction = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf
    aicc = n * np.log(rss / n) + 2 * k + correction
    return Fit(law, formula, parameters, float(np.sqrt(rss / n)), float(aicc), n, limit)


def _is_far(law: Fit, ends: tuple[float, float]) -> bool:
    """Whether a law's limit lies farther from the curve's end than the whole curve has come."""
    first, last = ends
    return law.limit is not None and abs(law.limit - last) > abs(last - first)


def _sentence(ordered: tuple[Fit, ...], ends: tuple[float, float]) -> str:
    best, second = ordered[0], ordered[1]
    if best.law in (LINE, LOGARITHM):
        moves = "falls" if best.parameters["b"] > 0 else "rises"
        shape, when = "logarithmic", "each time x grows by a factor 2.72"
        if best.law == LINE:
            shape, when = "a straight line", "each time x grows by 1"
        shape += f", no limit: it {moves} by {abs(best.parameters['b']):.3g} {when}"
    elif _is_far(best, ends):
        shape = f"{best.law}, its limit out of sight: it is not half-way to the law's {best.limit:.4g}"
    else:
        shape = f"{best.law}: it goes towards {best.limit:.4g}"
    lead = second.aicc - best.aicc
    sure = "clearly" if lead >= CLEAR else "not clearly"
    return (
        f"The curve is {shape} ({sure} better than {second.law}: AICc lower by {lead:.1f}; "
        f"residual s.d. {best.residual_sd:.2g}, n = {best.n} points)."
    )
