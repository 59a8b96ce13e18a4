"""What a page's address asks for, where it cannot be had."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st

from pages import shared


def pass_over(name: str, what: str, there: Container[str]) -> None:
    """Say which of the values that the address gives `name` are not `there`; `what` says what they would be.

    To be called before the page writes what it shows instead into the address.
    """
    for asked in st.query_params.get_all(name):
        if asked not in there:
            st.toast(
                shared.plain(f"The address asks for {what} “{asked}”, which cannot be had here."),
                icon=":material/link_off:",
            )
