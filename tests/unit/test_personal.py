"""Leaving one clip out at a time: the pull that is chosen is the one that plain least squares, clip by clip, finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trainers
from core.events import FitData, Part
from tests.unit.test_rated import line

SLICES = (1, 5, 2, 4, 1, 3, 2)
"""Slices of each clip: however many, a clip counts once."""


def ridge(design: np.ndarray, rest: np.ndarray, weights: np.ndarray, pull: float) -> np.ndarray:
    """Ridge as ordinary least squares on rows that are added for the penalty (Hoerl & Kennard)."""
    size = design.shape[1]
    rows = np.vstack([np.sqrt(weights)[:, None] * design, np.sqrt(pull) * np.eye(size)])
    aims = np.vstack([np.sqrt(weights)[:, None] * rest, np.zeros((size, rest.shape[1]))])
    return np.linalg.lstsq(rows, aims, rcond=None)[0]


@pytest.mark.parametrize("seed", range(6))
def test_the_pull_is_that_of_plain_leaving_out(cache: Path, seed: int) -> None:
    module = trainers.load("personal")
    random = np.random.default_rng(seed)
    groups = np.repeat([f"clip-{i}" for i in range(len(SLICES))], SLICES)
    z = random.uniform(-2, 2, (len(groups), 2))
    heard = 5 + z + 0.6 * z[:, ::-1] + random.normal(0, 0.2 + 0.4 * seed, (len(groups), 2))
    inputs = np.zeros((len(groups), 164), np.float32)
    inputs[:, :2] = z
    part = Part(inputs, heard, np.array([f"{i}" for i in range(len(groups))]), groups, np.zeros(len(groups)))
    data = FitData(part, part, "emotion", ("valence", "arousal"), "1–9", "lib164", (), 0.5)
    *_, done = module.fit(data, module.Config(base=line(cache)), generator=np.random.default_rng(0))

    weights = np.array([1 / SLICES[int(name[-1])] for name in groups])
    said = 5 + inputs[:, :2].astype(float)
    centre = np.average(said, axis=0, weights=weights)
    spread = np.sqrt(np.average((said - centre) ** 2, axis=0, weights=weights))
    design = np.column_stack([np.ones(len(said)), (said - centre) / spread])
    errors = {}
    for pull in module.PULLS:
        errors[pull] = 0.0
        for clip in set(groups):
            out = groups == clip
            found = (
                np.zeros((3, 2)) if np.isinf(pull) else ridge(design[~out], (heard - said)[~out], weights[~out], pull)
            )
            errors[pull] += np.mean(((heard - said)[out] - design[out] @ found) ** 2, axis=0).sum()
    best = min(errors, key=lambda pull: errors[pull])
    assert ("nothing learned" if np.isinf(best) else f"pull {best:g} clips, chosen") in done.reason
