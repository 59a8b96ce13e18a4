"""Runs that are inputs of other runs: which they are, and that none of them saw what the new run is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np

from core import agreement, ancestors, checkpoints, config, datasets, evaluation, rundir
from core.datasets import Dataset, splits


def inputs_of(config_class: type, settings: Any) -> dict[str, str]:
    """Knob → full id of the run it names, for all knobs of kind `run` that name one.

    Raises ValueError where a run that is needed is not named, there is no such run, or it has nothing to predict with.
    """
    found = {}
    for name, about in config.knobs(config_class).items():
        run = getattr(settings, name) if about.kind == "run" else None
        if about.kind == "run" and not run and not about.optional:
            raise ValueError(f"{name} needs a run: {about.sentence} Give the id of one.")
        if run:
            folder = rundir.find(run)
            try:
                evaluation.load_model(folder)
            except checkpoints.Damaged as error:
                raise ValueError(f"Run {folder.name} cannot be {name}: {error}") from None
            found[name] = folder.name
    return found


def refuse_leaks(inputs: dict[str, str], dataset: Dataset, assignment: np.ndarray) -> None:
    """ValueError where one of these runs, or a run behind it, learned from a validation or test item of this split."""
    judged = np.where(assignment == "validation", "test", assignment)
    for run in inputs.values():
        refuse_leak(run, dataset, judged)


def refuse_leak(run: str, dataset: Dataset, assignment: np.ndarray) -> None:
    """ValueError where this run (full id), or a run behind it, learned from the test part, or nobody can know."""
    for spec in ancestors.of(run):
        if evaluation.may_share_items(spec.data, dataset.name):  # data it cannot have learned from need not be here
            evaluation.refuse_leak(spec, datasets.load(spec.data, spec.task), dataset, assignment)
        _refuse_known_songs(spec, dataset, assignment)


def _refuse_known_songs(spec: rundir.Spec, dataset: Dataset, judged: np.ndarray) -> None:
    """The same for rated clips that are songs of DEAM, which have another name there: told by their bytes."""
    if dataset.audio is None or not dataset.name.startswith("rated") or not spec.data.startswith("deam"):
        return
    known = [agreement.known_labels(dataset.audio(int(i))) for i in np.flatnonzero(judged == "test")]
    songs = {one.item for one in known if one is not None and one.source == "deam-audio"}
    if not songs:
        return
    trained = datasets.load(spec.data, spec.task)
    learned = songs & set(trained.items[splits.assign(trained, spec.split) == "train"])
    if learned:
        raise ValueError(
            f"Run {spec.id} learned from {len(learned)} of the clips that would judge this run (song "
            f"{sorted(learned)[0]} of DEAM); choose another split, or a run that did not learn from them."
        )
