"""Calibration: planted truths are found, the reference library agrees, and what little data cannot say is not said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import certainty, checkpoints, evaluation, heardwords, paths, rundir, scored
from core.datasets import IRMAS_CLASSES

RNG = np.random.default_rng(3)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def planted(scale: float, shift: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores [n, 11] where a class is there with probability σ(scale · logit(score) + shift)."""
    rng = np.random.default_rng(11)
    scores = sigmoid(rng.normal(-2, 2, (n, 11)))
    return (rng.random((n, 11)) < sigmoid(scale * logit(scores) + shift)).astype(float), scores


# ---- the fit ----


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, -0.5), (1.7, 0.8)])
def test_a_planted_calibration_is_found(scale: float, shift: float) -> None:
    """44,000 labels: standard errors of about .01 and .02."""
    assert certainty.fit(*planted(scale, shift)) == pytest.approx((scale, shift), abs=0.06)


def test_the_fit_is_that_of_the_reference_library() -> None:
    from sklearn.linear_model import LogisticRegression

    truth, scores = planted(0.5, -0.3, n=30)
    is_there = truth.ravel() > 0
    high, low = (is_there.sum() + 1) / (is_there.sum() + 2), 1 / ((~is_there).sum() + 2)  # Platt's targets
    wanted = np.where(is_there, high, low)
    # Each label twice, once as there and once as not, weighted: the likelihood of targets between 0 and 1.
    z = logit(scores).ravel()[:, None]
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    reference.fit(np.vstack([z, z]), np.repeat([1, 0], len(z)), sample_weight=np.concatenate([wanted, 1 - wanted]))
    scale, shift = certainty.fit(truth, scores)
    assert scale == pytest.approx(reference.coef_[0, 0], rel=1e-4)
    assert shift == pytest.approx(reference.intercept_[0], rel=1e-4)


def test_scores_that_part_the_classes_perfectly_are_not_certainty() -> None:
    truth = np.eye(11)[np.arange(33) % 11]
    scores = np.where(truth > 0, 0.9, 0.1)
    scale, shift = certainty.fit(truth, scores)
    probabilities = sigmoid(scale * logit(scores) + shift)
    assert probabilities[truth > 0] == pytest.approx(34 / 35, abs=1e-6)  # Platt's target for 33 that are there
    assert probabilities[truth == 0] == pytest.approx(1 / 332, abs=1e-6)


@pytest.mark.parametrize("kind", ["constant", "upside down"])
def test_scores_that_say_nothing_give_the_base_rate(kind: str) -> None:
    truth = np.eye(11)[np.arange(110) % 11]
    scores = np.full((110, 11), 0.15) if kind == "constant" else np.where(truth > 0, 0.1, 0.6)
    scale, shift = certainty.fit(truth, scores)
    assert scale == 0.0
    assert sigmoid(np.array(shift)) == pytest.approx(1 / 11, abs=0.002)
    made = certainty.Certainty("r", "d", "s", scale, shift, 0.3, 110, 10, None, None)
    assert made.named_from_score is None
    assert made.probability(np.array([0.01, 0.99])) == pytest.approx([1 / 11, 1 / 11], abs=0.002)


def test_the_threshold_is_the_same_as_a_score() -> None:
    made = certainty.Certainty("r", "d", "s", 0.5, -1.0, 0.4, 100, 10, None, None)
    score = made.named_from_score
    assert score is not None and float(made.probability(score)) == pytest.approx(0.4)
    assert score == pytest.approx(sigmoid(np.array((logit(np.array(0.4)) + 1.0) / 0.5)))
    assert np.isnan(made.probability(np.nan))


def test_what_is_too_sure_loses_less_once_it_is_calibrated() -> None:
    truth, scores = planted(0.3, -0.4, n=200)
    groups = np.array([f"group {i // 4}" for i in range(200)])
    one = scored.Scored(IRMAS_CLASSES, np.arange(200).astype(str), groups, truth, scores)
    before, after = certainty.held_out_losses(one)
    assert before is not None and after is not None and after < before
    # The least that any probabilities can lose is the entropy of those that made the truth.
    p = sigmoid(0.3 * logit(scores) - 0.4)
    assert after == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean(), abs=0.03)
    few = replace(one, groups=np.where(np.arange(200) < 100, "a", "b"))
    assert certainty.held_out_losses(few) == (None, None)


