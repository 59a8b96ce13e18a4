"""What several pages need: the index, the frame, words for states and times."""

from __future__ import annotations

import gc
import importlib
import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from core import decoding, disk, leftovers, paths, rundir, supervisor, threads
from core.keeping import Keeper
from core.store import Store, default_store
from core.wording import count_text

STATE_COLOURS = {
    "queued": "gray",
    "starting": "blue",
    "running": "blue",
    "paused": "violet",
    "done": "green",
    "stopped": "orange",
    "diverged": "red",
    "failed": "red",
    "lost": "red",
}
WARM_MODULES = (
    "altair",
    "core.features",
    "trainers.instrunet",
    "trainers.boosted_trees",
    "sklearn.metrics",
    "pages.sweep_read",
    "pages.study_claims",
)
WARM_AFTER_S = 4.0


@st.cache_resource(show_spinner="Reading the run directories …")
def _store() -> Store:
    leftovers.sweep()  # of an app that was killed
    index = default_store()
    Keeper(index, WARM_AFTER_S)  # pools boards in the background
    return index


def begin() -> None:
    """Open the index and fill it, before any page asks."""
    _look_at_all(_store(), _last_look())


def store(only: Path | None = None) -> Store:
    """The index, with what the run directories (or only one of them) said since the last look.

    They are looked at once per run of the script, again after a second unless the last look holds (`_LastLook`), and
    where runs or waiting ones came or went: the sidebar has just looked when a page begins.
    """
    index = _store()
    if only is not None:
        index.sync([only])
    elif st.session_state.get(LOOKED, (0.0,))[0] < time.monotonic() - 1.0 or st.session_state[LOOKED][1] != _moved():
        _look_if_due(index, _last_look())
    return index


def known() -> Store:
    """The index as the last look left it, without another one."""
    return _store()


LOOKED = "index.looked_at"
"""In this run of the script: when the run directories were looked at (s, monotonic), and what `_moved` said before."""

LATER = "index.later"
"""After a page was opened with a look at the runs under way alone: the look at all of them."""

MOST_BESIDE = 4
"""Runs of no sweep that the sidebar shows one by one."""

PLACES = ("run", "sweep", "study", "clip")
"""The parts of an address that say which run, sweep … a page shows."""

LATER_AFTER_S = 2.0
"""A look takes Python to itself: it waits until the browser has drawn, and its reader has come to rest on a page."""

DEAR_S, HOLDS_TIMES, HOLDS_AT_MOST_S = 0.1, 10, 15.0
"""A look that took longer than the first, as where a hundred runs of a sweep train at once, holds ten times as long as
it took, but no longer than the last: until then there is no other, unless runs came or went or somebody asks for it."""

FRESH_S = 5.0
"""After a look so young, opening a page leads to none before it is older."""

PAGE = "page.open"
TRUSTED_S = 60.0
"""A page is opened on what a look no older than this has found of the runs that are at rest."""


@dataclass
class _LastLook:
    """The last look at all run directories: when it began, and until when it holds (s, monotonic), and what `_moved`
    said before."""

    began_s: float = -math.inf
    holds_until_s: float = -math.inf
    moved: tuple[int, int] = (0, 0)

    def holds(self) -> bool:
        """Whether it is young for what it took, and no run came or went since."""
        return time.monotonic() < self.holds_until_s and self.moved == _moved()


@st.cache_resource(show_spinner=False)
def _last_look() -> _LastLook:
    return _LastLook()


class _LookLater(threading.Thread):
    """A look at all run directories beside the script; `n_changed` says in how many of them it found something that the
    page does not show: of the runs under way only where the page has not looked at them (`is_shown`)."""

    def __init__(self, index: Store, last: _LastLook, is_shown: bool) -> None:
        super().__init__(daemon=False)  # the interpreter waits for it: one that ends inside DuckDB aborts
        self._index, self._last, self._is_shown = index, last, is_shown
        self._after_s = max(LATER_AFTER_S, last.began_s + FRESH_S - time.monotonic())
        self._is_left = threading.Event()
        self._has_begun = False
        self.n_changed = 0

    def leave(self) -> bool:
        """Have it not look, where it has not begun to or is done; False where it is looking."""
        self._is_left.set()
        return not (self._has_begun and self.is_alive())

    def run(self) -> None:
        if self._is_left.wait(self._after_s):
            return
        self._has_begun = True
        n_moved = _look_at_those_under_way(self._index)
        self.n_changed = _look_at_all(self._index, self._last) + (0 if self._is_shown else n_moved)


