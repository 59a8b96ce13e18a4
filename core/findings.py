"""What a check says: one finding for each thing wrong, with its evidence, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.datasets import Dataset
from core.soundcheck import Sound

SHORT_S = 0.5  # the shortest window a trainer can be asked for
QUIET_DB, CLIPPED_FROM = -60.0, 0.001


@dataclass(frozen=True)
class Finding:
    """`kind` in one word, the `item` it is about ("" for the whole data set) and the `other` of a pair; `evidence` a
    number with its `unit`; severity "serious" (it will falsify a result), "warning" or "note"."""

    kind: str
    item: str
    severity: str
    what: str
    evidence: float
    unit: str
    remedy: str
    other: str = ""


@dataclass(frozen=True)
class Report:
    """What a check found, the serious findings first. `content` is a fingerprint of what was checked, `not_checked` are
    sentences, `checked_at` is an ISO time, `recordings` how many could be read."""

    data: str
    task: str
    split: str
    content: str
    checked_at: str
    seconds: float
    items: int
    groups: int
    recordings: int
    findings: list[Finding]
    not_checked: list[str] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """How many findings are "serious", "warning" or "note"."""
        return sum(finding.severity == severity for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it, with the counts."""
        counts = {severity: self.count(severity) for severity in ("serious", "warning", "note")}
        return asdict(self) | {"counts": counts}


LEFT_OUT = {
    "missing": ("missing", "serious", "Copy the file to where it is expected, or delete what names it."),
    "short": ("missing", "serious", "Get the rest from where the data set is given."),
    "label": ("wrong label", "serious", "Correct it; until then the data set cannot be used."),
    "twice": ("listed twice", "serious", "Delete all rows of this file but one."),
}


def left_out_findings(left_out: Sequence[tuple[str, str, str]], unlisted: Sequence[str]) -> list[Finding]:
    """Rows that cannot be used, and audio files that no row names."""
    found = []
    for item, reason, why in left_out:
        kind, severity, remedy = LEFT_OUT[reason]
        found.append(Finding(kind, item, severity, why, 1, "row", remedy))
    remedy = "Label it (a row in the CSV, a label file), or move it away; a model never hears it."
    found += [
        Finding("no label", item, "note", "This audio file has no label.", 1, "file", remedy) for item in unlisted
    ]
    return found


def audio_findings(dataset: Dataset, sounds: Sequence[Sound]) -> list[Finding]:
    """What is wrong with single recordings; `sounds` has one per item, or none at all."""
    return [
        finding for item, sound in zip(dataset.items, sounds, strict=False) for finding in _of_one(str(item), sound)
    ]


def _of_one(item: str, sound: Sound) -> Iterable[Finding]:
    if sound.problem == "missing":
        yield Finding("missing", item, "serious", sound.why, 1, "file", LEFT_OUT["missing"][2])
    elif sound.problem == "short":
        yield Finding(
            "too short", item, "serious", sound.why, 0.1, "s at least", "Leave it out, or get the whole recording."
        )
    elif sound.problem:
        yield Finding(
            "unreadable", item, "serious", sound.why, 1, "file", "Copy it again, or convert it to wav or flac."
        )
    else:
        yield from _of_samples(item, sound)


def _of_samples(item: str, sound: Sound) -> Iterable[Finding]:
    """What is wrong with a recording that can be read."""
    if sound.not_numbers:
        yield Finding(
            "not numbers",
            item,
            "serious",
            "Samples are NaN or infinite.",
            sound.not_numbers,
            "samples",
            "Export it again; such samples are read as zero.",
        )
    if sound.peak_db < -80.0:
        yield Finding(
            "silent",
            item,
            "serious",
            "No sample reaches −80 dB of full scale.",
            round(sound.peak_db, 1),
            "dB peak",
            "Leave it out: a label on silence teaches nonsense.",
        )
    elif sound.loudness_db < QUIET_DB:
        yield Finding(
            "very quiet",
            item,
            "warning",
            "Its mean level is below −60 dB of full scale.",
            round(sound.loudness_db, 1),
            "dB",
            "Listen to it; perhaps only its noise was recorded.",
        )
    if sound.clipped_share >= CLIPPED_FROM:
        yield Finding(
            "clipped",
            item,
            "warning",
            "Runs of samples stand at full scale.",
            float(f"{100 * sound.clipped_share:.3g}"),
            "% of samples",
            "Listen to it; use the recording before it was made louder.",
        )
    if sound.seconds < SHORT_S:
        yield Finding(
            "too short",
            item,
            "warning",
            f"It is shorter than {SHORT_S:g} s, the shortest window.",
            float(f"{sound.seconds:.3g}"),
            "s",
            "Leave it out where windows are longer.",
        )
    for sentence in sound.warnings:
        yield Finding("damaged", item, "warning", sentence, 1, "file", "Copy it again from where it came.")


def copy_findings(
    dataset: Dataset,
    parts: np.ndarray,
    exact: Sequence[tuple[int, int, float]],
    near: Sequence[tuple[int, int, float]],
) -> list[Finding]:
    """Pairs (first, second, correlation) that are one recording; worst where they lie on two sides of the split."""
    found = []
    for kind, pairs in (("duplicate", exact), ("near duplicate", near)):
        for i, j, fit in pairs:
            same = (
                "They hold the same samples" if kind == "duplicate" else "They are one recording, encoded or cut again"
            )
            severity, where, remedy = _meaning(dataset, parts, i, j)
            if not np.allclose(dataset.targets[i], dataset.targets[j], atol=1e-6):
                where += ", and their labels differ"
                remedy += " At most one of the two labels is right."
                severity = "serious" if kind == "duplicate" and dataset.task != "emotion" else severity
                severity = "warning" if severity == "note" else severity
            found.append(
                Finding(
                    kind,
                    str(dataset.items[i]),
                    severity,
                    f"{same}; {where}.",
                    float(f"{fit:.3g}"),
                    "correlation",
                    remedy,
                    str(dataset.items[j]),
                )
            )
    return found


def _meaning(dataset: Dataset, parts: np.ndarray, i: int, j: int) -> tuple[str, str, str]:
    if parts[i] != parts[j] and parts[i] and parts[j]:
        return "serious", f"one is in {parts[i]}, one in {parts[j]}", "Give both the same group, or delete one."
    if dataset.groups[i] != dataset.groups[j]:
        where = f"both are in {parts[i]} here, in different groups" if parts[i] else "they are in different groups"
        return "warning", where, "Give both the same group, or delete one: another split would tear them apart."
    return "note", "they share a group", "Delete one, unless the copy is meant."