# ---- of a run ----


def run_with(truth: np.ndarray, scores: np.ndarray, part: str = "validation") -> evaluation.Model:
    """A finished run whose stored predictions for `part` are these, two items a group."""
    spec = rundir.Spec(rundir.new_id("instrunet"), "instrunet", {}, "cues", "instruments", "official", 0, "cpu")
    folder = rundir.create(spec, "done")
    weights = {"weights": RNG.normal(size=3), "labels": list(IRMAS_CLASSES)}
    checkpoints.save_state(
        folder / "checkpoints" / "final.safetensors", {"model": weights, "input": "logmel", "window_s": 3.0}
    )
    n, labels = truth.shape
    items = np.array([f"item-{i:04d}" for i in range(n)])
    table = pd.DataFrame(
        {
            "part": part,
            "item": np.repeat(items, labels),
            "group": np.repeat([f"group-{i // 2:04d}" for i in range(n)], labels),
            "time_s": 0.0,
            "label": np.tile(np.asarray(IRMAS_CLASSES[:labels]), n),
            "truth": truth.ravel(),
            "prediction": scores.ravel(),
        }
    )
    table.to_parquet(folder / "predictions.parquet", index=False)
    return evaluation.load_model(folder)


def test_a_run_is_calibrated_once_and_then_read(cache: Path) -> None:
    truth, scores = planted(0.5, -0.5, n=300)
    model = run_with(truth, scores)
    first, why = certainty.of(model)
    assert first is not None and why == ""
    assert (first.scale, first.shift) == certainty.fit(truth, scores)
    assert (first.n_items, first.n_groups, first.data, first.split) == (300, 150, "cues", "official")
    rundir.find(model.run).joinpath("predictions.parquet").unlink()
    assert certainty.of(model) == (first, "")
    (path,) = certainty.kept().iterdir()
    assert path.name == f"{model.stamp}.json" and json.loads(path.read_text()) == asdict(first)


def asked(truth: np.ndarray, scores: np.ndarray, n_groups: int) -> scored.Scored:
    """Items of so many groups in turn."""
    names = np.arange(len(truth))
    return scored.Scored(IRMAS_CLASSES, names.astype(str), (names % n_groups).astype(str), truth, scores)


