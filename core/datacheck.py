"""A data set looked over before it costs a night: what is missing, unreadable, silent, clipped, double or mislabelled.

python -m core.datacheck NAME TASK SPLIT      the process that the page starts; its job file is what the page polls
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core import datasets, likeness, soundcheck, threads
from core.config import fingerprint
from core.datajobs import Job, is_stop_asked, read_report, write_job, write_report
from core.datasets import Dataset, splits
from core.findings import Finding, Report, audio_findings, copy_findings, left_out_findings
from core.labelcheck import group_findings, label_findings

CHECK_VERSION = 1
"""Another number makes old reports be made again."""


@dataclass(frozen=True)
class _Subject:
    """What is checked: the sound part of the data set, and what a folder lists beside it."""

    name: str
    dataset: Dataset | None
    left_out: list[tuple[str, str, str]]
    unlisted: list[str]
    content: str


def check(
    name: str,
    task: str | None = None,
    split: str | None = None,
    progress: Callable[[float, str], None] = datasets.no_progress,
    is_cancelled: Callable[[], bool] = lambda: False,
    is_fresh: bool = False,
) -> Report:
    """Check a data set, or return the kept report where nothing has changed since (`is_fresh` checks again anyway).

    Raises ValueError for an unknown data set, task or split and for files that are not here, soundcheck.Cancelled
    where `is_cancelled` says so.
    """
    started = time.monotonic()
    progress(0.0, "Reading the labels …")
    subject = _subject(name, task)
    dataset = subject.dataset
    task = dataset.task if dataset else task or ""
    asked = split or (dataset.default_split if dataset else datasets.default_split(name, task))
    split = splits.parse(asked).name
    content = fingerprint([subject.content, task, split, CHECK_VERSION])
    kept = read_report(name, task, split)
    if kept and kept.content == content and not is_fresh:
        return kept
    findings = left_out_findings(subject.left_out, subject.unlisted)
    not_checked: list[str] = []
    recordings = 0
    if dataset is not None:
        parts = _parts(dataset, split, not_checked)
        with tempfile.TemporaryDirectory(prefix="earshot-check-") as place:
            sounds = _listen(dataset, Path(place), progress, is_cancelled)
            recordings = sum(not sound.problem for sound in sounds)
            findings += audio_findings(dataset, sounds)
            findings += _copies(dataset, sounds, parts, Path(place), progress, is_cancelled)
        progress(0.97, "Looking at labels and groups …")
        if not sounds:
            not_checked.append("No sound of this data set is read here, so files and copies were not checked.")
        findings += label_findings(dataset, _features(dataset, sounds, not_checked), bool(sounds))
        findings += group_findings(dataset)
    order = {"serious": 0, "warning": 1, "note": 2}
    report = Report(
        data=name,
        task=task,
        split=split,
        content=content,
        checked_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        items=len(dataset.items) if dataset else 0,
        groups=len(set(dataset.groups)) if dataset else 0,
        recordings=recordings,
        findings=sorted(findings, key=lambda finding: order[finding.severity]),
        not_checked=not_checked,
    )
    write_report(report)
    progress(1.0, "Checked.")
    return report


def content_now(name: str, task: str, split: str) -> str:
    """The fingerprint that a report on the data as they are would have."""
    return fingerprint([_subject(name, task).content, task, splits.parse(split).name, CHECK_VERSION])


def _subject(name: str, task: str | None) -> _Subject:
    survey = getattr(datasets.module(name), "survey", None)  # where it can go on without the files that are missing
    if survey is None:
        dataset = datasets.load(name, task)
        return _Subject(name, dataset, [], [], dataset.version)
    place = datasets.settled(name).partition(":")[2]
    seen = survey(place, task)
    files = _files(seen.dataset) if seen.dataset else []
    stamps = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    version = seen.dataset.version if seen.dataset else ""
    content = fingerprint([version, stamps, seen.left_out, seen.unlisted])
    return _Subject(name, seen.dataset, seen.left_out, seen.unlisted, content)


def _files(dataset: Dataset) -> list[Path]:
    return [dataset.audio(index) for index in range(len(dataset.items))] if dataset.audio else []


def _parts(dataset: Dataset, split: str, not_checked: list[str]) -> np.ndarray:
    try:
        return splits.assign(dataset, split)
    except ValueError as error:  # too few groups: the rest can be checked all the same
        not_checked.append(f"Which side of a split a copy lies on: {error}")
        return np.full(len(dataset.items), "", dtype="<U10")


def _listen(
    dataset: Dataset, place: Path, progress: Callable[[float, str], None], is_cancelled: Callable[[], bool]
) -> list[soundcheck.Sound]:
    if dataset.audio is None:
        return []
    if datasets.is_made_here(dataset.name):
        progress(0.0, "Rendering the sound, where it is not in the cache yet …")
    files = _files(dataset)

    def tell(done: int) -> None:
        if done % 5 == 0 or done == len(files):
            progress(0.7 * done / len(files), f"Listening: {done:,} of {len(files):,} recordings")

    return soundcheck.examine_all(files, place, tell, is_cancelled)


def _copies(
    dataset: Dataset,
    sounds: list[soundcheck.Sound],
    parts: np.ndarray,
    place: Path,
    progress: Callable[[float, str], None],
    is_cancelled: Callable[[], bool],
) -> list[Finding]:
    """Copies of one recording: to the sample by their hash, encoded again or cut by their likeness."""
    heard = [i for i, sound in enumerate(sounds) if not sound.problem and sound.peak_db > -80.0]
    first: dict[str, int] = {}
    exact: list[tuple[int, int, float]] = []
    for i in heard:
        original = first.setdefault(sounds[i].samples_hash, i)
        if original != i:
            exact.append((original, i, 1.0))
    single = [i for i in heard if first[sounds[i].samples_hash] == i]
    if len(single) < 2:
        return copy_findings(dataset, parts, exact, [])

    def tell(fraction: float) -> None:
        if is_cancelled():
            raise soundcheck.Cancelled
        progress(0.7 + 0.27 * fraction, "Comparing recordings that sound alike …")

    profiles = np.array([sounds[i].profile for i in single], dtype=np.float32)
    near = likeness.copies(profiles, lambda k: np.load(place / f"{single[k]}.npy"), tell)
    return copy_findings(dataset, parts, exact, [(single[a], single[b], fit) for a, b, fit in near])


def _features(
    dataset: Dataset, sounds: list[soundcheck.Sound], not_checked: list[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """(item indices [n], features [n, columns]) to judge labels by: the profiles, or the data set's own table."""
    if sounds:
        heard = np.array([i for i, sound in enumerate(sounds) if not sound.problem], dtype=int)
        if not len(heard):
            return None
        return heard, np.array([[*sounds[i].profile, sounds[i].loudness_db] for i in heard], dtype=float)
    everything = np.arange(len(dataset.items))
    if dataset.columns and dataset.inputs[0] in dataset.columns:
        return everything, dataset.rows(dataset.inputs[0], everything, 0.0, datasets.no_progress).inputs
    not_checked.append("Labels were not compared with features: this data set is no table, and has no sound here.")
    return None


def main() -> None:
    """The process behind the page's button."""
    threads.one_for_analyses()
    name, task, split = sys.argv[1:4]
    said = 0.0

    def tell(fraction: float, note: str) -> None:
        nonlocal said
        if time.monotonic() - said > 0.3:
            said = time.monotonic()
            write_job(name, task, split, Job("running", fraction, note, os.getpid()))

    try:
        check(name, task, split, tell, lambda: is_stop_asked(name, task, split), is_fresh=True)
        end = Job("done", 1.0, "Checked.")
    except soundcheck.Cancelled:
        end = Job("cancelled", 0.0, "The check was cancelled; nothing of it is kept.")
    except (ValueError, OSError) as error:
        end = Job("failed", 0.0, str(error))
    write_job(name, task, split, end)


if __name__ == "__main__":
    main()
