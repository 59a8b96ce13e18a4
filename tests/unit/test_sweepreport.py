"""Boards, reports and their pictures, against closed forms, SciPy and the index itself."""

from __future__ import annotations

import base64
import re
import signal
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from core import (
    anova,
    assumptions,
    boardcharts,
    document,
    many,
    pareto,
    paths,
    power,
    sqlbox,
    supervisor,
    svg,
    sweepboard,
    sweepends,
    sweepreport,
    sweeps,
)
from core.document import Block
from core.executors import local
from core.store import memory_store
from core.sweepboard import Found
from pages.palette import ROLES

TEXT = """name = "report"
title = "<b>one</b> | `two`"
trainer = "toy"
data = "toy"
seeds = [1, 2]
[set]
epochs = 9
[factors]
learning_rate = [0.01, 0.1, 100.0]
momentum = [0.0, 0.9]
"""
HTTP = re.compile(r"https?://(?!www\.w3\.org/2000/svg)")


def made(values: dict[tuple[str, int], float | None], states: dict[tuple[str, int], str] | None = None) -> pd.DataFrame:
    rows = []
    for (level, seed), value in values.items():
        state = (states or {}).get((level, seed), "done")
        cell = sorted({name for name, _ in values}).index(level)
        rows.append((f"{level}{seed}", cell, level, seed, state, state == "diverged", "", level, value))
    columns = ["run", "cell", "config_id", "seed", "state", "diverged", "outcome", "knob", "test/accuracy"]
    return pd.DataFrame(rows, columns=columns)


def test_a_board_has_students_interval_and_counts_what_diverged() -> None:
    values: dict[tuple[str, int], float | None] = {
        ("a", 1): 0.5, ("a", 2): 0.6, ("a", 3): 0.7, ("b", 1): 0.9, ("b", 2): 0.1, ("c", 1): None,
        ("c", 2): float("inf"),
    }  # fmt: skip
    table = sweepboard.board(made(values, {("b", 2): "diverged"}), "test/accuracy", ["knob"]).set_index("knob")
    assert list(table.index) == ["b", "a", "c"]  # by mean, what has none last
    low, high = scipy_stats.t.interval(0.95, 2, loc=0.6, scale=0.1 / np.sqrt(3))
    assert table.loc["a", ["mean", "low", "high", "sd"]].tolist() == pytest.approx([0.6, low, high, 0.1])
    assert table.loc["b", "mean"] == 0.9 and np.isnan(table.loc["b", "low"])  # the diverged run is in no mean
    assert table.loc["b", ["divergence_rate", "outcomes"]].tolist() == [0.5, "1 done, 1 diverged"]
    assert table.loc["c", "n"] == 0 and np.isnan(table.loc["c", "mean"])


def test_an_interval_ends_where_the_score_does() -> None:
    wide = sweepboard.board(made({("a", 1): 0.9, ("a", 2): 0.1}), "test/accuracy", ["knob"])
    assert wide.loc[0, ["low", "high"]].tolist() == [0, 1]  # by the t interval −4.6 to 5.6
    gap = made({("a", 1): 0.9, ("a", 2): 0.1}).rename(columns={"test/accuracy": "gap/accuracy"})
    assert sweepboard.board(gap, "gap/accuracy", ["knob"]).loc[0, "high"] > 5  # a gap between losses has no upper end
    named = made({("a", 1): 0.9, ("a", 2): 0.1}).rename(columns={"test/accuracy": "test/own"})
    assert sweepboard.board(named, "test/own", ["knob"]).loc[0, "low"] < -4  # nobody knows where this one ends


def test_the_best_is_called_so_only_where_no_interval_overlaps() -> None:
    apart: dict[tuple[str, int], float | None] = {("a", 1): 0.1, ("a", 2): 0.11, ("b", 1): 0.9, ("b", 2): 0.91}
    told = sweepboard.best_sentence(sweepboard.board(made(dict(apart)), "test/accuracy", ["knob"]), "test/accuracy")
    assert (
        told.startswith("Knob b has the highest mean test accuracy, 0.905 [") and "no other's interval overlaps" in told
    )
    near = sweepboard.board(made(apart | {("a", 1): 0.89}), "test/accuracy", ["knob"])
    assert "the intervals of 1 other overlap with it" in sweepboard.best_sentence(near, "test/accuracy")
    alone = sweepboard.board(made({("a", 1): 0.5}), "test/accuracy", ["knob"])
    only = sweepboard.best_sentence(alone, "test/accuracy")
    assert only.startswith("One configuration (knob a) has a mean test accuracy, 0.500") and "may be luck" in only
    none = sweepboard.board(made({("a", 1): None}), "test/accuracy", ["knob"])
    assert "No configuration has a finished run" in sweepboard.best_sentence(none, "test/accuracy")
    assert sweepboard.board(made({}), "test/accuracy", ["knob"]).empty


