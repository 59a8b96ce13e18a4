"""Rated clips as a data set: what counts as a label, a version that stays, and a run that stands on another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trainers
from commands import scores
from core import ancestors, audio, checkpoints, datajobs, datasets, lineage, ratings, rundir, runner, supervisor, trash
from core.datasets import IRMAS_CLASSES, Missing, rated, splits
from core.events import FitData, Inputs, Part

RATE_HZ = 8000


def rate(cache: Path, n: int, rater: str = "Anna", **more: object) -> list[str]:
    """Rate n tones of 2 s, each 0.5 points more pleasant than the one before."""
    found = []
    for i in range(n):
        path = cache / f"tone-{i}.wav"
        sound = 0.3 * np.sin(2 * np.pi * 110 * (i + 1) * np.arange(2 * RATE_HZ) / RATE_HZ)
        path.write_bytes(audio.wav_bytes(sound.astype(np.float32), RATE_HZ))
        sha256 = audio.file_hash(path)
        ratings.keep_clip(path, sha256, f"Tone {i}", 2.0)
        take = {"id": f"take-{i}", "kind": "song", "times_s": [], "valence": [2 + 0.5 * i], "arousal": [8 - 0.5 * i]}
        ratings.put(sha256, rater, [take | more])
        found.append(sha256)
    return found


def test_nothing_rated_is_one_sentence(cache: Path) -> None:
    for name in ("rated", "rated:anna"):
        with pytest.raises(Missing, match="choose a clip on the page Rate"):
            datasets.load(name, "emotion")
    with pytest.raises(ValueError, match="no ratings 'anna@123'"):
        datasets.load("rated:anna@123", "emotion")
    with pytest.raises(ValueError):
        datasets.load("rated:../../x@1", "emotion")


def test_each_clip_is_an_item_with_the_raters_value(cache: Path) -> None:
    clips = rate(cache, 4)
    found = datasets.load("rated:anna", "emotion")
    assert sorted(clips) == found.items.tolist() == found.groups.tolist()
    order = [clips.index(item) for item in found.items]
    np.testing.assert_allclose(found.targets, [[2 + 0.5 * i, 8 - 0.5 * i] for i in order])
    assert [audio.file_hash(found.audio(i)) for i in range(4)] == found.items.tolist()
    assert "Anna" in found.about and "fewer than 30" in found.about
    part = found.rows("lib164", np.arange(4), 0.5, datasets.no_progress)
    assert part.inputs.shape == (16, 164) and len(set(part.items)) == 4


def test_a_trace_is_the_target_of_its_windows(cache: Path) -> None:
    times_s = [0.5, 1.0, 1.5]
    rate(cache, 1, kind="trace", times_s=times_s, valence=[3.0, 5.0, 8.0], arousal=[4.0] * 3)
    found = datasets.load("rated:anna", "emotion")
    assert found.targets[0] == pytest.approx([16 / 3, 4.0], abs=1e-3)
    part = found.rows("lib164", [0], 0.5, datasets.no_progress)
    # The window from 0 to 0.5 s holds no moment of the trace: the clip's own value stands there.
    assert part.targets[:, 0].tolist() == pytest.approx([16 / 3, 3.0, 5.0, 8.0], abs=1e-3)


def test_everyone_is_the_mean_and_each_rater_stays_apart(cache: Path) -> None:
    rate(cache, 3)
    clips = rate(cache, 2, "Bob", valence=[9.0], arousal=[1.0])
    ratings.set_instruments(clips[0], "Anna", ["pia"])
    ratings.set_instruments(clips[0], "Bob", ["pia", "voi"])
    ratings.set_instruments(clips[1], "Bob", [])
    everyone = datasets.load("rated", "emotion")
    values = dict(zip(everyone.items, everyone.targets.tolist(), strict=True))
    assert values[clips[0]] == [5.5, 4.5] and len(values) == 3
    assert sorted(everyone.raters["rater"]) == ["Anna"] * 3 + ["Bob"] * 2
    assert len(datasets.load("rated:bob", "emotion").items) == 2
    assert set(rated.choices()) == {"anna", "bob", "everyone"}
    heard = datasets.load("rated", "instruments")
    codes = {item: [IRMAS_CLASSES[k] for k in np.flatnonzero(row)] for item, row in zip(heard.items, heard.targets)}  # noqa: B905
    assert codes == {clips[0]: ["pia", "voi"], clips[1]: []}


def test_a_run_keeps_the_labels_it_was_given(cache: Path) -> None:
    clips = rate(cache, 4)
    name = datasets.settled("rated:anna")
    before = datasets.load(name, "emotion")
    take = {"id": "later", "kind": "song", "times_s": [], "valence": [9.0], "arousal": [9.0]}
    ratings.put(clips[0], "Anna", [take])
    after, newest = datasets.load(name, "emotion"), datasets.load("rated:anna", "emotion")
    np.testing.assert_array_equal(after.targets, before.targets)
    assert (after.version, after.name) == (before.version, name) and newest.version != before.version
    assert datasets.settled(name) == name and datasets.settled("rated").startswith("rated:everyone@")


def test_two_clips_are_too_few_and_said_so(cache: Path) -> None:
    rate(cache, 2)
    assert "rate 1 more" in datasets.load("rated:anna", "emotion").about
    with pytest.raises(ValueError, match="at least 3 groups"):
        supervisor.new_spec(trainers.load("ridge"), {}, data="rated:anna", split="grouped:0", device="cpu")


# ---- a run on top of another ----


def line(cache: Path, name: str = "line", data: str = "toy", split: str = "grouped:0") -> str:
    """The id of a run whose model says 5 plus the first two columns of lib164."""
    weights = np.zeros((164, 2))
    weights[0, 0] = weights[1, 1] = 1.0
    model = {"weights": weights, "bias": np.full(2, 5.0), "mean": np.zeros(164), "sd": np.ones(164)}
    model |= {"input": "lib164", "columns": [], "labels": ["valence", "arousal"], "unit": "1–9"}
    spec = rundir.Spec(name, "ridge", {}, data, "emotion", split, 0, "cpu")
    folder = rundir.create(spec, "done")
    saved = {"model": model, "input": "lib164", "window_s": 0.5}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return name


def fitted(base: str, targets: np.ndarray, z: np.ndarray, **values: object) -> tuple[dict, str]:
    module = trainers.load("personal")
    inputs = np.zeros((len(z), 164), np.float32)
    inputs[:, :2] = z
    items = np.array([f"clip-{i:02d}" for i in range(len(z))])
    part = Part(inputs, targets, items, items, np.zeros(len(z)))
    data = FitData(part, part, "emotion", ("valence", "arousal"), "1–9", "lib164", (), 0.5)
    settings = module.Config(base=base, **values)
    *_, done = module.fit(data, settings, generator=np.random.default_rng(0))
    said = module.predict(done.model, Inputs("lib164", inputs, np.zeros(len(z))))
    return {"said": said.values, "base": 5 + z}, done.reason


def test_a_listener_who_hears_everything_two_points_calmer_is_learned(cache: Path) -> None:
    z = np.random.default_rng(1).uniform(-2, 2, (20, 2))
    found, reason = fitted(line(cache), 5 + z - [0.0, 1.5], z)
    error = np.abs(found["said"] - (5 + z - [0.0, 1.5])).max()
    assert error < 0.05 and "pull 0.1 clips" in reason


def test_ratings_without_a_pattern_leave_the_run_as_it_is(cache: Path) -> None:
    z = np.repeat(np.random.default_rng(3).uniform(-1, 1, (5, 2)), 2, axis=0)
    found, reason = fitted(line(cache), 5 + z + np.tile([[1.0, -1.0], [-1.0, 1.0]], (5, 1)), z)  # each twice, opposed
    np.testing.assert_allclose(found["said"], found["base"], atol=1e-6)
    assert reason.startswith("nothing learned")


def test_one_clip_teaches_nothing_unless_it_is_asked_for(cache: Path) -> None:
    z = np.array([[1.0, 1.0]])
    found, _ = fitted(line(cache), 5 + z + 2, z)
    np.testing.assert_allclose(found["said"], found["base"], atol=1e-6)
    found, _ = fitted("line", 5 + z + 2, z, pull=1.0)
    np.testing.assert_allclose(found["said"], found["base"] + 1.0, atol=1e-6)  # 2 × 1 / (1 + 1)


def test_a_run_on_top_of_another_names_it_and_needs_it_no_more(cache: Path) -> None:
    rate(cache, 6)
    base = line(cache)
    spec = supervisor.new_spec(
        trainers.load("personal"), {"base": "li"}, data="rated:anna", split="grouped:0", device="cpu"
    )
    assert spec.inputs == {"base": base} and spec.config["base"] == base
    assert spec.data == datasets.settled("rated:anna")
    folder = rundir.create(spec)
    assert runner.main(folder) == 0, rundir.read_status(folder).reason
    (cache / "runs" / base).rename(cache / "gone")
    from core import listening

    heard = listening.listen(audio.decode(cache / "tone-0.wav"), listening.load(spec.id), window_s=0.5)
    assert np.isfinite(heard.prediction.values).all()


@pytest.mark.parametrize(
    "base, says", [("", "base needs a run"), ("nothing", "no run"), ("toys", "learned instruments from logmel")]
)
def test_a_base_that_cannot_be_one_is_refused(cache: Path, base: str, says: str) -> None:
    rate(cache, 4)
    folder = rundir.create(rundir.Spec("toys", "instrunet", {}, "toy", "instruments", "grouped:0", 0, "cpu"), "done")
    saved = {"model": {"x": np.zeros(1)}, "input": "logmel", "window_s": 3.0}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    with pytest.raises(ValueError, match=says):
        supervisor.new_spec(trainers.load("personal"), {"base": base}, data="rated:anna", device="cpu")


def test_a_base_that_learned_from_the_judging_clips_is_refused(cache: Path) -> None:
    rate(cache, 9)
    found = datasets.load("rated:anna", "emotion")
    same, other = line(cache, "same", "rated:anna", "grouped:0"), line(cache, "other", "rated:anna", "grouped:1")
    assignment = splits.assign(found, "grouped:0")
    lineage.refuse_leaks({"base": same}, found, assignment)
    with pytest.raises(ValueError, match="would be a leak"):
        lineage.refuse_leaks({"base": other}, found, assignment)
    spec = rundir.Spec("child", "personal", {}, "toy", "emotion", "grouped:0", 0, "cpu", inputs={"base": other})
    rundir.create(spec, "done")
    with pytest.raises(ValueError, match="Run other learned from"):  # told of the grandparent as well
        lineage.refuse_leaks({"base": "child"}, found, assignment)


def heir(base: str) -> rundir.Spec:
    """A finished run on toy data that stands on `base`."""
    spec = rundir.Spec("heir", "toy", {}, "toy", "emotion", "grouped:0", 0, "cpu", inputs={"base": base})
    folder = rundir.create(spec, "done")
    saved = {"model": {"x": np.zeros(1)}, "input": "toy12", "window_s": 0.0}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return spec


@pytest.mark.parametrize("place", ["runs", "trash", "gone"])
def test_a_score_is_refused_where_a_run_behind_it_learned_from_the_clips(cache: Path, place: str) -> None:
    """Deleting that run does not lift the check; where it is gone for good nobody can know."""
    rate(cache, 9)
    spec = heir(line(cache, "other", "rated:anna", "grouped:1"))
    if place != "runs":
        trash.delete(rundir.find("other"))
    if place == "gone":
        trash.empty()
    says = "Run heir stands on run other, which is gone" if place == "gone" else "Run other learned from .* be a leak"
    with pytest.raises(ValueError, match=says):
        scores.evaluate(spec.id, "rated:anna", "grouped:0")
    with pytest.raises(ValueError, match=says):
        lineage.refuse_leaks({"base": spec.id}, datasets.load("rated:anna", "emotion"), np.array(["test"] * 9))


def test_a_run_whose_parent_is_gone_is_still_known(cache: Path) -> None:
    """A branch keeps data, split and inputs of its parent: nothing more was learned from."""
    spec = rundir.Spec("twig", "toy", {}, "toy", "emotion", "grouped:0", 0, "cpu", parent="gone")
    rundir.create(spec, "done")
    assert [one.id for one in ancestors.of("twig")] == ["twig"]


def test_a_name_that_only_begins_like_an_ancestor_is_none(cache: Path) -> None:
    heir("other")
    rundir.create(replace(learned(), id="other-copy"), "done")
    with pytest.raises(ValueError, match="stands on run other, which is gone"):
        list(ancestors.of("heir"))


def learned() -> rundir.Spec:
    return rundir.Spec("learned", "toy", {}, "toy", "emotion", "grouped:0", 0, "cpu")


def test_a_check_stays_that_of_its_ratings_while_they_go_on(cache: Path) -> None:
    rate(cache, 3)
    about = ("emotion", "grouped:0")
    datajobs.write_job("rated:anna", *about, datajobs.Job("starting", 0.1, "Starting …"))
    rate(cache, 4)  # another clip, while the check is at work
    job = datajobs.read_job("rated:anna", *about)
    assert job is not None and job.is_active
    assert not (ratings.folder() / "frozen").exists()  # to look has frozen nothing
    of_child = datajobs.read_job(datasets.settled("rated:anna"), *about)
    assert of_child == job  # the process that checks knows the ratings by their version
    assert datajobs.read_job("rated", *about) is None
