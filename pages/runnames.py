"""What runs are called where one is chosen from a list, and links to them; none of them by its id alone."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import streamlit as st

from core import run_sql
from pages import shared


def named(row: Mapping[Hashable, Any]) -> str:
    """A run, as a row of the index: "ridge on cues, alpha 0.1, seed 0"."""
    sweep = row["sweep"] if isinstance(row["sweep"], str) else ""  # NaN where it belongs to none
    data = str(row["data"]).partition("@")[0]
    return shared.name_of(row["trainer"], data, row["seed"], sweep, json.loads(row["config"]))


def listed(row: Mapping[Hashable, Any]) -> str:
    """The same with its age: "ridge on cues, seed 0 · 3 min ago"."""
    return " · ".join(filter(None, (named(row), shared.ago(str(row["created_at"])))))


def in_a_list(row: Mapping[Hashable, Any]) -> str:
    """A label with the state in its colour, the name and the age; as one element a row costs the browser a quarter of
    what it costs as four."""
    age = shared.plain(shared.ago(str(row["created_at"])))
    return f"{shared.badge_text(row['state'])} {shared.plain(named(row))} :gray[{age}]"


def of(runs: Iterable[str]) -> dict[str, str]:
    """Run → what it is called in a list; its id where the index does not know it."""
    runs = list(runs)
    known = shared.store().query(run_sql.NAMED, [runs])
    return {run: run for run in runs} | {str(row["run"]): listed(row) for row in known.to_dict("records")}


def link(run: str, label: str, **more: Any) -> None:
    """A link to a run by what it is called; hovering it tells the id."""
    st.page_link("pages/run.py", label=shared.plain(label), help=shared.plain(run), query_params={"run": run}, **more)
