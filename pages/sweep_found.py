"""What the views of a sweep share: its results, computed once for each state of its runs, and how findings are shown.

Everything is kept by the sweep's id and a fingerprint of its runs, so that a click computes only what it asks for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from core import rates, sweepboard, sweepends, sweeps, threads, wording
from core.store import Store
from core.sweepboard import Found
from core.sweeprecord import Record
from pages import ahead, palette, shared
from pages.drawing import draw, finished

LARGE_RUNS, HALF_WAY_S, STALE_S = 100, 60.0, 180.0
"""Of a sweep with so many runs, while some are under way, a look is kept for so long: with 1,000 runs, 125 of which log
side by side, each click would read and analyse all of it anew, a second or two of a core that they need. An older one
is made anew in the background, for the next click; who comes after the last has it made."""

MOST_AHEAD = 30
"""Results of the views seen last that are computed ahead for a look made in the background."""


class _Kept(NamedTuple):
    """A look at a large sweep half-way: when (s, monotonic), at which plan, and the fingerprint found."""

    at_s: float
    record: Record
    mark: str


class _Followed:
    """A large sweep that somebody looks at while it runs: the last look, what was computed of it (name, arguments →
    how), and the thread that makes the next one."""

    def __init__(self) -> None:
        self.kept: _Kept | None = None
        self.asked: dict[tuple[str, tuple[Any, ...]], Callable[..., Any]] = {}
        self.renewal: threading.Thread | None = None

    def ask(self, name: str, arguments: tuple[Any, ...], make: Callable[..., Any]) -> None:
        """Note what was computed, as the newest."""
        self.asked.pop((name, arguments), None)
        self.asked[name, arguments] = make
        for old in list(self.asked)[:-MOST_AHEAD]:
            self.asked.pop(old, None)

    def renew(self, record: Record, index: Store) -> None:
        """Make the next look in the background, unless that is under way."""
        if self.renewal is None or not self.renewal.is_alive():
            # Not a daemon: the interpreter waits for it, since one that ends inside DuckDB aborts.
            self.renewal = threading.Thread(target=self._look, args=(record, index), name=ahead.NAME, daemon=False)
            self.renewal.start()

    def _look(self, record: Record, index: Store) -> None:
        look = Look(record, (index, sweepboard.fingerprint(index, record)))
        for (_, arguments), make in list(self.asked.items()):
            with contextlib.suppress(ValueError):  # what cannot be computed is said to who asks for it
                computed(make, look, *arguments)
        self.kept = _Kept(time.monotonic(), record, look.mark)


@st.cache_resource(show_spinner=False)
def _followed() -> dict[str, _Followed]:
    """Sweep → how it is followed."""
    return {}


class Look:
    """One sweep as one visitor looks at it now: the record, its fingerprint, what is known of its runs.

    `age_s` is how old a look is that was kept (`LARGE_RUNS`), 0 for one that is new.
    """

    def __init__(self, record: Record, at: tuple[Store, str] | None = None) -> None:
        """`at`: the index and the fingerprint to look at, where these are chosen already."""
        self.record, self.age_s = record, 0.0
        self.index, self.mark = at if at is not None else self._choose()
        self.found: Found = computed(_find, self)

    def _choose(self) -> tuple[Store, str]:
        """The index and the fingerprint of now, or of a while ago where that is kept."""
        record, now_s = self.record, time.monotonic()
        if len(record.entries) < LARGE_RUNS:
            index = shared.store()
            return index, sweepboard.fingerprint(index, record)
        followed = _followed().setdefault(record.id, _Followed())
        kept = followed.kept
        if kept is not None and kept.record == record and now_s < kept.at_s + STALE_S and _moves(record):
            self.age_s = now_s - kept.at_s
            if self.age_s > HALF_WAY_S:
                followed.renew(record, shared.known())  # which the sidebar keeps young
            return shared.known(), kept.mark
        index = shared.store()
        mark = sweepboard.fingerprint(index, record)
        followed.kept = _Kept(now_s, record, mark)
        return index, mark

    @staticmethod
    def again(record: Record) -> None:
        """Let the next look at this sweep be a new one."""
        _followed().pop(record.id, None)
        shared.look_again()

    @property
    def colours(self) -> dict[str, Any]:
        """The roles of the palette in the visitor's theme, and what lies behind a chart; `ramp` goes low to high."""
        theme = shared.theme()
        return palette.ROLES[theme] | {"background": palette.BACKGROUND[theme], "ramp": palette.RAMP[theme]}

    @property
    def varied(self) -> list[str]:
        """The factors that have two levels or more among the planned runs."""
        results = self.found.results
        return [name for name in self.found.factors if results[name].astype(str).nunique() > 1]

    def effects(self, response: str) -> tuple[pd.DataFrame, str]:
        """Results for tests of effects, and what was done to them."""
        return computed(_with_thirds, self, response)

    def curves(self, metric: str) -> pd.DataFrame:
        """The curves of one number at whole epochs."""
        return computed(_curves, self, metric)


