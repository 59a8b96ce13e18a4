"""The clips that somebody here rated: `rated:RATER`, or `rated` (`rated:everyone`) for the mean of all raters.

What a run learns from must stay as it was, and ratings go on: a run is given `rated:RATER@VERSION`, a copy of the
labels as they stood (cache/ratings/frozen/), beside the clips, which are never thrown away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import ratings, rundir
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES, Dataset, Missing, Progress
from core.events import Part
from core.takes import Rating

TASKS = ("emotion", "instruments")
INPUTS = {"emotion": ("lib164", "logmel", "lib73"), "instruments": ("logmel", "wave16k", "lib164", "lib73")}
ENOUGH_CLIPS = 30
"""A tenth of them is a test part of three, the fewest of which a correlation can be told."""


def load(task: str | None, progress: Progress, place: str = ratings.EVERYONE) -> Dataset:
    """The clips of a rater with the newest labels, or with those of `RATER@VERSION`.

    Raises Missing where nothing is rated for this task, ValueError for a version that is not here.
    """
    task = task or "emotion"
    labels = _labels(place)
    rows_of = [one for one in labels["clips"] if one["song" if task == "emotion" else "instruments"] is not None]
    if not rows_of:
        raise Missing(
            f"No clip has been rated for {task} by {labels['name']}: choose a clip on the page Rate, and rate it there."
        )
    items = np.array([one["clip"] for one in rows_of])
    files = [_audio(one["clip"]) for one in rows_of]
    targets = _targets(task, rows_of)
    traces = _traces(rows_of) if task == "emotion" else {}
    key = fingerprint([list(items), [path.stat().st_size for path in files]])  # features depend on the clips alone

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        from core.datasets._audio_rows import audio_rows  # brings torch, which a list of data sets can do without

        if input not in made.inputs:
            raise ValueError(f"{made.name} has no input {input!r}; it offers {', '.join(made.inputs)}.")
        return audio_rows(
            f"rated-{key}", items, items, targets, traces, files.__getitem__, input, indices, window_s, progress
        )

    made = Dataset(
        name=f"rated:{place}",
        version=labels["version"],
        task=task,
        labels=EMOTION_LABELS if task == "emotion" else IRMAS_CLASSES,
        unit="1–9" if task == "emotion" else "probability",
        items=items,
        groups=items,
        has_groups=False,
        targets=targets,
        traces=traces,
        raters=_raters(labels) if task == "emotion" else None,
        inputs=INPUTS[task],
        rows=rows,
        licence="the clips' own",
        citation="",
        about=_about(labels["name"], len(items), len(traces)),
        audio=files.__getitem__,
    )
    return made


def settled(place: str) -> str:
    """RATER with the version its labels have now, which are kept under it; what has a version stays as it is."""
    place = place or ratings.EVERYONE
    if "@" in place:
        return place
    labels = _labels(place)
    path = _frozen(place, labels["version"])
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        rundir.write_json(path, labels)
    return f"{place}@{labels['version']}"


def lasting(place: str) -> str:
    """RATER without a version."""
    return place.partition("@")[0] or ratings.EVERYONE


def stamp(place: str) -> list[tuple[str, int]]:
    """Each file of ratings with its time of change (ns)."""
    files = sorted(ratings.folder().glob("*/*.json"))
    return [(f"{file.parent.name}/{file.name}", file.stat().st_mtime_ns) for file in files]


def choices() -> dict[str, str]:
    """Place → name of what can be asked for: every rater, and everyone where there are several."""
    known = ratings.raters()
    return known | ({ratings.EVERYONE: "everyone (mean of all raters)"} if len(known) > 1 else {})


def _about(name: str, n: int, n_traces: int) -> str:
    text = f"{n:,} clip{'s' if n != 1 else ''} rated here by {name}, {n_traces:,} of them moment by moment. "
    text += "Each clip is its own group; two cuts of one song are not known to belong together."
    if n < 3:
        text += f" A split needs at least 3 clips, one for each part: rate {3 - n} more."
    elif n < ENOUGH_CLIPS:
        text += (
            f" With fewer than {ENOUGH_CLIPS} clips the test part holds one or two, and its score says nothing: "
            "what can be had from so few is to hear the difference."
        )
    return text


def _labels(place: str) -> dict[str, Any]:
    rater, _, version = place.partition("@")
    if version:
        try:
            return json.loads(_frozen(rater, version).read_text())
        except (OSError, ValueError):
            raise ValueError(f"There are no ratings {place!r} in this cache; rated:{rater} has the newest.") from None
    by_clip = {clip.sha256: ratings.ratings_of(clip.sha256) for clip in ratings.clips()}
    everyone = rater == ratings.EVERYONE
    clips = []
    for sha256, found in sorted(by_clip.items()):
        chosen = list(found.values()) if everyone else [one for key, one in found.items() if key == rater]
        if chosen:
            clips.append(_mean(sha256, chosen))
    name = "everyone" if everyone else ratings.raters().get(rater, rater)
    return {"name": name, "version": fingerprint([name, clips]), "clips": clips}


def _mean(sha256: str, chosen: list[Rating]) -> dict[str, Any]:
    """One clip's labels: the mean over raters; an instrument plays where at least half of those who said hear it."""
    songs = {one.rater: one.song for one in chosen if one.song is not None}
    heard = [one.instruments for one in chosen if one.instruments is not None]
    playing = [code for code in IRMAS_CLASSES if 2 * sum(code in codes for codes in heard) >= len(heard)]
    traces = [trace for one in chosen if (trace := one.newest("trace")) is not None]
    values = [
        {t: (v, a) for t, v, a in zip(trace.times_s, trace.valence, trace.arousal, strict=True)} for trace in traces
    ]
    # Only moments that all of them rated: where one rater drops out, a mean would jump.
    common = sorted(set.intersection(*(set(one) for one in values))) if values else []
    return {
        "clip": sha256,
        "song": np.mean(list(songs.values()), axis=0).round(4).tolist() if songs else None,
        "by_rater": {name: list(song) for name, song in songs.items()},
        "instruments": playing if heard else None,
        "times_s": common,
        "values": [np.mean([one[t] for one in values], axis=0).round(4).tolist() for t in common],
    }


def _targets(task: str, rows_of: list[dict[str, Any]]) -> np.ndarray:
    if task == "emotion":
        return np.array([one["song"] for one in rows_of], dtype=float)
    return np.array([[float(code in one["instruments"]) for code in IRMAS_CLASSES] for one in rows_of])


def _traces(rows_of: list[dict[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {one["clip"]: (np.array(one["times_s"]), np.array(one["values"])) for one in rows_of if one["times_s"]}


def _raters(labels: dict[str, Any]) -> pd.DataFrame:
    found = [(one["clip"], name, *song) for one in labels["clips"] for name, song in one["by_rater"].items()]
    return pd.DataFrame(found, columns=["item", "rater", *EMOTION_LABELS])


def _audio(sha256: str) -> Path:
    path = ratings.audio_of(sha256)
    if path is None:
        raise Missing(f"The clip {sha256[:12]} that was rated is no longer in {ratings.folder()}; put it back there.")
    return path


def _frozen(rater: str, version: str) -> Path:
    plain = all(c.isalnum() or c in "_-" for c in rater + version)
    if not plain:
        raise ValueError(f"{rater!r} is no rater; rated:RATER takes one of {', '.join(choices()) or 'none yet'}.")
    return ratings.folder() / "frozen" / f"{rater}-{version}.json"
