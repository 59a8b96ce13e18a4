"""Model cards: what a stored model is, what it learned from, how good it is, and what it must not be used for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core import ancestors, evaluation, itemwords, metrics, rundir
from core.datasets import INSTRUMENT_NAMES, Dataset

LIMITS = {
    ("cues", "emotion"): "Its labels come from a model of listeners and its sounds from a sound font: on recordings "
    "its values are a guess whose error nobody has measured.",
    ("cues", "instruments"): "Its sounds come from sound fonts, not from players: on recordings it is wrong far more "
    "often than on these.",
    ("deam", "emotion"): "It learned statistics of 45 s of music rated by crowd workers: it knows nothing shorter, and "
    "little of music unlike DEAM's.",
}
INSTRUMENTS = "It knows eleven instruments; whatever else sounds is taken for one of them or for none."
NON_COMMERCIAL = "These weights were learned from data for non-commercial research and carry the same condition."


def card(folder: Path, dataset: Dataset, model: evaluation.Model) -> str:
    """The card of a finished run as Markdown: data, split, scores with interval and baseline (each evaluation under a
    heading of its own, that of the run first), limits, licence."""
    spec = rundir.read_spec(folder)
    length = f", {model.window_s:g} s at a time" if model.window_s else ""
    limits = [text for (data, task), text in LIMITS.items() if spec.data.startswith(data) and spec.task == task]
    if spec.task == "instruments":
        limits.append(INSTRUMENTS)
    if "non-commercial" in dataset.licence:
        limits.append(NON_COMMERCIAL)
    lines = [
        f"# {spec.trainer} on {spec.data}, seed {spec.seed}",
        "",
        f"Task: {spec.task}. Eats {model.input}{length}. Run `{spec.id}`, split `{spec.split}`, "
        f"data version {dataset.version}.",
        "",
        f"{dataset.about} {dataset.citation}",
        "",
        *(line for report in _reports(folder, spec) for line in _scores(report, spec)),
        "The intervals are bootstraps over items, by group; a baseline knows the training labels only.",
        "",
        f"**Limits.** {' '.join(limits)}",
        "",
        f"**Licence of the data.** {dataset.licence}",
        "",
        "**Knobs.** " + ", ".join(f"{name} {value}" for name, value in spec.config.items()),
        "",
    ]
    return "\n".join(lines)


def _reports(folder: Path, spec: rundir.Spec) -> list[dict[str, Any]]:
    """Every evaluation of the run, that of its own data and split first."""
    found = [json.loads(path.read_text()) for path in sorted((folder / "evaluations").glob("*.json"))]
    return sorted(found, key=lambda report: (report["data"], report["split"]) != (spec.data, spec.split))


def _scores(report: dict[str, Any], spec: rundir.Spec) -> list[str]:
    """The lines of one evaluation: which data, a table, and what must be known before its parts are compared."""
    data = report["data"]
    about = "" if ancestors.may_know(spec.id, data) else ", which it did not learn from"
    leak = " (which leaks: items of one group lie on both sides of it)" if report.get("is_leaky") else ""
    rows = [row for part, scores in report["parts"].items() for row in _rows(part, scores)]
    primary = metrics.primary(spec.task)
    rows.sort(key=lambda row: (row.split("|")[1], row.split("|")[2].strip() != primary, row))
    words = " ".join(itemwords.sentences(itemwords.of_report(report), spec.task))
    classes = [line for part, of_part in report["parts"].items() if (line := _classes(part, of_part))]
    return [
        f"**On {evaluation.short_name(data)}**{about}, split `{report['split']}`{leak}:",
        "",
        "| part | score | value | 95 % interval | baseline | items |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        *(line for text in classes for line in (text, "")),
        *([words, ""] if words else []),
    ]


def _classes(part: str, scores: dict[str, Any]) -> str:
    """How many items of a part have each class, a sentence; "" where nobody counted."""
    counted = {
        name.removeprefix("recall_"): score["n_items"]
        for name, score in scores["metrics"].items()
        if name.startswith("recall_") and "n_items" in score
    }
    told = ", ".join(f"{INSTRUMENT_NAMES.get(label, label)} {n:,}" for label, n in counted.items())
    return f"Items of each class in {part}: {told}." if told else ""


def _rows(part: str, scores: dict[str, Any]) -> list[str]:
    rows = []
    for name, score in scores["metrics"].items():
        if "_" in name and name.partition("_")[0] in ("f1", "precision", "recall"):
            continue  # per class: in the run's evaluation, too long for a card
        interval = "" if score["low"] is None else f"{float(score['low']):.3f} to {float(score['high']):.3f}"
        baseline = scores["baseline"].get(name)
        base = "" if baseline is None else f"{float(baseline) + 0.0:.3f}"
        n_items = score.get("n_items", scores["n_items"])
        rows.append(f"| {part} | {name} | {float(score['value']):.3f} | {interval} | {base} | {n_items} |")
    return rows
