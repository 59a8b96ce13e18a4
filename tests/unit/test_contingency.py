"""Tables, rank tests, correlation, fronts and residuals against published answers and hand counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import binom, chi2, ncx2, norm, spearmanr

from core import anova, assumptions, contingency, pareto, ranks, sweepends
from tests import textbooks

JOB = np.array([[1, 2, 1, 0], [3, 3, 6, 1], [10, 10, 14, 9], [6, 7, 12, 11]])
"""Job satisfaction by income: Agresti 2002, Categorical Data Analysis, p. 57."""


def test_tea_and_jobs_as_published() -> None:
    p, method = contingency.freeman_halton(np.array([[3, 1], [1, 3]]))  # Fisher's tea taster: 34 / 70
    assert p == pytest.approx(34 / 70) and method == "exact"
    p, method = contingency.freeman_halton(JOB)  # R: fisher.test(Job), p-value = 0.7827
    assert p == pytest.approx(0.7827, abs=0.006) and method == "simulated"


def test_simulated_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[5, 1, 0], [1, 2, 4], [0, 3, 2]])
    exact, method = contingency.freeman_halton(counts)
    assert method == "exact"
    monkeypatch.setattr(contingency, "MOST_TABLES", 0)
    simulated, method = contingency.freeman_halton(counts)
    assert method == "simulated" and simulated == pytest.approx(exact, abs=4 * np.sqrt(exact / 1e5))


def test_v_and_its_interval_by_their_definition() -> None:
    v, low, high = contingency.cramers_v(np.array([[30, 10], [10, 30]]))  # χ² = 80 · (1/2)² = 20
    assert v == pytest.approx(0.5)
    assert ncx2.sf(20, 1, 80 * low**2) == pytest.approx(0.025) and ncx2.cdf(20, 1, 80 * high**2) == pytest.approx(0.025)
    assert contingency.cramers_v(np.array([[9, 0], [0, 9]]))[0] == pytest.approx(1)
    assert contingency.cramers_v(np.array([[9, 9], [9, 9]]))[:2] == (0.0, 0.0)
    assert chi2.sf(20, 1) < 0.001


def test_class_by_level_of_a_sweep() -> None:
    frame = pd.DataFrame({"lr": [0.01, 0.1, 1.0] * 6, "class": ["stable", "stable", "diverged"] * 6})
    told = contingency.contingency(frame, "class", "lr")
    assert list(told.counts.columns) == ["0.01", "0.1", "1"] and told.counts.to_numpy().tolist() == [
        [0, 0, 6],
        [6, 6, 0],
    ]
    assert told.p == pytest.approx(3 / 18564)  # all six at one of three levels, of 18 over 6 ways
    assert (
        told.v == pytest.approx(1) and "Class goes with lr" in told.sentence and "fewer than five" in told.warnings[0]
    )
    frame.loc[0, "class"] = None
    assert contingency.contingency(frame, "class", "lr").warnings[0] == "1 run without a class left out."
    alone = contingency.contingency(frame.assign(lr=1), "class", "lr")
    assert np.isnan(alone.p) and "nothing to compare" in alone.sentence
    assert "no runs" in contingency.contingency(frame.iloc[:0], "class", "lr").sentence
    with pytest.raises(ValueError, match="'nope' is not a column"):
        contingency.contingency(frame, "nope", "lr")


def grid(classes: np.ndarray, seeds: int = 3) -> pd.DataFrame:
    """Eight configurations (four learning rates × two optimisers), all seeds of one in its class."""
    rows = [(rate, cell, classes[cell]) for cell, rate in enumerate([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4])]
    return pd.DataFrame(
        [row for row in rows for _ in range(seeds)], columns=["learning_rate", "cell", "convergence class"]
    )


def test_seeds_that_end_alike_are_no_further_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes by lot, a configuration's three seeds alike: counted as 24 runs, 47 of 60 such sweeps were found."""
    monkeypatch.setattr(contingency, "N_SHUFFLED", 399)
    lot = np.random.default_rng(0)
    found = [contingency.contingency(grid(lot.choice(["a", "b"], 8)), "convergence class", "learning_rate")
             for _ in range(200)]  # fmt: skip
    told = [one.p for one in found if one.method == "configurations shuffled"]
    assert len(told) > 150 and binom.sf(sum(p < 0.05 for p in told) - 1, len(told), 0.05) > 0.01


