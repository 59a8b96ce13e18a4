"""A committee is the plain mean of its members, whatever they are, and nobody may sit in it twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import trainers
from core import checkpoints, rundir
from core.events import Done, FitData, Inputs, Metrics, Part, Prediction
from trainers import committee

LABELS = ("cel", "pia", "voi")


def member(name: str, offset: float, *, window_s: float = 3.0, task: str = "instruments", kind: str = "wave16k") -> str:
    """A finished run that says `offset` plus the first sample for every class."""
    folder = rundir.create(rundir.Spec(name, "echo", {}, "toy", task, "grouped:0", 0, "cpu"), "done")
    model = {"offset": np.array(offset), "labels": list(LABELS)}
    saved = {"model": model, "input": kind, "window_s": window_s}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return name


def echo(model: dict[str, Any], inputs: Inputs, *, device: str = "cpu") -> Prediction:
    values = np.repeat(inputs.values[:, :1] + float(model["offset"]), len(LABELS), axis=1)
    return Prediction(inputs.times_s, values, LABELS, "probability", ["Said once."])


def data() -> FitData:
    def part(first: float) -> Part:
        inputs = np.full((8, 4), first, np.float32)
        targets = np.eye(3)[np.arange(8) % 3]
        names = np.array([f"{first}-{k}" for k in range(8)])
        return Part(inputs, targets, names, names, np.zeros(8))

    return FitData(part(0.1), part(0.2), "instruments", LABELS, "probability", "wave16k", (), 3.0)


@pytest.fixture(autouse=True)
def echoing(cache: Path) -> Any:
    load = trainers.load
    with mock.patch.object(
        trainers, "load", lambda name: SimpleNamespace(predict=echo) if name == "echo" else load(name)
    ):
        yield


def test_it_says_the_mean_and_its_loss_is_that_of_the_mean() -> None:
    config = committee.Config(member("a", 0.1), member("b", 0.2), None, member("d", 0.6))
    events = list(committee.fit(data(), config, generator=np.random.default_rng(0)))
    done = events[-1]
    assert isinstance(done, Done) and done.reason == "the mean of 3 runs"
    said = committee.predict(done.model, Inputs("wave16k", np.array([[0.1, 9], [0.3, 9]]), np.zeros(2)))
    assert said.values == pytest.approx(np.array([[0.4] * 3, [0.6] * 3])) and said.warnings == ["Said once."]
    before, after = (event.values for event in events if isinstance(event, Metrics))
    # By hand: 0.4 in training and 0.5 in validation of every class, of which one in three is there.
    assert after["train/loss"] == pytest.approx(-(np.log(0.4) + 2 * np.log(0.6)) / 3)
    assert after["validation/loss"] == pytest.approx(np.log(2))
    shares = np.array([3, 3, 2]) / 8
    assert before["train/loss"] == pytest.approx(-np.mean(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)))


def test_who_may_not_sit_in_it_is_told_in_a_sentence() -> None:
    one = member("one", 0.1)
    for config, sentence in [
        (committee.Config(), "name a finished run as first"),
        (committee.Config(one), "A committee of one is that one: name another run beside one"),
        (committee.Config(one, one), "Run one is named twice"),
        (committee.Config(member("drawn", 0.1, kind="logmel"), "drawn"), "Run drawn is named twice"),
        (committee.Config(one, member("long", 0.1, window_s=5.0)), "excerpts of 5 s, those of the first have 3 s"),
        (committee.Config(one, member("moods", 0.1, task="emotion")), "learned emotion from wave16k; choose runs"),
        (committee.Config(one, member("pictures", 0.1, kind="logmel")), "learned instruments from logmel; choose runs"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            committee.check(config)
    assert committee.Config(one, member("two", 0.1)).window_seconds == 3.0


def test_other_classes_are_refused() -> None:
    given = data()
    other = FitData(given.train, given.validation, given.task, ("cel", "flu", "voi"), given.unit, given.input, (), 3.0)
    with pytest.raises(ValueError, match="Run one knows other classes"):
        list(
            committee.fit(
                other, committee.Config(member("one", 0.1), member("two", 0.1)), generator=np.random.default_rng(0)
            )
        )
