"""Studies: a published table beside our runs, and for each claim a verdict that a function computes from them.

study = studies.load("implicit_em")
runs = studies.runs_of(store, study)
studies.compare(study, runs)        # published beside measured
studies.judge(study, runs)          # claim by claim
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd

from core import background, datasets, paths, studyfaults, sweepchecks, sweepfile, threads, verdicts
from core.studybeside import compare, elsewhere, untimed
from core.studyruns import UNDER_WAY, coverage, going_on, lacking, runs_of, sweeps_of, under_way, variants
from core.sweepfile import SweepFile
from core.verdicts import Refusal, Runs, Verdict

__all__ = [
    "UNDER_WAY",
    "Refusal",
    "Runs",
    "Verdict",
    "compare",
    "complete",
    "coverage",
    "elsewhere",
    "incomplete",
    "judge",
    "lacking",
    "load",
    "names",
    "runs_of",
    "start",
    "sweeps_of",
    "under_way",
    "untimed",
    "variants",
]

CLAIM_KEYS = ("id", "text", "check", "args", "chart", "read", "whose", "needs")
PUBLISHED_KEYS = ("columns", "rows", "digits", "derived", "note", "figures")
SD = "_sd"


@dataclass(frozen=True)
class Claim:
    """A sentence and the function that judges it. `whose` is "published", or "ours" for what explains or refutes;
    `needs` are the sweeps without whose runs it cannot be told: "main", or names of stages; `read` says what to look
    for in its chart."""

    id: str
    text: str
    check: str
    args: dict[str, Any]
    chart: str = ""
    whose: str = "published"
    needs: tuple[str, ...] = (verdicts.MAIN,)
    read: str = ""


@dataclass(frozen=True)
class Published:
    """The published table: `frame` as printed, factor columns first; `metrics` have an optional `<metric>_sd` beside
    them; `digits` is the last printed digit of each metric in its unit (0.001 for 92.9 %), `derived` the metrics that
    a function of the study computes from the curves, `figures` number → drawing function, `data` what it was measured
    on."""

    frame: pd.DataFrame
    factors: tuple[str, ...]
    metrics: tuple[str, ...]
    digits: dict[str, float]
    derived: tuple[str, ...]
    note: str
    figures: dict[str, str]
    data: str


@dataclass(frozen=True)
class Study:
    """A study as its file says; `file` is its main sweep in full, `module` has its checks. `data` is another data set
    on which all of it was asked for, empty for what the file says."""

    name: str
    path: Path
    file: SweepFile
    published: Published | None
    claims: tuple[Claim, ...]
    module: ModuleType | None
    data: str = ""

    def function(self, name: str) -> Any:
        """A function of the study: a check, a derived metric or a figure."""
        return getattr(self.module, name)


class Judged(NamedTuple):
    """A claim and what its check found."""

    claim: Claim
    verdict: Verdict


def folder() -> Path:
    """Where the studies lie."""
    return paths.PROJECT / "studies"


def names() -> list[str]:
    """The studies that ship, alphabetical."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str, data: str = "") -> Study:
    """A study by its name, on other `data` where that is named; ValueError for an unknown one of either, and with the
    line for a mistake in its file."""
    if name not in names():
        raise ValueError(f"There is no study {name!r}; there are {', '.join(names()) or 'none'}.")
    return read(folder() / f"{name}.toml", data)


def read(path: Path, data: str = "") -> Study:
    """The study in a file. ValueError with file and line for an unknown trainer, knob or check, or a bad table.

    On other `data` its published numbers stay those of its own: `compare` sets nothing beside them.
    """
    path = Path(path)
    file = sweepfile.read(path)
    measured_on = file.data
    if data:
        data = datasets.settled(data)
        file = sweepfile.read(path, data=data)
    try:
        module = _module(path.stem)
    except Exception as error:  # its functions are a file that anybody may write: whatever an import can raise
        raise ValueError(studyfaults.sentence(error)) from error
    try:
        claims = tuple(_claim(raw, number, module, file) for number, raw in enumerate(file.claims))
        for number, claim in enumerate(claims):
            if claim.id in {other.id for other in claims[:number]}:
                _wrong(file, f"claims[{number}].id", f"There are two claims {claim.id!r}.")
        return Study(path.stem, path, file, _published(file, module, measured_on), claims, module, data)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None


