"""The Studies page: never run, run on synthetic and on real small runs, with broken files, with hostile names."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pytest
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from core import datasets, paths, studies, studycharts, studytally, sweeps
from core.verdicts import ARTEFACT, CANNOT_TELL, CHECK_FAILED, NOT_REPRODUCED, REPRODUCED, Runs, Verdict
from pages import study_claims, study_reading, study_report, study_table
from tests import made_runs
from tests.synthetic import implicit_em

HOSTILE = "<b>x</b>'; DROP TABLE runs;--[a](javascript:b) *c* `d` $e$ :red[f] &lt;"
CLAIM = '[[claims]]\nid = "{0}"\ntext = "{1}"\ncheck = "loss_is"\nargs = {{ below = {2} }}\n'
TOY = """name = "toy_study"
title = "Is the loss small?"
source = "Nobody 2026"
about = "Two rates. And more."
trainer = "toy"
data = "toy"
seeds = [0, 1]
[set]
epochs = 3
[factors]
learning_rate = [0.05, 0.1]
[quick]
seeds = [0]
[[stages]]
name = "longer"
title = "Longer"
set = { epochs = 4 }
[published]
columns = ["learning_rate", "train/loss", "train/loss_sd"]
digits = { "train/loss" = 0.1 }
rows = [[0.05, 0.1, 99.0], [0.1, 500.0, 1.0]]
"""


@pytest.fixture
def app(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """Opens the page by a link, in a cache of the test's own."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    st.cache_resource.clear()

    def opened(**query: str) -> AppTest:
        app = AppTest.from_file(str(paths.PROJECT / "app.py"), default_timeout=120).run()
        app = app.switch_page("pages/studies.py")
        app.query_params = {name: [value] for name, value in query.items()}
        return seen(app.run())

    yield opened
    st.cache_resource.clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of studies; those written there have the checks of `checks`."""
    made = tmp_path / "studies"
    made.mkdir()
    monkeypatch.setattr(studies, "folder", lambda: made)
    studies._module.cache_clear()
    return made


def checks(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    """The functions of a study, as if studies/<name>.py held them."""
    module = types.ModuleType(f"studies.{name}")
    module.__spec__ = importlib.machinery.ModuleSpec(f"studies.{name}", None)
    module.__dict__.update(functions, __all__=list(functions))
    monkeypatch.setitem(sys.modules, f"studies.{name}", module)
    studies._module.cache_clear()


def loss_is(runs: Runs, below: float = 1.0) -> Verdict:
    """Claim: the loss is below a number."""
    loss = runs.main.column("train/loss")
    chart = alt.Chart(pd.DataFrame({"x": [1]}), title="Loss", description="Loss. y over x.").mark_point()
    said = f"The mean loss is {loss.mean():.3f}."
    return Verdict(
        REPRODUCED if loss.mean() < below else NOT_REPRODUCED, said, loss.rename("loss").reset_index(), chart
    )


def seen(app: AppTest) -> AppTest:
    assert [box.message for box in app.exception] == []
    return app


def words(app: AppTest) -> str:
    kinds = ("info", "caption", "warning", "error", "success", "markdown", "subheader")
    return "\n".join(element.value for kind in kinds for element in getattr(app, kind))


def primary(app: AppTest) -> list[str]:
    return [button.label for button in app.main.button if button.proto.type == "primary"]


def charts(app: AppTest) -> int:
    return len(app.get("arrow_vega_lite_chart")) + len(app.get("vega_lite_chart"))


@pytest.fixture
def data_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every study's data were on this machine."""
    monkeypatch.setattr(study_reading, "absent", lambda found: "")


@pytest.mark.usefixtures("data_is_here")
@pytest.mark.parametrize("name", studies.names())
def test_a_study_that_was_never_run_shows_what_was_published_and_one_way_on(app: Any, name: str) -> None:
    study = studies.load(name)
    page = app(study=name)
    published = sum(claim.whose == "published" for claim in study.claims)
    assert all(word in words(page) for word in (f"{published} cannot be told yet", "Source"))
    assert primary(page) == ["Run the main grid"]
    assert study.published is not None
    table = page.dataframe[0].value
    assert len(table) == len(study.published.frame) and set(table["published ±"]) == {study_table.NO_RUN}
    assert charts(page) == 0
    text = words(page).replace("\\", "")
    assert all(claim.text in text for claim in study.claims)


