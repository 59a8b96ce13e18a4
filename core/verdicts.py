"""What a study's check is given and what it says, and the few decisions that all checks make in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from core.stats import t_interval

REPRODUCED, NOT_REPRODUCED, ARTEFACT, CANNOT_TELL = "reproduced", "not reproduced", "artefact", "cannot be told"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, ARTEFACT, CANNOT_TELL)
CHECK_FAILED = "check failed"
MAIN = "main"
PREDICTED = ("part", "item", "group", "time_s", "label", "truth", "prediction")


class Refusal(Exception):
    """Raised by a check that finds its numbers unusable, with a sentence that says why: so nothing can be told.

    Whatever else a check raises is a slip in it. No ValueError: NumPy and pandas raise those for slips.
    """


def not_evaluated(run: str) -> None:
    """What stands for the polyphonic evaluation of a run that has none."""


def no_predictions(run: str) -> pd.DataFrame:
    """What stands for the predictions of a run that kept none."""
    return pd.DataFrame(columns=list(PREDICTED))


@dataclass(frozen=True)
class Runs:
    """The runs of a study.

    `results` has one row per run: run, stage ("main" or a stage's name), cell, config_id, seed, state, diverged,
    seconds and epoch_seconds (of the whole run, and the median from one epoch to the next; NaN where runs trained
    together), together, started_at, ended_at, a column per knob and one per final metric. `curves(metric)` has run,
    cell, seed, step, epoch, value. `factors` are those of the main grid. `unfinished` are the rows that `only` left out
    because they diverged, which is an outcome, or failed, which is none: a disk or a process was lost. `data` is what
    the main grid is run on; `predictions(run)` has part, item, group, time_s, label, truth, prediction for validation
    and test as the finished model was scored, and no row where that was not kept. `polyphonic(run)` is the report of
    the run's polyphonic evaluation on its own data with `polyreports.Settings()`; None where there is none.
    """

    results: pd.DataFrame
    curves: Callable[[str], pd.DataFrame]
    factors: tuple[str, ...]
    unfinished: pd.DataFrame = field(default_factory=pd.DataFrame)
    data: str = ""
    predictions: Callable[[str], pd.DataFrame] = no_predictions
    polyphonic: Callable[[str], dict[str, Any] | None] = not_evaluated

    def only(self, **levels: Any) -> Runs:
        """The finished runs with these values in these columns; a tuple allows several.

        Those that have the values and did not finish go to `unfinished`.
        """
        is_done = ~self.results["diverged"].astype(bool) & (self.results["state"] == "done")
        others = [rows for rows in (self.unfinished, self.results[~is_done]) if len(rows)]
        unfinished = pd.concat(others) if others else self.results[:0]
        return replace(self, results=_with(self.results[is_done], levels), unfinished=_with(unfinished, levels))

    @property
    def diverged(self) -> pd.DataFrame:
        """Those of `unfinished` that diverged."""
        if not len(self.unfinished):
            return self.unfinished
        return self.unfinished[self.unfinished["diverged"].astype(bool) | (self.unfinished["state"] == "diverged")]

    def losses(self) -> str:
        """How many of the runs did not finish, and why, as a sentence and a space; empty where all did.

        "Of 12 runs 3 diverged (3 at learning rate 0.1) and 1 failed and is to be run again. "
        """
        diverged = self.diverged
        failed = len(self.unfinished) - len(diverged)
        said = []
        if len(diverged):
            names = self.named(diverged)
            at = ", ".join(f"{n} at {name}" for name, n in names.value_counts(sort=False).items() if name)
            said.append(f"{len(diverged)} diverged" + (f" ({at})" if at else ""))
        if failed:
            said.append(f"{failed} failed and {'is' if failed == 1 else 'are'} to be run again")
        return f"Of {len(self) + len(self.unfinished)} runs {' and '.join(said)}. " if said else ""

    def named(self, rows: pd.DataFrame, *more: str) -> pd.Series:
        """What tells each of these rows' configuration from the others: "learning rate 0.1"; empty where nothing does.

        By the factors, and the columns `more`, that differ between the runs, finished or not.
        """
        known = [part for part in (self.results, self.unfinished) if len(part)]
        names = [name for name in (*self.factors, *more) if all(name in part for part in known)]
        differ = [name for name in names if len(set().union(*(part[name] for part in known))) > 1]
        said = [", ".join(_level(name, row[name]) for name in differ) for row in rows.to_dict("records")]
        return pd.Series(said, rows.index, dtype=object)

    @property
    def main(self) -> Runs:
        """The finished runs of the main grid."""
        return self.only(stage=MAIN)

    def curve(self, metric: str) -> pd.DataFrame:
        """The curves of `metric` of these runs only."""
        found = self.curves(metric)
        return found[found["run"].isin(set(self.results["run"]))]

    def horizon(self, metric: str) -> float:
        """The last epoch for which each of these runs has a number; 0 where one has none."""
        told = self.curve(metric)
        last = told[np.isfinite(told["value"].astype(float))].groupby("run")["epoch"].max()
        return float(last.reindex(self.results["run"]).fillna(0.0).min()) if len(self) else 0.0

    def column(self, name: str) -> pd.Series:
        """A column of the results by run; NaN everywhere where there is none."""
        values = self.results[name] if name in self.results else pd.Series(np.nan, self.results.index)
        return pd.Series(pd.to_numeric(values, errors="coerce").to_numpy(float), self.results["run"], name=name)

    def with_knobs(self, frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
        """The frame, which has a column run, with these columns of the results beside it."""
        about = self.results.set_index("run")
        return frame.assign(**{name: frame["run"].map(about[name]) for name in columns if name in about})

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True)
class Verdict:
    """What a check found: one of VERDICTS, a sentence with the numbers, the table behind it, and a chart or None.

    `has_failed` says that the check itself fell over: that is a mistake in a file, and nothing about the claim.
    """

    verdict: str
    sentence: str
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    chart: Any = None
    has_failed: bool = False

    def __post_init__(self) -> None:
        assert self.verdict in VERDICTS, self.verdict

    @property
    def word(self) -> str:
        """The verdict as it is shown: one of VERDICTS, or CHECK_FAILED, which is none."""
        return CHECK_FAILED if self.has_failed else self.verdict


def _with(rows: pd.DataFrame, levels: dict[str, Any]) -> pd.DataFrame:
    """The rows with these values in these columns; none where a column is missing."""
    for name, level in levels.items():
        if name not in rows:
            return rows[:0]
        rows = rows[rows[name].isin(level if isinstance(level, tuple) else (level,))]
    return rows


def _level(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value  # "sgd" needs no "optimizer" before it
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


class Interval(NamedTuple):
    """A mean with its 95 % interval over n values (NaN ends for n < 2)."""

    mean: float
    low: float
    high: float
    n: int

    def text(self, digits: str = ".3g", unit: str = "") -> str:
        """ "71.6 [68.9, 74.3], n = 12", with minus signs."""
        ends = f" [{self.low:{digits}}, {self.high:{digits}}]" if np.isfinite(self.low) else ""
        return _typeset(f"{self.mean:{digits}}{unit}{ends}") + f", n = {self.n}"

    def times(self, factor: float) -> Interval:
        """In another unit, or with the other sign, which swaps the ends."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.mean, low, high, self.n)

    def among(self, number: int, level: float = 0.95) -> Interval:
        """The wider interval that it needs as one of so many, if none of them is to be wrong (Bonferroni)."""
        if self.n < 2:
            return self
        from scipy.stats import t

        wider = float(t.ppf(1 - (1 - level) / 2 / number, self.n - 1) / t.ppf(0.5 + level / 2, self.n - 1))
        return self._replace(
            low=self.mean - wider * (self.mean - self.low), high=self.mean + wider * (self.high - self.mean)
        )

    def where(self, low: float, high: float) -> str:
        """Where the interval lies beside low…high: "inside", "outside" or "across" (also where there is none)."""
        if not np.isfinite([self.low, self.high]).all():
            return "across"
        if low <= self.low and self.high <= high:
            return "inside"
        return "outside" if self.high < low or self.low > high else "across"


def interval(values: Sequence[float] | np.ndarray | pd.Series, level: float = 0.95) -> Interval:
    """Mean and t interval of the finite ones among values."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return Interval(*t_interval(finite, level), len(finite))


def difference(a: np.ndarray | pd.Series, b: np.ndarray | pd.Series, level: float = 0.95) -> Interval:
    """mean(a) − mean(b) with Welch's interval; n is that of the smaller sample. Source: Welch 1947, Biometrika 34."""
    from scipy.stats import t

    a, b = (np.asarray(x, dtype=float)[np.isfinite(np.asarray(x, dtype=float))] for x in (a, b))
    n = min(len(a), len(b))
    gap = float(a.mean() - b.mean()) if n else float("nan")
    if n < 2:
        return Interval(gap, float("nan"), float("nan"), n)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = float(np.sqrt(sum(parts)))
    if error == 0:
        return Interval(gap, gap, gap, n)
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(t.ppf(0.5 + level / 2, degrees)) * error
    return Interval(gap, gap - half, gap + half, n)


def too_few(runs: Runs, cells: int, seeds: int = 2) -> str:
    """Why runs do not suffice for a claim about `cells` cells with `seeds` seeds each; empty where they do."""
    sizes = runs.results.groupby("cell")["seed"].nunique() if len(runs) else pd.Series(dtype=int)
    full = int((sizes >= seeds).sum())
    if full >= cells:
        return ""
    return f"{runs.losses()}{full} of the {cells} cells it speaks of have {seeds} finished seeds or more."


def by_cell(runs: Runs, values: pd.Series, *more: str) -> dict[str, Interval]:
    """An interval of the values (by run) for each configuration of the runs, under its name (`Runs.named`).

    Configurations are no replicates of one number: what is 0.9 in one and 1.1 in the other is 1 in neither.
    """
    about = runs.results.set_index("run")
    frame = pd.DataFrame({"value": values}).dropna()
    frame = frame[frame.index.isin(about.index)]
    frame = frame.join(about[["stage", "cell"]]).assign(name=runs.named(about, *more))
    groups = frame.groupby(["stage", "cell"], sort=False) if len(frame) else ()
    return {str(rows["name"].iloc[0]) or f"cell {at[1]}": interval(rows["value"]) for at, rows in groups}


def where_all(parts: dict[str, Interval], low: float, high: float) -> str:
    """ "inside" where every configuration's interval is, "outside" where any one's is, else "across".

    One of many is outside more easily by chance, so for that each has its level for their number (Bonferroni's). All
    are inside by chance no more easily than one. Source: Berger 1982, Technometrics 24(4).
    """
    if any(part.among(len(parts)).where(low, high) == "outside" for part in parts.values()):
        return "outside"
    return "inside" if parts and all(part.where(low, high) == "inside" for part in parts.values()) else "across"


def over_cells(parts: dict[str, Interval], low: float, high: float, digits: str = ".3g") -> str:
    """The means' range, and the configuration that decides `where_all`: "0.84 to 1.00 over 4 configurations (n = 12
    runs), at learning rate 0.0001: 0.84 [0.83, 0.85], n = 3"."""
    if not parts:
        return "not known for any configuration"

    def beyond(part: Interval) -> tuple[int, float]:
        rank = {"outside": 2, "across": 1, "inside": 0}[part.where(low, high)]
        ends = (part.low, part.high) if np.isfinite(part.low) else (part.mean, part.mean)
        return rank, max(low - ends[0], ends[1] - high)

    name, worst = max(parts.items(), key=lambda one: beyond(one[1]))
    if len(parts) == 1:
        return f"{worst.text(digits)} runs"
    is_chance = worst.where(low, high) == "outside" and where_all(parts, low, high) != "outside"
    chance = f", which may be chance in one of {len(parts)}" if is_chance else ""
    return f"{span(parts, digits)}, at {name}: {worst.text(digits)}{chance}"


def _typeset(numbers: str) -> str:
    """With real minus signs, and a space before a per cent."""
    return re.sub(r"(?<=\d)%", " %", numbers.replace("-", "−"))


def span(parts: dict[str, Interval], digits: str = ".3g") -> str:
    """The range of the configurations' means: "0.84 to 1.00 over 4 configurations (n = 12 runs)"."""
    if not parts:
        return "not known for any configuration"
    if len(parts) == 1:
        return f"{next(iter(parts.values())).text(digits)} runs"
    least, most = (end(part.mean for part in parts.values()) for end in (min, max))
    n = sum(part.n for part in parts.values())
    told = _typeset(f"{least:{digits}} to {most:{digits}}")
    return f"{told} over {len(parts)} configurations (n = {n} runs)"


def unknown(why: str, evidence: pd.DataFrame | None = None, chart: Any = None) -> Verdict:
    """The verdict "cannot be told", and why."""
    return Verdict(CANNOT_TELL, why, pd.DataFrame() if evidence is None else evidence, chart)


def against(runs: Runs, finished: str, evidence: pd.DataFrame | None = None, chart: Any = None) -> Verdict:
    """What diverged runs make of a claim about every configuration: not reproduced; `finished` says what others do."""
    of_others = f" Of the others: {finished}." if finished and len(runs) else ""
    said = f"{runs.losses()}It does not hold for those, and so not for every one.{of_others}"
    return Verdict(NOT_REPRODUCED, said, pd.DataFrame() if evidence is None else evidence, chart)


def failed(check: str, why: str) -> Verdict:
    """What stands where a verdict would, for a check that fell over."""
    return Verdict(CANNOT_TELL, f"The check {check} failed, so nothing was judged: {why}", has_failed=True)


def by_place(place: str) -> str:
    """Inside the margins a claim is reproduced, outside not; an interval across them cannot tell."""
    return {"inside": REPRODUCED, "outside": NOT_REPRODUCED, "across": CANNOT_TELL}[place]
