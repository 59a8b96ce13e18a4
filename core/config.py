"""Knobs: a dataclass field that knows its sentence, range, unit and scale, and becomes a form, a flag or a link.

    @dataclass(frozen=True)
    class Config:
        learning_rate: float = knob(1e-2, "Step size of the optimiser.", low=1e-6, high=1.0, scale="log", hot=True)

A trainer's `Config` is made of knobs only. Values from outside (a form, `--set`, a link) pass through `make`, which
raises ValueError with one sentence for anything a user could get wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import shlex
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

C = TypeVar("C")


@dataclass(frozen=True)
class Knob:
    """One hyper-parameter: how it is shown, what it may be, and when it applies.

    `scale` is "linear" or "log"; `hot` knobs may move while a run trains; those and `branch` knobs may differ where a
    run goes on from another's checkpoint; `when` maps another knob to the values for which this one applies; `kind`
    "run" means the value is the id of a run used as input.
    """

    name: str
    type: type
    default: Any
    sentence: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    unit: str = ""
    scale: str = "linear"
    hot: bool = False
    branch: bool = False
    when: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    kind: str = "value"
    optional: bool = False

    @property
    def label(self) -> str:
        """The name as words: `learning_rate` is "Learning rate"."""
        words = self.name.replace("_", " ")
        return words[0].upper() + words[1:]

    @property
    def range_text(self) -> str:
        """What it may be, for a sentence: "1e-06 to 1 Hz" or "adam, sgd"."""
        if self.choices is not None:
            return ", ".join(str(choice) for choice in self.choices)
        if self.kind == "run":
            return "the id of a finished run"
        if self.type is bool:
            return "true or false"
        low = "-∞" if self.low is None else f"{self.low:g}"
        high = "∞" if self.high is None else f"{self.high:g}"
        return f"{low} to {high}" + (f" {self.unit}" if self.unit else "")

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether this knob means anything beside the other `values`."""
        return all(values.get(other) in allowed for other, allowed in self.when.items())


def knob(
    default: Any, sentence: str, *, when: Mapping[str, Any] | None = None, choices: Any = None, **about: Any
) -> Any:
    """A dataclass field that is a knob; see `Knob` for the words it takes."""
    conditions = {key: value if isinstance(value, tuple) else (value,) for key, value in (when or {}).items()}
    metadata = {"sentence": sentence, "when": conditions, **about}
    if choices is not None:
        metadata["choices"] = tuple(choices)
    return dataclasses.field(default=default, metadata={"knob": metadata})


def knobs(config_class: type) -> dict[str, Knob]:
    """All knobs of a Config class by name, in the order written."""
    hints = typing.get_type_hints(config_class)
    found = {}
    for entry in dataclasses.fields(config_class):
        assert "knob" in entry.metadata, f"{config_class.__module__}.{entry.name} is not a knob"
        kind, optional = hints[entry.name], False
        if isinstance(kind, types.UnionType):
            optional = type(None) in kind.__args__
            kind = next(part for part in kind.__args__ if part is not type(None))
        found[entry.name] = Knob(entry.name, kind, entry.default, optional=optional, **entry.metadata["knob"])
    return found


def make(config_class: type[C], values: Mapping[str, Any] | None = None) -> C:
    """A checked configuration from outside values; what is not given has its default.

    Raises ValueError for an unknown knob, a wrong type, a value out of range, and a knob that does not apply
    beside the others (unless it is left at its default).
    """
    about, values = knobs(config_class), dict(values or {})
    for name in values:
        if name not in about:
            raise ValueError(f"There is no knob {name!r}; this trainer has {', '.join(about) or 'none'}.")
    merged = {name: _read(about[name], values[name]) if name in values else about[name].default for name in about}
    for name in values:
        if not about[name].applies(merged) and merged[name] != about[name].default:
            needs = " and ".join(
                f"{other} is {' or '.join(map(str, allowed))}" for other, allowed in about[name].when.items()
            )
            raise ValueError(f"{name} only applies when {needs}; leave it out or change that first.")
    return config_class(**merged)


def read(config_class: type, name: str, value: Any) -> Any:
    """One outside value as the knob `name` takes it; ValueError as in `make`."""
    about = knobs(config_class)
    if name not in about:
        raise ValueError(f"There is no knob {name!r}; this trainer has {', '.join(about) or 'none'}.")
    return _read(about[name], value)


def possible(config_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` where each is one that its knob may have; what no longer exists, or no longer fits, is left out."""
    found = {}
    for name, value in values.items():
        with contextlib.suppress(ValueError):
            found[name] = read(config_class, name, value)
    return found


def hot_changes(config_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked changes for a run that is training; ValueError for a knob that is not hot."""
    about, checked = knobs(config_class), {}
    for name, value in values.items():
        checked[name] = read(config_class, name, value)
        if not about[name].hot:
            hot = ", ".join(key for key, entry in about.items() if entry.hot) or "none"
            raise ValueError(f"{name} cannot change while a run trains; these can: {hot}.")
    return checked


def _read(about: Knob, value: Any) -> Any:
    if value is None or (about.optional and isinstance(value, str) and value.strip().lower() in ("", "none")):
        if about.optional:
            return None
        raise ValueError(f"{about.name} needs a value: {about.range_text}.")
    try:
        value = _convert(about.type, value)
    except (TypeError, ValueError, OverflowError):  # int(inf) overflows
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[about.type]
        raise ValueError(f"{about.name} must be {expected} ({about.range_text}), not {value!r}.") from None
    if about.choices is not None and value not in about.choices:
        raise ValueError(f"{about.name} must be one of {about.range_text}, not {value!r}.")
    too_low = about.low is not None and value < about.low
    too_high = about.high is not None and value > about.high
    if too_low or too_high:
        shown = f"{value:g}" if isinstance(value, float) else value
        raise ValueError(f"{about.name} must be {about.range_text}, not {shown}.")
    return value


def _convert(kind: type, value: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text in ("true", "yes", "on", "1"):
            return True
        if text in ("false", "no", "off", "0"):
            return False
        raise ValueError(value)
    if isinstance(value, bool):
        raise ValueError(value)
    if kind is int:
        if isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdecimal()):
            return int(value)  # not by way of a float, which rounds above 2⁵³
        number = float(value)
        if number != int(number):
            raise ValueError(value)
        return int(number)
    if kind is float:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(value)
        return number
    return kind(value)


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain JSON values, all knobs included."""
    return dataclasses.asdict(config)


def different_from_default(config: Any) -> dict[str, Any]:
    """Only the knobs that were moved, for a command line or a link."""
    return {name: value for name, value in to_dict(config).items() if value != knobs(type(config))[name].default}


def command(
    trainer: str, config: Any, *, data: str, split: str | None = None, seed: int = 0, device: str = "auto"
) -> str:
    """The command line that makes the same run as a form with these values."""
    words = ["python", "lab.py", "train", trainer, "--data", data]
    if split:
        words += ["--split", split]
    words += ["--seed", str(seed)]
    for name, value in different_from_default(config).items():
        words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if device != "auto":
        words += ["--device", device]
    return shlex.join(words)


def fingerprint(value: Any) -> str:
    """A short stable name for any JSON value (12 hexadecimal digits of SHA-256 over sorted keys)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]
