"""Whether arousal follows the music: songs of `cues` that change in the middle, heard by the shipped trees.

    python benchmarks/moving.py        # renders `cues` on an empty cache, which takes long

Only test songs of the run's own split. A song counts as followed where the mean prediction 2–5 s after its change lies
on the right side of the mean 1–6 s before it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from core import audio, datasets, listening
from core.datasets import splits

RUN = "starter-cues-trees-0"


def main() -> None:
    """Listen to every changing test song and print how many are followed, by the size of the change."""
    dataset, model = datasets.load("cues", "emotion"), listening.load(RUN)
    is_test = splits.assign(dataset, "grouped:0") == "test"
    changes, answers = [], []
    for number in np.flatnonzero(is_test):
        if str(dataset.items[number]) not in dataset.traces:
            continue
        times_s, values = dataset.traces[str(dataset.items[number])]
        arousal = values[:, dataset.labels.index("arousal")]
        after = int(np.argmax(np.abs(np.diff(arousal)))) + 1
        if not 6 <= times_s[after] <= times_s[-1] - 5:
            continue  # its cues change, its arousal does not
        heard = listening.listen(audio.decode(dataset.audio(int(number))), model).prediction
        said, since_s = heard.values[:, heard.labels.index("arousal")], heard.times_s - times_s[after]
        changes.append(arousal[after] - arousal[after - 1])
        answers.append(said[(since_s > 2) & (since_s <= 5)].mean() - said[(since_s > -6) & (since_s < -1)].mean())
    change, is_right = np.array(changes), np.sign(changes) == np.sign(answers)
    for least in (0.0, 0.5, 1.0):
        of_size = np.abs(change) > least
        print(f"change of more than {least:g} points: {is_right[of_size].sum()} of {of_size.sum()} songs followed")


if __name__ == "__main__":
    main()
