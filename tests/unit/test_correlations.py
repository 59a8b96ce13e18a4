"""Rank correlations of a search against SciPy, an exact permutation count and a published interval."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from core import anova, correlations, ranks


def search(n: int = 12, n_seeds: int = 3, noise: float = 0.4) -> pd.DataFrame:
    """A search of a range, a list and a number without effect; the score rises with the rate."""
    generator = np.random.default_rng(2)
    rates, rest = 10 ** generator.uniform(-3, 0, n), generator.uniform(0, 1, n)
    kinds = generator.choice(["a", "b", "c"], n)
    rows = [
        (rate, other, kind, seed, np.log10(rate) + generator.normal(0, noise), "done")
        for rate, other, kind in zip(rates, rest, kinds, strict=True)
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(rows, columns=["learning_rate", "dropout", "kind", "seed", "score", "state"])


KNOBS = ("learning_rate", "dropout", "kind")


def test_each_configuration_counts_once_and_the_statistics_are_scipys() -> None:
    frame = search()
    told = correlations.correlations(frame, "score", KNOBS)
    table = told.table.set_index("knob")
    means = frame.groupby(["learning_rate", "dropout", "kind"])["score"].mean().reset_index()
    assert set(table["n"]) == {12} and len(means) == 12
    for knob, name in (("learning_rate", "learning rate"), ("dropout", "dropout")):
        expected = scipy_stats.spearmanr(means[knob], means["score"])
        assert table.loc[name, "statistic"] == pytest.approx(expected.statistic)
        assert table.loc[name, "p"] == pytest.approx(expected.pvalue, abs=0.015)
    h = scipy_stats.kruskal(*[rows["score"] for _, rows in means.groupby("kind")]).statistic
    assert table.loc["kind", "statistic"] == pytest.approx(h) and table.loc["kind", "test"] == "Kruskal–Wallis H"
    p = table["p"].to_numpy()
    order = np.argsort(p)
    assert table["p_holm"].to_numpy()[order[0]] == pytest.approx(min(1.0, 3 * p[order[0]]))
    assert "rises with the learning rate (Spearman's ρ" in told.sentence and "over 12 configurations" in told.sentence
    assert "no relation with the dropout is shown" in told.sentence and "Holm-adjusted over 3 knobs" in told.sentence


def test_p_is_the_share_of_all_orders() -> None:
    x, y = np.arange(6.0), np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0])
    rho, p = correlations.spearman(x, y)
    all_rho = [scipy_stats.pearsonr(x + 1, order).statistic for order in permutations(range(1, 7))]
    assert p == pytest.approx(np.mean(np.abs(all_rho) >= rho - 1e-9), abs=0.006)


def test_the_interval_is_bonett_and_wrights() -> None:
    # ρ = .5, n = 28: z = .5493, se = √(1.125 / 25) = .2121, ± 1.96 · .2121 → tanh(.1335), tanh(.9651)
    assert correlations.interval(0.5, 28) == pytest.approx((0.1327, 0.7466), abs=2e-4)
    assert np.isnan(correlations.interval(1.0, 28)).all() and np.isnan(correlations.interval(0.5, 3)).all()


def test_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator, true, n = np.random.default_rng(0), 6 / np.pi * np.arcsin(0.35), 25  # of a normal pair with r = .7
    hits = 0
    for _ in range(400):
        x = generator.normal(size=n)
        y = 0.7 * x + np.sqrt(1 - 0.49) * generator.normal(size=n)
        low, high = correlations.interval(float(scipy_stats.spearmanr(x, y).statistic), n)
        hits += low <= true <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_only_a_search_has_levels_that_never_come_back() -> None:
    frame = search()
    assert correlations.never_back(frame, "score", KNOBS, "random") == ("learning_rate", "dropout")
    assert correlations.never_back(frame, "score", KNOBS, "grid") == ()
    lists = frame.assign(learning_rate=0.1, dropout=np.tile([0.0, 0.5], 18))
    assert correlations.never_back(lists, "score", KNOBS, "random") == ()
    assert correlations.never_back(frame.iloc[:0], "score", KNOBS, "random") == ()


def test_a_search_led_by_scores_is_called_a_description() -> None:
    assert not any("description" in one for one in correlations.correlations(search(), "score", KNOBS).warnings)
    told = correlations.correlations(search(), "score", KNOBS, design="bayesian")
    assert "no more than a description" in told.warnings[-1] and "this Bayesian design" in told.sentence


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (search().iloc[:0], "0 configurations with a score"),
        (search(3), "3 configurations with a score: it takes 4"),
        (search().assign(score=1.0), "All 12 configurations have the same score"),
        (search().assign(state="failed"), "0 configurations with a score"),
    ],
)
def test_what_cannot_be_correlated_says_why(frame: pd.DataFrame, says: str) -> None:
    told = correlations.correlations(frame, "score", KNOBS)
    assert told.table.empty and told.sentence.startswith(says)


def test_an_analysis_without_a_term_is_none_and_says_so() -> None:
    """Two knobs of which every level stands in one configuration: no sentence of nothing, no count of empty cells."""
    frame, knobs = search(), ["learning_rate", "dropout"]
    told = anova.anova(frame, "score", knobs)
    assert told.table.empty and told.by == {} and "levels that come back" in told.sentence
    assert not any("cells are empty" in warning for warning in told.warnings)
    ranked = ranks.rank_tests(frame, "score", knobs)
    assert ranked.table.empty and ranked.sentence == told.sentence


def test_a_knob_that_applies_to_some_is_correlated_over_these() -> None:
    """Momentum is no number for adam; among the configurations of sgd the score is the momentum."""
    noise = np.random.default_rng(0)
    rows = []
    for number in range(24):
        momentum = float(noise.uniform()) if number % 2 else None
        for seed in (1, 2):
            score = (momentum if momentum is not None else 5.0) + noise.normal(0, 1e-3)
            rows.append(((number % 2 and "sgd") or "adam", momentum, float(noise.uniform()), seed, score))
    frame = pd.DataFrame(rows, columns=["optimizer", "momentum", "unused", "seed", "test/ccc"])
    frame["unused"] = frame.groupby(np.arange(len(frame)) // 2)["unused"].transform("first")
    results = frame.assign(state="done", diverged=False)
    told = correlations.correlations(results, "test/ccc", ["optimizer", "momentum", "unused"])
    row = told.table.set_index("knob").loc["momentum"]
    assert (row["test"], row["n"]) == (correlations.RHO, 12) and row["statistic"] == 1 and row["p_holm"] < 0.01
    assert "rises with the momentum" in told.sentence and "over 24 configurations" in told.sentence
