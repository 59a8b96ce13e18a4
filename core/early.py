"""Does step s predict the end? The ranking of runs early on against their ranking at the end, beside two baselines.

Any early curve looks prophetic across learning rates, for the learning rate alone orders the runs. So two baselines
belong beside it: the last value of the judged metric itself, and the hyper-parameters without any training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

FEWEST_CONFIGURATIONS = 8
FEWEST_RUNS = 5
MOST_STEPS = 60
ENOUGH = 0.9
EARLY, LAST, KNOBS = "the metric at this epoch", "last value of the judged metric", "hyper-parameters alone"


@dataclass(frozen=True)
class Prediction:
    """`table` has predictor, epoch, rho, low, high, n; `knobs_rho` is what the hyper-parameters alone reach.

    `enough_from` is the first epoch from which on ρ stays at .9 or more to the end, `better_from` the first from which
    its interval stays above the hyper-parameters; NaN where there is none.
    """

    table: pd.DataFrame
    knobs_rho: float
    enough_from: float
    better_from: float
    n: int
    sentence: str
    warnings: tuple[str, ...]


def predict(
    early: pd.DataFrame,
    finals: pd.Series,
    knobs: pd.DataFrame,
    *,
    judged: pd.DataFrame | None = None,
    within: str | None = None,
    n_resamples: int = 500,
    seed: int = 0,
) -> Prediction:
    """Spearman's ρ over runs between a metric at each epoch and the final value, with 95 % bootstrap intervals.

    `early` has run, epoch, value (the metric that may foretell); `finals` the value that is to be foretold, by run;
    `knobs` one row per run (index) and one column per factor. `judged` are the curves of the foretold metric where it
    is another one: its last value at each epoch is the baseline. `within` names a factor: ranks are then taken within
    each of its levels and pooled, so that the factor itself cannot predict. ρ of a loss against a score is negative;
    its size counts and the sign is turned. Raises ValueError for fewer than 5 runs.

    Intervals resample whole configurations (within levels) and rank each resample anew; runs, which are more alike than
    that takes them to be, where there are fewer than 8 configurations.
    """
    grid, values = _on_grid(early)
    runs = [run for run in values.index if run in finals.index and run in knobs.index and np.isfinite(finals[run])]
    values, end, knobs = values.loc[runs], finals.loc[runs].to_numpy(float), knobs.loc[runs]
    levels = pd.factorize(knobs[within].astype(str))[0] if within else np.zeros(len(runs), dtype=int)
    kept = np.isin(levels, np.flatnonzero(np.bincount(levels) >= 3)) if len(runs) else np.zeros(0, dtype=bool)
    values, end, knobs, levels = values[kept], end[kept], knobs[kept], levels[kept]
    n = len(end)
    if n < FEWEST_RUNS:
        where = f" with two others or more at their level of {within}" if within else ""
        raise ValueError(f"It takes {FEWEST_RUNS} finished runs{where} to say what predicts the end; there are {n}.")
    of = _configurations(knobs) if len(knobs.columns) else np.arange(n)
    n_configurations = len(np.unique(of))
    is_rough = n_configurations < min(n, FEWEST_CONFIGURATIONS)
    resamples = _resamples(levels, np.arange(n) if is_rough else of, n_resamples, seed)
    frames = [_correlated(EARLY, grid, values.to_numpy(float), end, levels, resamples)]
    if judged is not None:
        other_grid, other = _on_grid(judged)
        others = other.reindex(values.index).to_numpy(float)
        frames.append(_correlated(LAST, other_grid, others, end, levels, resamples))
    rho_knobs = from_knobs(knobs.drop(columns=[within] if within else []), end, levels)
    table = pd.concat([*frames, pd.DataFrame({"predictor": KNOBS, "epoch": [grid[0], grid[-1]], "rho": rho_knobs})])
    main = frames[0]
    enough = _from(main, main["rho"] >= ENOUGH)
    better = _from(main, main["low"] > rho_knobs)
    warnings: tuple[str, ...] = (f"{n} runs: intervals of a rank correlation are rough below 20.",) if n < 20 else ()
    if is_rough:
        warnings += (
            f"The runs are of {n_configurations} configurations only: the intervals are too narrow for others.",
        )
    about = f" within {within.replace('_', ' ')}" if within else ""
    sentence = _sentence(main, rho_knobs, enough, better, n, about)
    return Prediction(table.reset_index(drop=True), rho_knobs, enough, better, n, sentence, warnings)


def from_knobs(knobs: pd.DataFrame, end: np.ndarray, levels: np.ndarray) -> float:
    """ρ between the end and what the other runs' hyper-parameters say of it: the better of two guesses, each without
    the run itself: effects of factors added up, and the mean of the other seeds of its configuration.

    The first is least squares with a column per level (a trace of ridge keeps it solvable); the second knows
    interactions, and is there where every configuration has two runs. Without any information such guesses are the
    mean of the others and so run against the truth: what is below 0 is 0. NaN where neither can be made. Source of the
    leave-one-out residual: Allen 1974, Technometrics 16(1) (PRESS).
    """
    guesses = [guess for guess in (_added(knobs, end, levels), _of_siblings(knobs, end)) if guess is not None]
    of_end = _ranks(end[None], levels)[0]
    found = [float(_rho(_ranks(guess[None], levels), of_end)[0]) for guess in guesses]
    return max((0.0, *(rho for rho in found if np.isfinite(rho)))) if guesses else float("nan")


def _added(knobs: pd.DataFrame, end: np.ndarray, levels: np.ndarray) -> np.ndarray | None:
    columns = [np.ones(len(end))]
    for name in knobs.columns:
        codes, seen = pd.factorize(knobs[name].astype(str))
        columns += [(codes == level).astype(float) for level in range(1, len(seen))]
    columns += [(levels == level).astype(float) for level in range(1, levels.max(initial=0) + 1)]
    x = np.column_stack(columns)
    hat = x @ np.linalg.solve(x.T @ x + 1e-6 * np.eye(x.shape[1]), x.T)
    leverage = np.diag(hat)
    if (leverage > 0.999).any():  # a run that is alone at a level cannot be said from the others
        return None
    return np.asarray(end - (end - hat @ end) / (1 - leverage))


def _of_siblings(knobs: pd.DataFrame, end: np.ndarray) -> np.ndarray | None:
    if not len(knobs.columns):
        return None
    of = _configurations(knobs)
    counts = np.bincount(of)
    if counts.min() < 2:
        return None
    return np.asarray((np.bincount(of, end)[of] - end) / (counts[of] - 1))


# ---- what it is made of ----


def _configurations(knobs: pd.DataFrame) -> np.ndarray:
    """[n]: a number for each run's combination of levels."""
    columns = [knobs[name].astype(str) for name in knobs.columns]
    return pd.factorize(np.array([*map("·".join, zip(*columns, strict=True))], dtype=object))[0]


