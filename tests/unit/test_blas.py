"""Analyses leave the other cores to the runs that train there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from core import paths

TOLD = "import json, threadpoolctl as t; print(json.dumps([i['num_threads'] for i in t.threadpool_info() if {0}]))"
IS_BLAS = "i['user_api'] == 'blas'"
BEGUN = {
    "nothing": "import scipy.linalg",
    "asked for": "from core import blas; blas.one_thread()",
    "a view of a sweep": "from pages import sweep_found; sweep_found._kept('a', 'b', 'c', (), lambda: 1)",
    "a report": "from core import sweepreport\ntry: sweepreport.report(None, 'none')\nexcept ValueError: pass",
    "the verdicts of a study": "from dataclasses import replace; from core import studies; "
    "studies.judge(replace(studies.load('implicit_em'), claims=()), None)",
}


@pytest.mark.parametrize("what", BEGUN)
def test_an_analysis_takes_one_thread_of_blas(what: str) -> None:
    code = f"import numpy\n{BEGUN[what]}\n{TOLD.format(IS_BLAS)}"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    threads = json.loads(done.stdout.splitlines()[-1])
    if what == "nothing" and set(threads) != {2}:
        pytest.skip("A machine with one core, or a BLAS that cannot be told.")
    assert set(threads) <= {2 if what == "nothing" else 1}
