"""A small pool of rendering processes that survives a renderer that never returns.

Plain subprocesses and pipes: `multiprocessing` would run the page again in a spawned child, and a thread cannot be
stopped. A child ends by itself when its input closes, so it does not outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from core import paths

Job = dict[str, Any]
START_LIMIT_S = 60.0
CHILD = (sys.executable, "-m", "core.datasets._render")


class _Worker:
    """One child and the thread that reads its answers; `None` in the queue means that it ended."""

    def __init__(self, command: tuple[str, ...]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=paths.PROJECT,
            env=environment,
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        self.is_fresh = True
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def ask(self, job: Job, limit_s: float) -> str:
        """Do one job: "" when it is done, else why not; raises TimeoutError past the limit."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            # The first answer waits for the child's imports, which a busy machine stretches to many seconds.
            answer = self.answers.get(timeout=limit_s + START_LIMIT_S * self.is_fresh)
            self.is_fresh = False
        except BrokenPipeError:
            return "the rendering process ended"
        except queue.Empty:
            raise TimeoutError(f"no answer in {limit_s:g} s") from None
        return "the rendering process ended" if answer is None else str(json.loads(answer)["error"])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def render_all(
    jobs: list[Job],
    done: Callable[[int], None],
    *,
    workers: int = 2,
    limit_s: float = 30.0,
    command: tuple[str, ...] = CHILD,
) -> list[str]:
    """Do all jobs (see `_render.work`) in `workers` children; `done(count)` is called as they finish.

    A child that takes longer than `limit_s` for one job is killed; the job is tried once more an octave lower where
    it knows octaves, and otherwise as it is. Returns the files that needed the second try. Raises ValueError naming
    the file, the reason and the remedy where that fails too.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    finished: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_serve, args=(waiting, finished, stop, limit_s, command), daemon=True)
        for _ in range(min(workers, len(jobs)))
    ]
    for thread in threads:
        thread.start()
    try:
        return _collect(finished, len(jobs), done)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _collect(finished: queue.SimpleQueue[tuple[str, str] | None], total: int, done: Callable[[int], None]) -> list[str]:
    second_tries, count = [], 0
    while count < total:
        path, outcome = finished.get() or ("", "")
        if outcome == "again":
            second_tries.append(path)
            continue
        if outcome:
            raise ValueError(
                f"{os.path.basename(path)} of the built-in corpus could not be rendered ({outcome}); "
                "check the free disk space and the installed symusic and soundfile, then start again: "
                "what is rendered is kept."
            )
        count += 1
        done(count)
    return second_tries


def _serve(
    waiting: queue.SimpleQueue[Job],
    finished: queue.SimpleQueue[tuple[str, str] | None],
    stop: threading.Event,
    limit_s: float,
    command: tuple[str, ...],
) -> None:
    worker = _Worker(command)
    try:
        while not stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            outcome = ""
            for attempt in (job, {**job, "octave": -1} if "octave" in job else job):
                try:
                    outcome = worker.ask(attempt, limit_s)
                except TimeoutError as error:
                    outcome = str(error)
                if not outcome:
                    break
                worker.end()
                worker = _Worker(command)
                if attempt is job:
                    finished.put((job["path"], "again"))
            finished.put((job["path"], outcome))
    finally:
        worker.end()
