"""The Guide leaves nothing out, and is found by words and by anchors."""

from __future__ import annotations

import re

import pytest

import trainers
from core import charts, config, datasets, guide, metrics


def everything() -> list[guide.Entry]:
    knobs = [guide.of_knobs(name, trainers.load(name)) for name in ("toy", "ridge")]
    return [*guide.reading(), *guide.of_metrics(), *guide.of_charts(), *knobs, *guide.of_data()]


def test_every_metric_chart_and_data_set_is_explained() -> None:
    told = {section: {e.name for e in everything() if e.section == section} for section in guide.SECTIONS}
    assert told["Metrics"] == set(metrics.METRICS)
    assert told["Data"] == set(datasets.names())
    drawings = [name for name in vars(charts) if name.endswith("_drawing")]
    assert len(told["Charts"]) == len(drawings) >= 4


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
