"""Checks of the claims about InstruNet's regularisation (studies/instrunet.toml names them).

What is compared, and how, is in `_instrunet_arms.py`; claims about scores are in `_instrunet_scores.py`, about
training in `_instrunet_curves.py`, and those that need the predictions of single excerpts in
`_instrunet_predictions.py`; how far scores move with other songs, in `_instrunet_items.py`. `complete` makes what the
claims need beside the runs, `incomplete` says what of it is lacking.
"""

from __future__ import annotations

from studies._instrunet_curves import (
    batch_norm_removes_the_plateau,
    gap_shrinks,
    loss_is_steadier,
    stops_later,
)
from studies._instrunet_predictions import (
    complete as complete,  # no check, and so not listed below
)
from studies._instrunet_predictions import (
    incomplete as incomplete,  # nor is this
)
from studies._instrunet_predictions import (
    one_is_taken_for,
    polyphonic_macro_f1,
    polyphonic_micro_f1,
    random_files_flatter,
    wins_on_polyphonic_music,
)
from studies._instrunet_scores import (
    batch_norm_did_most,
    head_beats_blocks,
    precision_is_above,
    recalls_rise,
)

__all__ = [
    "batch_norm_did_most",
    "batch_norm_removes_the_plateau",
    "gap_shrinks",
    "head_beats_blocks",
    "loss_is_steadier",
    "one_is_taken_for",
    "polyphonic_macro_f1",
    "polyphonic_micro_f1",
    "precision_is_above",
    "random_files_flatter",
    "recalls_rise",
    "stops_later",
    "wins_on_polyphonic_music",
]
