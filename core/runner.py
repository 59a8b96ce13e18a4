"""One process, one run: `python -m core.runner RUN_DIRECTORY`.

Drives a trainer's `fit`, writes its events, obeys control, keeps checkpoints, and when `fit` is done scores the test
part once. Started on a directory that already has a checkpoint, it goes on from there.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from core import checkpoints, config, datasets, disk, evaluation, rundir
from core.datasets import Dataset, splits
from core.events import Changes, Checkpoint, Done, FitData, Metrics, Snapshot
from core.steering import Steering, Stopped

BEAT_S = 1.0
LARGEST_LOSS = 1e12
"""Losses begin near 1 to 1,000 here; one beyond this is on its way to infinity, and ends the run as diverged."""
DENSE_STEPS = 1000
"""Every step is kept up to here; later ones are thinned to one in ten, a hundred … per decade."""


def load_trainer(name: str) -> ModuleType:
    """The one place where the core imports a trainer, by name."""
    return importlib.import_module("trainers").load(name)


def main(folder: Path) -> int:
    """Run the run in `folder` to its end; returns the exit status (0 done or stopped, 1 failed or diverged)."""
    writer = rundir.Writer(folder)
    signal.signal(signal.SIGTERM, _on_terminate)
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(writer, ended), daemon=True)
    heart.start()
    run = None
    try:
        run = Run(folder, writer)
        outcome = {"state": "done", "reason": run.go(), "fraction": 1.0}
    except Exception as error:
        outcome = outcome_of(error)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end is being written
    ended.set()
    heart.join()
    end(writer, run, outcome)
    return 0 if outcome["state"] in ("done", "stopped") else 1


def outcome_of(error: Exception) -> dict[str, Any]:
    """What becomes of a run that ended with this error: state and reason. The traceback goes to stdout.log."""
    if isinstance(error, Stopped):
        return {"state": "stopped", "reason": str(error)}
    if isinstance(error, FloatingPointError):
        return {"state": "diverged", "reason": str(error)}
    with contextlib.suppress(OSError):  # where the disk is full there is no room for it either
        traceback.print_exception(error)
    return {"state": "failed", "reason": _sentence(error)}


def end(writer: rundir.Writer, run: Run | None, outcome: dict[str, Any]) -> None:
    """A run's last words; nobody else may write any more."""
    place = {"step": run.step, "epoch": run.epoch} if run else {}
    writer.end(**outcome, **place, note="", ended_at=time.time())
    writer.close()


