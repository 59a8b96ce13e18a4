"""The form of a new sweep: what is chosen becomes a sweep file, whose cost is told before it starts."""

from __future__ import annotations

import json
import re
from typing import Any

import streamlit as st

import trainers
from core import config, datasets, sweepfile, sweeps
from core.config import Knob
from pages import shared

DESIGNS = {
    "grid": "grid: every combination",
    "factorial": "two-level factorial: low and high of each",
    "fractional": "fractional factorial: many knobs, few runs",
    "random": "random search",
    "bayesian": "Bayesian search (Optuna)",
}
LINE = re.compile(r"\bline \d+: ")
"""Where a mistake is in a file; who fills in the form has seen none."""
FIRST = {"toy": {"learning_rate": "0.01, 0.1, 1", "dropout": "0, 0.3"}}
"""Factors a new form starts with, so that Start does something sensible at once."""


def form() -> None:
    """Draw it, and start the sweep where asked."""
    st.subheader("New sweep", anchor=False)
    how = st.segmented_control(
        "Describe it by", ["form", "file"], default="form", required=True, key="by", bind="query-params"
    )
    text = _text() if how == "file" else _described()
    if text is None:
        return
    if how == "form":
        with st.expander("The same as a file", icon=":material/description:"):
            st.code(text, language="toml")
            st.caption("Save it, and `python lab.py sweep FILE.toml` starts the same sweep.")
    _plan_and_start(text, has_lines=how == "file")


def _text() -> str | None:
    uploaded = st.file_uploader("A sweep or study file", type=["toml"], key="file")
    if uploaded is not None:
        try:
            return uploaded.getvalue().decode("utf-8")
        except UnicodeDecodeError:
            shared.failed(ValueError(f"{uploaded.name} is no text in UTF-8."))
            return None
    typed = st.text_area("or its text", key="toml", height=220, placeholder=_EXAMPLE)
    return typed or None


_EXAMPLE = 'name = "depth"\ntrainer = "toy"\ndata = "toy"\nseeds = [1, 2, 3]\n[factors]\nlearning_rate = [0.01, 0.1]'


def _described() -> str | None:
    left, right = st.columns(2)
    name = left.text_input("Name", "my-sweep", key="name", bind="query-params", help="Small letters, digits, _ and -.")
    data_names = ["toy", *(one for one in datasets.names() if one not in ("toy", "folder", "rated"))]
    data = str(right.selectbox("Data set", data_names, key="data", bind="query-params"))
    try:
        usable = trainers.fitting(datasets.module(data).TASKS)
        usable.sort(key=lambda one: one != "toy" or data != "toy")  # which is there for trying out
    except ValueError as error:
        shared.failed(error)
        return None
    trainer = str(
        left.selectbox(
            "Trainer", usable, key="trainer", bind="query-params", help="Those that can learn from this data set."
        )
    )
    about = config.knobs(trainers.load(trainer).Config)
    design = str(right.selectbox("Design", list(DESIGNS), format_func=DESIGNS.__getitem__, key="design"))
    seeds = left.text_input("Seeds", "1, 2, 3", key="seeds", help="The same in every cell; fewer than two say nothing.")
    workers = right.number_input(
        "Runs at a time",
        1,
        64,
        None,
        key="workers",
        placeholder="automatic",
        help="Leave it empty, and as many run as the machine has room for.",
    )
    try:
        numbers = sweepfile.seeds_of(seeds)
    except ValueError as error:
        shared.failed(error)
        return None
    lines = [f"name = {_toml(name)}", f"trainer = {_toml(trainer)}", f"data = {_toml(data)}"]
    lines += [f"design = {_toml(design)}", f"seeds = {numbers}"]
    lines += [f"workers = {int(workers)}"] if workers else []
    chosen = st.multiselect(
        "Factors",
        [knob for knob, one in about.items() if one.kind == "value"],
        default=[knob for knob in FIRST.get(trainer, {"learning_rate": ""}) if knob in about],
        key=f"factors.{trainer}",
        help="The knobs that differ between cells.",
    )
    factors = [f"{knob} = {_factor(about[knob], trainer, design)}" for knob in chosen]
    fixed = _fixed({knob: one for knob, one in about.items() if knob not in chosen}, trainer)
    search = _search() if design in ("random", "bayesian") else []
    return "\n".join([*lines, "[set]", *fixed, "[factors]", *factors, *search]) + "\n"


