"""What a run is and where it stands: the two records of a run directory, `spec.json` and `status.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.config import fingerprint

VERSION = 1
WAITING, ACTIVE = ("queued",), ("starting", "running", "paused")
FINISHED = ("done", "stopped", "diverged", "failed")
STATES = (*WAITING, *ACTIVE, *FINISHED, "lost")


def epoch_text(epoch: float) -> str:
    """An epoch for a sentence: "0.25", "12.5", "1,260"; never in powers of ten."""
    return f"{epoch:,.0f}" if epoch >= 100 else f"{epoch:.3g}"


@dataclass(frozen=True)
class Spec:
    """What a run is: everything needed to make it again. `inputs` maps knob names to the runs used as input.

    `sweep` is the id of the sweep it belongs to, `together` names the group that trains in one process, `share` is the
    part of its device that it needs; none of the three changes what it learns.
    """

    id: str
    trainer: str
    config: dict[str, Any]
    data: str
    task: str
    split: str
    seed: int
    device: str
    are_seeds_pooled: bool = True
    inputs: dict[str, str] = field(default_factory=dict)
    parent: str | None = None
    parent_step: int | None = None
    created_at: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    revision: str = ""
    sweep: str = ""
    together: str = ""
    share: float = 1.0
    format: int = VERSION

    @property
    def config_id(self) -> str:
        """Names the configuration: runs that differ in the seed alone share it."""
        what = [self.trainer, self.config, self.data, self.split, self.inputs, self.parent, self.parent_step]
        return fingerprint(what)


@dataclass(frozen=True)
class Status:
    """Where a run stands. `state` is as written, or "lost" where a reader sees that its process is gone.

    A paused run whose process is gone (a restart of the machine, say) is still "paused", with pid 0. `process` names
    the process beyond doubt (core/liveness.py), `pid_started` does so by the clock (Unix seconds).
    """

    state: str
    reason: str = ""
    pid: int = 0
    pid_started: float = 0.0
    process: str = ""
    host: str = ""
    beat: int = 0
    heartbeat: float = 0.0
    note: str = ""
    fraction: float = 0.0
    step: int = 0
    epoch: float = 0.0
    trained_s: float = 0.0
    device: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen unless someone resumes it."""
        return self.state in FINISHED or self.state == "lost" or (self.state == "paused" and not self.pid)
