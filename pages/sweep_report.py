"""The whole analysis as one file."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core import document, sweepboard, sweepreport
from core.document import Block
from pages import shared
from pages.sweep_found import Look, computed, quote

HOLDS = (
    "One file that opens anywhere, also without a network: what was run, the board, each knob, the analysis of "
    "variance with its warnings, the curves and how they ended, early prediction, a trade-off, every run, and the SQL "
    "and TOML that give the same again. Figures are pictures within the file; some sites do not show those of Markdown."
)


def show(look: Look, response: str) -> None:
    """Two buttons, the sentences of the report, and the statement behind its numbers."""
    st.write(HOLDS)

    def made(write: Callable[[list[Block]], str]) -> Callable[[], str]:  # when it is asked for: it computes every view
        return lambda: write(computed(_blocks, look, response))

    with st.container(horizontal=True):
        for label, write, ending, mime in (
            ("Report as HTML", document.as_html, "html", "text/html"),
            ("Report as Markdown", document.as_markdown, "md", "text/markdown"),
        ):
            name = f"{look.record.id}.{ending}"
            st.download_button(label, made(write), name, mime, icon=":material/download:")
    st.caption(f"`python lab.py sweeps report {look.record.id}` writes the same.")
    if st.toggle("Show its sentences here", key="sentences", bind="query-params"):
        for block in computed(_blocks, look, response):
            if block.kind == "heading":
                st.subheader(shared.plain(block.text), anchor=False)
            elif block.kind == "quote":
                quote(block.text)
            elif block.kind == "warning":
                st.caption(shared.plain(f"Note: {block.text}"))
    st.subheader("The same numbers by SQL", anchor=False)
    statement = sweepboard.statement(look.record, response)
    st.code(statement, language="sql")
    asked = {"sql": statement}
    st.page_link("pages/sql.py", label="Ask it on the SQL page", icon=":material/database:", query_params=asked)


def _blocks(look: Look, response: str) -> list[Block]:
    return sweepreport.report(look.index, look.record.id, response=response)
