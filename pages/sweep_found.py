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
from pages import palette, shared
from pages.drawing import draw, finished

LARGE_RUNS, HALF_WAY_S = 100, 60.0
"""Of a sweep with so many runs, while some are under way, a look is kept for so long: with 1,000 runs, 125 of which log
side by side, each click would read and analyse all of it anew, a second or two of a core that they need."""
OLDEST_S, BEGIN_AFTER_S = 300.0, 1.0
"""A click on a look older than `HALF_WAY_S` is answered by that look, and has the next one made behind the page, a
moment later, with whatever was asked of the last in `OLDEST_S`; what is older than that is looked at anew at once."""

Asked = dict[tuple[str, tuple[Any, ...]], tuple[Callable[..., Any], float]]
"""What views computed from a look, by name and arguments → how it is made, and when it was last asked for."""


class _HalfWay(NamedTuple):
    """A look at a large sweep half-way: when (s, monotonic), at which plan, the fingerprint found, and what views
    asked of it."""

    at_s: float
    record: Record
    mark: str
    asked: Asked


@st.cache_resource(show_spinner=False)
def _half_way() -> dict[str, _HalfWay]:
    """Sweep → the last look at it."""
    return {}


@st.cache_resource(show_spinner=False)
def _coming() -> dict[str, threading.Thread]:
    """Sweep → the thread that makes its next look, or made the last one."""
    return {}


class Look:
    """One sweep at one moment: the record, its fingerprint (`mark`), what is known of its runs.

    `age_s` is how old a look is that was kept (`LARGE_RUNS`), 0 for one that is new; `is_next_coming` says that the
    next one is being made.
    """

    def __init__(
        self, record: Record, mark: str, index: Store, age_s: float = 0.0, *, is_next_coming: bool = False
    ) -> None:
        self.record, self.mark, self.index = record, mark, index
        self.age_s, self.is_next_coming = age_s, is_next_coming
        self.found: Found = computed(_find, self)

    @classmethod
    def at(cls, record: Record) -> Look:
        """What a visitor is shown now."""
        kept = _half_way().get(record.id)
        is_half_way = kept is not None and kept.record == record and _moves(record)
        if kept is not None and is_half_way and (age_s := time.monotonic() - kept.at_s) < OLDEST_S:
            if age_s > HALF_WAY_S:
                _prepare(kept)
            return cls(record, kept.mark, shared.known(), age_s, is_next_coming=age_s > HALF_WAY_S)
        index = shared.known() if is_half_way else shared.store()  # the sidebar looks every few seconds
        mark = sweepboard.fingerprint(index, record)
        if len(record.entries) >= LARGE_RUNS:
            _half_way()[record.id] = _HalfWay(time.monotonic(), record, mark, {})
        return cls(record, mark, index)

    @staticmethod
    def again(record: Record) -> None:
        """Let the next look at this sweep be a new one."""
        _half_way().pop(record.id, None)
        shared.look_again()

    @property
    def colours(self) -> dict[str, Any]:
        """The roles of the palette in the visitor's theme, and what lies behind a chart; `ramp` goes low to high."""
        return colours_in(shared.theme())

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


def colours_in(theme: str) -> dict[str, Any]:
    """`Look.colours` of the theme "light" or "dark"."""
    return palette.ROLES[theme] | {"background": palette.BACKGROUND[theme], "ramp": palette.RAMP[theme]}


def _moves(record: Record) -> bool:
    """Whether runs of this sweep are under way, as far as the index knows: what is at rest costs little to look at."""
    return not {folder.name for folder in shared.under_way()}.isdisjoint(record.runs)


def _prepare(kept: _HalfWay) -> None:
    """Have the next look at a sweep made in a thread, with all that was asked of the last one; one at a time."""
    before = _coming().get(kept.record.id)
    if before is not None and before.is_alive():
        return
    coming = threading.Timer(BEGIN_AFTER_S, _make_next, [kept])  # no daemon: one that ends inside DuckDB aborts
    _coming()[kept.record.id] = coming
    coming.start()


def _make_next(kept: _HalfWay) -> None:
    began, record = time.monotonic(), kept.record
    if _half_way().get(record.id) is not kept:  # somebody looked again meanwhile
        return
    mark = sweepboard.fingerprint(shared.known(), record)
    wanted = {key: (make, at_s) for key, (make, at_s) in kept.asked.copy().items() if began - at_s < OLDEST_S}
    _fill(record.id, mark, record, wanted)
    if _half_way().get(record.id) is kept:
        _half_way()[record.id] = _HalfWay(began, record, mark, wanted)


@st.cache_data(show_spinner=False, max_entries=1)  # within it Streamlit shows no spinner; in a thread it cannot
def _fill(sweep: str, mark: str, _record: Record, _wanted: Asked) -> None:
    look = Look(_record, mark, shared.known())
    for (_, arguments), (make, _) in _wanted.items():
        with contextlib.suppress(ValueError):  # what cannot be told is said on the page
            computed(make, look, *arguments)


@st.cache_data(show_spinner="Computing …", max_entries=200)
def _kept(name: str, sweep: str, mark: str, arguments: tuple[Any, ...], _make: Callable[[], Any]) -> Any:
    threads.one_for_analyses()
    return _make()


def computed(make: Callable[..., Any], look: Look, *arguments: Any) -> Any:
    """`make(look, *arguments)`, kept for as long as no run of the sweep says anything new.

    The arguments must name everything the result depends on beside the sweep, and `make` may ask Streamlit for nothing:
    it also runs in a thread that belongs to no visitor.
    """
    name = f"{make.__module__}.{make.__qualname__}"
    kept = _half_way().get(look.record.id)
    if kept is not None and kept.mark == look.mark:
        kept.asked[name, arguments] = make, time.monotonic()
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
