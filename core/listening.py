"""What the stored models say about a clip, second by second: the numbers behind Listen and `lab.py predict`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import audio, checkpoints, evaluation, heardwords, metrics, paths, pins, pitch, rundir, threads, windows
from core.audio import Clip
from core.config import fingerprint
from core.datasets import EMOTION_LABELS, IRMAS_CLASSES, Dataset
from core.events import Prediction
from core.longclip import LongClip
from core.runner import load_trainer

if TYPE_CHECKING:
    from core.store import Store

VERSION = 1
"""Raised where the way from a clip to its predictions changes otherwise than in the features or the weights."""

HOP_S = 0.5
BLOCK_WINDOWS = 512
LONG_BLOCK_WINDOWS = 32  # of a long clip: a network's layers over 128 windows took 0.4 GB
LONG_WINDOW_S = 20.0
"""A model that learned from longer stretches knows statistics of whole songs; it is never given shorter windows."""

SILENT_BELOW_DB = -70.0
"""A window quieter than this (RMS against full scale) holds nothing that a model could have learned."""

AUDIO_INPUTS = ("lib164", "lib73", "logmel", "wave16k")
"""Representations that can be made from any clip here; a model that eats something else cannot listen."""


@dataclass(frozen=True)
class Heard:
    """One model's view of a clip: values [t, labels] at times_s [t], and how it was made."""

    model: evaluation.Model
    window_s: float
    prediction: Prediction
    seconds: float

    @property
    def song(self) -> dict[str, float]:
        """The value for the whole clip, per label: the mean over its different windows (those at the ends coincide)."""
        starts_s, _ = windows.bounds(self.prediction.times_s, self.window_s, self.seconds)
        _, different = np.unique(starts_s, return_index=True)
        heard = self.prediction.values[different]
        heard = heard[np.isfinite(heard).all(axis=1)]
        means = heard.mean(axis=0) if len(heard) else np.full(len(self.prediction.labels), np.nan)
        return {label: float(mean) for label, mean in zip(self.prediction.labels, means, strict=True)}

    def about(self) -> dict[str, Any]:
        """Which run this comes from, for a page or a file."""
        known = self.model
        return {
            "run": known.run,
            "trainer": known.trainer,
            "data": known.data,
            "input": known.input,
            "weights": known.weights,
            "window_s": self.window_s,
        }


def listen(
    clip: Clip | LongClip,
    model: evaluation.Model,
    *,
    window_s: float | None = None,
    hop_s: float = HOP_S,
    tell: Callable[[float], None] = lambda fraction: None,
) -> Heard:
    """What `model` says about `clip` every `hop_s` seconds; computed once per clip and model, then read from the cache.

    `window_s` None means the length the model learned from. `tell` hears the share that is done after each block, and
    may raise to end it. Raises ValueError where the model's input cannot be made.
    """
    kept = heard_before(clip, model, window_s=window_s, hop_s=hop_s)
    if kept is not None:
        tell(1.0)
        return kept
    used = _window(model, window_s)
    prediction = _predict(clip, model, windows.grid(clip.seconds, hop_s), used, tell)
    _write(_place(clip, model, used, hop_s), prediction)
    return Heard(model, used, prediction, clip.seconds)


def songs(model: evaluation.Model, dataset: Dataset) -> np.ndarray:
    """What `model` says about each whole item of a data set of sound, as Listen tells it: [items, labels]."""
    if dataset.audio is None:
        raise ValueError(f"{dataset.name} has no sound to listen to.")
    clips = map(audio.decode, map(dataset.audio, range(len(dataset.items))))
    return np.array([list(pitched(clip, listen(clip, model)).song.values()) for clip in clips])


def pitched(clip: Clip | LongClip, heard: Heard) -> Heard:
    """What was heard of instruments, without the windows in which nothing has a pitch, if others have one.

    Where none has (`pitch.is_in`), all is left, and told to say nothing; a long clip is judged as a whole alone.
    """
    if heard.model.task != "instruments" or isinstance(clip, LongClip) or not pitch.is_in(clip):
        return heard
    known = heard.prediction
    has_pitch = pitch.in_windows(clip, *windows.bounds(known.times_s, heard.window_s, clip.seconds))
    if not has_pitch.any() or np.isnan(known.values[~has_pitch]).all():
        return heard
    values = np.where(has_pitch[:, None], known.values, np.nan)
    warnings = [*known.warnings, "Where nothing has a pitch no instrument is heard."]
    return replace(heard, prediction=replace(known, values=values, warnings=warnings))


