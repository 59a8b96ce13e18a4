"""Work that takes minutes and belongs to no script run: in a thread, with progress and an end when asked.

One at a time: two pieces of work of this kind together would take twice the memory. Reruns and other tabs find the
same piece again by its key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

Tell = Callable[[float, str], None]
"""Called by the work with how much is done (0 to 1) and a few words; raises `Cancelled` where somebody asked to end."""

KEPT_ENDED = 8
LOOK_EVERY_S = 0.2
"""A piece of work that waits for its turn looks so often whether it shall end."""


class Cancelled(Exception):
    """Somebody asked the work to end."""


class Job:
    """One piece of work: `fraction` (0 to 1) and `note` while it goes on, then its result or its error."""

    def __init__(self, work: Callable[[Tell], Any]) -> None:
        self.fraction, self.note = 0.0, "Waiting for its turn"
        self.begun_s: float | None = None
        self.was_cancelled = False
        self._work = work
        self._result: Any = None
        self._error: Exception | None = None
        self._asked, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="background work", daemon=True).start()

    def cancel(self) -> None:
        """Ask it to end; it does so the next time it tells how far it is, or soon where it waits for its turn."""
        self._asked.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended within `seconds`."""
        return self._ended.wait(seconds)

    @property
    def is_active(self) -> bool:
        return not self._ended.is_set()

    @property
    def left_s(self) -> float | None:
        """Seconds it still takes if it goes on as so far; None before that can be said."""
        if self.begun_s is None or self.fraction < 0.02:
            return None
        return (time.monotonic() - self.begun_s) * (1 - self.fraction) / self.fraction

    @property
    def has_result(self) -> bool:
        """Whether it came to its end, and that without an error."""
        return not self.is_active and self._error is None

    def result(self) -> Any:
        """What the work returned; raises what it raised, `Cancelled` where it was ended."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def _tell(self, fraction: float, note: str) -> None:
        self.fraction, self.note = min(max(fraction, 0.0), 1.0), note
        if self._asked.is_set():
            raise Cancelled

    def _run(self) -> None:
        try:
            while not _turn.acquire(timeout=LOOK_EVERY_S):
                if self._asked.is_set():
                    raise Cancelled
            try:
                self.begun_s = time.monotonic()
                self._tell(0.0, "")
                self._result = self._work(self._tell)
            finally:
                _turn.release()
        except Cancelled as end:
            self.was_cancelled, self._error = True, end
        except Exception as error:  # whoever asks for the result gets it
            self._error = error
        finally:
            self._work = _nothing  # what it held on to, an upload's bytes perhaps, goes
            self._ended.set()


def _nothing(tell: Tell) -> None:
    return None


_turn = threading.Lock()
_jobs: dict[Hashable, Job] = {}
_lock = threading.Lock()


def find(key: Hashable) -> Job | None:
    """The work known by `key`, going on or ended; None where there is none."""
    return _jobs.get(key)


def start(key: Hashable, work: Callable[[Tell], Any]) -> Job:
    """The work known by `key`, begun now where it is not there yet."""
    with _lock:
        if key not in _jobs:
            ended = [known for known, job in _jobs.items() if not job.is_active]
            for known in ended[: max(0, len(ended) - KEPT_ENDED + 1)]:
                del _jobs[known]
            _jobs[key] = Job(work)
        return _jobs[key]


def forget(key: Hashable) -> None:
    """Let an ended piece of work go, so that it can be started again."""
    with _lock:
        if key in _jobs and not _jobs[key].is_active:
            del _jobs[key]