def _factor(knob: Knob, trainer: str, design: str) -> str:
    """One factor as TOML: a list of levels, or a range for a search."""
    is_range = design in ("random", "bayesian") and knob.type in (int, float) and knob.low is not None
    ends = f"{knob.sentence} Range: {knob.range_text}."
    if is_range:
        low, high = st.columns(2)
        near = _near(knob)
        near = near if len(near) > 1 else [knob.low, knob.high]
        kind = "%d" if knob.type is int else "%g"
        key = f"from.{trainer}.{knob.name}"
        first = low.number_input(f"{knob.label}: from", value=knob.type(near[0]), format=kind, key=key, help=ends)
        last = high.number_input("to", value=knob.type(near[-1]), format=kind, key=f"to.{trainer}.{knob.name}")
        return f'{{low = {_toml(first)}, high = {_toml(last)}, scale = "{knob.scale}"}}'
    start = FIRST.get(trainer, {}).get(knob.name) or _levels(knob)
    unit = f" ({knob.unit})" if knob.unit else ""
    text = st.text_input(f"{knob.label}{unit}: levels", start, key=f"levels.{trainer}.{knob.name}", help=ends)
    return f"[{', '.join(_level(knob, part.strip(), trainer) for part in text.split(',') if part.strip())}]"


def _near(knob: Knob) -> list[float]:
    """A number's default with a neighbour on each side, inside its range; nothing where there is no default."""
    if knob.default is None:
        return []
    steps = (0.1, 1, 10) if knob.scale == "log" else (0.5, 1, 2)
    low, high = (-float("inf") if knob.low is None else knob.low), (float("inf") if knob.high is None else knob.high)
    return sorted(set(knob.type(min(max(float(f"{knob.default * step:.6g}"), low), high)) for step in steps))


def _levels(knob: Knob) -> str:
    """Levels to begin with: the choices, or the default with its neighbours."""
    if knob.choices is not None:
        return ", ".join(map(str, knob.choices))
    if knob.type is bool:
        return "false, true"
    if knob.type not in (int, float) or knob.default is None:
        return str(knob.default)
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in _near(knob))


def _level(knob: Knob, text: str, trainer: str) -> str:
    """What was typed, as the knob takes it; what it does not take goes into the file as text, and is refused there."""
    try:
        return _toml(config.read(trainers.load(trainer).Config, knob.name, text))
    except ValueError:
        return _toml(text)


def _fixed(others: dict[str, Knob], trainer: str) -> list[str]:
    moved = st.multiselect(
        "Knobs held at another value than their default",
        list(others),
        default=["epochs"] if trainer == "toy" and "epochs" in others else [],
        key=f"fixed.{trainer}",
    )
    lines = []
    for name in moved:
        knob = others[name]
        typed = st.text_input(knob.label, str(knob.default), key=f"set.{trainer}.{name}", help=knob.sentence)
        lines.append(f"{name} = {_level(knob, typed, trainer)}")
    return lines


def _search() -> list[str]:
    left, middle, right = st.columns(3)
    lines = ["[search]", f"trials = {int(left.number_input('Trials', 1, 10_000, 20, key='trials'))}"]
    if st.session_state.get("design") == "bayesian":
        sampler = middle.selectbox("Proposed by", ["tpe", "gp", "random"], key="sampler")
        pruner = right.selectbox("Ends early", ["none", "median", "asha"], key="pruner")
        lines += [f"sampler = {_toml(sampler)}", f"pruner = {_toml(pruner)}"]
    return lines


def _toml(value: Any) -> str:
    """A scalar as TOML writes it (JSON's texts, numbers and booleans are TOML's)."""
    return json.dumps(value)


def _plan_and_start(text: str, *, has_lines: bool) -> None:
    try:
        file = sweepfile.parse(text)
        quick = bool(file.quick) and st.toggle("Quick variant", help="Fewer seeds or epochs, as the file says.")
        with st.spinner("Counting …"):
            plan = sweeps.plan(file, quick=quick)
    except ValueError as error:
        shared.failed(error if has_lines else ValueError(LINE.sub("", str(error))))
        return
    st.markdown(shared.plain(plan.sentence))
    for note in plan.notes:
        st.caption(shared.plain(note))
    for warning in plan.warnings:
        st.warning(shared.plain(warning), icon=":material/warning:")
    confirmed = not plan.asks or st.checkbox(shared.plain(plan.asks))
    label = f"Start {plan.n_runs:,} runs"
    if not st.button(label, type="primary", icon=":material/play_arrow:", width="stretch", disabled=not confirmed):
        return
    try:
        with st.spinner(f"Making {plan.n_runs:,} run directories …"):
            sweep = sweeps.start(file, quick=quick, confirmed=True)
    except ValueError as error:
        shared.failed(error)
        return
    st.switch_page("pages/sweeps.py", query_params={"sweep": sweep})  # what was chosen leaves the address with the form