@pytest.mark.parametrize(("name", "said"), [("implicit_em", "mnist is not here"), ("instrunet", "IRMAS is not here")])
def test_without_its_data_a_study_offers_no_run_but_the_way_to_the_data(app: Any, name: str, said: str) -> None:
    page = app(study=name)
    assert not [button for button in page.main.button if button.label.startswith("Run")]
    (told,) = [info.value.replace("\\", "") for info in page.info if said in info.value]
    assert "runs are here." in told and "\n" not in told
    data = studies.load(name).file.data
    links = [link for link in page.main.get("page_link") if link.proto.label.startswith(f"How to get {data}")]
    assert [link.proto.query_string for link in links] == [f"data={data}"]
    page = app(study="instrunet", variant="quick")  # its data is rendered here
    assert primary(page) == ["Run the main grid (quick)"] and not [i for i in page.info if "not here" in i.value]


@pytest.mark.usefixtures("data_is_here")
def test_a_claim_beyond_the_quick_variant_says_so(app: Any) -> None:
    told = words(app(study="implicit_em", variant="quick")).replace("\\", "")
    assert "it trains for 30 epochs, and this speaks of epoch 100" in told  # Adam's
    assert told.count("The quick variant cannot tell it") == 3
    assert "16 runs of the quick variant, which may not be enough" in told  # of the others
    assert "cannot tell it" not in words(app(study="implicit_em")).replace("\\", "")


@pytest.mark.usefixtures("data_is_here")
def test_a_stage_of_one_level_is_no_mistake(app: Any) -> None:
    """Stage width has one learning rate, on purpose, in a file that nobody who runs the study has seen."""
    told = words(app(study="implicit_em"))
    assert "Stage width" in told and "has one level" not in told


@pytest.mark.usefixtures("data_is_here")
def test_the_list_says_where_each_study_stands(app: Any) -> None:
    page = app()
    assert "never run" in words(page) and "9 published claims" in words(page)
    assert primary(page) == []
    page.button(key="panel.implicit_em").click().run()
    assert "24 runs" in words(seen(page)).replace("\\", "") and primary(page) == ["Run the main grid"]
    page.segmented_control(key="card.implicit_em").set_value("quick").run()
    assert "16 runs" in words(seen(page)).replace("\\", "")
    assert primary(page) == ["Run the main grid (quick)"]


