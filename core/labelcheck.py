"""Labels that look wrong: far from what the sound (or the features) of the rest would say, or from other raters; and
classes, groups and corners of the plane that are hardly there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.datasets import INSTRUMENT_NAMES, Dataset
from core.findings import Finding

FEWEST_ITEMS = 60
FEWEST_RATINGS = 10
IMBALANCE, THIN_QUADRANT = 10.0, 0.05
RIDGE_STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
FAR = 5.0
"""Robust standard deviations; with normal residuals one of 1.7 million labels lies beyond."""
NEIGHBOURS, AGREEING = 10, 9


def leave_one_out(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Residuals [n, labels] of ridge regression, each item predicted by all others; features [n, columns].

    Exact without fitting n times: the residual divided by one minus the leverage (Allen 1974, Technometrics 16(1),
    125–127). The strength is the one with the smallest squared sum of these residuals.
    """
    x = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
    y = targets - targets.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    best = np.zeros_like(y)
    least = np.inf
    for strength in RIDGE_STRENGTHS:
        weights = s**2 / (s**2 + strength)
        fitted = u @ (weights[:, None] * (u.T @ y))
        leverage = (u**2) @ weights + 1 / len(x)  # 1/n is the mean's own share
        residuals = (y - fitted) / np.maximum(1 - leverage, 1e-6)[:, None]
        if (total := float((residuals**2).sum())) < least:
            best, least = residuals, total
    return best


def robust_z(values: np.ndarray) -> np.ndarray:
    """Distance from the median in robust standard deviations (1.4826 × median absolute deviation), along axis 0."""
    centred = values - np.median(values, axis=0)
    return centred / np.maximum(1.4826 * np.median(np.abs(centred), axis=0), 1e-9)


def far_labels(features: np.ndarray, targets: np.ndarray) -> list[tuple[int, int, float, float]]:
    """(item, label, z, residual) of labels beyond `FAR`, the farthest first; none below sixty items."""
    if len(features) < max(FEWEST_ITEMS, 2 * 10) or not np.isfinite(features).all():
        return []
    residuals = leave_one_out(features.astype(float), targets)
    z = robust_z(residuals)
    found = [(int(i), int(k), float(z[i, k]), float(residuals[i, k])) for i, k in np.argwhere(np.abs(z) > FAR)]
    return sorted(found, key=lambda one: -abs(one[2]))


