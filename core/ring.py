"""The newest samples of a stream that one thread writes and others read, neither waiting for the other."""

from __future__ import annotations

import numpy as np


class Ring:
    """The newest samples of a stream, at least `keep` of them once so many have come.

    One thread writes and never waits for a reader; any thread reads. Room for `slack` further samples keeps what a
    reader copies apart from what the writer overwrites meanwhile; a reader overtaken even so copies again.
    """

    def __init__(self, channels: int, keep: int, slack: int) -> None:
        assert channels > 0 and keep > 0 and slack > 1, (channels, keep, slack)
        self.keep, self._slack = keep, slack
        self._samples = np.zeros((channels, keep + slack), np.float32)
        self.written = 0

    def write(self, block: np.ndarray) -> None:
        """Append `block` [channels, n]."""
        most = self._slack // 2
        for first in range(0, block.shape[1], most):
            part = block[:, first : first + most]
            place = self.written % self._samples.shape[1]
            before_edge = min(part.shape[1], self._samples.shape[1] - place)
            self._samples[:, place : place + before_edge] = part[:, :before_edge]
            self._samples[:, : part.shape[1] - before_edge] = part[:, before_edge:]
            self.written += part.shape[1]  # only now: a reader sees nothing that is not there yet

    def last(self, n: int) -> tuple[np.ndarray, int]:
        """A copy of the newest `n` samples [channels, ≤ n], at most `keep`, and how many had come in all by then."""
        capacity = self._samples.shape[1]
        while True:
            end = self.written
            count = min(n, end, self.keep)
            first = (end - count) % capacity
            before_edge = min(count, capacity - first)
            parts = [self._samples[:, first : first + before_edge], self._samples[:, : count - before_edge]]
            copied = np.concatenate(parts, axis=1)
            if self.written - end <= self._slack // 2:  # the block being written now is at most the other half
                return copied, end
