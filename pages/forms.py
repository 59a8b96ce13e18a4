"""A trainer's knobs as a form; what is set stands in the page's address, so that every form is a link."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import streamlit as st

from core import config
from core.config import Knob
from pages import runnames, shared


def knob_form(
    trainer_name: str,
    config_class: type,
    presets: dict[str, dict[str, Any]],
    *,
    prefix: str = "",
    initial: dict[str, Any] | None = None,
    is_linked: bool = True,
) -> Any:
    """Draw every knob that applies; returns the checked configuration.

    Values start from the address (`<trainer>.<knob>=…`), else from `initial`, else from the defaults. `prefix` keeps
    two forms apart; `is_linked` says whether what is set goes into the page's address.
    """
    about = config.knobs(config_class)
    keys = {name: f"{prefix}{trainer_name}.{name}" for name in about}
    _start(config_class, about, keys, initial or {})
    _presets(trainer_name, about, keys, presets, prefix)
    values: dict[str, Any] = {}
    columns: Iterator[Any] = iter(())
    for name, knob in about.items():
        current = {other: st.session_state.get(keys[other], about[other].default) for other in about}
        if not knob.applies(current):
            values[name] = knob.default
            continue
        # A row of columns for each two: in two columns that go on by themselves a label of two lines parts the rows.
        column = next(columns, None)
        if column is None:
            columns = iter(st.columns(2, vertical_alignment="bottom"))
            column = next(columns)
        with column:
            values[name] = _widget(knob, keys[name])
    moved = {name: value for name, value in values.items() if value != about[name].default}
    if is_linked:
        _into_address(about, keys, moved)
    return config.make(config_class, values)


def link(trainer_name: str, data: str, split: str, values: dict[str, Any], config_class: type) -> dict[str, str]:
    """The address of a Train page that starts from these values."""
    about = config.knobs(config_class)
    moved = {name: value for name, value in values.items() if name in about and value != about[name].default}
    return {"trainer": trainer_name, "data": data, "split": split} | {
        f"{trainer_name}.{k}": str(v) for k, v in moved.items()
    }


def _start(config_class: type, about: dict[str, Knob], keys: dict[str, str], initial: dict[str, Any]) -> None:
    initial = config.possible(config_class, initial)
    for name, knob in about.items():
        if keys[name] in st.session_state:
            continue
        given = st.query_params.get(keys[name])
        value = initial.get(name, knob.default)
        if given is not None:
            try:
                value = config.read(config_class, name, given)
            except ValueError as error:
                st.warning(shared.plain(f"The link asked for something else: {error}"))
        st.session_state[keys[name]] = value


def _presets(
    trainer_name: str, about: dict[str, Knob], keys: dict[str, str], presets: dict[str, Any], prefix: str
) -> None:
    def fill() -> None:
        chosen = st.session_state[f"{prefix}{trainer_name}.preset"]
        for name, knob in about.items():
            st.session_state[keys[name]] = presets.get(chosen, {}).get(name, knob.default)

    st.selectbox(
        "Preset",
        list(presets),
        key=f"{prefix}{trainer_name}.preset",
        index=None,
        placeholder="Fill the form with a known good setting",
        on_change=fill,
        help="Sets every knob below; choose the first one to undo your changes.",
    )


def _widget(knob: Knob, key: str) -> Any:
    is_said = not knob.unit or knob.unit in knob.name  # "Epochs (epochs)" says it twice
    label = knob.label if is_said else f"{knob.label} ({knob.unit})"
    if knob.hot:
        label += " ●"
    hot = "It can move while the run trains. " if knob.hot else ""
    ends = f"{knob.sentence} {hot}Range: {knob.range_text}{', logarithmic' if knob.scale == 'log' else ''}."
    if knob.choices is not None:
        return st.selectbox(label, knob.choices, key=key, help=ends)
    if knob.type is bool:
        return st.toggle(label, key=key, help=ends)
    if knob.kind == "run":
        return _run_widget(knob, key, ends)
    if knob.type is str:
        return st.text_input(label, key=key, help=ends)
    if knob.optional or knob.low is None or knob.high is None:
        return st.number_input(label, min_value=knob.low, max_value=knob.high, key=key, help=ends)
    if knob.scale == "log":
        steps = log_steps(knob, st.session_state[key])
        return st.select_slider(label, steps, key=key, help=ends, format_func=lambda value: f"{value:g}")
    if knob.type is int:
        if knob.high - knob.low > 1000:
            return int(st.number_input(label, int(knob.low), int(knob.high), key=key, help=ends))
        return int(st.slider(label, int(knob.low), int(knob.high), key=key, help=ends))
    decimals = math.ceil(-math.log10((knob.high - knob.low) / 100))
    above = 0.0 if knob.default is None else knob.default - knob.low
    if above < 0.02 * (knob.high - knob.low) and (knob.high > 2 or above > 0):
        # A slider whose useful values all lie in its first pixels is no slider.
        step = 10.0 ** math.floor(math.log10(above)) if above else 10.0**-decimals
        return st.number_input(label, float(knob.low), float(knob.high), step=step, key=key, help=ends, format="%g")
    form = f"%.{max(decimals, 0)}f"
    return st.slider(label, float(knob.low), float(knob.high), step=10.0**-decimals, key=key, help=ends, format=form)


def _run_widget(knob: Knob, key: str, ends: str) -> str | None:
    """Every run that is done, newest first; and the one that is asked for, whatever became of it."""
    frame = shared.store().runs()
    names = {
        row["run"]: f"{runnames.listed(row)} ({row['run']})"
        for row in frame[frame["state"] == "done"].to_dict("records")
    }
    asked = st.session_state[key]
    choices = ["", *dict.fromkeys([*([asked] if asked else []), *names])]
    return st.selectbox(knob.label, choices, key=key, help=ends, format_func=lambda run: names.get(run, run or "—"))


def log_steps(knob: Knob, current: Any) -> list[Any]:
    """1, 2, 5, 10 … over the range of a logarithmic knob, its ends, its default and the current value among them."""
    assert knob.low is not None and knob.high is not None and knob.low > 0, knob.name
    decades = range(math.floor(math.log10(knob.low)), math.ceil(math.log10(knob.high)) + 1)
    grid = {float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)}
    inside = {value for value in grid if knob.low <= value <= knob.high} | {knob.low, knob.high, knob.default, current}
    if knob.type is int:
        powers = {2**power for power in range(int(knob.high).bit_length()) if knob.low <= 2**power <= knob.high}
        return sorted({int(value) for value in powers | {knob.low, knob.high, knob.default, current}})
    return sorted(float(value) for value in inside)


def _into_address(about: dict[str, Knob], keys: dict[str, str], moved: dict[str, Any]) -> None:
    for name in about:
        if name in moved:
            st.query_params[keys[name]] = str(moved[name])
        elif keys[name] in st.query_params:
            del st.query_params[keys[name]]
