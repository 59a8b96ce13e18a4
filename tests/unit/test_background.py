"""Work beside the page: progress, an end when asked, one at a time, and the same piece for everybody who asks."""

from __future__ import annotations

import threading
import uuid

import pytest

from core import background

PATIENCE_S = 60.0


def test_the_result_and_how_far_it_is() -> None:
    half, go_on = threading.Event(), threading.Event()

    def work(tell: background.Tell) -> str:
        tell(0.5, "half")
        half.set()
        assert go_on.wait(PATIENCE_S)
        return "done"

    job = background.start(uuid.uuid4(), work)
    assert half.wait(PATIENCE_S)
    assert (job.fraction, job.note, job.is_active, job.wait(0.0)) == (0.5, "half", True, False)
    assert job.left_s is not None and job.left_s >= 0
    go_on.set()
    assert job.wait(PATIENCE_S) and job.result() == "done" and not job.is_active


def test_an_end_that_was_asked_for_comes_with_the_next_word() -> None:
    begun, asked = threading.Event(), threading.Event()

    def work(tell: background.Tell) -> None:
        begun.set()
        assert asked.wait(PATIENCE_S)
        tell(0.1, "")
        pytest.fail("it went on")

    job = background.start(uuid.uuid4(), work)
    assert begun.wait(PATIENCE_S)
    job.cancel()
    asked.set()
    assert job.wait(PATIENCE_S) and job.was_cancelled
    with pytest.raises(background.Cancelled):
        job.result()


def test_an_error_is_for_whoever_asks_for_the_result() -> None:
    def work(tell: background.Tell) -> None:
        raise ValueError("The disk is full.")

    job = background.start(uuid.uuid4(), work)
    assert job.wait(PATIENCE_S) and not job.was_cancelled
    with pytest.raises(ValueError, match=r"The disk is full\."):
        job.result()


def test_one_at_a_time_and_one_of_a_kind() -> None:
    key, go_on, running = uuid.uuid4(), threading.Event(), threading.Event()

    def work(tell: background.Tell) -> int:
        running.set()
        assert go_on.wait(PATIENCE_S)
        return 1

    first = background.start(key, work)
    assert background.start(key, lambda tell: 2) is first
    assert running.wait(PATIENCE_S)
    other = background.start(uuid.uuid4(), lambda tell: 3)
    assert not other.wait(0.05) and other.begun_s is None  # it waits for its turn
    background.forget(key)
    assert background.find(key) is first  # what goes on is not forgotten
    go_on.set()
    assert (first.result(), other.result()) == (1, 3)
    background.forget(key)
    assert background.find(key) is None


def test_what_waits_for_its_turn_ends_when_asked() -> None:
    go_on, running = threading.Event(), threading.Event()

    def work(tell: background.Tell) -> None:
        running.set()
        assert go_on.wait(PATIENCE_S)

    first = background.start(uuid.uuid4(), work)
    assert running.wait(PATIENCE_S)
    other = background.start(uuid.uuid4(), lambda tell: pytest.fail("it began"))
    other.cancel()
    try:
        assert other.wait(PATIENCE_S) and other.was_cancelled and first.is_active
    finally:
        go_on.set()
    assert background.start(uuid.uuid4(), lambda tell: 4).result() == 4  # nobody holds the turn
