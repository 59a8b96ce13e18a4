"""A network that learns the base rates and nothing else is found out, from its run to the class of its curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import config, sweepends
from core.events import FitData, Metrics, Part
from core.sweepboard import Found
from trainers import instrunet

CLASSES = ("cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi")


def silence(n: int) -> Part:
    """Excerpts that are all the same, each class as often as any other: nothing but the base rates can be learned."""
    targets = np.eye(11, dtype=np.float32)[np.arange(n) % 11]
    items = np.array([f"item {k}" for k in range(n)])
    return Part(np.zeros((n, 8, 8), np.float32), targets, items, items, np.zeros(n))


@pytest.fixture(scope="module")
def told() -> pd.DataFrame:
    """Every number of a run on silence: epoch, name, value."""
    data = FitData(silence(44), silence(22), "instruments", CLASSES, "probability", "logmel")
    knobs = {"width": 1, "kernel": 3, "batch_norm": False, "dropout": 0.0, "weight_decay": 0.0, "epochs": 60}
    knobs |= {"learning_rate": 1.0, "batch_size": 22, "patience": 0, "plateau_patience": 0, "class_weights": False}
    events = instrunet.fit(data, config.make(instrunet.Config, knobs), generator=np.random.default_rng(0))
    rows = [(event.epoch, *pair) for event in events if isinstance(event, Metrics) for pair in event.values.items()]
    return pd.DataFrame(rows, columns=["epoch", "name", "value"])


def test_the_prior_of_eleven_equal_classes_is_told_once(told: pd.DataFrame) -> None:
    """H(1/11) = .3046 nats per label, the plateau of a published study."""
    (prior,) = told.loc[told["name"] == "train/prior_loss", "value"]
    p = 1 / 11
    assert prior == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), rel=1e-5)
    assert prior == pytest.approx(0.3046, abs=5e-5)


@pytest.mark.parametrize("metric", ["train/loss", "validation/loss"])
def test_a_run_that_is_stuck_at_the_prior_is_classed_so(told: pd.DataFrame, metric: str) -> None:
    rows = told[(told["name"] == metric) & (told["epoch"] == told["epoch"].round())]
    curve = rows.assign(run="a")[["run", "epoch", "value"]]
    results = pd.DataFrame({"run": ["a"], "cell": [0], "seed": [0], "state": ["done"], "train/prior_loss": [0.30464]})
    found = Found("x", results, (), "instruments", (metric,), (metric,))
    assert sweepends.classes(found, curve, metric)["kind"].tolist() == ["prior plateau"]
    without = Found("x", results.drop(columns="train/prior_loss"), (), "instruments", (metric,), (metric,))
    assert sweepends.classes(without, curve, metric)["kind"].tolist() != ["prior plateau"]
    assert sweepends.prior_of(found, "validation/micro_f1") is None  # a score has none
