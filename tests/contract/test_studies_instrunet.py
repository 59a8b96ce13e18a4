"""The study of InstruNet: its cells, its published table, what it does with other data, and what its checks need."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core import config, designs, rundir, studies
from core.records import Spec, Status
from core.store import memory_store
from core.verdicts import ARTEFACT, CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, Runs
from studies import _instrunet_arms as arms
from studies import _instrunet_items as excerpts
from tests.synthetic import instrunet as worlds
from trainers import instrunet


def cells(stage: str = "", **which: Any) -> list[dict[str, Any]]:
    file = studies.variants(studies.load("instrunet"), **which)[stage or "main"]
    return list(designs.make(file, instrunet.Config).cells)


def verdict(claim: str, runs: Runs, **args: Any) -> Any:
    study = studies.load("instrunet")
    (found,) = [one for one in study.claims if one.id == claim]
    return study.function(found.check)(runs, **{**found.args, **args})


def test_one_thing_changes_at_a_time_and_then_all_in_every_combination() -> None:
    grid = cells()
    with_norm = grid[1]
    differ = [[name for name in cell if cell[name] != with_norm[name]] for cell in grid]
    assert differ == [["batch_norm"], [], ["block_dropout"], ["dropout"], ["weight_decay"], ["dropout", "weight_decay"]]
    every = cells("factorial")
    assert len(every) == 16 and all(cell in every for cell in grid)
    study = studies.load("instrunet")
    wanted = studies.lacking(study, worlds_without_runs())
    assert {stage: len(pairs) for stage, pairs in wanted.items()} == {
        "main": 18, "factorial": 30, "polyphonic": 6, "leak": 3,  # the six cells of the grid are not made twice
    }  # fmt: skip


def worlds_without_runs() -> Runs:
    return studies.runs_of(memory_store(), studies.load("instrunet"))


def test_the_last_cell_is_the_published_network_and_the_leak_is_that_on_files() -> None:
    study = studies.load("instrunet")
    files = studies.variants(study)
    made = config.make(instrunet.Config, designs.knobs_of(cells()[-1], files["main"], instrunet.Config))
    assert made == instrunet.Config()  # the trainer's defaults are the published network
    assert cells("leak") == cells()[-1:] and (files["main"].split, files["leak"].split) == ("grouped:0", "random:0")
    assert len(files["main"].seeds) >= 3


def test_the_published_table_is_as_printed() -> None:
    published = studies.load("instrunet").published
    assert published is not None and published.data == "irmas"
    table = published.frame.set_index(["batch_norm", "dropout", "weight_decay"])
    assert table.loc[(True, 0.4, 1e-4), ["test/micro_f1", "test/macro_f1"]].tolist() == [0.6765, 0.6573]
    assert table.loc[(False, 0.0, 0.0), ["polyphonic_micro_f1", "polyphonic_macro_f1"]].tolist() == [0.5952, 0.3810]
    recalls = table.loc[(True, 0.4, 0.0), [name for name in table if "recall" in name]]
    assert recalls.between(0.2, 0.8).all() and len(recalls) == 11 and recalls["test/recall_sax"] == 0.234


@pytest.mark.parametrize("data", ["", "irmas", "cues-small"])
def test_published_numbers_stand_beside_runs_on_their_own_data_alone(data: str) -> None:
    study, runs = studies.load("instrunet"), replace(worlds.made(), data=data)
    table = studies.compare(study, runs).set_index(["weight_decay", "dropout", "metric"])
    row = table.loc[(1e-4, 0.4, "test/macro_f1")]
    if data == "cues-small":
        assert row["n"] == 0 and np.isnan(row["measured"]) and table["n"].sum() == 0
        assert "These runs are on cues-small, the published numbers on irmas" in studies.elsewhere(study, runs)
    else:
        assert row["n"] == 3 and row["measured"] == pytest.approx(0.65, abs=0.03)
        assert studies.elsewhere(study, runs) == ""


def test_the_quick_variant_and_other_data_find_runs_of_their_own(cache: Path) -> None:
    """A run by hand on cues-small counts where its knobs are a cell's: the quick variant's, or the full one's there."""
    whole, quick = studies.load("instrunet"), studies.variants(studies.load("instrunet"), quick=True)["main"]
    elsewhere = studies.load("instrunet", "cues-small")
    short = run(1, designs.knobs_of(cells()[-1], quick, instrunet.Config))
    full = run(2, {})
    store = memory_store()
    assert list(studies.runs_of(store, whole).results["run"]) == []
    found = studies.runs_of(store, whole, quick=True)
    assert (list(found.results["run"]), found.data) == ([short], "cues-small")
    other = studies.runs_of(store, elsewhere)
    assert (list(other.results["run"]), other.data) == ([full], "cues-small")
    assert list(studies.runs_of(store, elsewhere, quick=True).results["run"]) == [short]
    assert other.predictions(full).empty  # nothing was kept
    frame = worlds.made().predictions("r0")
    frame.to_parquet(rundir.find(full) / "predictions.parquet")
    pd.testing.assert_frame_equal(studies.runs_of(store, elsewhere).predictions(full), frame)
    (rundir.find(full) / "predictions.parquet").write_bytes(b"PAR1 and no more")
    assert studies.runs_of(store, elsewhere).predictions(full).empty


