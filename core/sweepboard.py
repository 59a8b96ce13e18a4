"""What every reading of a sweep starts from: its results, the number judged by, the board of its configurations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from core import metrics, sweep_sql, sweeps, wording
from core.store import Store
from core.sweeprecord import Record
from core.usable import level_text, ordered_levels

PARTS = ("validation", "test", "train")
MOST_LEVELS = 12
"""A knob with more numeric levels than this was drawn, not chosen: for tests it is cut into thirds."""
FIXED = ("run", "cell", "config_id", "seed", "state", "diverged", "outcome")
NOT_FINISHED = ("queued", "starting", "running", "paused")


@dataclass(frozen=True)
class Found:
    """The runs of a sweep: `results` as in `sweeps.results`, its factors, the task, the numbers that can be judged (the
    one to begin with first) and those logged over time."""

    sweep: str
    results: pd.DataFrame
    factors: tuple[str, ...]
    task: str
    responses: tuple[str, ...]
    curves: tuple[str, ...]

    @property
    def n_finished(self) -> int:
        """Runs that will not change any more."""
        return int((~self.results["state"].isin(NOT_FINISHED)).sum())


def find(store: Store, record: Record) -> Found:
    """What the index knows of this sweep now."""
    results, factors = sweeps.results(store, record.id), tuple(record.factors)
    tasks = store.query(sweep_sql.TASK, [record.runs])["task"].tolist()
    task = str(tasks[0]) if tasks else ""
    over_time = store.query(sweep_sql.OVER_TIME, [record.runs])["name"].astype(str).tolist()
    curves = _ordered(over_time, task)
    return Found(record.id, results, factors, task, responses(results, factors, task), curves)


def fingerprint(store: Store, record: Record) -> str:
    """Changes when any of its runs logs something, ends or is replaced, without reading their numbers."""
    known = store.query(sweep_sql.FINGERPRINT, [record.runs, record.runs]).to_json()
    told = repr((record.id, record.entries, known))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


# ---- the number that is judged ----


def responses(results: pd.DataFrame, factors: Sequence[str], task: str) -> tuple[str, ...]:
    """The columns that hold a finite number: validation and test scores of the task's own metric first, then losses."""
    others = [str(c) for c in results.columns if c not in FIXED and c not in factors]
    numeric = [c for c in others if np.isfinite(pd.to_numeric(results[c], errors="coerce").astype(float)).any()]
    return _ordered(numeric, task)


def _ordered(names: Sequence[str], task: str) -> tuple[str, ...]:
    primary = metrics.primary(task)
    first = [f"{part}/{primary}" for part in PARTS[:2]] + ["train/loss", "validation/loss", "test/loss"]

    def rank(name: str) -> tuple[int, int, str]:
        part = name.partition("/")[0]
        place = PARTS.index(part) if part in PARTS else len(PARTS) + (name == "seconds")
        return (first.index(name) if name in first else len(first), place, name)

    return tuple(sorted(names, key=rank))


def better(name: str) -> str:
    """ "higher", "lower" or "neither", as the metric's own docstring says."""
    if name == "seconds" or name.startswith(("spread/", "gap/")):
        return "lower"
    try:
        return metrics.about(name).better
    except ValueError:
        return "neither"


def meaning(name: str) -> str:
    """What this number is, in one sentence; empty where nothing is known."""
    if name == "seconds":
        return "Time a run spent in training; runs that trained together in one process have none."
    try:
        return metrics.about(name).sentence
    except ValueError:
        return ""


def _ends(name: str) -> tuple[float, float]:
    """The least and the largest value it can have; infinite where nothing is known."""
    if name == "seconds" or name.startswith(("spread/", "gap/")):
        return 0.0, np.inf
    try:
        return metrics.about(name).ends
    except ValueError:
        return -np.inf, np.inf


# ---- the board ----