def judge(study: Study, runs: Runs) -> list[Judged]:
    """Each claim's verdict, in the order of the file. A check that refuses its numbers (`Refusal`) cannot tell, and
    why; one that falls over in any other way is no verdict (`has_failed`), and leaves the others as they are."""
    threads.one_for_analyses()
    return [Judged(claim, _judged(study, claim, runs)) for claim in study.claims]


def _judged(study: Study, claim: Claim, runs: Runs) -> Verdict:
    try:
        verdict = study.function(claim.check)(runs, **claim.args)
    except Refusal as error:
        return verdicts.unknown(str(error))
    except Exception as error:  # a check is a file that anybody may write: whatever a slip in it can raise
        return verdicts.failed(claim.check, studyfaults.sentence(error))
    if not isinstance(verdict, Verdict):
        return verdicts.failed(claim.check, f"it returned {type(verdict).__name__}, not a Verdict.")
    return verdict


def start(
    study: Study, runs: Runs, *, quick: bool = False, stages: Sequence[str] | None = None, confirmed: bool = False
) -> list[str]:
    """Start the runs that the study (or these of its sweeps) still needs, the main sweep first; returns the ids of the
    sweeps in which they are made. Runs that are here already are not made again, nor are those of a sweep that is
    `under_way`; where a sweep ended since its processes were killed, it goes on."""
    from core import sweeps  # it brings the supervisor, which reading a study does not need

    wanted, files = lacking(study, runs, quick=quick, stages=stages), variants(study, quick=quick)
    before, started = going_on(study, quick=quick), []
    for stage, pairs in wanted.items():
        one = before.get(stage)
        if one is not None and one.state in UNDER_WAY:
            continue
        if one is not None and one.state == "incomplete" and one.counts.get("lost"):
            sweeps.rerun_failed(one.id, ["lost", "failed", "stopped"])
            started.append(one.id)
            made = {(entry.cell, entry.seed) for entry in sweeps.read(one.id).entries}
            pairs = [pair for pair in pairs if pair not in made]
        if pairs:
            started.append(sweeps.start(files[stage], only=set(pairs), confirmed=confirmed))
    return started


def complete(study: Study, runs: Runs, progress: datasets.Progress = datasets.no_progress) -> int:
    """Make what claims need beside the runs, by the study's own `complete(runs, progress)` where it has one.

    Returns how many things were made. Raises ValueError where one cannot be.
    """
    make = getattr(study.module, "complete", None)
    if make is None:
        return 0
    try:
        return int(make(runs, progress))
    except (ValueError, OSError, background.Cancelled):
        raise
    except Exception as error:  # a study's functions are a file that anybody may write
        raise ValueError(studyfaults.sentence(error)) from error


def incomplete(study: Study, runs: Runs) -> str:
    """What `complete` would make, in a sentence by the study's own `incomplete(runs)`; empty where nothing lacks."""
    ask = getattr(study.module, "incomplete", None)
    try:
        return str(ask(runs)) if ask else ""
    except Exception as error:  # as above
        return f"What is lacking beside its runs cannot be told: {studyfaults.sentence(error)}"


# ---- reading ----


@functools.cache
def _module(name: str) -> ModuleType | None:
    """`studies/<name>.py`, None where there is none."""
    try:
        found = importlib.util.find_spec(f"studies.{name}")
    except ValueError:  # set by hand, in a test
        found = None
    return importlib.import_module(f"studies.{name}") if found is not None else None


def _wrong(file: SweepFile, key: str, sentence: str) -> Any:
    place = key
    while place and place not in file.lines:
        place = place.rpartition(".")[0]
    raise ValueError(f"line {file.lines.get(place, 1)}: {sentence}")