class Run:
    """The steps of one run; state that they share."""

    def __init__(self, folder: Path, writer: rundir.Writer) -> None:
        self.folder, self.writer = folder, writer
        self.spec = rundir.read_spec(folder)
        if self.spec.format > rundir.VERSION:
            raise ValueError(
                f"Run {folder.name} was made by a newer Earshot (format {self.spec.format}, this one knows "
                f"{rundir.VERSION}): it can be looked at here, but not run; update first."
            )
        self.trainer = load_trainer(self.spec.trainer)
        self.config = config.make(self.trainer.Config, self.spec.config)
        self.total_epochs = float(getattr(self.config, "epochs", 0) or 0)
        self.step, self.epoch, self.best = 0, 0.0, math.inf
        self.monitored = math.inf
        self.last_note_at = 0.0
        self.started, self.seconds_before = time.monotonic(), 0.0
        self.steering: Steering | None = None

    def trained_s(self) -> float:
        """Seconds of training that counted: up to the checkpoint it went on from, and since; pauses do not."""
        paused_s = self.steering.paused_s if self.steering else 0.0
        return self.seconds_before + time.monotonic() - self.started - paused_s

    def go(self) -> str:
        """Load, fit, score. Returns the reason why training ended."""
        dataset = datasets.load(self.spec.data, self.spec.task, self.note)
        assignment = splits.assign(dataset, self.spec.split)
        splits.check_for_training(dataset, assignment, self.trainer.MONITOR)
        data = self.fit_data(dataset, assignment)
        device = self.spec.device
        self.writer.set(state="running", note="", device=device)
        self.started = time.monotonic()
        done = self.fit(data, device)
        self.finish(done, data, dataset, assignment)
        return done.reason

    def finish(self, done: Done, data: FitData, dataset: Dataset, assignment: np.ndarray, *, together: int = 0) -> None:
        """Keep the model, score it, and sum up. Of `together` runs in one process none has seconds of its own."""
        seconds = self.trained_s()
        self.note(1.0, "Scoring the test part")
        saved = {"model": done.model, "input": done.input, "window_s": data.window_s, "columns": list(data.columns)}
        checkpoints.save_state(self.folder / "checkpoints" / "final.safetensors", saved)
        self.score(dataset, assignment, self.spec.device)
        rate = len(data.train) * self.epoch / seconds if self.epoch and seconds > 0 and not together else None
        shared = {"together": together, "seconds_together": seconds} if together else {}
        self.writer.event(
            "summary",
            seconds=None if together else seconds,
            items_per_s=rate,
            peak_memory_mb=_peak_memory_mb(self.spec.device),
            epochs=self.epoch,
            stopped_because=done.reason,
            **shared,
        )

    def fit_data(self, dataset: Dataset, assignment: np.ndarray) -> FitData:
        """The training and validation rows, and only these, in the first representation both sides know."""
        usable = [name for name in self.trainer.INPUTS if name in dataset.inputs]
        if not usable:
            raise ValueError(
                f"{self.spec.trainer} eats {', '.join(self.trainer.INPUTS)}; "
                f"{dataset.name} offers {', '.join(dataset.inputs)}."
            )
        window_s = float(dataset.window_s.get(usable[0], getattr(self.config, "window_seconds", 0.0)))
        parts = {}
        for part in ("train", "validation"):
            chosen = np.flatnonzero(assignment == part)
            parts[part] = dataset.rows(usable[0], chosen, window_s, self.note)
        data = FitData(
            parts["train"],
            parts["validation"],
            dataset.task,
            dataset.labels,
            dataset.unit,
            usable[0],
            tuple(dataset.columns.get(usable[0], ())),
            window_s,
        )
        self.tell_data(data, dataset, assignment)
        return data

    def tell_data(self, data: FitData, dataset: Dataset, assignment: np.ndarray) -> None:
        """Say in the log what it learns from; ValueError where that is not what it began with."""
        sizes = {f"n_{part}": int((assignment == part).sum()) for part in ("train", "validation", "test")}
        rows = {"train_rows": len(data.train), "validation_rows": len(data.validation)}
        self.check_version(dataset.version)
        sizes["is_leaky"] = bool(splits.shared_groups(dataset, assignment))  # known of a run that is never scored, too
        self.writer.event("data", version=dataset.version, input=data.input, window_s=data.window_s, **sizes, **rows)

    def check_version(self, version: str) -> None:
        """Refuse to go on from a checkpoint on other data: what it learned from may be test there."""
        events, _ = rundir.read_events(self.folder)
        began = next((e[key] for e in events for key in ("version", "data_version") if key in e), version)
        if began != version and any((self.folder / "checkpoints").glob("*.safetensors")):
            raise ValueError(
                f"{self.spec.data} has changed since this run began (version {began}, now {version}): "
                "what it learned from may now be test. Start a new run."
            )

    def fit(self, data: FitData, device: str) -> Done:
        """Drive the trainer's generator; hand in changes; stop where asked."""
        state, steering = self.begin(self.newest_checkpoint())
        generator = np.random.default_rng(self.spec.seed)
        steps = self.trainer.fit(data, self.config, generator=generator, device=device, state=state)
        changes: Changes | None = None
        try:
            while True:
                event = steps.send(changes)
                if isinstance(event, Done):
                    return event
                self.take(event, data)
                changes = steering.obey(self.step, self.epoch, may_change=isinstance(event, Metrics))
        except StopIteration:
            raise RuntimeError(f"{self.spec.trainer} ended without saying Done.") from None
        finally:
            steps.close()

    def begin(self, saved: dict[str, Any] | None) -> tuple[dict[str, Any] | None, Steering]:
        """Stand at a checkpoint (None: the beginning): the state that `fit` goes on from, and what obeys the user."""
        to_step = -1
        if saved is not None:
            self.step, self.epoch, self.best = int(saved["step"]), float(saved["epoch"]), float(saved["best"])
            self.seconds_before, to_step = float(saved.get("seconds", 0.0)), self.step
        events, _ = rundir.read_events(self.folder)
        self.steering = Steering(self.writer, self.trainer.Config, self.spec, events, to_step)
        if any(event["kind"] == "metrics" for event in events):  # it trained before
            self.writer.event("rewound", to_step=to_step)
        return (None if saved is None else saved["state"]), self.steering

    def newest_checkpoint(self) -> dict[str, Any] | None:
        """The last full state; where its file is damaged the newest that is whole.

        A branch that has none of its own begins from its parent's, with its own values of the knobs moved there.
        """
        found = checkpoints.newest_whole(self.folder, lambda **about: self.writer.event("damaged", **about))
        if found is None:
            return None
        path, saved = found
        if path.stem == "start" and "changed" in saved["state"]:
            saved["state"]["changed"] = {name: self.spec.config[name] for name in saved["state"]["changed"]}
        return saved

    def take(self, event: Metrics | Snapshot | Checkpoint, data: FitData) -> None:
        """Write one event of the trainer."""
        if isinstance(event, Metrics):
            self.step, self.epoch = event.step, event.epoch
            if self.is_kept(event):
                self.writer.event("metrics", step=event.step, epoch=event.epoch, values=event.values)
            self.monitored = event.values.get(self.trainer.MONITOR, self.monitored)
            for name, value in event.values.items():
                if name.endswith("/loss") and not abs(value) <= LARGEST_LOSS:  # nor is a NaN
                    raise FloatingPointError(
                        f"{name} became {value:.3g} at step {event.step}; try a smaller learning rate."
                    )
            self.progress()
        elif isinstance(event, Checkpoint):
            self.keep(event, data)
        elif isinstance(event, Snapshot):
            name = f"{self.step:08d}-{event.name}.json"
            rundir.write_json(self.folder / "snapshots" / name, event.payload)
            self.writer.event("snapshot", step=self.step, name=event.name, file=name)

    def is_kept(self, event: Metrics) -> bool:
        """Per-epoch numbers always; per-step ones all at first, then one in ten per decade."""
        is_epoch = event.epoch == int(event.epoch) or any(name.startswith("validation/") for name in event.values)
        if event.step <= DENSE_STEPS or is_epoch:
            return True
        return event.step % 10 ** math.floor(math.log10(event.step / DENSE_STEPS * 10)) == 0

    def keep(self, event: Checkpoint, data: FitData) -> None:
        """Full state as last (and best, and of log-spaced epochs), the weights alone per epoch."""
        folder = self.folder / "checkpoints"
        about = {"input": data.input, "window_s": data.window_s, "columns": list(data.columns)}
        is_best = self.monitored < self.best
        self.best = min(self.best, self.monitored)
        full = {"state": event.state, "model": event.state["model"], "step": self.step, "epoch": self.epoch}
        full |= {"best": str(self.best), "seconds": self.trained_s(), **about}
        checkpoints.save_state(folder / "last.safetensors", full)
        if is_best:
            checkpoints.save_state(folder / "best.safetensors", full)  # a file of its own, should that one be damaged
        rundir.share(folder / "last.safetensors", folder / f"state-{round(self.epoch):04d}.safetensors")
        checkpoints.thin(folder, kind="state", most=checkpoints.MOST_STATES)
        weights = folder / f"epoch-{round(self.epoch):04d}.safetensors"
        checkpoints.save_state(weights, {"model": event.state["model"], "step": self.step, **about})
        checkpoints.thin(folder)
        self.writer.event("checkpoint", step=self.step, epoch=self.epoch, file=weights.name, is_best=is_best)
        self.writer.sync()

    def score(self, dataset: Dataset, assignment: np.ndarray, device: str) -> None:
        """Score validation and test with the final model; predictions to parquet, test metrics as an event."""
        model = evaluation.load_model(self.folder)
        report, table = evaluation.evaluate(self.trainer, model, dataset, assignment, progress=self.note, device=device)
        report |= {"split": self.spec.split, "is_leaky": splits.is_leaky(dataset, self.spec.split)}
        save_evaluation(self.folder, report)
        making = self.folder / f".predictions.parquet.{os.getpid()}"
        table.to_parquet(making, index=False)
        os.replace(making, self.folder / "predictions.parquet")
        tested = report["parts"].get("test", {"metrics": {}})["metrics"]
        values = {f"test/{name}": score["value"] for name, score in tested.items()}
        self.writer.event("metrics", step=self.step, epoch=self.epoch, values=values)

    def progress(self) -> None:
        """How far, for whoever watches; told with each beat."""
        fraction = min(self.epoch / self.total_epochs, 1.0) if self.total_epochs else 0.0
        self.writer.tell(step=self.step, epoch=self.epoch, fraction=fraction, trained_s=self.trained_s())

    def note(self, fraction: float, sentence: str) -> None:
        """Progress of something slow outside `fit`; also a place where a stop is obeyed."""
        now = time.monotonic()
        if now - self.last_note_at < 0.25:
            return
        self.last_note_at = now
        self.writer.event("progress", fraction=fraction, note=sentence)
        self.writer.set(note=sentence, fraction=fraction)
        for path, wish in rundir.wishes(self.folder):
            if wish["kind"] == "stop":
                path.unlink()
                raise Stopped(f"Stopped by the user while: {sentence}.")


def save_evaluation(folder: Path, report: dict[str, Any]) -> Path:
    """Write a report as `evaluations/<data>-<split>.json`; returns the path."""
    name = "".join(c if c.isalnum() or c in "-." else "_" for c in f"{report['data']}-{report['split']}")
    path = folder / "evaluations" / f"{name}.json"
    rundir.write_json(path, report)
    return path


def _beat(writer: rundir.Writer, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        with contextlib.suppress(OSError):  # a full disk may have room again at the next beat
            writer.beat()


def _on_terminate(number: int, frame: FrameType | None) -> None:
    raise Stopped("Stopped by the user before its next step.")


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and disk.is_full(error):
        return disk.sentence(error)
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _peak_memory_mb(device: str) -> float:
    if device.startswith("cuda"):
        import torch  # only a run on such a device gets here, and it has torch loaded

        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # macOS counts bytes, Linux kilobytes


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
