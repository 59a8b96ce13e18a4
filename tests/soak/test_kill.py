"""A few rounds of the campaign that `make soak` runs for long."""

from __future__ import annotations

import json
import subprocess
import sys


def test_nothing_is_lost_to_a_few_kills() -> None:
    """In a process of its own: it forks, and this one may have the threads of other tests."""
    words = [sys.executable, "-m", "tests.soak.killer", "--rounds", "6", "--seed", "5"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert found.stdout, found.stderr
    report = json.loads(found.stdout)
    assert report["losses"] == [] and found.returncode == 0
    assert report["rounds"] == 6 and report["acknowledged_bytes"] > 0
    assert set(report["kills"]) == {"runner", "app", "supervisor"}
