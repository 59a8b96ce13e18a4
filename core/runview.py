"""One run as tables: its checkpoints, scores, relatives, surroundings, and the command that makes it again."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from core import branching, checkpoints, config, metrics, paths, run_sql, rundir
from core.runcurves import moved_text, number, read_detail
from core.store import Store

PER_LABEL = ("f1", "precision", "recall", "roc_auc", "ccc", "r2", "r", "rmse")
"""Metrics that are told once per class or per dimension: `f1_cel`, `ccc_valence`."""


def events(index: Store, run: str) -> pd.DataFrame:
    """Everything that happened in a run and is not a number: n, t, kind, step, detail (JSON)."""
    return index.query(run_sql.EVENTS, [run])


def figures(index: Store, run: str) -> dict[str, Any]:
    """What the run took, as far as it is known: epochs, seconds, items_per_s, peak_memory_mb, stopped_because."""
    rows = index.query(run_sql.FIGURES, [run]).to_dict("records")
    return {str(name): value for name, value in rows[0].items() if pd.notna(value)} if rows else {}


def knobs_now(spec: rundir.Spec, told: pd.DataFrame) -> dict[str, Any]:
    """The knobs in force: what the run began with, and every change since."""
    values = dict(spec.config)
    for detail in told.loc[told["kind"] == "changed", "detail"]:
        moved = read_detail(detail).get("values")
        pairs = moved.items() if isinstance(moved, dict) else ()
        values |= {name: pair[1] for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}
    return values


def checkpoint_table(
    stored: list[checkpoints.Stored], rows: pd.DataFrame, primary: str, scored_step: int | None
) -> pd.DataFrame:
    """The moments of a run that are on the disk: epoch, step, train loss, validation loss, validation <primary>, note,
    branch (whether a branch can begin there). `rows` are the run's numbers (step, name, value)."""
    told = rows.drop_duplicates(["step", "name"], keep="last").set_index(["name", "step"])["value"]
    logged = {"train loss": "train/loss", "validation loss": "validation/loss"}
    logged[f"validation {primary}"] = f"validation/{primary}"
    table = []
    for moment in stored:
        notes: list[str] = [name for name in ("best", "last") if name in moment.names]
        notes += ["the branch began here"] if "start" in moment.names else []
        notes += ["kept and scored"] if moment.step == scored_step else []
        numbers = {title: told.get((name, moment.step), np.nan) for title, name in logged.items()}
        about = {"epoch": moment.epoch, "step": moment.step}
        table.append({**about, **numbers, "note": ", ".join(notes), "branch": moment.has_full_state})
    return pd.DataFrame(table, columns=["epoch", "step", *logged, "note", "branch"])


def two_moments(rows: pd.DataFrame, first_step: int, second_step: int) -> pd.DataFrame:
    """What two moments of a run logged on validation, side by side: metric, first, second, second − first."""
    told = rows[rows["name"].str.startswith("validation/")].drop_duplicates(["step", "name"], keep="last")
    sides = [told[told["step"] == step].set_index("name")["value"] for step in (first_step, second_step)]
    both = pd.DataFrame({"first": sides[0], "second": sides[1]}).dropna()
    both["second − first"] = both["second"] - both["first"]
    both.index = pd.Index([str(name).removeprefix("validation/") for name in both.index], name="metric")
    return both.reset_index()


# ---- scores ----


def score_table(index: Store, run: str) -> pd.DataFrame:
    """Every evaluation of a run: data, split, part, metric, value, low, high, baseline, ceiling, n_items,
    labels_per_item."""
    return index.query(run_sql.SCORES, [run])


