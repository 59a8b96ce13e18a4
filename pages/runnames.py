"""What runs are called where one is chosen from a list, and links to them; none of them by its id alone."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from core import run_sql, sweeprecord
from core.wording import words
from pages import shared

MOST_KNOBS = 3


def name_of(trainer: str, data: str, seed: int, sweep: str, config: Mapping[str, Any]) -> str:
    """A run in a list: "toy on toy, seed 1", of a sweep with the knobs that vary there."""
    about = sweeprecord.told(sweep, config)
    return f"{trainer} on {shared.data_name(data)}, {f'{about}, ' if about else ''}seed {seed}"


def named(row: Mapping[Hashable, Any]) -> str:
    """A run, as a row of the index: "ridge on cues, alpha 0.1, seed 0"."""
    sweep = row["sweep"] if isinstance(row["sweep"], str) else ""  # NaN where it belongs to none
    return name_of(row["trainer"], str(row["data"]), row["seed"], sweep, json.loads(row["config"]))


def listed(row: Mapping[Hashable, Any]) -> str:
    """The same with its age: "ridge on cues, seed 0 · 3 min ago"."""
    return " · ".join(filter(None, (named(row), shared.ago(str(row["created_at"])))))


def apart(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names; those that are alike with the knobs that tell them apart, as few as do: "toy on toy, seed 0, momentum
    0.5". What has the same knobs stays alike."""
    from core.usable import level_text  # pandas comes with it, and Listen imports this

    told = list(names)
    for name in {name for name in names if names.count(name) > 1}:
        places = [place for place, one in enumerate(names) if one == name]
        knobs = dict.fromkeys(knob for place in places for knob in configs[place])
        levels = {knob: [level_text(configs[place].get(knob)) for place in places] for knob in knobs}
        chosen: list[str] = []
        n_apart = 1
        for knob in levels:
            n_now = len(set(zip(*(levels[one] for one in (*chosen, knob)), strict=True)))
            if n_now > n_apart and len(chosen) < MOST_KNOBS:
                chosen, n_apart = [*chosen, knob], n_now
        for row, place in enumerate(places):
            told[place] = ", ".join([name, *(f"{words(knob)} {levels[knob][row]}" for knob in chosen)])
    return told


def in_a_list(rows: Sequence[Mapping[Hashable, Any]]) -> list[str]:
    """A label for each row, with the state in its colour, the name and the age; as one element a row costs the browser
    a quarter of what it costs as four."""
    told = apart([named(row) for row in rows], [json.loads(row["config"]) | {"split": row["split"]} for row in rows])
    ages = [shared.ago(str(row["created_at"])) for row in rows]
    return [
        f"{shared.badge_text(row['state'])} {shared.plain(name)}" + (f" :gray[{shared.plain(age)}]" if age else "")
        for row, name, age in zip(rows, told, ages, strict=True)
    ]


def of(runs: Iterable[str]) -> dict[str, str]:
    """Run → what it is called in a list; its id where the index does not know it."""
    runs = list(runs)
    known = shared.store().query(run_sql.NAMED, [runs])
    return {run: run for run in runs} | {str(row["run"]): listed(row) for row in known.to_dict("records")}


def link(run: str, label: str, **more: Any) -> None:
    """A link to a run by what it is called; hovering it tells the id."""
    st.page_link("pages/run.py", label=shared.plain(label), help=shared.plain(run), query_params={"run": run}, **more)