def test_what_goes_with_the_level_is_found_among_configurations() -> None:
    """a, a, b, b, c, c, d, d over four levels: 4! of the 8! / 2!⁴ = 2,520 assignments are as clear."""
    alike = contingency.contingency(grid(np.repeat(["a", "b", "c", "d"], 2)), "convergence class", "learning_rate")
    assert alike.p == pytest.approx(24 / 2520, abs=0.004) and alike.n == 24 and "24 runs of 8 conf" in alike.sentence
    single = contingency.contingency(grid(np.repeat(["a", "b", "c", "d"], 2), 1), "convergence class", "learning_rate")
    assert single.method == "exact" and single.p == pytest.approx(24 / 2520)
    assert (single.v, single.v_low) == pytest.approx((alike.v, alike.v_low))


def test_spearman_over_configurations() -> None:
    generator = np.random.default_rng(0)
    cell = np.repeat(np.arange(30), 3)
    x = np.repeat(generator.normal(size=30), 3) + 0.1 * generator.normal(size=90)
    frame = pd.DataFrame({"cell": cell, "early": x, "late": x + 0.7 * np.repeat(generator.normal(size=30), 3)})
    told = contingency.spearman(frame, "early", "late")
    alone = contingency.spearman(frame, "early", "late", groups=None)
    assert told.rho == pytest.approx(float(spearmanr(frame["early"], frame["late"]).statistic))
    assert told.n_groups == 30 and alone.n_groups == 90 and alone.high - alone.low < told.high - told.low
    assert told.low < told.rho < told.high and "rise together" in told.sentence
    flat = contingency.spearman(frame.assign(late=1.0), "early", "late")
    assert np.isnan(flat.rho) and "no correlation" in flat.sentence


# ---- ranks ----


def test_hollander_and_wolfe() -> None:
    # kruskal.test of mucociliary efficiency: 0.77143, p = .68; friedman.test(RoundingTimes): 11.143, p = .003805
    values = np.array([2.9, 3.0, 2.5, 2.6, 3.2, 3.8, 2.7, 4.0, 2.4, 2.8, 3.4, 3.7, 2.2, 2.0])
    h, df, p, epsilon = ranks.kruskal(values, np.repeat([0, 1, 2], [5, 4, 5]))
    assert (h, df) == pytest.approx((0.77143, 2), abs=1e-5) and p == pytest.approx(0.68, abs=0.04)
    assert epsilon == pytest.approx(0.77143 / 13, abs=1e-5)
    statistic, df, p, w = ranks.friedman(textbooks.ROUNDING_TIMES)
    assert (statistic, df) == pytest.approx((11.1429, 2), abs=1e-4) and p == pytest.approx(0.0038, abs=0.002)
    assert w == pytest.approx(11.1429 / 44, abs=1e-5)


def sweep(generator: np.random.Generator, n_seeds: int = 3) -> pd.DataFrame:
    rows = [(a, b, s) for a in "xy" for b in (1, 2, 3) for s in range(n_seeds)]
    frame = pd.DataFrame(rows, columns=["a", "b", "seed"])
    return frame.assign(score=generator.normal(size=len(frame)))


def test_the_method_fits_the_question() -> None:
    frame = sweep(np.random.default_rng(0))
    friedman = ranks.rank_tests(frame[frame["a"] == "x"], "score", ["b"])
    assert friedman.method == "Friedman" and "same seeds" in friedman.why
    assert ranks.rank_tests(frame[frame["a"] == "x"], "score", ["b"], block=False).method == "Kruskal–Wallis"
    assert ranks.rank_tests(frame, "score", ["a", "b"]).method == "aligned rank transform"
    assert "One seed" in ranks.rank_tests(frame[frame["seed"] == 0], "score", ["a", "b"]).sentence


def test_aligned_ranks_keep_their_level_beside_a_huge_main_effect() -> None:
    n, hits = 60, 0
    for k in range(n):
        frame = sweep(np.random.default_rng(k), 5)
        frame["score"] += 100 * (frame["a"] == "x")
        table = ranks.rank_tests(frame, "score", ["a", "b"]).table.set_index("term")
        hits += table["p"]["a × b"] < 0.05
        assert table["p"]["a"] < 1e-6
    assert hits <= binom.ppf(0.999, n, 0.06)


# ---- residuals ----