def _look_at_all(index: Store, last: _LastLook) -> int:
    began_s, moved = time.monotonic(), _moved()
    n_changed = index.sync()
    last.began_s, last.moved = began_s, moved
    took_s = time.monotonic() - began_s
    last.holds_until_s = began_s + min(took_s * HOLDS_TIMES, HOLDS_AT_MOST_S) if took_s > DEAR_S else -math.inf
    return n_changed


def _look_if_due(index: Store, last: _LastLook) -> None:
    if not last.holds():
        _look_at_all(index, last)


def look_again() -> None:
    """Let the next question to the index be preceded by a look, however young the last one is."""
    _last_look().holds_until_s = -math.inf
    st.session_state.pop(LOOKED, None)


def _look_at_those_under_way(index: Store) -> int:
    folders = index.active()
    return index.sync(folders) if folders else 0


def _look(is_opened: bool = False) -> None:
    """Look at all run directories unless the last look holds, and remember it until this run of the script ends.

    Where a page is opened (`is_opened`), at those of the runs under way alone, unless runs came or went: the look at
    the others follows once the page is drawn and its reader rests (`warm`), and what it finds is shown with the
    sidebar's next tick.
    """
    began_s, moved, index, last = time.monotonic(), _moved(), _store(), _last_look()
    later = st.session_state.get(LATER)
    if is_opened and last.moved == moved and last.began_s > began_s - TRUSTED_S:
        is_shown = not last.holds()
        if is_shown:
            _look_at_those_under_way(index)
        if later is None or later.leave():
            st.session_state[LATER] = _LookLater(index, last, is_shown)
    elif not last.holds():
        if later is not None and later.leave():
            del st.session_state[LATER]
        _look_at_all(index, last)
    st.session_state[LOOKED] = (time.monotonic(), moved)


def _moved() -> tuple[int, int]:
    """Times that change where runs, or places in the queue, come and go (ns)."""
    return paths.runs().stat().st_mtime_ns, supervisor.queue().stat().st_mtime_ns


def has_runs() -> bool:
    """Whether there is any run directory."""
    return next(rundir.places(), None) is not None


def under_way() -> list[Path]:
    """The directories of the runs under way as the index has them, without looking at the disk: for what ticks."""
    return _store().active()


@st.cache_resource(show_spinner=False)
def _warming() -> threading.Thread:
    thread = threading.Timer(WARM_AFTER_S, _warm)
    thread.daemon = True
    thread.start()
    return thread


def _warm() -> None:
    decoding.prepare()
    for name in WARM_MODULES:
        importlib.import_module(name)
    threads.one_for_analyses()
    gc.collect()  # what is here now stays, and need not be looked through each time Python looks for garbage
    gc.freeze()


def warm() -> None:
    """Have a decoder ready, and import what costs seconds in the background, once the browser has drawn a page.

    The last thing in a run of the script: parts that tick look at the run directories themselves.
    """
    st.session_state.pop(LOOKED, None)
    if LATER in st.session_state and st.session_state[LATER].ident is None:
        st.session_state[LATER].start()
    if not _warming().is_alive():
        decoding.prepare()


STYLE = """
<style>
  [data-testid="stMainBlockContainer"] { padding-top: 2.6rem; padding-bottom: 3rem; max-width: 1500px; }
  [data-testid="stSidebar"] { min-width: 19rem; }
  [data-testid="stSidebarHeader"] { height: 2.2rem; }
  [data-testid="stMain"] { font-variant-numeric: tabular-nums; }
  /* a link to another run or sweep is one to this page, and would be shown as the place where the reader is */
  [data-testid="stPageLink-NavLink"] { background: none; }
  [data-testid="stPageLink-NavLink"]:hover { background: rgb(128 128 128 / 0.15); }
  [data-testid="stPageLink-NavLink"] * { font-weight: inherit; }
  /* the chosen segment: no primary colour can be read both below white, as on buttons, and on the dark page */
  [data-testid="stButtonGroup"] button[data-selected]:not([data-disabled]) {
    color: inherit; background: rgb(54 130 153 / 0.3);
  }
  [data-testid="stButtonGroup"] button[data-selected]:not([data-disabled]) * { color: inherit; }
</style>
"""


def frame(page: str = "") -> None:
    """What every page shows: the spacing they share, and where runs are under way, in the sidebar."""
    st.html(STYLE)
    _tell_address()
    st.session_state["activity.ticks"] = -1
    _look(is_opened=st.session_state.get(PAGE, page) != page)
    st.session_state[PAGE] = page
    with st.sidebar:
        st.fragment(_activity, run_every=side_s())()


def _tell_address() -> None:
    """A link to the page where one is leaves the browser's address as it was (Streamlit 1.67): the next click would be
    one on the page before it."""
    place = [st.query_params.get_all(name) for name in PLACES]
    if st.session_state.get("address.place") != place:
        st.session_state["address.place"] = place
        st.query_params.update()  # sends what it has


