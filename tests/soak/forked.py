"""Children of a test that have everything imported already, and waiting for what they do."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0


class Forked:
    """A child of this process that has everything imported already; looks like a Popen to the supervisor."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                quiet = os.open(os.devnull, os.O_RDWR)
                for number in (0, 1, 2):
                    os.dup2(quiet, number)
                code = work() or 0
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """The exit status, None while it lives."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = -1
            else:
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """The exit status; TimeoutError where it does not end."""
        until(lambda: self.poll() is not None, seconds)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """SIGKILL, and see it buried."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def until(is_so: Callable[[], Any], seconds: float = PATIENCE_S, pause_s: float = 0.002) -> Any:
    """Wait for something; TimeoutError where it does not come."""
    end = time.monotonic() + seconds
    while True:
        found = is_so()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(pause_s)


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns, computed in a process of its own."""
    with tempfile.NamedTemporaryFile() as file:

        def child() -> None:
            Path(file.name).write_bytes(pickle.dumps(work()))

        assert Forked(child).wait() == 0
        return pickle.loads(Path(file.name).read_bytes())  # our own bytes, written a moment ago