def test_one_wild_cell_is_seen_and_a_calm_sweep_is_not_accused() -> None:
    calm = sweep(np.random.default_rng(1), 6)
    told = assumptions.check(anova.anova(calm, "score", ["a", "b"]))
    assert told.holds and told.advice == "" and told.levene_p > 0.05
    wild = calm.assign(score=calm["score"] * np.where((calm["a"] == "x") & (calm["b"] == 2), 40, 1))
    told = assumptions.check(anova.anova(wild, "score", ["a", "b"]))
    assert not told.holds and told.variance_ratio_p < 0.001 and told.levene_p < 0.05 and "HC3" in told.advice


@pytest.mark.parametrize("n_seeds", [4, 50])
def test_all_checks_together_accuse_sound_sweeps_once_in_twenty_times(
    n_seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anova.effectsize, "share_interval", lambda *_: (0.0, 1.0))  # slow, and not looked at here
    generator, n, accused = np.random.default_rng(11), 40, 0
    codes = [(a, b, s) for a in range(2) for b in range(10) for s in range(n_seeds)]
    frame = pd.DataFrame(codes, columns=["a", "b", "seed"])
    for _ in range(n):
        normal = frame.assign(score=generator.normal(size=len(frame)))
        accused += not assumptions.check(anova.anova(normal, "score", ["a", "b"])).holds
    assert accused <= binom.ppf(0.999, n, 0.05)


def test_outliers_by_statsmodels() -> None:
    frame = sweep(np.random.default_rng(2), 4)
    fit = smf.ols("score ~ C(a) * C(b) + C(seed)", frame).fit()
    theirs = fit.outlier_test(method="bonf")["bonf(p)"].to_numpy()
    analysis = anova.anova(frame, "score", ["a", "b"])
    ours = assumptions.outlier_p(analysis.runs["standardised"].to_numpy(), analysis.df_error)
    assert ours == pytest.approx(theirs)
    limit = assumptions.outlier_limit(0.01, 24, analysis.df_error)
    assert assumptions.outlier_p(np.array([limit] * 24), analysis.df_error) == pytest.approx(0.01)


def test_hartleys_published_critical_value() -> None:
    # F_max of 4 groups with 5 degrees of freedom: 13.7 at α = .05 (Pearson & Hartley, table 31)
    ratio = 13.7
    unit = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    found, p = assumptions.variance_ratio([unit, unit, unit, unit * np.sqrt(ratio)])
    assert found == pytest.approx(ratio) and p == pytest.approx(0.05, abs=0.006)


def test_normal_quantiles_are_bloms() -> None:
    quantiles = assumptions.normal_quantiles(np.array([3.0, np.nan, 1.0, 2.0]))
    assert quantiles[[2, 3, 0]] == pytest.approx(norm.ppf([0.625 / 3.25, 0.5, 2.625 / 3.25])) and np.isnan(quantiles[1])


def test_outlier_is_named_and_nothing_is_said_of_nothing() -> None:
    frame = sweep(np.random.default_rng(2), 6)
    frame.loc[3, "score"] += 30
    told = assumptions.check(anova.anova(frame, "score", ["a", "b"]))
    cell = " · ".join([frame["a"][3], str(frame["b"][3])])
    assert any(f"{cell}, seed {frame['seed'][3]}" in warning for warning in told.warnings)
    none = assumptions.check(anova.anova(frame.iloc[:0], "score", ["a", "b"]))
    assert "no residuals" in none.sentence


# ---- trade-offs ----


def trade() -> pd.DataFrame:
    rows = [
        ("good", 1, 0.90, 10.0), ("good", 2, 0.92, 11.0), ("fast", 1, 0.80, 1.0), ("fast", 2, 0.82, 1.2),
        ("bad", 1, 0.70, 20.0), ("bad", 2, 0.72, 21.0), ("near", 1, 0.905, 10.2), ("near", 2, 0.912, 10.9),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["knob", "seed", "test/accuracy", "seconds"])


