"""Verdicts about the decoder-free encoder in worlds that once fooled them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core import studies
from core.verdicts import ARTEFACT, CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, Runs, Verdict
from tests.synthetic.implicit_em import (
    CASES,
    OTHERS,
    STEADY,
    WIDTHS,
    _accuracy,
    _scaled,
    by_law,
    changed,
    made,
    with_limit,
)

STUDY = studies.load("implicit_em")
ANY = ("sgd-epoch-70", "responsibilities", "scale-free", "weight-law", "rate-shift", "other-criteria", "sgd-law")
"""Claims that speak of SGD at every learning rate."""


def judged(claim: str, runs: Runs) -> Verdict:
    (found,) = [one for one in STUDY.claims if one.id == claim]
    return STUDY.function(found.check)(runs, **found.args)


def with_column(runs: Runs, name: str, of: Callable[[pd.Series], Any]) -> Runs:
    return replace(runs, results=runs.results.assign(**{name: runs.results.apply(of, axis=1)}))


@pytest.mark.parametrize("claim", ANY)
@pytest.mark.parametrize("rate", [0.1, None], ids=["all at 0.1", "one at each rate"])
def test_what_diverged_counts_against_what_is_said_of_every_rate(claim: str, rate: float | None) -> None:
    """In worlds where all that finish say that the claim is true."""
    runs = CASES[claim]["true"]
    sgd = (runs.results["stage"] == "main") & (runs.results["optimizer"] == "sgd")
    gone = sgd & ((runs.results["learning_rate"] == rate) if rate else (runs.results["seed"] == 1))
    found = judged(
        claim,
        replace(runs, results=runs.results.assign(diverged=gone).assign(state=np.where(gone, "diverged", "done"))),
    )
    assert judged(claim, runs).verdict == REPRODUCED and found.verdict == NOT_REPRODUCED
    assert f"{gone.sum()} diverged (" in found.sentence and "learning rate 0.1" in found.sentence


@pytest.mark.parametrize("claim", ["adam-never", "adam-orbits"])
def test_so_it_does_with_adam(claim: str) -> None:
    runs = made(STEADY if claim == "adam-never" else with_limit, diverged=(0,))
    assert judged(claim, runs).verdict == NOT_REPRODUCED
    assert judged(claim, replace(runs, results=runs.results.assign(state="done", diverged=False))).verdict == REPRODUCED


@pytest.mark.parametrize("claim", ["loss-is-not-features", "dead-units", "sgd-faster"])
def test_elsewhere_it_stands_in_the_sentence(claim: str) -> None:
    assert judged(claim, made(diverged=(13,))).sentence.startswith("Of ")


def test_a_failure_says_nothing_of_the_configuration() -> None:
    """The supervisor writes it for a full disk, or a process that went."""
    lost = judged("wide-stable-range", made(failed=(4,)))
    assert lost.verdict == CANNOT_TELL and "1 failed and is to be run again" in lost.sentence
    assert judged("sgd-epoch-70", made(with_limit, failed=(12,))).verdict == REPRODUCED
    assert judged("wide-stable-range", made(diverged=(4,))).verdict == NOT_REPRODUCED


def test_the_law_of_epochs_reads_constant_rates_without_bounds_only() -> None:
    """Remedies, schedules and runs of ten epochs are no cases of it."""
    others = [("remedies", "sgd", 0.01, 64), ("schedules", "sgd", 0.01, 64), ("alone", "sgd", 0.1, 64)]
    least = made(_scaled(0.02), stages=WIDTHS, epochs=160)
    more = made(_scaled(0.02), stages=[*WIDTHS, *others], epochs=160, rest=with_limit)
    assert judged("sgd-law", least).verdict == judged("sgd-law", more).verdict == REPRODUCED
    assert judged("sgd-law", least).sentence == judged("sgd-law", more).sentence


def test_a_crossing_that_was_due_and_not_seen_counts() -> None:
    """Half of the runs of each rate never come to rest: those that do are no law."""
    n = iter(range(1000))

    def world(*about: Any) -> dict[str, Any]:
        values, t = by_law(*about), about[-2]
        steady = {"train/loss": -9.0 * t} if next(n) % 2 else {}
        return values | steady

    found = judged("sgd-law", made(world, seeds=(1, 2, 3, 4), stages=WIDTHS, epochs=160))
    assert found.verdict != REPRODUCED and "crossings due and not seen" in found.sentence
    never = judged("sgd-law", made(STEADY, stages=WIDTHS, epochs=160))
    assert never.verdict == NOT_REPRODUCED


def _weights(of: Callable[[float], float]) -> Callable[..., dict[str, Any]]:
    """‖w‖² as predicted, times a factor of the learning rate; a thousandth of scatter between seeds."""

    def curve(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        predicted = by_law(optimizer, rate, k, t, noise)["train/weight_norm_squared"]
        return predicted * of(rate) * (1 + 0.001 * noise.standard_normal())

    return changed(train__weight_norm_squared=curve)


def test_a_law_holds_in_each_configuration_or_not_at_all() -> None:
    """Half at 0.88 and half at 1.12 average to 1; a single one of four at 0.84 is told by its rate."""
    halves = judged("weight-law", made(_weights(lambda rate: 0.88 if rate < 0.005 else 1.12)))
    assert halves.verdict == NOT_REPRODUCED
    low = judged("weight-law", made(_weights(lambda rate: 0.838 if rate < 0.0005 else 0.95)))
    assert low.verdict == NOT_REPRODUCED and "at learning rate 0.0001: 0.838 [0.8" in low.sentence
    assert judged("weight-law", made(_weights(lambda rate: 0.95))).verdict == REPRODUCED


def test_dead_rows_do_not_dilute_the_length_of_the_others() -> None:
    """8 of 64 units without length: the mean over all is ⅞ of that of the live ones, which is as predicted."""
    world = _weights(lambda rate: 56 / 64)
    eight = changed(train__dead_units=lambda *about: np.full(len(about[-2]), 8.0))
    both = made(
        lambda *about: eight(*about) | {"train/weight_norm_squared": world(*about)["train/weight_norm_squared"]}
    )
    assert judged("weight-law", both).verdict == REPRODUCED
    assert judged("weight-law", made(world)).verdict == NOT_REPRODUCED


def test_a_share_cannot_be_too_small() -> None:
    """F that changes by nothing in most runs, and by a twentieth in one: an interval below 0 is no doubt."""

    def free(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return -343 + (0.05 if rate == 0.1 and noise.random() < 0.4 else 0.0) * -64 * np.log(t)

    found = judged("scale-free", made(changed(train__scale_free_loss=free)))
    assert found.verdict == REPRODUCED


@pytest.mark.parametrize(
    ("slower", "sd", "verdict", "words"),
    [(1.1, 0.01, REPRODUCED, "published 9 %"),
     (1.012, 0.005, NOT_REPRODUCED, "as claimed, but by less than claimed: the published 9 % are outside"),
     (1.0, 0.01, NOT_REPRODUCED, "if at all, by less"), (0.95, 0.005, NOT_REPRODUCED, "SGD is slower"),
     (1.3, 0.01, NOT_REPRODUCED, "as claimed, but by more than claimed: the published 9 % are outside"),
     (1.1, 0.3, CANNOT_TELL, "or nothing")],
)  # fmt: skip
def test_the_published_nine_per_cent_are_what_is_tested(slower: float, sd: float, verdict: str, words: str) -> None:
    found = judged("sgd-faster", made(slower=slower, seconds_sd=sd, epochs=6))
    assert found.verdict == verdict and words in found.sentence


def test_the_stage_times_them_unless_all_of_the_main_grid_is_timed() -> None:
    """One run of the main grid that trained alone does not hide the stage."""
    stage = [("alone", o, rate, 64) for o in ("adam", "sgd") for rate in (0.0001, 0.001, 0.01, 0.1)]
    runs = made(stages=stage, epochs=6)
    grouped = (runs.results["stage"] == "main") & (runs.results.index > 0)
    seconds = runs.results["epoch_seconds"].where(~grouped)
    mixed = replace(runs, results=runs.results.assign(together=grouped, epoch_seconds=seconds))
    assert judged("sgd-faster", mixed).verdict == REPRODUCED
    alone = mixed.results[mixed.results["stage"] == "main"]
    short = judged("sgd-faster", replace(mixed, results=alone))
    assert short.verdict == CANNOT_TELL and "23 of 24 runs" in short.sentence


def _rows(cost_at: tuple[float, ...], sd_at_001: float, cost: float = 20.0) -> Callable[..., dict[str, Any]]:
    """Dead units (0 to 7) at these rates, and some scatter of the row at 0.01 that is none."""

    def world(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> dict[str, Any]:
        n = int(noise.integers(0, 8)) if optimizer == "sgd" and rate in cost_at else 0
        loss = by_law(optimizer, rate, k, t, noise)["train/loss"] + cost * n
        loss = loss + (sd_at_001 if rate == 0.01 else 0.3) * noise.standard_normal()
        return by_law(optimizer, rate, k, t, noise) | {
            "train/loss": loss,
            "train/dead_units": np.full(len(t), float(n)),
        }

    return world


def test_the_row_that_is_explained_decides() -> None:
    """Dead units at another rate, and a row at 0.01 that scatters without any, explain nothing of that row."""
    other = judged("dead-units", made(_rows((0.1,), 5.7), epochs=6))
    assert other.verdict == NOT_REPRODUCED and "no dead units each" in other.sentence
    assert judged("dead-units", made(_rows((0.1,), 0.3), epochs=6)).verdict == CANNOT_TELL
    own = judged("dead-units", made(_rows((0.01, 0.1), 0.3), epochs=6))
    assert own.verdict == REPRODUCED and "The 3 runs at 0.01" in own.sentence
    left = judged("dead-units", made(_rows((0.01, 0.1), 300.0), epochs=6))
    assert left.verdict in (NOT_REPRODUCED, CANNOT_TELL)


def test_what_has_not_crossed_by_its_end_has_not_converged() -> None:
    """Curves of 80 epochs that fall by 9 nats in each: none crosses the threshold."""
    found = judged("sgd-epoch-70", made(STEADY, epochs=80))
    assert found.verdict == NOT_REPRODUCED and "12 of 12 not by their end" in found.sentence


def test_the_epoch_stands_behind_its_threshold_and_exponents_have_signs() -> None:
    adam, sgd = judged("adam-never", made()), judged("sgd-epoch-70", made())
    assert adam.verdict == sgd.verdict == ARTEFACT
    assert "cross 1 nat per epoch" in adam.sentence and "cross 2 nats, at epoch" in adam.sentence
    assert "cross 4 nats: the" in adam.sentence
    assert "power −1.0" in sgd.sentence or "power −0.9" in sgd.sentence
    assert "[−" in sgd.sentence and ", −" in sgd.sentence


def _better(gap: float, sd: float) -> Runs:
    rule = _accuracy(lambda o, rate, noise: 0.93 + gap * (o == "momentum") + sd * noise.standard_normal())
    return made(rule, stages=OTHERS, seeds=(1, 2, 3, 4, 5), epochs=6)


def test_a_margin_is_exceeded_by_the_interval_and_not_by_its_middle() -> None:
    """+0.6 points, give or take 0.2, is neither surely above 0.5 nor below."""
    found = judged("simple-is-enough", _better(0.006, 0.001))
    assert found.verdict == CANNOT_TELL and "0.5 cannot be excluded" in found.sentence
    assert judged("simple-is-enough", _better(0.03, 0.001)).verdict == NOT_REPRODUCED
    assert judged("simple-is-enough", _better(0.0, 0.001)).verdict == REPRODUCED


def test_none_of_eight_needs_eight() -> None:
    runs = _better(0.0, 0.001)
    missing = runs.results[~((runs.results["stage"] == "schedules") & (runs.results["optimizer"] == "sgd"))]
    found = judged("simple-is-enough", replace(runs, results=missing))
    assert found.verdict == CANNOT_TELL and "there are 6 of these" in found.sentence
    last = runs.results["cell"] == runs.results["cell"].max()
    gone = runs.results.assign(diverged=last, state=np.where(last, "diverged", "done"))
    told = judged("simple-is-enough", replace(runs, results=gone))
    assert told.verdict == REPRODUCED and "5 diverged" in told.sentence


def test_the_rounding_that_is_allowed_is_said() -> None:
    found = judged("wide-stable-range", made(epochs=6))
    assert found.verdict == REPRODUCED and "91.5 % to 94.5 % is allowed" in found.sentence
    assert judged("wide-stable-range", with_column(made(epochs=6), "test/accuracy", lambda row: 0.946)).verdict == (
        NOT_REPRODUCED
    )


def _at_each_rate(metric: str, of: Callable[[float], float], after: float = 0.0) -> Callable[..., dict[str, Any]]:
    """A curve that goes as epoch^p after this epoch, with the p of its learning rate and hardly any scatter."""

    def curve(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return (t / max(after, 1.0)) ** np.where(t > after, of(rate) + 0.001 * noise.standard_normal(), -1.0)

    return changed(**{metric: curve})


def test_one_rate_at_which_weights_run_away_is_told_by_its_name() -> None:
    """Its three runs are no scatter of the nine others: of all twelve the mean, 0.25 ± 0.3, would tell nothing."""
    found = judged("adam-orbits", made(_at_each_rate("train__weight_norm", lambda rate: float(rate == 0.1))))
    assert found.verdict == NOT_REPRODUCED and "at learning rate 0.1: 1.00 [1" in found.sentence


def test_weights_must_stay_at_each_rate() -> None:
    """0 at three rates and 0.16 at one, where below 0.1 is asked: all twelve together are 0.04 [−0.01, 0.09]."""
    uneven = judged("adam-orbits", made(_at_each_rate("train__weight_norm", lambda rate: 0.16 * (rate == 0.1))))
    assert uneven.verdict == CANNOT_TELL
    assert judged("adam-orbits", made(_at_each_rate("train__weight_norm", lambda rate: 0.01))).verdict == REPRODUCED


def test_responsibilities_must_settle_at_each_step_size() -> None:
    world = _at_each_rate("train__responsibility_change", lambda rate: -1.0 if rate == 0.1 else -30.0, after=70.0)
    found = judged("responsibilities", made(world))
    assert found.verdict == NOT_REPRODUCED and "at learning rate 0.1: 1.0" in found.sentence
    assert "to the power −1.00 to" in found.sentence and "^" not in found.sentence


def test_a_criterion_that_decides_at_three_rates_of_four_is_no_artefact_at_all_of_them() -> None:
    """At 0.1 the loss has a limit; of all twelve runs together the exponent is −0.8 and most have none."""

    def world(*about: Any) -> dict[str, Any]:
        return with_limit(*about) if about[1] == 0.1 else by_law(*about)

    found = judged("sgd-epoch-70", made(world))
    assert found.verdict == CANNOT_TELL and "learning rate 0.1: −0." in found.sentence
