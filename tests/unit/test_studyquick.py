"""What the quick variant is known not to tell: held against the checks themselves, on runs that end where it does."""

from __future__ import annotations

from core import studies, studyquick
from core.verdicts import CANNOT_TELL
from tests.synthetic import implicit_em


def test_claims_about_later_epochs_are_told_by_no_run_of_the_quick_variant() -> None:
    """Epochs 70 and 100, where it trains for 30; whatever its curves look like."""
    study = studies.load("implicit_em")
    late = {claim.id for claim in study.claims if studyquick.too_short(study, claim)}
    assert late == {"sgd-epoch-70", "adam-never", "responsibilities"}
    worlds = (implicit_em.by_law, implicit_em.with_limit, implicit_em.at_different_epochs)
    told = {}
    for epochs in (30, 100):
        judged = [studies.judge(study, implicit_em.made(one, seeds=(1, 2, 3), epochs=epochs)) for one in worlds]
        told[epochs] = {claim.id for results in judged for claim, verdict in results if verdict.verdict != CANNOT_TELL}
    assert not late & told[30] and late <= told[100]


def test_the_sentence_has_both_epochs() -> None:
    study = studies.load("implicit_em")
    (claim,) = [one for one in study.claims if one.id == "adam-never"]
    said = studyquick.too_short(study, claim)
    assert "trains for 30 epochs" in said and "speaks of epoch 100" in said


def test_a_study_whose_checks_name_no_epoch_promises_nothing_and_denies_nothing() -> None:
    study = studies.load("instrunet")
    assert [studyquick.too_short(study, claim) for claim in study.claims] == [""] * len(study.claims)
