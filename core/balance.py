"""Weights that let a class of few items count as much as one of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_weights(targets: np.ndarray, labels: Sequence[str], part: str = "training part") -> np.ndarray:
    """Weight of each class, N / (classes · n_c): targets [n, classes] of 0 and 1; weights [classes], 1 where balanced.

    With one class an item, the weights of all items sum to n. This is scikit-learn's "balanced" (King & Zeng 2001,
    Logistic regression in rare events data, Political Analysis 9(2)). Raises ValueError for a class without any item,
    which no weight can make heard.
    """
    assert targets.shape[1] == len(labels), (targets.shape, len(labels))
    counts = (targets > 0).sum(axis=0)
    absent = [str(label) for label, count in zip(labels, counts, strict=True) if count == 0]
    if absent:
        raise ValueError(
            f"The {part} has no item of {', '.join(absent)}, so no weight can balance it; choose another split, "
            "add such items, or train without class weights."
        )
    return len(targets) / (len(labels) * counts)
