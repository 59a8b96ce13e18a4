"""Model cards: what a stored model is, what it learned from, how good it is, and what it must not be used for."""

from __future__ import annotations

import json
from pathlib import Path

from core import itemwords, metrics, rundir
from core.datasets import Dataset
from core.evaluation import Model

LIMITS = {
    "cues": "Its labels come from a model of listeners and its sounds from a sound font: on recordings its values are "
    "a guess whose error nobody has measured.",
    "deam": "It learned statistics of 45 s of music rated by crowd workers: it knows nothing shorter, and little of "
    "music unlike DEAM's.",
}
INSTRUMENTS = "It knows eleven instruments; whatever else sounds is taken for one of them or for none."
NON_COMMERCIAL = "These weights were learned from data for non-commercial research and carry the same condition."


def card(folder: Path, dataset: Dataset, model: Model) -> str:
    """The card of a finished run as Markdown: data, split, scores with interval and baseline, limits, licence."""
    spec = rundir.read_spec(folder)
    length = f", {model.window_s:g} s at a time" if model.window_s else ""
    limits = [text for name, text in LIMITS.items() if spec.data.startswith(name)]
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
        "| part | score | value | 95 % interval | baseline | items |",
        "|---|---|---|---|---|---|",
        *_rows(folder, spec),
        "",
        "The interval is a bootstrap over items, by group; the baseline knows the training labels only.",
        "",
        *(line for paragraph in itemwords.of_run(folder, spec.task) for line in (paragraph, "")),
        f"**Limits.** {' '.join(limits)}",
        "",
        f"**Licence of the data.** {dataset.licence}",
        "",
        "**Knobs.** " + ", ".join(f"{name} {value}" for name, value in spec.config.items()),
        "",
    ]
    return "\n".join(lines)


def _rows(folder: Path, spec: rundir.Spec) -> list[str]:
    rows = []
    for path in sorted((folder / "evaluations").glob("*.json")):
        report = json.loads(path.read_text())
        for part, scores in report["parts"].items():
            for name, score in scores["metrics"].items():
                if "_" in name and name.partition("_")[0] in ("f1", "precision", "recall"):
                    continue  # per class: in the run's evaluation, too long for a card
                interval = "" if score["low"] is None else f"{float(score['low']):.3f} to {float(score['high']):.3f}"
                baseline = scores["baseline"].get(name)
                base = "" if baseline is None else f"{float(baseline) + 0.0:.3f}"
                value = f"{float(score['value']):.3f}"
                n_items = score.get("n_items", scores["n_items"])
                rows.append(f"| {part} | {name} | {value} | {interval} | {base} | {n_items} |")
    primary = metrics.primary(spec.task)
    return sorted(rows, key=lambda row: (row.split("|")[1], row.split("|")[2].strip() != primary, row))