def odd_classes(profiles: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> list[tuple[int, int, int]]:
    """(item, class, count): at least nine of an item's ten nearest recordings of other groups have a class that it
    has not, and none of them has its own, though there are ten that could. profiles [n, bands] in dB, targets [n,
    classes] of 0 and 1."""
    if len(profiles) < FEWEST_ITEMS:
        return []
    present, found = targets > 0, []
    for i in range(len(profiles)):
        distances = ((profiles - profiles[i]) ** 2).sum(axis=1)
        distances[groups == groups[i]] = np.inf
        alike = (present & present[i]).any(axis=1)
        if (np.isfinite(distances) & alike).sum() < NEIGHBOURS:  # a class of one group has no neighbours of its own
            continue
        near = np.argpartition(distances, NEIGHBOURS - 1)[:NEIGHBOURS]
        counts = present[near].sum(axis=0)
        if counts[present[i]].sum() == 0 and counts.max() >= AGREEING:
            found.append((i, int(counts.argmax()), int(counts.max())))
    return found


def rater_distances(raters: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """One row per rater with at least ten ratings: rater, ratings, distance (root mean square from the mean of the
    others on the same item, in label units), agreement (correlation with that mean, over labels), z of the distance.

    Items with fewer than three other raters are left out. Sorted by distance, the farthest first.
    """
    columns = ["rater", "ratings", "distance", "agreement", "z"]
    table = raters.dropna(subset=list(labels))
    of_item = table.groupby("item")[list(labels)]
    k = of_item.transform("size").to_numpy()
    values = table[list(labels)].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = (of_item.transform("sum").to_numpy(dtype=float) - values) / (k - 1)[:, None]
    rows = []
    usable = k > 3
    for rater, index in table.assign(row=np.arange(len(table)))[usable].groupby("rater")["row"]:
        mine, rest = values[index], others[index]
        if len(mine) < FEWEST_RATINGS:
            continue
        agreements = [
            np.corrcoef(mine[:, c], rest[:, c])[0, 1]
            for c in range(len(labels))
            if np.ptp(mine[:, c]) > 0 and np.ptp(rest[:, c]) > 0
        ]
        rows.append(
            (str(rater), len(mine), float(np.sqrt(((mine - rest) ** 2).mean())),
             float(np.mean(agreements)) if agreements else float("nan"), 0.0)
        )  # fmt: skip
    found = pd.DataFrame(rows, columns=columns)
    if len(found) > 2:
        found["z"] = robust_z(found["distance"].to_numpy())
    return found.sort_values("distance", ascending=False, ignore_index=True)


def label_findings(dataset: Dataset, features: tuple[np.ndarray, np.ndarray] | None, is_sound: bool) -> list[Finding]:
    """Labels that the rest of the data speaks against, and raters far from the others."""
    found = []
    if features is not None and dataset.task == "emotion":
        which, values = features
        for i, k, z, residual in far_labels(values, dataset.targets[which]):
            label, given = dataset.labels[k], dataset.targets[which[i], k]
            what = f"Its {label} is {given:.3g}; all other items together would say {given - residual:.3g}."
            found.append(
                Finding(
                    "odd label",
                    str(dataset.items[which[i]]),
                    "warning",
                    what,
                    float(f"{z:.3g}"),
                    "robust z",
                    "Listen to it and look up its label.",
                )
            )
    if features is not None and dataset.task == "instruments" and is_sound:
        which, values = features
        for i, k, count in odd_classes(values[:, :-1], dataset.targets[which], dataset.groups[which]):
            name = INSTRUMENT_NAMES.get(dataset.labels[k], dataset.labels[k])
            what = f"{count} of the {NEIGHBOURS} recordings nearest in spectrum are {name}, none has its label."
            found.append(
                Finding(
                    "odd label",
                    str(dataset.items[which[i]]),
                    "note",
                    what,
                    count,
                    "neighbours",
                    "Listen to it and look up its label.",
                )
            )
    if dataset.raters is not None:
        found += _rater_findings(dataset)
    return found


def _rater_findings(dataset: Dataset) -> list[Finding]:
    assert dataset.raters is not None
    found = []
    remedy = "Compare the ceiling without this rater; leave the ratings out only by a rule fixed beforehand."
    for row in rater_distances(dataset.raters, dataset.labels).to_dict("records"):
        who = f"rater {row['rater']}"
        if row["z"] > FAR:
            what = f"{row['ratings']} ratings lie {row['distance']:.3g} from the other raters' mean ({dataset.unit})."
            found.append(Finding("far rater", who, "warning", what, float(f"{row['z']:.3g}"), "robust z", remedy))
        elif row["ratings"] >= 20 and row["agreement"] < 0:
            what = f"{row['ratings']} ratings run against those of the other raters."
            found.append(
                Finding(
                    "far rater",
                    who,
                    "warning",
                    what,
                    float(f"{row['agreement']:.2g}"),
                    "correlation",
                    "Perhaps the scale was read upside down. " + remedy,
                )
            )
    return found


def group_findings(dataset: Dataset) -> list[Finding]:
    """Groups of one item, items without groups, and classes or corners of the plane that are hardly there."""
    found = []
    _, sizes = np.unique(dataset.groups, return_counts=True)
    alone = int((sizes == 1).sum())
    if not dataset.has_groups and len(dataset.items):
        found.append(
            Finding(
                "no groups",
                "",
                "note",
                "No item names a group: two cuts of one song can lie on two sides.",
                alone,
                "items",
                "Add a column group (song, recording, player) where you know it.",
            )
        )
    elif alone and alone < len(sizes):
        found.append(
            Finding(
                "group of one",
                "",
                "note",
                f"{alone} of {len(sizes)} groups hold one item.",
                alone,
                "groups",
                "Make sure that these are not takes of one recording under different names.",
            )
        )
    return found + (_quadrant_findings(dataset) if dataset.task == "emotion" else _class_findings(dataset))


def _class_findings(dataset: Dataset) -> list[Finding]:
    counts = (dataset.targets > 0).sum(axis=0)
    names = [INSTRUMENT_NAMES.get(label, label) for label in dataset.labels]
    found = [
        Finding(
            "absent class",
            "",
            "note",
            f"No item has the class {name}.",
            0,
            "items",
            "A model trained on this never says it; find some, or say so beside its scores.",
        )
        for name, count in zip(names, counts, strict=True)
        if not count
    ]
    there = counts[counts > 0]
    if len(there) > 1 and there.max() > IMBALANCE * there.min():
        most, least = names[int(counts.argmax())], names[int(np.where(counts > 0, counts, counts.max() + 1).argmin())]
        what = f"{most} has {there.max():,} items, {least} {there.min():,}."
        found.append(
            Finding(
                "imbalance",
                "",
                "warning",
                what,
                float(f"{there.max() / there.min():.3g}"),
                "times",
                "Read macro F1, not accuracy; weight the classes, or collect more.",
            )
        )
    return found


def _quadrant_findings(dataset: Dataset) -> list[Finding]:
    if len(dataset.items) < 20 or dataset.targets.shape[1] != 2:
        return []
    high = dataset.targets > 5.0
    found = []
    for valence in (False, True):
        for arousal in (False, True):
            share = float(((high[:, 0] == valence) & (high[:, 1] == arousal)).mean())
            if share < THIN_QUADRANT:
                corner = f"{'high' if valence else 'low'} valence with {'high' if arousal else 'low'} arousal"
                found.append(
                    Finding(
                        "imbalance",
                        "",
                        "note",
                        f"Hardly any item has {corner}.",
                        float(f"{100 * share:.3g}"),
                        "% of items",
                        "Expect predictions there to lean to the middle.",
                    )
                )
    return found