def test_what_ships_may_be_calibrated_on_recordings(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not sure enough of its own validation part (scale 2), too sure of what it never learned from (0.5)."""
    model = run_with(*planted(2.0, 0.0, n=300))
    monkeypatch.setattr(paths, "starter", lambda: tmp_path)
    own = certainty.Certainty(**json.loads(certainty.ship(model).read_text()))
    assert own.items == "" and own.scale == pytest.approx(2.0, abs=0.3)
    heard = asked(*planted(0.5, -0.5, n=1000), n_groups=4)
    words = "recordings from which it did not learn"
    path = certainty.ship(model, certainty.fitted_to(heard, model.run, "folder:recordings", "all", words))
    assert list(certainty.shipped().iterdir()) == [path]  # in place of the one before
    known, why = certainty.of(model)
    assert known is not None and why == "" and known.is_fitted
    assert (known.data, known.n_items, known.n_groups) == ("folder:recordings", 1000, 4)
    assert (known.scale, known.shift) == pytest.approx((0.5, -0.5), abs=0.1)
    note = heardwords.say(song(pia=0.9), known).note
    assert f"calibrated on 1,000 {words}: true of sounds like those, a guess for others." in note


def test_scores_that_no_fit_makes_truer_stay_as_they_are() -> None:
    """Each of four sources is off its own way, and together they are right: what is learned of three misleads about
    the fourth, and less is lost by the scores as they are."""
    parts = [planted(scale, shift, n=250) for scale, shift in ((0.6, -0.8), (1.6, 0.8), (0.7, 0.7), (1.3, -0.7))]
    truth, scores = (np.stack([part[of] for part in parts], axis=1).reshape(1000, 11) for of in (0, 1))
    one = asked(truth, scores, n_groups=4)
    before, after = certainty.held_out_losses(one)
    assert before is not None and after is not None and after > before
    known = certainty.fitted_to(one, "r", "d", "all")
    assert (known.scale, known.shift, known.is_fitted) == (1.0, 0.0, False) and certainty.fit(truth, scores) != (1, 0)
    assert known.probability(np.array([0.1, 0.5, 0.9])) == pytest.approx([0.1, 0.5, 0.9])
    assert known.named_from_score == pytest.approx(known.named_from)
    said = heardwords.say(song(pia=0.9), known)
    assert said.words.startswith("piano 0.90")
    assert "Probabilities: on 1,000 validation items of d its scores came true about as often as they say" in said.note


def test_too_little_is_refused_whatever_it_is_of() -> None:
    truth, scores = planted(0.5, -0.5, n=12)
    with pytest.raises(ValueError, match="what it was asked about has only 12 items"):
        certainty.fitted_to(asked(truth, scores, 4), "r", "d", "all", "recordings")
    assert certainty.held_out_losses(asked(*planted(1, 0, n=30), n_groups=2)) == (None, None)


@pytest.mark.parametrize("damage", ["{", "[]", '{"scale": 1}', "version", "scale"])
def test_a_damaged_calibration_is_fitted_again(cache: Path, damage: str) -> None:
    model = run_with(*planted(0.5, -0.5, n=300))
    first, _ = certainty.of(model)
    assert first is not None
    (path,) = certainty.kept().iterdir()
    wrong = {"version": {"version": 0}, "scale": {"scale": -2.0}}.get(damage)
    path.write_text(json.dumps(asdict(first) | wrong) if wrong else damage)
    assert certainty.of(model) == (first, "")


def test_a_cache_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    certainty.kept().write_text("a file where the folder should be")
    made, why = certainty.of(run_with(*planted(0.5, -0.5, n=300)))
    assert made is not None and why == ""


def test_the_threshold_lies_where_f1_is_best_but_not_where_nothing_is_known(cache: Path) -> None:
    truth, scores = planted(2.0, 0.0, n=300)
    made, _ = certainty.of(run_with(truth, scores))
    assert made is not None and certainty.LOWEST <= made.named_from <= certainty.HIGHEST

    def f1_from(least: float) -> float:
        is_named = made.probability(scores) >= least
        return 2 * (is_named & (truth > 0)).sum() / (is_named.sum() + truth.sum())

    assert f1_from(made.named_from) >= max(f1_from(least) for least in np.linspace(0.3, 0.5, 21)) - 1e-9
    lost, _ = certainty.of(run_with(np.eye(11)[np.arange(110) % 11], np.full((110, 11), 0.15)))
    assert lost is not None and lost.named_from == certainty.LOWEST  # the best F1 there would name all eleven


def test_what_cannot_be_calibrated_says_why(cache: Path) -> None:
    truth, scores = planted(0.5, -0.5, n=300)
    model = run_with(truth, scores)
    folder = rundir.find(model.run)
    assert certainty.of(replace(model, run=f"{model.run}@3")) == (None, "only the final weights of a run are")
    assert certainty.of(replace(model, weights="best"))[1] == "only the final weights of a run are"
    assert "has only 12 items" in certainty.of(run_with(truth[:12], scores[:12]))[1]
    assert "with 0 labels" in certainty.of(run_with(np.zeros((40, 11)), scores[:40]))[1]
    assert certainty.of(run_with(truth, scores, part="test"))[1] == "its predictions have no validation part"
    os.utime(folder / "predictions.parquet", (1, 1))
    assert certainty.of(model)[1] == "its stored predictions are older than its weights"
    (folder / "predictions.parquet").write_bytes(b"PAR1 and no more")
    assert certainty.of(model)[1].startswith("its predictions cannot be read (")
    (folder / "predictions.parquet").unlink()
    assert certainty.of(model)[1] == "its predictions are not kept"
    assert "no run" in certainty.of(replace(model, run="gone"))[1]


def test_windows_of_an_item_are_averaged(cache: Path) -> None:
    truth = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    scores = np.array([[0.2, 0.4], [0.9, 0.1], [0.6, 0.0]])
    one = scored.of_rows(("a", "b"), np.array(["x", "y", "x"]), np.array(["g", "h", "g"]), truth, scores)
    assert one.items.tolist() == ["x", "y"] and one.groups.tolist() == ["g", "h"]
    assert one.scores.tolist() == [pytest.approx([0.4, 0.2]), [0.9, 0.1]] and one.truth.tolist() == [[1, 0], [0, 1]]
    scores[1, 0] = np.nan
    assert scored.of_rows(("a", "b"), one.items[[0, 1, 0]], one.groups[[0, 1, 0]], truth, scores).items.tolist() == [
        "x"
    ]


def test_predictions_that_lack_labels_are_refused(cache: Path) -> None:
    model = run_with(*planted(0.5, -0.5, n=30))
    path = rundir.find(model.run) / "predictions.parquet"
    whole = pd.read_parquet(path)
    for less in (whole.iloc[:-1], whole.sample(frac=1, random_state=0)):
        less.to_parquet(path, index=False)
        with pytest.raises(ValueError, match="lack labels of some items"):
            scored.read(path, "validation")


LIGHT = """
import sys
from core import certainty, evaluation, rundir
found, why = certainty.of(evaluation.load_model(rundir.find(sys.argv[1])))
assert found is not None, why
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_first_page_can_have_it_without_heavy_imports(cache: Path) -> None:
    model = run_with(*planted(0.5, -0.5, n=60))
    for _ in range(2):  # fitted, then read
        found = subprocess.run([sys.executable, "-c", LIGHT, model.run], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        assert not {"torch", "sklearn", "scipy", "pandas"} & set(found.stdout.split())


# ---- in words ----


def song(**scores: float) -> dict[str, float]:
    return dict.fromkeys(IRMAS_CLASSES, 0.05) | scores


def test_the_best_three_that_reach_the_threshold_are_named() -> None:
    assert heardwords.say(song(pia=0.91, voi=0.62), None).words == "piano 0.91, voice 0.62"
    many = song(cel=0.4, cla=0.7, flu=0.6, gac=0.5)
    assert heardwords.say(many, None).words == "clarinet 0.70, flute 0.60, acoustic guitar 0.50, and 1 more"
    assert heardwords.say(many, None).named == ["cel", "cla", "flu", "gac"]
    assert heardwords.say(song(sax=heardwords.LEAST_SCORE), None).named == ["sax"]


def test_where_all_are_low_it_is_none_of_them() -> None:
    said = heardwords.say(dict.fromkeys(IRMAS_CLASSES, 0.15), None, "its predictions are not kept")
    assert said.words == "none of the eleven, or not music (highest: cello 0.15)" and said.named == []
    assert said.note == (
        "Scores, not calibrated: its predictions are not kept. A class is named whose score over the whole clip is "
        "0.30 or more."
    )
    assert heardwords.say({"a": 0.1, "b": 0.2}, None).words.startswith("none of the 2 it knows, or not music")


def test_silence_is_silence() -> None:
    said = heardwords.say(dict.fromkeys(IRMAS_CLASSES, float("nan")), None)
    assert said.words == "it is silent" and said.named == []


def test_a_calibrated_run_states_probabilities_and_on_what() -> None:
    known = certainty.Certainty("r", "cues", "official", 0.5, -1.0, 0.4, 490, 80, 0.2, 0.1)
    said = heardwords.say(song(pia=0.99, voi=0.7), known)
    p = float(sigmoid(0.5 * logit(np.array(0.99)) - 1))
    assert said.words == f"piano {p:.2f}" and said.named == ["pia"]
    assert said.probability is not None and said.probability["pia"] == pytest.approx(p)
    assert "calibrated on 490 validation items of cues" in said.note
    assert "over the whole clip is 0.40 or more" in said.note
    assert said.threshold_score == known.named_from_score
    sure = replace(known, scale=3.0, shift=5.0)
    assert heardwords.say(song(pia=0.9999), sure).words.startswith("piano 0.99")  # never 1.00
