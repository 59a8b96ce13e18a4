"""Charts that are made once, and sent again as they are where a page is opened again and its data is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

Width = Literal["stretch", "content"]


def draw(drawing: Callable[..., Any], *parts: Any, width: Width = "stretch") -> None:
    """Show the chart that `drawing(*parts)` gives; it may depend on nothing else than its parts.

    Altair takes 0.1 s to make and check a chart of a few layers, and pages are gone through back and forth.
    """
    _draw(drawing, f"{drawing.__module__}.{drawing.__qualname__}", parts, width)


@st.cache_data(show_spinner=False, max_entries=64)
def _draw(_drawing: Callable[..., Any], name: str, parts: tuple[Any, ...], width: Width) -> None:
    # Streamlit keeps what a cached function shows, and shows it again.
    st.altair_chart(_drawing(*parts), width=width)