def test_the_first_number_to_judge_by_is_the_tasks_own_score() -> None:
    names = ["optim/learning_rate", "train/loss", "validation/loss", "test/accuracy", "validation/accuracy", "seconds"]
    frame = pd.DataFrame({name: [1.0] for name in names})
    assert sweepboard.responses(frame, [], "digits")[:3] == ("validation/accuracy", "test/accuracy", "train/loss")
    assert sweepboard.responses(frame, [], "digits")[-1] == "seconds"
    broken = frame.assign(**{"validation/accuracy": np.nan})
    assert sweepboard.responses(broken, [], "digits")[0] == "test/accuracy"
    assert sweepboard.responses(frame[["train/loss", "seconds"]], [], "digits")[0] == "train/loss"
    better = {"test/accuracy": "higher", "train/loss": "lower", "optim/learning_rate": "neither", "seconds": "lower"}
    assert {name: sweepboard.better(name) for name in better} == better


def test_levels_from_a_range_are_cut_into_equal_thirds() -> None:
    rates = np.geomspace(1e-4, 1.0, 30)
    frame = made({(f"{k:02d}", seed): float(k) for k in range(30) for seed in (1, 2)})
    frame["knob"] = rates[frame["cell"]]
    frame.loc[0, "state"] = "failed"
    results, note = sweepboard.with_thirds(
        Found("x", frame, ("knob",), "digits", ("test/accuracy",), ()), "test/accuracy"
    )
    assert len(results) == 30 and results["knob"].value_counts().tolist() == [10, 10, 10]
    assert sorted(results["knob"].unique()) == pytest.approx(
        [np.median(rates[k : k + 10]) for k in (0, 10, 20)], rel=5e-3
    )
    assert "1 of 60 runs are left out" in note and "seed" not in results


def test_thirds_keep_equal_levels_together_and_are_told_as_configurations() -> None:
    values: dict[tuple[str, int], float | None] = {(f"{k:02d}", s): float(k % 5) + s for k in range(26) for s in (1, 2)}
    frame = made(values)
    frame["knob"] = np.array([*[3] * 10, *range(10, 26)])[frame["cell"]]  # 17 whole levels, one of them ten times
    found = Found("x", frame, ("knob",), "digits", ("test/accuracy",), ())
    results, _ = sweepboard.with_thirds(found, "test/accuracy")
    assert results["knob"].value_counts().to_dict() == {3.0: 10, 13.0: 7, 21.0: 9}
    analysis = anova.anova(results, "test/accuracy", ["knob"])
    assert "of 26 configurations, each its mean over seeds" in analysis.sentence and "runs" not in analysis.sentence
    seen = power.sweep_power(results, "test/accuracy", ["knob"])
    assert "With n = 7 configurations a cell you can see differences between two cells" in seen.sentence
    assert "seed" not in seen.sentence
    alone = power.sweep_power(results.drop(index=results.index[results["knob"] == 13.0][1:]), "test/accuracy", ["knob"])
    assert "Some cell has one configuration" in alone.sentence
    checked = assumptions.check(analysis)
    assert set(checked.residuals["seed"]) == {str(k) for k in range(26)} and checked.unit == "configuration"
    near = frame.assign(knob=1000.0 + frame["cell"] / 100)  # thirds that three digits would make one
    results, _ = sweepboard.with_thirds(Found("x", near, ("knob",), "digits", (), ()), "test/accuracy")
    assert results["knob"].nunique() == 3


def test_goals_made_from_others() -> None:
    frame = made({("1", 1): 0.5, ("1", 2): 0.7, ("2", 1): 0.6, ("2", 2): 0.6})
    frame["validation/loss"], frame["train/loss"] = 2.0, 1.5
    found = Found("x", frame, ("knob",), "digits", ("test/accuracy", "validation/loss", "train/loss"), ())
    results, names = sweepboard.with_goals(found)
    assert {"gap/loss", "spread/test/accuracy", "knob/knob"} <= set(names)
    assert results["gap/loss"].tolist() == [0.5] * 4
    assert results["spread/test/accuracy"].tolist() == pytest.approx([0.1 * 2**0.5, 0.1 * 2**0.5, 0.0, 0.0])


