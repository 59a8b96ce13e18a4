"""A study's page as Markdown: what was asked, published beside measured, verdicts with evidence, the file itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from core import document, rundir, specs, studies, studycharts, studytally
from core.document import Block
from core.studies import Published, Study
from pages import study_claims, study_reading, study_table
from pages.study_reading import Judged, Reading


def protocol(found: Reading) -> list[str]:
    """How the study was run, in a few sentences: data, knobs held equal, grid, seeds, what the quick variant leaves."""
    file = next(iter(found.files.values()))
    held = ", ".join(f"{name} = {value}" for name, value in file.settings.items())
    cells = f"{len(file.cells)} cells of " if file.cells else ""
    grid = cells + (", " if cells else " × ").join(f"{n} ({levels(values)})" for n, values in file.factors.items())
    split = f", split {file.split}" if file.split else ""
    said = [
        f"Protocol: {file.trainer} on {file.data}{split}{f'; {held}' if held else ''}.",
        f"Grid: {grid or 'one cell'} × seeds {', '.join(map(str, file.seeds))} = {found.wanted('main')} runs.",
    ]
    if found.study.file.stages:
        further = ", ".join(f"{one} ({found.wanted(one)} runs)" for one in found.files if one != "main")
        said.append(f"Further stages: {further}.")
    return said


def levels(values: Any) -> str:
    """Levels of a factor in words."""
    if not isinstance(values, tuple):
        return f"{values.low:g} to {values.high:g}"
    return ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)


def quick_sentence(study: Study) -> str:
    """What the quick variant does otherwise: "seeds 1, 2; epochs = 30"."""
    quick = study.file.quick
    parts = [f"seeds {', '.join(map(str, quick['seeds']))}"] if "seeds" in quick else []
    parts += [f"data {quick['data']}"] if "data" in quick and not study.data else []
    parts += [f"{name} = {value}" for name, value in quick.get("set", {}).items()]
    parts += [f"{name} in {', '.join(map(str, value))}" for name, value in quick.get("factors", {}).items()
              if isinstance(value, list)]  # fmt: skip
    return "; ".join(parts)


def markdown(found: Reading, results: Sequence[Judged]) -> str:
    """All of it as one Markdown file."""
    file = found.study.file
    blocks = [Block("title", file.title or found.study.name)]
    if found.is_quick:
        blocks.append(Block("warning", f"This is the quick variant: {quick_sentence(found.study)}."))
    blocks += [Block("text", text) for text in (f"Source: {file.source}", file.about, *protocol(found)) if text]
    there = found.wanted() - found.missing()
    blocks.append(Block("text", f"{there} of {found.wanted()} runs were there when this was written."))
    if len(found.runs):
        blocks += [Block("text", said) for said in (studytally.published(results), studytally.ours(results)) if said]
    blocks += _table(found)
    for whose, heading in study_claims.HEADINGS.items():
        of = [one for one in results if one.claim.whose == whose]
        blocks += [Block("heading", heading)] if of else []
        for one in of:
            blocks += _claim(found, one)
    blocks += [
        Block("heading", "How it was made"),
        Block("text", _revisions(found)),
        Block("text", f"The study's file, studies/{found.study.path.name}:"),
        Block("code", file.text, language="toml"),
    ]
    return document.as_markdown(blocks)


def _table(found: Reading) -> list[Block]:
    published = found.study.published
    if published is None:
        return []
    whole = study_reading.compared(found)
    blocks = [Block("heading", "Published beside measured")]
    blocks += [Block("text", published.note)] if published.note else []
    blocks += [Block("warning", fault) for fault in whole.attrs.get("faults", ())]
    elsewhere = studies.elsewhere(found.study, found.runs)
    blocks += [Block("warning", elsewhere)] if elsewhere else []
    has_ours = len(found.runs) > 0 and not elsewhere
    for metric in published.metrics:
        rows = whole[whole["metric"] == metric].reset_index(drop=True)
        if has_ours:
            blocks.append(Block("text", study_table.summary(whole, metric, found.runs)))
        blocks += [Block("subheading", metric), Block("table", table=study_table.shown(rows, published, metric))]
        blocks += _pictures(rows[rows["published"].notna()], published, metric) if has_ours else []
    return blocks


def _pictures(rows: pd.DataFrame, published: Published, metric: str) -> list[Block]:
    """The table as pictures, as the page draws it."""
    table = studycharts.beside_table(rows, published.factors, published.digits[metric])
    blocks = [Block("figure", studycharts.READING["beside"], svg=studycharts.beside_figure(table, metric))]
    if len(studycharts.told_in_sd(table)):
        blocks.append(Block("figure", studycharts.READING["in sd"], svg=studycharts.sd_figure(table, metric)))
    return blocks


def _claim(found: Reading, one: Judged) -> list[Block]:
    claim, verdict = one
    said = verdict.word if len(found.runs) else f"{verdict.word} yet"
    blocks = [Block("subheading", claim.text), Block("quote", f"{said.capitalize()}: {verdict.sentence}")]
    blocks += [Block("text", part) for part in study_claims.how(found, one).split("\n\n")]
    return blocks + ([Block("table", table=verdict.evidence)] if len(verdict.evidence) else [])


def _revisions(found: Reading) -> str:
    """The revision of this code, and those by which the runs were made."""
    made: Counter[str] = Counter()
    for run in found.runs.results["run"]:
        try:
            made[rundir.read_spec(rundir.find(str(run))).revision or "not known"] += 1
        except ValueError:  # deleted since
            made["deleted"] += 1
    runs = ", ".join(f"{revision} ({n} runs)" for revision, n in made.most_common())
    now = f"Judged at revision {specs.revision() or 'not known'}"
    return f"{now}; the runs were made at {runs}." if runs else f"{now}, before any run."
