"""What a page's address asks for, where it cannot be had."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st

from pages import shared


def tell_missing(name: str, what: str, there: Container[str]) -> None:
    """Say which of the values that the address gives `name` are not `there`; `what` says what they would be.

    For the first run of the script: later the address holds what the page shows.
    """
    for asked in st.query_params.get_all(name):
        if asked not in there:
            said = f"The address asks for {what} “{asked}”, which cannot be had here."
            st.toast(shared.plain(said), icon=":material/link_off:")
