"""Odd labels, odd raters: what was planted is found, and against fitting n times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import datasets, labelcheck


def test_leaving_one_out_is_what_fitting_without_it_gives() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 5))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = x @ random.standard_normal((5, 2)) + 0.3 * random.standard_normal((40, 2))
    y -= y.mean(axis=0)
    fast = labelcheck.leave_one_out(x, y)

    def slow(strength: float) -> np.ndarray:
        rows = []
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            a = np.column_stack([np.ones(rest.sum()), x[rest]])
            penalty = strength * np.diag([0.0, *np.ones(5)])  # the mean is not shrunk
            weights = np.linalg.solve(a.T @ a + penalty, a.T @ y[rest])
            rows.append(y[i] - np.concatenate([[1.0], x[i]]) @ weights)
        return np.array(rows)

    errors = {strength: slow(strength) for strength in labelcheck.RIDGE_STRENGTHS}
    best = min(errors, key=lambda strength: float((errors[strength] ** 2).sum()))
    np.testing.assert_allclose(fast, errors[best], atol=1e-8)


def test_the_robust_z_of_normal_values_is_their_z() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 100_000)
    np.testing.assert_allclose(labelcheck.robust_z(values), (values - 3) / 2, atol=0.05)


def test_a_label_that_was_exchanged_is_the_farthest() -> None:
    data = datasets.load("toy")
    features = data.rows("toy12", np.arange(len(data.items)), 0.0, datasets.no_progress).inputs
    assert labelcheck.far_labels(features, data.targets) == []
    targets = data.targets.copy()
    targets[17, 1] = 9.0 if targets[17, 1] < 5 else 1.0
    targets[17, 1] += 3 * np.sign(targets[17, 1] - 5)
    (found,) = labelcheck.far_labels(features, targets)
    assert found[:2] == (17, 1) and abs(found[2]) > labelcheck.FAR
    assert labelcheck.far_labels(features[:20], targets[:20]) == []  # too few to say


def test_a_recording_among_another_class_is_named() -> None:
    random = np.random.default_rng(2)
    profiles = np.concatenate([random.normal(0, 1, (50, 8)), random.normal(20, 1, (50, 8))])
    targets = np.repeat(np.eye(2), 50, axis=0)
    targets[3] = [0, 1]
    groups = np.arange(100).astype(str)
    assert labelcheck.odd_classes(profiles, targets, groups) == [(3, 0, 10)]
    assert labelcheck.odd_classes(profiles, targets, np.where(np.arange(100) < 50, "one", groups)) == []


def test_the_rater_who_read_the_scale_upside_down_is_the_farthest() -> None:
    random = np.random.default_rng(3)
    truth = random.uniform(2, 8, 60)
    rows = []
    for rater in range(12):
        ratings = np.clip(truth + random.normal(0, 0.5, 60), 1, 9)
        ratings = 10 - ratings if rater == 5 else ratings
        rows += [(f"s{song}", f"r{rater}", rating, rating) for song, rating in enumerate(ratings)]
    table = pd.DataFrame(rows, columns=["item", "rater", "valence", "arousal"])
    found = labelcheck.rater_distances(table, ("valence", "arousal"))
    assert len(found) == 12 and found["rater"].iloc[0] == "r5" and found["agreement"].iloc[0] < -0.9
    assert (found["z"] > labelcheck.FAR).tolist() == [True] + [False] * 11
    # the distance is the root mean square from the mean of the eleven others
    wide = table.pivot(index="item", columns="rater", values="valence")
    expected = np.sqrt(((wide["r0"] - wide.drop(columns="r0").mean(axis=1)) ** 2).mean())
    assert found.set_index("rater").loc["r0", "distance"] == pytest.approx(expected)


def test_classes_and_corners_that_are_hardly_there() -> None:
    data = datasets.load("cues-small", "instruments")
    lone = np.zeros_like(data.targets)
    lone[:, 0] = 1
    lone[0] = np.eye(len(data.labels))[1]
    kinds = [finding.kind for finding in labelcheck.group_findings(replace(data, targets=lone))]
    assert kinds.count("absent class") == len(data.labels) - 2 and kinds.count("imbalance") == 1
    emotion = datasets.load("toy")
    corner = replace(emotion, targets=np.full_like(emotion.targets, 7.0))
    assert [f.kind for f in labelcheck.group_findings(corner)].count("imbalance") == 3
    assert [f.kind for f in labelcheck.group_findings(emotion)].count("imbalance") == 0
