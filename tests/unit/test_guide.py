"""The Guide leaves nothing out, and is found by words and by anchors."""

from __future__ import annotations

import re

import pytest

import trainers
from core import charts, config, datacharts, datasets, guide, metrics, runcurves


def everything() -> list[guide.Entry]:
    knobs = [guide.of_knobs(name, trainers.load(name)) for name in ("toy", "ridge")]
    return [*guide.reading(), *guide.of_metrics(), *guide.of_charts(), *knobs, *guide.of_data()]


def test_every_metric_chart_and_data_set_is_explained() -> None:
    told = {section: {e.name for e in everything() if e.section == section} for section in guide.SECTIONS}
    assert told["Metrics"] == set(metrics.METRICS)
    assert told["Data"] == set(datasets.names())
    modules = (charts, datacharts, runcurves)
    drawings = {name for module in modules for name in vars(module) if name.endswith("_drawing")}
    assert len(told["Charts"]) == len(drawings) >= 8
    assert set(guide.HOW_TO_READ) <= {name.removesuffix("_drawing") for name in drawings}
    assert all("`" not in entry.text for entry in guide.of_charts())  # nothing for callers


def test_a_link_leads_to_the_anchor_of_its_metric() -> None:
    anchors = {entry.anchor for entry in guide.of_metrics()}
    for name in ("ccc", "validation/ccc_valence", "test/macro_f1", "optim/learning_rate"):
        path, _, anchor = guide.link(name).partition("#")
        assert path == "guide?section=Metrics" and anchor in anchors
    assert guide.link("validation/ccc_valence").endswith("#metrics-ccc")
    with pytest.raises(ValueError, match="No metric explains"):
        guide.link("nonsense")


def test_every_entry_says_something_in_sentences() -> None:
    for entry in everything():
        assert len(entry.text) > 40 and "\n    " not in entry.text, entry.name
        assert entry.section in guide.SECTIONS


def test_every_topic_asked_of_the_guide_is_there() -> None:
    text = " ".join(entry.text for entry in guide.reading()).lower()
    for word in ("validation loss turns up", "discriminator", "training seed", "bootstrap", "second validation set",
                 "ceiling", "converged"):  # fmt: skip
        assert word in text


def test_anchors_are_unique_and_fit_into_an_address() -> None:
    anchors = [entry.anchor for entry in everything()]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", anchor) for anchor in anchors)
    assert guide.Entry("Metrics", "macro_f1", "").anchor == "metrics-macro-f1"


def test_every_knob_stands_in_its_table_with_range_and_default() -> None:
    module = trainers.load("toy")
    text = guide.of_knobs("toy", module).text
    for name, knob in config.knobs(module.Config).items():
        assert f"| {name} | {knob.default} | {knob.range_text} | {knob.sentence}" in text
    assert "Can move while it trains." in text


@pytest.mark.parametrize(("words", "first"), [("ccc", "ccc"), ("WASSERSTEIN", "Losses of a GAN"), ("leak", "Leaks")])
def test_search_finds_names_before_texts(words: str, first: str) -> None:
    assert guide.search(everything(), words)[0].name == first
    assert guide.search(everything(), f"{words} nowhere-to-be-found") == []
    assert len(guide.search(everything(), " ")) == len(everything())
