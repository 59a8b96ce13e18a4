"""One per cache: starts queued runs, one slot per device, watches them, ends those that do not stop. Never trains.

    python -m core.supervisor

The queue is a folder of files `cache/queue/<position>-<run>`; whoever removes the file owns the run's start. A file
holds the EARSHOT_DATA of whoever asked: the supervisor may have been started by an app that knew another one, or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from core import config, paths, rundir
from core.executors import local

TICK_S = 0.2
IDLE_S = 120.0
CUDA_NEEDED = 13_000
"""The driver's CUDA version, as NVML counts it, that the pinned torch needs."""
TERMINATE_AFTER_S, KILL_AFTER_S = 5.0, 10.0


def queue() -> Path:
    """The folder of the queue."""
    folder = paths.cache() / "queue"
    folder.mkdir(exist_ok=True)
    return folder


def new_spec(
    trainer: ModuleType,
    values: dict[str, Any],
    *,
    data: str,
    split: str | None = None,
    seed: int = 0,
    device: str = "auto",
    parent: str | None = None,
) -> rundir.Spec:
    """The spec of a new run from what a form or a command line says; the only place where one is made.

    Raises ValueError for anything a user could get wrong: a knob, the data set's name, the split, the device.
    """
    from core import datasets  # pandas comes with it; the supervisor's own loop does not need that
    from core.datasets import splits

    name, data = trainer.__name__.rpartition(".")[2], datasets.settled(data)
    offered = datasets.module(data).TASKS
    task = next((task for task in trainer.TASKS if task in offered), None)
    if task is None:
        wants, has = ", ".join(trainer.TASKS), ", ".join(offered)
        raise ValueError(f"{name} learns {wants}; {data} has labels for {has}.")
    if split is None:
        split = datasets.default_split(data, task)
    split = splits.parse(split).name  # cv10:0 and cv10:0.0 are one board
    dataset = datasets.load(data, task)  # missing files, or a split they do not have, are said before the queue
    splits.check_for_training(dataset, splits.assign(dataset, split))
    if not set(trainer.INPUTS) & set(dataset.inputs):
        raise ValueError(f"{name} eats {', '.join(trainer.INPUTS)}; {data} offers {', '.join(dataset.inputs)}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"The seed must be 0 to 4294967295, not {seed}.")
    return rundir.Spec(
        id=rundir.new_id(name),
        trainer=name,
        config=config.to_dict(config.make(trainer.Config, values)),
        data=data,
        task=task,
        split=split,
        seed=seed,
        device=resolve_device(device, trainer.DEVICES),
        are_seeds_pooled=trainer.ARE_SEEDS_POOLED,
        parent=parent,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        revision=_revision(),
    )


def resolve_device(wanted: str, usable: tuple[str, ...]) -> str:
    """The device a run will use. ValueError where this machine or this trainer has no such device."""
    present = devices()
    kinds = [device.partition(":")[0] for device in present]
    if wanted == "auto":
        return next(device for device, kind in zip(present, kinds, strict=True) if kind in usable)
    kind = wanted.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(f"There is no device {wanted!r}; choose auto, cpu, cuda or mps.")
    if kind not in usable:
        raise ValueError(f"This trainer runs on {', '.join(usable)}, not on {wanted}.")
    if kind not in kinds:
        raise ValueError(f"This machine has no {wanted}; it has {', '.join(present)}.")
    found = next((device for device in present if device in (wanted, f"{wanted}:0")), None)
    if found is None:
        raise ValueError(f"This machine has no {wanted}; it has {', '.join(present)}.")
    return found


def devices() -> list[str]:
    """The devices of this machine, fastest first, without importing torch: "cuda:0" …, "mps", "cpu".

    GPUs that CUDA_VISIBLE_DEVICES hides do not count; those it shows are numbered from 0, as in torch.
    """
    import pynvml

    found = []
    try:
        pynvml.nvmlInit()
        if pynvml.nvmlSystemGetCudaDriverVersion() < CUDA_NEEDED:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        count, shown = pynvml.nvmlDeviceGetCount(), os.environ.get("CUDA_VISIBLE_DEVICES")
        if shown is not None:
            count = min(count, sum(part.strip() not in ("", "-1") for part in shown.split(",")))
        found = [f"cuda:{number}" for number in range(count)]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver, one too old for this torch, no GPU
        found = []
    if os.uname().sysname == "Darwin" and os.uname().machine == "arm64":
        found.append("mps")
    return [*found, "cpu"]


def submit(spec: rundir.Spec) -> Path:
    """Create the run, queue it, and see to it that a supervisor is there. Returns the run's directory."""
    folder = rundir.create(spec)
    enqueue(folder)
    return folder


def enqueue(folder: Path) -> None:
    """Queue a run that exists (new, or to be resumed), and wake a supervisor."""
    status = rundir.read_status(folder)
    rundir.set_status(folder, replace(status, state="queued", reason="", ended_at=0.0))
    making = paths.cache() / f".queueing-{folder.name}"  # appears in the queue complete
    making.write_text(str(paths.data() or ""))
    os.replace(making, queue() / f"{time.time_ns():020d}-{folder.name}")
    local.start_supervisor()


def resume(folder: Path) -> None:
    """Queue a stopped, failed or lost run again; it goes on from its last checkpoint. ValueError for others."""
    state = rundir.read_status(folder).state
    if state not in ("stopped", "failed", "lost"):
        raise ValueError(f"Run {folder.name} is {state}; only a stopped, failed or lost run can be resumed.")
    for path, wish in rundir.wishes(folder):
        if wish["kind"] == "stop":  # an old one must not stop it again
            path.unlink()
    enqueue(folder)


def claim(folder: Path) -> bool:
    """Take a run out of the queue; True for exactly one caller."""
    for marker in queue().glob(f"*-{folder.name}"):
        try:
            marker.unlink()
            return True
        except FileNotFoundError:
            continue
    return False


def stop(folder: Path) -> str:
    """Ask a run to stop; returns what happens now. A queued run is taken out of the queue."""
    status = rundir.read_status(folder)
    if status.state == "queued" and claim(folder):
        ended = replace(status, state="stopped", reason="Taken out of the queue.", ended_at=time.time())
        rundir.set_status(folder, ended)
        return "It was waiting and is taken out of the queue."
    if status.is_finished:
        return f"It is {status.state} already."
    rundir.ask(folder, "stop")
    return "It stops at its next step."


def position(folder: Path) -> int:
    """How many runs stand before this one in the queue."""
    names = sorted(os.listdir(queue()))
    places = [number for number, name in enumerate(names) if name.endswith(f"-{folder.name}")]
    return places[0] if places else 0


def press(folder: Path, status: rundir.Status, told: set[tuple[str, int]]) -> None:
    """Signal a run that does not stop when asked: SIGTERM after 5 s, SIGKILL after 10; `told` keeps each to one."""
    asked = rundir.stop_asked_at(folder)
    waited = time.time() - asked if asked else 0.0
    is_here = status.state in rundir.ACTIVE and status.host == socket.gethostname()
    if waited > TERMINATE_AFTER_S and status.pid and is_here:
        number = signal.SIGKILL if waited > KILL_AFTER_S else signal.SIGTERM
        if (folder.name, number) not in told:
            told.add((folder.name, number))
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(status.pid, number)


def settle(folder: Path, status: rundir.Status, child: subprocess.Popen[bytes] | None) -> None:
    """Write the end of a run whose process could not: it was stopped by force, or it never came to start."""
    if rundir.stop_asked_at(folder) is not None and status.state == "lost":
        ended = replace(status, state="stopped", reason="Stopped by force; the last checkpoint stays.")
        rundir.set_status(folder, replace(ended, ended_at=time.time()))
    elif child is not None and (not status.is_finished or (status.state == "lost" and not status.pid)):
        reason = f"Its process ended (exit status {child.returncode}) before it could start; see stdout.log."
        rundir.set_status(folder, replace(status, state="failed", reason=reason, ended_at=time.time()))


def ensure() -> None:
    """Start a supervisor where runs wait and none is at work (it was killed, say)."""
    if not any(queue().iterdir()):
        return
    with (paths.cache() / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    local.start_supervisor()


class _Supervisor:
    """Slots and the processes in them."""

    def __init__(self) -> None:
        self.running: dict[str, Path] = {}
        self.devices: dict[str, str] = {}  # kept here: the directory may be deleted while the run goes on
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.told: set[tuple[str, int]] = set()
        self.last_work = time.monotonic()
        for folder in rundir.directories():  # runs that a supervisor before this one started
            if folder.parent == paths.runs() and rundir.read_status(folder).state in rundir.ACTIVE:
                with contextlib.suppress(ValueError):
                    self.devices[folder.name] = rundir.read_spec(folder).device
                    self.running[folder.name] = folder

    def tick(self) -> bool:
        """One round: see who ended, who should have stopped, who may start. False when idle for long."""
        for name, folder in list(self.running.items()):
            self.watch(name, folder)
        for marker in sorted(queue().iterdir()):
            self.consider(marker)
        if self.running or any(queue().iterdir()):
            self.last_work = time.monotonic()
        return time.monotonic() - self.last_work < IDLE_S

    def watch(self, name: str, folder: Path) -> None:
        """Forget a run that ended; press one that was asked to stop and does not."""
        child = self.children.get(name)
        status = rundir.read_status(folder)
        if (child is not None and child.poll() is not None) or (child is None and status.is_finished):
            self.running.pop(name)
            self.children.pop(name, None)
            settle(folder, status, child)
            return
        press(folder, status, self.told)

    def consider(self, marker: Path) -> None:
        """Start a queued run if its device is free."""
        folder = paths.runs() / marker.name.partition("-")[2]
        try:
            device = rundir.read_spec(folder).device
        except ValueError as error:  # damaged, or deleted while it waited
            marker.unlink(missing_ok=True)
            if folder.is_dir():
                rundir.set_status(folder, rundir.Status("failed", reason=str(error), ended_at=time.time()))
            return
        try:
            data_folder = marker.read_text()
        except FileNotFoundError:  # taken out of the queue just now
            return
        if device in self.taken() or not claim(folder):
            return
        # Said before it is so: should this process end here, the run turns "lost" and can be resumed.
        status = replace(rundir.read_status(folder), state="starting", pid=0, heartbeat=time.time())
        rundir.set_status(folder, status)
        self.running[folder.name] = folder
        self.devices[folder.name] = device
        self.children[folder.name] = local.start(folder, data_folder)

    def taken(self) -> set[str]:
        """Devices in use."""
        return {self.devices[name] for name in self.running}


def main() -> None:
    """Supervise the cache until there was nothing to do for a while."""
    with (paths.cache() / "supervisor.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another one is at work
            supervisor = _Supervisor()
            while supervisor.tick():
                time.sleep(TICK_S)
            fcntl.flock(lock, fcntl.LOCK_UN)
            if not any(queue().iterdir()):  # a run queued while this one still held the lock had nobody else
                return


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("numpy", "torch", "scikit-learn", "xgboost")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _revision() -> str:
    asked = ["git", "-C", str(paths.PROJECT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):  # a copy without git
        return ""


if __name__ == "__main__":
    main()
