"""What runs are called where one is chosen from a list, and links to them; none of them by its id alone."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from core import run_sql
from core.usable import level_text
from core.wording import words
from pages import shared

MOST_KNOBS = 2


def named(row: Mapping[Hashable, Any]) -> str:
    """A run, as a row of the index: "ridge on cues, alpha 0.1, seed 0"."""
    sweep = row["sweep"] if isinstance(row["sweep"], str) else ""  # NaN where it belongs to none
    return shared.name_of(
        row["trainer"], shared.data_name(str(row["data"])), row["seed"], sweep, json.loads(row["config"])
    )


def listed(row: Mapping[Hashable, Any]) -> str:
    """The same with its age: "ridge on cues, seed 0 · 3 min ago"."""
    return " · ".join(filter(None, (named(row), shared.ago(str(row["created_at"])))))


def apart(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names; those that are alike with the first knobs in which they differ: "toy on toy, seed 0, momentum 0.5"."""
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for name, settings in zip(names, configs, strict=True):
        alike.setdefault(name, []).append(settings)
    told = []
    for name, settings in zip(names, configs, strict=True):
        knobs = [k for k in settings if len({level_text(other.get(k)) for other in alike[name]}) > 1]
        told.append(", ".join([name, *(f"{words(k)} {level_text(settings[k])}" for k in knobs[:MOST_KNOBS])]))
    return told


def in_a_list(rows: Sequence[Mapping[Hashable, Any]]) -> list[str]:
    """A label for each row, with the state in its colour, the name and the age; as one element a row costs the browser
    a quarter of what it costs as four."""
    told = apart([named(row) for row in rows], [json.loads(row["config"]) for row in rows])
    ages = [shared.ago(str(row["created_at"])) for row in rows]
    return [
        f"{shared.badge_text(row['state'])} {shared.plain(name)} :gray[{shared.plain(age)}]"
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
