"""Rate: say what you hear in a clip, see how far you, the models and the crowd agree, and train on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import library, ratings
from core.datasets import INSTRUMENT_NAMES, IRMAS_CLASSES
from core.takes import Rating, Take
from pages import agreement, clips, shared
from pages.deck import Point, Series, deck

DECK = "rate.deck"
NOBODY = "me"
NONE_OF_THEM = "None of these plays"


# ---- the clip and the rater ----


def _choose() -> tuple[library.Entry | None, str, DeltaGenerator | None]:
    """The clip, the rater, and the place beside them for what is known once both are."""
    entry = clips.choose()
    if entry is None:
        return None, "", None
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    if "rate.rater" not in st.session_state:
        st.session_state["rate.rater"] = st.query_params.get("rater", NOBODY)[: ratings.NAME_LONGEST]
    name = left.text_input(
        "Rater",
        key="rate.rater",
        max_chars=ratings.NAME_LONGEST,
        help="Any name; ratings of different names are kept apart. It is no login: whoever opens the app can use it.",
    )
    st.query_params["rater"] = name
    return entry, name, right


def _shows_others(sha256: str, name: str, rating: Rating) -> bool:
    """The switch that shows what others say: of each clip anew, and only of one that this rater has rated."""
    is_rated = rating.song is not None
    is_on = st.toggle(
        "Show what others say of this clip",
        key=f"rate.others.{sha256}.{name}",
        disabled=not is_rated,
        help="Other raters, the model that Listen uses, and published labels where there are any. Nobody is shown "
        "before you have rated the clip, nor while you record, so that nothing leads you; the switch is off again for "
        "each clip.",
    )
    return is_on and is_rated


# ---- takes ----


def _keep_takes() -> None:
    """Put what the player sent on the disk; it sends again what is not among the saved."""
    sent = st.session_state[DECK].get("takes") or {}
    for batch in sent.get("batches", []):
        try:
            entry, seconds = st.session_state.get("rate.known", {})[batch["clip"]]
            ratings.keep_clip(entry.path, batch["clip"], entry.title, seconds)
            ratings.put(batch["clip"], batch["rater"], batch["takes"], seconds)
            known = st.session_state.setdefault("rate.saved", {})
            known |= {take["id"]: len(take["valence"]) for take in batch["takes"]}
        except KeyError:  # the server was started again meanwhile: it is sent again once the page has run
            continue
        except (ValueError, OSError) as error:
            st.session_state["rate.problem"] = f"Your rating could not be kept: {shared.reason(error)}"


def _curves(rating: Rating) -> list[Series]:
    take = rating.newest("trace")
    if take is None:
        return []
    return [Series("you", np.array(take.times_s), np.array(take.valence), np.array(take.arousal), is_primary=True)]


def _points(rating: Rating) -> list[Point]:
    take = rating.newest("song")
    return [Point("you, whole song", take.valence[0], take.arousal[0])] if take else []


def _takes(sha256: str, name: str, rating: Rating) -> None:
    st.subheader("Your takes", anchor=False)
    with st.container(horizontal=True):
        for label, able, act in (("Undo", rating.can_undo, ratings.undo), ("Redo", rating.can_redo, ratings.redo)):
            icon = f":material/{label.lower()}:"
            st.button(label, icon=icon, disabled=not able, on_click=_do, args=(act, sha256, name))
    if not rating.takes:
        st.caption(
            "None yet. Press Record a trace and move the point while the clip plays, or place it once and keep it for "
            "the whole song."
        )
    counting = {take.id for kind in ("trace", "song") if (take := rating.newest(kind))}
    for take in reversed(rating.takes):
        said, delete = st.columns([6, 1], vertical_alignment="center")
        said.markdown(_sentence(take, take.id in counting))
        delete.button(
            "Delete",
            key=f"delete.{take.id}",
            icon=":material/delete:",
            type="tertiary",
            on_click=_do,
            args=(ratings.delete_take, sha256, name, take.id),
        )
    if len(rating.takes) > len(counting):
        st.caption("The newest trace and the newest value for the song count; to do a take over, record it again.")


def _do(act: Callable[..., object], *about: object) -> None:
    """Do it; what was refused is said once the page is drawn."""
    try:
        act(*about)
    except (ValueError, OSError) as error:
        st.session_state["rate.problem"] = f"That could not be kept: {shared.reason(error)}"


def _sentence(take: Take, counts: bool) -> str:
    v, a = sum(take.valence) / len(take.valence), sum(take.arousal) / len(take.arousal)
    what = f"valence {v:.1f}, arousal {a:.1f}"
    if take.kind == "trace":
        what = f"{len(take.times_s)} moments, {take.times_s[0]:.1f}–{take.times_s[-1]:.1f} s, mean {what}"
    kind = "Trace" if take.kind == "trace" else "Whole song"
    return f"**{kind}**{'' if counts else ' (older)'} · {what} · {shared.ago(take.at)}"


def _instruments(sha256: str, name: str, rating: Rating) -> None:
    key = f"heard.{sha256}.{name}"
    # Read from the disk each time, so that undo moves the ticks as well.
    st.session_state[key] = list(rating.instruments or ())
    st.session_state[f"{key}.none"] = rating.instruments == ()

    def keep(none_pressed: bool) -> None:
        codes, none = st.session_state[key], st.session_state[f"{key}.none"]
        says_none = none and (none_pressed or not codes)
        entry, seconds = st.session_state["rate.known"][sha256]
        _do(lambda: ratings.keep_clip(entry.path, sha256, entry.title, seconds))
        _do(lambda: ratings.set_instruments(sha256, name, [] if says_none else (codes or None)))

    st.pills(
        "Instruments you hear",
        IRMAS_CLASSES,
        selection_mode="multi",
        key=key,
        format_func=INSTRUMENT_NAMES.__getitem__,
        on_change=keep,
        args=(False,),
    )
    st.checkbox(NONE_OF_THEM, key=f"{key}.none", on_change=keep, args=(True,))


# ---- the page ----


def _page() -> None:
    entry, name, beside = _choose()
    if entry is None or beside is None:
        return
    try:
        ratings.rater_id(name)
        clip, view = clips.prepared(entry.path)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    sha256 = clip.sha256
    st.session_state.setdefault("rate.known", {})[sha256] = (entry, view["seconds"])
    rating = ratings.read(sha256, name)
    others = agreement.Views([], [])
    with beside:
        shows_others = _shows_others(sha256, name, rating)
    if shows_others:
        others = agreement.of_clip(sha256, entry.path, name)
    saved = st.session_state.get("rate.saved", {}) | ratings.saved_moments(sha256, name)
    # Straight on the page, in no container: there its key keeps it, whatever appears above it.
    deck(
        key=DECK,
        series=[*_curves(rating), *others.series],
        strip=None,
        song=[*_points(rating), *others.points],
        title=entry.title,
        rating={"clip": sha256, "rater": name, "saved": saved},
        on_takes=_keep_takes,
        **view,
    )
    if problem := st.session_state.pop("rate.problem", None):
        st.error(shared.plain(problem), icon=":material/error:")
    _instruments(sha256, name, rating)
    _takes(sha256, name, rating)
    agreement.panel(sha256, entry.path, name, shows_others)


st.title("Rate", anchor=False)
st.caption(
    "What do you hear? Drag the point on the plane while the clip plays, or focus it and use the arrow keys: right is "
    "more pleasant, up more energetic. Two moments a second are kept, on the clock of the sound."
)
_page()
