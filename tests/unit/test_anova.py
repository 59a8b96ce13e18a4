"""Analysis of variance against published tables, NIST's certified values, statsmodels, and simulated null sweeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy.stats import binom, ncf, nct
from scipy.stats import f as f_distribution

from benchmarks import null_sweeps
from core import anova, designs, effects, effectsize, factorial, ranks, wording
from tests import textbooks


def rows_of(analysis: anova.Anova) -> pd.DataFrame:
    return analysis.table.set_index("term")


def test_montgomerys_batteries() -> None:
    # Montgomery, Design and Analysis of Experiments, table 5.5
    table = rows_of(anova.anova(textbooks.batteries(), "life", ["material", "temperature"]))
    squares = [10683.72, 39118.72, 9613.78, 18230.75, 77646.97]
    assert table["sum_of_squares"].to_numpy() == pytest.approx(squares, abs=0.006)
    assert table["df"].tolist() == [2, 2, 4, 27, 35]
    assert table["f"][:3].to_numpy() == pytest.approx([7.91, 28.97, 3.56], abs=0.005)
    assert table["p"][["material", "material × temperature"]].to_numpy() == pytest.approx([0.0020, 0.0186], abs=5e-5)
    assert table["p"]["temperature"] < 0.0001


def test_r_warpbreaks() -> None:
    # R: summary(aov(breaks ~ wool * tension, warpbreaks))
    table = rows_of(anova.anova(textbooks.warpbreaks(), "breaks", ["wool", "tension"], kind="II"))
    assert table["sum_of_squares"][:4].to_numpy() == pytest.approx([450.7, 2034.3, 1002.8, 5745.1], abs=0.05)
    assert table["f"][:3].to_numpy() == pytest.approx([3.765, 8.498, 4.189], abs=5e-4)
    assert table["p"][:3].to_numpy() == pytest.approx([0.058213, 0.000693, 0.021044], abs=5e-7)


def test_r_npk_with_its_blocks() -> None:
    # R: summary(aov(yield ~ block + N * P * K, npk)); N:P:K is confounded with the blocks
    analysis = anova.anova(textbooks.npk().rename(columns={"block": "seed"}), "yield", ["N", "P", "K"])
    table = rows_of(analysis)
    expected = {"N": 189.28, "P": 8.40, "K": 95.20, "N × P": 21.28, "N × K": 33.14, "P × K": 0.48, "seed": 343.3}
    for term, squares in expected.items():
        assert table["sum_of_squares"][term] == pytest.approx(squares, abs=0.006 if term != "seed" else 0.05), term
    assert table["f"][["N", "P", "K"]].to_numpy() == pytest.approx([12.259, 0.544, 6.166], abs=5e-4)
    assert table["p"][["N", "K"]].to_numpy() == pytest.approx([0.00437, 0.02880], abs=5e-6)
    assert analysis.is_blocked and analysis.df_error == 12


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_nist_simon_and_lesage(offset: float) -> None:
    # StRD SmLs01 and SmLs04 (offset 1e6): F = 21 exactly, between 1.68, within 1.80
    table = rows_of(anova.anova(textbooks.simon_and_lesage(offset), "y", ["treatment"]))
    assert table["f"]["treatment"] == pytest.approx(21, rel=1e-7)
    assert table["sum_of_squares"][["treatment", "residual"]].to_numpy() == pytest.approx([1.68, 1.80], rel=1e-7)


def test_nist_silicon_resistivity() -> None:
    table = rows_of(anova.anova(textbooks.silicon(), "ohm_cm", ["instrument"]))
    assert table["f"]["instrument"] == pytest.approx(1.18046237440255, rel=1e-10)
    certified = [5.11462616000000e-02, 2.16636560000000e-01]
    assert table["sum_of_squares"][["instrument", "residual"]].to_numpy() == pytest.approx(certified, rel=1e-10)
    assert table["eta2"]["instrument"] == pytest.approx(1.90999039051129e-01, rel=1e-10)


def unbalanced() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    rows = [(a, b, s) for a in ("x", "y") for b in (1, 2, 3) for s in (1, 2, 3, 4)]
    frame = pd.DataFrame(rows, columns=["a", "b", "seed"])
    frame["score"] = generator.normal(size=24) + (frame["a"] == "x") * frame["b"] + 0.3 * frame["seed"]
    return frame.drop(index=[0, 7, 13, 14])


@pytest.mark.parametrize(("kind", "typ"), [("II", 2), ("III", 3)])
def test_unbalanced_with_block_is_statsmodels(kind: str, typ: int) -> None:
    fit = smf.ols("score ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)", unbalanced()).fit()
    theirs = sm.stats.anova_lm(fit, typ=typ)
    ours = rows_of(anova.anova(unbalanced(), "score", ["a", "b"], kind=kind))
    names = {"a": "C(a, Sum)", "b": "C(b, Sum)", "a × b": "C(a, Sum):C(b, Sum)"}
    for term, name in names.items():
        assert ours["sum_of_squares"][term] == pytest.approx(theirs["sum_sq"][name])
        assert ours["f"][term] == pytest.approx(theirs["F"][name])
        assert ours["p"][term] == pytest.approx(theirs["PR(>F)"][name])
    if typ == 3:
        robust = sm.stats.anova_lm(fit, typ=3, robust="hc3")
        for term, name in names.items():
            assert ours["f_hc3"][term] == pytest.approx(robust["F"][name])
            assert ours["p_hc3"][term] == pytest.approx(robust["PR(>F)"][name])


def test_the_hc3_sentence_tells_what_statsmodels_tells() -> None:
    told = anova.anova(unbalanced(), "score", ["a", "b"])
    fit = smf.ols("score ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)", unbalanced()).fit()
    for sentence, robust in ((told.sentence, None), (told.sentence_hc3, "hc3")):
        theirs = sm.stats.anova_lm(fit, typ=3, robust=robust)
        for name in ("C(a, Sum)", "C(b, Sum)", "C(a, Sum):C(b, Sum)"):
            f, p = theirs["F"][name], theirs["PR(>F)"][name]
            assert f"= {wording.number_text(f)}, {wording.p_text(p)}, partial" in sentence, (name, robust)
    assert "HC3" not in told.sentence and "F and p by HC3" in told.sentence_hc3


def trap() -> pd.DataFrame:
    """Balanced; `a` does nothing at the first level of b and 1 at the two others."""
    rows = [
        {"a": a, "b": b, "score": float(a == "on" and b != "first") + noise}
        for a in ("off", "on")
        for b in ("first", "second", "third")
        for noise in (0.3, -0.3, 0.5, -0.5)
    ]
    return pd.DataFrame(rows)


def test_type_three_is_not_fooled_by_coding() -> None:
    # with treatment coding "the main effect" of balanced data is the one at the first level of b: nothing
    fooled = sm.stats.anova_lm(smf.ols("score ~ C(a) * C(b)", trap()).fit(), typ=3)
    assert fooled["PR(>F)"]["C(a)"] > 0.99
    ours = {kind: rows_of(anova.anova(trap(), "score", ["a", "b"], kind=kind))["p"]["a"] for kind in ("II", "III")}
    # balanced: SS = 24 · (1/3)², error 6 · 0.68 over 18 degrees of freedom
    f = 24 / 9 / (6 * 0.68 / 18)
    assert ours["III"] == pytest.approx(float(f_distribution.sf(f, 1, 18))) and ours["III"] < 0.005
    assert ours["II"] == pytest.approx(ours["III"])


def test_sizes_by_hand_and_their_interval_by_its_definition() -> None:
    row = rows_of(anova.anova(textbooks.batteries(), "life", ["material", "temperature"])).loc["material"]
    assert row["partial_eta2"] == pytest.approx(10683.72 / (10683.72 + 18230.75), abs=1e-5)
    assert row["eta2"] == pytest.approx(10683.72 / 77646.97, abs=1e-6)
    mean_error = 18230.75 / 27
    assert row["omega2"] == pytest.approx((10683.72 - 2 * mean_error) / (77646.97 + mean_error), abs=1e-6)
    assert row["partial_omega2"] == pytest.approx(
        2 * (7.91137 - 1) / (2 * (7.91137 - 1) + 36), abs=1e-5
    )  # textbook: .277
    for share, tail in ((row["low"], "sf"), (row["high"], "cdf")):
        noncentral = share / (1 - share) * 36
        assert getattr(ncf, tail)(row["f"], 2, 27, noncentral) == pytest.approx(0.025, abs=1e-6)
    assert row["omega2_low"] < row["omega2"] < row["omega2_high"] < row["high"]


def test_intervals_cover_what_they_should() -> None:
    generator, hits, n = np.random.default_rng(0), 0, 400
    for f in ncf.rvs(3, 14, 12.0, size=n, random_state=generator):
        low, high = effectsize.noncentrality(float(f), 3, 14)
        hits += low <= 12.0 <= high
    assert binom.ppf(0.001, n, 0.95) <= hits <= binom.ppf(0.999, n, 0.95)
    assert effectsize.noncentrality(0.01, 3, 14) == (0.0, 0.0)
    low, high = effectsize.noncentrality(1e6, 3, 14)
    assert 0 < low < 3e6 < high


@pytest.mark.parametrize(("shape", "true"), [((2, 4, 3), 0.5), ((4, 4, 4, 2), 0.3)])
def test_share_of_a_factorial_is_covered_and_not_biased(shape: tuple[int, ...], true: float) -> None:
    # the last entry is seeds, a block; the share of the last knob is δ² / (δ² + σ²) whatever else is in the model
    *levels, n_seeds = shape
    codes = np.array([cell for cell in np.ndindex(*levels) for _ in range(n_seeds)])
    blocks = np.tile(np.arange(n_seeds), len(codes) // n_seeds)
    main = (len(levels) - 1,)
    model = factorial.design(codes, levels, factorial.all_terms(len(levels), 2), blocks)
    effect = np.linspace(-1, 1, levels[-1])[codes[:, -1]]
    planted = effect / effect.std() * np.sqrt(true / (1 - true))
    generator, n, sweeps = np.random.default_rng(3), len(codes), 400
    noise = generator.normal(size=(n, sweeps)) + 2.0 * generator.normal(size=(n_seeds, sweeps))[blocks]
    told = factorial.f_tests(model, planted[:, None] + noise)
    k = list(model.terms).index(main)
    df, looked = int(told.df[k]), 100
    shares = [effectsize.partial_omega2(float(f), df, n) for f in told.f[k]]
    found = [effectsize.share_interval(float(f), df, told.df_error, n) for f in told.f[k][:looked]]
    hits = sum(low <= true <= high for low, high in found)
    assert binom.ppf(0.001, looked, 0.95) <= hits <= binom.ppf(0.999, looked, 0.95)
    assert np.mean(shares) == pytest.approx(true, abs=0.03)  # with df + df_error + 1 for n: .59


def test_g_by_its_definition() -> None:
    assert effectsize.hedges_correction(2) == pytest.approx(1 / np.sqrt(np.pi))  # Γ(1) / Γ(1/2)
    assert effectsize.hedges_correction(4) == pytest.approx(np.sqrt(2 / np.pi))  # Γ(2) / (√2 Γ(3/2))
    g, low, high = effectsize.g_interval(3.0, 2.0, 0.5, 10)  # t = 1.5 / √.5
    assert g == pytest.approx(1.5 * effectsize.hedges_correction(10))
    scale = effectsize.hedges_correction(10) * np.sqrt(0.5)
    t = 1.5 / np.sqrt(0.5)
    assert nct.sf(t, 10, low / scale) == pytest.approx(0.025, abs=1e-6)
    assert nct.cdf(t, 10, high / scale) == pytest.approx(0.025, abs=1e-6)
    assert np.isnan(effectsize.g_interval(3.0, 0.0, 0.5, 10)).all()
    mirrored = effectsize.g_interval(-3.0, 2.0, 0.5, 10)
    assert mirrored == pytest.approx((-g, -high, -low))


@pytest.mark.parametrize("shape", null_sweeps.SHAPES)
def test_null_sweeps_alarm_as_often_as_they_may(shape: tuple[int, int, int]) -> None:
    """2,000 sweeps at .05: 1.3 points are 2.7 standard errors. HC3 is careful with few runs a cell: it alarms less."""
    shares = null_sweeps.alarms(shape, 2000, seed=5)
    assert shares["classical"].between(*null_sweeps.BAND).all(), shares
    assert shares["hc3"].between(0.01, null_sweeps.BAND[1]).all(), shares
    assert (shares["hc3"] <= shares["classical"]).all(), shares


def test_planted_interaction_is_found_as_often_as_promised() -> None:
    n = 1000
    classical, _ = null_sweeps.found((2, 4, 3), n, 0.8)
    low, high = binom.ppf([0.0005, 0.9995], n, 0.8) / n
    assert low <= classical <= high


# ---- what sweeps bring along ----


def sweep(n_seeds: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [(o, lr, s) for o in ("sgd", "adam") for lr in (1e-4, 1e-3, 1e-2, 1e-1) for s in range(n_seeds)]
    frame = pd.DataFrame(rows, columns=["optimizer", "learning_rate", "seed"])
    frame["train/loss"] = -100 * np.log10(frame["learning_rate"]) + generator.normal(size=len(frame))
    return frame.assign(state="done", diverged=False)


def test_sentence_can_be_quoted() -> None:
    told = anova.anova(sweep(), "train/loss", ["learning_rate", "optimizer"])
    assert told.sentence.startswith("Learning rate changes the train loss (F(3, 14) = ")
    assert "p < .001, partial ω² 1.00 [" in told.sentence and "no effect of optimizer is shown" in told.sentence
    assert "Type III" in told.sentence and "seeds as block" in told.sentence and told.warnings == ()


def test_runs_that_failed_are_left_out_and_counted() -> None:
    frame = sweep()
    frame.loc[0, "diverged"] = True
    frame.loc[1, "train/loss"] = np.nan
    frame.loc[2, "train/loss"] = np.inf
    frame.loc[5, "state"] = "failed"
    frame.loc[5, "train/loss"] = 0.0
    told = anova.anova(frame, "train/loss", ["learning_rate", "optimizer"])
    assert told.n == 20 and np.isfinite(told.table["p"].dropna()).all()
    text = " ".join(told.warnings)
    assert "1 run of 24 left out: diverged." in text and "2 runs of 24 left out: no finite train loss." in text
    assert "left out: failed" in text and "1 of 8 cells are empty" in text
    assert "learning rate × optimizer" in text and "learning rate × optimizer" not in told.by


def test_a_run_again_with_the_same_seed_is_no_second_run() -> None:
    frame = sweep()
    again = pd.concat([frame, frame.iloc[[3]].assign(**{"train/loss": 7.0})], ignore_index=True)
    told = anova.anova(again, "train/loss", ["learning_rate", "optimizer"])
    assert told.n == 24 and 7.0 in told.runs["value"].tolist() and "1 run left out: run again" in told.warnings[0]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (sweep(1), "One seed per cell"),
        (sweep().assign(**{"train/loss": 3.5}), "All 24 runs have the same train loss (3.50)"),
        (sweep().assign(diverged=True), "None of 24 runs has a train loss"),
        (sweep().assign(learning_rate=0.1, optimizer="sgd"), "No factor has two levels"),
        (sweep().iloc[:0], "There are no runs"),
    ],
)
def test_what_cannot_be_tested_says_why(frame: pd.DataFrame, says: str) -> None:
    told = anova.anova(frame, "train/loss", ["learning_rate", "optimizer"])
    assert says in told.sentence and told.table.empty and told.by == {}


def test_one_level_and_seeds_without_effect() -> None:
    told = anova.anova(sweep().query("optimizer == 'sgd'"), "train/loss", ["learning_rate", "optimizer"])
    assert list(told.by) == ["learning rate"] and "optimizer has one level (sgd)" in told.warnings[0]
    flat = sweep()
    flat["train/loss"] = -100 * np.log10(flat["learning_rate"])
    told = anova.anova(flat, "train/loss", ["learning_rate", "optimizer"])
    assert any("seeds change nothing" in warning for warning in told.warnings)
    row = rows_of(told).loc["learning rate"]
    assert "∞" not in told.sentence and "do not differ at all, so F has no bound" in told.sentence
    assert np.isinf(row["f"]) and row["p"] == 0 and row["partial_eta2"] == 1


def test_what_changes_nothing_has_no_effect_where_seeds_change_nothing_either() -> None:
    """Rounding over rounding is no F: of a score that depends on the learning rate alone, only that has an effect."""
    flat = sweep()
    flat["train/loss"] = 0.5 + 0.1 * (flat["learning_rate"] == flat["learning_rate"].min())
    told = anova.anova(flat, "train/loss", ["learning_rate", "optimizer"])
    table = rows_of(told)
    assert table.loc[["optimizer", "learning rate × optimizer"], ["f", "f_hc3"]].to_numpy().tolist() == [[0.0, 0.0]] * 2
    assert table.loc["optimizer", "p"] == table.loc["optimizer", "p_hc3"] == 1
    for sentence in (told.sentence, told.sentence_hc3):
        assert "earning rate changes the train loss" in sentence and "no effect of optimizer is shown" in sentence
        assert "are not shown to depend on each other" in sentence


def test_hc3_says_where_it_cannot_tell() -> None:
    """A cell of which one run is left has no scatter of its own."""
    results = sweep()
    first = results["optimizer"].iloc[0], results["learning_rate"].iloc[0]
    is_cell = (results["optimizer"] == first[0]) & (results["learning_rate"] == first[1])
    lone = results.drop(results.index[is_cell][1:])
    told = anova.anova(lone, "train/loss", ["learning_rate", "optimizer"])
    assert "HC3 cannot tell whether learning rate changes the train loss: a run has a cell of its own" in (
        told.sentence_hc3[0].lower() + told.sentence_hc3[1:]
    ).replace("hC3", "HC3")
    assert "no effect" not in told.sentence_hc3.lower()


def test_different_seeds_in_each_cell_are_no_block() -> None:
    frame = sweep().assign(seed=range(24))
    told = anova.anova(frame, "train/loss", ["learning_rate", "optimizer"])
    assert not told.is_blocked and told.df_error == 16 and "different seeds" in told.warnings[0]


def test_random_search_has_no_cells_to_compare() -> None:
    generator = np.random.default_rng(1)
    rates, momenta = generator.random(20), generator.random(20)
    rows = [(rates[k], momenta[k], s, generator.random()) for k in range(20) for s in (1, 2)]
    told = anova.anova(pd.DataFrame(rows, columns=["lr", "momentum", "seed", "score"]), "score", ["lr", "momentum"])
    assert told.by == {} and "levels that come back" in told.sentence


def fraction(effect: str) -> pd.DataFrame:
    """2^(4−1) with d = abc, three seeds; `effect` (like "cd") is all there is."""
    rows = [(a, b, c, a * b * c, s) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for s in (1, 2, 3)]
    frame = pd.DataFrame(rows, columns=[*"abcd", "seed"])
    return frame.assign(score=frame[list(effect)].prod(axis=1) + 0.1 * np.random.default_rng(0).normal(size=24))


def test_what_a_fraction_cannot_tell_apart_is_said_of_none() -> None:
    told = anova.anova(fraction("cd"), "score", [*"abcd"])
    assert list(told.by) == ["a", "b", "c", "d", "a × b = c × d", "a × c = b × d", "a × d = b × c"]
    assert "a × b or c × d, which these cells cannot tell apart, changes the score (F(1, 14)" in told.sentence
    assert "effects of a and b depend" not in told.sentence and "no effect of a × c = b × d" in told.sentence
    assert sum("cannot tell a × b = c × d apart" in warning for warning in told.warnings) == 1
    assert not any("Left out" in warning for warning in told.warnings)
    # resolution III: c = ab, where the truth is an interaction
    third = fraction("ab").assign(c=lambda frame: frame["a"] * frame["b"]).drop(columns="d")
    third["seed"] = range(24)
    told = anova.anova(third, "score", [*"abc"])
    assert list(told.by) == ["a = b × c", "b = a × c", "c = a × b"]
    assert "c or a × b, which these cells cannot tell apart, changes the score" in told.sentence
    pairs = effects.pairwise(third, "score", [*"abc"], "c")
    assert any("cannot tell c = a × b apart" in warning for warning in pairs.warnings)
    ranked = ranks.rank_tests(third, "score", [*"abc"])
    assert "c = a × b" in ranked.sentence and not any("Left out" in warning for warning in ranked.warnings)


@pytest.mark.parametrize(("k", "resolution"), [(5, 3), (6, 4), (7, 3)])
def test_aliases_are_those_of_the_defining_relation(k: int, resolution: int) -> None:
    p, generators = designs.fraction(k, resolution)
    base = k - p
    codes = np.array(
        [
            [
                *bits,
                *(
                    (sum(bits[i] for i in range(base) if word >> i & 1) + word.bit_count() + 1) % 2
                    for word in generators
                ),
            ]
            for bits in np.ndindex(*[2] * base)
        ]
    )
    asked = factorial.all_terms(k, 2)
    kept, lost = factorial.estimable(codes, [2] * k, asked)
    found = factorial.aliases(codes, [2] * k, kept, lost)
    words = designs._defining([word | 1 << base + i for i, word in enumerate(generators)])
    bits = {term: sum(1 << place for place in term) for term in asked}
    expected = {t: {o for o in asked if bits[o] ^ bits[t] in words} for t in kept}
    assert {t: set(o) for t, o in found.items()} == {t: o for t, o in expected.items() if o}


def test_an_empty_cell_makes_no_alias() -> None:
    told = anova.anova(sweep().iloc[3:], "train/loss", ["learning_rate", "optimizer"])
    assert list(told.by) == ["learning rate", "optimizer"] and not any(" = " in warning for warning in told.warnings)


def test_hostile_names_and_mixed_levels_are_only_names() -> None:
    frame = sweep().rename(columns={"learning_rate": "C(x) ~ 1; import os", "optimizer": "value"})
    frame["value"] = [True, None, 3.0] * 8
    frame["seed"] = range(24)
    told = anova.anova(frame, "train/loss", ["C(x) ~ 1; import os", "value"])
    assert next(iter(told.by.values())) == ("C(x) ~ 1; import os",)


@pytest.mark.parametrize(
    ("response", "factors", "kind"),
    [("none", ["optimizer"], "III"), ("train/loss", ["none"], "III"), ("state", ["optimizer"], "III"),
     ("train/loss", ["optimizer"], "I")],
)  # fmt: skip
def test_wrong_questions_are_refused(response: str, factors: list[str], kind: str) -> None:
    with pytest.raises(ValueError, match=r"none|state|choose II or III"):
        anova.anova(sweep(), response, factors, kind=kind)


def test_many_responses_at_once_are_the_same_as_one_by_one() -> None:
    generator = np.random.default_rng(2)
    codes = np.array([(i, j) for i in range(2) for j in range(3) for _ in range(3)])
    model = factorial.design(codes, (2, 3), factorial.all_terms(2, 2), np.tile(np.arange(3), 6))
    responses = generator.normal(size=(18, 5))
    together = factorial.f_tests(model, responses)
    for k in range(5):
        alone = factorial.f_tests(model, responses[:, k])
        assert together.f[:, k] == pytest.approx(alone.f[:, 0]) and together.f_hc3[:, k] == pytest.approx(
            alone.f_hc3[:, 0]
        )


@pytest.mark.parametrize("of_three", [0.0, 1.0])
@pytest.mark.parametrize(("block", "df_within"), [(True, 20), (False, 23)])
def test_interactions_beyond_the_model_are_told_where_they_matter(of_three: float, block: bool, df_within: int) -> None:
    random = np.random.default_rng(5)
    cells = [(a, b, c, seed) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for seed in range(4)]
    frame = pd.DataFrame(cells, columns=["a", "b", "c", "seed"])
    frame["y"] = frame["a"] + of_three * frame["a"] * frame["b"] * frame["c"] + 0.5 * random.standard_normal(32)
    frame = frame.drop(index=31)  # one was lost
    warnings = anova.anova(frame, "y", ["a", "b", "c"], block=block).warnings
    told = [one for one in warnings if "interactions of 3 knobs or more" in one]
    seeds = " + C(seed)" if block else ""
    reduced = smf.ols(f"y ~ (C(a) + C(b) + C(c))**2{seeds}", frame).fit()
    compared = sm.stats.anova_lm(reduced, smf.ols(f"y ~ C(a) * C(b) * C(c){seeds}", frame).fit())
    f, p = compared["F"].iloc[1], compared["Pr(>F)"].iloc[1]
    assert (p < 0.05) == bool(of_three) == bool(told)
    if told:
        assert f"F(1, {df_within}) = {wording.number_text(f)}, {wording.p_text(p)}" in told[0]
    whole = anova.anova(frame, "y", ["a", "b", "c"], order=3, block=block).warnings
    assert not any("leaves out what matters" in one for one in whole)
