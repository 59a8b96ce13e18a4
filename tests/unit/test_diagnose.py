"""Rules on curves with a known answer, most of them numbers of published runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import diagnose
from core.diagnose import History

E = np.arange(1.0, 21.0)


def at(**values: float | np.ndarray) -> History:
    """Curves of 20 epochs; train__loss=.3 is a constant one."""
    return History({name.replace("__", "/"): (E, np.broadcast_to(v, E.shape)) for name, v in values.items()})


def names(of: History) -> list[str]:
    return [found.rule for found in diagnose.diagnose(of)]


def test_entropies_of_base_rates() -> None:
    assert diagnose.base_rate_loss([1 / 11] * 11, is_multi_label=True) == pytest.approx(0.3046, abs=5e-5)
    assert diagnose.base_rate_loss(np.full(10, 6000), is_multi_label=False) == pytest.approx(np.log(10))
    assert diagnose.base_rate_loss([0.5], is_multi_label=True) == pytest.approx(np.log(2))


def test_twenty_epochs_at_the_base_rate_are_a_prior_plateau() -> None:
    curves = {"train/loss": (E, np.full(20, 0.3046)), "train/accuracy": (E, np.full(20, 0.9091))}
    found = diagnose.diagnose(History(curves, prior_loss=diagnose.base_rate_loss([1 / 11] * 11, is_multi_label=True)))
    assert [one.rule for one in found] == ["prior plateau"] and found[0].severity == "serious"
    assert (found[0].first, found[0].last, found[0].evidence["epochs"]) == (1.0, 20.0, 20.0)


def test_a_plateau_that_was_left_is_only_noted() -> None:
    loss = np.r_[np.full(10, 2.303), np.geomspace(2.0, 0.5, 10)]
    found = diagnose.diagnose(History({"train/loss": (E, loss)}, prior_loss=np.log(10)))
    assert found[0].rule == "prior plateau" and found[0].severity == "note" and found[0].last == 10.0


def test_a_regression_without_any_correlation_is_a_prior_plateau() -> None:
    assert names(at(validation__ccc=0.004)) == ["prior plateau"]
    assert names(at(validation__ccc=0.3)) == []


def test_a_full_training_score_is_memorised_and_over_fitted() -> None:
    """A published ResNet: 100 % / 83.3 %, loss .000 / .789."""
    of = at(train__accuracy=1.0, validation__accuracy=0.833, train__loss=0.0002, validation__loss=0.789)
    found = {one.rule: one for one in diagnose.diagnose(of)}
    assert set(found) == {"memorised", "over-fitting"}
    assert found["over-fitting"].evidence["ratio"] == float("inf")
    assert found["over-fitting"].evidence["gap"] == pytest.approx(0.167)


def test_validation_far_worse_than_bad_training_is_evaluation_trouble() -> None:
    """The same study's first round: 57.5 % / 18.4 %, loss 1.21 / 4.31."""
    of = at(train__accuracy=0.575, validation__accuracy=0.184, train__loss=1.21, validation__loss=4.31)
    assert names(of) == ["evaluation trouble"]


def test_a_discriminator_at_zero_has_won() -> None:
    """A published GAN: D loss 0.0000, G loss 98.7."""
    of = at(train__discriminator_loss=np.geomspace(0.7, 1e-5, 20), train__generator_loss=np.linspace(0.7, 98.7, 20))
    found = diagnose.diagnose(of)
    assert [one.rule for one in found] == ["discriminator won"] and found[0].severity == "serious"
    assert names(at(train__discriminator_loss=0.69, train__generator_loss=0.7)) == []


def test_over_fitting_by_the_loss_alone_names_the_best_epoch() -> None:
    validation = np.r_[np.linspace(1.0, 0.5, 8), np.linspace(0.52, 0.9, 12)]
    found = diagnose.diagnose(at(train__loss=np.linspace(1.0, 0.1, 20), validation__loss=validation))
    assert [one.rule for one in found] == ["over-fitting"] and found[0].first == 8.0
    assert names(at(train__loss=np.linspace(1.0, 0.5, 20), validation__loss=np.linspace(1.05, 0.6, 20))) == []


@pytest.mark.parametrize(("dead", "severity"), [(0.0, ""), (1.0, "note"), (7.0, "warning"), (40.0, "serious")])
def test_dead_units_are_as_bad_as_they_are_many(dead: float, severity: str) -> None:
    found = diagnose.diagnose(History({"train/dead_units": (E, np.full(20, dead))}, units=64))
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_a_logarithm_has_no_limit_and_a_threshold_means_nothing() -> None:
    epochs = np.arange(1.0, 101.0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(100)
    found = diagnose.diagnose(History({"train/loss": (epochs, -382 - 64 * np.log(epochs) + noise)}))
    assert [one.rule for one in found] == ["no limit in sight"]
    assert found[0].evidence["per_log_epoch"] == pytest.approx(64, abs=0.5)
    assert names(History({"train/loss": (epochs, np.exp(-epochs / 15) + 0.001 * noise)})) == []


def test_a_claim_that_the_log_contradicts_is_told() -> None:
    """A published student: CCC .69 claimed, .0969 in every log."""
    assert "0.69" in diagnose.contradiction(0.69, 0.0969)
    assert diagnose.contradiction(0.69, 0.6934) == ""


def test_histories_come_from_metric_rows_and_keep_what_is_broken() -> None:
    steps = pd.DataFrame({"epoch": [0.0, 0.5, 1.0, 1.5, 2.0], "name": "train/loss", "value": [2.0, 1.5, 1.0, 0.9, 0.8]})
    of = diagnose.history(steps)
    assert of.curves["train/loss"][0].tolist() == [1.0, 2.0]
    steps.loc[3:, "value"] = np.nan
    assert names(diagnose.history(steps)) == ["diverged"]


def test_every_rule_says_what_it_asks_and_what_to_do() -> None:
    for rule in diagnose.RULES:
        assert rule.threshold and rule.source and rule.remedy.endswith(".")
    assert diagnose.diagnose(History({})) == []
