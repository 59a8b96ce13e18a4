"""The sweep that `--help` shows has something to find: it converges, and its two factors interact as physics says."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import trainers
from core import datasets, sweepfile
from core.datasets import no_progress, splits
from core.events import FitData, Metrics


def reached(file: sweepfile.SweepFile, **cell: Any) -> float:
    """Validation CCC at the end, mean over the seeds of the file."""
    dataset, trainer = datasets.load(file.data), trainers.load(file.trainer)
    assignment = splits.assign(dataset, dataset.default_split)
    parts = [
        dataset.rows("toy12", np.flatnonzero(assignment == part), 0.0, no_progress) for part in ("train", "validation")
    ]
    data = FitData(*parts, "emotion", dataset.labels, dataset.unit, "toy12")
    ends = []
    for seed in file.seeds:
        told = trainer.fit(data, trainer.Config(**file.settings, **cell), generator=np.random.default_rng(seed))
        *_, last = (event.values["validation/ccc"] for event in told if isinstance(event, Metrics)
                    and "validation/ccc" in event.values)  # fmt: skip
        ends.append(last)
    return float(np.mean(ends))


def test_it_converges_and_momentum_is_worth_a_tenfold_rate() -> None:
    """Heavy ball with momentum m walks 1 / (1 − m) as far per step: m = .9 is ten times the rate (Polyak 1964)."""
    file = sweepfile.parse(sweepfile.EXAMPLE)
    rates, momenta = file.factors["learning_rate"], file.factors["momentum"]
    assert isinstance(rates, tuple) and isinstance(momenta, tuple) and momenta == (0.0, 0.9)
    ccc = {(rate, m): reached(file, learning_rate=rate, momentum=m) for rate, m in itertools.product(rates, momenta)}
    assert max(ccc.values()) > 0.88  # the line is planted, a perfect fit of it has about .89
    assert min(ccc.values()) < 0.2
    for slow, quick in itertools.pairwise(rates):
        assert quick / slow == 10 and abs(ccc[slow, 0.9] - ccc[quick, 0.0]) < 0.05
    gains = [ccc[rate, 0.9] - ccc[rate, 0.0] for rate in rates]
    assert gains[0] > 0.3 and abs(gains[-1]) < 0.05