def _moves(record: Record) -> bool:
    """Whether runs of this sweep are under way, as far as the index knows: what is at rest costs little to look at."""
    return not {folder.name for folder in shared.under_way()}.isdisjoint(record.runs)


@st.cache_data(show_spinner="Computing …", max_entries=200)
def _kept(name: str, sweep: str, mark: str, arguments: tuple[Any, ...], _make: Callable[[], Any]) -> Any:
    threads.one_for_analyses()
    return _make()


def computed(make: Callable[..., Any], look: Look, *arguments: Any) -> Any:
    """`make(look, *arguments)`, kept for as long as no run of the sweep says anything new.

    The arguments must name everything the result depends on beside the sweep.
    """
    name = f"{make.__module__}.{make.__qualname__}"
    if (followed := _followed().get(look.record.id)) is not None and make is not _find:
        followed.ask(name, arguments, make)
    return _kept(name, look.record.id, look.mark, arguments, lambda: make(look, *arguments))


def _find(look: Look) -> Found:
    return sweepboard.find(look.index, look.record)


def _with_thirds(look: Look, response: str) -> tuple[pd.DataFrame, str]:
    return sweepboard.with_thirds(look.found, response)


def _curves(look: Look, metric: str) -> pd.DataFrame:
    return sweepends.whole_epochs(sweeps.curves(look.index, look.record.id, metric))


# ---- showing ----


def choices(look: Look) -> tuple[str, ...]:
    """What its runs can be judged by: their numbers, and the share of them that diverged once one has ended."""
    return (*look.found.responses, *((rates.DIVERGENCE,) if len(rates.ended(look.found.results)) else ()))


def choose_response(look: Look) -> str:
    """The number that configurations are judged by, kept in the address."""
    name = st.selectbox(
        "Judged by",
        choices(look),
        key="metric",
        bind="query-params",
        help="The last value of each run. Choosing knobs by a test score makes it a second validation set.",
    )
    meaning = rates.MEANING if name == rates.DIVERGENCE else sweepboard.meaning(name)
    direction = {"higher": "Higher is better. ", "lower": "Lower is better. "}.get(sweepboard.better(name), "")
    st.caption(shared.plain(f"{direction}{meaning}"))
    return str(name)


def choose(label: str, options: Iterable[str], key: str, **more: Any) -> str:
    """One of several names, shown as words, kept in the address."""
    made = list(options)
    return str(st.selectbox(label, made, key=key, bind="query-params", format_func=named, **more))


def named(name: str) -> str:
    """A column's name as words for a chooser."""
    return wording.words(name) or "–"


def quote(sentence: str) -> None:
    """A result in a sentence that can be quoted as it stands."""
    if sentence:
        st.markdown(f"> {shared.plain(sentence)}")


def warn(warnings: Iterable[str]) -> None:
    """What to keep in mind, each once."""
    told = list(dict.fromkeys(warnings))
    if told:
        st.warning("  \n".join(shared.plain(one) for one in told), icon=":material/warning:")


def drawn(how: str, make: Callable[..., Any], *parts: Any) -> None:
    """The chart that `make(*parts)` gives and how it is read; made once where its parts are the same again."""
    draw(make, *parts)
    st.caption(shared.plain(how))


def chart(drawing: Any, how: str, **more: Any) -> None:
    """A chart (its title and alt text are its own) and how it is read."""
    if isinstance(drawing, dict):
        st.echarts_chart(drawing, **more)
    else:
        st.altair_chart(finished(drawing), **more)
    st.caption(shared.plain(how))


def table(frame: pd.DataFrame, columns: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """A table with numbers of four significant digits and column names as words."""
    shown = frame.rename(columns={name: wording.words(str(name)) for name in frame.columns if str(name) not in ("p",)})
    numeric = {
        str(name): st.column_config.NumberColumn(format="%.4g")
        for name in shown.columns
        if pd.api.types.is_float_dtype(shown[name])
    }
    return st.dataframe(
        shown, hide_index=True, column_config=numeric | dict(columns or {}), placeholder="–", width="stretch", **more
    )
