"""What the loss of a run is, in a sentence below its curves."""

from __future__ import annotations

import streamlit as st

import trainers
from pages import shared


def caption(trainer: str) -> None:
    """Say it, where the trainer is there and does."""
    try:
        sentence = getattr(trainers.load(trainer), "LOSS", "")
    except ValueError:  # of another version
        return
    if sentence:
        st.caption(f"**Loss** of {shared.plain(trainer)}: {shared.plain(sentence)}")