def test_judging_says_how_far_it_is_and_only_once(
    app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Small?", 9.0) + CLAIM.format("b", "Tiny?", 0.1))
    checks(monkeypatch, "toy_study", loss_is=loss_is)
    made_runs.finished("toy", datasets.load("toy"), {"epochs": 3, "learning_rate": 0.05})
    said: list[str] = []
    monkeypatch.setattr(DeltaGenerator, "progress", lambda self, value, text="", **more: said.append(text))
    page = app(study="toy_study")
    assert [text for text in said if "Judging" in text] == ["Judging claim 1 of 2 …", "Judging claim 2 of 2 …"]
    said.clear()
    seen(page.run())
    assert not [text for text in said if "Judging" in text]


def test_no_study_at_all_is_said(app: Any, folder: Path) -> None:
    page = app()
    assert "There is none yet" in page.info[0].value


@pytest.mark.usefixtures("data_is_here")
def test_verdicts_stand_with_their_word_and_numbers(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = implicit_em.made()
    monkeypatch.setattr(studies, "runs_of", lambda *_, **__: runs)
    page = app(study="implicit_em")
    study = studies.load("implicit_em")
    told = study_reading.judged(study_reading.reading(study, False, studies_store()))
    for result, n in studytally.counts(told).items():
        assert f"{n} {studytally.PLURALS[result] if n > 1 and result == ARTEFACT else result}" in words(page)
    assert {ARTEFACT, NOT_REPRODUCED, REPRODUCED, CANNOT_TELL} == set(studytally.counts(told))
    text = words(page).replace("\\", "")
    assert all(verdict.sentence in text for _, verdict in told)
    assert charts(page) >= sum(verdict.chart is not None for _, verdict in told)
    assert all(f"How to read it: {claim.read}" in text for claim, verdict in told if verdict.chart is not None)
    assert "It needs stage width" in text and any(
        "width" in b.label for b in page.button if b.key == "run.sgd-law.implicit_em.width"
    )


def test_the_published_claims_are_counted_without_our_own(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the card, at the head of the study and in its report: 9 claims are the report's, 7 the lab's."""
    runs = implicit_em.made()
    monkeypatch.setattr(studies, "runs_of", lambda *_, **__: runs)
    found = study_reading.reading(study_reading.study("implicit_em"), False, studies_store())
    told = study_reading.judged(found)
    ours = [verdict.verdict for claim, verdict in told if claim.whose == "ours"]
    published = [verdict.verdict for claim, verdict in told if claim.whose == "published"]
    assert (len(published), len(ours)) == (9, 7) and ours.count(REPRODUCED) > 1
    text = study_report.markdown(found, told).replace("\\", "")
    for shown in (words(app()).replace("\\", ""), words(app(study="implicit_em")).replace("\\", "")):
        assert f"-badge[:material/check_circle: {published.count(REPRODUCED)} reproduced]" in shown
        assert f"Of our 7 explanations {ours.count(REPRODUCED)} hold" in shown and "16 claims" not in shown
    assert f"9 published claims: {published.count(REPRODUCED)} reproduced" in text and "Of our 7 explanations" in text


def test_a_mean_beyond_the_published_deviation_or_interval_is_marked(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the law's loss in the synthetic runs, whose measured values are known."""
    runs = implicit_em.made()
    monkeypatch.setattr(studies, "runs_of", lambda *_, **__: runs)
    table = app(study="implicit_em").dataframe[0].value.set_index(["optimizer", "learning_rate"])
    means = runs.results.groupby(["optimizer", "learning_rate"])["train/loss"].mean()
    for row in studies.load("implicit_em").published.frame.to_dict("records"):  # type: ignore[union-attr]
        gap = means[row["optimizer"], row["learning_rate"]] - row["train/loss"]
        sd = max(row["train/loss_sd"], 0.5)
        expected = study_table.INSIDE if abs(gap) <= sd else study_table.ABOVE if gap > 0 else study_table.BELOW
        shown = table.loc[(row["optimizer"], f"{row['learning_rate']:g}")]
        assert shown["published ±"] == expected
        assert float(shown["in sd"].replace("−", "-")) == pytest.approx(gap / sd, abs=0.06)
    assert {study_table.INSIDE, study_table.ABOVE} & set(table["published ±"])


def test_marks_follow_from_their_row() -> None:
    row = pd.Series({"n": 3, "published": 10.0, "published_sd": 2.0, "in_sd": 1.4, "low": 11.0, "high": 14.0})
    assert (study_table.within(row), study_table.holds(row)) == (study_table.ABOVE, study_table.LEFT_OUT)
    near = row.replace({1.4: -0.9, 11.0: 9.0})
    assert (study_table.within(near), study_table.holds(near)) == (study_table.INSIDE, study_table.HOLDS)
    assert study_table.within(row.replace({1.4: -1.1})) == study_table.BELOW
    single = row.replace({2.0: float("nan"), 11.0: float("nan")})
    assert (study_table.within(single), study_table.holds(single)) == (study_table.NO_SD, study_table.ONE_SEED)
    assert study_table.within(row.replace({3: 0})) == study_table.NO_RUN


def test_real_runs_of_a_quick_study(app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Low.", 1e9) + CLAIM.format("b", "Lower.", -1e9))
    checks(monkeypatch, "toy_study", loss_is=loss_is)
    toy = datasets.load("toy", "emotion")
    names = [made_runs.finished("toy", toy, {"epochs": 3, "learning_rate": rate}, 0).name for rate in (0.05, 0.1)]
    page = app()
    assert "2 of 8 runs are here, 2 stages in all" in words(page) and "1 reproduced" in words(page)
    page = app(study="toy_study", variant="quick")
    assert "1 reproduced" in words(page) and "1 not reproduced" in words(page)
    table = page.dataframe[0].value
    assert table["n"].tolist() == [1, 1] and table["published ±"].tolist() == [study_table.INSIDE, study_table.BELOW]
    assert set(table["our interval"]) == {study_table.ONE_SEED}
    assert charts(page) == 4  # a claim's two, and the table as two pictures
    assert all(how in words(page).replace("\\", "") for how in studycharts.READING.values())
    found = study_reading.first(study_reading.study("toy_study"), studies_store())
    row = studies.compare(found.study, found.runs).iloc[0]
    assert study_table.members(found, row) == names[:1]
    text = study_report.markdown(found, study_reading.judged(found))
    assert (
        "Reproduced: The mean loss is" in text and 'name = "toy\\_study"' not in text and 'name = "toy_study"' in text
    )
    assert text.count("data:image/svg+xml") == 2
    assert "Judged at revision" in text and "## Published beside measured" in text


def studies_store() -> Any:
    from core.store import memory_store

    return memory_store()


def test_a_click_starts_the_sweep_and_shows_it(app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Low.", 1e9))
    checks(monkeypatch, "toy_study", loss_is=loss_is)
    monkeypatch.setattr("core.supervisor.ensure", lambda: None)
    page = app(study="toy_study")
    page.button(key="run.head.toy_study.main").click().run()
    (sweep,) = [one for one in sweeps.listing() if one.name == "toy_study"]
    assert sweep.n_runs == 4 and any(sweep.id in told.value.replace("\\", "") for told in seen(page).success)
    assert primary(page) == [] and "run.head.toy_study.main" not in {button.key for button in page.button}


def test_a_broken_file_is_one_sentence_and_the_others_go_on(
    app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "toy_study.toml").write_text(TOY + CLAIM.format("a", "Low.", 1e9))
    (folder / "broken.toml").write_text(TOY.replace('"toy"', '"nothing"', 1))
    (folder / "cut.toml").write_text(TOY[:40])
    (folder / "knob.toml").write_text(TOY.replace("epochs = 3", "epoks = 3"))
    (folder / "unchecked.toml").write_text(TOY + CLAIM.format("a", "Low.", 1))
    (folder / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    checks(monkeypatch, "toy_study", loss_is=loss_is)
    page = app()
    told = [error.value.replace("\\", "") for error in page.error]
    assert len(told) == 5 and all("\n" not in one and str(folder) not in one for one in told)
    assert any("studies/broken.toml, line 5" in one for one in told)
    assert any("studies/knob.toml, line 9" in one and "epoks" in one for one in told)
    assert any("studies/unchecked.toml, line" in one for one in told)
    assert "Is the loss small?" in words(page)
    page = app(study="knob")
    assert "epoks" in page.error[0].value and "Is the loss small?" in words(page)


def test_checks_that_fall_over_leave_the_others(app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def falls(runs: Runs) -> Verdict:
        raise TypeError("no such thing")

    claims = CLAIM.format("a", "Low.", 1e9) + '[[claims]]\nid = "b"\ntext = "Other."\ncheck = "falls"\n'
    (folder / "toy_study.toml").write_text(TOY + claims)
    checks(monkeypatch, "toy_study", loss_is=loss_is, falls=falls)
    made_runs.finished("toy", datasets.load("toy", "emotion"), {"epochs": 3, "learning_rate": 0.1}, 0)
    text = words(app(study="toy_study")).replace("\\", "")
    assert "The check falls failed" in text and "no such thing" in text and "1 reproduced" in text
    assert "1 check failed" in text and "1 cannot be told" not in text  # a slip in a file is no verdict on the claim


def test_functions_that_cannot_be_imported_are_told_with_their_line(
    app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "toy_study.toml").write_text(TOY)

    def broken(name: str) -> Any:
        raise SyntaxError("invalid syntax", (str(folder / "toy_study.py"), 7, 1, "def", 7, 2))

    monkeypatch.setattr(studies, "_module", broken)
    page = app()
    assert page.error[0].value.replace("\\", "").startswith("studies/toy_study.py, line 7: SyntaxError")


def test_hostile_words_are_text(app: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = TOY.replace("Is the loss small?", HOSTILE).replace("Nobody 2026", HOSTILE).replace("Two rates.", HOSTILE)
    name = "<b>x[a](javascript:b)"
    (folder / f"{name}.toml".replace("/", "")).write_text(hostile + CLAIM.format(HOSTILE, HOSTILE, 1e9))
    checks(monkeypatch, name, loss_is=loss_is)
    made_runs.finished("toy", datasets.load("toy", "emotion"), {"epochs": 3, "learning_rate": 0.1}, 0)
    for page in (app(), app(study=name), app(study=HOSTILE), app(study=name, variant=HOSTILE, metric=HOSTILE)):
        for kind in ("markdown", "caption", "subheader", "error", "success"):
            for element in getattr(page.main, kind):
                left = element.value.replace("\\<", "").replace("\\[", "").replace("\\`", "").replace("\\$", "")
                assert "<b>" not in left and "[a](" not in left and ":red[" not in left.replace("\\:", "")
    found = study_reading.first(study_reading.study(name), studies_store())
    text = study_report.markdown(found, study_reading.judged(found))
    head = text.partition("## How it was made")[0]
    assert "<b>" not in head.replace("\\<", "") and "[a](" not in head.replace("\\[", "")


def test_every_verdict_has_a_word_and_a_sign_of_its_own() -> None:
    signs = [icon for _, icon in study_claims.MARKS.values()]
    words = {REPRODUCED, NOT_REPRODUCED, ARTEFACT, CANNOT_TELL, CHECK_FAILED}
    assert set(study_claims.MARKS) == set(study_claims.MEANINGS) == words
    assert len(set(signs)) == len(signs)