def _on_grid(curves: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """At most 60 epochs and the last value of every run at or before each: (epochs [s], frame [runs, s])."""
    told = curves[np.isfinite(curves["value"].astype(float))]
    wide = told.pivot_table(index="run", columns="epoch", values="value", aggfunc="last", sort=True)
    wide = wide.ffill(axis=1)
    epochs = wide.columns.to_numpy(float)
    if len(epochs) > MOST_STEPS:
        at = np.unique(np.r_[np.geomspace(1, len(epochs), MOST_STEPS).round().astype(int) - 1, len(epochs) - 1])
        wide, epochs = wide.iloc[:, at], epochs[at]
    return epochs, wide


def _ranks(rows: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Ranks [s, n] within each level, centred and of unit spread there, so that levels count by their size."""
    from scipy.stats import rankdata

    ranks = np.zeros(rows.shape)
    for level in np.unique(levels):
        members = levels == level
        own = rankdata(rows[:, members], axis=1, nan_policy="propagate")
        own = own - own.mean(axis=1, keepdims=True)
        spread = own.std(axis=1, keepdims=True)
        ranks[:, members] = own / np.where(spread > 0, spread, np.inf)
    return ranks


def _rho(ranks: np.ndarray, of_end: np.ndarray) -> np.ndarray:
    """Pearson's correlation of centred ranks [s, n] with those of the end [n]: [s]; NaN where either is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (ranks @ of_end) / np.sqrt((ranks**2).sum(axis=1) * (of_end @ of_end))


def _resamples(levels: np.ndarray, of: np.ndarray, n_resamples: int, seed: int) -> list[np.ndarray]:
    """Rows of groups `of` drawn with replacement, within levels."""
    generator = np.random.default_rng(seed)
    rows = {group: np.flatnonzero(of == group) for group in np.unique(of)}
    members = [np.unique(of[levels == level]) for level in np.unique(levels)]
    return [
        np.concatenate([rows[group] for own in members for group in generator.choice(own, len(own))])
        for _ in range(n_resamples)
    ]


def _correlated(
    name: str, grid: np.ndarray, values: np.ndarray, end: np.ndarray, levels: np.ndarray, resamples: list[np.ndarray]
) -> pd.DataFrame:
    """predictor, epoch, rho, low, high, n for each epoch at which every run has a value."""
    whole = np.isfinite(values).all(axis=0)
    both = np.vstack([values[:, whole].T, end])
    rho, *drawn_rows = (
        _rho(ranks[:-1], ranks[-1])
        for ranks in (_ranks(both[:, rows], levels[rows]) for rows in (np.arange(len(end)), *resamples))
    )
    sign = -1.0 if len(rho) and rho[-1] < 0 else 1.0  # a loss foretells a score with the opposite sign
    drawn = sign * np.array(drawn_rows)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0) if len(rho) else (rho, rho)
    return pd.DataFrame(
        {"predictor": name, "epoch": grid[whole], "rho": sign * rho, "low": low, "high": high, "n": len(end)}
    )


def _from(main: pd.DataFrame, is_so: pd.Series) -> float:
    """The first epoch from which on it stays so; none in the last tenth, for the end foretells itself."""
    holds = is_so.to_numpy()[::-1]
    n = len(holds) if holds.all() else int(np.argmin(holds))
    at = float(main["epoch"].iloc[len(holds) - n]) if n else float("nan")
    return at if at <= 0.9 * float(main["epoch"].iloc[-1]) or len(holds) == 1 else float("nan")


def _signed(rho: float) -> str:
    return f"{rho:.2f}".replace("-", "−")


def _sentence(main: pd.DataFrame, knobs: float, enough: float, better: float, n: int, about: str) -> str:
    if np.isfinite(enough):
        row = main[main["epoch"] == enough].iloc[0]
        said = (
            f"From epoch {enough:g} on runs are ranked{about} as they are at the end (ρ = {_signed(row['rho'])} "
            f"[{_signed(row['low'])}, {_signed(row['high'])}] there, n = {n} runs)"
        )
    else:
        said = (
            f"Before the last tenth runs are never ranked{about} as they are at the end for good (ρ ≥ .9), n = {n} runs"
        )
    if not np.isfinite(knobs):
        return f"{said}; what the hyper-parameters alone say cannot be judged, for some level has one run."
    if np.isfinite(better):
        return f"{said}; from epoch {better:g} on that is more than the hyper-parameters alone say (ρ = {knobs:.2f})."
    return (
        f"{said}; no epoch before the last tenth tells clearly more than the hyper-parameters alone (ρ = {knobs:.2f})."
    )