def board(results: pd.DataFrame, response: str, factors: Sequence[str], *, level: float = 0.95) -> pd.DataFrame:
    """A row per configuration, best first: cell, name, a column per factor (text), n (runs with a number), mean, low,
    high (t interval over seeds, cut where the metric ends, NaN for one), sd, planned, diverged, divergence_rate (of the
    runs that ended; NaN where none did), outcomes ("2 done, 1 diverged"), runs (list of names).

    Only runs that are done count for the mean. Higher first unless lower is better.
    """
    from scipy.stats import t

    columns = ["cell", "name", *factors, "n", "mean", "low", "high", "sd", "planned", "diverged", "divergence_rate",
               "outcomes", "runs"]  # fmt: skip
    if results.empty:
        return pd.DataFrame(columns=columns)
    values = pd.to_numeric(results[response], errors="coerce").astype(float)
    values = values.where(np.isfinite(values) & (results["state"] == "done"))
    frame = results.assign(value=values, is_over=~results["state"].isin(NOT_FINISHED))
    groups = frame.groupby("cell", sort=True)
    told = groups["value"].agg(n="count", mean="mean", sd="std")
    told["planned"], told["diverged"] = groups.size(), groups["diverged"].sum().astype(int)
    told["divergence_rate"] = told["diverged"] / groups["is_over"].sum().astype(float).replace(0.0, np.nan)
    several = told["n"].where(told["n"] > 1)
    half = t.ppf(0.5 + level / 2, several.to_numpy(float) - 1) * told["sd"] / np.sqrt(several)
    ends = _ends(response)
    told["low"], told["high"] = (told["mean"] - half).clip(*ends), (told["mean"] + half).clip(*ends)
    for factor in factors:
        told[factor] = groups[factor].first().map(level_text)
    told["name"] = [" · ".join(row) or "all runs" for row in told[list(factors)].astype(str).to_numpy()]
    outcome = frame["outcome"].where(frame["outcome"].astype(bool), frame["state"])
    counts = pd.crosstab(frame["cell"], outcome)
    told["outcomes"] = [_outcomes(row) for row in counts.reindex(told.index).to_dict("records")]
    told["runs"] = groups["run"].agg(list)
    is_rising = better(response) == "lower"
    told = told.sort_values("mean", ascending=is_rising, kind="stable", na_position="last").reset_index()
    return told[columns]


def _outcomes(counts: dict[str, int]) -> str:
    order = ["done", *sorted(set(counts) - {"done"})]
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state))


def factors_of(table: pd.DataFrame) -> list[str]:
    """The factors of a board, in the order in which its names say their levels."""
    columns = [str(column) for column in table.columns]
    return columns[columns.index("name") + 1 : columns.index("n")]


def named_by(table: pd.DataFrame) -> str:
    """What the names on a board say, in their order: "learning rate · momentum"."""
    return " · ".join(map(wording.words, factors_of(table))) or "configuration"


def _called(row: pd.Series, factors: Sequence[str]) -> str:
    """A configuration in a sentence: "learning rate 0.1 · momentum 0.9"."""
    return " · ".join(f"{wording.words(factor)} {row[factor]}" for factor in factors) or str(row["name"])


def best_sentence(table: pd.DataFrame, response: str) -> str:
    """Which configuration leads, whether the interval of any other meets its own, and how many of its runs diverged, in
    sentences; says why none does."""
    name, ranked = wording.words(response), table[table["n"] > 0]
    if ranked.empty:
        return f"No configuration has a finished run with a {name}."
    factors = factors_of(table)
    return _lead(ranked, response, name, factors) + _survivors(ranked, factors)


def _survivors(ranked: pd.DataFrame, factors: Sequence[str]) -> str:
    """A mean over runs that did not diverge flatters whoever loses most: said of the first, with who else can lead."""
    first = ranked.iloc[0]
    if not first["diverged"]:
        return ""
    lost = wording.count_text(int(first["diverged"]), "run")
    told = f" But {lost} of its {first['planned']} diverged, and the mean is over those that did not"
    whole = ranked[ranked["diverged"] == 0]
    if whole.empty:
        return f"{told}; so did runs of every other."
    best = whole.iloc[0]
    return f"{told}: of those that lost none, {_called(best, factors)} leads with {wording.number_text(best['mean'])}."


def _lead(ranked: pd.DataFrame, response: str, name: str, factors: Sequence[str]) -> str:
    first, which = ranked.iloc[0], "lowest" if better(response) == "lower" else "highest"
    lead = wording.sentence_case(f"{_called(first, factors)} has the {which} mean {name}")
    if len(ranked) == 1:
        lead = f"One configuration ({_called(first, factors)}) has a mean {name}"
    told = f"{lead}, {wording.number_text(first['mean'])}"
    if not np.isfinite(first["low"]):
        return f"{told} from one run: without a second seed there is no interval, so this may be luck."
    told += f" {wording.interval_text(first['low'], first['high'])} (mean and 95 % interval over {first['n']} seeds)"
    others = ranked.iloc[1:]
    meets = others[(others["low"] <= first["high"]) & (others["high"] >= first["low"])]
    if others.empty:
        return f"{told}."
    if len(meets):
        return f"{told}; the intervals of {wording.count_text(len(meets), 'other')} overlap with it."
    unknown = int(others["low"].isna().sum())
    tail = f", but {wording.count_text(unknown, 'other')} have one run and no interval" if unknown else ""
    return f"{told}; no other's interval overlaps with it{tail}."


# ---- columns made from others ----


