"""Pages that show a run or a sweep under way follow it until it has come to what was asked of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import streamlit as st

from core import rundir
from core.sweeps import Summary
from pages import sweep_watch
from tests.contract.test_pages import opened, seen
from tests.unit.test_rundir import spec


def test_the_run_page_is_drawn_anew_once_a_wish_was_taken_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rundir.create(spec("run-a"))
    rundir.set_status(folder, rundir.Status("running", pid=os.getpid(), heartbeat=time.time()))
    parts: list[Callable[..., None]] = []

    def fragment(function: Callable[..., None], run_every: float | None = None) -> Callable[..., None]:
        if function.__name__ == "_under_way":
            assert run_every
            parts.append(function)
        return function

    monkeypatch.setattr(st, "fragment", fragment)
    seen(opened("pages/run.py", run=folder.name))
    with mock.patch.object(st, "rerun") as again, mock.patch.object(st, "progress"):
        parts[0](folder, "running")
        assert not again.called
        rundir.set_status(folder, rundir.Status("paused", pid=os.getpid(), heartbeat=time.time()))
        parts[0](folder, "running")
        again.assert_called_once_with(scope="app")


@pytest.mark.parametrize(
    ("state", "counts", "moves"),
    [
        ("running", {"queued": 2}, True),
        ("paused", {"running": 1, "queued": 3}, True),
        ("paused", {"paused": 1, "queued": 3}, False),
        ("cancelled", {"paused": 1}, True),
        ("cancelled", {"stopped": 1, "done": 3}, False),
        ("incomplete", {"failed": 1}, False),
        ("done", {"done": 4}, False),
    ],
)
def test_a_sweep_is_followed_until_its_runs_have_come_to_rest(state: str, counts: dict[str, int], moves: bool) -> None:
    found = Summary("id", "n", "", "", state, 4, counts, 0.5, None, "toy", "toy", "grid", False, "")
    assert sweep_watch._moves(found) == moves