def _claim(raw: dict[str, Any], number: int, module: ModuleType | None, file: SweepFile) -> Claim:
    place = f"claims[{number}]"
    for key in raw:
        if key not in CLAIM_KEYS:
            _wrong(file, f"{place}.{key}", f"A claim has no {key!r}; it has {', '.join(CLAIM_KEYS)}.")
    for key in ("id", "text", "check"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            _wrong(file, f"{place}.{key}", f"A claim needs its {key}, a text in quotes.")
    if not isinstance(raw.get("read", ""), str):
        _wrong(file, f"{place}.read", "read is a sentence in quotes: what to look for in the claim's chart.")
    args, whose = raw.get("args", {}), raw.get("whose", "published")
    if whose not in ("published", "ours"):
        _wrong(file, f"{place}.whose", f'whose is "published" or "ours", not {whose!r}.')
    if not isinstance(args, dict):
        _wrong(file, f"{place}.args", "args is a table: args = { threshold = 1.0 }.")
    check = _function(file, module, raw["check"], f"{place}.check")
    taken = [name for name in inspect.signature(check).parameters][1:]
    for name in args:
        if name not in taken:
            said = f"{raw['check']} takes no {name!r}; it takes {', '.join(taken) or 'nothing'}."
            _wrong(file, f"{place}.args.{name}", said)
    if raw.get("chart"):
        _function(file, module, raw["chart"], f"{place}.chart")
    needs, known = raw.get("needs", [verdicts.MAIN]), (verdicts.MAIN, *file.stage_names)
    if not isinstance(needs, list) or any(stage not in known for stage in needs):
        _wrong(file, f"{place}.needs", f"needs is a list of stages among {', '.join(known)}, not {needs!r}.")
    fixed = {name: tuple(value) if isinstance(value, list) else value for name, value in args.items()}
    return Claim(
        raw["id"],
        raw["text"],
        raw["check"],
        fixed,
        raw.get("chart", ""),
        whose,
        tuple(needs),
        " ".join(raw.get("read", "").split()),
    )


def _function(file: SweepFile, module: ModuleType | None, name: str, place: str) -> Any:
    known = getattr(module, "__all__", ())
    if module is None:
        _wrong(file, place, f"There is no studies/{Path(file.name).name}.py with the function {name!r}.")
    if name not in known:
        _wrong(file, place, f"There is no check {name!r}; there are {', '.join(sorted(known))}.")
    return getattr(module, name)


def _published(file: SweepFile, module: ModuleType | None, data: str) -> Published | None:
    raw = file.published
    if not raw:
        return None
    for key in raw:
        if key not in PUBLISHED_KEYS:
            _wrong(file, f"published.{key}", f"[published] has no {key!r}; it has {', '.join(PUBLISHED_KEYS)}.")
    columns, rows = raw.get("columns", []), raw.get("rows", [])
    if not (_are_texts(columns) and columns):
        _wrong(file, "published.columns", "columns is a list of names, the factors first.")
    for name in columns:
        if columns.count(name) > 1:
            _wrong(file, "published.columns", f"There are two columns {name!r}.")
    if not isinstance(rows, list):
        _wrong(file, "published.rows", f"rows is a list of rows, [[…], […]], not {rows!r}.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            said = f"Row {number} has {len(row) if isinstance(row, list) else 'no'} values for {len(columns)} columns."
            _wrong(file, "published.rows", said)
        for name, value in zip(columns, row, strict=True):
            if not isinstance(value, str | int | float):
                _wrong(file, "published.rows", f"Row {number} has {value!r} as {name}; it must be a number or a text.")
    factors = tuple(name for name in columns if name in file.factors)
    if columns[: len(factors)] != list(factors) or not factors:
        have = ", ".join(file.factors)
        _wrong(file, "published.columns", f"The first columns must be factors of the sweep ({have}).")
    metrics = tuple(name for name in columns if name not in factors and not name.endswith(SD))
    for name in columns[len(factors) :]:
        if name.endswith(SD) and name.removesuffix(SD) not in metrics:
            _wrong(file, "published.columns", f"{name} stands beside no {name.removesuffix(SD)}.")
    digits, figures = (sweepchecks.table(raw, key, file.lines, "published.") for key in ("digits", "figures"))
    for name in metrics:
        if not isinstance(digits.get(name), int | float) or not 0 < digits[name] < math.inf:
            _wrong(file, "published.digits", f"digits must say the last printed digit of {name}, such as 0.1.")
    derived = raw.get("derived", [])
    if not _are_texts(derived):
        _wrong(file, "published.derived", f"derived is a list of names of functions, not {derived!r}.")
    for name in (*derived, *figures.values()):
        _function(file, module, name, "published.derived" if name in derived else "published.figures")
    frame = pd.DataFrame(rows, columns=columns)
    frame[columns[len(factors) :]] = frame[columns[len(factors) :]].apply(pd.to_numeric, errors="coerce")
    note = str(raw.get("note", ""))
    return Published(frame, factors, metrics, dict(digits), tuple(derived), note, dict(figures), data)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