def with_thirds(found: Found, response: str) -> tuple[pd.DataFrame, str]:
    """Results for tests of effects, and what was done to them, empty where nothing was.

    Levels drawn from a range are all different, so nothing repeats: they are cut into thirds, each named by its median,
    and a configuration counts once, with its mean over seeds; its name stands in the column "configuration". Equal
    levels stay in one third.
    """
    results, drawn = found.results, []
    for factor in found.factors:
        levels = ordered_levels(results[factor])
        if len(levels) > MOST_LEVELS and pd.to_numeric(pd.Series(levels), errors="coerce").notna().all():
            drawn.append(factor)
    if not drawn:
        return results, ""
    values = pd.to_numeric(results[response], errors="coerce").astype(float)
    kept = results.assign(**{response: values})[np.isfinite(values) & (results["state"] == "done")]
    others = [factor for factor in found.factors if factor not in drawn]
    means = kept.groupby("cell", sort=True).agg({response: "mean", **dict.fromkeys(found.factors, "first")})
    for factor in drawn:
        numeric = pd.to_numeric(means[factor]).astype(float)
        third = np.minimum(2, (3 * numeric.rank(method="average").sub(0.5) / max(len(numeric), 1)).astype(int))
        medians = numeric.groupby(third).transform("median")
        digits = next((d for d in range(3, 12) if medians.map(partial(_rounded, d)).nunique() == third.nunique()), 12)
        means[factor] = medians.map(partial(_rounded, digits))
    note = (
        f"Levels of {wording.list_text([wording.words(f) for f in drawn])} were drawn from a range: they are cut into "
        f"thirds, each named by its median, and each of {len(means):,} configurations counts once. "
        f"{len(results) - len(kept):,} of {len(results):,} runs are left out, not done or without this number."
    )
    return means.rename_axis("configuration").reset_index()[[*others, *drawn, response, "configuration"]], note


def _rounded(digits: int, value: float) -> float:
    return float(f"{value:.{digits}g}")


def with_goals(found: Found) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Results with further columns that a trade-off may be about, and all names to choose from.

    "gap/x" is the distance between train and validation of x (generalisation), "spread/x" the distance of a run from
    the mean of its configuration (stability; times √(n/(n − 1)), since the mean of few runs lies near each of them, and
    none of a configuration with one run), "knob/x" a numeric factor (capacity).
    """
    results = found.results.copy()
    more: list[str] = []
    for name in found.responses:
        bare = name.removeprefix("validation/")
        if bare != name and f"train/{bare}" in results:
            results[f"gap/{bare}"] = (results[name] - results[f"train/{bare}"]).abs()
            more.append(f"gap/{bare}")
    if len(results) and results["seed"].nunique() > 1:
        for name in found.responses[:2]:
            done = pd.to_numeric(results[name], errors="coerce").where(results["state"] == "done")
            of_cell = done.groupby(results["cell"])
            n = of_cell.transform("count").astype(float)
            results[f"spread/{name}"] = (done - of_cell.transform("mean")).abs() * np.sqrt(n / (n - 1).where(n > 1))
            more.append(f"spread/{name}")
    for factor in found.factors:
        numeric = pd.to_numeric(results[factor], errors="coerce")
        if len(numeric) and numeric.notna().all() and numeric.nunique() > 1:
            results[f"knob/{factor}"] = numeric.astype(float)
            more.append(f"knob/{factor}")
    return results, (*found.responses, *more)


def cautions(goals: Iterable[str]) -> list[str]:
    """What to keep in mind about goals that `with_goals` made."""
    if not any(goal.startswith("spread/") for goal in goals):
        return []
    return ["A spread over few seeds is known badly, and its interval is rough: it may reach below 0."]


def statement(record: Record, response: str) -> str:
    """The SQL that reads the runs, their levels and this number from the index: one SELECT for the SQL page."""
    levels = "".join(
        f",\n       max(CASE WHEN c.name = {_text(name)} THEN c.value END) AS {_name(name)}" for name in record.factors
    )
    replaced = [run for entry in record.entries for run in entry.before]
    without = f"\n  AND r.run NOT IN ({', '.join(map(_text, replaced))})" if replaced else ""
    if response == "seconds":
        value, join = "any_value(r.seconds)", ""
    else:
        value = "any_value(f.value)"
        join = f"""
LEFT JOIN (SELECT run, value FROM metrics WHERE name = {_text(response)}
           QUALIFY row_number() OVER (PARTITION BY run ORDER BY step DESC, n DESC) = 1) f USING (run)"""
    return f"""SELECT r.run, r.config_id, r.seed, r.state{levels},
       {value} AS {_name(response)}
FROM runs r JOIN configs c USING (run){join}
WHERE r.sweep = {_text(record.id)}{without}
GROUP BY r.run, r.config_id, r.seed, r.state
ORDER BY r.config_id, r.seed"""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