def overall(scores: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The scores that are not of one class or dimension, the one that runs are ranked by first."""
    chosen = scores[[_label_of(name) is None for name in scores["metric"]]]
    order = chosen["metric"].ne(primary).sort_values(kind="stable").index
    return chosen.loc[order].reset_index(drop=True)


def per_label(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per class or dimension (`label`), one column per metric, and the ends of its interval where it has one;
    `n` is how many items have the class, where that was counted.

    `scores` are of one part of one data set and split.
    """
    of_recall = scores["metric"].str.startswith("recall_")
    is_counted = bool((scores.loc[of_recall, "n_items"] < scores["n_items"].max()).any())  # older versions did not
    rows: dict[str, dict[str, Any]] = {}
    for score in scores.to_dict("records"):
        found = _label_of(score["metric"])
        if found is None:
            continue
        metric, label = found
        row = rows.setdefault(label, {"label": label})
        row[metric] = score["value"]
        if metric == "recall" and is_counted:
            row["n"] = score["n_items"]
        if pd.notna(score["low"]):
            row[f"{metric} low"], row[f"{metric} high"] = score["low"], score["high"]
    names = ["n"] + [c for metric in PER_LABEL for c in (metric, f"{metric} low", f"{metric} high")]
    columns = [name for name in names if any(name in row for row in rows.values())]
    return pd.DataFrame(list(rows.values()), columns=["label", *columns])


def _label_of(name: str) -> tuple[str, str] | None:
    """ "f1_cel" is ("f1", "cel"); None for a score over all classes."""
    for metric in PER_LABEL:
        if name.startswith(f"{metric}_") and name not in metrics.METRICS:
            return metric, name.removeprefix(f"{metric}_")
    return None


# ---- relatives ----


def family(index: Store, run: str) -> list[branching.Relative]:
    """The run, all it descends from and all that descends from those, parents before their branches; from the index.

    What the index does not know is in the trash, or gone.
    """
    began: dict[str, dict[str, Any]] = {}
    children: dict[str, list[str]] = {}
    for row in index.query(run_sql.BRANCHES).sort_values("run").to_dict("records"):
        detail = read_detail(row["detail"]) | {"step": row["step"]}
        if isinstance(detail.get("parent"), str):
            began[row["run"]] = detail
            children.setdefault(detail["parent"], []).append(row["run"])
    root, passed = run, {run}
    while root in began and began[root]["parent"] not in passed:
        root = began[root]["parent"]
        passed.add(root)
    order: dict[str, int] = {}
    left = [(root, 0)]
    while left:
        name, depth = left.pop()
        if name not in order:
            order[name] = depth
            left += [(child, depth + 1) for child in reversed(children.get(name, []))]
    known = index.query(run_sql.RELATIVES, [list(order)]).set_index("run")["state"].to_dict()
    return [_relative(name, depth, known.get(name), began.get(name)) for name, depth in order.items()]


def _relative(run: str, depth: int, state: str | None, began: dict[str, Any] | None) -> branching.Relative:
    if state is None:
        is_name = bool(run) and "/" not in run and run not in (".", "..")
        state = "in the trash" if is_name and (paths.trash() / run).is_dir() else "gone"
    if began is None:
        return branching.Relative(run, depth, state)
    values = began["values"] if isinstance(began.get("values"), dict) else {}
    step = None if pd.isna(began["step"]) else int(began["step"])
    return branching.Relative(run, depth, state, began["parent"], step, number(began.get("epoch"), 0.0), values)


def same_configuration(index: Store, run: str) -> pd.DataFrame:
    """Other runs of the same configuration: run, seed, state, created_at; at most 50."""
    return index.query(run_sql.SAME_CONFIGURATION, [run])


def used_by(index: Store, run: str) -> list[str]:
    """Runs that were given this one as an input (a model to build on, a teacher), newest first."""
    return index.query(run_sql.USED_BY, [json.dumps(run)])["run"].drop_duplicates().tolist()


# ---- what it is ----


def command(trainer: ModuleType, spec: rundir.Spec, branched: dict[str, Any] | None = None) -> str:
    """The command that makes this run again. A branch (its first event is `branched`) begins from its parent again.

    Raises ValueError where its knobs are not those of the trainer here.
    """
    settings = config.make(trainer.Config, spec.config)
    if spec.parent is None:
        return config.command(
            spec.trainer, settings, data=spec.data, split=spec.split, seed=spec.seed, device=spec.device
        )
    about = branched or {}
    words = ["python", "lab.py", "run", "branch", spec.parent, "--epoch", f"{round(number(about.get('epoch'), 0.0))}"]
    values = about["values"] if isinstance(about.get("values"), dict) else {}
    for name, pair in values.items():
        value = pair[1] if isinstance(pair, list) and len(pair) == 2 else pair
        words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return shlex.join(words)


def knob_table(trainer: ModuleType | None, spec: rundir.Spec, now: dict[str, Any]) -> pd.DataFrame:
    """Every knob of a run as text: knob, value, default, changed to (where it moved while the run trained)."""
    about = config.knobs(trainer.Config) if trainer else {}
    rows = []
    for name, value in spec.config.items():
        default = _text(about[name].default) if name in about else "not a knob here"
        moved = _text(now[name]) if now.get(name) != value else ""
        rows.append({"knob": name, "value": _text(value), "default": default, "changed to": moved})
    return pd.DataFrame(rows, columns=["knob", "value", "default", "changed to"])


def surroundings(spec: rundir.Spec) -> pd.DataFrame:
    """Packages the run was made with beside those here: what, then, here, and "differs" where any does."""
    names = sorted(str(name) for name in spec.versions)
    then, now = [str(spec.versions[name]) for name in names], [_version_here(name) for name in names]
    is_other = ["differs" if a != b else "" for a, b in zip(then, now, strict=True)]
    return pd.DataFrame({"what": names, "then": then, "here": now, **({"": is_other} if any(is_other) else {})})


def _version_here(package: str) -> str:
    if package == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return "not installed"


def log_tail(folder: Path, most_bytes: int = 64_000) -> tuple[str, bool]:
    """The end of what the run printed, and whether there is more before it."""
    try:
        with (folder / "stdout.log").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - most_bytes, 0))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "", False
    return (text.partition("\n")[2], True) if size > most_bytes else (text, False)


def happened(told: pd.DataFrame, most: int = 200) -> pd.DataFrame:
    """The newest events of a run, progress left out, newest first: when (s since 1970), what, step, about."""
    chosen = told[told["kind"] != "progress"].tail(most).iloc[::-1]
    about = [_about(kind, read_detail(detail)) for kind, detail in zip(chosen["kind"], chosen["detail"], strict=True)]
    return pd.DataFrame({"t": chosen["t"], "what": chosen["kind"], "step": chosen["step"], "about": about})


def _about(kind: str, detail: dict[str, Any]) -> str:
    if kind in ("changed", "branched"):
        return moved_text(detail.get("values"))
    if kind == "state":
        return ": ".join(str(detail[name]) for name in ("state", "reason") if detail.get(name))
    if kind == "checkpoint":
        return f"epoch {_text(detail.get('epoch'))}{', the best so far' if detail.get('is_best') else ''}"
    parts = [
        f"{name.replace('_', ' ')} {_text(value)}"
        for name, value in detail.items()
        if name not in ("wish", "state") and value not in ("", None)
    ]
    return ", ".join(parts)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
