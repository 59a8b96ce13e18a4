"""Counts of verdicts: the published claims by themselves, the lab's own explanations beside them."""

from __future__ import annotations

import pytest

from core import studytally
from core.studies import Claim, Judged
from core.verdicts import ARTEFACT, CANNOT_TELL, CHECK_FAILED, NOT_REPRODUCED, REPRODUCED, Verdict, failed


def results(whose: str, *words: str) -> list[Judged]:
    return [
        Judged(
            Claim(f"{whose}{at}", "It is so.", "check", {}, whose=whose),
            failed("check", "it fell over.") if word == CHECK_FAILED else Verdict(word, "Numbers."),
        )
        for at, word in enumerate(words)
    ]


MIXED = results("published", REPRODUCED, NOT_REPRODUCED, ARTEFACT, ARTEFACT, CANNOT_TELL) + results(
    "ours", REPRODUCED, REPRODUCED, NOT_REPRODUCED, CANNOT_TELL
)


def test_our_own_explanations_are_never_counted_as_published_claims() -> None:
    assert studytally.counts(MIXED) == {REPRODUCED: 1, NOT_REPRODUCED: 1, ARTEFACT: 2, CANNOT_TELL: 1}
    assert studytally.counts(MIXED, "ours") == {REPRODUCED: 2, NOT_REPRODUCED: 1, CANNOT_TELL: 1}


@pytest.mark.parametrize(
    ("claims", "published", "ours"),
    [
        (
            MIXED,
            "5 published claims: 1 reproduced, 1 not reproduced, 2 artefacts and 1 cannot be told.",
            "Of our 4 explanations 2 hold, 1 does not and 1 cannot be told.",
        ),
        (results("ours", NOT_REPRODUCED), "", "Our own explanation does not hold."),
        (results("ours", CHECK_FAILED), "", "Our own explanation has a check that failed."),
        (results("published", CHECK_FAILED), "1 published claim: 1 check failed.", ""),
        ([], "", ""),
    ],
)
def test_the_counts_are_told_in_words(claims: list[Judged], published: str, ours: str) -> None:
    assert (studytally.published(claims), studytally.ours(claims)) == (published, ours)
