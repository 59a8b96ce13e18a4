"""Charts that are made once, and sent again as they are where a page is opened again and its data is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

Width = Literal["stretch", "content"]


def finished(chart: Any) -> Any:
    """An Altair chart with what Streamlit's theme leaves wrong put right, whatever the chart.

    The theme pushes the first and last label of each axis inwards, off the row or tick they name, and draws the signs
    of a legend with a stroke of 4 pixels and as faint as the palest layer: blots.
    """
    return chart.configure_axis(labelFlush=False, labelSeparation=10).configure_legend(
        symbolOpacity=1, symbolStrokeWidth=2
    )


def draw(drawing: Callable[..., Any], *parts: Any, width: Width = "stretch") -> None:
    """Show the chart that `drawing(*parts)` gives; it may depend on nothing else than its parts.

    Altair takes 0.1 s to make and check a chart of a few layers, and pages are gone through back and forth.
    """
    _draw(drawing, f"{drawing.__module__}.{drawing.__qualname__}", parts, width)


@st.cache_data(show_spinner=False, max_entries=64)
def _draw(_drawing: Callable[..., Any], name: str, parts: tuple[Any, ...], width: Width) -> None:
    # Streamlit keeps what a cached function shows, and shows it again.
    st.altair_chart(finished(_drawing(*parts)), width=width)