def heard_before(
    clip: Clip | LongClip, model: evaluation.Model, *, window_s: float | None = None, hop_s: float = HOP_S
) -> Heard | None:
    """What `listen` would return, where it is in the cache or ships; None where it is yet to be computed."""
    if hop_s <= 0 or (window_s is not None and window_s <= 0):
        raise ValueError("Window and hop must be longer than 0 s.")
    used = _window(model, window_s)
    path = _place(clip, model, used, hop_s)
    prediction = _read(path) or _read(shipped() / path.name)
    return None if prediction is None else Heard(model, used, prediction, clip.seconds)


def _window(model: evaluation.Model, window_s: float | None) -> float:
    learned = model.window_s or LONG_WINDOW_S
    return learned if window_s is None or learned >= LONG_WINDOW_S else window_s


def _place(clip: Clip | LongClip, model: evaluation.Model, window_s: float, hop_s: float) -> Path:
    """The file of a prediction. A long clip is described minute by minute, so its numbers have a name of their own."""
    name = key(clip.sha256, model, window_s, hop_s)
    name = f"long-{name}" if isinstance(clip, LongClip) else name
    return paths.cache() / "predictions" / name[:2] / name


def listen_all(
    clip: Clip | LongClip,
    models: Sequence[evaluation.Model],
    *,
    window_s: float | None = None,
    hop_s: float = HOP_S,
    tell: Callable[[float], None] = lambda fraction: None,
) -> list[Heard | ValueError]:
    """`listen` for several models, the tasks side by side; what one cannot do stands in its place as the error.

    Models of one task share what they eat, so that they take turns: the second finds what the first has computed.
    `tell` hears the share of all that is done.
    """
    done = [0.0] * len(models)

    def told(number: int, fraction: float) -> None:
        done[number] = fraction
        tell(sum(done) / len(done))

    def one_task(task: str) -> dict[int, Heard | ValueError]:
        found: dict[int, Heard | ValueError] = {}
        for number, model in enumerate(models):
            if model.task == task:
                try:
                    found[number] = listen(clip, model, window_s=window_s, hop_s=hop_s, tell=partial(told, number))
                except ValueError as error:
                    found[number] = error
        return found

    tasks = sorted({model.task for model in models})
    # of a long clip one after the other: together they would take twice the memory
    with ThreadPoolExecutor(1 if isinstance(clip, LongClip) else max(len(tasks), 1)) as pool:
        heard = {number: one for part in pool.map(one_task, tasks) for number, one in part.items()}
    return [heard[number] for number in range(len(models))]


def key(sha256: str, model: evaluation.Model, window_s: float, hop_s: float) -> str:
    """The name of the file that holds a prediction: all it depends on, by content, so that it is true anywhere."""
    what = [sha256, model.run, model.trainer, model.weights, model.stamp, model.input, window_s, hop_s]
    return f"{fingerprint([*what, windows.FEATURES_VERSION, VERSION])}.json"


def shipped() -> Path:
    """Where the predictions of the shipped runs for the shipped clips lie: the first page shows them without torch."""
    return paths.starter() / "predictions"


def ship(clip: Clip, model: evaluation.Model) -> Path:
    """Compute what `model` hears in `clip` as Listen first asks for it, and put it where it ships."""
    window_s = model.window_s or LONG_WINDOW_S
    path = shipped() / key(clip.sha256, model, window_s, HOP_S)
    made = _predict(clip, model, windows.grid(clip.seconds, HOP_S), window_s)  # past every cache
    digits = [[float(f"{value:.7g}") for value in row] for row in made.values]  # all that float32 holds
    _write(path, replace(made, values=np.array(digits)))
    return path


