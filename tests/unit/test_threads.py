"""The lab leaves the cores to the runs that train there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import paths, threads

TOLD = "import json, threadpoolctl as t; print(json.dumps([i['num_threads'] for i in t.threadpool_info() if {0}]))"
IS_BLAS = "i['user_api'] == 'blas'"
BEGUN = {
    "nothing": "import scipy.linalg",
    "asked for": "from core import threads; threads.one_for_analyses()",
    "a view of a sweep": "from pages import sweep_found; sweep_found._kept('a', 'b', 'c', (), lambda: 1)",
    "a report": "from core import sweepreport\ntry: sweepreport.report(None, 'none')\nexcept ValueError: pass",
    "the verdicts of a study": "from dataclasses import replace; from core import studies; "
    "studies.judge(replace(studies.load('implicit_em'), claims=()), None)",
}


def said(code: str, **environment: str) -> list[int]:
    """The numbers that a process of its own prints last."""
    command, whole = [sys.executable, "-c", code], {**os.environ, **environment}
    done = subprocess.run(command, cwd=paths.PROJECT, env=whole, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("what", BEGUN)
def test_an_analysis_takes_one_thread_of_blas(what: str) -> None:
    told = said(f"import numpy\n{BEGUN[what]}\n{TOLD.format(IS_BLAS)}", OPENBLAS_NUM_THREADS="2")
    if what == "nothing" and set(told) != {2}:
        pytest.skip("A machine with one core, or a BLAS that cannot be told.")
    assert set(told) <= {2 if what == "nothing" else 1}


LISTENING = """
import json, torch
from core import paths, threads
def inside():
    with threads.few_beside_runs():
        return torch.get_num_threads()
found = [inside()]
paths.at_work().touch()
print(json.dumps([*found, inside(), torch.get_num_threads()]))
"""


def test_listening_takes_few_threads_while_runs_are_at_work(cache: Path) -> None:
    before, beside, after = said(LISTENING, OMP_NUM_THREADS="64", MKL_NUM_THREADS="64", EARSHOT_CACHE=str(cache))
    if before == 1:
        pytest.skip("This PyTorch has one thread.")
    assert (beside, after) == (max(1, (os.cpu_count() or 1) // threads.SHARE), before)
