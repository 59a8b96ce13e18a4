"""The views of one sweep: empty, half-way, filled, one seed, all failed, diverged, equal scores; text as text."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import many, paths, rundir, supervisor, sweepboard, sweepflags, sweepreport, sweeps, wording
from core.executors import local
from core.store import memory_store
from core.sweepcharts import READING
from pages import sweep_read
from tests.contract.test_pages import HOSTILE, assert_text, opened, seen

TEXT = """name = "NAME"
trainer = "toy"
data = "toy"
seeds = [1, 2]
[set]
epochs = 9
[factors]
learning_rate = [0.003, 0.1]
momentum = [0.0, 0.5, 0.9]
"""


def started(place: Path, name: str, text: str = TEXT) -> str:
    (place / f"{name}.toml").write_text(text.replace("NAME", name))
    return sweeps.start(place / f"{name}.toml")


def folders(sweep: str) -> list[Path]:
    return [paths.runs() / run for run in sweeps.read(sweep).runs]


def train(sweep: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        for folder in folders(sweep):
            supervisor.claim(folder)
        many.main(folders(sweep))
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with sweeps in every state, made once."""
    folder = tmp_path_factory.mktemp("made")
    about = {"EARSHOT_CACHE": str(folder / "cache"), "EARSHOT_STARTER": str(folder / "no-starter")}
    with mock.patch.dict(os.environ, about), mock.patch.object(local, "start_supervisor", lambda: None):
        full = TEXT.replace("trainer", f"title = {json.dumps(HOSTILE)}\ntrainer", 1)
        train(started(folder, "full", full))
        train(started(folder, "single", TEXT.replace("[1, 2]", "[1]").replace("epochs = 9", "epochs = 2")))
        train(started(folder, "diverged", TEXT.replace("[0.003, 0.1]", "[0.1, 100.0]").replace("= 9", "= 40")))
        train(started(folder, "level", TEXT.replace("[0.003, 0.1]", "[0.1]").replace("[0.0, 0.5, 0.9]", "[0.5]")))
        drawn = TEXT.replace("seeds", 'design = "random"\nseeds', 1).partition("[factors]")[0]
        drawn += '[factors]\nlearning_rate = {low = 0.001, high = 1.0, scale = "log"}\n[search]\ntrials = 15\n'
        train(started(folder, "drawn", drawn))
        drawn = drawn.replace("trials = 15", "trials = 6").replace(
            "[search]", "momentum = {low = 0.0, high = 0.9}\n[search]"
        )
        train(started(folder, "few", drawn))  # too few for thirds, and no level comes back
        equal = started(folder, "equal", TEXT.replace("epochs = 9", "epochs = 2"))
        train(equal)
        for one in folders(equal):  # every number the same in all runs, and one that is none
            lines = [json.loads(line) for line in (one / "events.jsonl").read_text().splitlines()]
            for line in lines:
                line["values"] = {name: 0.25 for name in line.get("values", {})} | {"train/broken": "nan"}
            (one / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        half = started(folder, "half")
        train(half)
        for one in folders(half)[5:]:
            rundir.set_status(one, rundir.Status("stopped", ended_at=1.0))
        failed = started(folder, "failed")
        for one in folders(failed):
            supervisor.claim(one)
            rundir.set_status(one, rundir.Status("failed", reason="No.", ended_at=1.0))
        started(folder, "waiting")
    return folder / "cache"


@pytest.fixture
def filled(cache: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    shutil.copytree(made, cache, dirs_exist_ok=True)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield cache
    st.cache_resource.clear()
    st.cache_data.clear()


def told(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(element.value for element in elements).replace("\\", "")


def every_view(sweep: str) -> Iterator[tuple[str, AppTest]]:
    app = opened("pages/sweeps.py", sweep=sweep)
    for view in sweep_read.VIEWS:
        yield view, seen(app.segmented_control(key="view").set_value(view).run())


@pytest.mark.parametrize("sweep", ["full", "single", "diverged", "level", "drawn", "few", "equal", "half"])
def test_every_view_of_every_sweep_opens(filled: Path, sweep: str) -> None:
    for view, app in every_view(sweep):
        assert [box.value for box in app.error] == [], view
        assert app.selectbox(key="metric").value in app.selectbox(key="metric").options
        assert len(told(app)) > 200, view
        assert_text(app)
        assert sweep != "full" or "DROP TABLE" in "".join(box.value for box in app.subheader)


@pytest.mark.parametrize(("sweep", "why"), [("failed", "12 failed"), ("waiting", "no run has told a number yet")])
def test_a_view_without_numbers_says_why(filled: Path, sweep: str, why: str) -> None:
    for view, app in every_view(sweep):
        assert [box.value for box in app.error] == [], view
        (box,) = app.info
        assert why in box.value
        assert any("Progress" in str(link.proto) for link in app.get("page_link"))


def test_the_list_leads_to_what_was_found_or_to_what_is_under_way(filled: Path) -> None:
    app = opened("pages/sweeps.py")
    links = [link.proto for link in app.get("page_link")]
    queries = {link.label: link.query_string for link in links if "sweep=" in link.query_string}
    assert "view=Results" in queries["single"]
    assert "view" not in queries["waiting"] and "view" not in queries["half"]
    assert told(app).count("toy on toy: learning rate × momentum · ") >= 6


def test_the_board_is_what_the_runs_say(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="full", view="Results")
    assert app.selectbox(key="metric").value == "validation/ccc"
    table = app.dataframe[0].value
    frame = sweeps.results(memory_store(), "full")
    means = frame.groupby(["learning_rate", "momentum"])["validation/ccc"].mean().sort_values(ascending=False)
    assert table["mean"].tolist() == pytest.approx(means.tolist())
    assert table["learning rate"].astype(float).tolist() == [rate for rate, _ in means.index]
    seen(app.selectbox(key="metric").set_value("train/loss").run())
    assert app.dataframe[0].value["mean"].is_monotonic_increasing  # of a loss the lowest comes first


def test_diverged_runs_are_counted_and_in_no_mean(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="diverged", view="Results", metric="train/loss")
    table = app.dataframe[0].value
    bad = table[table["learning rate"] == "100"]
    assert (bad["diverged"] == 1).all() and (bad["n"] == 0).all() and bad["mean"].isna().all()
    assert set(bad["outcomes"]) == {"2 diverged"} and (table.loc[table["learning rate"] == "0.1", "n"] == 2).all()
    assert "6 runs diverged" in told(opened("pages/sweeps.py", sweep="diverged", view="Curves"))


def test_the_share_that_diverged_can_be_judged_by(filled: Path) -> None:
    """At a rate of 100 all six runs diverge, at 0.1 none: the closed form of Wilson's interval for 0 and 6 of 6."""
    for view in sweep_read.VIEWS:
        app = opened("pages/sweeps.py", sweep="diverged", view=view, metric="divergence rate")
        assert app.selectbox(key="metric").value == "divergence rate" and [box.value for box in app.error] == []
        if view == "Results":
            shown = app.dataframe[0].value
            assert sorted(shown["rate"]) == [0, 0, 0, 1, 1, 1] and set(shown["n"]) == {2}
            assert "6 of 12 runs diverged: 50 %" in told(app)
        if view == "Knobs":
            high = 3.841459 / (6 + 3.841459)
            assert list(app.dataframe[0].value["high"]) == pytest.approx([high, 1.0], abs=1e-6)
        if view == "Effects":
            # of the 20 ways to choose three of six configurations two are as clear: p = 0.1, however many seeds
            assert "Divergence is not shown to go with learning rate" in told(app)
        if view == "Report":
            assert "choose one above" in told(app)
    app = opened("pages/sweeps.py", sweep="waiting", view="Results", metric="divergence rate")
    assert "no run has told a number yet" in told(app)


def test_effects_are_tested_again_as_asked(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="full", view="Effects")
    assert "Learning rate changes the validation ccc" in told(app)
    first = app.dataframe[0].value
    seen(app.segmented_control(key="errors").set_value("HC3").run())
    assert not app.dataframe[0].value.equals(first)
    seen(app.segmented_control(key="ss").set_value("II").run())
    assert "Type II," in told(app)
    assert "Choose two levels and a margin" in told(app)
    seen(app.number_input(key="margin").set_value(5.0).run())  # ccc cannot differ by more than 2
    assert "differ by less than 5" in told(app)
    seen(app.number_input(key="margin").set_value(1e-9).run())
    assert "differ by more than" in told(app) or "cannot be told" in told(app)


def test_one_seed_has_no_interval_and_equal_scores_nothing_to_explain(filled: Path) -> None:
    assert "without a second seed there is no interval" in told(
        opened("pages/sweeps.py", sweep="single", view="Results")
    )
    assert "One seed per cell" in told(opened("pages/sweeps.py", sweep="single", view="Effects"))
    assert "the same" in told(opened("pages/sweeps.py", sweep="equal", view="Effects", metric="validation/loss"))
    options = opened("pages/sweeps.py", sweep="equal", view="Results").selectbox(key="metric").options
    assert "train/broken" not in options  # never a number


def test_levels_from_a_range_are_cut_into_thirds(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="drawn", view="Effects")
    assert "cut into thirds" in told(app) and "each of 15 configurations counts once" in told(app)
    assert app.dataframe[1].value["df"].tolist()[:1] == [2]  # three thirds
    assert "Spearman's ρ" in told(app)  # of the numbers themselves stands before


def test_effects_of_a_search_are_rank_correlations_over_configurations(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="few", view="Effects")
    text = told(app)
    assert "levels that come back, which those of learning rate and momentum in this random design do not" in text
    assert app.dataframe[0].value["knob"].tolist() == ["learning rate", "momentum"]
    assert app.dataframe[0].value["n"].tolist() == [6, 6]
    for nothing in ("cells are empty", "> . (", "HC3", "differences are drawn", "aligned ranks"):
        assert nothing not in text
    blocks = sweepreport.report(memory_store(), "few")
    quotes = "\n".join(block.text for block in blocks if block.kind == "quote")
    assert "Spearman's ρ" in quotes and "Type III" not in quotes
    assert not any("no data" in block.svg for block in blocks if block.kind == "figure" and "ρ" in block.svg)


def test_the_sentence_on_effects_follows_the_chosen_scatter(filled: Path) -> None:
    def first(app: AppTest) -> tuple[str, str]:
        quoted = next(box.value for box in app.markdown if box.value.startswith("> "))
        return quoted.replace("\\", ""), wording.number_text(float(app.dataframe[0].value["F"].iloc[0]))

    app = opened("pages/sweeps.py", sweep="full", view="Effects")
    classical, f = first(app)
    robust, f_hc3 = first(seen(app.segmented_control(key="errors").set_value("HC3").run()))
    assert f"= {f}, p" in classical and "HC3" not in classical
    assert f"= {f_hc3}, p" in robust and "F and p by HC3" in robust


def test_knobs_of_a_search_are_points_and_not_cells_that_stand_alone(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="few", view="Knobs")
    text = told(app)
    assert "No level of momentum comes back: this design has one configuration a level" in text
    assert READING["points"] in text and READING["heat"] not in text and READING["interaction"] not in text
    text = told(opened("pages/sweeps.py", sweep="full", view="Knobs"))
    assert READING["heat"] in text and READING["interaction"] in text and READING["points"] not in text


def test_a_sweep_that_goes_on_is_read_again(filled: Path) -> None:
    store = memory_store()
    record = sweeps.read("full")
    before = sweepboard.fingerprint(store, record)
    store.sync()
    assert sweepboard.fingerprint(store, record) == before
    rundir.set_status(paths.runs() / record.runs[0], rundir.Status("failed", reason="No.", ended_at=1.0))
    store.sync()
    assert sweepboard.fingerprint(store, record) != before


def test_the_report_page_tells_its_sentences(filled: Path) -> None:
    app = opened("pages/sweeps.py", sweep="full", view="Report")
    seen(app.toggle(key="sentences").set_value(True).run())
    assert "Learning rate changes the validation ccc" in told(app)
    assert "WHERE r.sweep = '" in app.code[0].value
    assert_text(app)


def test_no_sweep_runs_none_at_a_time(cache: Path) -> None:
    st.cache_resource.clear()
    app = opened("pages/sweeps.py")
    (box,) = [box for box in app.number_input if box.label == "Runs at a time"]
    assert (box.min, box.value) == (1, None)

    def file(app: AppTest) -> str:
        return next(block.value for block in app.code if "trainer =" in block.value)

    assert "workers" not in file(app)
    assert "workers = 3\n" in file(seen(box.set_value(3).run()))
    st.cache_resource.clear()


def test_a_cancelled_sweep_offers_what_can_be_done_with_it(filled: Path) -> None:
    """The terminal refuses to run again or to add to what was cancelled, and says to resume it first."""
    offered = {button.label for button in opened("pages/sweeps.py", sweep="failed").button}
    assert {"Run the 12 failed again", "Add seeds"} <= offered
    sweepflags.set_flag(sweeps.read("failed").id, "cancelled", True)  # while its last run failed
    app = opened("pages/sweeps.py", sweep="failed")
    assert {button.label for button in app.button} & {*offered, "Resume"} == {"Resume"}
    assert "Once it is resumed, the 12 runs that failed or diverged can be run again" in told(app)
    sweeps.cancel("waiting")
    assert "Resume puts its 12 stopped runs back into the queue." in told(opened("pages/sweeps.py", sweep="waiting"))
