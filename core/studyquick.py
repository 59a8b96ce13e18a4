"""What the quick variant of a study cannot tell, known before it is run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from core import config, studyruns
from core.sweepfile import SweepFile

if TYPE_CHECKING:
    from core.studies import Claim, Study

SPEAKS_OF = ("epoch", "epochs")
"""The parameters by which a check names the epoch that its claim speaks of."""


def too_short(study: Study, claim: Claim) -> str:
    """Why the quick variant cannot tell this claim, in a sentence: it ends before the epoch that the claim speaks of.

    Empty where that is not known: then it may tell it, or its runs may be too few or too short all the same.
    """
    if not study.file.quick:
        return ""
    parameters = inspect.signature(study.function(claim.check)).parameters
    said = {name: claim.args.get(name, parameters[name].default) for name in SPEAKS_OF if name in parameters}
    asked = [value for value in said.values() if isinstance(value, int | float)]
    files = studyruns.variants(study, quick=True)
    trained = [epochs for stage in claim.needs for epochs in _epochs(files[stage])]
    if not asked or not trained or max(asked) <= max(trained):
        return ""
    return (
        f"The quick variant cannot tell it: it trains for {max(trained):g} epochs, and this speaks of epoch "
        f"{max(asked):g}. The full variant goes that far."
    )


def _epochs(file: SweepFile) -> list[float]:
    """How long the runs of a sweep train: its levels, its setting, or the default; nothing where there is no such
    knob."""
    from core.runner import load_trainer

    knobs = config.knobs(load_trainer(file.trainer).Config)
    levels = file.factors.get("epochs", ())
    if "epochs" not in knobs or not isinstance(levels, tuple):
        return []
    listed = [cell["epochs"] for cell in file.cells if "epochs" in cell]
    return [float(one) for one in (*levels, *listed)] or [float(file.settings.get("epochs", knobs["epochs"].default))]
