"""Knobs: what a user may type, what is refused and how, and the way through a command line and back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import config
from core.config import knob


@dataclass(frozen=True)
class Config:
    learning_rate: float = knob(0.1, "Step size.", low=1e-6, high=100.0, scale="log", hot=True)
    momentum: float = knob(0.9, "Memory.", low=0.0, high=0.999, when={"optimizer": "sgd"})
    optimizer: str = knob("sgd", "Rule.", choices=("sgd", "adam"))
    epochs: int = knob(20, "Passes.", low=1, high=2**60, unit="epochs")
    is_shuffled: bool = knob(True, "Shuffle.")
    limit: float | None = knob(None, "Cap of the gradient.", low=0.0)
    note: str = knob("", "Text.")


def parsed(command: str) -> tuple[list[str], dict[str, str]]:
    """The words of a command line, and its --set pairs."""
    words, values = shlex.split(command), {}
    while "--set" in words:
        place = words.index("--set")
        name, _, value = words[place + 1].partition("=")
        values[name] = value
        del words[place : place + 2]
    return words, values


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"learning_rate": "0"}, "learning_rate must be 1e-06 to 100, not 0."),
        ({"learning_rate": 101.0}, "learning_rate must be 1e-06 to 100, not 101."),
        ({"learning_rate": "fast"}, "learning_rate must be a number (1e-06 to 100), not 'fast'."),
        ({"learning_rate": "nan"}, "learning_rate must be a number (1e-06 to 100), not 'nan'."),
        ({"learning_rate": "inf"}, "learning_rate must be a number (1e-06 to 100), not 'inf'."),
        ({"learning_rate": True}, "learning_rate must be a number (1e-06 to 100), not True."),
        ({"learning_rate": None}, "learning_rate needs a value: 1e-06 to 100."),
        ({"learning_rate": [1]}, "learning_rate must be a number (1e-06 to 100), not [1]."),
        ({"epochs": "2.5"}, "epochs must be a whole number (1 to 1.15292e+18 epochs), not '2.5'."),
        ({"epochs": "inf"}, "epochs must be a whole number (1 to 1.15292e+18 epochs), not 'inf'."),
        ({"epochs": 0}, "epochs must be 1 to 1.15292e+18 epochs, not 0."),
        ({"epochs": 10**400}, f"epochs must be 1 to 1.15292e+18 epochs, not {10**400}."),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, not 'lion'."),
        ({"is_shuffled": "maybe"}, "is_shuffled must be true or false (true or false), not 'maybe'."),
        ({"limit": "-1"}, "limit must be 0 to ∞, not -1."),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_range(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        config.make(Config, values)
    assert str(caught.value) == sentence


def test_an_unknown_knob_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no knob 'epoch'; this trainer has learning_rate, momentum"):
        config.make(Config, {"epoch": 3})
    with pytest.raises(ValueError, match="no knob 'epoch'"):
        config.read(Config, "epoch", 3)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "1e3", 1000),
        ("epochs", "9007199254740993", 9007199254740993),  # 2⁵³ + 1, which a float cannot hold
        ("epochs", " 7 ", 7),
        ("epochs", 7.0, 7),
        ("learning_rate", "1", 1.0),
        ("is_shuffled", "No", False),
        ("is_shuffled", "1", True),
        ("limit", "none", None),
        ("limit", "", None),
        ("limit", None, None),
        ("note", "a = b", "a = b"),
    ],
)
def test_text_is_read_as_the_type_of_the_knob(name: str, text: Any, value: Any) -> None:
    read = config.read(Config, name, text)
    assert read == value
    assert type(read) is type(value)


def test_a_knob_applies_only_when_its_condition_holds() -> None:
    with pytest.raises(ValueError, match=r"^momentum only applies when optimizer is sgd; "):
        config.make(Config, {"optimizer": "adam", "momentum": 0.5})
    assert config.make(Config, {"optimizer": "sgd", "momentum": 0.5}).momentum == 0.5
    # A form sends every knob: one that is left alone is no mistake.
    assert config.make(Config, {"optimizer": "adam", "momentum": 0.9}).optimizer == "adam"
    about = config.knobs(Config)["momentum"]
    assert about.applies({"optimizer": "sgd"})
    assert not about.applies({"optimizer": "adam"})


def test_hot_changes_take_hot_knobs_only() -> None:
    assert config.hot_changes(Config, {"learning_rate": "0.5"}) == {"learning_rate": 0.5}
    with pytest.raises(ValueError, match=r"^epochs cannot change while a run trains; these can: learning_rate\.$"):
        config.hot_changes(Config, {"learning_rate": 0.5, "epochs": 3})
    with pytest.raises(ValueError, match="learning_rate must be 1e-06 to 100"):
        config.hot_changes(Config, {"learning_rate": -1})


configurations = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.floats(1e-6, 100.0),
        "momentum": st.floats(0.0, 0.999),
        "epochs": st.integers(1, 2**60),
        "is_shuffled": st.booleans(),
        "limit": st.none() | st.floats(0.0, 1e300),
        "note": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    },
)


@given(configurations, st.integers(0, 2**32 - 1))
def test_a_command_line_makes_the_same_configuration_as_the_form(values: dict[str, Any], seed: int) -> None:
    form = config.make(Config, values)
    line = config.command("toy", form, data="folder:/my music", split="cv10:0.3", seed=seed, device="cpu")
    words, settings = parsed(line)
    assert config.make(Config, settings) == form
    assert words[:6] == ["python", "lab.py", "train", "toy", "--data", "folder:/my music"]
    assert words[6:] == ["--split", "cv10:0.3", "--seed", str(seed), "--device", "cpu"]


def test_only_moved_knobs_stand_in_the_command() -> None:
    assert config.command("toy", Config(), data="toy") == "python lab.py train toy --data toy --seed 0"
    assert config.different_from_default(Config(epochs=3)) == {"epochs": 3}
    assert set(config.to_dict(Config())) == {field.name for field in fields(Config)}


def test_a_fingerprint_names_the_values_not_their_order() -> None:
    assert config.fingerprint({"a": 1, "b": 2}) == config.fingerprint({"b": 2, "a": 1})
    assert config.fingerprint({"a": 1}) != config.fingerprint({"a": 2})
    assert len(config.fingerprint(None)) == 12