def test_front_by_hand() -> None:
    told = pareto.front(trade(), {"test/accuracy": "higher", "seconds": "lower"}, ["knob"])
    table = told.table.set_index("knob")
    # good (.91, 10.5), near (.9085, 10.55): good beats near; fast is faster; bad is beaten on both
    assert table["is_on_front"].to_dict() == {"good": True, "fast": True, "bad": False, "near": False}
    assert table["probability"]["fast"] == 1 and table["probability"]["bad"] == 0
    # near is on the front where only the second seed is drawn (a quarter: faster), or only the first (more accurate)
    assert table["probability"]["near"] == pytest.approx(0.5, abs=0.06)
    assert table["test/accuracy"]["good"] == pytest.approx(0.91) and table["seconds_low"]["good"] < 10.5
    assert "2 of 4 configurations are beaten by no other" in told.sentence


def test_a_run_that_diverged_keeps_its_configuration_from_a_sure_place() -> None:
    """Best by its one survivor of two: a draw of two seeds without the lost one is a quarter, (1/2)²."""
    frame = trade().assign(state="done")
    frame.loc[0, "state"] = "diverged"
    frame.loc[0, ["test/accuracy", "seconds"]] = np.nan
    told = pareto.front(frame, {"test/accuracy": "higher", "seconds": "lower"}, ["knob"])
    good = told.table.set_index("knob").loc["good"]
    assert good["is_on_front"] and good["diverged"] == 1 and good["probability"] <= 0.25
    assert any("good (1 of 2)" in warning for warning in told.warnings)


def test_front_without_seeds_equal_scores_and_nothing() -> None:
    one = pareto.front(trade().query("seed == 1"), {"test/accuracy": "higher", "seconds": "lower"}, ["knob"])
    assert one.table["probability"].isna().all() and "unknown how sure" in one.sentence
    equal = pareto.front(
        trade().assign(seconds=1.0, **{"test/accuracy": 1.0}), {"test/accuracy": "higher", "seconds": "lower"}, ["knob"]
    )
    assert equal.table["is_on_front"].all() and (equal.table["probability"] == 1).all()
    none = pareto.front(trade().assign(seconds=np.nan), {"test/accuracy": "higher", "seconds": "lower"}, ["knob"])
    assert none.table.empty and "No run" in none.sentence
    ragged = pareto.front(trade().drop(index=[0]), {"test/accuracy": "higher", "seconds": "lower"}, ["knob"])
    assert sorted(ragged.table["n"]) == [1, 2, 2, 2] and "one seed" in ragged.warnings[-1]
    assert ragged.table["probability"].between(0, 1).all()
    with pytest.raises(ValueError, match="two goals"):
        pareto.front(trade(), {"seconds": "lower"}, ["knob"])


def test_undominated_agrees_with_a_plain_loop() -> None:
    scores = np.random.default_rng(0).integers(0, 4, size=(5, 12, 3)).astype(float)
    plain = [[not any((q >= p).all() and (q > p).any() for q in sweep) for p in sweep] for sweep in scores]
    assert pareto.is_undominated(scores).tolist() == plain


def test_where_each_level_is_one_configuration_its_runs_are_compared() -> None:
    """Shuffled configurations would always give the same table, and p = 1."""
    kinds, rates = ["stable"] * 4 + ["diverged"] * 4, [0.1] * 4 + [1.0] * 4
    frame = pd.DataFrame({"class": kinds, "rate": rates, "cell": [0] * 4 + [1] * 4})
    found = contingency.contingency(frame, "class", "rate")
    assert (found.p, found.method) == (pytest.approx(2 / 70), "exact")  # Fisher: 2 of the 70 tables are as extreme
    single = contingency.contingency(frame.iloc[[0, 4]], "class", "rate")
    assert np.isnan(single.p) and single.sentence == "Each level of rate has one run: nothing can be told of a level."


def test_a_knob_drawn_from_a_range_is_crossed_by_its_thirds() -> None:
    rates = np.geomspace(0.001, 1.0, 12)
    kinds = pd.DataFrame({"cell": np.repeat(range(12), 3), "rate": np.repeat(rates, 3)})
    kinds["kind"] = np.where(kinds["rate"] > 0.1, "stable", "still improving")
    shuffled = kinds.sample(frac=1.0, random_state=0)
    found = sweepends.by_factor(shuffled, "rate")
    assert list(found.counts.columns) == list(sweepends.THIRDS)
    assert found.counts.loc["stable"].tolist() == [0, 0, 12]
    assert found.p == pytest.approx(3 / 495, abs=0.003)  # 3 of the 495 ways to choose 4 of 12
    assert list(sweepends.by_factor(kinds.assign(rate=kinds["rate"].round(0)), "rate").counts.columns) == ["0", "1"]
