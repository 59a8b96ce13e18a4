"""Forms: the steps of a logarithmic slider, and a configuration that travels in an address."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from streamlit.testing.v1 import AppTest

import trainers
from core import config
from core.config import knob
from pages import forms


@dataclass(frozen=True)
class Config:
    rate: float = knob(0.3, "A rate.", low=1e-3, high=40.0, scale="log", hot=True)
    rows: int = knob(48, "A count.", low=3, high=1000, scale="log")
    is_on: bool = knob(True, "A switch.")
    kind: str = knob("sgd", "A choice.", choices=("sgd", "adam"))
    momentum: float = knob(0.9, "Only with sgd.", low=0.0, high=1.0, when={"kind": "sgd"})


@pytest.mark.parametrize("current", [0.3, 0.0471, 1e-3, 40.0])
def test_steps_of_a_rate_go_1_2_5_and_hold_what_matters(current: float) -> None:
    steps = forms.log_steps(config.knobs(Config)["rate"], current)
    assert steps == sorted(set(steps))
    assert {1e-3, 40.0, 0.3, current} <= set(steps)
    assert {0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20} <= set(steps)
    assert (steps[0], steps[-1]) == (1e-3, 40.0)


@pytest.mark.parametrize("current", [48, 7, 3, 1000])
def test_steps_of_a_count_are_powers_of_two(current: int) -> None:
    steps = forms.log_steps(config.knobs(Config)["rows"], current)
    assert set(steps) == {3, 4, 8, 16, 32, 48, 64, 128, 256, 512, 1000, current}
    assert steps == sorted(steps)
    assert {type(step) for step in steps} == {int}


@pytest.mark.parametrize("name", trainers.names())
def test_every_logarithmic_knob_has_steps(name: str) -> None:
    for one in config.knobs(trainers.load(name).Config).values():
        if one.scale == "log":
            steps = forms.log_steps(one, one.default)
            assert steps[0] == one.low and steps[-1] == one.high and one.default in steps
            assert 2 <= len(steps) <= 3 * (math.log10(one.high) - math.log10(one.low)) + 6  # a slider one can aim at


def test_a_number_is_shown_with_the_digits_that_its_steps_have() -> None:
    """Two digits hid what a step of 0.001 had set, and no slider of a hundred steps reaches 1e-4 on a way to 0.1."""

    def page() -> None:
        from pages import forms
        from trainers import instrunet

        forms.knob_form("instrunet", instrunet.Config, instrunet.PRESETS, is_linked=False)

    app = AppTest.from_function(page).run()
    (decay,) = [one for one in app.number_input if one.label.startswith("Weight decay")]
    assert (decay.value, decay.step, decay.proto.format) == (1e-4, 1e-4, "%g")
    for one in app.slider:
        if isinstance(one.value, float):
            assert one.proto.format == f"%.{max(round(-math.log10(one.step)), 0)}f", one.label
    (dropout,) = [one for one in app.slider if one.label.startswith("Block dropout")]
    assert (dropout.step, dropout.proto.format) == (pytest.approx(0.001), "%.3f")


def read_back(link: dict[str, str], trainer: str) -> Config:
    """What the form makes of an address: every knob on it through `config.read`."""
    given = {key.removeprefix(f"{trainer}."): text for key, text in link.items() if key.startswith(f"{trainer}.")}
    return config.make(Config, {name: config.read(Config, name, text) for name, text in given.items()})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rate": 0.1 + 0.2},  # 0.30000000000000004: no digit may be lost
        {"rate": 1e-3, "rows": 999, "is_on": False, "kind": "adam"},
        {"momentum": 0.0, "rate": 40.0},
    ],
)
def test_a_configuration_survives_the_address(values: dict[str, object]) -> None:
    wanted = config.make(Config, values)
    link = forms.link("stand_in", "folder:/a b/<c>", "leave-source:é&?", config.to_dict(wanted), Config)
    assert all(isinstance(text, str) for text in link.values())
    assert read_back(link, "stand_in") == wanted
    assert (link["trainer"], link["data"], link["split"]) == ("stand_in", "folder:/a b/<c>", "leave-source:é&?")
    assert set(link) == {"trainer", "data", "split"} | {f"stand_in.{name}" for name in values}  # defaults stay out


def test_a_knob_that_is_no_more_stays_out_of_the_link() -> None:
    assert forms.link("toy", "toy", "grouped:0", {"gone": 3}, Config).keys() == {"trainer", "data", "split"}


def form_script() -> None:
    from pages import forms
    from tests.unit.test_forms import Config

    forms.knob_form("made", Config, {"defaults": {}})


def test_two_knobs_share_a_row() -> None:
    app = AppTest.from_function(form_script).run(timeout=60)
    assert not app.exception
    widgets = [[widget.label for widget in column.children.values()] for column in app.columns]
    assert widgets == [["Rate ●"], ["Rows"], ["Is on"], ["Kind"], ["Momentum"], []]