def _predict(
    clip: Clip | LongClip,
    model: evaluation.Model,
    times_s: np.ndarray,
    window_s: float,
    tell: Callable[[float], None] = lambda fraction: None,
) -> Prediction:
    """The model's predictions at `times_s`, block by block: all windows of ten minutes would not fit the memory."""
    trainer, parts = load_trainer(model.trainer), []
    starts_s, _ = windows.bounds(times_s, window_s, clip.seconds)
    _, different, place = np.unique(starts_s, return_index=True, return_inverse=True)  # those at the ends coincide
    block = LONG_BLOCK_WINDOWS if isinstance(clip, LongClip) else BLOCK_WINDOWS
    is_silent = _levels_db(clip, times_s, window_s) < SILENT_BELOW_DB
    heard = np.flatnonzero(~is_silent[different])  # what a model says of silence is not shown, nor its warnings
    asked = different[heard] if len(heard) else different[:1]  # of one window, for the labels
    for first in range(0, len(asked), block):
        with threads.few_beside_runs():
            inputs = windows.inputs(clip, model.input, times_s[asked[first : first + block]], window_s)
            parts.append(trainer.predict(model.model, inputs))
        tell(min(1.0, (first + block) / len(asked)))
    warnings = list(dict.fromkeys(text for part in parts for text in part.warnings)) if len(heard) else []
    of_asked = np.concatenate([part.values for part in parts])
    of_different = np.full((len(different), of_asked.shape[1]), np.nan)
    of_different[heard] = of_asked[: len(heard)]
    values = of_different[place]
    if is_silent.any():
        values = np.where(is_silent[:, None], np.nan, values)
        warnings.append(f"Where it is silent (below {SILENT_BELOW_DB:.0f} dBFS) there is no prediction.")
    if clip.seconds < window_s:
        known = f"{model.data}: {model.trainer}"
        text = f"{known} learned from {window_s:g} s at a time; a clip of {clip.seconds:.1f} s is less than it expects."
        warnings.append(text)
    return Prediction(times_s, values, parts[0].labels, parts[0].unit, warnings)


