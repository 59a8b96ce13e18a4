"""Boards that are ready when somebody looks: pooled in the background, where that takes longer than a look may.

After a look at the run directories found something new, a thread pools each board by its primary metric, newest first,
and those that somebody asked for by the other metrics that stand beside it. Only whole boards, and many changes at
once: a run that goes on changes one configuration, which is pooled when its board is looked at.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator

import duckdb

from core import metrics
from core.store import Store

REST, LONGEST_REST_S = 10.0, 60.0
"""After a pass its duration times this, 60 s at most, before the next: those of up to 6 s take a tenth of the time."""


class Keeper:
    """Keeps the boards of one index ready, from now on until the index is closed."""

    def __init__(self, store: Store, after_s: float = 0.0) -> None:
        """The first pass begins after `after_s`: the page that opened the index goes first."""
        self._store = weakref.ref(store)  # an index that nobody uses any more must not live on for its boards
        self._closed = store.closed
        self._lock = threading.Lock()
        self._is_due = False
        self._thread: threading.Thread | None = None
        self._not_before_s = time.monotonic() + after_s
        store.on_change = self.wake
        self.wake()

    def wake(self) -> None:
        """Something changed: see what has to be pooled, soon."""
        with self._lock:
            self._is_due = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="boards", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all is ready, or the index closed, within `seconds`."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        while self._is_asked_for() and not self._closed.wait(max(0.0, self._not_before_s - time.monotonic())):
            began_s = time.monotonic()
            self._pass()
            ended_s = time.monotonic()
            self._not_before_s = ended_s + min(REST * (ended_s - began_s), LONGEST_REST_S)

    def _pass(self) -> None:
        store = self._store()
        if store is not None:
            with contextlib.suppress(duckdb.Error):  # closed meanwhile, or damaged: whoever asks next has it mended
                for board in _wanted(store):
                    store.ready(*board)

    def _is_asked_for(self) -> bool:
        """Whether there was a call since the last pass; where there was none the thread is given up."""
        with self._lock:
            was_due, self._is_due = self._is_due, False
            if not was_due:
                self._thread = None
            return was_due


def _wanted(store: Store) -> Iterator[tuple[str, ...]]:
    """The list of boards, then each board with a metric."""
    from core import boards  # pandas comes with it, and the first page does without

    yield ()
    found = store.boards()[["task", "data", "data_version", "split"]].astype(str)
    places = [tuple(place) for place in found.itertuples(index=False)]
    for place in places:
        yield (*place, metrics.primary(place[0]))
    for place in places:
        if place in store.looked_at:
            yield from ((*place, metric) for metric in boards.BESIDE.get(place[0], ()))
