"""What became of a study's claims, counted: the published ones, and beside them the lab's own explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core import wording
from core.verdicts import ARTEFACT, CANNOT_TELL, CHECK_FAILED, NOT_REPRODUCED, REPRODUCED, VERDICTS

if TYPE_CHECKING:
    from core.studies import Judged

PLURALS = {ARTEFACT: "artefacts", CHECK_FAILED: "checks failed"}
OF_OURS = {
    REPRODUCED: ("holds", "hold"),
    NOT_REPRODUCED: ("does not", "do not"),
    ARTEFACT: ("is an artefact", "are artefacts"),
    CANNOT_TELL: ("cannot be told", "cannot be told"),
    CHECK_FAILED: ("has a check that failed", "have a check that failed"),
}
"""What is said of one explanation and of several, by verdict: nobody claimed them, so nothing is reproduced."""


def counts(results: Sequence[Judged], whose: str = "published") -> dict[str, int]:
    """How many claims of the publication (or of "ours") have each verdict, or a check that failed; those that none
    has are left out."""
    seen = Counter(verdict.word for claim, verdict in results if claim.whose == whose)
    return {name: seen[name] for name in (*VERDICTS, CHECK_FAILED) if seen[name]}


def published(results: Sequence[Judged]) -> str:
    """ "9 published claims: 2 reproduced, 3 not reproduced and 4 cannot be told."; empty where there is none."""
    told = counts(results)
    total = sum(told.values())
    if not total:
        return ""
    parts = [f"{n} {PLURALS.get(word, word) if n != 1 else word}" for word, n in told.items()]
    return f"{total} published claim{'s' * (total != 1)}: {wording.list_text(parts)}."


def ours(results: Sequence[Judged]) -> str:
    """ "Of our 7 explanations 5 hold, 1 does not and 1 cannot be told."; empty where there is none."""
    told = counts(results, "ours")
    total = sum(told.values())
    if not total:
        return ""
    if total == 1:
        word = "does not hold" if NOT_REPRODUCED in told else OF_OURS[next(iter(told))][0]
        return f"Our own explanation {word}."
    parts = [f"{n} {OF_OURS[word][n != 1]}" for word, n in told.items()]
    return f"Of our {total} explanations {wording.list_text(parts)}."