def _levels_db(clip: Clip | LongClip, times_s: np.ndarray, window_s: float) -> np.ndarray:
    """RMS level of each window in dB of full scale."""
    ends = windows.bounds(times_s, window_s, clip.seconds)
    first, end = (np.rint(one * clip.sample_rate_hz).astype(int) for one in ends)
    if not isinstance(clip, LongClip):
        return _rms_db(clip.mono(), first, end)
    found = []
    for some in np.array_split(np.arange(len(first)), -(-len(first) // BLOCK_WINDOWS)):
        begin = int(first[some[0]])
        mono = clip.part(begin, int(end[some[-1]])).samples[0]
        found.append(_rms_db(mono, first[some] - begin, end[some] - begin))
    return np.concatenate(found)


def _rms_db(mono: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    energy = np.concatenate([[0.0], np.cumsum(np.square(mono, dtype=np.float64))])
    first, end = (np.clip(one, 0, len(energy) - 1) for one in (first, end))
    return 10 * np.log10((energy[end] - energy[first]) / np.maximum(end - first, 1) + 1e-20)


def report(clip: Clip | LongClip, emotion: Sequence[Heard], instruments: Sequence[Heard]) -> dict[str, Any]:
    """One JSON object for a clip. The first of each task gives the curves, all of them what is said of the song."""
    instruments = [pitched(clip, heard) for heard in instruments]
    first, strip = (next(iter(heard), None) for heard in (emotion, instruments))
    any_heard = first or strip
    times_s = any_heard.prediction.times_s if any_heard else np.zeros(0)
    warnings = list(clip.warnings)
    for heard in [*emotion, *instruments]:
        warnings += [text for text in heard.prediction.warnings if text not in warnings]
    song: dict[str, Any] = {label: _rounded(first.song[label]) for label in EMOTION_LABELS} if first else {}
    song["by_run"] = {heard.model.run: {k: _rounded(v) for k, v in heard.song.items()} for heard in emotion}
    if instruments:
        told = {heard.model.run: _told(heard, pitch.is_in(clip)) for heard in instruments}
        song |= next(iter(told.values())) | {"instruments_by_run": told}
    return {
        "clip": clip.name,
        "seconds": round(clip.seconds, 3),
        "unit": "1–9",
        "window_s": any_heard.window_s if any_heard else None,
        "times_s": [round(float(t), 3) for t in times_s],
        "valence": _column(first, "valence"),
        "arousal": _column(first, "arousal"),
        "instruments": {
            "labels": list(strip.prediction.labels if strip else IRMAS_CLASSES),
            "scores": [[_rounded(s) for s in row] for row in strip.prediction.values] if strip else [],
        },
        "song": song,
        "models": {
            "emotion": [heard.about() for heard in emotion],
            "instruments": strip.about() if strip else None,
        },
        "warnings": warnings,
    }


def _told(heard: Heard, has_pitch: bool) -> dict[str, Any]:
    """What is said of the instruments of a whole clip, as JSON; `instruments_probability` is null where unknown."""
    said = heardwords.of(heard.model, heard.song, has_pitch)
    brief = heardwords.for_a_while(said, heard.prediction.labels, heard.prediction.values)
    probability = said.probability
    return {
        "instruments": {label: _rounded(score) for label, score in said.scores.items()},
        "instruments_probability": probability and {label: _rounded(p) for label, p in probability.items()},
        "instruments_threshold": _rounded(said.threshold),
        "instruments_named": said.named,
        "instruments_words": said.words,
        "instruments_note": said.note,
        "instruments_measured": heardwords.on_other_data(heard.model),
        "instruments_for_a_while": {label: _rounded(share) for label, share in brief.items()},
    }


def choices(store: Store, task: str) -> list[str]:
    """Runs that can listen for `task`, in the order they are offered: pinned, then the best of each board.

    Among boards those whose models learned from short windows come first, since only their curves move with the
    music; the rest follows by validation score. What was chosen on a split that leaks comes last, as on its board.
    """
    rows = store.best_runs(task, metrics.primary(task))
    rows = [row for row in rows if row["input"] in AUDIO_INPUTS and row["data"] != "toy"]
    leaders: dict[tuple[str, str, bool], dict[str, Any]] = {}
    for row in rows:
        leaders.setdefault((row["data"], row["split"], _is_song_level(row)), row)
    sound = sorted(
        (row for row in leaders.values() if not row["is_leaky"]), key=lambda row: (_is_song_level(row), -_score(row))
    )
    order = [*pins.pins().get(task, []), *(row["run"] for row in sound), *(row["run"] for row in rows)]
    usable = {row["run"] for row in rows if _has_weights(row["run"])}
    return [run for run in dict.fromkeys(order) if run in usable]


def _is_song_level(row: dict[str, Any]) -> bool:
    return bool(row["input"] == "lib73")


def _score(row: dict[str, Any]) -> float:
    """A run's validation score; below every score where it has none."""
    value = row["validation"]
    return -np.inf if value is None or np.isnan(value) else float(value)


def _has_weights(run: str) -> bool:
    """Whether there is anything to predict with: a run that was stopped early may have no checkpoint yet."""
    return any((rundir.find(run) / "checkpoints").glob("*.safetensors"))


def load(run: str, weights: str = "final") -> evaluation.Model:
    """A run's model, for listening; ValueError where it has none or its input cannot be made from audio.

    `run` may name a moment of it: "RUN@7" is what epoch 7 left, "RUN@best" and "RUN@last" are those checkpoints. Such a
    model is called so everywhere, and what it hears is kept apart from what other moments hear.
    """
    name, at, moment = run.partition("@")
    folder = rundir.find(name)
    model = evaluation.load_model(folder, _checkpoint(folder, moment) if at else weights)
    if model.input not in AUDIO_INPUTS:
        raise ValueError(f"Run {name} eats {model.input}, which cannot be made from audio here; choose another run.")
    return replace(model, run=f"{model.run}@{moment}") if at else model


def folder_of(name: str) -> Path:
    """The directory of a run named as `load` takes it, "RUN" or "RUN@7"; ValueError where there is none."""
    return rundir.find(name.partition("@")[0])


def _checkpoint(folder: Path, moment: str) -> str:
    """The file that holds a moment of a run: "7" is the file of epoch 7 with the fewest bytes to read."""
    if moment in ("final", "best", "last"):
        return moment
    epoch = int(moment) if moment.isascii() and moment.isdecimal() and len(moment) < 10 else -1
    if (folder / "checkpoints" / f"epoch-{epoch:04d}.safetensors").exists():
        return f"epoch-{epoch:04d}"
    kept = {round(one.epoch): one.names[-1] for one in checkpoints.stored(folder)}
    if epoch not in kept:
        have = ", ".join(str(number) for number in sorted(kept)) or "none"
        raise ValueError(f"Run {folder.name} has no checkpoint of epoch {moment!r}; the epochs kept are: {have}.")
    return kept[epoch]


def _read(path: Path) -> Prediction | None:
    try:
        saved = json.loads(path.read_text())
        values = np.asarray(saved["values"], dtype=float).reshape(len(saved["times_s"]), len(saved["labels"]))
        return Prediction(
            np.asarray(saved["times_s"]), values, tuple(saved["labels"]), saved["unit"], list(saved["warnings"])
        )
    except (OSError, ValueError, KeyError, TypeError):  # not computed yet, or damaged: computed again
        return None


def _write(path: Path, prediction: Prediction) -> None:
    """Keep a prediction; a cache that cannot be written costs time later, not the result now."""
    saved = {
        "times_s": prediction.times_s.tolist(),
        "values": prediction.values.tolist(),
        "labels": list(prediction.labels),
        "unit": prediction.unit,
        "warnings": prediction.warnings,
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        rundir.write_json(path, saved)


def _column(heard: Heard | None, label: str) -> list[float | None]:
    if heard is None:
        return []
    return [_rounded(value) for value in heard.prediction.values[:, heard.prediction.labels.index(label)]]


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
