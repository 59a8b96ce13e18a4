"""A planted line: 240 items with 12 columns, made on the spot, for trying out the lab and for its tests.

Valence and arousal are linear in the columns plus noise, so the best possible R² is known: 0.8. Three items share a
group and a common offset, so that groups matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.datasets import EMOTION_LABELS, Dataset, Progress
from core.events import Part

TASKS = ("emotion",)
INPUTS_MADE_HERE = {"emotion": ("toy12",)}
N_ITEMS, N_COLUMNS, ITEMS_PER_GROUP, BEST_R2 = 240, 12, 3, 0.8
COUNTS = {"emotion": (N_ITEMS, N_ITEMS // ITEMS_PER_GROUP)}
SIZE, LICENCE = "made here, on the spot", "CC0"


def load(task: str, progress: Progress) -> Dataset:
    """The same 240 items every time."""
    random = np.random.default_rng(20_260_101)
    groups = np.repeat(np.arange(N_ITEMS // ITEMS_PER_GROUP), ITEMS_PER_GROUP)
    columns = random.standard_normal((N_ITEMS, N_COLUMNS)) + random.standard_normal((N_ITEMS, N_COLUMNS))[groups]
    signal = columns @ random.standard_normal((N_COLUMNS, 2))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    noise = random.standard_normal((N_ITEMS, 2)) * np.sqrt(1 / BEST_R2 - 1)
    targets = np.clip(5 + 1.2 * np.sqrt(BEST_R2) * (signal + noise), 1, 9)
    items = np.array([f"toy-{number:03d}" for number in range(N_ITEMS)])
    names = np.array([f"group-{number:02d}" for number in groups])

    def rows(input: str, indices: Sequence[int] | np.ndarray, window_s: float, progress: Progress) -> Part:
        chosen = np.asarray(indices)
        assert input == "toy12", input
        values = columns[chosen].astype(np.float32)
        return Part(values, targets[chosen], items[chosen], names[chosen], np.zeros(len(chosen)))

    return Dataset(
        name="toy",
        version="1",
        task=task,
        labels=EMOTION_LABELS,
        unit="1–9",
        items=items,
        groups=names,
        targets=targets,
        inputs=INPUTS_MADE_HERE[task],
        rows=rows,
        licence=LICENCE,
        citation="Made by Earshot",
        about="A planted line in 12 columns, no music: for trying out the lab. The best possible R² is 0.8.",
        ceiling={"r2_valence": BEST_R2, "r2_arousal": BEST_R2},
        columns={"toy12": tuple(f"column_{number}" for number in range(N_COLUMNS))},
    )