def run(seed: int, knobs: dict[str, Any]) -> str:
    """The directory of a finished run on cues-small."""
    values = config.to_dict(config.make(instrunet.Config, knobs))
    spec = Spec(rundir.new_id("instrunet"), "instrunet", values, "cues-small", "instruments", "grouped:0", seed, "cpu")
    folder = rundir.create(spec)
    line = {"n": 1, "t": 0.0, "kind": "metrics", "step": 9, "epoch": 1.0, "values": {"test/macro_f1": 0.5}}
    (folder / "events.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "status.json").write_text(json.dumps(asdict(Status("done", trained_s=3.0, started_at=1.0, ended_at=5.0))))
    return folder.name


def test_unknown_data_is_told_by_name() -> None:
    with pytest.raises(ValueError, match="There is no data set 'nothing'"):
        studies.load("instrunet", "nothing")
    with pytest.raises(ValueError, match=r"instrunet learns instruments; mnist has labels for"):
        studies.load("instrunet", "mnist")


def test_a_gap_is_over_the_networks_that_have_both() -> None:
    """In a balanced world the difference is that of the means, and batch norm's own effect is not in it."""
    runs = worlds.made(replace(worlds.TRUE, f1_sd=0.0, f1_by_norm=0.3), factorial=True)
    frame = arms.framed(arms.pooled(runs), arms.pooled(runs).column("test/macro_f1"))
    assert arms.gap(frame, arms.BOTH, arms.BLOCKS).interval.mean == pytest.approx(0.1)
    assert arms.gap(frame, arms.BLOCKS, arms.BOTH).interval.mean == pytest.approx(-0.1)
    by_norm = arms.gap(frame, arms.NETWORKS[True], arms.NETWORKS[False], of="network")
    assert by_norm.interval.mean == pytest.approx(0.3)
    only = frame[(frame["arm"] != arms.BLOCKS) | frame["batch_norm"]]  # blocks have one network: the other is left out
    assert arms.gap(only, arms.BOTH, arms.BLOCKS).interval.mean == pytest.approx(0.1)
    assert np.isnan(arms.gap(frame[frame["arm"] != arms.BOTH], arms.BOTH, arms.PLAIN).interval.mean)


def test_a_gap_s_interval_is_that_of_two_samples_where_there_are_two() -> None:
    """Two kinds, one network, seeds that have nothing in common: Student's interval with pooled variance."""
    from scipy.stats import ttest_ind

    a, b = np.array([0.61, 0.66, 0.63]), np.array([0.52, 0.51, 0.57])
    frame = pd.DataFrame({"run": list("abcdef"), "seed": [1, 2, 3, 4, 5, 6], "batch_norm": True, "value": np.r_[a, b],
                          "arm": [arms.BOTH] * 3 + [arms.PLAIN] * 3, "network": arms.NETWORKS[True]})  # fmt: skip
    found, expected = arms.gap(frame, arms.BOTH, arms.PLAIN), ttest_ind(a, b)
    ends = expected.confidence_interval()
    assert (found.p, found.df) == (pytest.approx(expected.pvalue), 4)
    assert (found.interval.low, found.interval.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    wide = ttest_ind(a, b).confidence_interval(1 - 0.05 / 3).high
    assert found.high_among(3) == pytest.approx(wide)


def test_dropout_that_hampers_training_alone_is_an_artefact() -> None:
    found = verdict("gap-shrinks", worlds.CASES["gap-shrinks"]["artefact"])
    assert found.verdict == ARTEFACT and "measured while dropout hampers the network" in found.sentence


@pytest.mark.parametrize("claim", ["gap-shrinks", "steadier"])
def test_runs_of_another_kind_that_stop_early_shorten_no_comparison(claim: str) -> None:
    """Dropout in the blocks, which neither claim compares, is stopped at epoch 6; then a kind compared is."""
    assert verdict(claim, worlds.changed(last=(46, 6, 46), last_sd=0.0)).verdict == REPRODUCED
    found = verdict(claim, worlds.changed(last=(46, 46, 6), last_sd=0.0))
    assert found.verdict == CANNOT_TELL and "epochs in common" in found.sentence


def test_a_plateau_is_judged_where_runs_were_stopped_on_it() -> None:
    """Stopped at epoch 9 of a plateau of 20 it is told shorter than it is, and still told."""
    found = verdict("plateau", worlds.made(replace(worlds.TRUE, last=(46, 9, 46), last_sd=0.0), factorial=True))
    assert found.verdict == REPRODUCED


def test_runs_that_were_never_stopped_early_say_so() -> None:
    found = verdict("stops-later", worlds.CASES["stops-later"]["lacking"])
    assert "Early stopping fired in none of the" in found.sentence


def test_what_diverged_or_has_no_prediction_is_told() -> None:
    some = worlds.made(diverged=(15,))  # a seed of the published network
    found = verdict("head-not-blocks", some)
    assert (
        found.verdict == CANNOT_TELL and "1 diverged" in found.sentence and "2 of head dropout + L2" in found.sentence
    )
    bare = replace(
        worlds.made(), predictions=lambda run: worlds.made().predictions("nothing"), polyphonic=lambda _: None
    )
    for claim in ("sax-trumpet", "polyphonic", "leak"):
        assert verdict(claim, bare).verdict == CANNOT_TELL, claim
    torn = worlds.made().predictions("r0").iloc[:-1]
    assert not len(excerpts.predicted(replace(bare, predictions=lambda run: torn), "r0").items)


def test_predictions_of_windows_count_once_an_excerpt() -> None:
    frame = worlds.made(seeds=(1,)).predictions("r0")
    twice = pd.concat([frame.assign(prediction=0.0), frame.assign(prediction=1.0, time_s=1.5)])
    runs = replace(worlds.made(seeds=(1,)), predictions=lambda run: twice)
    found = excerpts.predicted(runs, "r0")
    assert len(found.items) == 264 and np.unique(found.prediction).tolist() == [0.5]
    assert len(set(found.groups)) == 132


def test_files_without_songs_leak_nothing() -> None:
    runs = worlds.made()
    alone = replace(runs, predictions=lambda run: runs.predictions(run).assign(group=runs.predictions(run)["item"]))
    found = verdict("leak", alone)
    assert found.verdict == CANNOT_TELL and "a song of its own" in found.sentence


def test_few_polyphonic_excerpts_tell_nothing() -> None:
    assert "too few" in verdict("polyphonic", worlds.made(), fewest=1000).sentence


def test_a_class_that_is_never_predicted_is_named() -> None:
    runs = worlds.made()
    silent = replace(runs, results=runs.results.assign(**{"test/precision_voi": 0.0}))
    assert "voice" in verdict("precision", silent).sentence


@pytest.mark.parametrize("claim", list(worlds.CASES))
def test_another_margin_moves_the_verdict(claim: str) -> None:
    """What cannot be told becomes refuted once all of it lies below the smallest advantage worth a name."""
    assert verdict(claim, worlds.CASES[claim]["true"]).verdict == REPRODUCED
    if claim in ("precision", "steadier"):
        return
    margin = {"gap-shrinks": "least_nats"}.get(claim, "least")
    unclear = worlds.CASES[claim]["underpowered"]
    assert verdict(claim, unclear, **{margin: 1e9}).verdict == NOT_REPRODUCED


# ---- songs ----


def alike(n_songs: int, right: float, seeds: int = 3, seed: int = 0) -> Runs:
    """Runs of one network whose seeds all answer the same: a share `right` of the songs, two excerpts each."""
    noise = np.random.default_rng(seed)
    is_right = np.repeat(noise.permutation(n_songs) < right * n_songs, 2)
    truth = np.eye(2)[np.arange(2 * n_songs) // 2 % 2]
    said = np.where(is_right[:, None], truth, 1 - truth)
    songs = np.repeat(np.arange(n_songs), 2)
    frame = pd.DataFrame({"part": "test", "item": np.repeat(np.arange(2 * n_songs), 2).astype(str), "time_s": 0.0,
                          "group": np.repeat(songs, 2).astype(str), "label": np.tile(["cel", "cla"], 2 * n_songs),
                          "truth": truth.ravel(), "prediction": said.ravel()})  # fmt: skip
    return replace(worlds.made(seeds=range(seeds)), predictions=lambda run: frame)


def test_songs_add_the_error_of_a_share_to_seeds_that_agree() -> None:
    """All seeds right on 30 of 50 songs: the error left is that of a proportion of songs, √(p(1 − p)/n)."""
    runs = alike(50, 0.6)
    found = excerpts.widened(runs, excerpts.over_seeds([0.6, 0.6, 0.6]), {"r0": 1 / 3, "r1": 1 / 3, "r2": 1 / 3},
                             excerpts.micro_f1)  # fmt: skip
    from scipy.stats import t

    half = t.ppf(0.975, 49) * np.sqrt(0.6 * 0.4 / 50)
    assert (found.over, found.interval.n, found.df) == ("seeds and 50 songs", 3, pytest.approx(49))
    assert found.interval.high - 0.6 == pytest.approx(half, rel=0.1)
    assert found.interval.low == pytest.approx(0.6 - (found.interval.high - 0.6))


def test_runs_that_err_alike_differ_by_seeds_alone() -> None:
    """The songs that one finds hard the other finds hard, too: their difference owes them nothing."""
    runs, seeds = alike(50, 0.6), excerpts.over_seeds([0.02, 0.05, 0.04])
    found = excerpts.widened(runs, seeds, {"r0": 1.0, "r1": -1.0}, excerpts.macro_f1)
    assert found.interval.high == pytest.approx(seeds.interval.high) and found.df == pytest.approx(seeds.df)
    bare = replace(runs, predictions=lambda run: worlds.made().predictions("nothing"))
    assert excerpts.widened(bare, seeds, {"r0": 1.0}, excerpts.macro_f1) == seeds


def test_two_errors_add_up_as_satterthwaite_says() -> None:
    """As Welch's interval where the second variance is a second sample's: s²/n with n − 1 degrees of freedom."""
    from scipy.stats import ttest_1samp, ttest_ind

    a, b = np.array([0.61, 0.66, 0.63, 0.58]), np.array([0.52, 0.51, 0.57, 0.55, 0.49])
    one = excerpts.over_seeds(a - b.mean())
    found, expected = excerpts.with_songs(one, b.var(ddof=1) / 5, 5), ttest_ind(a, b, equal_var=False)
    assert (found.p, found.df) == (pytest.approx(expected.pvalue), pytest.approx(expected.df))
    assert found.interval.low == pytest.approx(expected.confidence_interval().low)
    assert one.p == pytest.approx(ttest_1samp(a, b.mean()).pvalue)


def test_scores_of_songs_drawn_again_are_the_metrics() -> None:
    """Every song once: micro and macro F1, recall and precisions are those of scikit-learn on the excerpts."""
    from core import classmetrics

    found = excerpts.predicted(worlds.made(seeds=(1,)), "r0")
    once = np.ones((1, len(found.items)))
    assert excerpts.micro_f1(found, once)[0] == pytest.approx(classmetrics.micro_f1(found.truth, found.prediction))
    assert excerpts.macro_f1(found, once)[0] == pytest.approx(classmetrics.macro_f1(found.truth, found.prediction))
    recall = classmetrics.recall(found.truth[:, 3], found.prediction[:, 3])
    assert excerpts.recall_of("gac")(found, once)[0] == pytest.approx(recall)
    precise = [classmetrics.precision(found.truth[:, k], found.prediction[:, k]) > 0.6 for k in range(11)]
    assert 0 < np.mean(precise) < 1 and excerpts.precise_share(0.6)(found, once)[0] == pytest.approx(np.mean(precise))


def test_an_advantage_too_small_for_a_name_is_not_the_claim() -> None:
    small = arms.Gap(arms.Interval(0.01, 0.005, 0.015, 3), 0.001, 4)
    found = arms.by_gap(small, "It is", 0.02, pd.DataFrame())
    assert (
        found.verdict == NOT_REPRODUCED and found.sentence == "It is: 0.02 or more is excluded (it is more than none)."
    )
    assert arms.by_gap(small, "It is", 0.01, pd.DataFrame()).verdict == REPRODUCED


# ---- polyphonic evaluations ----


def test_polyphonic_music_is_judged_by_evaluations_with_thresholds_of_their_own() -> None:
    """What is said stands in the reports; the stored scores, all below .5 here, say nothing of it."""
    runs = worlds.made()
    low = replace(runs, predictions=lambda run: runs.predictions(run).assign(prediction=0.1))
    found = verdict("polyphonic", low)
    assert found.verdict == REPRODUCED and "micro F1 +0.2" in found.sentence and "macro F1 +0.2" in found.sentence
    assert "264 with several instruments" in found.sentence and "3 seeds and 132 songs" in found.sentence
    study, stage = studies.load("instrunet"), runs.only(stage="polyphonic")
    values = study.function("polyphonic_micro_f1")(stage)
    one = values.index[0]
    hits = np.array(runs.polyphonic(one)["items"]["said"]).mean() * 11 / 2  # type: ignore[index]
    assert values[one] == pytest.approx(2 * hits / (1 + hits))  # all that is said is there


def test_evaluations_that_lack_are_told_and_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from core import polyphonic

    runs, asked = worlds.made(), []
    stage = runs.only(stage="polyphonic").results["run"].tolist()
    some = replace(runs, polyphonic=lambda run: None if run in stage[1:] else runs.polyphonic(run))
    found = verdict("polyphonic", some)
    assert found.verdict == CANNOT_TELL
    lacking = "5 of 6 finished runs that are tested on polyphonic music have no polyphonic evaluation yet"
    assert lacking in found.sentence
    assert "6 of 6 finished runs" in verdict("polyphonic", replace(runs, polyphonic=lambda run: None)).sentence
    monkeypatch.setattr(polyphonic, "evaluate", lambda run, progress: (asked.append(run), progress(0.5, "at it")))
    told: list[tuple[float, str]] = []
    study = studies.load("instrunet")
    assert studies.incomplete(study, some) == f"{lacking}, by which a claim is judged."
    assert studies.incomplete(study, runs) == studies.incomplete(studies.load("implicit_em"), some) == ""
    assert studies.complete(study, some, lambda *words: told.append(words)) == 5 and asked == stage[1:]
    assert told[1] == (pytest.approx(0.3), "Run 2 of 5: at it")
    assert studies.complete(study, runs) == 0
    assert studies.complete(studies.load("implicit_em"), runs) == 0
