"""Reports of polyphonic evaluations: how each is kept and found again, and two of them set side by side."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import aggregation, datasets, disk, evaluation, listening, multilabel, paths, rundir, thresholds
from core.config import fingerprint

VERSION = 1
LONGEST_WINDOW_S = 30.0
PARTS = ("run", "made_at", "trained_on", "data", "data_version", "labels", "chosen", "polyphonic", "usual", "mono",
         "baseline", "classes", "confusion", "missed", "items", "explained", "notes")  # fmt: skip
"""What a report must have to be shown."""


@dataclass(frozen=True)
class Settings:
    """How items are heard and judged; `check` refuses what cannot be."""

    window_s: float = 3.0
    hop_s: float = 1.5
    aggregate: str = "mean"
    thresholds: str = "global"

    def check(self) -> None:
        """ValueError for a window, a hop, an aggregate or thresholds that there are not."""
        if not 0 < self.window_s <= LONGEST_WINDOW_S:
            raise ValueError(f"The window must be above 0 and at most {LONGEST_WINDOW_S:g} s, not {self.window_s:g} s.")
        if not 0.05 <= self.hop_s <= self.window_s:
            raise ValueError(
                f"The hop must be 0.05 s to the window's {self.window_s:g} s, so that nothing stays unheard, "
                f"not {self.hop_s:g} s."
            )
        if self.aggregate not in aggregation.AGGREGATES:
            there = ", ".join(aggregation.AGGREGATES)
            raise ValueError(f"There is no aggregate {self.aggregate!r}; there are {there}.")
        if self.thresholds not in thresholds.KINDS:
            there = ", ".join(thresholds.KINDS)
            raise ValueError(f"There are no thresholds {self.thresholds!r}; there are {there}.")


def place(run: str) -> Path:
    """The folder of a run's reports: its own, or one in the cache where the run ships with the project."""
    folder = listening.folder_of(run)
    return paths.cache() / "polyphonic" / folder.name if rundir.is_starter(folder) else folder / "polyphonic"


def find(run: str, data: str, settings: Settings) -> dict[str, Any] | None:
    """The kept report of a run as it was made with these settings on this data set, or the one that ships with the
    run; None where there is none."""
    folder = listening.folder_of(run)
    try:
        name = _name(run, datasets.settled(data), settings)
    except ValueError:  # no such data set any more
        return None
    report = _read(place(run) / name)
    if not rundir.is_starter(folder):
        return report
    if report is not None and report.get("stamp") == evaluation.load_model(folder).stamp:
        return report
    return _read(folder / "polyphonic" / name)  # what is kept in the cache was of weights that shipped before


def _name(run: str, data: str, settings: Settings) -> str:
    told = "".join(c if c.isalnum() or c in "-." else "_" for c in data)[:60]
    _, at, moment = run.partition("@")
    return f"{told}-{fingerprint([data, at + moment, asdict(settings), VERSION])}.json"


def write(report: dict[str, Any]) -> dict[str, Any]:
    """Keep a report in place of the one made with the same settings on the same data; returns it as it will be read.

    Raises OSError where it cannot be kept.
    """
    settings = Settings(**{name: report[name] for name in ("window_s", "hop_s", "aggregate", "thresholds")})
    target = place(report["run"])
    target.mkdir(parents=True, exist_ok=True)
    disk.sweep(target)
    kept: dict[str, Any] = _plain(report)
    text = json.dumps(kept, separators=(",", ":"), allow_nan=False)
    disk.replace(target / _name(report["run"], datasets.settled(report["data"]), settings), text.encode())
    mark = paths.cache() / "polyphonic"
    mark.mkdir(exist_ok=True)
    os.utime(mark)
    return kept


def changed_ns() -> int:
    """When a report was last kept here; 0 before the first. Whoever remembers what reports say asks for it."""
    try:
        return (paths.cache() / "polyphonic").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(path: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(path.read_bytes())
        is_known = report["version"] == VERSION and all(part in report for part in PARTS)
        return report if is_known and len(report["items"]["truth"]) == report["polyphonic"]["n_items"] else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """JSON has no NaN: null instead."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


# ---- two runs ----


def taught(first: dict[str, Any], second: dict[str, Any]) -> str:
    """That two runs did not learn from the same clips, for beside their comparison; "" where they did."""
    told = [f"{one['trained_on']}, split {one['split']}" for one in (first, second)]
    if told[0] == told[1]:
        return ""
    return f"They did not learn from the same clips ({told[0]}; {told[1]}): a difference may come from that."


def compare(first: dict[str, Any], second: dict[str, Any]) -> pd.DataFrame:
    """Two reports on the same items, class by class: label, n, first, second (F1), difference, low, high, p, p_holm.

    The interval and p are of the difference, by a paired bootstrap over groups; p_holm is adjusted over the classes.
    Two more rows, "micro_f1" and "macro_f1", are the totals, which the adjustment leaves alone. ValueError where the
    items or the labels are not the same.
    """
    from core.effects import holm

    a, b = first["items"], second["items"]
    same = ("data", "data_version", "labels")
    if any(first[key] != second[key] for key in same) or a["item"] != b["item"] or a["truth"] != b["truth"]:
        raise ValueError(
            f"{first['run']} was scored on {len(a['item'])} items of {first['data']} and {second['run']} on "
            f"{len(b['item'])} of {second['data']}, which are not the same; score both on the same data again."
        )
    truth, groups = np.array(a["truth"]), np.array(a["group"], dtype=str)
    drawn = [multilabel.resampled(truth, np.array(x["said"]), np.array(x["scores"]), groups) for x in (a, b)]
    names = [f"f1_{k}" for k in range(truth.shape[1])] + ["micro_f1", "macro_f1"]
    apart = multilabel.differences(drawn[0], drawn[1], names)
    about = [(label, int(n)) for label, n in zip(first["labels"], truth.sum(axis=0), strict=True)]
    about += [("micro_f1", len(truth)), ("macro_f1", len(truth))]
    sides = [[float("nan") if f1 is None else float(f1) for f1 in _f1(report)] for report in (first, second)]
    rows = [(*told, x, y, x - y, *apart[name]) for told, name, x, y in zip(about, names, *sides, strict=True)]
    table = pd.DataFrame(rows, columns=["label", "n", "first", "second", "difference", "low", "high", "p"])
    table = table.astype(dict.fromkeys(("low", "high", "p"), float))
    p = table["p"].to_numpy()[:-2]
    return table.assign(p_holm=np.append(holm(p), table["p"].to_numpy()[-2:]))


def _f1(report: dict[str, Any]) -> list[float | None]:
    """F1 of each class, then micro and macro F1."""
    total = report["polyphonic"]["metrics"]
    return [row["f1"] for row in report["classes"]] + [total[name]["value"] for name in ("micro_f1", "macro_f1")]