def test_a_configuration_that_lost_its_seeds_is_not_called_stable() -> None:
    frame = made({("1", 1): 0.5, ("1", 2): 0.7, ("2", 1): 0.6, ("2", 2): 0.6}, {("2", 2): "diverged"})
    results, _ = sweepboard.with_goals(Found("x", frame, ("knob",), "digits", ("test/accuracy",), ()))
    assert np.isnan(results["spread/test/accuracy"][2:]).all()


def test_a_spread_is_as_large_whatever_the_number_of_seeds() -> None:
    """The mean of |x − mean| · √(n/(n − 1)) is σ√(2/π) = 0.80 σ for normal runs, two or ten of them."""
    noise = np.random.default_rng(0)
    for n in (2, 10):
        frame = made({(f"{k:03d}", seed): float(noise.normal()) for k in range(600 // n) for seed in range(n)})
        results, _ = sweepboard.with_goals(Found("x", frame, ("knob",), "digits", ("test/accuracy",), ()))
        assert results["spread/test/accuracy"].mean() == pytest.approx((2 / np.pi) ** 0.5, abs=0.07)


def test_a_lead_of_survivors_is_called_so() -> None:
    values: dict[tuple[str, int], float | None] = {("a", s): 0.95 + 0.001 * s for s in range(10)}
    values |= {("b", s): 0.99 for s in range(10)}
    frame = made(values, {("b", s): "diverged" for s in range(2, 10)})
    told = sweepboard.best_sentence(sweepboard.board(frame, "test/accuracy", ["knob"]), "test/accuracy")
    assert "8 runs of its 10 diverged" in told and "of those that lost none, knob a leads" in told


def test_the_front_of_two_goals_is_that_of_its_definition() -> None:
    generator = np.random.default_rng(0)
    for n, values in ((1, 3), (2, 2), (7, 3), (30, 6), (30, 1000)):  # few values: many ties
        scores = generator.integers(0, values, size=(100, n, 2)).astype(float)
        ahead = scores[:, :, None, :] - scores[:, None, :, :]
        beats = (ahead >= 0).all(axis=-1) & (ahead > 0).any(axis=-1)
        assert (pareto.is_undominated(scores) == ~beats.any(axis=1)).all()


# ---- curves ----


def falling(finals: dict[str, float]) -> pd.DataFrame:
    epochs = np.arange(1, 41)
    return pd.concat(
        [
            pd.DataFrame({"run": run, "epoch": epochs.astype(float), "value": final + np.exp(-epochs / 3.0)})
            for run, final in finals.items()
        ],
        ignore_index=True,
    )


def test_classes_and_foresight_of_made_curves() -> None:
    values: dict[tuple[str, int], float | None] = {(f"{k}", seed): 1.0 - k / 10 for k in range(4) for seed in (1, 2)}
    frame = made(values, {("0", 1): "diverged", ("0", 2): "running"})
    found = Found("x", frame, ("knob",), "digits", ("test/accuracy",), ("train/loss",))
    curves = falling({f"{k}{seed}": k / 10 for k in range(4) for seed in (1, 2)})
    kinds = sweepends.classes(found, curves[curves["run"] != "01"], "train/loss").set_index("run")
    assert kinds.loc["01", "kind"] == "diverged"  # it ended before it told a number
    assert set(kinds["kind"][1:]) == {"stable"} and "02" not in kinds.index  # what runs has not ended
    assert sweepends.counted(kinds.reset_index()) == "Of 7 curves: 1 run diverged and 6 runs stable."
    assert sweepends.by_factor(kinds.reset_index(), "knob").counts.loc["diverged"].tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="neither direction is better"):
        sweepends.classes(found, curves, "optim/learning_rate")
    told = sweepends.foretold(found, curves, "test/accuracy")  # the order never changes: loss up, accuracy down
    assert told.n == 6 and told.table.loc[told.table["predictor"] != "hyper-parameters alone", "rho"].min() > 0.99
    with pytest.raises(ValueError, match="nothing to foretell"):
        sweepends.foretold(
            Found("x", frame.assign(**{"test/accuracy": 1.0}), ("knob",), "digits", (), ()), curves, "test/accuracy"
        )


# ---- pictures ----


@pytest.mark.parametrize(
    ("low", "high", "is_log", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-7.0, 23.0, False, [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0]),
        (1e-4, 1e-1, True, [1e-4, 1e-3, 1e-2, 1e-1]),
        (3.0, 3.0, False, [3.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, is_log: bool, expected: list[float]) -> None:
    assert svg.ticks(low, high, is_log=is_log) == pytest.approx(expected)


def test_a_picture_puts_points_where_they_belong() -> None:
    x, y = np.array([0.001, 0.01, 0.1, -1.0]), np.array([0.0, 5.0, 10.0, 3.0])
    picture = svg.plot("<t> & 'q'", [svg.Layer("dots", x, y)], svg.Axis("x", "log"), svg.Axis("y"))
    root = ET.fromstring(picture)
    circles = [
        (float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert len(circles) == 3  # what is not above 0 has no place on a logarithmic axis
    (x0, y0), (x1, y1), (x2, y2) = circles
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11) and y0 - y1 == pytest.approx(y1 - y2, abs=0.11) and y2 < y0
    assert root.get("aria-label") == "<t> & 'q'"


def test_a_picture_of_nothing_says_so() -> None:
    empty = np.array([np.nan, np.nan])
    for kind in ("dots", "line"):
        picture = svg.plot("t", [svg.Layer(kind, empty, empty)], svg.Axis("x", "log"), svg.Axis("y"))
        assert "no data" in picture and ET.fromstring(picture) is not None
    one = svg.plot("t", [svg.Layer("dots", np.array([2.0]), np.array([2.0]))], svg.Axis("x"), svg.Axis("y"))
    assert "NaN" not in one and "nan" not in one


# ---- documents ----


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_stays_text_in_both_forms() -> None:
    hostile = "<script>x</script> *a* [b](c) `d` | e\n# f"
    blocks = [Block(kind, hostile) for kind in ("title", "heading", "text", "quote", "warning", "code")]
    blocks.append(Block("table", hostile, table=pd.DataFrame({hostile: [hostile, None, 0.12345678]})))
    parser = Tags()
    parser.feed(document.as_html(blocks))
    assert "script" not in parser.seen and parser.text.count("<script>x</script>") == 10  # 2 in the title
    markdown = document.as_markdown(blocks)
    outside = re.sub(r"```.*?```", "", markdown, flags=re.S)
    assert not re.search(r"(?<!\\)<script|(?<!\\)\*a|(?<!\\)`d|\n# f", outside)
    rows = [line for line in outside.splitlines() if line.startswith("| ")]
    assert len(rows) == 5 and all(len(re.findall(r"(?<!\\)\|", row)) == 2 for row in rows)
    assert "0.1235" in rows[-1] and rows[-2] == "| – |"


@pytest.fixture
def sweep(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    (tmp_path / "report.toml").write_text(TEXT)
    made_id = sweeps.start(tmp_path / "report.toml")
    before = signal.getsignal(signal.SIGTERM)
    folders = [paths.runs() / run for run in sweeps.read(made_id).runs]
    try:
        for folder in folders:
            supervisor.claim(folder)
        many.main(folders)
    finally:
        signal.signal(signal.SIGTERM, before)
    return made_id


def test_a_report_holds_the_whole_analysis_and_opens_without_a_network(sweep: str) -> None:
    store = memory_store()
    blocks = sweepreport.report(store, sweep)
    headings = [block.text for block in blocks if block.kind == "heading"]
    assert headings == ["What was run", *sweepreport.PARTS, "The same numbers again"]
    assert next(block.text for block in blocks if block.language == "toml") == TEXT
    quotes = "\n".join(block.text for block in blocks if block.kind == "quote")
    for words in ("has the highest mean", "changes the validation ccc", "With n = 2 seeds", "Of 12 curves", "ranked"):
        assert words in quotes
    assert all(len(block.table.columns) <= 9 for block in blocks if block.table is not None and "varianc" in block.text)
    for block in blocks:
        if block.kind == "figure":
            assert ET.fromstring(block.svg).get("aria-label") and "no data" not in block.svg
            assert not re.search(r'"-?(nan|inf)', block.svg.lower())
    page = document.as_html(blocks)
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.seen and "b" not in parser.seen and not HTTP.search(page)
    assert parser.seen.count("svg") == sum(block.kind == "figure" for block in blocks) >= 8
    pictures = re.findall(r"base64,([\w+/=]+)\)", document.as_markdown(blocks))
    assert len(pictures) == parser.seen.count("svg") and all(ET.fromstring(base64.b64decode(p)) for p in pictures)
    with pytest.raises(ValueError, match="has the number 'x'; there are validation/ccc"):
        sweepreport.report(store, sweep, response="x")


def test_the_statement_reads_the_same_numbers(sweep: str) -> None:
    store = memory_store()
    frame = sweeps.results(store, sweep).set_index("run").sort_index()
    for response in ("validation/ccc", "train/loss"):
        answer = sqlbox.ask(store, sweepboard.statement(sweeps.read(sweep), response))
        rows = sqlbox.as_frame(answer.table).set_index("run").sort_index()
        assert rows.index.tolist() == frame.index.tolist()
        assert rows[response].astype(float).tolist() == pytest.approx(frame[response].tolist(), nan_ok=True)
        assert rows["learning_rate"].astype(float).tolist() == frame["learning_rate"].tolist()
        assert rows["state"].tolist() == frame["state"].tolist()


def test_a_sweep_without_numbers_has_a_report_too(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)
    (tmp_path / "none.toml").write_text(TEXT)
    blocks = sweepreport.report(memory_store(), sweeps.start(tmp_path / "none.toml"))
    told = "\n".join(block.text for block in blocks if block.kind == "warning")
    assert "12 runs had not ended" in told and "None of 12 runs has a number to analyse." in told
    assert "12 queued" in document.as_html(blocks)


def test_a_curve_bound_for_a_far_limit_is_not_called_a_logarithm() -> None:
    kinds = pd.DataFrame(
        {"kind": ["still improving"] * 3, "is_unlimited": [True, True, False],
         "law": ["logarithm", "exponential", "exponential"]}
    )  # fmt: skip
    told = sweepends.counted(kinds)
    assert "1 curve improves like a logarithm" in told
    assert "1 curve bends towards a limit, and is not half-way to it." in told


def test_knobs_of_a_fraction_say_what_their_means_may_be_instead() -> None:
    """Half of 2³ with c = a·b: a figure of c alone cannot tell it from the interaction of the others."""
    cells = [(a, b, a * b) for a in (-1, 1) for b in (-1, 1)]
    rows = [
        (f"r{cell}{seed}", cell, f"c{cell}", seed, "done", False, "", *levels, float(cell + seed / 10))
        for cell, levels in enumerate(cells) for seed in (1, 2)
    ]  # fmt: skip
    names = ["run", "cell", "config_id", "seed", "state", "diverged", "outcome", "a", "b", "c", "test/accuracy"]
    results, factors = pd.DataFrame(rows, columns=names), ("a", "b", "c")
    found = Found("sweep", results, factors, "", ("test/accuracy",), ())
    told = sweepreport._Sweep(None, found, "test/accuracy", "III", "", results, "", lambda name: results)  # type: ignore[arg-type]
    warnings = [block.text for block in sweepreport._knobs(told) if block.kind == "warning"]
    assert [warning.split(":")[0] for warning in warnings] == [
        f"These cells cannot tell {mixed} apart" for mixed in ("a = b × c", "b = a × c", "c = a × b")
    ]
    whole = results.assign(c=[1, -1] * 4)  # with both levels of c in each cell of the others
    told = sweepreport._Sweep(None, found, "test/accuracy", "III", "", whole, "", lambda name: whole)  # type: ignore[arg-type]
    assert not [block for block in sweepreport._knobs(told) if block.kind == "warning"]


def test_the_ends_of_an_interval_are_drawn_where_there_is_one() -> None:
    values: dict[tuple[str, int], float | None] = {("a", 1): 0.5, ("a", 2): 0.5001, ("b", 1): 0.1}
    board = sweepboard.board(made(values), "test/accuracy", ["knob"])
    chart = boardcharts.board_drawing(boardcharts.board_table(board), "test/accuracy", ROLES["light"]).to_dict()
    ticks = [layer for layer in chart["layer"] if layer["mark"]["type"] == "tick"]
    rows = [chart["datasets"][layer["data"]["name"]] for layer in ticks]
    assert [layer["encoding"]["x"]["field"] for layer in ticks] == ["low", "high"]
    assert [[row["name"] for row in layer] for layer in rows] == [["a"], ["a"]]