def side_s() -> float:
    """Seconds from tick to tick of what stands beside the page: 5, or 10 where the page itself follows a run.

    Each tick has the browser go through the whole page; these were two fifths of what watching four long runs took.
    """
    return 10.0 if "run" in st.query_params else 5.0


def _activity() -> None:
    ticks = st.session_state["activity.ticks"] = st.session_state.get("activity.ticks", -1) + 1
    later = st.session_state.get(LATER) if ticks else None
    if later is not None and later.ident is None:  # a page that stopped on its way
        later.start()
    elif later is not None and not later.is_alive():
        del st.session_state[LATER]
        if later.n_changed:
            st.rerun()
    if ticks and ticks % 3 == 0:  # of what ticks every third looks: 0.07 s with four long runs
        _look_if_due(_store(), _last_look())
    running = under_way()  # not every status.json: with 10,000 runs that was most of a page switch
    supervisor.ensure()
    waiting = len(list(supervisor.queue().iterdir()))
    alone: list[tuple[str, str, rundir.Status]] = []
    of_sweeps: dict[str, list[rundir.Status]] = {}
    for folder in running:
        try:
            status, spec = rundir.read_status(folder), rundir.read_spec(folder)
        except ValueError:  # damaged: that run's own page says so, the others go on
            continue
        if spec.sweep:
            of_sweeps.setdefault(spec.sweep, []).append(status)
        else:
            alone.append((folder.name, spec.trainer, status))
    for name, trainer, status in alone[:MOST_BESIDE]:
        st.progress(_share(status.fraction), text=plain(f"{trainer}: {status.note or status.state}"))
        st.page_link("pages/train.py", label="Watch it", icon=":material/monitoring:", query_params={"run": name})
    if len(alone) > 1:
        more = f" ({len(alone)} runs)" if len(alone) > MOST_BESIDE else ""
        names = [name for name, *_ in alone]
        st.page_link(
            "pages/train.py",
            label=f"Watch them together{more}",
            icon=":material/stacked_line_chart:",
            query_params={"run": names},
        )
    for sweep, statuses in of_sweeps.items():
        n_paused = sum(status.state == "paused" for status in statuses)
        n_busy = len(statuses) - n_paused
        told = [f"{count_text(n_busy, 'run')} at work"] if n_busy else []
        told += [f"{n_paused} paused" if n_busy else f"{count_text(n_paused, 'run')} paused"] if n_paused else []
        share = sum(status.fraction for status in statuses) / len(statuses)
        st.progress(_share(share), text=plain(f"{sweep.split('-', 2)[-1]}: {', '.join(told)}"))
        st.page_link("pages/sweeps.py", label="Watch it", icon=":material/grid_view:", query_params={"sweep": sweep})
    if waiting:
        st.caption(f"{waiting} waiting in the queue")
    if _store().note:
        st.caption(plain(_store().note))


def _share(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)


def theme() -> str:
    """ "light" or "dark", as the browser shows it."""
    return "dark" if st.context.theme.type == "dark" else "light"


def badge(state: str) -> None:
    """A run's state in its colour."""
    st.badge(state, color=STATE_COLOURS.get(state, "gray"))


def badge_text(state: str, coloured_as: str | None = None) -> str:
    """The same as part of a text; in the colour of another state where its own has none."""
    return f":{STATE_COLOURS.get(coloured_as or state, 'gray')}-badge[{state}]"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: "3 min", "12 s", "5.2 days"."""
    if seconds is None or seconds != seconds:
        return "—"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def ago(timestamp: str) -> str:
    """An ISO time as "3 min ago"."""
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return ""
    then = then if then.tzinfo else then.replace(tzinfo=UTC)  # as another program may have written it
    return f"{duration(max(0.0, (datetime.now(UTC) - then).total_seconds()))} ago"  # a clock may have been set back


def data_name(data: str) -> str:
    """A data set as a person calls it: of clips that were rated, without what their ratings were at the time."""
    return data.partition("@")[0] if data.startswith("rated") else data


def plain(text: str) -> str:
    """User text for a place that renders Markdown: shown as it is written, never as markup."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]()<>#+-.!|~:$&" else character for character in text)


def failed(error: Exception) -> None:
    """One clear sentence in place of a traceback."""
    st.error(plain(reason(error)), icon=":material/error:")


def reason(error: Exception) -> str:
    """What was wrong and what to do, of a mistake of the user's or of what the disk refused."""
    return disk.sentence(error, "try again") if isinstance(error, OSError) else str(error)
